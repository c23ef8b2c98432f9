import hashlib
import io
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from PIL import Image
from scenes import random_scenes, scenes

from auditdm.sandbox.changes import drawn
from auditdm.sandbox.renderer import CELL_PX, PAPER, SIDE_PX, read, render
from auditdm.sandbox.world import CELLS, COLOURS, FACES, PATTERNS, SHAPES, SIGNS, SIZES, Scene, Thing
from auditdm.types import picture_id

NUDGES = tuple(product((-1, 0, 1), repeat=2))
EVERY_LOOK = "0483227f9a7e387812296b9ff38177ac40aa078d1af36d0a86ca79727b59070e"  # sha256 of all tiles
GOLDEN = [  # first nudge, sha256 of the pixels, caption
    (
        0,
        "dea01deb73a259caeeba818c3832aa4121db9bbf5b05741ba974e79594ab53ea",
        "dotted purple star row1 col2 and striped orange triangle row2 col2 and green star row2 col4 and orange square row4 col1",
    ),
    (
        1,
        "0fddb841555834b114ac25af5db8e8b983ec12ab4f1a23658d162bfd931b790d",
        "purple digit 5 row4 col1 and black cross row4 col4",
    ),
    (
        2,
        "e6d45a6f1f079ced4928ce20527678459e44e2bb75c8943da9bb040ef130b53d",
        "striped black triangle row1 col3 and purple letter L row2 col1 and purple circle row2 col4 and green diamond row3 col2 and small dotted purple cross row3 col3 and small orange cross row4 col4",
    ),
    (
        3,
        "c555560dad3c5cd5309eebae4158b62269b6e9911af1d80f8875ddd3ebac4d48",
        "small red diamond row2 col3 and green letter T row2 col4 and blue circle row3 col1 and yellow number 14 row4 col3 and striped red diamond row4 col4",
    ),
    (
        4,
        "2e1ddd2538b17d771487cc961756619e459f7ae193b4f1a9289a044be2fb01ae",
        "striped black star row1 col4 and small striped green square row2 col2 and small black diamond row2 col3 and purple circle row4 col1 and small orange diamond row4 col2 and dotted red star row4 col3",
    ),
    (
        5,
        "476f9a1eae491b1e714c506aff039cfe80359af428179f2e3a6f6c8a786d54bd",
        "dotted red circle row2 col1 and small black cross row2 col2 and small black diamond row3 col2 and striped red circle row3 col3 and orange arrow right row4 col2 and yellow circle row4 col3",
    ),
    (
        6,
        "30f001de0d5ab5061d92047e911ae36fbc9a2bd13533a6f7786590f0a33e2502",
        "small yellow circle row1 col1 and purple square row2 col4 and small orange cross row4 col4",
    ),
    (
        7,
        "8150f5c00c8cd25030ef2ef476b19ede3affcdf007ced782b5461b65730e1a97",
        "green number 47 row1 col4 and purple letter F row2 col2",
    ),
    (
        8,
        "9665645766b81b2b0fcfb0ba37f1d9ee7cf07dc65a1305f4f22dfdc618974a95",
        "small striped black diamond row1 col1 and small black circle row1 col3 and blue digit 5 row1 col4 and blue square row3 col3 and small dotted orange square row3 col4 and small dotted green square row4 col2",
    ),
    (
        0,
        "26f52e6f7bde31dd8ae5a155594f20a038bbef5c06aad60e6b69808459e7749e",
        "orange triangle row1 col2 and striped orange star row3 col1 and small blue diamond row3 col4 and black star row4 col4",
    ),
    (
        1,
        "70ad9a0a41b0529dc6bf4aa34e52690828f1972fdbaf07db786c0674bd786613",
        "small dotted green cross row1 col3 and yellow clock 5:00 row2 col3 and red digit 8 row4 col2 and black square row4 col3 and striped blue cross row4 col4",
    ),
    (
        2,
        "f0d8dfaad7be79554643a30191cd93284ae6890b9da5e9d068ee2f9d955d262e",
        "dotted yellow circle row1 col3 and small purple cross row2 col3 and small blue circle row2 col4 and small striped green triangle row3 col3 and yellow digit 2 row4 col2 and dotted black star row4 col4",
    ),
    (
        3,
        "964d9d71879f9b68c3859e0cbf39e0c56b972f579444aae0a9c29364ceeda479",
        "small purple cross row1 col4 and small green star row3 col2 and yellow letter L row4 col1",
    ),
    (
        4,
        "2a77a2e87b5696d6884d36924d5b3d6a721fc142659844f9ab10b23dbce7addc",
        "purple triangle row1 col1 and orange chart 213 row2 col2 and dotted red diamond row2 col3 and small dotted red circle row3 col2 and small yellow circle row4 col3",
    ),
    (
        5,
        "c9403566f2edf9a4451b6410f5f7908157bf98e42355e23bb67cf58450689078",
        "blue number 21 row1 col2 and small dotted yellow star row2 col3 and black circle row4 col3",
    ),
    (
        6,
        "f487c82aa9c35ae6d163eb24f7aefaee01fadca13dac9e13df09f96b4fec8b03",
        "small purple cross row2 col1 and yellow star row2 col3 and dotted blue triangle row3 col2 and green clock 12:00 row4 col1",
    ),
    (
        7,
        "4b63be6d98ac7ca5873f13374b1e478857b15dd56114da71f9f9999c956cbcf1",
        "small striped yellow cross row1 col3 and green cross row3 col1 and small striped orange triangle row3 col3 and yellow arrow right row3 col4 and green diamond row4 col3 and small dotted black circle row4 col4",
    ),
    (
        8,
        "d9ef2179c522eca067a98efd7f218367f0e2b732d6821ae7e778533746a3ec80",
        "small striped green star row1 col2 and yellow letter P row1 col4 and dotted blue triangle row2 col1 and small dotted blue cross row2 col2 and small orange triangle row3 col4 and dotted orange square row4 col2",
    ),
    (
        0,
        "da814ff16c5eb6e2ae58774e23c286186ffd5607190be9d1c458936c1892314d",
        "orange chart 321 row1 col4 and dotted purple square row3 col3 and dotted red square row4 col1 and dotted black circle row4 col4",
    ),
    (
        1,
        "687cc5f10573c155d5b2626a91fe8de0e5c5cdfbc3cd5e2c1f9fb89f53ff08b4",
        "blue letter T row1 col4 and small dotted black diamond row4 col1",
    ),
]


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


@pytest.mark.parametrize(("first", "golden", "caption"), GOLDEN)
def test_a_caption_has_the_same_pixels_on_any_machine(first, golden, caption):
    pixels = render(nudged(caption, first)).tobytes()
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


@settings(max_examples=200)
@given(scenes())
def test_reading_what_was_rendered_is_the_identity(scene):
    picture = render(scene)
    assert (picture.mode, picture.size) == ("RGB", (64, 64))
    assert read(picture) == scene


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
