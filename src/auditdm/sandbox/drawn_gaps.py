"""Gap files that nobody wrote: planted gaps drawn by chance, so that an auditor can be tried on what it was not made on.

    python -m auditdm.sandbox.drawn_gaps SEED > gaps.yaml
    auditdm selftest --gaps gaps.yaml

Each gap is drawn around one random question of which it holds: some of what is true of the question (its skill, its
answer, what it is about, what else is in the picture, its words) becomes conditions, each widened by chance to more
values. Kept are gaps that hold of .5% to 12% of the random questions and lie apart from the others of their organism.

Source: ours; the ranges of prevalence, order and strength are those of the shipped gap file.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import yaml

from auditdm.errors import ConfigError
from auditdm.sandbox.gap_files import GapFile, parse_gaps
from auditdm.sandbox.gap_language import ANSWERS, PLACES, Where, random_valid, referents, where_of
from auditdm.sandbox.language import Truth
from auditdm.sandbox.world import COLOURS, NOUNS, PATTERNS, SIZES, Scene, Thing

Question = tuple[Scene, str, Truth]
_SAMPLE = 10_000  # random questions on which prevalence and overlap are counted
_LEAST, _USUAL, _MOST = 0.005, 0.02, 0.12  # share of them
_APART = 0.2  # of the smaller of two gaps that may lie in the other
_OF_LOOKS = {"noun": NOUNS, "colour": COLOURS, "size": SIZES, "pattern": PATTERNS, "place": tuple(PLACES)}
_SAY_LITTLE = frozenset(["?", "a", "and", "are", "at", "do", "does", "has", "have", "in", "is", "it", "of", "on", "or",
                         "same", "than", "the", "there", "to", "what", "which"])  # fmt: skip


def drawn(seed: int, organisms: int = 12, gaps: int = 4) -> GapFile:
    """A gap file: so many organisms with so many gaps of their own.

    Each gap has an error of .6 or of .3, by chance; a quarter may be rarer than 2%.

    Cost: some ten seconds.

    Example:
        >>> file = drawn(0, organisms=1, gaps=2)
        >>> [gap.error in (0.3, 0.6) for gap in file.organisms[0].gaps]
        [True, True]
    """
    rng = random.Random(seed)
    sample = [random_valid(rng) for _ in range(_SAMPLE)]
    listed = [{"name": f"drawn {seed}-{n}", "gaps": _of_one(rng, sample, gaps)} for n in range(organisms)]
    return parse_gaps({"organisms": listed}, f"gaps drawn by seed {seed}")


def _of_one(rng: random.Random, sample: Sequence[Question], count: int) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    masks: list[np.ndarray] = []
    while len(found) < count:
        keys = _conditions(rng, *rng.choice(sample))
        try:
            where = where_of(keys)
        except ConfigError:  # more conditions than a gap may join
            continue
        mask = np.fromiter((where.holds(*one) for one in sample), bool, len(sample))
        least = _LEAST if rng.random() < 0.25 else _USUAL
        apart = all((mask & other).sum() <= _APART * min(mask.sum(), other.sum()) for other in masks)
        if least <= mask.mean() <= _MOST and apart and _all_matter(where, mask, sample):
            found.append({"name": where.words(), "where": where.as_dict(), "error": rng.choice((0.3, 0.6))})
            masks.append(mask)
    return found


def _all_matter(where: Where, mask: np.ndarray, sample: Sequence[Question]) -> bool:
    """Whether each condition shuts something out: "skill size and answer small or large" is one condition."""
    keys = where.as_dict()
    if len(keys) == 1:
        return True
    without = (where_of({k: v for k, v in keys.items() if k != gone}) for gone in keys)
    return all(mask.sum() <= 0.9 * sum(one.holds(*q) for q in sample) for one in without)


def _conditions(rng: random.Random, scene: Scene, question: str, truth: Truth) -> dict[str, Any]:
    """A predicate that holds of a question."""
    told = referents(scene, question)
    said = sorted(set(question.split()) - _SAY_LITTLE)
    assert truth.skill and truth.answer, "only valid questions are drawn around"
    makers: dict[str, Callable[[], Any]] = {
        "skill": lambda: _skills(rng, str(truth.skill)),
        "answer": lambda: _answers(rng, str(truth.skill), str(truth.answer)),
        "things": lambda: _count(rng, len(scene.things)),
        "referent": lambda: _looks(rng, rng.choice(told)),
        "picture": lambda: _looks(rng, rng.choice(scene.things)),
        "words": lambda: rng.choice(said),
    }
    if not told:
        del makers["referent"]
    if not said:
        del makers["words"]
    likely = {"skill": 5, "answer": 3, "referent": 3, "things": 1, "picture": 1, "words": 1}
    found: dict[str, Any] = {}
    wanted = rng.choice((1, 2, 2, 3))
    while len(found) < wanted and len(found) < len(makers):
        left = [key for key in makers if key not in found]
        key = rng.choices(left, [likely[k] for k in left])[0]
        found[key] = makers[key]()
    if "answer" in found and rng.random() < 0.2 and len(others := _others(str(truth.skill), str(truth.answer))) > 1:
        found["not"] = {"answer": rng.choice(others)}
        del found["answer"]
        found.setdefault("skill", str(truth.skill))
    return found


def _skills(rng: random.Random, skill: str) -> list[str]:
    """It, and now and then others that are answered alike."""
    alike = [s for s, answers in ANSWERS.items() if s != skill and answers == ANSWERS[skill]]
    return [skill, *rng.sample(alike, min(len(alike), rng.choice((0, 0, 1, 1, 2))))]


def _answers(rng: random.Random, skill: str, right: str) -> list[str] | str:
    if right.isdigit() and rng.random() < 0.6:
        return rng.choice((f">={max(0, int(right) - rng.randint(0, 2))}", f"<={int(right) + rng.randint(0, 2)}"))
    others = _others(skill, right)
    return [right, *rng.sample(others, min(len(others) - 1, rng.choice((0, 0, 1, 2))) if len(others) > 1 else 0)]


def _others(skill: str, right: str) -> list[str]:
    return [a for a in ANSWERS[skill] if a != right]


def _count(rng: random.Random, things: int) -> str:
    return rng.choice((f">={max(2, things - rng.randint(0, 1))}", f"<={min(5, things + rng.randint(0, 1))}"))


def _looks(rng: random.Random, thing: Thing) -> dict[str, list[str]]:
    """How it looks: one attribute, now and then two, each with one value or two."""
    found: dict[str, list[str]] = {}
    for key in rng.sample(sorted(_OF_LOOKS), rng.choice((1, 1, 2))):
        values = [p for p in PLACES if thing.cell in PLACES[p]] if key == "place" else [getattr(thing, key)]
        own = rng.choice(values)
        others = [v for v in _OF_LOOKS[key] if v not in values] if key in ("noun", "colour") else []
        found[key] = [own, *rng.sample(others, min(len(others), rng.choice((0, 0, 1))))]
    return found


def main(seed: int) -> None:
    """Write a gap file to standard output."""
    file = drawn(seed)
    print(f"# Planted gaps drawn by chance: python -m auditdm.sandbox.drawn_gaps {seed}")
    print(yaml.safe_dump(file.as_dict(), sort_keys=False, allow_unicode=True, width=120), end="")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 0)
