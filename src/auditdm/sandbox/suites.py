"""Held-out questions per skill, with the true answers: what a model is measured on."""

from __future__ import annotations

import random
from collections.abc import Sequence

from auditdm.sandbox.gaps import Gap, gap_of
from auditdm.sandbox.language import CANNOT_SAY, answer, garbled, random_question, unclear_question
from auditdm.sandbox.renderer import render
from auditdm.sandbox.world import SIGNS, Scene, random_scene, random_thing
from auditdm.types import Example, seed_for

ILL_POSED = "ill_posed"


def suite(skill: str, count: int, *, seed: int, gaps: Sequence[Gap] = (), inside: Gap | None = None) -> list[Example]:
    """`count` fresh questions of one skill, or of one planted slice of it.

    Args:
        skill: A skill, or `ILL_POSED` for questions to which the right reply is "cannot say".
        count: How many; every one on a scene of its own, of two things at least.
        seed: Other seeds give other scenes: two things in the same cells and looks are met about once in 10^8 scenes.
        gaps: The planted gaps that label the items' slices.
        inside: Only questions of this slice.

    Raises:
        ValueError: `inside` is a slice of another skill, so that no question could be found.

    Cost: about 0.2 ms an item for common skills, some ms for rare slices.
    """
    if inside is not None and inside.skill != skill:
        raise ValueError(f"{inside.name!r} is a slice of {inside.skill!r}, not of {skill!r}: ask for {inside.skill!r}")
    rng = random.Random(seed_for(seed, "suite", skill, inside.name if inside else ""))
    found: list[Example] = []
    shown: set[Scene] = set()
    while len(found) < count:
        scene = _scene_for(rng, skill)
        words = _ill_posed(rng, scene) if skill == ILL_POSED else random_question(rng, scene, skill)
        if words is None or scene in shown:
            continue
        truth = answer(scene, words)
        gap = gap_of(tuple(gaps), truth.skill, words, truth.answer)
        if inside is not None and not inside.holds(truth.skill, words, truth.answer):
            continue
        reply = CANNOT_SAY if skill == ILL_POSED else truth.reply
        where = gap.name if gap else ""
        shown.add(scene)
        found.append(
            Example(
                suite=skill, question=words, answer=reply, image=render(scene), slice=where, extra=inside is not None
            )
        )
    return found


def _scene_for(rng: random.Random, skill: str) -> Scene:
    """A random scene of two things or more; for a skill that reads signs, one with those signs."""
    things = list(random_scene(rng, least=2).things)
    sign = {"chart_tallest": "chart", "chart_shortest": "chart", "sum": "digit"}.get(skill, skill)
    if sign in SIGNS:
        missing = (2 if skill == "sum" else 1) - sum(t.noun == sign for t in things)
        others = [n for n, t in enumerate(things) if t.noun != sign]
        for n in rng.sample(others, max(0, missing)):
            things[n] = random_thing(rng, things[n].cell, sign)
    return Scene(tuple(things))


def _ill_posed(rng: random.Random, scene: Scene) -> str | None:
    if rng.random() < 0.5:
        return unclear_question(rng, scene)
    asked = [random_question(rng, scene, s) for s in rng.sample(("exist", "colour", "count", "row", "at"), 2)]
    if None in asked:
        return None
    words = garbled(rng, str(asked[0]), str(asked[1]))
    return words if answer(scene, words).answer is None else None
