"""`make bench-truth`: how much the search finds of what was planted, and how often it cries wolf.

    python -m auditdm.sandbox.bench_truth [SEEDS] [gaps] [drawn] [clean] [prompt-only] [zoo] [zoo-wide]

SEEDS is how many (10: 0 to 9) or from which to which (25-30: gap files that were not looked at before).
The stand-in audits the shipped gap file with each seed; then gaps that are drawn by chance, other ones for each seed; then
clean twins alone, a hundred of them; then the shipped file without looking closer; then two auditors of the zoo, one that
was taught what the zoo's references know and one that was taught the whole language. Each part is written to
runs/truth-PART.json. Seeds are audited side by side, one process a core; what a seed brought is kept in runs/truth-PART/,
so an interrupted bench goes on.
"""

from __future__ import annotations

import json
import os
import pickle
import sys
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from importlib import resources
from itertools import chain
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from auditdm.runs.searching import Effort
from auditdm.sandbox.drawn_gaps import drawn
from auditdm.sandbox.gap_files import GapFile, OrganismSpec, load_gaps
from auditdm.sandbox.selftest import Audited, audits_of, told
from auditdm.sandbox.standin import Author

PARTS = ("gaps", "drawn", "clean", "prompt-only", "zoo", "zoo-wide")
_AUTHORS = {"zoo": "sandbox/auditor", "zoo-wide": "sandbox/auditor-wide"}
_SHOWN = ("gap_recall", "gap_fdr", "outside_every_gap", "clean_twin_reports", "distractor_reports", "shared_reported_as_own",
          "predicate_exact", "interval_coverage", "calls_per_confirmed_gap", "canary_share", "seconds_per_audit")  # fmt: skip


def shipped_gaps() -> GapFile:
    """The gap file that comes with the package."""
    with resources.as_file(resources.files("auditdm.sandbox") / "gaps.yaml") as path:
        return load_gaps(path)


def main(seeds: range, parts: list[str], root: Path = Path("runs")) -> None:
    """Measure the parts that are asked for; all of them where none is."""
    if wrong := sorted(set(parts) - set(PARTS)):
        raise SystemExit(f"There is no part {wrong[0]!r}; parts: {', '.join(PARTS)}.")
    for part in parts or PARTS:
        file, asked = _measured(part, seeds)
        kept = root / f"truth-{part}"
        kept.mkdir(parents=True, exist_ok=True)
        with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as pool:
            audits = list(chain.from_iterable(pool.map(partial(_of_seed, part, file, kept), asked)))
        _keep(root / f"truth-{part}.json", told(file, audits))


def seeds_of(said: str) -> range:
    """So many seeds, or those from the one to the other.

    Example:
        >>> seeds_of("10"), seeds_of("25-30")
        (range(0, 10), range(25, 31))
    """
    first, _, last = said.partition("-")
    if not first.isdigit() or (last and not last.isdigit()) or said.endswith("-"):
        raise SystemExit(f"The seeds are {said!r}; give a number such as 10, or two such as 25-30.")
    return range(int(first), int(last) + 1) if last else range(int(first))


def _measured(part: str, seeds: range) -> tuple[GapFile, range]:
    """Who is audited, and with which seeds."""
    gaps = shipped_gaps()
    if part == "drawn":
        organisms = tuple(chain.from_iterable(drawn(seed).organisms for seed in seeds))
        return GapFile(organisms, gaps.references), seeds
    if part == "clean":  # a hundred twins; those of a seed share its proposals
        twins = (OrganismSpec(f"clean twin {n}", base_error=0.02) for n in range(10))
        return GapFile(tuple(twins), gaps.references), range(100, 110)
    if part in _AUTHORS:
        return replace(gaps, organisms=gaps.organisms[:12]), seeds[:3]
    return gaps, seeds


def _of_seed(part: str, file: GapFile, kept: Path, seed: int) -> list[Audited]:
    """The audits of one seed, from the last time if they were made then."""
    path = kept / f"{seed}.pickle"
    if not path.exists():
        file = drawn(seed) if part == "drawn" else file
        audits = audits_of(
            file, seed, effort=Effort(focus=part != "prompt-only"),
            author=_author(part), tell=_tell,
        )  # fmt: skip
        unfinished = path.with_suffix(".unfinished")
        unfinished.write_bytes(pickle.dumps(audits))
        unfinished.rename(path)
    found: list[Audited] = pickle.loads(path.read_bytes())  # our own file
    return found


def _author(part: str) -> Author | None:
    """Who asks, where it is not the stand-in; on one core, for others audit beside it."""
    if part not in _AUTHORS:
        return None
    import torch

    from auditdm.sandbox.zoo_author import author_of

    torch.set_num_threads(1)
    return author_of(_AUTHORS[part])


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
    main(seeds_of(sys.argv[1] if len(sys.argv) > 1 else "10"), sys.argv[2:])
