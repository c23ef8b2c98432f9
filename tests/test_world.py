import random
from dataclasses import replace

import pytest
from hypothesis import given, settings

from auditdm.sandbox.world import (
    CELLS,
    COLOURS,
    FACES,
    NOUNS,
    PATTERNS,
    SIGNS,
    SIZES,
    Scene,
    Thing,
    random_scene,
    random_thing,
    scene_of,
)
from scenes import SEEDS, random_scenes, scenes

STAR = Thing(2, 3, "star", "red")
SEVEN = Thing(1, 1, "digit", "green", face="7")

IMPOSSIBLE_THINGS = [
    (0, 1, "star", "red"),
    (1, 5, "star", "red"),
    (1, 1, "moon", "red"),
    (1, 1, "star", "pink"),
    (1, 1, "star", "red", "huge"),
    (1, 1, "star", "red", "large", "checked"),
    (1, 1, "star", "red", "large", "plain", "7"),
    (1, 1, "digit", "red"),
    (1, 1, "digit", "red", "large", "plain", "A"),
    (1, 1, "digit", "red", "small", "plain", "7"),
    (1, 1, "digit", "red", "large", "striped", "7"),
    (1, 1, "star", "red", "large", "plain", "", (0, 2)),
]


@pytest.mark.parametrize("told", IMPOSSIBLE_THINGS)
def test_a_thing_that_the_world_has_not_cannot_be_made(told):
    with pytest.raises(AssertionError):
        Thing(*told)


@pytest.mark.parametrize(
    "things",
    [
        (),
        tuple(Thing(*cell, "star", "red") for cell in CELLS[:7]),
        (STAR, replace(STAR, colour="blue")),
        (STAR, SEVEN),  # not in reading order
    ],
)
def test_a_scene_that_the_world_has_not_cannot_be_made(things):
    with pytest.raises(AssertionError):
        Scene(things)


def test_scene_of_sorts_what_fits_and_says_none_for_what_does_not():
    assert scene_of([STAR, SEVEN]) == Scene((SEVEN, STAR))
    assert scene_of([]) is None
    assert scene_of([STAR, replace(STAR, colour="blue")]) is None
    assert scene_of([Thing(*cell, "star", "red") for cell in CELLS[:6]]) is not None
    assert scene_of([Thing(*cell, "star", "red") for cell in CELLS[:7]]) is None


@settings(deadline=None)
@given(SEEDS)
def test_a_random_scene_has_its_things_in_cells_of_their_own_in_reading_order(rng):
    cells = [t.cell for t in random_scene(rng).things]
    assert 1 <= len(cells) <= 6
    assert cells == sorted(set(cells))


@pytest.mark.parametrize("least", [1, 2, 6])
def test_a_random_scene_has_at_least_as_many_things_as_demanded(least):
    counts = {len(random_scene(random.Random(seed), least=least).things) for seed in range(300)}
    assert counts == set(range(least, 7))


def test_random_scenes_show_all_that_the_world_has():
    things = [t for scene in random_scenes(4000) for t in scene.things]
    assert {t.noun for t in things} == set(NOUNS)
    assert {t.colour for t in things} == set(COLOURS)
    assert {t.size for t in things if t.is_shape} == set(SIZES)
    assert {t.pattern for t in things if t.is_shape} == set(PATTERNS)
    assert {t.cell for t in things} == set(CELLS)
    assert {t.nudge for t in things} == {(x, y) for x in (-1, 0, 1) for y in (-1, 0, 1)}
    for sign in SIGNS:
        assert {t.face for t in things if t.noun == sign} == set(FACES[sign])


def test_the_same_seed_gives_the_same_scene_and_other_seeds_others():
    assert random_scenes(50, seed=1) == random_scenes(50, seed=1)
    assert not set(random_scenes(50, seed=1)) & set(random_scenes(50, seed=2))


@settings(deadline=None)
@given(SEEDS)
def test_a_thing_can_be_demanded(rng):
    for noun in NOUNS:
        thing = random_thing(rng, (3, 2), noun)
        assert (thing.noun, thing.cell) == (noun, (3, 2))


@settings(deadline=None)
@given(scenes())
def test_without_nudges_only_the_nudges_are_gone(scene):
    still = scene.without_nudges()
    assert all(t.nudge == (0, 0) for t in still.things)
    assert [replace(t, nudge=(0, 0)) for t in scene.things] == list(still.things)
    assert still.without_nudges() == still


@settings(deadline=None)
@given(scenes())
def test_a_thing_is_a_shape_or_a_sign(scene):
    assert scene.shapes == tuple(t for t in scene.things if t.noun not in SIGNS)
    assert all(bool(t.face) == (t.noun in SIGNS) for t in scene.things)
