"""`auditdm selftest`: the auditor is itself audited, on targets whose weaknesses are known because they were planted.

Source: ours; the scores are those of docs/gaps.md, after arXiv:2207.04104 (discovery and false discovery of blindspots)
and arXiv:2503.08893 (simulated respondents).
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment

from auditdm.backends.cascade import CascadeJudge
from auditdm.backends.judges import ExactJudge
from auditdm.errors import ConfigError
from auditdm.method.confirmation import Entry
from auditdm.runs.searching import Effort, Found, search
from auditdm.sandbox.gap_files import GapFile, OrganismSpec, PlantedGap
from auditdm.sandbox.gap_language import order
from auditdm.sandbox.organisms import Organism, organism_of, references_of
from auditdm.sandbox.standin import Author, Bank, Item, Language, StandIn
from auditdm.stats import Rate

MATCH = 0.5  # Jaccard overlap on the sealed bank of a finding and the planted gap that it stands for
EXACT = 0.8  # and from here on its predicate counts as the planted one
WITHIN = 0.8  # share of a finding's probes in one planted gap from which on it tells of that gap, if only of a part
_SEALED = 25_000  # proposals that no audit sees: what predicates are compared on
Tell = Callable[[str, Mapping[str, Any]], None]


@dataclass(frozen=True, kw_only=True)
class Banks:
    """The proposals of one seed: for discovery, for confirmation, and sealed ones, valid all, which no audit sees."""

    discovery: Bank
    fresh: Bank
    sealed: tuple[Item, ...]  # of the language: what predicates are compared on
    own: tuple[Item, ...]  # of the author: what a finding's rate is the rate of


def banks_of(author: Author, seed: int, budget: int, sealed: tuple[Item, ...]) -> Banks:
    """Make the proposals of a seed. Cost: about 2 * budget proposals, and 25,000 more by another author than the stand-in."""
    size = max(2_000, round(1.5 * budget))
    own = sealed
    if not isinstance(author, Language):
        own = tuple(i for i in Bank(-2 - seed, _SEALED, author).items if i.views)
    return Banks(
        discovery=Bank(3 * seed + 1, size, author),
        fresh=Bank(3 * seed + 2, max(1_000, size // 2), author),
        sealed=sealed,
        own=own,
    )


@cache
def sealed_items() -> tuple[Item, ...]:
    """Valid proposals by the language itself, from a seed of their own, whoever the auditor is."""
    return tuple(i for i in Bank(-1, _SEALED, Language()).items if i.views)


@dataclass(frozen=True, kw_only=True)
class Audited:
    """One organism audited once."""

    organism: str
    seed: int
    found: Found
    planted: tuple[dict[str, Any], ...]  # each gap, with the finding that stands for it if there is one
    reports: tuple[dict[str, Any], ...]  # each finding, with the planted gap that it stands for if there is one
    rewarded: Rate  # canaries among what the auditor would have been paid for
    valid: Rate  # of the failures claimed in discovery: on questions that have an answer
    true: Rate  # and on which the target was wrong
    seconds: float
    reference_calls: int


def selftest(
    file: GapFile,
    *,
    seeds: Sequence[int] = (0,),
    effort: Effort | None = None,
    author: Author | None = None,
    tell: Tell = lambda _event, _values: None,
) -> dict[str, Any]:
    """Audit every organism of a gap file and score the auditor.

    Args:
        file: Who is audited (docs/gaps.md).
        seeds: Each audits every organism once, with other proposals and other errors.
        effort: Budget and thresholds; those of `Effort` when None.
        author: Who proposes; the stand-in when None.
        tell: Called with ("audited", values) after each audit.

    Returns:
        The figures of `scores`, and every audit with its ledger.

    Raises:
        ConfigError: A gap holds of no question that could be asked.
        ModelError: The author is a model and cannot answer.

    Cost: some twenty seconds an audit; target calls are arithmetic.
    """
    return told(file, [a for seed in seeds for a in audits_of(file, seed, effort=effort, author=author, tell=tell)])


def audits_of(
    file: GapFile,
    seed: int,
    *,
    effort: Effort | None = None,
    author: Author | None = None,
    tell: Tell = lambda _event, _values: None,
) -> list[Audited]:
    """The audits of one seed, of every organism in order."""
    effort = effort or Effort()
    _check_gaps(file)
    banks = banks_of(author or Language(), seed, effort.budget, sealed_items())
    found = []
    for spec in file.organisms:
        found.append(audited(file, spec, seed, banks, effort))
        tell("audited", {"organism": spec.name, "seed": seed, "audit": found[-1]})
    return found


def _check_gaps(file: GapFile) -> None:
    """Refuse what no audit could find: it would count as missed."""
    for spec in file.organisms:
        for gap in spec.gaps:
            if not _extension(gap, sealed_items()).any():
                raise ConfigError(
                    f"organism {spec.name!r}: the gap {gap.name!r} ({gap.where.words()}) holds of none of "
                    f"{len(sealed_items()):,} questions of the sandbox, so no audit could find it. Correct its `where`. "
                    "Words that the sandbox does not know are for gaps in a real model (docs/gaps.md)."
                )


def told(file: GapFile, audits: Sequence[Audited]) -> dict[str, Any]:
    """The figures of `scores`, and every audit with its ledger, as `selftest` returns them."""
    return {**scores(file, audits), "audits": [_told(a) for a in audits]}


def audited(file: GapFile, spec: OrganismSpec, seed: int, banks: Banks, effort: Effort) -> Audited:
    """One audit of one organism."""
    began = time.perf_counter()
    target = organism_of(spec, seed)
    prober = StandIn(banks.discovery, banks.fresh, target, references_of(file, spec, seed), _same)
    found = search(prober, effort)
    valid = [r for r in prober.rewarded if r.truth.answer is not None]
    wrong = [
        r for r in valid
        if not _same(r.question, target.reply(r.scene, r.question, r.truth, r.changed), str(r.truth.answer))
    ]  # fmt: skip
    paid = len(prober.rewarded)
    planted, reports = _matched(spec, target, found, banks)
    return Audited(
        organism=spec.name, seed=seed, found=found, planted=planted, reports=reports, rewarded=Rate(paid - len(valid), paid),
        valid=Rate(len(valid), paid), true=Rate(len(wrong), paid), seconds=time.perf_counter() - began,
        reference_calls=prober.reference_calls,
    )  # fmt: skip


_EXACT_JUDGE, _CASCADE = ExactJudge(), CascadeJudge()


def _same(question: str, one: str, other: str) -> bool | None:
    """By the rules of the cascade, so that a style is no error, and exactly where they cannot tell (names of shapes)."""
    exact = _EXACT_JUDGE.same([(question, one, other)])[0]
    if exact:
        return True
    ruled = _CASCADE.same([(question, one, other)])[0]
    return exact if ruled is None else ruled


def _matched(
    spec: OrganismSpec, target: Organism, found: Found, banks: Banks
) -> tuple[tuple[dict[str, Any], ...], tuple[dict[str, Any], ...]]:
    """Findings and planted gaps, one to one, by overlap on the sealed proposals; true rates on the author's own."""
    sealed = banks.sealed
    held = [_extension(gap, sealed) for gap in spec.gaps]
    said = [np.fromiter((e.predicate.holds(i.views) for i in sealed), bool, len(sealed)) for e in found.confirmed]
    overlap = np.array([[_jaccard(h, s) for s in said] for h in held]).reshape(len(held), len(said))
    pairs = {int(g): int(r) for g, r in zip(*linear_sum_assignment(-overlap), strict=True) if overlap[g, r] >= MATCH}
    planted = tuple(
        {
            "gap": gap.name, "where": gap.where.words(), "error": gap.error, "order": order(gap.where),
            "prevalence": float(h.mean()), "shared_with": gap.shared_with,
            "found_as": found.confirmed[pairs[g]].predicate.words() if g in pairs else None,
            "jaccard": float(overlap[g, pairs[g]]) if g in pairs else (float(overlap[g].max()) if said else 0.0),
        }
        for g, (gap, h) in enumerate(zip(spec.gaps, held, strict=True))
    )  # fmt: skip
    of_report = {r: g for g, r in pairs.items()}
    reports = []
    for r, (e, s) in enumerate(zip(found.confirmed, said, strict=True)):
        gap, size = spec.gaps[of_report[r]] if r in of_report else None, int(s.sum())
        risks = [target.risk(i.scene, i.question, i.truth, i.changed) for i in banks.own if e.predicate.holds(i.views)]
        truly = float(np.mean(risks)) if risks else None
        within = any(int((h & s).sum()) >= WITHIN * size for h in held) and size > 0
        reports.append(_report(e, gap, truly, within))
    return planted, tuple(reports)


def _report(e: Entry, gap: PlantedGap | None, truly: float | None, within: bool) -> dict[str, Any]:
    interval = e.evidence.inside.interval
    return {
        "predicate": e.predicate.words(), "rate": e.evidence.inside.as_dict(), "q": e.q, "gap": gap.name if gap else None,
        "shared": bool(gap and gap.shared_with), "true_rate": truly, "within_a_gap": within,
        "covered": None if truly is None or interval is None else interval[0] <= truly <= interval[1],
    }  # fmt: skip


@cache
def _extension(gap: PlantedGap, sealed: tuple[Item, ...]) -> np.ndarray:
    return np.fromiter((gap.where.holds(i.scene, i.question, i.truth, i.changed) for i in sealed), bool, len(sealed))


def _jaccard(one: np.ndarray, other: np.ndarray) -> float:
    either = int((one | other).sum())
    return int((one & other).sum()) / either if either else 0.0


# ---------------------------------------------------------------- scores


def scores(file: GapFile, audits: Sequence[Audited]) -> dict[str, Any]:
    """The figures that planted gaps give, each rate with its denominator.

    Own gaps are those that no reference shares; an organism is clean where it has none and no odd style, a distractor
    where only its style or its steadiness is odd.
    """
    specs = {s.name: s for s in file.organisms}
    own = [p for a in audits for p in a.planted if not p["shared_with"]]
    shared = [p for a in audits for p in a.planted if p["shared_with"]]
    reports = [r for a in audits for r in a.reports]
    covered = [r["covered"] for r in reports if r["covered"] is not None]
    matched = [p for p in own if p["found_as"] is not None]
    true = sum(r["gap"] is not None and not r["shared"] for r in reports)
    clean = [a for a in audits if _is_clean(specs[a.organism])]
    odd = [a for a in audits if not specs[a.organism].gaps and not _is_clean(specs[a.organism])]
    with_gaps = [a for a in audits if specs[a.organism].gaps]
    calls = sum(a.found.calls for a in with_gaps)
    seconds = [round(a.seconds, 2) for a in audits]
    paid = [a.rewarded for a in audits]
    return {
        "gap_recall": _share(p["found_as"] is not None for p in own),
        "gap_recall_by": _by_kind(own),
        "gap_fdr": _share(r["gap"] is None for r in reports),
        "outside_every_gap": _share(r["gap"] is None and not r["within_a_gap"] for r in reports),
        "clean_twin_reports": {"reports": sum(len(a.reports) for a in clean), "audits": len(clean)},
        "distractor_reports": {"reports": sum(len(a.reports) for a in odd), "audits": len(odd)},
        "shared_reported_as_own": _share(p["found_as"] is not None for p in shared),
        "predicate_exact": _share(p["jaccard"] >= EXACT for p in matched),
        "interval_coverage": _share(covered),
        "calls_per_confirmed_gap": round(calls / true, 1) if true else None,
        "calls": {"median": median(a.found.calls for a in audits), "most": max(a.found.calls for a in audits)},
        "canary_share": Rate(sum(p.hits for p in paid), sum(p.asked for p in paid)).as_dict(),
        "validity_of_claims": Rate(sum(a.valid.hits for a in audits), sum(a.valid.asked for a in audits)).as_dict(),
        "true_failure_precision": Rate(sum(a.true.hits for a in audits), sum(a.true.asked for a in audits)).as_dict(),
        "seconds_per_audit": {"median": round(median(seconds), 2), "most": max(seconds)},
    }  # fmt: skip


def _is_clean(spec: OrganismSpec) -> bool:
    canary = spec.references.canary if spec.references else 0.0
    return not (spec.gaps or spec.flicker or canary) and spec.style == "plain"


def _by_kind(planted: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Recall of what is meant to be found often, and of what is meant to be hard; and by strength."""

    def hard(p: Mapping[str, Any]) -> bool:
        return bool(p["order"] >= 3 or p["prevalence"] < 0.02)

    kinds: dict[str, Callable[[Mapping[str, Any]], bool]] = {
        "order 1-2, at least 2%": lambda p: not hard(p),
        "order 1-2, at least 2%, d >= .6": lambda p: not hard(p) and p["error"] >= 0.6,
        "order 1-2, at least 2%, d < .6": lambda p: not hard(p) and p["error"] < 0.6,
        "order 3, or under 2%": hard,
        "under 1%": lambda p: p["prevalence"] < 0.01,
    }
    return {name: _share(p["found_as"] is not None for p in planted if fits(p)) for name, fits in kinds.items()}


def _share(hits: Any) -> dict[str, Any]:
    all_ = list(hits)
    return Rate(sum(all_), len(all_)).as_dict()


def _told(a: Audited) -> dict[str, Any]:
    return {
        "organism": a.organism, "seed": a.seed, "calls": a.found.calls, "reference_calls": a.reference_calls,
        "stopped": a.found.stopped, "curve": [list(point) for point in a.found.curve], "unseen": a.found.unseen,
        "usual": a.found.usual.as_dict(), "planted": list(a.planted), "reports": list(a.reports),
        "ledger": [{"predicate": e.predicate.words(), "state": e.state, "reason": e.reason} for e in a.found.entries],
        "seconds": round(a.seconds, 2),
    }  # fmt: skip


def write(found: Mapping[str, Any], path: Path) -> None:
    """Keep the figures where `auditdm report` finds them; the file is whole or as it was."""
    unfinished = path.with_name(f".{path.name}.tmp")
    unfinished.write_text(json.dumps(found, indent=1) + "\n")
    unfinished.replace(path)
