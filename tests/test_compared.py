"""An arm that is trained beside the audit's own, in a second process."""

import json
import signal
from pathlib import Path

import pytest
import yaml

from acting_audit import command, configured, pictures_in, stop, tables, weights_in
from auditdm.config import parse_config
from auditdm.errors import AuditError
from auditdm.runs.auditing import audit
from auditdm.store import Run

pytestmark = pytest.mark.tiny


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    return pictures_in(tmp_path_factory.mktemp("pool") / "pictures")


@pytest.mark.slow
def test_an_arm_in_a_second_process_ends_with_the_tables_of_one_after_the_other(pictures, tmp_path):
    def compared(side_by_side):
        short = configured(pictures, side_by_side=side_by_side, steps=2, checkpoint_every=1)
        return {**short, "compare": ["paper_reward"], "discovery": {"probes": 16, "batch": 16}}

    audit(parse_config(compared(False)), tmp_path / "after")
    folder, config = tmp_path / "beside", tmp_path / "audit.yaml"
    config.write_text(yaml.safe_dump(compared(True)))
    saved = folder / "arms/paper_reward/trainer/auditor-paper_reward/checkpoint-1/trainer_state.json"
    stop(command(config, folder, ACTING_PAUSE_S="0.1"), saved.exists, signal.SIGKILL)  # the second process ends too
    process = command(config, folder)
    _, told = process.communicate(timeout=120)
    assert process.returncode == 0, told
    assert "waiting for paper_reward: " in told
    assert tables(folder) == tables(tmp_path / "after")
    assert not (folder / "arms" / "paper_reward").exists()
    stages = json.loads((folder / "stages.json").read_text())
    assert {"training paper_reward", "discovery paper_reward", "waiting for paper_reward"} <= set(stages)
    of = "models/auditor-paper_reward"
    ours, theirs = weights_in(folder / of), weights_in(tmp_path / "after" / of)
    assert all((ours[key] - theirs[key]).abs().max() < 1e-5 for key in theirs)  # another number of threads


def test_what_a_failing_second_process_said_is_in_the_message(pictures, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1] / "src"))  # so that it cannot import acting_models
    config = {**configured(pictures, side_by_side=True), "compare": ["paper_reward"]}
    with pytest.raises(AuditError, match=r"the arm 'paper_reward' failed \(.*acting_models") as problem:
        audit(parse_config(config), tmp_path)
    assert "auditor-paper_reward.log" in str(problem.value)
    assert Run.read(tmp_path).rows("training_log")  # what the first process did is kept
