"""The references as a panel: how often their consensus is expected to be wrong, estimated without labels.

Source: ours. The model is the classical one of versions that fail together: each question has a difficulty, the chance
that a reference errs on it; difficulties follow a Beta distribution, so that the number of wrong answers is
beta-binomial (V. F. Nicola and A. Goyal, IEEE Transactions on Software Engineering 16(3), 1990).
    error        mean of the Beta: how often one reference is wrong
    correlation  1 / (a + b + 1) of Beta(a, b): between the errors of two references; 0 is independence
    same         how often two wrong answers are the same: each is the question's lure with the chance sqrt(same), and
                 otherwise an answer that nobody else gives
What it assumes:
    1. References are exchangeable: a pair of twins among strangers is averaged. `references.by_pair` shows it.
    2. Right answers are all the same, and a reference is wrong less than half the time.
    3. How three err together follows from how two do. An answer that all share leaves no trace, right or wrong: if they
       share what they do not know, as models of one family do, the truth is nearer to the end of the interval than to
       its mean.
    4. The question has an answer. That all give the same nonsense to one that has none is not seen here: only saying
       "cannot be answered", or the truth, would show it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from math import comb

import numpy as np
import numpy.typing as npt
from scipy.special import betaln
from scipy.stats import binom

Array = npt.NDArray[np.float64]

# Shapes: E errors, C correlations, S samenesses of the grid.
_ERRORS = np.geomspace(2e-4, 0.45, 120)[:, None, None]
_CORRELATIONS = np.concatenate([[0.001], np.arange(0.015, 0.91, 0.015)])[None, :, None]
_SAMES = np.arange(0.025, 1, 0.05)[None, None, :]
# Beta(1, 3) for the correlation. Beta(3, 2) for the sameness, mean .6: "Correlated Errors in Large Language Models"
# (ICML 2025) found over some 350 models that two that both err give the same answer about 60% of the time.
_PRIOR = (1 - _CORRELATIONS) ** 2 * _SAMES**2 * (1 - _SAMES) * np.ones_like(_ERRORS)
_TINY = 1e-300  # of a chance that is 0: its logarithm stays a number


@dataclass(frozen=True, kw_only=True)
class Ballot:
    """What is known of one probe: who sides with whom. Make the sides with `sides`."""

    sides: tuple[int | None, ...]  # the target, then R references; equal numbers: same answer; None: not measured
    abstained: tuple[bool, ...]  # R: says that it cannot be answered; its side is None
    kept: tuple[bool | None, ...]  # R: kept its answer in other words; None: not asked again


@dataclass(frozen=True, kw_only=True)
class Panel:
    """The references together: the model of this module, fitted."""

    size: int
    measured: int  # probes
    void: int
    error: float
    correlation: float
    same: float
    posterior: Array = field(repr=False, compare=False)  # E times C times S, sums to 1

    @property
    def votes(self) -> float:
        """Independent votes that the panel is worth: n / (1 + (n - 1) * correlation)."""
        return self.size / (1 + (self.size - 1) * self.correlation)


@dataclass(frozen=True, kw_only=True)
class Expected:
    """How often a consensus is expected to be wrong, out of all consensuses."""

    agreeing: int  # of them have to agree
    of: int
    value: float  # mean of the posterior
    interval: tuple[float, float]  # 95% of the posterior
    independent: float  # what it would be if the same errors were independent; the rest is correlation's part


@dataclass(frozen=True, kw_only=True)
class Quorum:
    """How many references should have to agree, and why."""

    agreeing: int
    of: int
    expected: float | None
    reason: str

    @property
    def share(self) -> float:
        """As `quorum` in the configuration."""
        return self.agreeing / self.of


def sides(same: Mapping[tuple[int, int], bool | None], speaking: Sequence[bool]) -> tuple[int | None, ...]:
    """Number the answers to one probe, so that the same answer has the same number.

    Args:
        same: The judge's word on each pair (i, j), i < j, of those who speak; 0 is the target.
        speaking: The target, then R references: False for a silence and for "cannot be answered".

    Returns:
        1 + R numbers. None: not speaking. Where the judge could not compare two references, or found A like B and B
        like C and not A like C, all references are None; where that concerns the target, it alone.

    Example:
        >>> sides({(0, 1): False, (0, 2): True, (1, 2): False}, [True, True, True])
        (2, 1, 2)
    """
    voices = [v for v in range(1, len(speaking)) if speaking[v]]
    first = {v: min([u for u in voices if u < v and same[u, v]], default=v) for v in voices}
    sound = all(same[u, v] == (first[u] == first[v]) for u, v in combinations(voices, 2))
    found: dict[int, int] = first if sound else {}
    told: int | None = None
    if speaking[0] and found:
        with_target = {v: same[0, v] for v in voices}
        liked = {found[v] for v, s in with_target.items() if s}
        told = min(liked, default=0)
        if len(liked) > 1 or any(s != (found[v] == told) for v, s in with_target.items()):
            told = None
    return (told, *(found.get(v) for v in range(1, len(speaking))))


def fit(ballots: Sequence[Ballot], among: Panel | None = None) -> Panel | None:
    """Estimate error, correlation and sameness of the references from how their answers group.

    Args:
        ballots: N probes with the same R references. The target has no part in it.
        among: The panel of a larger sample: what it says of correlation and sameness is the prior.

    Returns:
        None with fewer than three references, whose disagreement does not say who erred, or where nothing was measured.
        Numbers are means of the posterior. The prior is flat in the logarithm of the error from .0002 to .45,
        Beta(1, 3) for the correlation and Beta(3, 2) for the sameness. With three references correlation and sameness
        are known only together, from answers that are all different; hence the width of the interval of
        `expected_false_consensus`.

    Cost: a grid of 120 * 61 * 20 points for each kind of grouping.

    Example:
        >>> def ballot(*sides): return Ballot(sides=(None, *sides), abstained=(False,) * 3, kept=(None,) * 3)
        >>> panel = fit([ballot(1, 1, 1)] * 940 + [ballot(1, 1, 3)] * 60)
        >>> round(panel.error, 2), panel.votes > 2
        (0.02, True)
        >>> fit([Ballot(sides=(1, 1, 1), abstained=(False,) * 2, kept=(None,) * 2)]) is None
        True
    """
    whole = [b for b in ballots if None not in b.sides[1:]]
    size = len(ballots[0].abstained) if ballots else 0
    if size < 3 or not whole:
        return None
    counts = Counter(tuple(sorted(Counter(b.sides[1:]).values())) for b in whole)
    wrong = _wrong(_ERRORS, _CORRELATIONS, size)
    chances: dict[tuple[int, ...], Array] = {}
    for m in range(size + 1):
        for lured in range(m + 1):
            sizes = tuple(sorted(s for s in (size - m, lured, *[1] * (m - lured)) if s))
            chance = wrong[m] * binom.pmf(lured, m, np.sqrt(_SAMES))
            chances[sizes] = chances.get(sizes, 0.0) + chance
    prior = _PRIOR if among is None else among.posterior.sum(axis=0, keepdims=True) * np.ones_like(_ERRORS)
    log: Array = np.log(prior + _TINY) + sum(c * np.log(chances[s] + _TINY) for s, c in counts.items())
    posterior: Array = np.exp(log - log.max())
    posterior /= posterior.sum()
    return Panel(
        size=size,
        measured=len(whole),
        void=len(ballots) - len(whole),
        error=float((posterior * _ERRORS).sum()),
        correlation=float((posterior * _CORRELATIONS).sum()),
        same=float((posterior * _SAMES).sum()),
        posterior=posterior,
    )


def expected_false_consensus(panel: Panel, agreeing: int) -> Expected:
    """Say how often a consensus of at least so many references is expected to be wrong.

    Wrong: that many give the question's lure. Right: that many are right. Their shares by the beta-binomial model, mean
    and interval over its posterior.

    Raises:
        ValueError: Not more than half of the panel, or more than all.

    Example:
        >>> def ballot(*sides): return Ballot(sides=(None, *sides), abstained=(False,) * 3, kept=(None,) * 3)
        >>> panel = fit([ballot(1, 1, 1)] * 19 + [ballot(1, 1, 3)])
        >>> expected_false_consensus(panel, 2).value > expected_false_consensus(panel, 3).value
        True
    """
    n = panel.size
    if not n / 2 < agreeing <= n:
        raise ValueError(f"more than half of {n} and at most {n} have to agree, not {agreeing}")
    values = _false(_wrong(_ERRORS, _CORRELATIONS, n), _SAMES, agreeing)
    order = np.argsort(values, axis=None)
    grown = np.cumsum(panel.posterior.ravel()[order])
    ends = np.minimum(np.searchsorted(grown, [0.025, 0.975]), order.size - 1)
    low, high = (float(v) for v in values.ravel()[order][ends])
    error, never, same = (np.array([x]) for x in (panel.error, 1e-6, panel.same))
    alone = _false(_wrong(error, never, n), same, agreeing)
    return Expected(
        agreeing=agreeing,
        of=n,
        value=float((values * panel.posterior).sum()),
        interval=(low, high),
        independent=float(alone[0]),
    )


def choose_quorum(panel: Panel | None, size: int, *, bound: float = 0.02, cautious: bool = True) -> Quorum:
    """Choose the smallest quorum whose consensus is expected to be wrong at most so often, else the strictest.

    Args:
        panel: What `fit` said of the references; None where it could not.
        size: Number of references.
        bound: Share of consensuses that may be wrong.
        cautious: The upper end of the interval has to be within the bound; else the mean, which is too kind to
            references that share what they do not know.

    Example:
        >>> choose_quorum(None, 2).reason
        'two references disagree without saying who erred, so that nothing can be estimated: all 2 have to agree'
    """
    if panel is None:
        why = {1: "one reference cannot be compared", 2: "two references disagree without saying who erred"}.get(
            size, "no probe was answered by all"
        )
        reason = f"{why}, so that nothing can be estimated: all {size} have to agree"
        return Quorum(agreeing=size, of=size, expected=None, reason=reason)
    tried = [expected_false_consensus(panel, k) for k in range(size // 2 + 1, size + 1)]
    within = [e for e in tried if (e.interval[1] if cautious else e.value) <= bound]
    if within:
        told = f"{_words(within[0])}, {bound:.2%} allowed"
        if within[0] is not tried[0]:
            told += f"; {_words(tried[tried.index(within[0]) - 1])}"
        return Quorum(agreeing=within[0].agreeing, of=size, expected=within[0].value, reason=told)
    told = f"even {_words(tried[-1])}, {bound:.2%} allowed: add references of another family"
    return Quorum(agreeing=size, of=size, expected=tried[-1].value, reason=told)


def _words(found: Expected) -> str:
    return (
        f"{found.agreeing} of {found.of} that agree are expected to be wrong in {found.value:.2%} of cases, "
        f"at most {found.interval[1]:.2%}"
    )


def _wrong(error: Array, correlation: Array, n: int) -> list[Array]:
    """Beta-binomial: the chance of m = 0..n wrong answers, over a grid."""
    a, b = error * (1 - correlation) / correlation, (1 - error) * (1 - correlation) / correlation
    return [comb(n, m) * np.exp(betaln(m + a, n - m + b) - betaln(a, b)) for m in range(n + 1)]


def _false(wrong: Sequence[Array], same: Array, agreeing: int) -> Array:
    """Share of wrong ones among consensuses."""
    lured = [binom.sf(agreeing - 1, m, np.sqrt(same)) for m in range(len(wrong))]
    false: Array = np.sum([w * p for w, p in zip(wrong, lured, strict=True)], axis=0)
    right: Array = np.sum(wrong[: len(wrong) - agreeing], axis=0)
    return false / (false + right)
