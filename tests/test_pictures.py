import hashlib
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from auditdm.sandbox.changes import caption, drawn, edited
from auditdm.sandbox.language import answer
from auditdm.sandbox.pictures import SandboxEditor, SandboxGenerator, sandbox_pool
from auditdm.sandbox.renderer import read, render
from auditdm.types import ImageEditor, ImageGenerator, picture_id
from scenes import random_scenes, scenes

TOLD = "green digit 7 row1 col1 and red star row2 col3"
HOLES = ["", "a dog", "red star", f"{TOLD} and blue star row2 col3", TOLD.replace("7", "77")]


def pixels(pictures):
    return [None if p is None else p.tobytes() for p in pictures]


# ---------------------------------------------------------------- generator and editor


def test_they_are_what_the_protocols_ask_for():
    assert isinstance(SandboxGenerator(), ImageGenerator)
    assert isinstance(SandboxEditor(), ImageEditor)


@settings(max_examples=50, deadline=None)
@given(st.lists(scenes().map(caption) | st.sampled_from(HOLES), max_size=6))
def test_as_many_pictures_as_captions_in_their_order_with_none_for_what_is_no_caption(captions):
    pictures = SandboxGenerator().generate(captions)
    assert len(pictures) == len(captions)
    for words, picture in zip(captions, pictures, strict=True):
        assert (picture is None) == (words in HOLES)
        if picture is not None:
            assert (picture.mode, picture.size) == ("RGB", (64, 64))
            assert read(picture).without_nudges() == drawn(words)
    one_by_one = [SandboxGenerator().generate([words])[0] for words in captions]
    assert pixels(one_by_one) == pixels(pictures)


def test_what_words_do_not_tell_follows_from_the_caption():
    captions = [caption(s) for s in random_scenes(60, seed=2)]
    nudges = [[t.nudge for t in read(p).things] for p in SandboxGenerator().generate(captions)]
    assert len({nudge for told in nudges for nudge in told}) == 9
    assert pixels(SandboxGenerator().generate(captions)) == pixels(SandboxGenerator().generate(captions))


COMMANDS = [
    "paint the star blue",
    "remove the digit",
    "make the star small",
    "move the star to row4 col4",
    "turn the digit into 3",
]
NO_COMMANDS = [
    "",
    "paint the circle blue",
    "paint the star red",
    "move the star to row1 col1",
    "add red star at row1 col1",
]


@pytest.mark.parametrize("command", [*COMMANDS, *NO_COMMANDS])
def test_an_edit_works_on_pixels_alone_and_keeps_what_it_does_not_name(command):
    picture = SandboxGenerator().generate([TOLD])[0]
    file = io.BytesIO()
    picture.save(file, "PNG")  # all that an editor may know
    [found] = SandboxEditor().edit([(Image.open(file), command)])
    after = edited(read(picture), command)
    assert (found is None) == (after is None) == (command in NO_COMMANDS)
    if found is not None:
        assert found.tobytes() == render(after).tobytes()
        assert {t.nudge for t in read(found).things} <= {t.nudge for t in read(picture).things}


def test_a_missing_or_ambiguous_referent_or_a_strange_picture_is_not_edited():
    two_stars = render(drawn("red star row1 col1 and blue star row2 col2"))
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8))
    strange = [
        Image.new("RGB", (64, 64), (238, 238, 232)),
        noise,
        two_stars.resize((32, 32)),
        two_stars.crop((0, 0, 64, 60)),
    ]
    asked = [
        (two_stars, "remove the star"),
        (two_stars, "remove the cross"),
        *((p, "remove the red star") for p in strange),
    ]
    assert SandboxEditor().edit(asked) == [None] * len(asked)


def test_as_many_pictures_as_edits_in_their_order_with_holes_in_the_middle():
    picture = SandboxGenerator().generate([TOLD])[0]
    before = picture.tobytes()
    batch = [(picture, command) for pair in zip(COMMANDS, NO_COMMANDS, strict=False) for command in pair]
    found = SandboxEditor().edit(batch)
    assert [p is None for p in found] == [False, True] * len(COMMANDS)
    assert pixels(SandboxEditor().edit(batch[::-1])) == pixels(found[::-1])
    assert pixels([SandboxEditor().edit([pair])[0] for pair in batch]) == pixels(found)
    assert picture.tobytes() == before
    assert SandboxEditor().edit([]) == []
    assert SandboxGenerator().generate([]) == []


# ---------------------------------------------------------------- the pool


def test_a_pool_has_distinct_pictures_each_with_a_question_that_has_an_answer():
    pool = sandbox_pool("0", 300)
    assert len({source.id for source in pool}) == 300
    assert len({source.origin for source in pool}) == 300
    for source in pool:
        assert source.id == picture_id(source.image)
        assert answer(read(source.image), source.question).answer is not None


def test_a_pool_is_as_long_as_demanded_and_a_shorter_one_is_its_beginning():
    assert [len(sandbox_pool("a", n)) for n in (0, 1, 7)] == [0, 1, 7]
    assert sandbox_pool("a", 7) == sandbox_pool("a", 20)[:7]
    assert len(sandbox_pool("a")) == 1000


def test_pools_of_other_names_share_no_picture():
    training, discovery = ({source.id for source in sandbox_pool(name, 1500)} for name in ("training", "discovery"))
    assert not training & discovery


# ---------------------------------------------------------------- any process gives the same

EVERYTHING = """
import hashlib, json, sys
from auditdm.sandbox.changes import caption
from auditdm.sandbox.gaps import GAPS
from auditdm.sandbox.pictures import SandboxGenerator, sandbox_pool
from auditdm.sandbox.suites import ILL_POSED, suite

def digest(*parts):
    return hashlib.sha256(repr(parts).encode()).hexdigest()

pool = sandbox_pool("0", 60)
gap = GAPS["target-small"][0]
suites = [e for s in ("count", "sum", "false_premise", ILL_POSED) for e in suite(s, 15, seed=1, gaps=GAPS["target-small"])]
suites += suite(gap.skill, 10, seed=1, inside=gap)
drawings = SandboxGenerator().generate(["red star row1 col1", "green digit 7 row1 col1 and red star row2 col3", "no caption"])
print(json.dumps({
    "pool": digest([(s.id, s.question, s.origin) for s in pool]),
    "suites": digest([(e.question, e.answer, e.slice, e.image.tobytes()) for e in suites]),
    "nudges": digest([d and d.tobytes() for d in drawings]),
    "heavy": sorted({"torch", "transformers"} & set(sys.modules)),
}))
"""


def in_a_process(hash_seed):
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(Path(__file__).parents[1] / "src")}
    done = subprocess.run(
        [sys.executable, "-c", EVERYTHING], capture_output=True, text=True, check=True, timeout=120, env=environment
    )
    return json.loads(done.stdout)


def test_every_process_has_the_same_pool_suites_and_drawings_and_needs_no_torch():
    one, other = in_a_process("1"), in_a_process("2")
    assert one == other
    assert one["heavy"] == []
    pool = [(s.id, s.question, s.origin) for s in sandbox_pool("0", 60)]
    assert one["pool"] == hashlib.sha256(repr((pool,)).encode()).hexdigest()
