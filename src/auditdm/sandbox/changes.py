"""Captions and edit commands: the words by which a picture is made or changed.

A caption tells every thing and its cell: "green digit 7 row1 col1 and red star row2 col3 and small dotted blue circle
row4 col1". What a thing does not say is the ordinary (large, plain). An edit command changes one thing.
"""

from __future__ import annotations

import random
import re
from dataclasses import replace

from auditdm.sandbox.language import Description
from auditdm.sandbox.world import (
    CELLS,
    COLOURS,
    FACES,
    NOUNS,
    PATTERNS,
    SHAPES,
    SIGNS,
    SIZES,
    Scene,
    Thing,
    random_thing,
    scene_of,
)

AND = " and "


def caption(scene: Scene) -> str:
    """Tell a scene in words, in reading order; nudges are not told."""
    return AND.join(thing_in_words(t) for t in scene.things)


def drawn(text: str) -> Scene | None:
    """The scene that a caption tells, or None where it tells none. `drawn(caption(s)) == s.without_nudges()`."""
    things = [_thing(part) for part in text.split(AND)]
    return None if None in things else scene_of([t for t in things if t is not None])


def thing_in_words(t: Thing) -> str:
    """One thing and its cell."""
    return f"{_looks_in_words(t)} row{t.row} col{t.col}"


def _looks_in_words(t: Thing) -> str:
    size, pattern = ("" if t.size == "large" else t.size), ("" if t.pattern == "plain" else t.pattern)
    return " ".join(w for w in (size, pattern, t.colour, t.noun, t.face) if w)


_FACES = sorted({face for faces in FACES.values() for face in faces})
_THING = re.compile(
    rf"(?:({'|'.join(SIZES)}) )?(?:({'|'.join(PATTERNS)}) )?({'|'.join(COLOURS)}) ({'|'.join(NOUNS)})"
    rf"(?: ({'|'.join(_FACES)}))? row([1-4]) col([1-4])"
)


def _thing(words: str) -> Thing | None:
    found = _THING.fullmatch(words)
    if not found:
        return None
    size, pattern, colour, noun, face, row, col = found.groups()
    is_sign = noun in SIGNS
    if (size or pattern or face not in FACES[noun]) if is_sign else face:
        return None
    return Thing(int(row), int(col), noun, colour, size or "large", pattern or "plain", face or "")


# ---------------------------------------------------------------- edit commands

_THE = rf"the ((?:(?:{'|'.join(SIZES)}) )?(?:(?:{'|'.join(PATTERNS)}) )?(?:(?:{'|'.join(COLOURS)}) )?"
_THE += rf"(?:{'|'.join((*NOUNS, 'shape', 'sign'))}))"
_COMMANDS = {
    "add": re.compile(r"add (.+) at (row[1-4] col[1-4])"),
    "remove": re.compile(rf"remove {_THE}"),
    "paint": re.compile(rf"paint {_THE} ({'|'.join(COLOURS)})"),
    "make": re.compile(rf"make {_THE} ({'|'.join((*SIZES, *PATTERNS))})"),
    "move": re.compile(rf"move {_THE} to row([1-4]) col([1-4])"),
    "turn": re.compile(rf"turn {_THE} into ({'|'.join((*SHAPES, *_FACES))})"),
}
COMMANDS = tuple(_COMMANDS)


def edited(scene: Scene, command: str) -> Scene | None:
    """The scene after an edit command, or None where it cannot be done or would change nothing.

    Everything that the command does not name stays as it is, nudges included.
    """
    for verb, pattern in _COMMANDS.items():
        found = pattern.fullmatch(command)
        if not found:
            continue
        if verb == "add":
            new = _thing(f"{found[1]} {found[2]}")
            return None if new is None else scene_of([*scene.things, new])
        old = _referent(scene, found[1])
        if old is None:
            return None
        changed = _changed(old, verb, found.groups()[1:])
        if changed == old:
            return None
        others = [t for t in scene.things if t is not old]
        return scene_of(others if changed is None else [*others, changed])
    return None


def _referent(scene: Scene, words: str) -> Thing | None:
    *attributes, noun = words.split()
    said = {
        kind: next((w for w in attributes if w in known), None)
        for kind, known in (("colour", COLOURS), ("pattern", PATTERNS), ("size", SIZES))
    }
    found = [t for t in scene.things if Description(noun, **said).fits(t)]
    return found[0] if len(found) == 1 else None


def _changed(t: Thing, verb: str, to: tuple[str, ...]) -> Thing | None:
    """The thing after the change (itself where it cannot be changed so), None where it is taken away."""
    if verb == "remove":
        return None
    if verb == "paint":
        return replace(t, colour=to[0])
    if verb == "move":
        return replace(t, row=int(to[0]), col=int(to[1]))
    if verb == "make":
        if not t.is_shape:
            return t
        return replace(t, size=to[0]) if to[0] in SIZES else replace(t, pattern=to[0])
    if t.is_shape:
        return replace(t, noun=to[0]) if to[0] in SHAPES else t
    return replace(t, face=to[0]) if to[0] in FACES[t.noun] else t


def random_command(rng: random.Random, scene: Scene) -> str | None:
    """An edit command that can be done on this scene, or None where none was found in a few tries."""
    for _ in range(8):
        verb = rng.choice(COMMANDS)
        if verb == "add":
            new = random_thing(rng, rng.choice(CELLS), rng.choice((None, rng.choice(SIGNS))))
            command = f"add {_looks_in_words(new)} at row{new.row} col{new.col}"
        else:
            t = rng.choice(scene.things)
            named = (Description(t.noun), Description(t.noun, t.colour))
            the = "the " + rng.choice(named).words()
            other = random_thing(rng, rng.choice(CELLS), t.noun if t.noun in SIGNS else None)
            command = {
                "remove": f"remove {the}",
                "paint": f"paint {the} {other.colour}",
                "make": f"make {the} {rng.choice((*SIZES, *PATTERNS))}",
                "move": f"move {the} to row{other.row} col{other.col}",
                "turn": f"turn {the} into {other.face or other.noun}",
            }[verb]
        if edited(scene, command) is not None:
            return command
    return None
