import json

import pytest

from auditdm.config import load_config, parse_config
from auditdm.errors import ConfigError
from auditdm.runs.planning import plan


def configured(**changes):
    return parse_config(
        {
            "images": {"path": "sandbox/5", "limit": 40, "holdout": 0.25},
            "auditor": "sandbox/auditor",
            "target": "sandbox/target-small",
            "references": ["sandbox/reference-1", "hf/google/gemma-3-12b-it"],
            "generator": "sandbox",
            "editor": "sandbox",
            "wordings": ["{question}", "Again: {question}"],
            "actions": {"question": 2, "caption": 1, "edit": 1},
            "compare": ["prompt_only", "paper_reward"],
            "training": {"steps": 10, "batch": 16, "group": 4},
            "discovery": {"probes": 100},
            "rectify": {"rows": 50, "replay": 2, "per_mode": 10},
            **changes,
        }
    )


def test_every_stage_is_counted():
    found = plan(configured())
    assert (found.pictures, found.held_back) == (40, 10)
    stages = {s.name: s for s in found.stages}
    assert list(stages)[:5] == [
        "training trained", "training paper_reward", "discovery trained", "discovery prompt_only", "discovery paper_reward",
    ]  # fmt: skip
    trained = stages["training trained"]
    assert (trained.steps, trained.replies, trained.pictures) == (10, 160, 80)
    assert trained.answers == 160 * (1 + 2 + 2)  # target, two references, and both again in other words
    assert (stages["discovery trained"].steps, stages["discovery trained"].answers) == (0, 500)
    assert stages["practice, per failure mode"].answers == 5 * 10 * 5
    assert stages["practice, the pool's own questions"].answers == 100 * 5
    told = found.as_dict()
    assert told["answers"] == sum(s.answers for s in found.stages)
    assert json.loads(json.dumps(told))["roles"]["references[1]"] == "google/gemma-3-12b-it on the hub, or in its cache"


def test_no_training_is_no_stage_of_it():
    names = [s.name for s in plan(configured(training={"steps": 0}, compare=[])).stages]
    assert names[0] == "discovery trained"
    assert len(names) == 3


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"target": "sandbox/target-smal"}, "Did you mean 'sandbox/target-small'"),
        ({"editor": "diffuser/x"}, "editor 'diffuser/x': no kind and no folder has this name"),
        ({"judge": "no_such_module:Judge"}, "Python finds no module 'no_such_module'"),
        ({"images": "nowhere/at/all"}, "does not exist"),
        ({"training": {"steps": 1, "grpo": {"learning_rat": 1}}}, "training.grpo: TRL refuses it: .*learning_rat"),
    ],
)
def test_what_cannot_be_is_said_before_anything_is_loaded(changes, part):
    with pytest.raises(ConfigError, match=part):
        plan(configured(**changes))


def test_a_plan_loads_no_model_and_writes_nothing(tmp_path, monkeypatch):
    from auditdm.backends import specs

    monkeypatch.setattr(specs, "_call", lambda *_, **__: pytest.fail("something was built"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    from auditdm.backends.fakes import fake_picture

    for n in range(3):
        fake_picture(str(n)).save(tmp_path / "photos" / f"{n}.png")
    before = sorted(tmp_path.rglob("*"))
    assert plan(configured(images="photos")).pictures == 3
    assert sorted(tmp_path.rglob("*")) == before


def test_the_starter_is_a_configuration_that_can_be_planned(tmp_path, monkeypatch):
    from importlib import resources

    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    from auditdm.backends.fakes import fake_picture

    for n in range(4):
        fake_picture(str(n)).save(tmp_path / "photos" / f"{n}.png")
    (tmp_path / "mine.yaml").write_text(resources.files("auditdm").joinpath("starter.yaml").read_text())
    config = load_config("mine.yaml")
    assert plan(config).roles["auditor"].startswith("google/gemma-3-4b-it")
    assert len(config.references) == 3
