"""Models on the benchmarks of the paper, through lmms-eval, and their differences on the same questions.

lmms-eval runs in a process of its own, one per model (`benchmark_asking`); what it scored is kept in the run folder,
question by question, so a resumed run asks nothing twice and a difference can be counted again without lmms-eval.
`benchmarks.yaml` says of each benchmark what is measured, and what keeps the number from being the paper's.
"""

from __future__ import annotations

import difflib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from functools import cache
from importlib import resources
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import yaml

from auditdm.config import ModelSpec
from auditdm.environment import environment
from auditdm.errors import AuditError, ConfigError, ModelError
from auditdm.runs.auditor_training import Tell
from auditdm.runs.benchmark_scores import Combine, Difference, Score, Unit, difference
from auditdm.runs.stages import quiet
from auditdm.store import Run
from auditdm.types import content_id

INSTALL = "pip install -e '.[eval]' -c constraints.txt && pip install --no-deps lmms-eval==0.7.3"
_ERRORS = {"ConfigError": ConfigError, "ModelError": ModelError}
_DECIDES = {"model", "max_new_tokens", "temperature", "dtype", "options"}  # what a model says
_FOLDER = "benchmarks"  # in the run folder


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """What is asked, and how it is counted. Fields as `benchmarks.yaml` explains them."""

    name: str
    task: str
    metric: str = ""  # "": the task's first
    of: str = ""  # the paper's name; "": none of the paper's
    same: bool = True  # False: not what the paper names, and never reported under its name
    scale: float = 1.0
    full: float = 1.0  # marks of a unit that is wholly right, on the paper's scale
    combine: Combine = "mean"
    unit: Mapping[str, Any] = field(default_factory=dict)
    part: str = ""
    paper: Mapping[str, float] = field(default_factory=dict)
    trap: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    offline: Mapping[str, Any] = field(default_factory=dict)
    paligemma: Mapping[str, Any] = field(default_factory=dict)
    boxes: bool = False

    def as_dict(self) -> dict[str, Any]:
        """What a reader of numbers must know: name, task, metric, the paper's name and numbers, and the trap."""
        named = {"of": self.of, "same": self.same} if self.of else {}
        return {"benchmark": self.name, "task": self.task, "metric": self.metric, **named} | {
            key: found for key, found in (("paper", dict(self.paper)), ("trap", self.trap)) if found
        }


@dataclass(frozen=True, kw_only=True)
class Row:
    """One benchmark: what every model reached, and each model's difference from the first."""

    benchmark: Benchmark
    scores: Mapping[str, Score]  # by the name that the caller gave the model
    differences: Mapping[str, Difference]  # likewise; the first model has none

    def as_dict(self) -> dict[str, Any]:
        """The form of a row in `benchmarks.json`."""
        return self.benchmark.as_dict() | {
            "scores": {name: score.as_dict() for name, score in self.scores.items()},
            "differences": {name: found.as_dict() for name, found in self.differences.items()},
        }


@cache
def paper_benchmarks() -> Mapping[str, Benchmark]:
    """The sixteen of the paper by our names, and ChartQA's human half, in the paper's order.

    Example:
        >>> [name for name, one in paper_benchmarks().items() if not one.same]
        ['refcoco-box', 'mmbench-v1.0']
    """
    text = resources.files("auditdm.runs").joinpath("benchmarks.yaml").read_text("utf-8")
    found: dict[str, dict[str, Any]] = yaml.safe_load(text)
    return {name: Benchmark(name=name, **fields) for name, fields in found.items()}


def run_benchmarks(
    models: Mapping[str, ModelSpec | str],
    benchmarks: Sequence[Benchmark | str],
    run: Run | str | Path,
    *,
    rows: str | Path | None = None,
    tasks: str | Path | None = None,
    limit: int | None = None,
    tell: Tell = quiet,
) -> list[Row]:
    """Measure models on benchmarks, and each model's difference from the first on the same questions.

    Args:
        models: By the name that the table gives them ("before", "after", ...). The first is what others are compared with.
            A spec's `max_new_tokens` is the limit, whatever the task asks for: 32 are enough for all of the sixteen but
            captions (64) and models that think first. The weights in a folder are taken to stay as they are.
        benchmarks: Names from `paper_benchmarks`, names of lmms-eval's own tasks or of those in `tasks`, or a `Benchmark`.
        run: Where scores and answers go: a run that is open for writing, or a folder, which is then a run of its own.
        rows: A folder that holds, for each benchmark, a folder of its name with a saved `DatasetDict` or Parquet files;
            nothing is then fetched from the hub's data sets. None: as each task says, from the hub or its cache.
        tasks: A folder of tasks of your own, in lmms-eval's format.
        limit: So many questions of each benchmark, the first; None: all.
        tell: Called with ("benchmark", score.as_dict()) after each benchmark of each model.

    Returns:
        One row per benchmark, in order. A question that got no reply, or shows several pictures, is void: counted in
        `asked`, never in `value`, which lmms-eval makes of the others.

    Raises:
        ConfigError: lmms-eval is not installed, an unknown benchmark, rows that are missing.
        ModelError: A model cannot be loaded, or failed as a whole. What was measured is kept.
        StoreError: The folder belongs to another configuration.

    Source: arXiv:2512.16921, its two tables of sixteen benchmarks. Differs: see `trap` of each.

    Cost: N answers per model and benchmark; a process with lmms-eval per model that has something left to answer.
    """
    asked = [_benchmark(one) for one in benchmarks]
    specs = {name: ModelSpec.model_validate(spec) for name, spec in models.items()}
    _check(asked, rows, limit)
    with ExitStack() as closing:
        if not isinstance(run, Run):
            told: dict[str, Any] = {"benchmarks": [one.name for one in asked], "limit": limit}
            told |= {"rows": None if rows is None else str(rows), "tasks": None if tasks is None else str(tasks)}
            told["models"] = {name: spec.model_dump(mode="json") for name, spec in specs.items()}
            run = closing.enter_context(Run.open(run, told, environment()))
        scores = {
            name: _scores_of(
                name, spec, asked, run, {"rows": _whole(rows), "tasks": _whole(tasks), "limit": limit}, tell
            )
            for name, spec in specs.items()
        }
        first = next(iter(specs))
        table = [
            Row(
                benchmark=one,
                scores={name: found[one.name] for name, found in scores.items()},
                differences={
                    name: difference(scores[first][one.name], found[one.name])
                    for name, found in scores.items()
                    if name != first
                },
            )
            for one in asked
        ]
        run.write_json("benchmarks.json", [row.as_dict() for row in table])
    return table


def in_words(table: Sequence[Row]) -> str:
    """Write rows for a terminal: one line per model, and one for each benchmark that is not what the paper names.

    Example:
        >>> half = Score(model="a", benchmark="pope", combine="mean", full=100, value=50.0,
        ...              units=(Unit(id="1", score=0.0), Unit(id="2", score=100.0), Unit(id="3", problem="mute")))
        >>> print(in_words([Row(benchmark=paper_benchmarks()["pope"], scores={"a": half}, differences={})]))
        pope  a: 50.0, scored 2 of 3
    """
    lines = []
    for row in table:
        if not row.benchmark.same:
            lines.append(f"{row.benchmark.name}  is not the paper's {row.benchmark.of}: {row.benchmark.trap}")
        for name, score in row.scores.items():
            value = "nothing measured" if score.value is None else f"{score.value:.1f}"
            line = f"{row.benchmark.name}  {name}: {value}, scored {score.scored} of {len(score.units)}"
            found = row.differences.get(name)
            if found is not None and found.value is not None:
                low, high = found.interval or (None, None)
                sure = f"no interval ({found.remark})" if low is None else f"95% {low:+.1f} to {high:+.1f}"
                line += f"; {found.value:+.1f} on the same {found.pairs}, {sure}"
            lines.append(line)
    return "\n".join(lines)


def _benchmark(named: Benchmark | str) -> Benchmark:
    if isinstance(named, Benchmark):
        return named
    return paper_benchmarks().get(named) or Benchmark(name=named, task=named)


def _check(benchmarks: Sequence[Benchmark], rows: str | Path | None, limit: int | None) -> None:
    """Refuse, before any model is loaded, what could not be measured."""
    if limit is not None and limit < 1:
        raise ConfigError(f"limit is {limit}; it must be at least 1, or absent for all questions.")
    names = [one.name for one in benchmarks]
    if not names or len(set(names)) < len(names):
        raise ConfigError(f"benchmarks are {', '.join(names) or 'none'}; name at least one, and each once.")
    lacking = [name for name in names if rows is not None and not (Path(rows) / name).is_dir()]
    if lacking:
        known = sorted(part.name for part in Path(rows or "").glob("*") if part.is_dir())
        near = difflib.get_close_matches(lacking[0], known, 1)
        meant = f" Did you mean {near[0]!r}?" if near else ""
        raise ConfigError(
            f"{rows}: there is no folder {lacking[0]!r} with the rows of that benchmark.{meant} "
            f"There are: {', '.join(known) or 'none'}."
        )


def _whole(folder: str | Path | None) -> str | None:
    return None if folder is None else str(Path(folder).expanduser().resolve())


def _scores_of(
    name: str, spec: ModelSpec, benchmarks: Sequence[Benchmark], run: Run, given: Mapping[str, Any], tell: Tell
) -> dict[str, Score]:
    """One model's scores: those in the run folder, and the rest asked in a process of its own."""
    kept = {one.name: _place(spec, one, given) for one in benchmarks}
    left = [one for one in benchmarks if not (run.path / kept[one.name]).exists()]
    if left:
        by_name = {one.name: one for one in left}
        for found in _asked(spec, left, given):
            run.write_json(kept[found["benchmark"]], found | {"model": spec.model})
            tell("benchmark", _read(name, by_name[found["benchmark"]], found).as_dict())
    return {
        one.name: _read(name, one, json.loads((run.path / kept[one.name]).read_text("utf-8"))) for one in benchmarks
    }


def _place(spec: ModelSpec, benchmark: Benchmark, given: Mapping[str, Any]) -> str:
    """Where in the run folder the scores are: the same for whatever makes the same scores."""
    decides = [spec.model_dump(mode="json", include=_DECIDES), asdict(benchmark), given]
    name = "".join(letter if letter.isalnum() or letter in "-." else "_" for letter in benchmark.name)
    return f"{_FOLDER}/{name}-{content_id(json.dumps(decides, sort_keys=True, default=str))}.json"


def _read(name: str, benchmark: Benchmark, found: Mapping[str, Any]) -> Score:
    return Score(
        model=name,
        benchmark=benchmark.name,
        combine=benchmark.combine,
        full=benchmark.full,
        units=tuple(Unit(**unit) for unit in found["units"]),
        value=found["value"],
        revision=found["revision"],
    )


def _asked(spec: ModelSpec, benchmarks: Sequence[Benchmark], given: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Each benchmark's scores, as the other process is done with it."""
    if find_spec("lmms_eval") is None:
        raise ConfigError(f"lmms-eval is not installed, and the benchmarks are its tasks. Install it: {INSTALL}")
    with tempfile.TemporaryDirectory(prefix="auditdm-benchmarks-") as folder:
        request = Path(folder) / "request.json"
        told = {"model": spec.model_dump(mode="json"), "benchmarks": [asdict(one) for one in benchmarks], **given}
        request.write_text(json.dumps(told), "utf-8")
        log = Path(folder) / "log.txt"
        with log.open("w+b") as heard:
            child = subprocess.Popen(
                [sys.executable, "-m", "auditdm.runs.benchmark_asking", str(request)],
                stdout=subprocess.PIPE,
                stderr=heard,
                env=_surroundings(offline=given["rows"] is not None),
                text=True,
                encoding="utf-8",
            )
            try:
                assert child.stdout is not None, "it is a pipe"
                for line in child.stdout:
                    found = json.loads(Path(line.strip()).read_text("utf-8"))
                    if "error" in found:
                        raise _ERRORS.get(found["error"], AuditError)(found["text"])
                    yield found
                ended = child.wait()
            finally:
                child.kill()
                child.wait()
        if ended:
            last = log.read_text("utf-8", errors="replace").strip().splitlines()[-12:]
            raise ModelError(f"{spec.model}: {_end(ended)}. Its last words:\n" + "\n".join(last))


def _surroundings(*, offline: bool) -> dict[str, str]:
    """The environment of the other process: what can be imported here can be imported there."""
    path = os.pathsep.join(part for part in sys.path if part)
    return os.environ | {"PYTHONPATH": path, **({"HF_DATASETS_OFFLINE": "1"} if offline else {})}


def _end(code: int) -> str:
    how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
    return f"the process that asks it the benchmarks ended with {how}"
