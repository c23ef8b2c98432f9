"""Scenes: what is in a picture, exactly.

A scene holds 1 to 6 things on a grid of 4 by 4 cells, at most one a cell. A thing is a shape or a sign; a sign has a
face (a digit, a letter, a two-digit number, a clock's hour, an arrow's direction, the heights of three bars).
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import permutations

SHAPES = ("circle", "square", "triangle", "star", "cross", "diamond")
COLOURS = ("red", "orange", "yellow", "green", "blue", "purple", "black")
SIZES = ("large", "small")
PATTERNS = ("plain", "striped", "dotted")
SIDE = 4  # cells on a side
FACES: dict[str, tuple[str, ...]] = {
    "digit": tuple("0123456789"),
    "letter": tuple("ACEFHKLPTX"),
    "number": tuple(str(n) for n in range(10, 50)),
    "clock": tuple(f"{hour}:00" for hour in range(1, 13)),
    "arrow": ("up", "down", "left", "right"),
    "chart": tuple("".join(heights) for heights in permutations("123")),  # heights of the bars, left to right
}
SIGNS = tuple(FACES)
NOUNS = SHAPES + SIGNS
ROWS = tuple(f"row{n}" for n in range(1, SIDE + 1))
COLUMNS = tuple(f"col{n}" for n in range(1, SIDE + 1))
Cell = tuple[int, int]  # row and column, from 1 at the top left
CELLS: tuple[Cell, ...] = tuple((row, col) for row in range(1, SIDE + 1) for col in range(1, SIDE + 1))


@dataclass(frozen=True, order=True)
class Thing:
    """One thing in one cell."""

    row: int  # 1 is the top
    col: int  # 1 is the left
    noun: str  # one of NOUNS
    colour: str
    size: str = "large"  # signs are always large
    pattern: str = "plain"  # signs are always plain
    face: str = ""  # one of FACES[noun] for a sign, "" for a shape
    nudge: tuple[int, int] = (0, 0)  # pixels right and down of the cell's centre, each in -1..1; words never tell it

    def __post_init__(self) -> None:
        assert (self.row, self.col) in CELLS, self
        assert self.colour in COLOURS, self
        assert self.size in SIZES, self
        assert self.pattern in PATTERNS, self
        assert all(-1 <= n <= 1 for n in self.nudge), self
        if self.noun in SIGNS:
            assert self.face in FACES[self.noun], self
            assert (self.size, self.pattern) == ("large", "plain"), self
        else:
            assert self.noun in SHAPES, self
            assert not self.face, self

    @property
    def is_shape(self) -> bool:
        """False for a sign."""
        return self.noun in SHAPES

    @property
    def cell(self) -> Cell:
        """Row and column."""
        return self.row, self.col


@dataclass(frozen=True)
class Scene:
    """1 to 6 things in distinct cells, in reading order."""

    things: tuple[Thing, ...]

    def __post_init__(self) -> None:
        assert 1 <= len(self.things) <= 6, "a scene has 1 to 6 things"
        assert list(self.things) == sorted(self.things, key=lambda t: t.cell), "things stand in reading order"
        assert len({t.cell for t in self.things}) == len(self.things), "one thing a cell"

    @property
    def shapes(self) -> tuple[Thing, ...]:
        """The things that are no signs."""
        return tuple(t for t in self.things if t.is_shape)

    def without_nudges(self) -> Scene:
        """The same scene as words can tell it."""
        return Scene(tuple(replace(t, nudge=(0, 0)) for t in self.things))


def scene_of(things: Sequence[Thing]) -> Scene | None:
    """The scene with these things, or None where no scene can hold them (none, too many, two in one cell)."""
    if not 1 <= len(things) <= 6 or len({t.cell for t in things}) < len(things):
        return None
    return Scene(tuple(sorted(things, key=lambda t: t.cell)))


def random_thing(rng: random.Random, cell: Cell, noun: str | None = None) -> Thing:
    """A thing with uniform attributes; half of the shapes are large, half plain."""
    noun = noun or rng.choice(SHAPES)
    nudge = (rng.randint(-1, 1), rng.randint(-1, 1))
    colour = rng.choice(COLOURS)
    if noun in SIGNS:
        return Thing(*cell, noun, colour, face=rng.choice(FACES[noun]), nudge=nudge)
    pattern = rng.choice(("plain", "plain", "striped", "dotted"))
    return Thing(*cell, noun, colour, rng.choice(SIZES), pattern, nudge=nudge)


def random_scene(rng: random.Random, *, least: int = 1) -> Scene:
    """`least` to 6 things, 0 to 2 of them signs (usually of different kinds), at least one shape in most scenes.

    A lone thing recurs by chance among some thousand scenes; two things practically never do.
    """
    count = rng.randint(least, 6)
    signs = min(rng.choice((0, 1, 1, 1, 2)), count)
    nouns: list[str | None] = [rng.choice(SIGNS) for _ in range(signs)]
    nouns += [None] * (count - signs)
    cells = rng.sample(CELLS, count)
    things = [random_thing(rng, c, n) for c, n in zip(cells, nouns, strict=True)]
    return Scene(tuple(sorted(things, key=lambda t: t.cell)))


def scene_of_signs(rng: random.Random) -> Scene:
    """2 to 6 things, at least two of them signs, often of one kind: rare in `random_scene`, but an auditor can ask for it."""
    count = rng.randint(2, 6)
    signs = rng.randint(2, min(4, count))
    kind = rng.choice(SIGNS)
    nouns: list[str | None] = [kind if rng.random() < 0.6 else rng.choice(SIGNS) for _ in range(signs)]
    nouns += [None] * (count - signs)
    cells = rng.sample(CELLS, count)
    things = [random_thing(rng, c, n) for c, n in zip(cells, nouns, strict=True)]
    return Scene(tuple(sorted(things, key=lambda t: t.cell)))
