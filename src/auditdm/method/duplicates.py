"""Rows that several auditors wrote about one pool: what one has asked already is not taught twice.

Source: arXiv:2512.16921, rectification without labels: probes are pooled and de-duplicated. How is not known; the rule is
ours.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL.Image import Image, Resampling

SAME_WORDS = 0.8  # shared words of all words of two questions
SAME_LOOK = 12  # of 255: the largest difference between two pictures in one of their 16 x 16 fields
_FIELDS = (16, 16)


@dataclass(frozen=True, kw_only=True)
class Gathered:
    """One question on one picture with the answer to teach, and where it comes from."""

    probe_id: str
    source_id: str  # the pool's picture that it started from
    picture_id: str
    question: str
    answer: str


def deduplicated(
    rows: Sequence[Gathered], picture: Callable[[str], Image], *, known: Sequence[Gathered] = ()
) -> list[Gathered]:
    """Leave out what was asked before, word for word or nearly.

    Word for word: the same picture and the same words in the same order, whatever the answer. Nearly: pictures that
    started from the same one and look the same, the same answer, and at least `SAME_WORDS` of the words. Two questions
    of one word's difference with different answers both stay: such a pair teaches most.

    Args:
        rows: In the order of preference: of two alike the first stays.
        picture: Finds a picture by its id, RGB; asked only for pictures that differ and whose rows are otherwise alike.
        known: Rows that are there already; they are not returned.

    Returns:
        Those of `rows` that stay, in order.

    Source: ours.

    Cost: within the rows of one source and one answer, each with each.

    Example:
        >>> first = Gathered(probe_id="a", source_id="p", picture_id="p", question="How many dogs are there?", answer="two")
        >>> again = Gathered(probe_id="b", source_id="p", picture_id="p", question="how many dogs are there", answer="Two")
        >>> other = Gathered(probe_id="c", source_id="p", picture_id="p", question="How many cats are there?", answer="one")
        >>> [row.probe_id for row in deduplicated([first, again, other], lambda _: None)]
        ['a', 'c']
    """
    fields: dict[str, Any] = {}
    asked: set[tuple[str, tuple[str, ...]]] = set()
    alike: dict[tuple[str, tuple[str, ...]], list[tuple[str, frozenset[str]]]] = defaultdict(list)

    def look(name: str) -> Any:
        if name not in fields:
            fields[name] = np.asarray(picture(name).resize(_FIELDS, Resampling.BOX), np.int16)
        return fields[name]

    def same_look(one: str, other: str) -> bool:
        return one == other or bool(np.abs(look(one) - look(other)).max() <= SAME_LOOK)

    def is_new(row: Gathered) -> bool:
        words = _words(row.question)
        before = alike[row.source_id, _words(row.answer)]
        exact, bag = (row.picture_id, words), frozenset(words)
        new = exact not in asked and not any(_shared(bag, b) and same_look(row.picture_id, p) for p, b in before)
        if new:
            asked.add(exact)
            before.append((row.picture_id, bag))
        return new

    for row in known:
        is_new(row)
    return [row for row in rows if is_new(row)]


def _words(text: str) -> tuple[str, ...]:
    """The words without case and punctuation; a text that has none is its own word."""
    return tuple(re.findall(r"[\w+\-]+", text.casefold())) or (text.strip(),)


def _shared(one: frozenset[str], other: frozenset[str]) -> bool:
    return len(one & other) >= SAME_WORDS * len(one | other)
