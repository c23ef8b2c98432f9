"""What the auditor is paid.

Source: arXiv:2512.16921: the reward is s, 1 where target and consensus differ, else 0 (`paper_reward`, the baseline).
Ours: `gated_reward` = gate x disagreement x novelty. Plain disagreement collapses to one question and pays for nonsense
on which the references agree (docs/log.md); neither reward ever sees the truth.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from math import sqrt

from auditdm.method.verdict import UNANSWERABLE
from auditdm.types import Verdict

FINE = 0.2


def paper_reward(verdict: Verdict | None) -> float | None:
    """Pay a failure 1, as published.

    Args:
        verdict: None where the auditor's reply was no proposal: its own fault, 0.

    Returns:
        1 for a failure, 0 for agreement or a split, None where nothing was measured.

    Source: arXiv:2512.16921, s. Differs: a split pays 0 and what could not be measured pays nothing.

    Example:
        >>> paper_reward(Verdict(probe_id="p", outcome="failure", consensus="two", dissent=1.0)), paper_reward(None)
        (1.0, 0.0)
    """
    if verdict is None:
        return 0.0
    return None if verdict.outcome == "void" else float(verdict.outcome == "failure")


def gated_reward(
    verdict: Verdict | None, self_consistent: bool | None, novelty: float, *, fine: float = FINE
) -> float | None:
    """Pay a failure by the share of references that it is against and by how new it is.

    Args:
        verdict: None where the auditor's reply was no proposal, or asked for a picture that cannot be made: its own fault,
            for which it is fined, as for a question that a reference says cannot be answered.
        self_consistent: Whether the references kept their answers in other words; None where that could not be measured
            (then nothing is paid and nothing is taught). Only asked of failures.
        novelty: In [0, 1], of `archive.Archive.novelty`, times the factor of `group_diversity`.
        fine: What the auditor's own fault costs.

    Returns:
        In [-fine, 1], or None where nothing was measured.

    Source: ours; a penalty for queries that are no questions after arXiv:2604.04733.

    Example:
        >>> alone = Verdict(probe_id="p", outcome="failure", consensus="two", dissent=1.0)
        >>> gated_reward(alone, True, novelty=0.55), gated_reward(alone, False, 0.55), gated_reward(alone, None, 0.55)
        (0.55, 0.0, None)
        >>> broken = Verdict(probe_id="p", outcome="split", dissent=1.0, reason=UNANSWERABLE)
        >>> gated_reward(broken, None, 0.0), gated_reward(None, None, 0.0)
        (-0.2, -0.2)
    """
    if verdict is None or verdict.reason == UNANSWERABLE:
        return -fine
    if verdict.outcome == "void" or (verdict.outcome == "failure" and self_consistent is None):
        return None
    if verdict.outcome != "failure" or not self_consistent:
        return 0.0
    assert verdict.dissent is not None
    return verdict.dissent * novelty


def group_diversity(cells: Sequence[Hashable | None], group: int) -> list[float]:
    """Share the pay of one cell among the siblings that hit it, so that a group earns by its distinct cells.

    Args:
        cells: N cells of what was asked, groups one after the other; None for what is no hit, or was not free in what it
            asks because the question was given.
        group: Replies to one request; N is a multiple of it.

    Returns:
        N factors, 1 / sqrt(n) for a hit that shares its cell with n - 1 siblings, 1 for None: a cell that is hit again
        earns more in all and less each. At 1 / n the second hit would earn nothing, and hits would not be learned.

    Source: arXiv:2509.02534, reward x normalised diversity. Differs: distinct cells instead of distances by a trained
        classifier, a lone hit is paid in full, and the square root (docs/log.md).

    Example:
        >>> [round(f, 3) for f in group_diversity(["a", "a", "b", "a", "a", None, None, None], group=4)]
        [0.577, 0.577, 1.0, 0.577, 1.0, 1.0, 1.0, 1.0]
    """
    if len(cells) % group:
        raise ValueError(f"{len(cells)} replies are no whole groups of {group}")
    among = [Counter(cells[n - n % group : n - n % group + group])[cell] for n, cell in enumerate(cells)]
    return [1.0 if cell is None else 1 / sqrt(count) for cell, count in zip(cells, among, strict=True)]
