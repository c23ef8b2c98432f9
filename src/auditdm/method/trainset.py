"""Failures become lessons: what the references agree on is the label, and agreements are replayed against forgetting.

Source: arXiv:2512.16921, rectification without labels: questions, pictures and consensus pseudo-labels. Differs:
replayed agreements, kinds that take turns, and an equally large random control are ours.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from auditdm.types import seed_for


@dataclass(frozen=True, kw_only=True)
class Lesson:
    """One training row. Who labelled it: the references' consensus, never the target and never the truth."""

    probe_id: str
    picture_id: str
    question: str
    answer: str
    origin: Literal["failure", "replay", "random"]
    copy: int = 0  # counts from 0 how often the same probe stood before it


@dataclass(frozen=True, kw_only=True)
class Decided:
    """A probe on which the references agree."""

    probe_id: str
    picture_id: str
    question: str
    consensus: str
    failed: bool
    mode: str | None = None  # the group of failures it belongs to
    target_answer: str = ""  # what the target said


def audited_lessons(
    decided: Sequence[Decided], *, rows: int | None, replay: float, seed: int, repeats: int = 1
) -> list[Lesson]:
    """Turn failures into lessons, and add `replay` agreements for each.

    Failures of a mode take turns by what the references said and what the target said instead (failures of no mode by
    question and label), so that what the auditor asked a thousand times does not crowd out what it asked ten times.

    Args:
        decided: Failures and agreements, each probe once, in any order.
        rows: At most so many failures; None: all.
        replay: Agreements per failure, rounded to whole ones; no more than there are. The first for each failure is
            one where the target's wrong answer is right, to a question much like it: a target that learns to say purple
            has to keep saying blue of what is blue. The others take turns by question and label.
        seed: Of the order within a mode and among modes.
        repeats: How often a failure of a mode may stand in the set, when its kind has no other and there is room.

    Returns:
        Failures, then agreements; every label is the references' consensus. Without failures nothing is replayed.

    Source: arXiv:2512.16921, consensus labels. Differs: replay and turns are ours.

    Example:
        >>> often = [Decided(probe_id=f"{n}", picture_id="p", question="Dogs?", consensus="two", failed=True) for n in range(9)]
        >>> rare = Decided(probe_id="r", picture_id="p", question="Cats?", consensus="one", failed=True)
        >>> sorted(lesson.question for lesson in audited_lessons([*often, rare], rows=2, replay=0, seed=0))
        ['Cats?', 'Dogs?']
    """
    failures = _in_turns([d for d in decided if d.failed], seed, repeats)[:rows]
    passed = [d for d, _ in _in_turns([d for d in decided if not d.failed], seed, 1)]
    near = _nearest([d for d, _ in failures][: round(replay * len(failures))], passed)
    others = [d for d in passed if d not in near]
    replayed = [*near, *others][: round(replay * len(failures))]
    return [_lesson(d, "failure", n) for d, n in failures] + [_lesson(d, "replay") for d in replayed]


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


def _in_turns(decided: Sequence[Decided], seed: int, repeats: int) -> list[tuple[Decided, int]]:
    """Each with the number of times that it stood before: of every kind the first, then the second..."""
    kinds: dict[tuple[str, ...], list[Decided]] = defaultdict(list)
    drawn = sorted(decided, key=lambda d: d.probe_id)
    random.Random(seed_for(seed, "lessons")).shuffle(drawn)
    for d in drawn:
        kinds[(d.consensus, d.target_answer) if d.mode else (d.question, d.consensus, "")].append(d)
    turns = [
        (copy * len(kind) + n, d, copy)
        for kind in kinds.values()
        for n, d in enumerate(kind)
        for copy in range(repeats if d.mode else 1)
    ]
    return [(d, copy) for _, d, copy in sorted(turns, key=lambda turn: turn[0])]


def _nearest(failures: Sequence[Decided], passed: Sequence[Decided]) -> dict[Decided, None]:
    """For each failure an agreement, not taken yet, on what the target said wrongly, whose question shares most words.

    Cost: failures x agreements x words multiplications.
    """
    if not failures or not passed:
        return {}
    index = {w: n for n, w in enumerate(sorted({w for d in (*failures, *passed) for w in d.question.split()}))}
    of_passed = _table(passed, index)
    sizes, taken = of_passed.sum(1), np.zeros(len(passed), bool)
    found: dict[Decided, None] = {}
    agreed = np.array([d.consensus for d in passed])
    for failure, words in zip(failures, _table(failures, index), strict=True):
        if taken.all():
            break
        shared = of_passed @ words
        alike = shared / (sizes + words.sum() - shared) + (agreed == failure.target_answer)
        alike[taken] = -1.0
        best = int(alike.argmax())
        taken[best] = True
        found[passed[best]] = None
    return found


def _table(decided: Sequence[Decided], index: Mapping[str, int]) -> Any:
    table = np.zeros((len(decided), len(index)), np.float32)
    for row, d in enumerate(decided):
        table[row, [index[w] for w in d.question.split()]] = 1.0
    return table


def _lesson(d: Decided, origin: Literal["failure", "replay", "random"], copy: int = 0) -> Lesson:
    return Lesson(
        probe_id=d.probe_id, picture_id=d.picture_id, question=d.question, answer=d.consensus, origin=origin, copy=copy
    )
