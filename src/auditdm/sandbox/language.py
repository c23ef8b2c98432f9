"""Questions about scenes, and the oracle that answers them.

A question is words divided by blanks. `answer` reads it against a scene and says the truth, or why there is none:
the words are no question of this language, or a referent is not unique. A missing referent is no fault: the right reply
is "none", and asking so is a skill of its own (false premise). To an invalid question the right reply is "cannot say".
"what size has the star ?" is read like "what size is the star ?", as people and models read it: so with all four looks.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from auditdm.sandbox.world import CELLS, COLOURS, COLUMNS, NOUNS, PATTERNS, ROWS, SHAPES, SIGNS, SIZES, Scene, Thing

CANNOT_SAY = "cannot say"
NONE = "none"
_GENERIC = ("shape", "sign")  # nouns for any shape, any sign


@dataclass(frozen=True)
class Truth:
    """What the oracle says of a question on a scene: an answer, or the reason why it has none."""

    skill: str | None  # None when the words are no question
    answer: str | None = None  # None iff invalid
    invalid: str | None = None

    @property
    def reply(self) -> str:
        """The right thing to reply."""
        return CANNOT_SAY if self.answer is None else self.answer


@dataclass(frozen=True)
class Description:
    """A noun phrase: what it says, it demands; what it leaves out, it does not."""

    noun: str  # a noun, "shape", "sign", or "one" (a shape that is not named)
    colour: str | None = None
    pattern: str | None = None
    size: str | None = None

    def fits(self, thing: Thing) -> bool:
        """Whether the thing is one of these."""
        right_noun = {"shape": thing.is_shape, "one": thing.is_shape, "sign": not thing.is_shape}.get(
            self.noun, thing.noun == self.noun
        )
        return (
            right_noun
            and self.colour in (None, thing.colour)
            and self.pattern in (None, thing.pattern)
            and self.size in (None, thing.size)
        )

    def words(self, plural: bool = False) -> str:
        """As said in a question."""
        parts = (self.size, self.pattern, self.colour, plural_of(self.noun) if plural else self.noun)
        return " ".join(p for p in parts if p)


def plural_of(noun: str) -> str:
    """The plural of a noun."""
    return noun + ("es" if noun.endswith("s") else "s")


def yes(truth: bool) -> str:
    """Yes or no."""
    return "yes" if truth else "no"


class _Invalid(Exception):
    """Why a well-formed question has no answer here."""


# Slots. {the} a unique thing; {the:digit} a unique thing of that noun; {the:shape} a unique shape; {the:one} a shape
# told by its attributes alone; {a} a description; {many} a description in the plural; {colour}; {cell} "row2 col3".
# A skill is its words and a rule from (scene, *slots) to the answer.
Rule = Callable[..., str]


def _count(scene: Scene, d: Description) -> int:
    return sum(d.fits(t) for t in scene.things)


def _nearest(scene: Scene, to: Thing) -> str:
    others = [(abs(t.row - to.row) + abs(t.col - to.col), t.noun) for t in scene.shapes if t != to]
    if not others:
        return NONE
    nearest = min(distance for distance, _ in others)
    nouns = {noun for distance, noun in others if distance == nearest}
    if len(nouns) > 1:
        raise _Invalid("several shapes are nearest")
    return nouns.pop()


def _odd_one_out(scene: Scene) -> str:
    colours = [t.colour for t in scene.shapes]
    odd = [t for t in scene.shapes if colours.count(t.colour) == 1]
    if len(colours) < 3 or len(odd) != 1 or len(set(colours)) != 2:
        raise _Invalid("no shape is the odd one out")
    return odd[0].noun


def _sum_of_digits(scene: Scene) -> str:
    digits = [int(t.face) for t in scene.things if t.noun == "digit"]
    if not digits:
        return NONE
    if len(digits) != 2:
        raise _Invalid("a sum takes two digits")
    return str(sum(digits))


def _what_is_at(scene: Scene, cell: tuple[int, int]) -> str:
    return next((t.noun for t in scene.things if t.cell == cell), "nothing")


def _bar(thing: Thing, height: str) -> str:
    return ("left", "middle", "right")[thing.face.index(height)]


SKILLS: dict[str, tuple[str, Rule]] = {
    "exist": ("is there any {a} ?", lambda s, d: yes(_count(s, d) > 0)),
    "count_all": ("how many shapes are there ?", lambda s: str(len(s.shapes))),
    "count": ("how many {many} are there ?", lambda s, d: str(_count(s, d))),
    "negation": ("how many shapes are not {colour} ?", lambda s, c: str(sum(t.colour != c for t in s.shapes))),
    "disjunction": (
        "how many shapes are {colour} or {colour} ?",
        lambda s, c, d: str(sum(t.colour in (c, d) for t in s.shapes)),
    ),
    "more": ("are there more {many} than {many} ?", lambda s, a, b: yes(_count(s, a) > _count(s, b))),
    "colour": ("what colour is {the} ?", lambda s, t: t.colour),
    "shape": ("what shape is {the:one} ?", lambda s, t: t.noun),
    "size": ("what size is {the:shape} ?", lambda s, t: t.size),
    "pattern": ("what pattern has {the:shape} ?", lambda s, t: t.pattern),
    "digit": ("what is {the:digit} ?", lambda s, t: t.face),
    "letter": ("what is {the:letter} ?", lambda s, t: t.face),
    "number": ("what is {the:number} ?", lambda s, t: t.face),
    "clock": ("what time is it on {the:clock} ?", lambda s, t: t.face),
    "arrow": ("where does {the:arrow} point ?", lambda s, t: t.face),
    "chart_tallest": ("which bar of {the:chart} is tallest ?", lambda s, t: _bar(t, "3")),
    "chart_shortest": ("which bar of {the:chart} is shortest ?", lambda s, t: _bar(t, "1")),
    "row": ("which row is {the} in ?", lambda s, t: ROWS[t.row - 1]),
    "column": ("which column is {the} in ?", lambda s, t: COLUMNS[t.col - 1]),
    "at": ("what is at {cell} ?", _what_is_at),
    "left_of": ("is {the} left of {the} ?", lambda s, a, b: yes(a.col < b.col)),
    "right_of": ("is {the} right of {the} ?", lambda s, a, b: yes(a.col > b.col)),
    "above": ("is {the} above {the} ?", lambda s, a, b: yes(a.row < b.row)),
    "below": ("is {the} below {the} ?", lambda s, a, b: yes(a.row > b.row)),
    "larger": (
        "is {the:shape} larger than {the:shape} ?",
        lambda s, a, b: yes((a.size, b.size) == ("large", "small")),
    ),
    "same_colour": ("are {the} and {the} the same colour ?", lambda s, a, b: yes(a.colour == b.colour)),
    "same_pattern": (
        "do {the:shape} and {the:shape} have the same pattern ?",
        lambda s, a, b: yes(a.pattern == b.pattern),
    ),
    "nearest": ("which shape is nearest to {the} ?", _nearest),
    "corner": ("is {the} in a corner ?", lambda s, t: yes(t.row in (1, 4) and t.col in (1, 4))),
    "border": ("is {the} at the border ?", lambda s, t: yes(t.row in (1, 4) or t.col in (1, 4))),
    "odd_one_out": ("which shape has the odd colour ?", _odd_one_out),
    "sum": ("what is the sum of the digits ?", _sum_of_digits),
}
FALSE_PREMISE = "false_premise"
ALL_SKILLS = (*SKILLS, FALSE_PREMISE)
_SLOT = re.compile(r"\{(\w+)(?::(\w+))?\}")


def answer(scene: Scene, question: str) -> Truth:
    """Say the truth of a question on a scene, or why there is none. Cost: about 20 microseconds."""
    for skill, (_, rule) in SKILLS.items():
        found = _pattern(skill).fullmatch(question)
        if not found:
            continue
        groups = iter(found.groups())
        slots: list[object] = []
        missing, unclear = False, False
        for kind, _noun in _slots(skill):
            if kind == "the":
                d = _description(next(groups))
                things = [t for t in scene.things if d.fits(t)]
                missing, unclear = missing or not things, unclear or len(things) > 1
                slots.append(things[0] if things else None)
            elif kind == "cell":
                row, col = next(groups).split()
                slots.append((int(row[-1]), int(col[-1])))
            else:
                words = next(groups)
                slots.append(words if kind == "colour" else _description(words))
        if unclear:
            return Truth(skill, invalid="the referent is not unique")
        if missing:
            return Truth(FALSE_PREMISE, NONE)
        try:
            reply = rule(scene, *slots)
            return Truth(FALSE_PREMISE if reply == NONE else skill, reply)
        except _Invalid as why:
            return Truth(skill, invalid=str(why))
    return Truth(None, invalid="these words are no question")


def random_question(rng: random.Random, scene: Scene, skill: str) -> str | None:
    """A valid question of this skill, or None where the scene does not support one found in a few tries."""
    base = rng.choice(_WITH_REFERENT) if skill == FALSE_PREMISE else skill
    for _ in range(8):
        words, things = SKILLS[base][0], list(scene.things)
        for kind, noun in _slots(base):
            told = _told(rng, scene, things, kind, noun, absent=skill == FALSE_PREMISE)
            if told is None:
                return None
            words = _SLOT.sub(told, words, count=1)
        truth = answer(scene, words)
        if truth.skill == skill and truth.answer is not None:
            return words
    return None


def unclear_question(rng: random.Random, scene: Scene) -> str | None:
    """A well-formed question whose referent is not unique, or None where every referent is."""
    for _ in range(8):
        skill = rng.choice(_WITH_REFERENT)
        words, things = SKILLS[skill][0], list(scene.things)
        unclear = rng.randrange(len(_slots(skill)))
        for n, (kind, noun) in enumerate(_slots(skill)):
            shared = [d for t in things for d in _descriptions(t) if _may_say(noun, d) and _count(scene, d) > 1]
            if n == unclear:
                told = "the " + rng.choice(shared).words() if shared else None
            else:
                told = _told(rng, scene, things, kind, noun, absent=False)
            if told is None:
                break
            words = _SLOT.sub(told, words, count=1)
        else:
            return words
    return None


def garbled(rng: random.Random, question: str, other: str) -> str:
    """A question with words lost, doubled or swapped, or with the rest of another one.

    Seldom a question still, perhaps of another skill: ask `answer`.
    """
    words, tail = question.split(), other.split()
    at = rng.randrange(len(words))
    match rng.randrange(5):
        case 0:
            words = words[:at] + words[at + 1 :]
        case 1:
            words = words[: at + 1] + words[at:]
        case 2:
            to = rng.randrange(len(words))
            words[at], words[to] = words[to], words[at]
        case 3:
            words = words[:at] + tail[rng.randrange(len(tail)) :]
        case _:
            words[at] = rng.choice(tail)
    return " ".join(words)


# ---------------------------------------------------------------- how it is read and said


@cache
def _slots(skill: str) -> tuple[tuple[str, str | None], ...]:
    return tuple((m[1], m[2]) for m in _SLOT.finditer(SKILLS[skill][0]))


_WITH_REFERENT = tuple(s for s in SKILLS if "{the" in SKILLS[s][0])


def _phrase(nouns: tuple[str, ...]) -> str:
    sizes, patterns, colours = ("|".join(words) for words in (SIZES, PATTERNS, COLOURS))
    return rf"((?:(?:{sizes}) )?(?:(?:{patterns}) )?(?:(?:{colours}) )?(?:{'|'.join(nouns)}))"


def _nouns_of(noun: str | None) -> tuple[str, ...]:
    if noun is None:
        return (*NOUNS, *_GENERIC)
    return (*SHAPES, "shape") if noun == "shape" else (noun,)


@cache
def _pattern(skill: str) -> re.Pattern[str]:
    def slot(m: re.Match[str]) -> str:
        kind, noun = m[1], m[2]
        if kind == "the":
            return "the " + _phrase(_nouns_of(noun))
        if kind == "a":
            return _phrase((*NOUNS, *_GENERIC))
        if kind == "many":
            return _phrase(tuple(plural_of(n) for n in (*NOUNS, *_GENERIC)))
        if kind == "cell":
            return f"((?:{'|'.join(ROWS)}) (?:{'|'.join(COLUMNS)}))"
        return f"({'|'.join(COLOURS)})"

    words = SKILLS[skill][0]
    literal = [re.escape(part) for part in _SLOT.sub("\0", words).split("\0")]
    if skill in _ATTRIBUTES or skill == "shape":
        literal[0] = re.sub("(is|has)", "(?:is|has)", literal[0])
    slots = [slot(m) for m in _SLOT.finditer(words)]
    return re.compile("".join(a + b for a, b in zip(literal, [*slots, ""], strict=True)))


@cache
def _description(words: str) -> Description:
    *attributes, noun = words.split()
    said = {kind: next((w for w in attributes if w in known), None) for kind, known in _ATTRIBUTES.items()}
    singular = next((n for n in (*NOUNS, *_GENERIC, "one") if noun in (n, plural_of(n))), noun)
    return Description(singular, **said)


_ATTRIBUTES = {"colour": COLOURS, "pattern": PATTERNS, "size": SIZES}


def _descriptions(thing: Thing) -> list[Description]:
    """Ways to tell a thing, shortest first."""
    generic = "shape" if thing.is_shape else "sign"
    found = [Description(thing.noun), Description(generic, thing.colour), Description(thing.noun, thing.colour)]
    if not thing.is_shape:
        found.append(Description("sign"))
    if thing.is_shape:
        found += [
            Description("one", thing.colour),
            Description("one", pattern=thing.pattern),
            Description("one", size=thing.size),
            Description("one", thing.colour, size=thing.size),
            Description("one", thing.colour, pattern=thing.pattern),
            Description("shape", pattern=thing.pattern),
            Description("shape", size=thing.size),
            Description(thing.noun, size=thing.size),
            Description(thing.noun, pattern=thing.pattern),
            Description(thing.noun, thing.colour, size=thing.size),
        ]
    return found


def _may_say(noun: str | None, d: Description) -> bool:
    """Whether a slot that demands a noun takes this description."""
    return d.noun in _nouns_of(noun)


def _any_description(rng: random.Random) -> Description:
    colour, pattern, size = rng.choice(COLOURS), rng.choice(PATTERNS), rng.choice(SIZES)
    if rng.random() < 0.15:
        noun = rng.choice((*SIGNS, "sign"))
        return rng.choice((Description(noun), Description(noun, colour)))
    noun = rng.choice(SHAPES)
    return rng.choice(
        (
            Description(noun),
            Description("shape", colour),
            Description(noun, colour),
            Description("shape", pattern=pattern),
            Description("shape", size=size),
            Description(noun, size=size),
        )
    )


def _told(
    rng: random.Random, scene: Scene, things: list[Thing], kind: str, noun: str | None, absent: bool
) -> str | None:
    """Words for one slot, or None where the scene has nothing for it; a thing told is taken out of `things`."""
    if kind == "colour":
        present = [t.colour for t in scene.shapes]
        return rng.choice(present) if present and rng.random() < 0.7 else rng.choice(COLOURS)
    if kind == "cell":
        row, col = rng.choice(scene.things).cell if rng.random() < 0.7 else rng.choice(CELLS)
        return f"row{row} col{col}"
    if kind in ("a", "many"):
        said = [d for d in _descriptions(rng.choice(scene.things)) if d.noun != "one"]
        d = rng.choice(said) if rng.random() < (0.4 if kind == "a" else 0.7) else _any_description(rng)
        return d.words(plural=kind == "many")
    if absent:
        return _told_of_nothing(rng, scene, noun)
    able = [t for t in things if noun is None or noun == t.noun or (noun in ("shape", "one") and t.is_shape)]
    if not able:
        return None
    thing = rng.choice(able)
    things.remove(thing)
    unique = [d for d in _descriptions(thing) if _may_say(noun, d) and sum(d.fits(t) for t in scene.things) == 1]
    return "the " + rng.choice(unique).words() if unique else None


def _told_of_nothing(rng: random.Random, scene: Scene, noun: str | None) -> str | None:
    for _ in range(8):
        d = _any_description(rng)
        if noun in SIGNS:
            d = Description(noun, rng.choice((None, d.colour or rng.choice(COLOURS))))
        elif noun == "one":
            d = Description("one", d.colour or rng.choice(COLOURS), d.pattern, d.size)
        if _may_say(noun, d) and d.words() not in _GENERIC and _count(scene, d) == 0:
            return "the " + d.words()
    return None
