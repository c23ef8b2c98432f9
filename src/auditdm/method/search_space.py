"""Measured probes as a table of attributes.

Shapes: N probes of at most V views (most have one; auditdm.method.attributes), F attributes, W words of 64 probes.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np

from auditdm.method.archive import answer_kind
from auditdm.method.predicate import Literal, Predicate, kind_of

Array = np.ndarray[Any, Any]
Bits = np.ndarray[Any, np.dtype[np.uint64]]  # (W,): a set of probes; (V, W): a set of views
_SUPPORT = 6  # probes that an attribute has to have, and to lack, in order to be considered
_FAILING = 3  # failures that it has to be met in, unless it is common: then its absence may tell
_COMMON = 40
_SHARED = 0.6  # values of one slot ("red", "blue") occur together less often than by chance, by this factor
_OF_NOT = 1.5  # what a negated attribute counts beside a plain one: a name should say what is, where it can
_OF_NOTHING = 0.4  # and "not (answer none)", which every tenth name needs: it says that there is something to answer
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

    Sets are rows of bits, failing probes first, so that a thousand counts take milliseconds. A set of views has a row for
    the first view of each probe, one for the second, and so on; a predicate holds of a probe where it holds of one of them.

    Args:
        phrases: Names the numbers.
        views: For each probe its views, each the numbers of its attributes.
        failed: For each probe, whether it failed.

    Attributes that all or nearly all views share are left out, and of those that hold of the same views all but the
    shortest phrase.
    """

    def __init__(self, phrases: Phrases, views: Sequence[Sequence[Array]], failed: Sequence[bool]) -> None:
        failed_N = np.asarray(failed, bool)
        count, fails = len(failed_N), int(failed_N.sum())
        self._border = -(-fails // 64)  # first word of the probes that pass
        self._words = self._border - (-(count - fails) // 64)
        self._place = np.empty(count, np.int64)  # of each probe among the bits
        self._place[failed_N] = np.arange(fails)
        self._place[~failed_N] = 64 * self._border + np.arange(count - fails)
        numbers = [view for of_probe in views for view in of_probe]
        planes = max((len(of_probe) for of_probe in views), default=1)
        bits = np.repeat(self._place, [len(of_probe) for of_probe in views])
        bits += 64 * self._words * np.array([n for of_probe in views for n in range(len(of_probe))], np.int64)
        flat = np.concatenate(numbers) if numbers else np.zeros(0, np.int32)
        times = np.bincount(flat, minlength=len(phrases.known))
        of_failing = np.repeat(np.repeat(failed_N, [len(of_probe) for of_probe in views]), [len(n) for n in numbers])
        failing = np.bincount(flat[of_failing], minlength=len(phrases.known))
        telling = (failing >= _FAILING) | (times >= _COMMON)
        often = np.flatnonzero((times >= _SUPPORT) & (times <= len(numbers) - _SUPPORT) & telling)
        names = [phrases.known[n] for n in often]
        order = sorted(range(len(names)), key=lambda n: (_rank(names[n]), len(names[n]), names[n]))
        column = np.full(len(phrases.known), -1)
        column[often[order]] = np.arange(len(order))
        at = column[flat]
        rows = np.repeat(bits, [len(n) for n in numbers])
        held = np.zeros((len(order), planes * 64 * self._words), bool)
        held[at[at >= 0], rows[at >= 0]] = True
        packed = np.packbits(held, axis=1, bitorder="little").view(np.uint64)
        first: dict[bytes, int] = {}
        for n, held_by in enumerate(packed):
            first.setdefault(held_by.tobytes(), n)
        chosen = sorted(first.values())
        self.phrases = [names[order[n]] for n in chosen]
        self.index = {p: n for n, p in enumerate(self.phrases)}
        self.kind = [kind_of(p) for p in self.phrases]
        self._bits_FVW = np.ascontiguousarray(packed[chosen]).reshape(len(chosen), planes, self._words)
        everywhere = np.zeros(planes * 64 * self._words, bool)
        everywhere[bits] = True
        self.all_VW = np.packbits(everywhere, bitorder="little").view(np.uint64).reshape(planes, self._words)
        self._first_FW = np.ascontiguousarray(self._bits_FVW[:, 0])
        # of most attributes all views of a probe have the same: what is asked, what the picture shows
        self._varies = np.asarray(((self._bits_FVW ^ self._first_FW[:, None]) & self.all_VW).any((1, 2)))
        self._numbers = np.arange(len(self.phrases))
        probes = np.arange(count + 1)
        self.x_log_x = probes * np.log(np.maximum(probes, 1))  # of each number of probes
        self._answers = [_kind_of_answer(p) for p in self.phrases]
        self._views = len(numbers)
        self._times = np.bitwise_count(self._bits_FVW).sum((1, 2), dtype=np.int64)
        self._pairs: Array | None = None
        self._joins: dict[tuple[tuple[int, ...], bool], Array] = {}  # what may_join said
        self._slots: dict[int, list[str]] = {}
        self._words_of = [_shown(p) if k == "shows" else [p] for p, k in zip(self.phrases, self.kind, strict=True)]
        self.length_F = np.array([len(words) for words in self._words_of], np.int64)
        is_nothing = [k == "answer" and a == "nothing" for k, a in zip(self.kind, self._answers, strict=True)]
        self.length_of_not_F = np.where(is_nothing, _OF_NOTHING, _OF_NOT) * self.length_F
        self._of_kind = {k: np.flatnonzero([one == k for one in self.kind]) for k in set(self.kind)}

    def pack(self, mask_N: Array) -> Bits:
        """(W,): a set of probes as bits."""
        placed = np.zeros(64 * self._words, bool)
        placed[self._place] = mask_N
        packed: Bits = np.packbits(placed, bitorder="little").view(np.uint64)
        return packed

    def unpack(self, probes: Bits) -> Array:
        """(N,) bool: the inverse of `pack`."""
        unpacked: Array = np.unpackbits(probes.view(np.uint8), bitorder="little")[self._place].astype(bool)
        return unpacked

    def count(self, probes: Bits) -> Array:
        """(2, ...): failing and passing probes of each set (..., W)."""
        ones = np.bitwise_count(probes)
        border = self._border
        counted = np.empty((2, *probes.shape[:-1]), np.int64)
        np.add.reduce(ones[..., :border], axis=-1, dtype=np.int64, out=counted[0, ...])
        np.add.reduce(ones[..., border:], axis=-1, dtype=np.int64, out=counted[1, ...])
        return counted

    def of_each(self, views_VW: Bits, of: Array | slice, negated: bool) -> Bits:
        """(F, W): for each attribute the probes with a view in the set that has it, or that has it not if negated.

        Cost: 0.5 ms for 1,500 attributes and 14,000 probes.
        """
        probes: Bits = np.bitwise_or.reduce(views_VW, axis=0)
        found = self._first_FW[of] & probes
        if negated:
            found ^= probes
        wanted = self._numbers[of]
        varying = np.flatnonzero(self._varies[wanted])
        held = self._bits_FVW[wanted[varying]]
        found[varying] = 0
        for n in np.flatnonzero(views_VW.any(1)):
            met = held[:, n] & views_VW[n]
            found[varying] |= met ^ views_VW[n] if negated else met
        return found

    def holds(self, values: Sequence[int], negated: bool) -> Bits:
        """(V, W): which views have one of these attributes, or none of them if negated."""
        held: Bits = np.bitwise_or.reduce(self._bits_FVW[list(values)], axis=0)
        return self.all_VW & ~held if negated else held

    def of_kind(self, kind: str) -> Array:
        """Numbers of the attributes of a kind, such as "asks"."""
        found: Array = self._of_kind.get(kind, np.zeros(0, np.int64))
        return found

    def length(self, values: Sequence[int], negated: bool) -> float:
        """How much a condition says: one for each attribute, but what a picture shows says as much as it has words.

        Example: 3 for `shows "red cup" or "red dish"`.
        """
        if negated:
            return float(self.length_of_not_F[list(values)].sum())
        return len({word for value in values for word in self._words_of[value]})

    def may_join(self, values: Sequence[int], *, alone: bool) -> Array:
        """Numbers of the attributes that may stand beside these in one condition: other values of the same slot.

        "red" and "blue" are of one slot, "red" and "row1" are not: things have both. So are "red cup" and "blue cup" in a
        picture. Answers are of one slot where they are of one kind (a number, a letter, words, nothing at all) and answer the
        same ways of asking, so that neither "4 or purple" nor "none or purple" is anything. A single question may stand
        beside ways of asking. Where a condition stands alone, each two ways of asking have to be answered alike, but for
        "none": any question may be on what is not there.

        Args:
            values: Numbers of attributes, of one kind.
            alone: Whether nothing else is demanded.
        """
        key = tuple(values), alone
        if key not in self._joins:
            self._joins[key] = self._may_join(values, alone)
        return self._joins[key]

    def _may_join(self, values: Sequence[int], alone: bool) -> Array:
        kind = self.kind[values[0]]
        if kind == "the question":
            kind = "asks"
        if kind not in ("asks", "says", "answer", "about", "shows"):
            return np.zeros(0, np.int64)
        same: Array = np.setdiff1d(self.of_kind(kind), values)
        if kind == "asks":
            same = np.concatenate([same, np.setdiff1d(self.of_kind("the question"), values)])
        if not len(same):
            return same
        if kind == "answer":
            same = same[[self._answers[f] == self._answers[values[0]] for f in same]]
        if kind == "shows":
            return np.array(sorted(set.intersection(*(self._exchanged(v) for v in values))), np.int64)
        mine = self.holds(values, False)
        if kind in ("says", "about"):
            share = np.bitwise_count(mine).sum(dtype=np.int64) / max(1, self._views)
            same = same[self._together(mine, same) <= _SHARED * self._times[same] * share]
        if kind == "asks":
            same = same[self._together(mine, same) == 0]  # a question is of one form
        if len(same) and kind == "answer":
            same = same[self._alike(self._together(mine, self.of_kind("asks")), self.of_kind("asks"), same)]
        if alone and kind == "asks":
            answers = np.array([f for f in self.of_kind("answer") if self._answers[f] != "nothing"], np.int64)
            for value in values:
                same = same[self._alike(self._together(self._bits_FVW[value], answers), answers, same)]
        return same

    def _alike(self, own: Array, beside: Array, others: Array) -> Array:
        """(others,) bool: whether enough of what is met beside something, `own` times each, is met beside each of these."""
        its = self._asked_and_answered(beside, others)
        common = np.minimum(own[:, None] / max(1.0, own.sum()), its / np.maximum(1.0, its.sum(0))).sum(0)
        alike: Array = common >= _ALIKE
        return alike

    def _exchanged(self, value: int) -> set[int]:
        """What a picture may show instead of something: a blue cup or a red dish instead of a red cup."""
        words = self._words_of[value]
        swapped = (
            " ".join([*words[:n], new, *words[n + 1 :]]) for n, old in enumerate(words) for new in self._instead(old)
        )
        return {self.index[phrase] for what in swapped if (phrase := f'shows "{what}"') in self.index}

    def _instead(self, word: str) -> Sequence[str]:
        """The words of one slot with this one, by what questions are about: no thing is red and blue."""
        known = self.index.get(f'about "{word}"')
        if known is None:
            return ()
        if known not in self._slots:
            of = self.may_join((known,), alone=False)
            self._slots[known] = [word for f in of for word in _shown(self.phrases[f])]
        return self._slots[known]

    def _together(self, views_VW: Bits, others: Array) -> Array:
        """(others,): views of a set that have each of these attributes."""
        found: Array = np.bitwise_count(self._bits_FVW[others] & views_VW).sum((1, 2), dtype=np.int64)
        return found

    def _asked_and_answered(self, ones: Array, others: Array) -> Array:
        """(ones, others): views that have both; asked again and again for the same kinds, so all pairs are kept."""
        if self._pairs is None:
            answers = self.of_kind("answer")
            self._pairs = np.zeros((len(self.phrases), len(self.phrases)), np.int64)
            for one in (*self.of_kind("asks"), *self.of_kind("the question")):
                both = self._together(self._bits_FVW[one], answers)
                self._pairs[one, answers] = self._pairs[answers, one] = both
        found: Array = self._pairs[np.ix_(ones, others)]
        return found


def _shown(phrase: str) -> list[str]:
    """The words of an attribute such as `shows "red cup"` or `about "cup"`."""
    return phrase[phrase.index('"') + 1 : -1].split()


def _kind_of_answer(phrase: str) -> str:
    """Of an attribute such as `answer "7"` or `answer >= 7`; whatever for others."""
    found = answer_kind(phrase.removeprefix("answer ").strip('"'))
    return "number" if any(c.isdigit() for c in found) or found == "digit" or "=" in phrase else found


def _rank(phrase: str) -> int:
    """Which of two phrases that say the same is said: how it is asked, what is answered, what it is about, what is shown."""
    order = ("asks", "answer", "says", "about", "things", "shows")
    kind = kind_of(phrase)
    return order.index(kind) if kind in order else len(order)


def predicate_of(table: Table, draft: Sequence[tuple[Sequence[int], bool]]) -> Predicate:
    """The conjunction of conditions that are given by the numbers of their attributes."""
    return Predicate.of(
        *(Literal(tuple(sorted(table.phrases[f] for f in values)), negated) for values, negated in draft)
    )
