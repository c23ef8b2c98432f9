"""What the zoo's auditor is taught: valid questions, captions and edit commands on request.

Nothing in it is about any target.
"""

from __future__ import annotations

import random

from auditdm.sandbox.changes import caption, drawn, edited, random_command
from auditdm.sandbox.language import answer, random_question
from auditdm.sandbox.world import CELLS, Scene, random_thing, scene_of

Segment = tuple[str, str, float]  # prompt, reply, weight


def requests(rng: random.Random, scene: Scene, odds: dict[str, float]) -> list[Segment]:
    """Two requests for a question on a scene, one for a caption and two for an edit, and those for a given question.

    Args:
        rng: Source of chance.
        scene: What the picture shows.
        odds: Weight of each skill.
    """
    found: list[Segment] = []
    for _ in range(2):
        question = _question(rng, scene, odds)
        if question:
            found.append(("ask", f"<question> {question} </question>", 1.0))
    for kind in ("caption", "edit", "edit"):
        changed = _changed(rng, scene, kind)
        if changed is None:
            continue
        words, after = changed
        question = _question(rng, after, odds)
        if question:
            found.append((kind, f"<{kind}> {words} </{kind}> <question> {question} </question>", 1.0))
    for kind in ("caption", "edit", "edit"):
        given = _question(rng, scene, odds)
        for _ in range(6):
            changed = _changed(rng, scene, kind)
            if given and changed and answer(changed[1], given).answer is not None:
                found.append((f"{kind} for : {given}", f"<{kind}> {changed[0]} </{kind}>", 1.0))
                break
    return found


def _question(rng: random.Random, scene: Scene, odds: dict[str, float]) -> str | None:
    for _ in range(6):
        question = random_question(rng, scene, rng.choices(list(odds), list(odds.values()))[0])
        if question:
            return question
    return None


def _changed(rng: random.Random, scene: Scene, kind: str) -> tuple[str, Scene] | None:
    """A caption of up to three of the picture's things and one or two new ones, or an edit; and the scene after it."""
    if kind == "edit":
        command = random_command(rng, scene)
        after = edited(scene, command) if command else None
        return (command, after) if command and after else None
    kept = rng.sample(scene.things, min(len(scene.things), rng.choice((0, 1, 1, 2, 2, 3))))
    free = [c for c in CELLS if c not in {t.cell for t in kept}]
    nouns = rng.choices((None, "digit", "letter", "number", "clock", "arrow", "chart"), (8, 2, 2, 2, 2, 2, 2), k=2)
    fresh = [random_thing(rng, c, n) for c, n in zip(rng.sample(free, 2), nouns, strict=True)][: rng.choice((1, 1, 2))]
    after = scene_of([*kept, *fresh])
    if after is None:
        return None
    words = caption(after)
    again = drawn(words)
    assert again is not None
    return words, again
