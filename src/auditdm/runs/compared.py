"""The arm that an audit is compared with, trained and let loose at the same time as the audit's own, in a second process.

That process writes a run of its own, RUN/arms/NAME, so that it resumes like any other; at its end the first takes over its
rows, pictures and weights, and the folder goes. The two share no memory, so what both ask is asked by both.

Source: ours.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from auditdm.config import AuditConfig, parse_config
from auditdm.environment import environment
from auditdm.runs.auditor_training import train_auditor
from auditdm.runs.beside import end_with_the_first, second_process
from auditdm.runs.discovery import discover, loaded_auditor
from auditdm.runs.examining import Examiner
from auditdm.runs.pictures import split_pool
from auditdm.runs.quorum import with_quorum
from auditdm.runs.roles import fill_roles
from auditdm.runs.stages import Stages, quiet, stages_of
from auditdm.runs.usage import add_usage
from auditdm.store import TABLES, Run

REWARDS = {"paper_reward": "paper"}  # arms that are trained beside the audit's own, and what pays them


def goes_beside(config: AuditConfig, arm: str) -> bool:
    """Whether the arm is trained in the second process."""
    return config.training.side_by_side and config.training.steps > 0 and arm in REWARDS


@contextmanager
def arms_beside(run: Run, config: AuditConfig, stages: Stages) -> Iterator[None]:
    """Train the arms that go beside, and let them propose, while the body does the same for the others.

    Args:
        run: Open for writing; has the arms' rows after the body.
        config: `training.side_by_side` and `compare` decide whether there is one.
        stages: Of the first process; what it then waits is a stage of its own.

    Raises:
        AuditError: The other process failed; its last words are in the message. The same command resumes.

    Cost: a second copy of every model.
    """
    arms = [arm for arm in config.compare if goes_beside(config, arm)]
    if not arms or (run.path / "models" / f"auditor-{arms[0]}").exists():
        yield
        return
    [arm] = arms
    log = run.path / "trainer" / f"auditor-{arm}.log"
    with second_process(run, __name__, arm, log, f"the arm {arm!r}") as other:
        yield
        with stages.timed(f"waiting for {arm}"):
            other.wait()
    _take_over(run, arm)


def _take_over(run: Run, arm: str) -> None:
    """Take rows and pictures, then the weights, whose folder says that all else is there."""
    other = Run.read(_folder(run, arm))
    for probe in other.rows("probes"):
        if not run.picture_path(probe["picture_id"]).exists():
            run.save_picture(other.picture(probe["picture_id"]))
    for table in sorted(TABLES, key=lambda name: name == "proposals"):  # these last: a proposal has everything
        run.append(table, other.rows(table))
    run.write_json("stages.json", stages_of(run) | stages_of(other))
    add_usage(run, other)
    (run.path / "models").mkdir(exist_ok=True)
    (other.path / "models" / f"auditor-{arm}").rename(run.path / "models" / f"auditor-{arm}")
    shutil.rmtree(other.path)


def _folder(run: Run, arm: str) -> Path:
    return run.path / "arms" / arm


def main(path: str, arm: str) -> None:
    """What the second process does."""
    end_with_the_first()
    first = Run.read(path)
    config = parse_config(first.config, str(Path(path) / "config.yaml"))
    with Run.open(_folder(first, arm), config.model_dump(mode="json"), environment()) as run:
        roles, stages = with_quorum(first, fill_roles(config)), Stages(run, quiet)
        examiner = Examiner(roles)
        examiner.recall(run.rows("answers"))
        split = split_pool(config, run)
        with stages.timed(f"training {arm}", examiner):
            train_auditor(run, config, split, examiner, arm=arm, reward=REWARDS[arm], tell=quiet)
        with stages.timed(f"discovery {arm}", examiner):
            discover(run, config, split, examiner, loaded_auditor(run, config, roles, arm), arm=arm, tell=quiet)
        run.finish()


if __name__ == "__main__":
    main(*sys.argv[1:])
