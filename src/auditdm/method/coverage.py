"""How much an audit may have missed: unseen mass, and when to stop."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from math import ceil


def unseen_mass(kinds: Iterable[Hashable]) -> float | None:
    """The chance that the next failure is of a kind not seen yet, by Good and Turing.

    Args:
        kinds: The kind of each failure among probes that nobody chose (chosen ones would bias it).

    Returns:
        Share of failures whose kind was seen once; None without failures.

    Source: I. J. Good, The population frequencies of species, Biometrika 40, 1953.

    Example:
        >>> unseen_mass(["purple", "purple", "seven", "clock"])
        0.5
    """
    counts = Counter(kinds)
    return sum(n == 1 for n in counts.values()) / counts.total() if counts else None


@dataclass(frozen=True)
class Smallest:
    """The least failure mode that a user wants to hear of: it sets how long is looked before nothing is nothing."""

    prevalence: float = 0.005  # of the auditor's own probes
    rate: float = 0.3  # how often the target fails inside
    failures: int = 8  # of it that have to be expected among the unchosen probes before stopping

    @property
    def enough(self) -> int:
        """Unchosen probes to look at.

        Example:
            >>> Smallest(prevalence=0.02, rate=0.5).enough
            800
        """
        return ceil(self.failures / (self.prevalence * self.rate))

    def shown(self, asked: int) -> str:
        """What so many unchosen probes would have shown of such a mode, in words.

        Example:
            >>> Smallest().shown(1000)
            '1,000 unchosen probes would have shown a mode on 0.5% of them that fails 30% of the time about 1.5 times'
        """
        times = asked * self.prevalence * self.rate
        return (
            f"{asked:,} unchosen probes would have shown a mode on {self.prevalence:.1%} of them that fails {self.rate:.0%} "
            f"of the time about {times:.{0 if times >= 10 else 1}f} times"
        )
