"""The practice of a repair: rules on words stand in for the models, so that every probe can be foretold."""

import shutil
from collections import Counter

import pytest
import yaml

from acting_models import digit
from auditdm.config import parse_config
from auditdm.errors import ConfigError
from auditdm.runs.auditing import audit
from auditdm.runs.examining import Examiner
from auditdm.runs.practice import MOST_ASKED, OFTEN, practise
from auditdm.runs.rectification import AUDITED, decided_probes
from auditdm.runs.roles import fill_roles
from auditdm.store import Run


def configured(**rectify):
    return parse_config(
        {
            "seed": 1,
            "images": {"path": "sandbox/5", "limit": 200},
            "auditor": "acting_models:auditor",
            "target": "acting_models:target",
            "references": ["acting_models:reference"],
            "compare": [],
            "training": {"steps": 0},
            "discovery": {"probes": 100},
            "confirmation": {"budget": 0},
            "rectify": {"rows": 6, "replay": 2, "per_mode": 8, **rectify},
        }
    )


def practised(path, config):
    with Run.open(path, config.model_dump(mode="json"), {}) as run:
        examiner = Examiner(fill_roles(config))
        examiner.recall(run.rows("answers"))
        practise(run, config, examiner, lambda *_: None)
        run.finish()
    return examiner


@pytest.fixture
def done(tmp_path):
    """Audits by the rule and practises; returns the finished run."""

    def made(name="run", **rectify):
        config = configured(**rectify)
        audit(config, tmp_path / name)
        practised(tmp_path / name, config)
        return Run.read(tmp_path / name), config

    return made


def practice_of(run, arm):
    return [p for p in run.rows("proposals") if (p["phase"], p["arm"]) == ("practice", arm)]


def test_a_mode_asks_its_own_questions_of_training_pictures_until_it_has_enough(done):
    run, config = done()
    asked = {p["id"]: p["question"] for p in run.rows("probes")}
    modes = run.rows("failure_modes")
    assert modes
    again = practice_of(run, "modes")
    assert again
    assert {p["question"] for p in again} <= {asked[i] for m in modes for i in m["probe_ids"]}
    discovered = {p["source_id"] for p in run.rows("proposals") if p["phase"] == "discovery"}
    assert not discovered & {p["source_id"] for p in again}
    # Every question of a mode fails here, so a mode stops in the turn that fills it.
    asked_by_mode = Counter(p["question"] for p in again)
    for mode in modes:
        (question,) = {asked[i] for i in mode["probe_ids"]}
        assert asked_by_mode[question] == 32 >= config.rectify.per_mode


def test_a_mode_of_slips_is_not_practised(done, tmp_path):
    _, config = done(per_mode=0)
    with Run.open(tmp_path / "run", config.model_dump(mode="json"), {}) as run:
        [mode, *others] = run.rows("failure_modes")
        shutil.rmtree(run.path / "tables" / "failure_modes")
    rarely = {**mode, "measured": 1 + int(len(mode["probe_ids"]) / OFTEN)}
    more = config.model_copy(update={"rectify": config.rectify.model_copy(update={"per_mode": 8})})
    (tmp_path / "run" / "config.yaml").write_text(yaml.safe_dump(more.model_dump(mode="json")))
    with Run.open(tmp_path / "run", more.model_dump(mode="json"), {}) as run:
        run.append("failure_modes", [rarely, *others])
    practised(tmp_path / "run", more)
    asked = {p["id"]: p["question"] for p in run.rows("probes")}
    questions = {p["question"] for p in practice_of(run, "modes")}
    assert questions == {asked[i] for m in others for i in m["probe_ids"]}


def test_a_mode_that_gets_none_is_left_after_a_while(done):
    run, config = done(per_mode=0)
    wiser = config.target.model_copy(update={"model": "acting_models:other"})  # it fails on nothing
    rectify = configured(per_mode=16, images={"path": "sandbox/6", "limit": 200}).rectify
    told = []
    with Run.open(run.path, config.model_dump(mode="json"), {}) as again:
        examiner = Examiner(fill_roles(config.model_copy(update={"target": wiser})))
        practise(again, config.model_copy(update={"rectify": rectify}), examiner, lambda *event: told.append(event))
    modes = run.rows("failure_modes")
    assert told[-1] == ("practised", {"done": 0, "of": len(modes), "asked": len(modes) * MOST_ASKED * 16})


def test_the_pools_own_questions_are_asked_as_they_are(done):
    run, _ = done(images={"path": "sandbox/6", "limit": 50})
    own = practice_of(run, "pool")
    assert len(own) == 18  # rows x (1 + replay): the control may need them all
    sources = {s["id"]: s for s in run.rows("sources")}
    assert all(p["question"] == sources[p["source_id"]]["question"] and p["given_question"] for p in own)
    assert {sources[p["source_id"]]["origin"].split("#")[0] for p in own} == {"sandbox/6"}
    probes = {p["id"]: p for p in run.rows("probes")}
    assert {probes[p["probe_id"]]["pairing"] for p in own} == {"Q,I"}
    assert {probes[p["probe_id"]]["picture_id"] == p["source_id"] for p in own} == {True}


def test_what_was_practised_is_material_for_lessons(done):
    run, _ = done()
    found = decided_probes(run, arms=AUDITED, phases=("discovery", "practice"))
    practised_ids = {p["probe_id"] for arm in ("modes", "pool") for p in practice_of(run, arm)}
    lessons = [d for d in found if d.probe_id in practised_ids]
    assert Counter(d.failed for d in lessons).keys() == {True, False}
    assert all(d.failed == (1 <= digit(d.question) <= 5) for d in lessons)
    assert all(d.mode for d in lessons if d.failed and not d.own)
    assert any(d.own for d in lessons)
    assert {d.fresh for d in lessons} == {True}
    assert {d.fresh for d in found if d.probe_id not in practised_ids} == {False}


def test_practice_again_adds_nothing_and_asks_nobody(done):
    run, config = done()
    before = {t: run.rows(t) for t in ("proposals", "probes", "answers", "verdicts", "sources")}
    examiner = practised(run.path, config)
    assert examiner.calls == 0
    assert {t: Run.read(run.path).rows(t) for t in before} == before


def test_pictures_that_are_not_there_are_said_in_words(done, tmp_path):
    with pytest.raises(ConfigError, match="does not exist"):
        done(images=str(tmp_path / "nowhere"))
