"""A second process at the same time; here, a second fine-tune in one.

Fine-tuning a small model on a CPU hardly gains from a second core, so the control learns on one while the repair learns on
the other. The second process reads the run folder and writes one model folder; the tables stay with the first.

Source: ours.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from auditdm.config import parse_config
from auditdm.errors import AuditError
from auditdm.method.trainset import Lesson
from auditdm.runs.fine_tuning import fine_tune
from auditdm.store import Run


@contextmanager
def second_process(run: Run, module: str, name: str, log: Path, what: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run `python -m MODULE RUN NAME` while the body runs, and wait for its end; a body that fails ends it.

    Args:
        run: Whose folder it reads.
        module: Its `__main__` calls `end_with_the_first` before anything else.
        name: What it works on.
        log: Takes all that it says.
        what: In words, for the message: "the fine-tune on the set 'control'".

    Yields:
        The second process.

    Raises:
        AuditError: It failed; what it said last is in the message.

    Cost: a second copy of whatever it loads. Meanwhile each of the two has half of torch's threads.
    """
    import torch

    threads, half = torch.get_num_threads(), max(1, torch.get_num_threads() // 2)
    log.parent.mkdir(exist_ok=True)
    with log.open("w", encoding="utf-8") as told:
        other = subprocess.Popen(
            [sys.executable, "-m", module, str(run.path), name],
            stdin=subprocess.PIPE,  # closed when this process ends, however it ends
            stdout=told,
            stderr=told,
            env={**os.environ, "OMP_NUM_THREADS": str(half)},
            start_new_session=True,  # Ctrl-C is for this process, which ends the other
        )
        torch.set_num_threads(half)
        try:
            yield other
            failed = other.wait()
        finally:
            torch.set_num_threads(threads)
            other.kill()
            other.communicate()
    if failed:
        last = log.read_text("utf-8", "replace").strip().splitlines()[-1:] or ["nothing"]
        raise AuditError(f"{run.path}: {what} failed ({last[0]}). All it said: {log}.")


def end_with_the_first() -> None:
    """Let this process, the second, end by itself when the first is gone."""

    def waiting() -> None:
        os.read(0, 1)  # not sys.stdin, whose lock would be held when this process ends well
        os._exit(1)

    threading.Thread(target=waiting, daemon=True).start()


@contextmanager
def fine_tuned_beside(run: Run, name: str) -> Iterator[Path]:
    """Fine-tune the target on the set `name` of the run's table `trainset` while the body runs.

    Args:
        run: Open for writing; the set stands in its table.
        name: Of the set.

    Yields:
        The folder where the model will be. It is there after the body, not before.

    Raises:
        AuditError: The other process failed; what it said is in the message.

    Cost: a second copy of whatever `fine_tune` holds.
    """
    folder, log = run.path / "models" / f"target-{name}", run.path / "trainer" / f"target-{name}.log"
    if folder.exists():
        yield folder
        return
    with second_process(run, "auditdm.runs.beside", name, log, f"the fine-tune on the set {name!r}"):
        yield folder


def lessons_of(rows: Sequence[Mapping[str, Any]], name: str) -> list[Lesson]:
    """The lessons of one set, from the rows of the table `trainset`, in their order."""
    return [
        Lesson(
            probe_id=r["probe_id"],
            picture_id=r["picture_id"],
            question=r["question"],
            answer=r["answer"],
            origin=r["origin"],
        )
        for r in rows
        if r["set"] == name
    ]


def main(path: str, name: str) -> None:
    """What the second process does."""
    end_with_the_first()
    run = Run.read(path)
    config = parse_config(run.config, str(Path(path) / "config.yaml"))
    fine_tune(run, config, lessons_of(run.rows("trainset"), name), name, lambda _event, _values: None)


if __name__ == "__main__":
    main(*sys.argv[1:])
