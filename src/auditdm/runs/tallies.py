"""The counts of a run: arms, outcomes, scores before and after, what was left out, what it cost.

Nothing here is a bare rate: each is a `Rate` with hits, asked and void, or None where nothing was measured.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from auditdm.runs.exhibits import Evidence, Row
from auditdm.stats import Rate

ARMS = {
    "trained": "Trained auditor",
    "prompt_only": "Prompt only",
    "paper_reward": "Paper's reward",
    "modes": "Failure modes, asked again",
    "pool": "The pool's own questions",
}
MODELS = {
    "before": "Target before",
    "after": "After repair",
    "control": "Random control",
    "larger": "Larger sibling",
}
OUTCOMES = ("failure", "agreement", "split", "void")
REASONS_SHOWN = 12
TYPE_FROM = 5  # a failure type counts once it has this many true failures
_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"")
_SUCCESS_NAMES = {
    "trained": "search_success",
    "prompt_only": "search_success_prompt_only",
    "paper_reward": "search_success_paper_reward",
}


@dataclass(frozen=True, kw_only=True)
class Outcomes:
    """How many distinct probes ended how."""

    counts: dict[str, int]  # by outcome, all four

    @property
    def probes(self) -> int:
        """Probes with a verdict of any kind."""
        return sum(self.counts.values())

    @property
    def failures(self) -> Rate:
        """Failures over what could be measured; void beside it."""
        return Rate(hits=self.counts["failure"], asked=self.probes - self.counts["void"], void=self.counts["void"])


@dataclass(frozen=True, kw_only=True)
class Arm:
    """One way to audit, counted by proposals: malformed + undrawn + unjudged + the four outcomes = proposals."""

    arm: str
    phase: str
    proposals: int
    malformed: int
    undrawn: int  # parsed, but no probe came of it
    unjudged: int  # a probe without a verdict yet
    counts: dict[str, int]  # by outcome
    questions: int  # distinct questions among its failures
    apparent: Rate  # failures over proposals; nobody's fault is void
    success: Rate | None  # true failures over proposals; None: no truth is known
    validity: Rate | None
    precision: Rate | None


@dataclass(frozen=True, kw_only=True)
class Change:
    """After minus before in percentage points, with a 95% interval (Newcombe, unpaired, so on the wide side)."""

    points: float
    low: float
    high: float

    @property
    def direction(self) -> str:
        """Better or worse where the interval excludes no change, else unclear."""
        return "better" if self.low > 0 else "worse" if self.high < 0 else "unclear"


@dataclass(frozen=True, kw_only=True)
class Score:
    """One suite, or one slice of it, by every model that was scored."""

    suite: str
    slice: str  # "" for the whole suite
    rates: dict[str, Rate | None]  # by the keys of MODELS
    change: Change | None
    found: int | None  # true failures the audit met in this slice; None: no truth is known


@dataclass(frozen=True, kw_only=True)
class Mean:
    """Unweighted mean of several rates, with a 95% interval from their own sampling errors (normal)."""

    value: float
    low: float
    high: float
    rates: int
    asked: int  # over all of them


@dataclass(frozen=True, kw_only=True)
class Reasons:
    """Why something is missing, by how often."""

    total: int
    counts: tuple[tuple[str, int], ...]
    others: int  # rows whose reasons are too rare to be listed


def rate_in(summary: Mapping[str, Any], name: str) -> Rate | None:
    """A rate by its name in `summary.json`; None when it is not there."""
    found = summary.get(name)
    if not isinstance(found, dict) or found.get("hits") is None or found.get("asked") is None:
        return None
    return Rate(hits=int(found["hits"]), asked=int(found["asked"]), void=int(found.get("void") or 0))


def outcomes(evidence: Evidence, arm: str, phase: str | None) -> Outcomes:
    """Outcomes of an arm's distinct probes, in one phase or in all."""
    probe_ids = {
        row["probe_id"]
        for row in evidence.tables["proposals"]
        if row["arm"] == arm and phase in (None, row["phase"]) and row.get("probe_id")
    }
    counted = Counter(evidence.outcome(probe_id) for probe_id in probe_ids)
    return Outcomes(counts={outcome: counted[outcome] for outcome in OUTCOMES})


def arms(evidence: Evidence, summary: Mapping[str, Any]) -> tuple[Arm, ...]:
    """Every arm by phase, discovery first, counted by proposals."""
    rows: defaultdict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in evidence.tables["proposals"]:
        rows[(row["phase"], row["arm"])].append(row)
    keys = sorted(rows, key=lambda key: (key[0] != "discovery", key[0], _order(key[1])))
    return tuple(_arm(evidence, summary, phase, arm, rows[(phase, arm)]) for phase, arm in keys)


def scores(evidence: Evidence) -> tuple[Score, ...]:
    """Scores by slice, planted slices first, each by name."""
    rates: defaultdict[tuple[str, str], dict[str, Rate | None]] = defaultdict(lambda: dict.fromkeys(MODELS))
    for row in evidence.tables["scores"]:
        if row["model"] in MODELS:
            key = (row["suite"], row.get("slice") or "")
            rates[key][row["model"]] = Rate(hits=int(row["hits"]), asked=int(row["asked"]), void=int(row["void"] or 0))
    found = Counter(
        (truth["skill"], truth["gap"]) for probe_id, truth in evidence.truth.items() if evidence.truly_failed(probe_id)
    )
    return tuple(
        Score(
            suite=suite,
            slice=name,
            rates=rates[(suite, name)],
            change=change(rates[(suite, name)]["before"], rates[(suite, name)]["after"]),
            found=found[(suite, name)] if evidence.truth and name else None,
        )
        for suite, name in sorted(rates, key=lambda key: (not key[1], key))
    )


def change(before: Rate | None, after: Rate | None) -> Change | None:
    """The difference of two rates; None unless both were measured."""
    if before is None or after is None or before.value is None or after.value is None:
        return None
    from statsmodels.stats.proportion import confint_proportions_2indep

    low, high = confint_proportions_2indep(
        after.hits, after.asked, before.hits, before.asked, compare="diff", method="newcomb"
    )
    return Change(points=100 * (after.value - before.value), low=100 * float(low), high=100 * float(high))


def mean_of(rows: Sequence[Score], model: str) -> Mean | None:
    """Mean over suites or slices; None unless the model was measured on every one of them."""
    rates = [rate for score in rows if (rate := score.rates[model]) is not None and rate.asked]
    if not rates or len(rates) < len(rows):
        return None
    shares = [rate.hits / rate.asked for rate in rates]
    value = sum(shares) / len(shares)
    variance = sum(share * (1 - share) / rate.asked for share, rate in zip(shares, rates, strict=True))
    half = 1.96 * variance**0.5 / len(shares)
    return Mean(
        value=value,
        low=max(0.0, value - half),
        high=min(1.0, value + half),
        rates=len(rates),
        asked=sum(rate.asked for rate in rates),
    )


def pooled(rates: Iterable[Rate | None]) -> Rate | None:
    """Hits over asked of several rates together; None when nothing was asked."""
    known = [rate for rate in rates if rate is not None]
    if not sum(rate.asked for rate in known):
        return None
    return Rate(
        hits=sum(rate.hits for rate in known),
        asked=sum(rate.asked for rate in known),
        void=sum(rate.void for rate in known),
    )


def reasons(texts: Iterable[str | None]) -> Reasons:
    """Count reasons, most frequent first; what they quote is left out, so that like goes with like."""
    counted = Counter(_QUOTED.sub("'...'", text) for text in texts if text)
    ranked = sorted(counted.items(), key=lambda pair: (-pair[1], pair[0]))
    shown = tuple(ranked[:REASONS_SHOWN])
    return Reasons(total=counted.total(), counts=shown, others=sum(n for _, n in ranked[REASONS_SHOWN:]))


def left_out(evidence: Evidence) -> dict[str, Reasons]:
    """What never became a failure or an agreement, and why, over the whole run."""
    verdicts = evidence.tables["verdicts"]
    proposals = evidence.tables["proposals"]
    return {
        "malformed": reasons(row.get("malformed") for row in proposals),
        "undrawn": reasons(row.get("void") for row in proposals),
        "void": reasons(row.get("reason") or "no reason given" for row in verdicts if row["outcome"] == "void"),
        "split": reasons(row.get("reason") or "no reason given" for row in verdicts if row["outcome"] == "split"),
        "mute": reasons(row.get("problem") for row in evidence.tables["answers"]),
    }


def discovery(evidence: Evidence) -> dict[str, list[tuple[int, int]]]:
    """Distinct true failure types over probes, by arm; empty when no truth is known.

    A type is a skill and the planted slice (or none) its truth names, and counts from its fifth true failure on.
    """
    if not evidence.truth:
        return {}
    rows: defaultdict[str, list[Row]] = defaultdict(list)
    for row in evidence.tables["proposals"]:
        if row.get("probe_id"):
            rows[row["arm"]].append(row)
    curves: dict[str, list[tuple[int, int]]] = {}
    for arm in (known for known in ARMS if known in rows):
        seen: Counter[tuple[str, str | None]] = Counter()
        met: set[str] = set()
        curve = [(0, 0)]
        for row in sorted(rows[arm], key=lambda row: (row["phase"] != "training", row.get("step") or 0, row["id"])):
            if row["probe_id"] in met:
                continue
            met.add(row["probe_id"])
            if evidence.truly_failed(row["probe_id"]):
                truth = evidence.truth[row["probe_id"]]
                seen[(truth["skill"], truth.get("gap"))] += 1
            curve.append((len(met), sum(n >= TYPE_FROM for n in seen.values())))
        curves[arm] = curve
    return curves


def training_curves(evidence: Evidence, names: Sequence[str]) -> dict[str, dict[str, list[tuple[int, float]]]]:
    """For each column of the training log that was measured: arm -> (step, value) in order."""
    curves: dict[str, dict[str, list[tuple[int, float]]]] = {}
    for name in names:
        by_arm: defaultdict[str, list[tuple[int, float]]] = defaultdict(list)
        for row in evidence.tables["training_log"]:
            if row.get(name) is not None and row.get("step") is not None:
                by_arm[row["arm"]].append((int(row["step"]), float(row[name])))
        if by_arm:
            curves[name] = {arm: sorted(by_arm[arm]) for arm in sorted(by_arm, key=_order)}
    return curves


def _order(arm: str) -> tuple[int, str]:
    """Known arms first, in the order of `ARMS`."""
    known = list(ARMS)
    return (known.index(arm) if arm in ARMS else len(known), arm)


def _arm(evidence: Evidence, summary: Mapping[str, Any], phase: str, arm: str, rows: Sequence[Row]) -> Arm:
    malformed = sum(bool(row.get("malformed")) for row in rows)
    asked = [row["probe_id"] for row in rows if row.get("probe_id")]
    counted = Counter(evidence.outcome(probe_id) for probe_id in asked)
    failing = [probe_id for probe_id in asked if evidence.outcome(probe_id) == "failure"]
    undrawn = len(rows) - malformed - len(asked)
    mute = undrawn + counted["void"] + counted[None]
    known = [probe_id for probe_id in asked if probe_id in evidence.truth]
    validity = precision = success = None
    if known:
        true_failures = sum(bool(evidence.truly_failed(probe_id)) for probe_id in known)
        valid = sum(bool(evidence.truth[probe_id]["valid"]) for probe_id in known)
        judged = sum(probe_id in evidence.truth for probe_id in failing)
        validity = Rate(hits=valid, asked=len(known), void=len(asked) - len(known))
        precision = Rate(hits=true_failures, asked=judged, void=len(failing) - judged)
        success = Rate(hits=true_failures, asked=len(rows) - mute, void=mute)
    if phase == "discovery":
        success = rate_in(summary, _SUCCESS_NAMES.get(arm, "")) or success
        if arm == "trained":
            validity = rate_in(summary, "validity") or validity
            precision = rate_in(summary, "true_failure_precision") or precision
    return Arm(
        arm=arm,
        phase=phase,
        proposals=len(rows),
        malformed=malformed,
        undrawn=undrawn,
        unjudged=counted[None],
        counts={outcome: counted[outcome] for outcome in OUTCOMES},
        questions=len({evidence.probe[probe_id]["question"] for probe_id in failing if probe_id in evidence.probe}),
        apparent=Rate(hits=len(failing), asked=len(rows) - mute, void=mute),
        success=success,
        validity=validity,
        precision=precision,
    )
