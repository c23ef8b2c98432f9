"""Where the next questions go: to what has paid, and to everything a little.

Source: Thompson sampling with a uniform floor; dynamic sampling after arXiv:2503.14476. Differs: that draws replacements
for groups without signal in the same step; TRL's trainer has no place for it, so here later requests are drawn by where
there was signal (`Bandit` with `has_signal` as the pay).
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from math import ceil

import numpy as np

_SAMPLES = 2000  # of the posteriors, for shares: a standard error of .011 at most
_TOLD_APART = 1e-9


def has_signal(rewards: Sequence[float | None]) -> bool:
    """Whether the rewards of a group teach anything: at least two were measured and they differ.

    Example:
        >>> [has_signal(group) for group in ([1.0, 0.0, None], [1.0, 1.0], [1.0, None], [])]
        [True, False, False, False]
    """
    measured = [r for r in rewards if r is not None]
    return bool(measured) and max(measured) - min(measured) > _TOLD_APART


def replacements(groups: Sequence[Sequence[float | None]], *, most: int) -> int:
    """How many groups to draw so that, at the present rate, as many have signal as there are groups.

    Args:
        groups: The rewards of each group.
        most: Bound of the answer, which is also given where no group has signal.

    Source: arXiv:2503.14476, dynamic sampling. Differs: one round, sized by the share of groups with signal.

    Example:
        >>> replacements([[1.0, 0.0], [1.0, 1.0], [0.0, 0.0], [0.0, 1.0]], most=16)  # two missing, every second has signal
        4
    """
    alive = sum(map(has_signal, groups))
    dead = len(groups) - alive
    return min(most, ceil(dead * len(groups) / alive)) if alive else min(most, dead * most)


class Bandit:
    """Thompson sampling over arms, with a share for all alike and a memory that fades.

    The pay of an arm has a beta posterior, uniform at first. An arm is drawn when it is the best in a sample of all
    posteriors; `floor` of the draws go to any arm. The auditor changes, so what an arm has paid counts less with each
    batch.

    Source: W. R. Thompson 1933; the floor and the fading are ours.

    Example:
        >>> bandit = Bandit(["question", "caption", "edit"])
        >>> bandit.learn([("edit", 1.0)] * 30 + [("question", 0.0)] * 30 + [("caption", 0.0)] * 30 + [("edit", None)])
        >>> {arm: round(share, 2) for arm, share in bandit.shares(seed=0).items()}
        {'question': 0.07, 'caption': 0.07, 'edit': 0.87}
        >>> bandit.remove("edit")
        >>> sorted(bandit.shares(seed=0))
        ['caption', 'question']
    """

    def __init__(self, arms: Iterable[Hashable], *, floor: float = 0.2, keep: float = 0.95) -> None:
        """Start with nothing known.

        Args:
            arms: Any hashable things: acts, cells, kinds of pictures.
            floor: Share of the draws that is spread over all arms alike, in [0, 1].
            keep: What a batch leaves of what was known before, in [0, 1].

        Raises:
            ValueError: Floor or keep is out of range.
        """
        if not (0 <= floor <= 1 and 0 <= keep <= 1):
            raise ValueError(f"floor and keep are shares between 0 and 1, not {floor} and {keep}")
        self.floor, self.keep = floor, keep
        self._paid: dict[Hashable, tuple[float, float]] = dict.fromkeys(arms, (0.0, 0.0))  # and what was not paid
        self._removed: set[Hashable] = set()

    @property
    def arms(self) -> tuple[Hashable, ...]:
        """The arms that may be drawn, in the order in which they came."""
        return tuple(self._paid)

    def learn(self, outcomes: Iterable[tuple[Hashable, float | None]]) -> None:
        """Take in a batch of (arm, pay in [0, 1]); what was not measured teaches nothing, what is new becomes an arm.

        What is known fades once a call, by `keep`. A removed arm stays removed.
        """
        self._paid = {arm: (self.keep * yes, self.keep * no) for arm, (yes, no) in self._paid.items()}
        for arm, pay in outcomes:
            if pay is not None and arm not in self._removed:
                yes, no = self._paid.get(arm, (0.0, 0.0))
                self._paid[arm] = (yes + pay, no + 1 - pay)

    def remove(self, arm: Hashable) -> None:
        """Draw an arm no more, for good: what it would find is confirmed."""
        self._removed.add(arm)
        self._paid.pop(arm, None)

    def draw(self, count: int, seed: int) -> list[Hashable]:
        """Draw arms with replacement; none where no arm is left.

        Args:
            count: Draws.
            seed: The same seed after the same history draws the same.
        """
        if not self._paid:
            return []
        rng = np.random.default_rng(seed)
        best, anyone = self._best(count, rng), rng.integers(len(self._paid), size=count)
        chosen = np.where(rng.random(count) < self.floor, anyone, best)
        arms = self.arms
        return [arms[n] for n in chosen]

    def shares(self, seed: int) -> dict[Hashable, float]:
        """The probability with which `draw` takes each arm, up to a standard error of .011; sums to 1."""
        if not self._paid:
            return {}
        best = np.bincount(self._best(_SAMPLES, np.random.default_rng(seed)), minlength=len(self._paid)) / _SAMPLES
        mixed = self.floor / len(self._paid) + (1 - self.floor) * best
        return {arm: float(share) for arm, share in zip(self._paid, mixed, strict=True)}

    def _best(self, count: int, rng: np.random.Generator) -> np.ndarray[tuple[int], np.dtype[np.intp]]:
        yes, no = np.array(list(self._paid.values())).T
        found: np.ndarray[tuple[int], np.dtype[np.intp]] = rng.beta(1 + yes, 1 + no, (count, len(yes))).argmax(1)
        return found


def shares_of_acts(
    paid: Sequence[tuple[str, float | None]], acts: Mapping[str, float], *, seed: int, batch: int = 64
) -> dict[str, float]:
    """The share of each act by what it has paid lately.

    Args:
        paid: Act and pay of every proposal so far, oldest first.
        acts: The acts that may be asked for, with their weights; one of weight 0 stays out.
        seed: Of the samples.
        batch: Proposals after which what is known fades.

    Returns:
        Shares that sum to 1, at least a fifth of them spread over the acts by their weights.

    Source: ours.

    Example:
        >>> paid = [("edit", 1.0), ("question", 0.0), ("caption", None)] * 30
        >>> shares = shares_of_acts(paid, {"question": 2, "caption": 0, "edit": 1}, seed=0)
        >>> {act: round(share, 2) for act, share in shares.items()}
        {'question': 0.13, 'caption': 0.0, 'edit': 0.87}
    """
    bandit = Bandit([act for act, weight in acts.items() if weight], floor=0.0)
    for start in range(0, len(paid), batch):
        bandit.learn((act, pay) for act, pay in paid[start : start + batch] if acts.get(act))
    best, whole = bandit.shares(seed), sum(acts.values())
    return {act: 0.2 * weight / whole + 0.8 * best.get(act, 0.0) for act, weight in acts.items()}
