import random
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auditdm.sandbox.changes import COMMANDS, caption, drawn, edited, random_command, thing_in_words
from auditdm.sandbox.renderer import CELL_PX, render
from auditdm.sandbox.world import CELLS, COLOURS, FACES, PATTERNS, SHAPES, SIZES, Scene, Thing
from scenes import SEEDS, random_scenes, scenes

TOLD = "green digit 7 row1 col1 and red star row2 col3 and small dotted blue circle row4 col1"
DESK = drawn(TOLD)
CROWD = drawn(" and ".join(f"red star row{row} col{col}" for row, col in CELLS[:6]))


# ---------------------------------------------------------------- captions


@settings(max_examples=300, deadline=None)
@given(scenes())
def test_scene_to_caption_to_scene_is_the_identity(scene):
    assert drawn(caption(scene)) == scene.without_nudges()


@settings(max_examples=300, deadline=None)
@given(scenes())
def test_caption_to_scene_to_caption_is_the_identity(scene):
    words = caption(scene)
    assert caption(drawn(words)) == words


def test_captions_and_scenes_belong_together_one_to_one():
    known = {s.without_nudges() for s in random_scenes(2000)}
    assert len({caption(s) for s in known}) == len(known)


@settings(deadline=None)
@given(scenes(), SEEDS)
def test_things_may_be_told_in_any_order(scene, rng):
    told = [thing_in_words(t) for t in scene.things]
    assert drawn(" and ".join(rng.sample(told, len(told)))) == scene.without_nudges()


def test_the_ordinary_may_be_said_but_is_not():
    assert drawn("large plain red star row2 col3") == Scene((Thing(2, 3, "star", "red"),))
    assert caption(drawn("large plain red star row2 col3")) == "red star row2 col3"
    assert caption(DESK) == TOLD


@pytest.mark.parametrize(
    "words",
    [
        "",
        " ",
        "and",
        "red star",
        "star row1 col1",
        "red row1 col1",
        "red star row1",
        "red star row5 col1",
        "red star row0 col1",
        "red star row1 col1 and",
        "red star row1 col1 and ",
        "red star row1 col1  and blue star row1 col2",
        "red star row1 col1, blue star row1 col2",
        "red star row1 col1 and red star row1 col1",
        "red star row1 col1 and blue circle row1 col1",
        "red star row1 col1\n",
        "Red star row1 col1",
        "a red star row1 col1",
        "red moon row1 col1",
        "pink star row1 col1",
        "red dotted star row1 col1",
        "dotted small red star row1 col1",
        "red star 7 row1 col1",
        "red digit row1 col1",
        "red digit A row1 col1",
        "red digit 10 row1 col1",
        "red number 7 row1 col1",
        "red number 50 row1 col1",
        "red clock 13:00 row1 col1",
        "red clock 3 row1 col1",
        "red arrow north row1 col1",
        "red chart 112 row1 col1",
        "small red digit 7 row1 col1",
        "large red digit 7 row1 col1",
        "striped red digit 7 row1 col1",
        "what colour is the star ?",
        "paint the star blue",
        " and ".join(f"red star row{row} col{col}" for row, col in CELLS[:7]),
    ],
)
def test_what_is_no_caption_draws_nothing(words):
    assert drawn(words) is None


@settings(deadline=None)
@given(st.text(max_size=40))
def test_any_text_draws_a_scene_that_it_tells_or_nothing(text):
    scene = drawn(text)
    assert scene is None or drawn(caption(scene)) == scene


# ---------------------------------------------------------------- edit commands


BY_HAND = [
    ("add yellow triangle at row3 col3", TOLD.replace("col3 and", "col3 and yellow triangle row3 col3 and")),
    ("add small striped red cross at row4 col4", f"{TOLD} and small striped red cross row4 col4"),
    ("add black clock 3:00 at row4 col4", f"{TOLD} and black clock 3:00 row4 col4"),
    ("remove the star", "green digit 7 row1 col1 and small dotted blue circle row4 col1"),
    ("remove the sign", "red star row2 col3 and small dotted blue circle row4 col1"),
    ("remove the small shape", "green digit 7 row1 col1 and red star row2 col3"),
    ("paint the star purple", TOLD.replace("red", "purple")),
    ("paint the digit red", TOLD.replace("green", "red")),
    ("make the star small", TOLD.replace("red", "small red")),
    ("make the blue circle large", TOLD.replace("small ", "")),
    ("make the star striped", TOLD.replace("red", "striped red")),
    ("make the dotted shape plain", TOLD.replace("dotted ", "")),
    ("move the star to row3 col4", TOLD.replace("row2 col3", "row3 col4")),
    ("move the digit to row4 col4", f"{TOLD[28:]} and green digit 7 row4 col4"),
    ("turn the star into cross", TOLD.replace("star", "cross")),
    ("turn the small dotted blue circle into square", TOLD.replace("circle", "square")),
    ("turn the digit into 0", TOLD.replace("7", "0")),
]
IMPOSSIBLE = [
    # bad words
    "",
    "paint",
    "paint the star",
    "paint star blue",
    "paint the star pink",
    "paint the star blue ?",
    "paint the star blue\n",
    "Paint the star blue",
    "please paint the star blue",
    "paint the star  blue",
    "paint the stars blue",
    "paint the one blue",
    "paint the red large star blue",
    "paint the star red and blue",
    "delete the star",
    "remove star",
    "remove the star and the digit",
    "make the star huge",
    "make the star blue",
    "move the star to row5 col1",
    "move the star to row3",
    "move the star row3 col3",
    "turn the star into moon",
    "turn the star to cross",
    "add star at row3 col3",
    "add red star row3 col3",
    "add red star row3 col3 at row4 col4",
    "add the red star at row3 col3",
    "add red digit at row3 col3",
    "add red digit K at row3 col3",
    "add small red digit 3 at row3 col3",
    "add red star 3 at row3 col3",
    "add red star at row3 col5",
    "what colour is the star ?",
    TOLD,
    # not there
    "remove the cross",
    "remove the blue star",
    "paint the small star blue",
    "paint the dotted digit blue",
    "make the letter small",
    # not one
    "remove the shape",
    "paint the shape blue",
    "move the shape to row3 col3",
    # taken
    "add yellow triangle at row2 col3",
    "move the star to row1 col1",
    # nothing would change
    "paint the star red",
    "make the star large",
    "make the star plain",
    "make the circle dotted",
    "move the star to row2 col3",
    "turn the star into star",
    "turn the digit into 7",
    # signs and shapes have not the same to change
    "make the digit small",
    "make the digit striped",
    "make the digit large",
    "turn the digit into star",
    "turn the digit into K",
    "turn the digit into 10",
    "turn the star into 7",
]


@pytest.mark.parametrize(("command", "after"), BY_HAND)
def test_edits_worked_out_by_hand(command, after):
    assert drawn(after) is not None
    assert caption(edited(DESK, command)) == after


@pytest.mark.parametrize("command", IMPOSSIBLE)
def test_what_cannot_be_done_is_not_done(command):
    assert edited(DESK, command) is None


def test_no_scene_is_emptied_and_none_holds_seven():
    assert edited(drawn("red star row1 col1"), "remove the star") is None
    assert edited(CROWD, "add red star at row4 col4") is None
    assert edited(edited(DESK, "remove the star"), "remove the digit") is not None


def say(t):
    """The fullest description of a thing in an edit command."""
    return f"the {t.size} {t.pattern} {t.colour} {t.noun}"


@st.composite
def edits(draw):
    """A scene, a command built from what it holds, and the things that must be there after it (nudges included)."""
    scene = draw(scenes())
    old = draw(st.sampled_from(scene.things))
    others = [t for t in scene.things if t != old]
    free = [c for c in CELLS if c not in {t.cell for t in scene.things}]
    colour = draw(st.sampled_from([c for c in COLOURS if c != old.colour]))
    row, col = draw(st.sampled_from(free))
    options = [
        (f"paint {say(old)} {colour}", [*others, replace(old, colour=colour)]),
        (f"move {say(old)} to row{row} col{col}", [*others, replace(old, row=row, col=col)]),
    ]
    if others:
        options.append((f"remove {say(old)}", others))
    if len(scene.things) < 6:
        options.append(
            (f"add {colour} arrow up at row{row} col{col}", [*others, old, Thing(row, col, "arrow", colour, face="up")])
        )
    if old.is_shape:
        noun = draw(st.sampled_from([s for s in SHAPES if s != old.noun]))
        pattern = draw(st.sampled_from([p for p in PATTERNS if p != old.pattern]))
        size = next(s for s in SIZES if s != old.size)
        options += [
            (f"turn {say(old)} into {noun}", [*others, replace(old, noun=noun)]),
            (f"make {say(old)} {pattern}", [*others, replace(old, pattern=pattern)]),
            (f"make {say(old)} {size}", [*others, replace(old, size=size)]),
        ]
    else:
        face = draw(st.sampled_from([f for f in FACES[old.noun] if f != old.face]))
        options.append((f"turn {say(old)} into {face}", [*others, replace(old, face=face)]))
    command, after = draw(st.sampled_from(options))
    twins = [t for t in others if say(t) == say(old)]
    return scene, command, None if twins and not command.startswith("add") else after


@settings(max_examples=400, deadline=None)
@given(edits())
def test_an_edit_does_what_it_says_and_nothing_else(edit):
    scene, command, after = edit
    found = edited(scene, command)
    assert (found is None) == (after is None)
    if found is not None:
        assert sorted(found.things) == sorted(after)


def kinds_of_change(before, after):
    """What became of each cell between two scenes, by comparing the things field by field."""
    old, new = {t.cell: t for t in before.things}, {t.cell: t for t in after.things}
    changes = []
    for cell in CELLS:
        was, is_now = old.get(cell), new.get(cell)
        if was is None and is_now is not None:
            changes.append("came")
        elif was is not None and is_now is None:
            changes.append("went")
        elif was is not None and was != is_now:
            changes += [
                f
                for f in ("noun", "colour", "size", "pattern", "face", "nudge")
                if getattr(was, f) != getattr(is_now, f)
            ]
    return sorted(changes)


EXPECTED = {
    "add": [["came"]],
    "remove": [["went"]],
    "paint": [["colour"]],
    "make": [["size"], ["pattern"]],
    "move": [["came", "went"]],
    "turn": [["noun"], ["face"]],
}


def test_random_commands_can_be_done_are_of_every_kind_and_change_the_pixels_of_their_cells_only():
    rng, verbs, faces = random.Random(3), Counter(), 0
    for scene in random_scenes(1500, seed=4):
        command = random_command(rng, scene)
        if command is None:
            continue
        after = edited(scene, command)
        verb = command.split()[0]
        changes = kinds_of_change(scene, after)
        assert changes in EXPECTED[verb], f"{command!r} on {scene}: {changes}"
        if verb in ("paint", "make"):
            assert getattr(next(t for t in after.things if t not in scene.things), changes[0]) == command.split()[-1]
        differ = (np.asarray(render(scene)) != np.asarray(render(after))).any(-1)
        cells = {(row // CELL_PX + 1, col // CELL_PX + 1) for row, col in np.argwhere(differ).tolist()}
        assert cells == {t.cell for t in set(scene.things) ^ set(after.things)}, f"{command!r} on {scene}"
        assert len(cells) == (2 if verb == "move" else 1)
        verbs[verb] += 1
        faces += changes == ["face"]
    assert verbs.total() >= 1300
    assert set(verbs) == set(COMMANDS)
    assert min(verbs.values()) >= 80, verbs
    assert faces >= 20


@settings(deadline=None)
@given(scenes(), st.text(max_size=30))
def test_any_text_is_an_edit_or_none(scene, text):
    after = edited(scene, text)
    assert after is None or after != scene


def test_the_same_seed_commands_the_same():
    def commands(seed):
        rng = random.Random(seed)
        return [random_command(rng, scene) for scene in random_scenes(40)]

    assert commands(1) == commands(1)
    assert commands(1) != commands(2)
