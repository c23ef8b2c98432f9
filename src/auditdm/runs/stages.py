"""The stages of a run, timed, with the calls of models in each: RUN/stages.json."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any

from auditdm.runs.auditor_training import Tell
from auditdm.runs.examining import Examiner
from auditdm.store import Run


def quiet(_event: str, _values: Mapping[str, Any]) -> None:
    """Tell nobody."""


def stages_of(run: Run) -> dict[str, dict[str, float]]:
    """By stage: `wall_s`, `model_calls` and `cached`; empty where none has ended yet."""
    path = run.path / "stages.json"
    found: dict[str, dict[str, float]] = json.loads(path.read_text("utf-8")) if path.exists() else {}
    return found


class Stages:
    """Times the stages of a run and counts their model calls, in `stages.json`; a resumed stage adds up."""

    def __init__(self, run: Run, tell: Tell) -> None:
        self._run, self._tell = run, tell
        self._name, self._began, self._before = "", 0.0, (0, 0)
        self._examiner: Examiner | None = None

    def timed(self, name: str, examiner: Examiner | None = None) -> Stages:
        """Use as `with stages.timed("discovery", examiner):`."""
        self._name, self._examiner = name, examiner
        return self

    def __enter__(self) -> None:
        self._tell("stage", {"name": self._name})
        self._began = time.perf_counter()
        self._before = (self._examiner.calls, self._examiner.cached) if self._examiner else (0, 0)

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        known = stages_of(self._run)
        entry = known.setdefault(self._name, {"wall_s": 0.0, "model_calls": 0, "cached": 0})
        entry["wall_s"] = round(entry["wall_s"] + time.perf_counter() - self._began, 2)
        if self._examiner:
            entry["model_calls"] += self._examiner.calls - self._before[0]
            entry["cached"] += self._examiner.cached - self._before[1]
        self._run.write_json("stages.json", known)
        if self._examiner and (spent := self._examiner.roles.spending.keep(self._run)):
            self._tell("spent", spent)
