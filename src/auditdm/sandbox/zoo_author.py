"""A model as author of the self-test's proposals, such as the zoo's own auditors."""

from __future__ import annotations

import random
from importlib import resources

from auditdm.backends.specs import load_model
from auditdm.errors import MalformedProposal, ModelError
from auditdm.method.auditor import parse, prompt_for, read_prompts
from auditdm.runs.auditor_training import Tell
from auditdm.runs.stages import quiet
from auditdm.sandbox.changes import drawn, edited
from auditdm.sandbox.gap_language import random_valid
from auditdm.sandbox.renderer import render
from auditdm.sandbox.standin import Item, item_of
from auditdm.sandbox.world import Scene
from auditdm.types import Action, Model

_ACTIONS: dict[Action, float] = {"question": 0.7, "caption": 0.15, "edit": 0.15}
_BATCH = 512
_LEAST = 0.02  # share of replies that ask a question of the sandbox


class ZooAuthor:
    """Proposals that a model writes on the stand-in's pictures; satisfies `auditdm.sandbox.standin.Author`.

    Replies that cannot be parsed, captions that tell no scene and edits that cannot be done are the auditor's fault and
    become no proposal. The scene behind a changed picture is what the sandbox's generator or editor would have drawn.

    Args:
        model: Samples; `sandbox/auditor` or `sandbox/auditor-wide`, before or after training, or another that writes
            questions, captions and commands of the sandbox.
        tell: Called with ("proposed", values) after each batch.

    Cost: one reply a proposal, some 200 a second on one CPU core for the zoo's auditor.
    """

    def __init__(self, model: Model, tell: Tell = quiet) -> None:
        self.model, self.tell, self.written = model, tell, 0
        self.prompts = read_prompts((resources.files("auditdm.sandbox") / "prompts.yaml").read_text())

    def propose(self, rng: random.Random, count: int) -> list[Item]:
        """As `Author` says; stops after twice as many replies as are wanted.

        Raises:
            ModelError: Not one reply in fifty asks a question of the sandbox: figures would tell of the language, not of the
                search.
        """
        found: list[Item] = []
        replied = 0
        for _ in range(2 * count // _BATCH + 1):
            if len(found) >= count:
                break
            asked = [
                (random_valid(rng)[0], rng.choices(list(_ACTIONS), list(_ACTIONS.values()))[0]) for _ in range(_BATCH)
            ]
            replies = self.model.generate([(render(s), prompt_for(self.prompts, action)) for s, action in asked])
            replied += len(replies)
            for (scene, action), reply in zip(asked, replies, strict=True):
                item = None if reply.text is None else _item(scene, action, reply.text)
                if item is not None:
                    found.append(item)
            self.written += len(replies)
            self.tell("proposed", {"model": self.model.name, "written": self.written})
            asks = sum(item.truth.skill is not None for item in found)
            if asks < _LEAST * replied:
                raise ModelError(
                    f"{self.model.name} cannot be the auditor of a self-test: {asks} of {replied} replies ask a question "
                    f"of the sandbox. One that came: {next((r.text or r.problem for r in replies), None)!r}. "
                    "Take sandbox/auditor, or a model that was fine-tuned from it."
                )
        return found[:count]

    def ask_like(self, rng: random.Random, scene: Scene, model: Item) -> str | None:
        """The same words on another picture: the model takes no instruction about what to ask."""
        return model.question


def author_of(model: str, tell: Tell = quiet) -> ZooAuthor:
    """A model as an author, such as `sandbox/auditor`: untrained by any audit, sampling.

    Raises:
        ConfigError: No such model; names the nearest.
    """
    return ZooAuthor(load_model(model, temperature=1.0, max_new_tokens=48, batch=_BATCH // 2), tell)


def _item(scene: Scene, action: Action, reply: str) -> Item | None:
    try:
        proposal = parse(reply, "", action)
    except MalformedProposal:
        return None
    words = proposal.instruction or ""
    after = scene if action == "question" else drawn(words) if action == "caption" else edited(scene, words)
    return None if after is None else item_of(after, proposal.question, action != "question")
