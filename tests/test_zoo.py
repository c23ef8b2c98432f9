"""The shipped models are what the manifest says: ordinary folders, small, skilled, and with the gaps that were planted."""

import hashlib

import pytest

from auditdm.sandbox.zoo import ZOO, manifest, model_folder, taught_skills

MODELS = sorted(ZOO)
REFERENCES = [name for name in MODELS if name.startswith("reference")]
TARGETS = [name for name in MODELS if name.startswith("target")]
MEGABYTES = 4.0


@pytest.mark.parametrize("name", MODELS)
def test_the_weights_are_small_and_those_of_the_manifest(name):
    weights = model_folder(name) / "model.safetensors"
    assert weights.stat().st_size <= MEGABYTES * 1e6
    assert hashlib.sha256(weights.read_bytes()).hexdigest() == manifest()["models"][name]["sha256"]


def test_references_come_from_three_families_and_their_own_seeds():
    assert len({ZOO[name].family for name in REFERENCES}) >= 3
    assert (
        len({ZOO[name].seed for name in REFERENCES}) == len({ZOO[name].tower for name in REFERENCES}) == len(REFERENCES)
    )


def test_at_least_twelve_skills_are_learned_by_all_references_and_relations_in_space_by_one():
    assert len(taught_skills()) >= 12
    assert {"row", "corner"} <= set(taught_skills())
    measured = manifest()["models"]["reference-2"]["skills"]
    assert {"above", "left_of"} <= {skill for skill, rate in measured.items() if rate["value"] >= 0.95}


def test_the_targets_lack_what_the_manifest_says_and_share_three_gaps():
    gaps = {name: {gap["name"] for gap in manifest()["models"][name]["gaps"]} for name in TARGETS}
    assert len(gaps["target-small"]) >= 8
    assert len(gaps["target-large"]) >= 5
    assert len(gaps["target-small"] & gaps["target-large"]) == 3


@pytest.mark.tiny
@pytest.mark.parametrize("name", REFERENCES + TARGETS)
def test_a_model_loads_like_any_other_and_answers_as_was_measured(name):
    from transformers import AutoModelForImageTextToText, AutoProcessor

    from auditdm.backends.judges import ExactJudge
    from auditdm.backends.local import TransformersModel
    from auditdm.runs.evaluation import evaluate
    from auditdm.sandbox.suites import ILL_POSED, suite

    folder = model_folder(name)
    AutoModelForImageTextToText.from_pretrained(folder)
    AutoProcessor.from_pretrained(folder)
    gaps = ZOO[name].gaps
    skills = ("colour", "count_all", "digit") if name in TARGETS else ("colour", "count_all", "digit", ILL_POSED)
    examples = [e for s in skills for e in suite(s, 60, seed=31, gaps=gaps) if not e.slice]
    examples += [e for g in gaps[:3] for e in suite(g.skill, 30, seed=31, gaps=gaps, inside=g)]
    rates = evaluate({name: TransformersModel(folder, batch=128, max_new_tokens=6)}, examples, ExactJudge())[name]
    for skill in skills:  # 60 questions: .85 lies three standard errors below .95
        assert rates[skill, ""].value >= 0.8, skill
    for gap in gaps[:3]:
        assert rates[gap.skill, gap.name].value <= 0.5, gap.name
