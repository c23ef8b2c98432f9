"""Failures become lessons: what the references agree on is the label, and agreements are replayed against forgetting.

Source: arXiv:2512.16921, rectification without labels: questions, pictures and consensus pseudo-labels. Differs: replayed
agreements, a cap per question-and-label, and an equally large random control are ours.
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
    """Failures, the rarer kinds first in line, and `replay` agreements for each.

    Args:
        decided: Failures and agreements, each probe once.
        rows: At most so many failures; None: all. Kinds (same question, same label) take turns, so that what the auditor
            asked a thousand times does not crowd out what it asked ten times.
        replay: Agreements per failure; no more than there are.
        seed: Of the order.
    """
    failures = _in_turns([d for d in decided if d.failed], seed)[:rows]
    agreements = _in_turns([d for d in decided if not d.failed], seed)[: round(replay * len(failures))]
    return [_lesson(d, "failure") for d in failures] + [_lesson(d, "replay") for d in agreements]


def control_lessons(decided: Sequence[Decided], count: int, *, seed: int) -> list[Lesson]:
    """The same number of rows from random, unaudited probes, whatever the target said to them."""
    drawn = list(decided)
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
    return Lesson(
        probe_id=d.probe_id, picture_id=d.picture_id, question=d.question, answer=d.consensus, origin=origin
    )
