"""One audit of a target with many planted slices: does it succeed often, and name many?

    python -m auditdm.sandbox.many [SEED ...]

Each seed is a run of its own, runs/many-SEED, and can be interrupted and given again.
"""

from __future__ import annotations

import json
import sys
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from auditdm.config import AuditConfig, parse_config
from auditdm.environment import environment
from auditdm.runs.auditing import perform
from auditdm.runs.auditor_training import Tell
from auditdm.runs.ledger_keeping import ledger_figures
from auditdm.runs.reporting import report
from auditdm.runs.roles import fill_roles
from auditdm.runs.stages import quiet
from auditdm.sandbox.truth import confirmed_types, figures, tell_truth
from auditdm.sandbox.zoo import ZOO
from auditdm.store import Run
from auditdm.terminal import Terminal

_SHOWN = (
    "search_success", "search_success_prompt_only", "validity", "true_failure_precision", "distinct_failure_types",
    "distinct_failure_types_confirmed", "modes_confirmed", "confirmed_in_no_slice", "calls_per_confirmed_gap",
)  # fmt: skip


def many_config(seed: int = 0, **changes: Any) -> AuditConfig:
    """The configuration, sandbox/many.yaml."""
    told = yaml.safe_load(resources.files("auditdm.sandbox").joinpath("many.yaml").read_text("utf-8"))
    return parse_config({**told, "seed": seed, **changes}, "sandbox/many.yaml")


def many(path: str | Path, config: AuditConfig, tell: Tell = quiet) -> dict[str, Any]:
    """Audit, ask the oracle afterwards, and write summary.json and the report; an interrupted audit is resumed.

    Args:
        path: The run folder.
        config: Its target is of the zoo.
        tell: Called with (event, values) while it goes.

    Returns:
        The figures of docs/run-folder.md that need no repair.

    Cost: a quarter of an hour on 2 cores.
    """
    gaps = ZOO[config.target.model.removeprefix("sandbox/")].gaps
    with Run.open(path, config.model_dump(mode="json"), environment()) as run:
        perform(run, config, fill_roles(config), tell)
        tell_truth(run, gaps)
        summary: dict[str, Any] = {**figures(run), **ledger_figures(run), **confirmed_types(run), "seed": config.seed}
        run.write_json("summary.json", summary)
        run.finish()
    report(path)
    return summary


if __name__ == "__main__":
    for asked in [int(s) for s in sys.argv[1:]] or [0]:
        with Terminal() as terminal:
            found = many(Path("runs") / f"many-{asked}", many_config(asked), terminal.tell)
        print(json.dumps({"seed": asked, **{name: found.get(name) for name in _SHOWN}}, indent=1))
