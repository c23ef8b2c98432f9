"""`make bench`: the demo over several seeds, and the median and range of every figure.

Each seed is a run of its own, runs/bench-SEED, and can be interrupted and given again.
"""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from auditdm.sandbox.demo import demo, demo_config
from auditdm.terminal import Terminal

SEEDS = (0, 1, 2)


def bench(seeds: Sequence[int] = SEEDS, root: Path = Path("runs")) -> dict[str, dict[str, Any]]:
    """Run the demo with each seed; returns, by figure, its values in the order of the seeds, median, least and most.

    Cost: one demo per seed.
    """
    summaries = []
    for seed in seeds:
        with Terminal() as terminal:
            summaries.append(demo(root / f"bench-{seed}", config=demo_config(seed), tell=terminal.tell))
    told = [dict(_numbers(s)) for s in summaries]
    names = [n for n in told[0] if all(n in t for t in told)]
    table = {n: _spread([t[n] for t in told]) for n in names}
    (root / "bench.json").write_text(json.dumps({"seeds": list(seeds), "figures": table}, indent=1))
    return table


def _spread(values: list[float]) -> dict[str, Any]:
    return {"median": statistics.median(values), "least": min(values), "most": max(values), "values": values}


def _numbers(found: Mapping[str, Any], path: str = "") -> list[tuple[str, float]]:
    """Every number of a summary, a rate by its value, under a dotted name."""
    told: list[tuple[str, float]] = []
    for name, value in found.items():
        where = f"{path}.{name}" if path else name
        if isinstance(value, Mapping) and "ci95" in value:
            if value["value"] is not None:
                told.append((where, float(value["value"])))
        elif isinstance(value, Mapping):
            told += _numbers(value, where)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            told.append((where, float(value)))
    return told


if __name__ == "__main__":
    for name, spread in bench([int(s) for s in sys.argv[1:]] or SEEDS).items():
        print(f"{name:70} {spread['median']:9.3f}  {spread['least']:9.3f} to {spread['most']:9.3f}")
