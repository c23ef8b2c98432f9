"""Rates with their denominators, and the difference of two models on the same probes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Any

from scipy.stats import binomtest, norm

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Rate:
    """How often something happened, out of what could be measured."""

    hits: int
    asked: int  # measured only
    void: int = 0  # could not be measured; reported beside the rate, never inside it

    def __post_init__(self) -> None:
        assert 0 <= self.hits <= self.asked, f"{self.hits} hits of {self.asked} asked"
        assert self.void >= 0, f"{self.void} void"

    @property
    def value(self) -> float | None:
        """Hits per asked; None when nothing was asked."""
        return self.hits / self.asked if self.asked else None

    @property
    def interval(self) -> tuple[float, float] | None:
        """The 95% Wilson score interval; None when nothing was asked."""
        if not self.asked:
            return None
        found = binomtest(self.hits, self.asked).proportion_ci(CONFIDENCE, method="wilson")
        return float(found.low), float(found.high)

    def as_dict(self) -> dict[str, Any]:
        """The form of every rate in `summary.json`."""
        interval = self.interval
        return {
            "value": self.value,
            "hits": self.hits,
            "asked": self.asked,
            "void": self.void,
            "ci95": list(interval) if interval else None,
        }


@dataclass(frozen=True)
class PairedDifference:
    """A rate after minus the rate before, on the same probes."""

    gained: int  # wrong before, right after
    lost: int  # right before, wrong after
    asked: int  # pairs measured on both sides
    void: int  # pairs with a hole on either side

    @property
    def value(self) -> float | None:
        """Rate after minus rate before, in [-1, 1]; None when no pair was measured."""
        return (self.gained - self.lost) / self.asked if self.asked else None

    @property
    def interval(self) -> tuple[float, float] | None:
        """The 95% adjusted Wald interval; None when no pair was measured.

        One pair is added to each kind of discordance, which keeps the coverage near 95% for few pairs.

        Source: D. G. Bonett and R. M. Price, Adjusted Wald confidence interval for a difference of binomial proportions
        based on paired data, Journal of Educational and Behavioral Statistics 37(4), 2012.
        """
        if not self.asked:
            return None
        total = self.asked + 2
        gained, lost = (self.gained + 1) / total, (self.lost + 1) / total
        half = float(norm.ppf(0.5 + CONFIDENCE / 2)) * sqrt((gained + lost - (gained - lost) ** 2) / total)
        return max(-1.0, gained - lost - half), min(1.0, gained - lost + half)

    @property
    def p(self) -> float | None:
        """Two-sided exact McNemar p-value of "no difference"; 1.0 when no pair changed, None when none was measured."""
        if not self.asked:
            return None
        changed = self.gained + self.lost
        return float(binomtest(self.gained, changed).pvalue) if changed else 1.0

    def as_dict(self) -> dict[str, Any]:
        """The form of every difference in machine-readable output."""
        interval = self.interval
        return {
            "value": self.value,
            "gained": self.gained,
            "lost": self.lost,
            "asked": self.asked,
            "void": self.void,
            "ci95": list(interval) if interval else None,
            "p": self.p,
        }


def paired_difference(before: Sequence[bool | None], after: Sequence[bool | None]) -> PairedDifference:
    """Compare two models, or one model before and after, on the same probes.

    Args:
        before: For each probe, was it right? None where that could not be measured.
        after: The same probes in the same order.

    Raises:
        ValueError: The two have not the same length.
    """
    pairs = list(zip(before, after, strict=True))
    measured = [(bool(b), bool(a)) for b, a in pairs if b is not None and a is not None]
    return PairedDifference(
        gained=sum(a and not b for b, a in measured),
        lost=sum(b and not a for b, a in measured),
        asked=len(measured),
        void=len(pairs) - len(measured),
    )
