"""What the auditor is paid.

Source: arXiv:2512.16921: the reward is s, 1 where target and consensus differ, else 0 (`paper_reward`, the baseline).
Ours: `gated_reward` = gate x disagreement x novelty. Plain disagreement collapses to one question and pays for nonsense
on which the references agree (docs/log.md); neither reward ever sees the truth.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from auditdm.types import Verdict


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


def gated_reward(verdict: Verdict | None, self_consistent: bool | None, novelty: float) -> float | None:
    """Pay a failure by the share of references that it is against and by how new it is.

    Args:
        verdict: None where the auditor's reply was no proposal: its own fault, 0.
        self_consistent: Whether the references kept their answers in other words; None where that could not be measured
            (then nothing is paid and nothing is taught). Only asked of failures.
        novelty: In [0, 1], of `Archive.novelty`.

    Returns:
        In [0, 1], or None where nothing was measured.

    Source: ours.

    Example:
        >>> alone = Verdict(probe_id="p", outcome="failure", consensus="two", dissent=1.0)
        >>> gated_reward(alone, True, novelty=0.55), gated_reward(alone, False, 0.55), gated_reward(alone, None, 0.55)
        (0.55, 0.0, None)
    """
    if verdict is None:
        return 0.0
    if verdict.outcome == "void" or (verdict.outcome == "failure" and self_consistent is None):
        return None
    if verdict.outcome != "failure" or not self_consistent:
        return 0.0
    assert verdict.dissent is not None
    return verdict.dissent * novelty


_WORD = re.compile(r"\w+")


class Archive:
    """What the latest hits asked, by their words.

    Two hits ask the same when the words of their question and of the agreed answer overlap by at least `alike`
    (Jaccard): a question that only changes a detail is not new, one with another answer or another subject is. The
    novelty of a hit falls with the share of all other hits, of the archive and of its own batch, that ask the same.

    Source: ours, after the group factor of arXiv:2509.02534 and curiosity-driven red teaming. Differs: words instead of
    an embedding, and a memory of the trajectory.

    Example:
        >>> archive = Archive()
        >>> archive.novelty([("How many dogs?", "two"), ("How many dogs?", "two"), ("What time is it?", "noon")])
        [0.5, 0.5, 1.0]
    """

    def __init__(self, *, memory: int = 768, alike: float = 0.5, saturation: float = 0.3, floor: float = 0.5) -> None:
        """Start empty.

        Args:
            memory: Hits that are remembered.
            alike: Least Jaccard overlap of two hits that ask the same, in (0, 1].
            saturation: Share of the other hits at which asking the same earns only the floor, in (0, 1].
            floor: What the most repeated hit still earns, in [0, 1).
        """
        self._words: deque[frozenset[str]] = deque(maxlen=memory)
        self.alike, self.saturation, self.floor = alike, saturation, floor

    def novelty(self, hits: Sequence[tuple[str, str]]) -> list[float]:
        """Say how new each hit of a batch is, and remember the batch.

        Args:
            hits: N pairs of a question and its consensus.

        Returns:
            N values in [floor, 1], linear in the share of the other hits that ask the same: 1 for none, the floor for
            `saturation` and more.

        Cost: words x batch x memory multiplications.
        """
        batch = [_hit(question, consensus) for question, consensus in hits]
        if not batch:
            return []
        known = [*self._words, *batch]
        index = {w: n for n, w in enumerate(sorted({w for words in known for w in words}))}
        of_known, of_batch = _table(known, index), _table(batch, index)
        shared = of_batch @ of_known.T
        union = of_batch.sum(1)[:, None] + of_known.sum(1)[None, :] - shared
        others = (shared >= self.alike * union - 1e-4).sum(1) - 1  # every hit asks the same as itself
        share = others / max(1, len(known) - 1)
        self._words.extend(batch)
        return [float(self.floor + (1 - self.floor) * max(0.0, 1 - s / self.saturation)) for s in share]

    def remember(self, hits: Iterable[tuple[str, str]]) -> None:
        """Take hits of an earlier session into the memory, oldest first."""
        self._words.extend(_hit(question, consensus) for question, consensus in hits)


def _hit(question: str, consensus: str) -> frozenset[str]:
    return frozenset(_WORD.findall(f"{question} {consensus}".lower()))


def _table(sets: Sequence[frozenset[str]], index: dict[str, int]) -> np.ndarray[Any, np.dtype[np.float32]]:
    table = np.zeros((len(sets), len(index)), np.float32)
    for row, words in enumerate(sets):
        table[row, [index[w] for w in words]] = 1.0
    return table
