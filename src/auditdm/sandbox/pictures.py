"""The sandbox's pool, image generator and image editor, behind the same protocols as real ones."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

from PIL.Image import Image

from auditdm.sandbox.changes import drawn, edited
from auditdm.sandbox.language import ALL_SKILLS, random_question
from auditdm.sandbox.renderer import read, render
from auditdm.sandbox.world import Scene, random_scene
from auditdm.sandbox.zoo import taught_skills
from auditdm.types import Source, picture_id, seed_for


class SandboxGenerator:
    """Draws captions of the sandbox's language; None for any other."""

    def generate(self, captions: Sequence[str]) -> list[Image | None]:
        """Draw each caption; what words do not tell (a pixel left or right) follows from the caption."""
        scenes = [drawn(caption) for caption in captions]
        return [None if s is None else render(_nudged(s, c)) for s, c in zip(scenes, captions, strict=True)]


class SandboxEditor:
    """Follows edit commands on pictures of the sandbox, from their pixels alone; None for what it cannot do."""

    def edit(self, batch: Sequence[tuple[Image, str]]) -> list[Image | None]:
        """Read each picture back, change the one thing, draw it again."""
        found: list[Image | None] = []
        for picture, command in batch:
            scene = read(picture)
            after = None if scene is None else edited(scene, command)
            found.append(None if after is None else render(after))
        return found


def sandbox_pool(name: str, limit: int | None = None) -> list[Source]:
    """Fresh pictures, each with a question of its own.

    Args:
        name: Any word or number; other names give other pictures, of two things at least: a lone thing would recur.
        limit: How many; 1,000 if None.

    Cost: about 0.2 ms a picture.
    """
    rng, skills = random.Random(seed_for(0, "pool", name)), taught_skills() or ALL_SKILLS
    found: dict[str, Source] = {}
    while len(found) < (1000 if limit is None else limit):
        scene = random_scene(rng, least=2)
        question = random_question(rng, scene, rng.choice(skills))
        if question is None:
            continue
        image = render(scene)
        known, origin = picture_id(image), f"sandbox/{name}#{len(found)}"
        found.setdefault(known, Source(id=known, image=image, question=question, origin=origin))
    return list(found.values())


def _nudged(scene: Scene, caption: str) -> Scene:
    rng = random.Random(seed_for(0, "nudges", caption))
    return Scene(tuple(replace(t, nudge=(rng.randint(-1, 1), rng.randint(-1, 1))) for t in scene.things))
