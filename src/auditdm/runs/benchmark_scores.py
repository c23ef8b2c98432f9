"""From scored replies to a benchmark's number, and from two models' numbers to their difference.

A unit is what counts at once: a question, or several that stand or fall together (MME's pairs, MMBench's rotations).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import sqrt
from statistics import fmean, variance
from typing import Any, Literal

from scipy.stats import t

from auditdm.method.metrics import cider
from auditdm.stats import CONFIDENCE, paired_difference

Combine = Literal["mean", "mean of parts", "sum of parts", "cider"]
_SAME = 1e-3  # as much as scorers round away, in per cent


@dataclass(frozen=True, kw_only=True)
class Unit:
    """One question of a benchmark, or those that stand or fall together."""

    id: str
    # on the paper's scale; None: not measured, or a caption, which has one only among others
    score: float | None = None
    caption: Mapping[str, Any] | None = None  # said and references, of a caption that was measured
    part: str = ""  # the part of the benchmark that it belongs to
    problem: str | None = None  # why it was not measured; None: it was

    def __post_init__(self) -> None:
        measured = (self.score is not None) + (self.caption is not None)
        assert measured == (self.problem is None), "a score or a caption iff there was no problem"


@dataclass(frozen=True, kw_only=True)
class Score:
    """What one model reached on one benchmark."""

    model: str
    benchmark: str
    combine: Combine
    full: float  # the marks of a unit that is wholly right, on the paper's scale; CIDEr of 1.0 gives a caption as many
    units: tuple[Unit, ...] = field(repr=False)
    value: float | None  # as the benchmark counts it, on the paper's scale; None when nothing was measured
    revision: str | None = None  # of the model's weights, where known

    @property
    def scored(self) -> int:
        """Units that were measured: what `value` is made of."""
        return sum(unit.problem is None for unit in self.units)

    @property
    def void(self) -> dict[str, int]:
        """Units that were not measured, by reason, the most frequent first."""
        return dict(Counter(unit.problem for unit in self.units if unit.problem is not None).most_common())

    def as_dict(self) -> dict[str, Any]:
        """The form of a score in machine-readable output."""
        return {
            "model": self.model,
            "benchmark": self.benchmark,
            "value": self.value,
            "scored": self.scored,
            "asked": len(self.units),
            "void": self.void,
            "revision": self.revision,
        }


@dataclass(frozen=True, kw_only=True)
class Difference:
    """What a second model reached more than a first, on the units that both were measured on."""

    first: float | None
    second: float | None
    pairs: int
    void: int  # units with a hole on either side
    interval: tuple[float, float] | None  # 95%; None where the units do not tell
    remark: str | None = None  # why there is no interval

    @property
    def value(self) -> float | None:
        """The second minus the first; None when there was no pair."""
        return None if self.first is None or self.second is None else self.second - self.first

    def as_dict(self) -> dict[str, Any]:
        """The form of a difference in machine-readable output."""
        return {
            "value": self.value,
            "first": self.first,
            "second": self.second,
            "pairs": self.pairs,
            "void": self.void,
            "ci95": list(self.interval) if self.interval else None,
            "remark": self.remark,
        }


def combined(units: Sequence[Unit], combine: Combine, full: float = 1.0) -> float | None:
    """Make one number of measured units; None of none.

    Example:
        >>> pairs = [Unit(id="a", score=200.0, part="OCR"), Unit(id="b", score=0.0, part="OCR"), Unit(id="c", score=50.0)]
        >>> combined(pairs, "sum of parts"), combined(pairs, "mean of parts")
        (150.0, 75.0)
    """
    scores = unit_scores(units, combine, full)
    return (
        sum(weight * score for weight, score in zip(_weights(units, combine), scores, strict=True)) if units else None
    )


def unit_scores(units: Sequence[Unit], combine: Combine, full: float = 1.0) -> list[float]:
    """The score of each measured unit; of captions among these units, since a word's rarity depends on them."""
    if combine != "cider":
        return [unit.score for unit in units if unit.score is not None]
    told = [unit.caption for unit in units if unit.caption is not None]
    return [full * score for score in cider([c["said"] for c in told], [c["references"] for c in told])]


def difference(first: Score, second: Score) -> Difference:
    """Compare two models on the same units of one benchmark.

    Units that are right or wrong, and count alike, get the adjusted Wald interval of `stats.PairedDifference`; others a t
    interval of the mean difference, part by part.

    Args:
        first: The model before, or the one to be compared with.
        second: The model after.

    Returns:
        `interval` is None, with a remark, where the benchmark's number is not made of its units' scores as `combine` says,
        where a part has a single unit, and where all units differ equally.

    Raises:
        ValueError: Two benchmarks, or one counted in two ways.
    """
    if (first.benchmark, first.combine, first.full) != (second.benchmark, second.combine, second.full):
        raise ValueError(f"{first.benchmark} and {second.benchmark}: only scores of one benchmark can be compared")
    others = {unit.id: unit for unit in second.units}
    everyone = {unit.id for unit in first.units} | others.keys()
    pairs = [
        (unit, others[unit.id])
        for unit in first.units
        if unit.problem is None and unit.id in others and others[unit.id].problem is None
    ]
    before, after = [one for one, _ in pairs], [other for _, other in pairs]
    how = first.combine, first.full
    apart = next((told for score in (first, second) if (told := _not_of_its_units(score)) is not None), None)
    interval, remark = (None, apart) if apart or not pairs else _interval(before, after, *how)
    return Difference(
        first=combined(before, *how),
        second=combined(after, *how),
        pairs=len(pairs),
        void=len(everyone) - len(pairs),
        interval=interval,
        remark=remark if pairs else "no unit was measured for both",
    )


def _not_of_its_units(score: Score) -> str | None:
    """Why the units' scores cannot stand for the benchmark's own number, if they cannot."""
    made = combined([unit for unit in score.units if unit.problem is None], score.combine, score.full)
    if made is None or score.value is None or abs(made - score.value) <= _SAME * max(1.0, abs(score.value) / 100):
        return None
    return (
        f"{score.benchmark} counts {score.value:.4f}, and the {score.combine} of its units is {made:.4f}: "
        "a difference of the one has no interval from the other"
    )


def _interval(
    before: Sequence[Unit], after: Sequence[Unit], combine: Combine, full: float
) -> tuple[tuple[float, float] | None, str | None]:
    ones, others = unit_scores(before, combine, full), unit_scores(after, combine, full)
    if combine == "mean" and {*ones, *others} <= {0.0, full}:
        found = paired_difference([one == full for one in ones], [other == full for other in others]).interval
        assert found is not None, "there are pairs"
        return (full * found[0], full * found[1]), None
    parts: dict[str, list[float]] = defaultdict(list)
    for unit, one, other in zip(before, ones, others, strict=True):
        parts[unit.part if combine in ("mean of parts", "sum of parts") else ""].append(other - one)
    if min(len(of) for of in parts.values()) < 2:
        return None, "a part with a single unit does not tell how units vary"
    weight = 1.0 / len(parts) if combine == "mean of parts" else 1.0
    spread = sqrt(sum(weight**2 * variance(of) / len(of) for of in parts.values()))
    if not spread:
        return None, "all units differ equally, so they do not tell how units vary"
    middle = sum(weight * fmean(of) for of in parts.values())
    half = float(t.ppf(0.5 + CONFIDENCE / 2, len(before) - len(parts))) * spread
    return (middle - half, middle + half), None


def _weights(units: Sequence[Unit], combine: Combine) -> list[float]:
    """How much of each unit's score goes into the number."""
    if combine in ("mean", "cider"):
        return [1.0 / len(units)] * len(units)
    sizes = Counter(unit.part for unit in units)
    parts = len(sizes) if combine == "mean of parts" else 1
    return [1.0 / (sizes[unit.part] * parts) for unit in units]
