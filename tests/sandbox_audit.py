"""An audit of an organism without a trained auditor, small and fast: everything but the models is what an audit has."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

from auditdm.backends.judges import ExactJudge
from auditdm.config import AuditConfig, parse_config
from auditdm.errors import ModelError
from auditdm.runs.discovery import discover
from auditdm.runs.examining import Examiner
from auditdm.runs.ledger_keeping import confirm
from auditdm.runs.pictures import split_pool
from auditdm.runs.roles import Roles
from auditdm.sandbox.changes import caption, drawn, edited, random_command
from auditdm.sandbox.gap_files import parse_gaps
from auditdm.sandbox.language import ALL_SKILLS, random_question
from auditdm.sandbox.organisms import Organism, OrganismModel, organism_of, references_of
from auditdm.sandbox.pictures import SandboxEditor, SandboxGenerator
from auditdm.sandbox.renderer import read
from auditdm.sandbox.world import random_scene
from auditdm.store import Run
from auditdm.types import Answer, picture_id, seed_for

PROMPTS = {"question": "ask", "caption": "caption", "edit": "edit", "caption_for": "caption for : {question}",
           "edit_for": "edit for : {question}"}  # fmt: skip
COLOUR = {"name": "colour", "where": {"skill": "colour"}, "error": 0.95}


class Author:
    """Writes what the zoo's auditor writes, from the scene that it sees; the same batch gets the same replies."""

    name, revision = "author", "fake"

    def __init__(self) -> None:
        self.asked: list[str] = []

    def generate(self, batch):
        self.asked += [prompt for _, prompt in batch]
        key = [part for image, prompt in batch for part in (picture_id(image), prompt)]
        rng = random.Random(seed_for(0, *key))
        return [Answer(model=self.name, text=self._reply(rng, *pair), revision=self.revision) for pair in batch]

    def _reply(self, rng, image, prompt):
        scene = read(image)
        act, given = prompt.split()[0], " : " in prompt
        change = ""
        if act == "edit":
            command = random_command(rng, scene) or "do nothing"
            scene, change = edited(scene, command) or scene, f"<edit> {command} </edit> "
        elif act == "caption":
            told = caption(random_scene(rng, least=2))
            scene, change = drawn(told), f"<caption> {told} </caption> "
        question = None if given else random_question(rng, scene, rng.choice(ALL_SKILLS))
        return change if given else f"{change}<question> {question or 'how many shapes are there ?'} </question>"


class Counted:
    """A model that counts what it is asked, and breaks down after so many batches."""

    def __init__(self, model: Any, breaks_after: int | None = None) -> None:
        self.name, self.revision, self._model = model.name, model.revision, model
        self.asked = self.batches = 0
        self.breaks_after = breaks_after

    def generate(self, batch):
        if self.breaks_after is not None and self.batches >= self.breaks_after:
            raise ModelError("the power went")
        self.batches += 1
        self.asked += len(batch)
        return self._model.generate(batch)


def configured(**changes: Any) -> AuditConfig:
    return parse_config({
        "images": {"path": "sandbox/ledger", "limit": 260, "holdout": 0.9, "confirmation": 0.6},
        "auditor": "sandbox/auditor", "target": "sandbox/target-small", "references": ["sandbox/reference-1"],
        "generator": "sandbox", "editor": "sandbox", "actions": {"question": 2, "caption": 1, "edit": 1},
        "wordings": ["{question}", "again : {question}"], "training": {"steps": 0},
        "discovery": {"probes": 192, "batch": 64},
        "confirmation": {"budget": 420, "fresh": 64, "describe": "describe"},
        **changes,
    })  # fmt: skip


def roles_of(gaps: list[dict[str, Any]], breaks_after: int | None = None, prompts=PROMPTS) -> Roles:
    """Organisms in the places of target and references."""
    told = {
        "organisms": [{"name": "it", "gaps": gaps, "base_error": 0.01}],
        "references": {"count": 2, "base_error": 0.005},
    }
    file = parse_gaps(told)
    [spec] = file.organisms
    target: Organism = organism_of(spec, 0)
    return Roles(
        target=Counted(OrganismModel(target), breaks_after),
        references=tuple(Counted(OrganismModel(r)) for r in references_of(file, spec, 0)),
        judge=ExactJudge(), generator=SandboxGenerator(), editor=SandboxEditor(), prompts=prompts, quorum=1.0,
        wordings=("{question}", "again : {question}"),
    )  # fmt: skip


def discovered(path: Path, config: AuditConfig, roles: Roles) -> tuple[Any, Examiner]:
    """A run whose discovery is done: the untrained auditor alone, under both names."""
    with Run.open(path, config.model_dump(mode="json"), {}) as run:
        split, examiner = split_pool(config, run), Examiner(roles)
        examiner.recall(run.rows("answers"))
        for arm in ("trained", "prompt_only"):
            discover(run, config, split, examiner, Author(), arm=arm, tell=lambda *_: None)
    return split, examiner


def confirmed(path: Path, config: AuditConfig, roles: Roles, author: Author | None = None) -> None:
    """The stage, in a run whose discovery is done."""
    with Run.open(path, config.model_dump(mode="json"), {}) as run:
        split, examiner = split_pool(config, run), Examiner(roles)
        examiner.recall(run.rows("answers"))
        confirm(run, config, split, examiner, lambda: author or Author(), lambda *_: None)
