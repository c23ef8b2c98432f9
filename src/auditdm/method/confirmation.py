"""The ledger: which named modes are findings, and why the others are not.

A mode is confirmed on probes that nobody had seen when it was named. Five states:
    confirmed             it fails on fresh probes more often than the target does on the same pictures, than random
                          groups of its size do, and again when it is asked again
    not confirmed         it does not
    too few               fewer than `least` fresh probes could be measured
    consensus unreliable  the references disagree inside it far more often than elsewhere: whose fault it is is not known
    noise                 it fails, but not again when asked in other words

Source: ours, after arXiv:2606.09046 (decoys, held-out confirmation) and Y. Benjamini and Y. Hochberg (1995).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from scipy.stats import false_discovery_control, fisher_exact, hypergeom

from auditdm.method.predicate import Predicate
from auditdm.stats import Rate

State = Literal["confirmed", "not confirmed", "too few", "consensus unreliable", "noise"]
LEAST = 64  # fresh probes, measured
FDR = 0.05
LIFT = 0.1  # above the target's rate on the same pictures: less is no failure mode that anybody would repair
_SPLIT_LIFT = 0.08  # share of disagreements above the usual one that makes a consensus unreliable
_BESIDE = 20  # probes on the same pictures that are enough to hold a mode against
_DECOY = 0.99  # of random groups of the same size fail less often


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What was measured of one named mode on fresh probes."""

    predicate: Predicate
    inside: Rate  # failures, of what could be measured
    base: Rate  # the same for other questions on the same pictures
    splits: Rate  # of what was posed inside: the references gave no consensus
    base_splits: Rate  # of what was posed at all
    again: Rate  # failures inside that failed again in other words, of those that were asked again
    usual: Rate  # failures among the auditor's unchosen probes: the population that decoys are drawn from
    explained_by: Predicate | None = None  # a better name for the same failures, found later

    @property
    def rival(self) -> tuple[Rate, str]:
        """What a mode is held against, in words: other questions on the same pictures.

        Of a mode that holds of whole pictures there are hardly any: then the unchosen probes outside it.
        """
        if self.base.asked >= min(_BESIDE, self.inside.asked) or not self.usual.asked:
            return self.base, "others on the same pictures"
        return self.usual, "probes on other pictures: all that is asked of these is inside"


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One line of the ledger."""

    evidence: Evidence
    state: State
    reason: str
    p: float | None  # Fisher's exact test, one-sided, inside against base; None where too few
    q: float | None  # after Benjamini and Hochberg, over the modes that were tested
    decoy_floor: float | None  # rate that one random group in a hundred of the same size exceeds

    @property
    def predicate(self) -> Predicate:
        """The mode."""
        return self.evidence.predicate


def ledger(evidence: Sequence[Evidence], *, least: int = LEAST, fdr: float = FDR, lift: float = LIFT) -> list[Entry]:
    """Say of each named mode whether it is a finding.

    Args:
        evidence: M modes, every one that was tested: leaving out the dull ones would spoil the rate of false discoveries.
        least: Fresh probes that have to be measured.
        fdr: Bound of the false discovery rate.
        lift: Least distance to the rate on the same pictures.

    Returns:
        M entries in order.

    Source: the head of this module.

    Example:
        >>> of = Rate(30, 64), Rate(1, 64), Rate(2, 66), Rate(60, 1000), Rate(29, 30), Rate(20, 1000)
        >>> names = ("inside", "base", "splits", "base_splits", "again", "usual")
        >>> [entry] = ledger([Evidence(predicate=Predicate(), **dict(zip(names, of)))])
        >>> entry.state, entry.reason
        ('confirmed', '30 of 64 fresh probes fail; 1 of 64 others on the same pictures')
    """
    p_values = [_p(e) if e.inside.asked >= least and e.rival[0].asked else None for e in evidence]
    tested = [p for p in p_values if p is not None]
    q_values = iter(false_discovery_control(tested) if tested else ())
    return [
        _entry(e, p, float(next(q_values)) if p is not None else None, least, fdr, lift)
        for e, p in zip(evidence, p_values, strict=True)
    ]


def decoy_floor(usual: Rate, size: int) -> float | None:
    """The rate of failures that one in a hundred random groups of this size exceeds.

    Exact (hypergeometric) instead of drawn; None where nothing was measured.
    """
    if not usual.asked or not size:
        return None
    size = min(size, usual.asked)
    return float(hypergeom(usual.asked, usual.hits, size).ppf(_DECOY)) / size


def _p(e: Evidence) -> float:
    rival, _ = e.rival
    table = [[e.inside.hits, e.inside.asked - e.inside.hits], [rival.hits, rival.asked - rival.hits]]
    return float(fisher_exact(table, alternative="greater").pvalue)


def _entry(e: Evidence, p: float | None, q: float | None, least: int, fdr: float, lift: float) -> Entry:
    floor = decoy_floor(e.usual, e.inside.asked)

    def say(state: State, reason: str) -> Entry:
        return Entry(evidence=e, state=state, reason=reason, p=p, q=q, decoy_floor=floor)

    if e.explained_by is not None:
        return say("not confirmed", f"what fails here is told better by: {e.explained_by.words()}")
    if unreliable := _unreliable(e):
        return say("consensus unreliable", unreliable)
    if p is None or q is None or floor is None:
        if e.inside.asked >= least:
            return say("too few", "nothing beside it could be measured, so there is no rate to compare with")
        lost = f"; {e.inside.void} could not be judged" if e.inside.void else ""
        return say("too few", f"{e.inside.asked} fresh probes measured of the {least} needed{lost}")
    here = f"{e.inside.hits} of {e.inside.asked} fresh probes fail"
    rival, where = e.rival
    there = f"{rival.hits} of {rival.asked} {where}"
    low, value = _low(e.inside), e.inside.value or 0.0
    if q > fdr or value < (rival.value or 0.0) + lift:
        return say("not confirmed", f"{here}; {there} (q = {q:.2g})")
    if low <= floor:
        return say("not confirmed", f"{here}; one in a hundred random groups of this size fails at {floor:.0%} or more")
    if e.again.asked:
        repeated = round(e.inside.hits * (e.again.value or 0.0))
        if _low(Rate(min(repeated, e.inside.asked), e.inside.asked)) <= floor or (e.again.value or 0.0) < 0.5:
            return say("noise", f"{here}, but only {e.again.hits} of {e.again.asked} again when asked in other words")
    once = "" if e.again.asked else "; not asked again in other words"
    return say("confirmed", f"{here}; {there}{once}")


def _unreliable(e: Evidence) -> str | None:
    """Why the references are not to be believed here, if they are not."""
    if e.splits.asked and e.base_splits.asked and _low(e.splits) > (e.base_splits.value or 0.0) + _SPLIT_LIFT:
        return (
            f"the references disagree on {e.splits.hits} of {e.splits.asked} probes inside, "
            f"and on {e.base_splits.hits} of {e.base_splits.asked} elsewhere"
        )
    return None


def _low(rate: Rate) -> float:
    interval = rate.interval
    return interval[0] if interval else 0.0
