"""The ledger of a run in short, for a terminal and for scripts.

Reads rows, writes nothing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from rich.table import Column, Table
from rich.text import Text

from auditdm.runs.ledger_exhibits import STATES
from auditdm.stats import Rate
from auditdm.store import Run


def ledger_of(run: Run) -> dict[str, Any]:
    """Every tested mode with its figures, findings first, those that surely fail most before others.

    Returns:
        `findings`: of each `id`, `name`, `state`, `reason`, `rate`, `beside` (other questions on the same pictures),
            `again` (asked in other words) and `q`; only those in the state "confirmed" are findings. None where nothing
            was searched for: unmeasured is not none.
        `stopped`: why the search ended, or None.
    """
    told = run.path / "search.json"
    if not told.exists():
        return {"findings": None, "stopped": None}
    found = [
        {
            **{key: row[key] for key in ("id", "name", "state", "reason", "q")},
            "rate": Rate(row["hits"], row["asked"], row["void"]).as_dict(),
            "beside": Rate(row["base_hits"], row["base_asked"]).as_dict(),
            "again": Rate(row["again_hits"], row["again_asked"]).as_dict(),
        }
        for row in run.rows("findings")
    ]
    order = {state: n for n, state in enumerate(STATES)}  # a state that nobody knows comes last
    surely = [f["rate"]["ci95"][0] if f["state"] == "confirmed" and f["rate"]["ci95"] else 0.0 for f in found]
    ranked = sorted(range(len(found)), key=lambda n: (order.get(found[n]["state"], len(order)), -surely[n]))
    return {"findings": [found[n] for n in ranked], "stopped": json.loads(told.read_text())["stopped"]}


def table_of(ledger: Mapping[str, Any]) -> Table:
    """A line for each tested mode, in 80 columns."""
    figures = (Column(name, justify="right", no_wrap=True) for name in ("fail", "95%", "beside"))
    table = Table(Column("failure mode", ratio=1), *figures, "state", box=None, padding=(0, 2, 0, 0), expand=True)
    for mode in ledger["findings"] or ():
        rate, beside = mode["rate"], mode["beside"]
        between = " to ".join(f"{end:.2f}" for end in rate["ci95"]) if rate["ci95"] else "-"
        table.add_row(
            Text(mode["name"]), f"{rate['hits']}/{rate['asked']}", between, f"{beside['hits']}/{beside['asked']}",
            mode["state"],
        )  # fmt: skip
    return table
