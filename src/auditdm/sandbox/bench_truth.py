"""`make bench-truth`: how much the search finds of what was planted, and how often it cries wolf.

    python -m auditdm.sandbox.bench_truth [SEEDS] [clean] [prompt-only] [zoo]

The stand-in audits the shipped gap file with each seed; then clean twins alone, a hundred seeds of them; then the same
file without looking closer; then the zoo's own auditor. Each part is written to runs/truth-PART.json as it is done.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any

from auditdm.runs.searching import Effort
from auditdm.sandbox.gap_files import GapFile, OrganismSpec, load_gaps
from auditdm.sandbox.selftest import selftest
from auditdm.sandbox.standin import Author

CLEAN_TWINS = 100
_SHOWN = ("gap_recall", "gap_fdr", "clean_twin_reports", "distractor_reports", "shared_reported_as_own", "predicate_exact",
          "interval_coverage", "calls_per_confirmed_gap", "canary_share", "seconds_per_audit")  # fmt: skip


def shipped_gaps() -> GapFile:
    """The gap file that comes with the package."""
    with resources.as_file(resources.files("auditdm.sandbox") / "gaps.yaml") as path:
        return load_gaps(path)


def main(seeds: int, parts: list[str], root: Path = Path("runs")) -> None:
    """Measure the parts that are asked for; all of them where none is."""
    root.mkdir(exist_ok=True)
    parts = parts or ["gaps", "clean", "prompt-only", "zoo"]
    gaps = shipped_gaps()
    if "gaps" in parts:
        _keep(root / "truth-gaps.json", selftest(gaps, seeds=range(seeds), tell=_tell))
    if "clean" in parts:
        twins = GapFile((OrganismSpec("clean twin", base_error=0.02),), gaps.references)
        _keep(root / "truth-clean.json", selftest(twins, seeds=range(100, 100 + CLEAN_TWINS), tell=_tell))
    if "prompt-only" in parts:
        _keep(
            root / "truth-prompt-only.json", selftest(gaps, seeds=range(seeds), effort=Effort(focus=False), tell=_tell)
        )
    if "zoo" in parts:
        taught = replace(gaps, organisms=gaps.organisms[:12])
        _keep(root / "truth-zoo.json", selftest(taught, seeds=range(min(3, seeds)), author=zoo_author(), tell=_tell))


def zoo_author() -> Author:
    """The zoo's auditor, untrained by any audit, sampling."""
    from auditdm.backends.local import TransformersModel
    from auditdm.sandbox.zoo import model_folder
    from auditdm.sandbox.zoo_author import ZooAuthor

    model = TransformersModel(
        model_folder("auditor"), name="sandbox/auditor", temperature=1.0, max_new_tokens=48, batch=256
    )
    return ZooAuthor(model)


def _tell(_event: str, values: Mapping[str, Any]) -> None:
    audit = values["audit"]
    found = sum(p["found_as"] is not None for p in audit.planted)
    false = sum(r["gap"] is None for r in audit.reports)
    print(
        f"seed {audit.seed} {audit.organism}: {found} of {len(audit.planted)} gaps, {false} false, "
        f"{audit.found.calls} calls, {audit.seconds:.0f} s", flush=True,
    )  # fmt: skip


def _keep(path: Path, found: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(found, indent=1) + "\n")
    print(path)
    for name in _SHOWN:
        print(f"  {name:26} {json.dumps(found[name])}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10, sys.argv[2:])
