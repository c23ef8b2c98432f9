"""The zoo's own auditor as author of the self-test's proposals: a real model that writes what it is asked for."""

from __future__ import annotations

import random
from importlib import resources

from auditdm.errors import MalformedProposal
from auditdm.method.auditor import parse, prompt_for, read_prompts
from auditdm.sandbox.changes import drawn, edited
from auditdm.sandbox.renderer import render
from auditdm.sandbox.standin import Item, item_of
from auditdm.sandbox.world import Scene, random_scene
from auditdm.types import Action, Model

_ACTIONS: dict[Action, float] = {"question": 0.7, "caption": 0.15, "edit": 0.15}
_BATCH = 512


class ZooAuthor:
    """Proposals that a model writes on pictures of the sandbox; satisfies `auditdm.sandbox.standin.Author`.

    Replies that cannot be parsed, captions that tell no scene and edits that cannot be done are the auditor's fault and
    become no proposal. The scene behind a changed picture is what the sandbox's generator or editor would have drawn.

    Args:
        model: Samples; `sandbox/auditor`, before or after training.

    Cost: one reply a proposal, some 200 a second on one CPU core for the zoo's auditor.
    """

    def __init__(self, model: Model) -> None:
        self.model = model
        self.prompts = read_prompts((resources.files("auditdm.sandbox") / "prompts.yaml").read_text())

    def propose(self, rng: random.Random, count: int) -> list[Item]:
        """As `Author` says; stops after twice as many replies as are wanted."""
        found: list[Item] = []
        for _ in range(2 * count // _BATCH + 1):
            if len(found) >= count:
                break
            asked = [
                (random_scene(rng), rng.choices(list(_ACTIONS), list(_ACTIONS.values()))[0]) for _ in range(_BATCH)
            ]
            replies = self.model.generate([(render(s), prompt_for(self.prompts, action)) for s, action in asked])
            for (scene, action), reply in zip(asked, replies, strict=True):
                item = None if reply.text is None else _item(scene, action, reply.text)
                if item is not None:
                    found.append(item)
        return found[:count]

    def ask_like(self, rng: random.Random, scene: Scene, model: Item) -> str | None:
        """The same words on another picture: the model takes no instruction about what to ask."""
        return model.question


def _item(scene: Scene, action: Action, reply: str) -> Item | None:
    try:
        proposal = parse(reply, "", action)
    except MalformedProposal:
        return None
    words = proposal.instruction or ""
    after = scene if action == "question" else drawn(words) if action == "caption" else edited(scene, words)
    return None if after is None else item_of(after, proposal.question, action != "question")
