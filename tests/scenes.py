"""Scenes for hypothesis: any that the world allows, nudges included, shrinking to one red circle."""

import random

from hypothesis import strategies as st

from auditdm.sandbox.world import CELLS, COLOURS, FACES, PATTERNS, SHAPES, SIGNS, SIZES, Scene, Thing, random_scene

NUDGES = st.tuples(st.sampled_from((0, -1, 1)), st.sampled_from((0, -1, 1)))


@st.composite
def things(draw, cell):
    noun, colour, nudge = draw(st.sampled_from(SHAPES + SIGNS)), draw(st.sampled_from(COLOURS)), draw(NUDGES)
    if noun in SIGNS:
        return Thing(*cell, noun, colour, face=draw(st.sampled_from(FACES[noun])), nudge=nudge)
    return Thing(*cell, noun, colour, draw(st.sampled_from(SIZES)), draw(st.sampled_from(PATTERNS)), nudge=nudge)


@st.composite
def scenes(draw, least=1):
    cells = draw(st.lists(st.sampled_from(CELLS), min_size=least, max_size=6, unique=True))
    return Scene(tuple(draw(things(cell)) for cell in sorted(cells)))


def random_scenes(count, seed=0):
    """Scenes as the pool has them; cheaper than hypothesis by far."""
    rng = random.Random(seed)
    return [random_scene(rng) for _ in range(count)]


SEEDS = st.integers(0, 2**32).map(random.Random)
