"""Failures become lessons: what the references agree on is the label, and agreements are replayed against forgetting.

Source: arXiv:2512.16921, rectification without labels: questions, pictures and consensus pseudo-labels. Differs:
replayed agreements, kinds that take turns, and an equally large random control are ours.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from auditdm.types import seed_for

_NEAR = 0.3  # of the replay: agreements much like the failures
_BY_CHANCE = 4  # of so many pictures one is drawn by chance
_OFTEN = 0.02  # likeness that an answer loses each time it is taken


@dataclass(frozen=True, kw_only=True)
class Lesson:
    """One training row. Who labelled it: the references' consensus, never the target and never the truth."""

    probe_id: str
    picture_id: str
    question: str
    answer: str
    origin: Literal["failure", "replay", "random", "labelled", "gathered"]
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
    own: bool = False  # the question came with the picture, the auditor made neither
    fresh: bool = False  # asked again on a picture that the audit did not use


def audited_lessons(
    decided: Sequence[Decided], *, rows: int | None, replay: float, seed: int, repeats: int = 1
) -> list[Lesson]:
    """Turn failures into lessons, and add `replay` agreements for each.

    Failures of modes take turns by label (failures of no mode by question and label), so that what the auditor asked a
    thousand times does not crowd out what it asked ten times; those on fresh pictures first, which are less alike.

    Args:
        decided: Failures and agreements, each probe once, in any order.
        rows: At most so many failures; None: all.
        replay: Agreements per failure; no more than there are. Three in ten are on questions much like those of the
            failures: in turn one to which the target's wrong answer is right, for a target that learns to say purple
            has to keep saying blue of what is blue, and one with an answer that was seldom taken, for a target that
            learns 7, 8 and 9 has to keep 2 to 6. The rest is the pool's own questions, by chance; and where these do
            not suffice, other agreements, which take turns by question and label.
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
    wanted = round(replay * len(failures))
    near = _nearest([d for d, _ in failures][: round(_NEAR * wanted)], passed)
    others = sorted((d for d in passed if d not in near), key=lambda d: not d.own)  # stable
    replayed = [*near, *others][:wanted]
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


def practice(
    questions: Collection[tuple[str, str]], pictures: Mapping[str, str | None], *, seed: int
) -> Iterator[tuple[str, str]]:
    """Pair the questions of a failure mode with fresh pictures, to be asked there.

    Every fourth picture is drawn by chance. The others are those of which most is known that a failure of the mode says
    too, its answer included: to ask for the colour of what is purple, a picture is wanted on which something is purple.
    Words count by how few pictures they are known of.

    Args:
        questions: Of the mode's failures, each with its right answer; at least one.
        pictures: By picture id, what is known of it in words: the pool's own question and the references' answer.
        seed: Of chance.

    Yields:
        (picture id, question), every picture once.

    Source: ours. The weight of a word is its inverse document frequency.

    Cost: questions x pictures x words multiplications.

    Example:
        >>> pool = {"p": "Any cats? yes", "q": "What is left of the black dog? cat"}
        >>> next(practice([("What colour is the dog?", "black")], pool, seed=0))
        ('q', 'What colour is the dog?')
    """
    asked, shown = sorted(set(questions)), sorted(pictures)
    rng = random.Random(seed_for(seed, "practice", *(f"{question}\n{answer}" for question, answer in asked)))
    rng.shuffle(shown)
    told, wanted = [pictures[p] or "" for p in shown], [f"{question} {answer}" for question, answer in asked]
    index = _index([*told, *wanted])
    of_pictures, of_asked = _words(told, index), _words(wanted, index)
    known = of_pictures.sum(0)
    weight = np.where(known > 0, np.log((1 + len(shown)) / np.maximum(1, known)), 0.0)
    shared = (of_pictures * weight) @ of_asked.T
    alike = shared / np.maximum(1e-9, (of_pictures @ weight)[:, None] + (of_asked @ weight)[None, :] - shared)
    best = alike.max(1) if len(shown) else alike
    fitting = iter(sorted((n for n in range(len(shown)) if best[n] > 0), key=lambda n: -best[n]))
    by_chance = iter(range(len(shown)))
    taken: set[int] = set()
    for turn in range(_BY_CHANCE * len(shown)):
        chance = turn % _BY_CHANCE == _BY_CHANCE - 1
        n = next((n for n in (by_chance if chance else fitting) if n not in taken), None)
        if n is not None:
            taken.add(n)
            ask = [q for (q, _), a in zip(asked, alike[n], strict=True) if chance or a == best[n]]
            yield shown[n], rng.choice(ask)


def _in_turns(decided: Sequence[Decided], seed: int, repeats: int) -> list[tuple[Decided, int]]:
    """Each with the number of times that it stood before: of every kind the first, then the second..."""
    kinds: dict[tuple[str, ...], list[Decided]] = defaultdict(list)
    drawn = sorted(decided, key=lambda d: d.probe_id)
    random.Random(seed_for(seed, "lessons")).shuffle(drawn)
    for d in sorted(drawn, key=lambda d: not d.fresh):  # stable
        kinds[(d.consensus,) if d.mode else (d.consensus, d.question)].append(d)
    turns = [
        (copy * len(kind) + n, d, copy)
        for kind in kinds.values()
        for n, d in enumerate(kind)
        for copy in range(repeats if d.mode else 1)
    ]
    return [(d, copy) for _, d, copy in sorted(turns, key=lambda turn: turn[0])]


def _nearest(failures: Sequence[Decided], passed: Sequence[Decided]) -> dict[Decided, None]:
    """For each failure an agreement, not taken yet, whose question shares most words.

    In turn one whose answer is what the target said wrongly, and one whose answer was seldom taken.

    Cost: failures x agreements x words multiplications.
    """
    if not failures or not passed:
        return {}
    index = _index([d.question for d in (*failures, *passed)])
    of_passed = _words([d.question for d in passed], index)
    sizes, taken = of_passed.sum(1), np.zeros(len(passed), bool)
    found: dict[Decided, None] = {}
    agreed = np.array([d.consensus for d in passed])
    answers, number = np.unique(agreed, return_inverse=True)
    often = np.zeros(len(answers))
    for turn, (failure, words) in enumerate(zip(failures, _words([d.question for d in failures], index), strict=True)):
        if taken.all():
            break
        shared = of_passed @ words
        alike = shared / (sizes + words.sum() - shared)
        alike += -_OFTEN * often[number] if turn % 2 else agreed == failure.target_answer
        alike[taken] = -np.inf
        best = int(alike.argmax())
        taken[best] = True
        often[number[best]] += turn % 2
        found[passed[best]] = None
    return found


def _index(texts: Sequence[str]) -> dict[str, int]:
    return {w: n for n, w in enumerate(sorted({w for text in texts for w in text.split()}))}


def _words(texts: Sequence[str], index: Mapping[str, int]) -> Any:
    """(texts, words) of 0 and 1."""
    table = np.zeros((len(texts), len(index)), np.float32)
    for row, text in enumerate(texts):
        table[row, [index[w] for w in text.split()]] = 1.0
    return table


def _lesson(d: Decided, origin: Literal["failure", "replay", "random"], copy: int = 0) -> Lesson:
    return Lesson(
        probe_id=d.probe_id, picture_id=d.picture_id, question=d.question, answer=d.consensus, origin=origin, copy=copy
    )
