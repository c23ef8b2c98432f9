"""Where a planted gap holds: a language of predicates over scene, question and truth, read from YAML.

A predicate joins up to three conditions. docs/gaps.md tells all of them; `gap_files` says whose gap it is.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass, fields
from functools import cached_property, lru_cache
from typing import Any

from auditdm.errors import ConfigError
from auditdm.sandbox.gap_values import mapping, meant, one_of, plain, told, values_of
from auditdm.sandbox.language import (  # how the language is read stays its own affair; a gap needs it all the same
    _ATTRIBUTES,
    ALL_SKILLS,
    FALSE_PREMISE,
    NONE,
    SKILLS,
    Truth,
    _description,
    _nouns_of,
    _phrase,
    answer,
    plural_of,
    random_question,
)
from auditdm.sandbox.world import (
    CELLS,
    COLOURS,
    COLUMNS,
    FACES,
    NOUNS,
    PATTERNS,
    ROWS,
    SHAPES,
    SIGNS,
    SIZES,
    Cell,
    Scene,
    Thing,
    random_scene,
    scene_of_signs,
)
from auditdm.stats import Rate

MOST_CONDITIONS = 3
_ORDINARY = 20  # scenes that are tried as they come

_BORDER = frozenset(cell for cell in CELLS if {1, 4} & set(cell))
PLACES: dict[str, frozenset[Cell]] = {
    "corner": frozenset({(1, 1), (1, 4), (4, 1), (4, 4)}),
    "border": _BORDER,
    "centre": frozenset(CELLS) - _BORDER,
    **{row: frozenset(cell for cell in CELLS if cell[0] == n) for n, row in enumerate(ROWS, start=1)},
    **{col: frozenset(cell for cell in CELLS if cell[1] == n) for n, col in enumerate(COLUMNS, start=1)},
    "top": frozenset(cell for cell in CELLS if cell[0] <= 2),
    "bottom": frozenset(cell for cell in CELLS if cell[0] > 2),
    "left": frozenset(cell for cell in CELLS if cell[1] <= 2),
    "right": frozenset(cell for cell in CELLS if cell[1] > 2),
}
_GENERIC = {"shape": SHAPES, "sign": SIGNS}
_FACES = tuple(dict.fromkeys(face for faces in FACES.values() for face in faces))

_YES_NO = ("yes", "no")
_AMOUNTS = tuple(str(n) for n in range(7))
_BARS = ("left", "middle", "right")
ANSWERS: dict[str, tuple[str, ...]] = {  # every right answer there can be to a valid question of each skill
    **dict.fromkeys(SKILLS, _YES_NO),
    **dict.fromkeys(("count_all", "count", "negation", "disjunction"), _AMOUNTS),
    **dict.fromkeys(("shape", "nearest", "odd_one_out"), SHAPES),
    **{sign: FACES[sign] for sign in ("digit", "letter", "number", "clock", "arrow")},
    **dict.fromkeys(("chart_tallest", "chart_shortest"), _BARS),
    "colour": COLOURS,
    "size": SIZES,
    "pattern": PATTERNS,
    "row": ROWS,
    "column": COLUMNS,
    "at": (*NOUNS, "nothing"),
    "sum": tuple(str(n) for n in range(19)),
    FALSE_PREMISE: (NONE,),
}


@dataclass(frozen=True)
class Looks:
    """What a thing looks like and where it stands; each field is any of its values, an empty one demands nothing."""

    noun: tuple[str, ...] = ()  # "shape" and "sign" are any of theirs
    colour: tuple[str, ...] = ()
    size: tuple[str, ...] = ()  # a sign is always large
    pattern: tuple[str, ...] = ()  # a sign is always plain
    place: tuple[str, ...] = ()  # of PLACES
    face: tuple[str, ...] = ()  # of a sign; values or ranges

    def fits(self, thing: Thing) -> bool:
        """Whether the thing looks so. Cost: about 0.3 microseconds."""
        nouns, colours, sizes, patterns, cells, faces = self._sets
        return (
            (nouns is None or thing.noun in nouns)
            and (colours is None or thing.colour in colours)
            and (sizes is None or thing.size in sizes)
            and (patterns is None or thing.pattern in patterns)
            and (cells is None or (thing.row, thing.col) in cells)
            and (faces is None or thing.face in faces)
        )

    @cached_property
    def _sets(self) -> tuple[frozenset[Any] | None, ...]:
        nouns = frozenset(n for noun in self.noun for n in _GENERIC.get(noun, (noun,)))
        cells = frozenset[Cell]().union(*(PLACES[place] for place in self.place))
        rest = (frozenset(self.colour), frozenset(self.size), frozenset(self.pattern))
        return tuple(found or None for found in (nouns, *rest, cells, meant(self.face)))

    def as_dict(self) -> dict[str, object]:
        """As YAML holds it."""
        return {f.name: told(getattr(self, f.name)) for f in fields(self) if getattr(self, f.name)}

    def words(self) -> str:
        """For people."""
        parts = (f"{f.name} {_or(getattr(self, f.name))}" for f in fields(self) if getattr(self, f.name))
        return f"({', '.join(parts)})"


@dataclass(frozen=True)
class Where:
    """A conjunction of conditions on a valid question; a field that is empty demands nothing.

    Example:
        >>> where = where_of({"skill": "count_all", "answer": ">=4"})
        >>> where.words(), order(where)
        ('skill count_all and answer >=4', 2)
        >>> row = Scene(tuple(Thing(1, col, "star", "red") for col in (1, 2, 3, 4)))
        >>> where.holds(row, "how many shapes are there ?", answer(row, "how many shapes are there ?"))
        True
    """

    skill: tuple[str, ...] = ()  # any of; a question about what is not there has the skill false_premise
    answer: tuple[str, ...] = ()  # the right answer is any of these values or ranges
    things: tuple[str, ...] = ()  # so many things does the scene hold; values or ranges
    referent: Looks | None = None  # a unique thing told by "the ..." looks so
    picture: Looks | None = None  # something in the scene looks so
    said: tuple[str, ...] = ()  # all of these words stand in the question; `words` in YAML
    changed: bool | None = None  # True: the picture was drawn or edited for the audit; False: it is the pool's own
    unless: Where | None = None  # this does not hold as a whole; `not` in YAML

    def holds(self, scene: Scene, question: str, truth: Truth, changed: bool = False) -> bool:
        """Whether a question belongs here; an invalid one never does.

        Args:
            scene: What the picture shows.
            question: In the sandbox's language.
            truth: What the oracle says of them.
            changed: Whether the picture was drawn or edited for the audit.

        Cost: 0.3 to 4 microseconds.
        """
        return truth.answer is not None and self._all(scene, question, truth, changed)

    def _all(self, scene: Scene, question: str, truth: Truth, changed: bool) -> bool:
        skills, answers, counts, said = self._sets
        return (
            (skills is None or truth.skill in skills)
            and (answers is None or truth.answer in answers)
            and (counts is None or str(len(scene.things)) in counts)
            and (self.changed is None or self.changed is changed)
            and (said is None or said.issubset(question.split()))
            and (self.unless is None or not self.unless._all(scene, question, truth, changed))
            and (self.picture is None or any(map(self.picture.fits, scene.things)))
            and (self.referent is None or any(map(self.referent.fits, referents(scene, question))))
        )

    @cached_property
    def _sets(self) -> tuple[frozenset[str] | None, ...]:
        found = (frozenset(self.skill), meant(self.answer), meant(self.things), frozenset(self.said))
        return tuple(values or None for values in found)

    @property
    def answers(self) -> frozenset[str]:
        """The answers meant, ranges written out; empty: any."""
        return self._sets[1] or frozenset()

    def words(self) -> str:
        """For people, such as "skill colour and answer purple"."""
        parts = [f"{key} {_or(value)}" for key in ("skill", "answer", "things") if (value := getattr(self, key))]
        parts += [f"{key} {looks.words()}" for key in ("referent", "picture") if (looks := getattr(self, key))]
        parts += ["words " + " ".join(self.said)] if self.said else []
        parts += [] if self.changed is None else ["changed picture" if self.changed else "original picture"]
        parts += [f"not ({self.unless.words()})"] if self.unless else []
        return " and ".join(parts)

    def as_dict(self) -> dict[str, object]:
        """As YAML holds it; `where_of` is the inverse."""
        found: dict[str, object] = {}
        for f in fields(self):
            value = getattr(self, f.name)
            if value is not None and value != ():
                below = value.as_dict() if isinstance(value, Looks | Where) else value
                found[_KEYS_IN_YAML.get(f.name, f.name)] = told(below) if isinstance(below, tuple) else below
        return found


_KEYS_IN_YAML = {"said": "words", "unless": "not"}


# ---------------------------------------------------------------- what it is about, and how often it holds


_THE = re.compile(rf"\bthe {_phrase((*_nouns_of(None), 'one'))}\b")


@lru_cache(maxsize=1 << 16)
def _told_things(question: str) -> tuple[tuple[frozenset[str], str | None, str | None, str | None], ...]:
    """Each "the ..." of a question: nouns that fit, colour, size, pattern."""
    told = [_description(words) for words in _THE.findall(question)]
    nouns = {**_GENERIC, "one": SHAPES}
    return tuple((frozenset(nouns.get(d.noun, (d.noun,))), d.colour, d.size, d.pattern) for d in told)


def referents(scene: Scene, question: str) -> tuple[Thing, ...]:
    """The unique things that a question tells by "the ...", in its order; what is not there or not unique is left out.

    Cost: about a microsecond a phrase; the phrases of the last 65,536 questions are remembered.

    Example:
        >>> scene = Scene((Thing(1, 1, "star", "red"), Thing(2, 3, "circle", "blue"), Thing(4, 4, "circle", "red")))
        >>> [t.cell for t in referents(scene, "is the blue shape left of the star ?")]
        [(2, 3), (1, 1)]
        >>> referents(scene, "is the circle in a corner ?")
        ()
    """
    found = []
    for nouns, colour, size, pattern in _told_things(question):
        fit = [
            t
            for t in scene.things
            if t.noun in nouns
            and (colour is None or t.colour == colour)
            and (size is None or t.size == size)
            and (pattern is None or t.pattern == pattern)
        ]
        if len(fit) == 1:
            found += fit
    return tuple(found)


def order(where: Where) -> int:
    """How many conditions it joins: each key, and each further attribute of `referent` and `picture`.

    `changed` does not count: it says which pictures show a gap, not which questions.
    """
    keys = where.as_dict()
    keys.pop("changed", None)
    return sum(len(value) if isinstance(value, dict) and key != "not" else 1 for key, value in keys.items())


def random_valid(rng: random.Random) -> tuple[Scene, str, Truth]:
    """A random valid question: any skill, each as likely, on a random scene that supports it. Cost: 0.5 ms.

    Few scenes have two digits to be added: after some tries the scenes are full of signs.
    """
    skill = rng.choice(ALL_SKILLS)
    tries = 0
    while True:
        scene = random_scene(rng) if tries < _ORDINARY else scene_of_signs(rng)
        tries += 1
        question = random_question(rng, scene, skill)
        if question is not None:
            return scene, question, answer(scene, question)


def prevalence(where: Where, rng: random.Random, count: int) -> Rate:
    """The share of `count` random valid questions on which it holds, on pictures of the kind that it speaks of.

    Cost: about 1 ms a question.
    """
    asked = (random_valid(rng) for _ in range(count))
    return Rate(sum(where.holds(*one, changed=bool(where.changed)) for one in asked), count)


# ---------------------------------------------------------------- reading it


def where_of(found: Any, place: str = "where") -> Where:
    """Turn what stands under `where` into a predicate.

    Raises:
        ConfigError: The first mistake: key, value found, values allowed, remedy.
    """
    where = _where(found, place)
    if order(where) > MOST_CONDITIONS:
        raise ConfigError(
            f"{place} joins {order(where)} conditions ({where.words()}); at most {MOST_CONDITIONS} are allowed, and each "
            "attribute of referent and picture counts. Leave one out."
        )
    return where


WHERE_KEYS = ("skill", "answer", "things", "referent", "picture", "words", "changed", "not")
_LOOK_VALUES = {
    "noun": (*NOUNS, *_GENERIC), "colour": COLOURS, "size": SIZES, "pattern": PATTERNS, "place": tuple(PLACES),
    "face": _FACES,
}  # fmt: skip


def _where(found: Any, place: str, top: bool = True) -> Where:
    keys = mapping(found, WHERE_KEYS, place)
    if not keys:
        raise ConfigError(f"{place} is empty; it would hold of every question. Name a condition, or use base_error.")
    skills = tuple(one_of(v, ALL_SKILLS, f"{place}.skill") for v in values_of(keys, "skill", place))
    words = values_of(keys, "words", place)
    free = top and "words" in keys and set(keys) <= {"words", "answer"}  # may be of a real model: see `planted_in`
    known = tuple(dict.fromkeys(a for skill in skills or ALL_SKILLS for a in ANSWERS[skill]))
    said = tuple(str(v).casefold() if free else one_of(v, _vocabulary(), f"{place}.words") for v in words)
    answers = values_of(keys, "answer", place)
    changed = keys.get("changed")
    if "changed" in keys and not isinstance(changed, bool):
        raise ConfigError(f"{place}.changed is {changed!r}; it takes true or false. Change it.")
    return Where(
        skill=skills,
        answer=tuple(str(plain(v)) if free else one_of(v, known, f"{place}.answer", True) for v in answers),
        things=tuple(one_of(v, tuple("123456"), f"{place}.things", True) for v in values_of(keys, "things", place)),
        referent=_looks(keys["referent"], f"{place}.referent") if "referent" in keys else None,
        picture=_looks(keys["picture"], f"{place}.picture") if "picture" in keys else None,
        said=said,
        changed=changed,
        unless=_where(keys["not"], f"{place}.not", top=False) if "not" in keys else None,
    )


def _looks(found: Any, place: str) -> Looks:
    keys = mapping(found, tuple(_LOOK_VALUES), place)
    if not keys:
        raise ConfigError(f"{place} is empty; it would hold of everything. Name one of: {', '.join(_LOOK_VALUES)}.")
    read = {
        key: tuple(one_of(v, _LOOK_VALUES[key], f"{place}.{key}", key == "face") for v in values_of(keys, key, place))
        for key in keys
    }
    return Looks(**read)


@lru_cache(maxsize=1)
def _vocabulary() -> tuple[str, ...]:
    """Every word that a question of the sandbox can hold."""
    words = {w for text, _ in SKILLS.values() for w in text.split() if "{" not in w}
    nouns = (*_nouns_of(None), "one")
    words.update(nouns, map(plural_of, nouns), ROWS, COLUMNS, *_ATTRIBUTES.values())
    return tuple(sorted(words))


def _or(values: tuple[str, ...]) -> str:
    return " or ".join(values)
