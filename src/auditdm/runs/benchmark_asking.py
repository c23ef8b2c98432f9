"""The process in which lmms-eval asks one model its benchmarks: `python -m auditdm.runs.benchmark_asking REQUEST`.

REQUEST is a file that `benchmarks` writes. For each benchmark a file with its scores is written beside it, and its path
printed; where something fails that the user can mend, a file with the error instead.
"""

from __future__ import annotations

import json
import os
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from auditdm.backends.paligemma_boxes import box_in_words
from auditdm.config import ModelSpec
from auditdm.errors import AuditError
from auditdm.runs.benchmark_scores import Unit, combined
from auditdm.runs.benchmarks import Benchmark
from auditdm.runs.roles import model_from
from auditdm.types import Model

if TYPE_CHECKING:
    from auditdm.backends.lmms import Scored

_CUT_OFF = "not all of its questions were asked"


def main(request: Path) -> None:
    """Ask what the request says; print the path of each benchmark's scores as they are there."""
    told = json.loads(request.read_text("utf-8"))
    told_to = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # lmms-eval's tasks print what they like

    def hand_over(name: str, found: Mapping[str, Any]) -> None:
        file = request.with_name(f"{name}.json")
        file.write_text(json.dumps(found), "utf-8")
        print(file, file=told_to, flush=True)

    try:
        spec = ModelSpec.model_validate(told["model"])
        model = model_from(spec)
        os.chdir(request.parent)  # some tasks write files where they are run
        for number, fields in enumerate(told["benchmarks"]):
            hand_over(f"scores-{number}", ask(model, Benchmark(**fields), spec.batch, told))
    except AuditError as problem:
        hand_over("error", {"error": type(problem).__name__, "text": str(problem)})


def ask(model: Model, benchmark: Benchmark, batch: int, given: Mapping[str, Any]) -> dict[str, Any]:
    """Ask one model one benchmark, and count it.

    Args:
        model: Is asked.
        benchmark: What is asked, and how it is counted.
        batch: Questions whose pictures are in memory at a time.
        given: `rows`, `tasks` and `limit`, as `run_benchmarks` has them.

    Returns:
        What is kept of it: `value`, `units` (as `Unit` has them) and `answers`, by the row of the task's data.
    """
    from auditdm.backends import lmms

    paligemma = _is_paligemma(model)
    settings = {**benchmark.settings, **(benchmark.offline if given["rows"] else {})}
    settings |= benchmark.paligemma if paligemma else {}
    task = lmms.load_task(
        benchmark.task,
        settings,
        rows=Path(given["rows"]) / benchmark.name if given["rows"] else None,
        folder=Path(given["tasks"]) if given["tasks"] else None,
    )
    metric = benchmark.metric or next(iter(task.aggregation()))
    rewrite = box_in_words if benchmark.boxes and paligemma else None
    found = lmms.ask_task(model, task, metric, limit=given["limit"], batch=batch, rewrite=rewrite)
    units, whole = [], []
    for name, scored in _together(benchmark, found).items():
        unit = _unit(benchmark, name, scored, lambda of: lmms.counted(task, metric, of))
        units.append(unit)
        whole += [one.scored for one in scored] if unit.problem is None else []
    value: float | None = None
    if benchmark.combine == "cider":
        value = combined([unit for unit in units if unit.caption], "cider", benchmark.full)
    elif whole:
        number = lmms.counted(task, metric, whole)
        value = None if number is None else benchmark.scale * number
    return {
        "benchmark": benchmark.name,
        "metric": metric,
        "prompts": "PaliGemma's" if paligemma and benchmark.paligemma else "the task's",
        "value": value,
        "revision": model.revision,
        "units": [asdict(unit) for unit in units],
        "answers": [{"row": one.doc_id, "text": one.text, "problem": one.problem} for one in found],
    }


def _is_paligemma(model: Model) -> bool:
    """Whether a local model is of that family, which is asked in words of its own."""
    inner = getattr(model, "model", None)
    return getattr(getattr(inner, "config", None), "model_type", None) == "paligemma"


def _together(benchmark: Benchmark, found: Sequence[Scored]) -> dict[str, list[Scored]]:
    """Scored replies by the unit that they belong to."""
    units: dict[str, list[Scored]] = defaultdict(list)
    for one in found:
        name: Any = one.doc_id
        if benchmark.unit:
            name = one.scored[benchmark.unit["field"]]
            name = name % benchmark.unit["modulo"] if "modulo" in benchmark.unit else name
        part = f"{one.scored[benchmark.part]}/" if benchmark.unit and benchmark.part else ""
        units[f"{part}{name}"].append(one)
    return units


def _unit(benchmark: Benchmark, name: str, scored: Sequence[Scored], count: Any) -> Unit:
    part = str(scored[0].scored[benchmark.part]) if benchmark.part else ""
    problem = next((one.problem for one in scored if one.problem is not None), None)
    if problem is None and len(scored) != benchmark.unit.get("size", len(scored)):
        problem = _CUT_OFF
    if problem is not None:
        return Unit(id=name, part=part, problem=problem)
    if benchmark.combine == "cider":
        return Unit(id=name, caption=scored[0].scored)
    score = count([one.scored for one in scored])
    if score is None:
        return Unit(id=name, part=part, problem=_CUT_OFF)
    return Unit(id=name, part=part, score=benchmark.scale * score)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
