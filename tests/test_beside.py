import os
import signal
import subprocess
import sys
import time

import pytest
import torch

from auditdm.backends.fakes import fake_picture
from auditdm.config import parse_config
from auditdm.errors import AuditError
from auditdm.runs.beside import fine_tuned_beside, lessons_of
from auditdm.runs.fine_tuning import fine_tune
from auditdm.store import Run
from auditdm.types import picture_id

pytestmark = [pytest.mark.tiny, pytest.mark.slow]

OPTIONS = {"learning_rate": 1e-3, "per_device_train_batch_size": 4, "max_steps": 2, "save_steps": 1}
PICTURE = fake_picture("one")


def configured(**options):
    return {
        "seed": 3,
        "images": "sandbox/5",
        "auditor": "sandbox/auditor",
        "target": "sandbox/target-small",
        "references": ["sandbox/reference-1"],
        "training": {"steps": 0},
        "rectify": {"options": OPTIONS | options},
    }


def a_run(path, config):
    """An open run whose trainset has two sets of four rows."""
    run = Run.open(path, parse_config(config).model_dump(mode="json"), {})
    run.save_picture(PICTURE)
    run.append("trainset", [
        {"id": f"{name}{n}", "set": name, "probe_id": f"{n}", "picture_id": picture_id(PICTURE), "question": "what is it ?",
         "answer": answer, "origin": "random", "label_from": "consensus of the references"}
        for name, answer in (("audited", "cross"), ("control", "circle")) for n in range(4)
    ])  # fmt: skip
    return run


def weights(folder):
    from auditdm.backends.local import load_vlm

    return load_vlm(folder, "float32")[0].state_dict()


def test_the_other_process_ends_with_the_weights_that_this_one_would_have_made(tmp_path):
    config, threads = parse_config(configured()), torch.get_num_threads()
    with a_run(tmp_path, configured()) as run:
        with fine_tuned_beside(run, "control") as folder:
            assert torch.get_num_threads() == max(1, threads // 2)
            here = fine_tune(run, config, lessons_of(run.rows("trainset"), "control"), "again", lambda *_: None)
        assert torch.get_num_threads() == threads
        there, again = weights(folder), weights(here)
        assert all(torch.allclose(there[key], again[key], atol=1e-6) for key in again)
        with fine_tuned_beside(run, "control") as known:  # it is there: no process is started
            assert known == folder


def test_what_the_other_process_said_when_it_failed_is_in_the_message(tmp_path):
    with (
        a_run(tmp_path, configured(max_steps=1, learning_rate_typo=1)) as run,
        pytest.raises(AuditError, match=r"the fine-tune on the set 'control' failed \(.*rectify\.options") as problem,
        fine_tuned_beside(run, "control"),
    ):
        pass
    assert (tmp_path / "trainer" / "target-control.log").exists(), problem


def test_a_body_that_fails_ends_the_other_process(tmp_path):
    with (
        a_run(tmp_path, configured(max_steps=10_000)) as run,
        pytest.raises(KeyError),
        fine_tuned_beside(run, "control"),
    ):
        raise KeyError
    assert not (tmp_path / "models" / "target-control").exists()
    assert not _running(tmp_path)


def test_the_other_process_does_not_outlive_one_that_was_killed(tmp_path):
    a_run(tmp_path, configured(max_steps=10_000)).close()
    first = subprocess.Popen([sys.executable, "-c", (
        "import sys, time; from auditdm.runs.beside import fine_tuned_beside; from auditdm.store import Run\n"
        "with fine_tuned_beside(Run.read(sys.argv[1]), 'control'): print('begun', flush=True); time.sleep(60)"
    ), str(tmp_path)], stdout=subprocess.PIPE)  # fmt: skip
    try:
        assert first.stdout.readline() == b"begun\n"
        assert _running(tmp_path)
        os.kill(first.pid, signal.SIGKILL)
        first.wait()
        ends = time.monotonic() + 20
        while _running(tmp_path) and time.monotonic() < ends:
            time.sleep(0.1)
        assert not _running(tmp_path)
    finally:
        first.kill()
        first.communicate()


def _running(path):
    """Whether a second process works on this run."""
    found = subprocess.run(["pgrep", "-f", f"auditdm.runs.beside {path} "], capture_output=True)
    return found.returncode == 0
