"""References one by one, two by two and round by round: can their agreement be trusted? Estimated without labels.

Source: ours. `panel` has the model of all of them together.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from math import sqrt

from auditdm.method.panel import Ballot, Expected, Panel, expected_false_consensus, fit
from auditdm.stats import Rate

_WEIGHT = 10.0  # deviations that the panel's correlation is worth in that of a pair


@dataclass(frozen=True, kw_only=True)
class Reference:
    """One reference among the others."""

    kept: Rate  # its answer in other words
    deviates: Rate  # from the others where they agree: stands for its error; void: they do not, or someone was silent
    abstains: Rate  # of all probes


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Two references, seen from third parties that agree with each other."""

    first: int  # from 0
    second: int
    asked: int  # probes on which at least two third parties spoke and agreed
    together: float  # of them, both deviated; a tie of two against two counts as its likely part
    same: float  # of those, to one and the same answer
    phi: float | None  # as measured; None: not asked, or one of them never deviated
    correlation: float | None  # phi drawn towards the panel's, by how seldom anyone deviated


@dataclass(frozen=True, kw_only=True)
class Round:
    """A stretch of the auditor's training."""

    name: str
    split: Rate  # no quorum, or someone abstained
    inconsistent: Rate  # a reference changed its answer in other words; asked: where every reference was asked again
    expected: Expected | None


def by_reference(ballots: Sequence[Ballot]) -> list[Reference]:
    """Say of each reference how often it keeps its answer, deviates from the others, and abstains.

    Args:
        ballots: N probes with the same R references.

    Returns:
        R records. With two references the third party is the other one and the target, where they agree, which leaves
        out the hard questions; with one nobody is left to compare with.

    Example:
        >>> ballot = Ballot(sides=(1, 1, 1, 3), abstained=(False,) * 3, kept=(None, True, False))
        >>> [(r.deviates.value, r.kept.value) for r in by_reference([ballot])]
        [(None, None), (None, 1.0), (1.0, 0.0)]
    """
    size = len(ballots[0].abstained) if ballots else 0
    found = []
    for r in range(1, size + 1):
        others = [v for v in range(1, size + 1) if v != r]
        party = [0, *others] if size == 2 else others
        judged = [_deviates(b, r, party) for b in ballots]
        kept = [b.kept[r - 1] for b in ballots]
        found.append(
            Reference(kept=_rate(kept), deviates=_rate(judged), abstains=_rate([b.abstained[r - 1] for b in ballots]))
        )
    return found


def by_pair(ballots: Sequence[Ballot], panel: Panel | None) -> list[Pair]:
    """Measure how much each two references err together.

    Seen from an agreeing third party: all other references, and with three references the other one and the target.
    Two against two is a tie; it counts for the pair by the odds that this side is the wrong one. With three or four
    references that is coarse, and twins look less alike than they are.

    Args:
        ballots: N probes with the same R references.
        panel: What `fit` said of them.

    Returns:
        R * (R - 1) / 2 records in the order of `itertools.combinations`; with fewer than three references nothing can
        be estimated, and phi is None.

    Example:
        >>> by_pair([Ballot(sides=(1, 1, 1), abstained=(False,) * 2, kept=(None,) * 2)], None)
        [Pair(first=0, second=1, asked=0, together=0.0, same=0.0, phi=None, correlation=None)]
    """
    size = len(ballots[0].abstained) if ballots else 0
    if panel is None:
        return [
            Pair(first=i, second=j, asked=0, together=0.0, same=0.0, phi=None, correlation=None)
            for i, j in combinations(range(size), 2)
        ]
    errors = _errors(ballots, panel)
    return [_pair(ballots, i, j, panel, errors) for i, j in combinations(range(1, size + 1), 2)]


def by_round(rounds: Sequence[str], ballots: Sequence[Ballot], panel: Panel | None, agreeing: int) -> list[Round]:
    """Follow split, self-inconsistency and expected false consensus through the auditor's training.

    A maximising auditor moves to where references err together; a figure of the whole run would hide it.

    Args:
        rounds: N names of rounds, one for each ballot.
        ballots: N probes.
        panel: Of all ballots: what it says of correlation and sameness is the prior in each round.
        agreeing: The quorum, in references.

    Returns:
        One record for each name in the order of appearance.

    Example:
        >>> ballot = Ballot(sides=(1, 1, 1, 3), abstained=(False,) * 3, kept=(True, True, False))
        >>> [(r.name, r.split.value, r.inconsistent.value) for r in by_round(["1"], [ballot], None, 3)]
        [('1', 1.0, 1.0)]
    """
    placed = list(zip(rounds, ballots, strict=True))
    found = []
    for name in dict.fromkeys(rounds):
        here = [b for n, b in placed if n == name]
        fitted = fit(here, panel) if panel else None
        found.append(
            Round(
                name=name,
                split=_rate([_splits(b, agreeing) for b in here]),
                inconsistent=_rate([None if None in b.kept else False in b.kept for b in here]),
                expected=expected_false_consensus(fitted, agreeing) if fitted else None,
            )
        )
    return found


def _rate(values: Sequence[bool | None]) -> Rate:
    measured = [v for v in values if v is not None]
    return Rate(sum(measured), len(measured), len(values) - len(measured))


def _splits(ballot: Ballot, agreeing: int) -> bool | None:
    if any(ballot.abstained):
        return True
    if None in ballot.sides[1:]:
        return None
    return max(Counter(ballot.sides[1:]).values()) < agreeing


def _deviates(ballot: Ballot, one: int, party: Sequence[int]) -> bool | None:
    """None: it or the party did not speak, or the party has not two voices or does not agree."""
    voices = {ballot.sides[v] for v in party}
    if len(party) < 2 or len(voices) > 1 or None in voices or ballot.sides[one] is None:
        return None
    return ballot.sides[one] not in voices


def _errors(ballots: Sequence[Ballot], panel: Panel) -> list[float]:
    """Of the target, then of each reference: how often it deviates from the others, never quite 0."""
    voices = range(1, panel.size + 1)
    target = _rate([_deviates(b, 0, list(voices)) for b in ballots])
    rates = [target, *(r.deviates for r in by_reference(ballots))]
    return [(r.hits + panel.error) / (r.asked + 1) for r in rates]


def _likely_wrong(
    ballot: Ballot, pair: Sequence[int], party: Sequence[int], panel: Panel, errors: Sequence[float]
) -> float:
    """Where the pair has one answer and the party another: the odds that the pair errs.

    More than two third parties are believed. In a tie of two against two the odds are those of the two joint errors,
    with the target's errors taken as its own, and the target, if it is not in the tie, is heard as a witness.
    """
    if len(party) > 2:
        return 1.0

    def both(i: int, j: int) -> float:
        shared = 0.0 if 0 in (i, j) else panel.correlation
        one, other = errors[i], errors[j]
        return one * other + shared * sqrt(one * (1 - one) * other * (1 - other))

    here, there = both(pair[0], pair[1]), both(party[0], party[1])
    if 0 not in party:
        wrong_too = errors[0] * panel.same  # the target, and with the same wrong answer
        for voices, right in ((party, True), (pair, False)):
            if ballot.sides[0] == ballot.sides[voices[0]]:
                here *= 1 - errors[0] if right else wrong_too
                there *= wrong_too if right else 1 - errors[0]
    return here / (here + there)


def _pair(ballots: Sequence[Ballot], i: int, j: int, panel: Panel, errors: Sequence[float]) -> Pair:
    party = [v for v in range(0 if panel.size == 3 else 1, panel.size + 1) if v not in (i, j)]
    n, one, other, same, differ = 0, 0.0, 0.0, 0.0, 0.0
    for b in ballots:
        first, second = _deviates(b, i, party), _deviates(b, j, party)
        if first is None or second is None:
            continue
        n += 1
        joint = first and second
        alike = joint and b.sides[i] == b.sides[j]
        weight = _likely_wrong(b, (i, j), party, panel, errors) if alike else 1.0
        one, other = one + weight * first, other + weight * second
        same, differ = same + weight * alike, differ + (joint and not alike)
    both = same + differ
    spread = sqrt(one * (n - one) * other * (n - other)) if n else 0.0
    phi = (n * both - one * other) / spread if spread else None
    seen = one + other - both  # probes on which either deviated: what there is to go by
    drawn = panel.correlation if phi is None else (seen * phi + _WEIGHT * panel.correlation) / (seen + _WEIGHT)
    return Pair(first=i - 1, second=j - 1, asked=n, together=both, same=same, phi=phi, correlation=drawn)
