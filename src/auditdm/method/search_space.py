"""Measured probes as a table of attributes.

Shapes: N views of probes (most probes have one; auditdm.method.attributes), F attributes, K failing views, B predicates at
once.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np

from auditdm.method.predicate import Literal, Predicate, kind_of

Array = np.ndarray[Any, Any]
_SUPPORT = 6  # probes that an attribute has to have, and to lack, in order to be considered
_SHARED = (
    0.6  # values of one slot ("red", "blue") occur together less often than chance would have them, by this factor
)
_ALIKE = 0.25  # share of the ways of asking that two answers have to have in common


class Phrases:
    """Every attribute met so far, numbered, so that a probe's attributes are a few small numbers."""

    def __init__(self) -> None:
        self.known: list[str] = []
        self._number: dict[str, int] = {}

    def numbers(self, attributes: Collection[str]) -> Array:
        """The numbers of a probe's attributes."""
        number, known = self._number, self.known
        for phrase in attributes:
            if phrase not in number:
                number[phrase] = len(known)
                known.append(phrase)
        return np.fromiter((number[p] for p in attributes), np.int32, len(attributes))


class Table:
    """The views of measured probes: which attributes each has, and which failed.

    Args:
        phrases: Names the numbers.
        views: For each probe its views, each the numbers of its attributes.
        failed: For each probe, whether it failed.

    Attributes that all or nearly all probes share are left out, and of those that hold of the same probes all but the
    shortest phrase.
    """

    def __init__(self, phrases: Phrases, views: Sequence[Sequence[Array]], failed: Sequence[bool]) -> None:
        numbers = [view for of_probe in views for view in of_probe]
        count = len(numbers)
        self.probe = np.repeat(np.arange(len(views)), [len(of_probe) for of_probe in views])  # (N,): whose view it is
        self.failed = np.asarray(failed, bool)[self.probe]
        flat = np.concatenate(numbers) if count else np.zeros(0, np.int32)
        times = np.bincount(flat, minlength=len(phrases.known))
        often = np.flatnonzero((times >= _SUPPORT) & (times <= count - _SUPPORT))
        names = [phrases.known[n] for n in often]
        order = sorted(range(len(names)), key=lambda n: (_rank(names[n]), len(names[n]), names[n]))
        column = np.full(len(phrases.known), -1)
        column[often[order]] = np.arange(len(order))
        at = column[flat]
        rows = np.repeat(np.arange(count), [len(n) for n in numbers])
        table = np.zeros((len(order), count), bool)
        table[at[at >= 0], rows[at >= 0]] = True
        first: dict[bytes, int] = {}
        for n, held_by in enumerate(np.packbits(table, axis=1)):
            first.setdefault(held_by.tobytes(), n)
        chosen = sorted(first.values())
        self.phrases = [names[order[n]] for n in chosen]
        self.has_FN = table[chosen]
        self.index = {p: n for n, p in enumerate(self.phrases)}
        self.kind = [kind_of(p) for p in self.phrases]
        self._has_NF = np.ascontiguousarray(self.has_FN.T).astype(np.float32)
        self._times = self.has_FN.sum(1)
        self._pairs: Array | None = None
        self._of_kind = {k: np.flatnonzero([one == k for one in self.kind]) for k in set(self.kind)}

    def where(self, predicate: Predicate) -> Array:
        """(N,) bool: of which views it holds."""
        mask = np.ones(len(self.failed), bool)
        for literal in predicate.literals:
            mask &= self.holds([self.index[p] for p in literal.any_of if p in self.index], literal.negated)
        return mask

    def whole(self, mask: Array) -> Array:
        """(N,) bool: all views of the probes that have one in the mask."""
        held = np.zeros(int(self.probe[-1]) + 1 if len(self.probe) else 0, bool)
        held[self.probe[mask]] = True
        return held[self.probe]

    def probes(self, mask: Array) -> int:
        """How many probes have a view in the mask."""
        return len(np.unique(self.probe[mask]))

    def holds(self, values: Sequence[int], negated: bool) -> Array:
        """(N,) bool: which probes have one of these attributes, or none of them if negated."""
        held: Array = np.any(self.has_FN[list(values)], axis=0)
        return np.not_equal(held, negated)

    def sums(self, masks_BN: Array, weights_WN: Array) -> Array:
        """(W, B, F): for each attribute the weights of the views among those of each mask that have it, added up.

        Cost: W * B * F times the views that are in any mask; reading the table is what takes the time.
        """
        rows = np.flatnonzero(masks_BN.any(0))
        there = self._has_NF if 2 * len(rows) > len(self._has_NF) else self._has_NF[rows]
        masks, weights = (masks_BN, weights_WN) if there is self._has_NF else (masks_BN[:, rows], weights_WN[:, rows])
        stacked = (
            (weights[:, None, :] * masks[None, :, :])
            .reshape(len(weights) * len(masks), masks.shape[1])
            .astype(np.float32)
        )
        return (stacked @ there).reshape(len(weights), len(masks), -1)

    def may_join(self, values: Sequence[int], *, alone: bool) -> Array:
        """Numbers of the attributes that may stand beside these in one condition: other values of the same slot.

        "red" and "blue" are of one slot, "red" and "row1" are not: things have both. Answers are of one slot where they
        answer the same ways of asking, so that "4 or purple" is nothing. Where a condition stands alone, the same goes
        for ways of asking and what they are answered with.

        Args:
            values: Numbers of attributes, of one kind.
            alone: Whether nothing else is demanded.
        """
        kind = self.kind[values[0]]
        if kind not in ("asks", "says", "answer", "about", "shows"):
            return np.zeros(0, np.int64)
        same: Array = np.setdiff1d(self._of_kind[kind], values)
        if not len(same):
            return same
        mine = self.holds(values, False)
        if kind in ("says", "about", "shows"):
            together = self.sums(mine[None], np.ones((1, len(mine))))[0, 0][same]
            same = same[together <= _SHARED * self._times[same] * mine.mean()]
        if len(same) and (kind == "answer" or (alone and kind == "asks")):
            beside = self._of_kind.get("asks" if kind == "answer" else "answer", np.zeros(0, np.int64))
            own = self.sums(mine[None], np.ones((1, len(mine))))[0, 0][beside]
            its = self._together(beside, same)
            common = np.minimum(own[:, None] / max(1.0, own.sum()), its / np.maximum(1.0, its.sum(0))).sum(0)
            same = same[common >= _ALIKE]
        return same

    def _together(self, ones: Array, others: Array) -> Array:
        """(ones, others): views that have both; asked again and again for the same kinds, so all pairs are kept."""
        if self._pairs is None:
            kinds = [self._of_kind.get(k, np.zeros(0, np.int64)) for k in ("asks", "answer")]
            self._pairs = np.zeros((len(self.phrases), len(self.phrases)), np.float32)
            both = self._has_NF[:, kinds[0]].T @ self._has_NF[:, kinds[1]]
            self._pairs[np.ix_(kinds[0], kinds[1])] = both
            self._pairs[np.ix_(kinds[1], kinds[0])] = both.T
        found: Array = self._pairs[np.ix_(ones, others)]
        return found


def _rank(phrase: str) -> int:
    """Which of two phrases that say the same is said: how it is asked, what is answered, what it is about, what is shown."""
    order = ("asks", "answer", "says", "about", "things", "shows", "begins")
    kind = kind_of(phrase)
    return order.index(kind) if kind in order else len(order)


def predicate_of(table: Table, draft: Sequence[tuple[Sequence[int], bool]]) -> Predicate:
    """The conjunction of conditions that are given by the numbers of their attributes."""
    return Predicate.of(
        *(Literal(tuple(sorted(table.phrases[f] for f in values)), negated) for values, negated in draft)
    )
