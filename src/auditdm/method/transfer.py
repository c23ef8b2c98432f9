"""Transfer: which weaknesses of the audited model other models have too, and how alike two models fail.

A weakness is a model's own excess: how much more often it fails inside a named mode than on other questions about the
same pictures. So a model that is poor everywhere, or whose style the judge dislikes, shares nothing for that alone.
    shared      its excess is above `lift` for certain (lower end of the 95% interval), and stands Benjamini and Hochberg
                over all findings of this model: nearly what confirms a mode on the target, and stricter in that the
                interval of the difference decides, not the difference
    not shared  no excess can be told from none, and less than half of the target's is left (upper end)
    undecided   neither: more probes would tell
    void        nothing could be measured inside; never a zero
The corrections run over one model's findings, so that no verdict changes when another model is added.

Source: ours, after arXiv:2606.09878, which groups probes by which models fail them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Any, Literal

import numpy as np
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.stats import false_discovery_control, fisher_exact
from statsmodels.stats.inter_rater import cohens_kappa
from statsmodels.stats.proportion import confint_proportions_2indep

from auditdm.method.confirmation import FDR, LIFT
from auditdm.stats import CONFIDENCE, PairedDifference, Rate, paired_difference

Transfer = Literal["shared", "not shared", "undecided", "void"]
Outcomes = Mapping[str, bool | None]  # by probe: did the model fail? None: not measured
_Z = 1.959964  # of a 95% interval
_APART = 0.3  # two findings of one group differ by no more than this in any model's excess


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One finding on one model."""

    inside: Rate  # failures on the finding's fresh probes
    beside: Rate  # the same model's on other questions about the same pictures
    verdict: Transfer
    reason: str
    p: float | None = None  # Fisher's exact test, one-sided, inside against beside
    q: float | None = None  # after Benjamini and Hochberg, over this model's findings

    def as_dict(self) -> dict[str, Any]:
        """The form of a cell in `replays.json`."""
        between, value = excess_interval(self.inside, self.beside), excess(self.inside, self.beside)
        return {
            "inside": self.inside.as_dict(),
            "beside": self.beside.as_dict(),
            "excess": {"value": value, "ci95": list(between) if between else None},
            "verdict": self.verdict,
            "reason": self.reason,
            "p": self.p,
            "q": self.q,
        }


@dataclass(frozen=True, kw_only=True)
class Similarity:
    """How alike two models fail on the same probes."""

    agree: Rate  # both fail or both pass; void: not measured on one of them
    difference: PairedDifference  # of the shares that pass, the second's minus the first's
    kappa: float | None  # agreement beyond what their failure rates alone would give; None: one of them is constant
    interval: tuple[float, float] | None

    def as_dict(self) -> dict[str, Any]:
        """The form of a pair in `replays.json`."""
        return {
            "agree": self.agree.as_dict(),
            "difference": self.difference.as_dict(),
            "kappa": self.kappa,
            "ci95": list(self.interval) if self.interval else None,
        }


def excess(inside: Rate, beside: Rate) -> float | None:
    """Rate inside minus rate beside; None where one of them was not measured."""
    return None if inside.value is None or beside.value is None else inside.value - beside.value


def excess_interval(inside: Rate, beside: Rate) -> tuple[float, float] | None:
    """The 95% interval of the difference of two rates, from their Wilson intervals; None where one was not measured.

    Questions about one picture are taken as independent, which is cautious: what makes a picture hard raises both rates.

    Source: R. G. Newcombe, Interval estimation for the difference between independent proportions, Statistics in
    Medicine 17, 1998, method 10.

    Example:
        >>> [round(end, 4) for end in excess_interval(Rate(56, 70), Rate(48, 80))]  # Newcombe's first example
        [0.0524, 0.3339]
    """
    if not inside.asked or not beside.asked:
        return None
    low, high = confint_proportions_2indep(
        inside.hits, inside.asked, beside.hits, beside.asked, method="newcomb", compare="diff", alpha=1 - CONFIDENCE
    )
    return float(low), float(high)


def column(
    measured: Sequence[tuple[Rate, Rate]], own: Sequence[tuple[Rate, Rate]], *, lift: float = LIFT, fdr: float = FDR
) -> list[Cell]:
    """Say of each finding whether a model shares it.

    Args:
        measured: F pairs of the model: failures inside the finding and beside it.
        own: F pairs of the target whose findings they are.
        lift: Excess that nobody would leave.
        fdr: Bound of the false discovery rate over the F findings.

    Returns:
        F cells in order.

    Source: the head of this module.

    Example:
        >>> found = column([(Rate(40, 64), Rate(2, 64)), (Rate(1, 64), Rate(1, 64)), (Rate(0, 0, 64), Rate(0, 0, 64))],
        ...                [(Rate(50, 64), Rate(2, 64))] * 3)
        >>> [cell.verdict for cell in found]
        ['shared', 'not shared', 'void']
    """
    tests = [_p(inside, beside) if inside.asked and beside.asked else None for inside, beside in measured]
    told = [p for p in tests if p is not None]
    corrected = iter(false_discovery_control(told) if told else ())
    cells = []
    for (inside, beside), (here, there), p in zip(measured, own, tests, strict=True):
        q = None if p is None else float(next(corrected))
        verdict, reason = _judged(inside, beside, excess(here, there), q, lift, fdr)
        cells.append(Cell(inside=inside, beside=beside, verdict=verdict, reason=reason, p=p, q=q))
    return cells


def _judged(
    inside: Rate, beside: Rate, own: float | None, q: float | None, lift: float, fdr: float
) -> tuple[Transfer, str]:
    if not inside.asked:
        return "void", f"none of {inside.void} probes could be measured" if inside.void else "not asked"
    here = f"{inside.hits} of {inside.asked} probes fail"
    between = excess_interval(inside, beside)
    if between is None or q is None:
        return "undecided", f"{here}; nothing was measured beside them"
    told = f"{here}, {beside.hits} of {beside.asked} beside them: {between[0]:+.0%} to {between[1]:+.0%}"
    if between[0] > lift and q <= fdr:
        return "shared", f"{told}, certainly above {lift:+.0%}"
    if between[0] <= 0.0 and own is not None and between[1] < own / 2:
        return "not shared", f"{told}, certainly below half of the target's {own:+.0%}"
    return "undecided", f"{told}; more probes would tell"


def _p(inside: Rate, beside: Rate) -> float:
    table = [[inside.hits, inside.asked - inside.hits], [beside.hits, beside.asked - beside.hits]]
    return float(fisher_exact(table, alternative="greater").pvalue)


def whose(verdicts: Mapping[str, Transfer]) -> str:
    """Say in words whose a finding is.

    Args:
        verdicts: By the name of each other model.

    Example:
        >>> whose({"a": "not shared", "b": "not shared"}), whose({"a": "shared", "b": "undecided"}), whose({"a": "void"})
        ("the target's own: not shared by a, b", 'shared by a; undecided: b', 'not known: void: a')
    """
    parts = {
        verdict: ", ".join(name for name, said in verdicts.items() if said == verdict)
        for verdict in ("shared", "not shared", "undecided", "void")
    }
    words = {
        "shared": "shared by {}",
        "not shared": "not shared by {}",
        "undecided": "undecided: {}",
        "void": "void: {}",
    }
    told = "; ".join(words[verdict].format(names) for verdict, names in parts.items() if names)
    if set(verdicts.values()) == {"not shared"}:
        return f"the target's own: {told}"
    return told if parts["shared"] or parts["not shared"] else f"not known: {told or 'no other model was asked'}"


def similarity(first: Outcomes, second: Outcomes, picture_of: Mapping[str, str]) -> Similarity:
    """Compare how two models fail on the same probes.

    The probes are those of one target's findings, where failures are common on purpose: the figure says how alike the
    two are on them, and not how alike they are.

    Args:
        first: Outcomes of one model; only probes that both were asked count.
        second: Outcomes of the other.
        picture_of: By probe: several probes on one picture are not independent.

    Returns:
        Agreement, paired difference, and Cohen's kappa with its 95% interval: the wider of the one for independent
        probes, with half a probe added to each of the four counts, and the jackknife over pictures.

    Source: J. Cohen (1960); J. L. Fleiss, J. Cohen and B. S. Everitt (1969) for the interval; the use of kappa for
    errors of models: R. Geirhos et al., Beyond accuracy, NeurIPS 2020.

    Example:
        >>> failed = {"a": True, "b": False, "c": True, "d": None}
        >>> alike = similarity(failed, failed, {})
        >>> alike.kappa, alike.agree.hits, alike.agree.asked, alike.agree.void
        (1.0, 3, 3, 1)
    """
    both = [probe for probe in first if probe in second]
    one, other = [first[p] for p in both], [second[p] for p in both]
    measured = [
        (picture_of.get(p, p), bool(f), bool(s))
        for p, f, s in zip(both, one, other, strict=True)
        if f is not None and s is not None
    ]
    counts = Counter((f, s) for _, f, s in measured)
    square = np.array([[counts[f, s] for s in (True, False)] for f in (True, False)], float)
    kappa = _kappa(square)
    return Similarity(
        agree=Rate(counts[True, True] + counts[False, False], len(measured), len(both) - len(measured)),
        difference=paired_difference([_passed(f) for f in one], [_passed(s) for s in other]),
        kappa=kappa,
        interval=None if kappa is None else _kappa_interval(square, measured),
    )


def _passed(failed: bool | None) -> bool | None:
    return None if failed is None else not failed


def _kappa(square: np.ndarray) -> float | None:
    """None where one of the two never or always fails: then their agreement says nothing."""
    total, rows, columns = square.sum(), square.sum(1), square.sum(0)
    if not total or 0.0 in rows or 0.0 in columns:
        return None
    chance = float(rows @ columns) / total**2
    return float((np.trace(square) / total - chance) / (1 - chance))


def _kappa_interval(square: np.ndarray, measured: Sequence[tuple[str, bool, bool]]) -> tuple[float, float]:
    smooth = square + 0.5
    centre = _kappa(smooth) or 0.0
    parts: dict[str, np.ndarray] = {}
    for picture, f, s in measured:
        parts.setdefault(picture, np.zeros((2, 2)))[int(not f), int(not s)] += 1
    left = np.array([_kappa(smooth - part) or 0.0 for part in parts.values()])
    jackknife = sqrt((len(left) - 1) / len(left) * float(((left - left.mean()) ** 2).sum()))
    half = _Z * max(jackknife, float(cohens_kappa(smooth).std_kappa))
    exact = _kappa(square) or 0.0
    return max(-1.0, min(centre, exact) - half), min(1.0, max(centre, exact) + half)


def alike(excess_FM: Sequence[Sequence[float | None]], *, apart: float = _APART) -> list[int]:
    """Group findings by which other models have them, and how much.

    Args:
        excess_FM: F findings by M other models; None where not measured.
        apart: Complete linkage: two findings of one group differ by at most this on every model that measured both.

    Returns:
        F numbers of groups, from 0 in the order of appearance. Two findings without a common model are apart.

    Example:
        >>> alike([[0.6, 0.0], [0.1, 0.1], [0.5, 0.1], [None, None]])
        [0, 1, 0, 2]
    """
    if len(excess_FM) < 2:
        return [0] * len(excess_FM)
    found = [
        max((abs(a - b) for a, b in zip(one, other, strict=True) if a is not None and b is not None), default=2.0)
        for n, one in enumerate(excess_FM)
        for other in excess_FM[n + 1 :]
    ]
    labels = fcluster(linkage(found, method="complete"), apart, criterion="distance").tolist()
    order = {label: n for n, label in enumerate(dict.fromkeys(labels))}
    return [order[label] for label in labels]
