import hashlib
import io
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from PIL import Image

from auditdm.sandbox.changes import drawn
from auditdm.sandbox.renderer import CELL_PX, PAPER, SIDE_PX, read, render
from auditdm.sandbox.world import CELLS, COLOURS, FACES, PATTERNS, SHAPES, SIGNS, SIZES, Scene, Thing
from auditdm.types import picture_id
from scenes import random_scenes, scenes

NUDGES = tuple(product((-1, 0, 1), repeat=2))
EVERY_LOOK = "0483227f9a7e387812296b9ff38177ac40aa078d1af36d0a86ca79727b59070e"  # sha256 of all tiles
GOLDEN = Path(__file__).with_name("golden_pictures.txt")  # first nudge, sha256 of the pixels, caption


def nudged(caption, first):
    """The scene of a caption, its things nudged one after the other in every way, from the `first` way on."""
    things = drawn(caption).things
    return Scene(tuple(replace(t, nudge=NUDGES[(first + n) % 9]) for n, t in enumerate(things)))


def cell_of(pixels, cell):
    top, left = (cell[0] - 1) * CELL_PX, (cell[1] - 1) * CELL_PX
    return pixels[top : top + CELL_PX, left : left + CELL_PX]


def every_look():
    """Every thing that can be drawn, in one cell."""
    for noun, colour, size, pattern, nudge in product(SHAPES, COLOURS, SIZES, PATTERNS, NUDGES):
        yield Thing(2, 3, noun, colour, size, pattern, nudge=nudge)
    for noun in SIGNS:
        for colour, face, nudge in product(COLOURS, FACES[noun], NUDGES):
            yield Thing(2, 3, noun, colour, face=face, nudge=nudge)


@pytest.mark.parametrize("line", GOLDEN.read_text().splitlines())
def test_a_scene_has_the_same_pixels_on_any_machine(line):
    first, golden, words = line.split(maxsplit=2)
    pixels = render(nudged(words, int(first))).tobytes()
    assert hashlib.sha256(pixels).hexdigest() == golden


def test_every_look_is_told_apart_reads_back_and_has_the_same_pixels_on_any_machine():
    digest, seen = hashlib.sha256(), set()
    looks = list(every_look())
    for thing in looks:
        picture = render(Scene((thing,)))
        tile = cell_of(np.asarray(picture), thing.cell).tobytes()
        digest.update(tile)
        seen.add(tile)
        assert read(picture) == Scene((thing,))
    assert len(seen) == len(looks) == 7434
    assert digest.hexdigest() == EVERY_LOOK


def test_reading_what_was_rendered_is_the_identity_on_2000_random_scenes():
    for scene in random_scenes(2000):
        assert read(render(scene)) == scene


@settings(max_examples=200, deadline=None)
@given(scenes())
def test_reading_what_was_rendered_is_the_identity(scene):
    picture = render(scene)
    assert (picture.mode, picture.size) == ("RGB", (64, 64))
    assert read(picture) == scene


@settings(deadline=None)
@given(scenes(least=2))
def test_a_picture_is_a_mosaic_of_its_things(scene):
    pixels = np.asarray(render(scene))
    for thing in scene.things:
        alone = np.asarray(render(Scene((thing,))))
        assert (cell_of(alone, thing.cell) == cell_of(pixels, thing.cell)).all()
    for cell in set(CELLS) - {t.cell for t in scene.things}:
        assert (cell_of(pixels, cell) == PAPER).all()


def test_a_picture_reads_the_same_from_a_file_and_in_another_mode():
    for scene in random_scenes(10, seed=1):
        file = io.BytesIO()
        render(scene).save(file, "PNG")
        assert read(Image.open(file)) == scene
        assert read(render(scene).convert("RGBA")) == scene


def test_reading_leaves_the_picture_as_it_was():
    picture = render(random_scenes(1)[0])
    before = picture_id(picture)
    read(picture)
    assert picture_id(picture) == before


@pytest.mark.parametrize("strength", [1, 2, 5])
def test_a_little_noise_does_not_hide_a_scene(strength):
    rng = np.random.default_rng(strength)
    for scene in random_scenes(5, seed=strength):
        noise = rng.integers(-strength, strength + 1, (SIDE_PX, SIDE_PX, 3))
        noisy = (np.asarray(render(scene)).astype(int) + noise).clip(0, 255).astype(np.uint8)
        assert read(Image.fromarray(noisy)) == scene


def filled(colour, size=(SIDE_PX, SIDE_PX)):
    return Image.new("RGB", size, colour)


def noise():
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (SIDE_PX, SIDE_PX, 3), np.uint8))


def photo():
    """A soft landscape: sky, hills and grain."""
    y, x = np.mgrid[0:SIDE_PX, 0:SIDE_PX]
    hills = 40 + 8 * np.sin(x / 7) + 5 * np.cos(x / 3)
    picture = np.where((y < hills)[..., None], np.stack([130 + y, 170 + y, 230 - y // 2], -1), (60, 110, 40))
    grain = np.random.default_rng(1).normal(0, 6, picture.shape)
    return Image.fromarray((picture + grain).clip(0, 255).astype(np.uint8))


def spoiled(what):
    """A scene's picture with something that the world has not."""
    pixels = np.asarray(render(Scene((Thing(2, 2, "star", "red"), Thing(4, 4, "clock", "blue", face="3:00"))))).copy()
    if what == "shifted":
        pixels = np.roll(pixels, 3, axis=1)
    elif what == "inverted":
        pixels = 255 - pixels
    elif what == "upside down":
        pixels = pixels[::-1].copy()
    elif what == "grey":
        pixels = pixels.mean(-1, keepdims=True).repeat(3, -1).astype(np.uint8)
    elif what == "blot":
        pixels[2:10, 2:10] = (255, 0, 255)
    elif what == "cut":
        pixels[24:32, 16:32] = PAPER
    elif what == "tinted paper":
        pixels[(pixels == PAPER).all(-1)] = (255, 250, 220)
    elif what == "seven things":
        for row, col in CELLS[8:13]:
            cell_of(pixels, (row, col))[:] = cell_of(pixels, (2, 2))
    return Image.fromarray(pixels)


@pytest.mark.parametrize(
    "picture",
    [
        pytest.param(filled(PAPER), id="empty paper"),
        pytest.param(filled("white"), id="white"),
        pytest.param(filled("black"), id="black"),
        pytest.param(filled((214, 39, 40)), id="red"),
        pytest.param(noise(), id="noise"),
        pytest.param(photo(), id="photo"),
        pytest.param(Image.effect_mandelbrot((64, 64), (-3, -2.5, 2, 2.5), 100), id="fractal"),
        pytest.param(Image.radial_gradient("L").resize((64, 64)), id="gradient"),
        pytest.param(filled(PAPER, (1, 1)), id="one pixel"),
        pytest.param(render(random_scenes(1)[0]).resize((128, 128), Image.Resampling.NEAREST), id="twice as large"),
        pytest.param(render(random_scenes(1)[0]).crop((0, 0, 64, 63)), id="one row short"),
        *(
            pytest.param(spoiled(what), id=what)
            for what in ("shifted", "inverted", "upside down", "grey", "blot", "cut", "tinted paper", "seven things")
        ),
    ],
)
def test_what_shows_no_scene_reads_as_none(picture):
    assert read(picture) is None
