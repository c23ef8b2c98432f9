import doctest

import pytest

from auditdm.config import parse_config
from auditdm.errors import AuditError, ConfigError
from auditdm.runs import checkpoints
from auditdm.runs.checkpoints import check_checkpoints, kept_auditors, kept_steps, thin
from auditdm.store import Run

PARTS = ("model.safetensors", "config.json", "optimizer.pt", "scheduler.pt", "rng_state.pth", "trainer_state.json")


def configured(checkpoints, lora=None, adapter=None, **training):
    return parse_config({
        "images": "sandbox/5",
        "auditor": {"model": "sandbox/auditor", "options": {"adapter": adapter} if adapter else {}},
        "target": "sandbox/target-small",
        "references": ["sandbox/reference-1"],
        "training": {"steps": 12, "batch": 4, "group": 2, "checkpoint_every": 2, "lora": lora, **training},
        "rectify": {"checkpoints": checkpoints, "probes": 9},
    })  # fmt: skip


def saved(folder, *steps):
    for step in steps:
        (folder / f"checkpoint-{step}").mkdir(parents=True)
        for part in PARTS:
            (folder / f"checkpoint-{step}" / part).write_text("{}")


def test_the_documented_example():
    assert doctest.testmod(checkpoints).failed == 0


@pytest.mark.parametrize(
    ("steps", "every", "count", "kept"),
    [
        (12, 2, 3, (4, 8)),
        (12, 2, 1, ()),
        (12, 2, 0, ()),
        (12, 20, 3, ()),
        (12, 6, 9, (6,)),
        (100, 1, 5, (20, 40, 60, 80)),
    ],
)
def test_the_wanted_steps_are_spread_and_the_last_is_the_trained_auditor(steps, every, count, kept):
    assert kept_steps(steps, every, count) == kept


def test_older_checkpoints_keep_their_weights_alone(tmp_path):
    from auditdm.runs.trainer_options import last_checkpoint

    saved(tmp_path, 2, 4, 10, 12)
    for _ in range(2):
        thin(tmp_path)
        left = {step: sorted(p.name for p in (tmp_path / f"checkpoint-{step}").iterdir()) for step in (2, 4, 10, 12)}
        assert left[2] == left[4] == ["config.json", "model.safetensors"]
        assert left[10] == left[12] == sorted(PARTS)
    assert last_checkpoint(tmp_path) == tmp_path / "checkpoint-12"
    (tmp_path / "checkpoint-12" / "trainer_state.json").unlink()  # killed while it was written
    assert last_checkpoint(tmp_path) == tmp_path / "checkpoint-10"


def test_the_wanted_checkpoints_are_found_as_auditors_and_once_moved_they_stay(tmp_path):
    config = configured(3)
    with Run.open(tmp_path, {}, {}) as run:
        saved(tmp_path / "trainer" / "auditor-trained", 2, 4, 6, 8, 10, 12)
        (tmp_path / "models").mkdir()
        for _ in range(2):
            assert kept_auditors(run, config) == ("trained-step-4", "trained-step-8", "trained")
            assert (tmp_path / "models" / "auditor-trained-step-4" / "model.safetensors").exists()
        assert kept_auditors(run, configured(0)) == ()
        assert kept_auditors(run, configured(1)) == ("trained",)


def test_a_checkpoint_that_is_gone_is_said_in_words(tmp_path):
    with (
        Run.open(tmp_path, {}, {}) as run,
        pytest.raises(AuditError, match=r"checkpoint-4: there is no such checkpoint"),
    ):
        kept_auditors(run, configured(3))


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (configured(2, grpo={"save_total_limit": 1}), "rectify.checkpoints is 2 and training.grpo.save_total_limit 1"),
        (configured(2, lora={"r": 2}, adapter="mine"), "learns an adapter on top of its own, 'mine'"),
    ],
)
def test_what_would_leave_no_checkpoint_is_said_before_the_training(config, said):
    with pytest.raises(ConfigError, match=said):
        check_checkpoints(config)


def test_one_age_alone_asks_for_nothing(tmp_path):
    check_checkpoints(configured(1, grpo={"save_total_limit": 1}, lora={"r": 2}, adapter="mine"))
