"""Failures become lessons: what the references agree on is the label, and agreements are replayed against forgetting.

Source: arXiv:2512.16921, rectification without labels: questions, pictures and consensus pseudo-labels. Differs:
replayed agreements, kinds that take turns, and an equally large random control are ours.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from auditdm.types import seed_for


@dataclass(frozen=True, kw_only=True)
class Lesson:
    """One training row. Who labelled it: the references' consensus, never the target and never the truth."""

    probe_id: str
    picture_id: str
    question: str
    answer: str
    origin: Literal["failure", "replay", "random"]


@dataclass(frozen=True, kw_only=True)
class Decided:
    """A probe on which the references agree."""

    probe_id: str
    picture_id: str
    question: str
    consensus: str
    failed: bool


def audited_lessons(decided: Sequence[Decided], *, rows: int | None, replay: float, seed: int) -> list[Lesson]:
    """Turn failures into lessons, and add `replay` agreements for each.

    Kinds (same question, same label) take turns, so that what the auditor asked a thousand times does not crowd out what
    it asked ten times.

    Args:
        decided: Failures and agreements, each probe once, in any order.
        rows: At most so many failures; None: all.
        replay: Agreements per failure, rounded to whole ones; no more than there are.
        seed: Of the order within a kind and among kinds.

    Returns:
        Failures, then agreements; every label is the references' consensus. Without failures nothing is replayed.

    Source: arXiv:2512.16921, consensus labels. Differs: replay and turns are ours.

    Example:
        >>> often = [Decided(probe_id=f"{n}", picture_id="p", question="Dogs?", consensus="two", failed=True) for n in range(9)]
        >>> rare = Decided(probe_id="r", picture_id="p", question="Cats?", consensus="one", failed=True)
        >>> sorted(lesson.question for lesson in audited_lessons([*often, rare], rows=2, replay=0, seed=0))
        ['Cats?', 'Dogs?']
    """
    failures = _in_turns([d for d in decided if d.failed], seed)[:rows]
    agreements = _in_turns([d for d in decided if not d.failed], seed)[: round(replay * len(failures))]
    return [_lesson(d, "failure") for d in failures] + [_lesson(d, "replay") for d in agreements]


def control_lessons(decided: Sequence[Decided], count: int, *, seed: int) -> list[Lesson]:
    """Draw as many lessons from random, unaudited probes, whatever the target said to them.

    Args:
        decided: Failures and agreements, each probe once, in any order.
        count: Lessons wanted.
        seed: Of the draw.

    Returns:
        `count` lessons in random order, or all where there are fewer.

    Source: ours.

    Example:
        >>> asked = [Decided(probe_id=n, picture_id="p", question="Dogs?", consensus="two", failed=False) for n in "abc"]
        >>> [(lesson.answer, lesson.origin) for lesson in control_lessons(asked, 2, seed=0)]
        [('two', 'random'), ('two', 'random')]
    """
    drawn = sorted(decided, key=lambda d: d.probe_id)
    random.Random(seed_for(seed, "control")).shuffle(drawn)
    return [_lesson(d, "random") for d in drawn[:count]]


def _in_turns(decided: Sequence[Decided], seed: int) -> list[Decided]:
    kinds: dict[tuple[str, str], list[Decided]] = defaultdict(list)
    drawn = sorted(decided, key=lambda d: d.probe_id)
    random.Random(seed_for(seed, "lessons")).shuffle(drawn)
    for d in drawn:
        kinds[d.question, d.consensus].append(d)
    turns = [(n, d) for kind in kinds.values() for n, d in enumerate(kind)]
    return [d for _, d in sorted(turns, key=lambda turn: turn[0])]


def _lesson(d: Decided, origin: Literal["failure", "replay", "random"]) -> Lesson:
    return Lesson(probe_id=d.probe_id, picture_id=d.picture_id, question=d.question, answer=d.consensus, origin=origin)
