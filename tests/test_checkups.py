import json

import pytest

from auditdm.errors import ConfigError, ModelError
from auditdm.runs.checkups import doctor

pytestmark = pytest.mark.tiny


def test_the_machine_is_told_with_what_is_missing(monkeypatch):
    from auditdm.runs import checkups as module

    monkeypatch.setattr(module, "requires", lambda _: [
        "torch>=2.8; extra == 'local'", "no-such-package[all]>=1; extra == 'local'", "numpy>=2", "pytest; extra == \"dev\"",
    ])  # fmt: skip
    told = doctor()
    assert told["extras"] == {"local": ["no-such-package"], "diffusion": [], "eval": [], "ray": [], "dev": []}
    assert told["cpu"]["cores"] >= 1
    assert "command" not in told
    json.dumps(told)


def test_a_model_is_tried_in_every_role():
    told = doctor("sandbox/target-small")
    assert told["roles"] == dict.fromkeys(
        ("target", "reference", "auditor", "trained auditor", "repaired target"), "yes"
    )
    assert len(told["answers"]) == 3
    assert all(isinstance(a, str) for a in told["answers"])
    assert told["problems"] == ()
    assert (told["device"], told["dtype"]) == ("cpu", "float32")
    assert told["parameters"] > 1_000_000
    assert 0 < told["seconds_per_answer"] < 60
    assert 0 < told["peak_gib"] < 64
    json.dumps(told)


def test_what_a_model_cannot_be_is_said_with_the_reason(tmp_path):
    from tiny_models import write_tiny_model

    told = doctor(str(write_tiny_model("paligemma", tmp_path / "model")))
    assert told["roles"]["target"] == "yes"
    assert "PaliGemma cannot be trained by GRPO" in told["roles"]["trained auditor"]


def test_a_class_of_ones_own_answers_and_is_not_trained():
    told = doctor("acting_models:reference")
    assert told["roles"]["reference"] == "yes"
    assert "a class of your own cannot be trained" in told["roles"]["trained auditor"]
    assert (told["parameters"], told["device"], told["dtype"]) == (None, None, None)


def test_a_model_that_is_not_there_is_said_in_words(tmp_path):
    with pytest.raises(ConfigError, match="Did you mean"):
        doctor("sandbox/target-smal")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelError, match="empty"):
        doctor(str(tmp_path / "empty"))
