"""Two steps of our own training on a tiny model of a real family: `train(folder, run, ...)`.

A random model writes random words, which are no proposals, so here every reply is taken as the question it would have
asked; the models of `acting_models` answer it, and the rewards differ. What TRL made of it is kept in a `Watched`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from PIL.Image import Image

from acting_models import AGAIN
from auditdm.config import AuditConfig, parse_config
from auditdm.environment import environment
from auditdm.runs.auditor_training import train_auditor
from auditdm.runs.examining import Examined, Examiner, Request
from auditdm.runs.pictures import Split, split_pool
from auditdm.runs.roles import fill_roles
from auditdm.runs.stages import quiet
from auditdm.store import Run

STEPS, BATCH, GROUP, TOKENS = 2, 8, 4, 12
LORA = {"r": 4, "lora_alpha": 8}
PROMPTS = "auditdm.sandbox:prompts.yaml"


class Lenient:
    """Examines every reply as if it were a well-formed question."""

    def __init__(self, examiner: Examiner) -> None:
        self.inner, self.roles = examiner, examiner.roles

    def examine(
        self, requests: Sequence[Request], replies: Sequence[str], pictures: Mapping[str, Image]
    ) -> list[Examined]:
        asked = [f"<question> {re.sub('[<>]', '', reply)} ? </question>" for reply in replies]
        return self.inner.examine(requests, asked, pictures)


@dataclass
class Watched:
    """What passed through TRL."""

    trainer: Any = None
    scored: list[dict[str, Any]] = field(default_factory=list)  # a batch of completions each
    inputs: list[list[dict[str, Any]]] = field(default_factory=list)  # the rows of the data set behind each batch
    learnt: list[dict[tuple[int, ...], Any]] = field(default_factory=list)  # log-probabilities that the loss uses

    def learnt_from(self, step: int) -> Any:
        """The log-probabilities of a step in the order in which it was scored; TRL shuffles a batch before it learns."""
        import torch

        scored = self.scored[step]
        whole = torch.cat([scored["prompt_ids"], scored["completion_ids"]], dim=1)
        return torch.stack([self.learnt[step][tuple(ids)] for ids in whole.tolist()])

    def watch(self, patch: pytest.MonkeyPatch) -> None:
        from trl import GRPOTrainer

        score, logps = GRPOTrainer._generate_and_score_completions, GRPOTrainer._get_per_token_logps_and_entropies

        def scoring(trainer: Any, inputs: Any) -> Any:
            self.trainer = trainer
            self.inputs.append([dict(row) for row in inputs])
            self.scored.append(score(trainer, inputs))
            return self.scored[-1]

        def measuring(trainer: Any, model: Any, input_ids: Any, *given: Any, **named: Any) -> Any:
            found = logps(trainer, model, input_ids, *given, **named)
            if found[0].requires_grad:
                rows = zip(input_ids.tolist(), found[0].detach(), strict=True)
                self.learnt.append({tuple(ids): row.clone() for ids, row in rows})
            return found

        patch.setattr(GRPOTrainer, "_generate_and_score_completions", scoring)
        patch.setattr(GRPOTrainer, "_get_per_token_logps_and_entropies", measuring)


def configured(auditor: Path, **training: Any) -> AuditConfig:
    grpo = {"learning_rate": 1e-2, "max_completion_length": TOKENS, **training.pop("grpo", {})}
    return parse_config(
        {
            "seed": 3,
            "images": {"path": "sandbox/5", "limit": 12},
            "auditor": str(auditor),
            "target": "acting_models:target",
            "references": ["acting_models:reference", "acting_models:other"],
            "actions": {"question": 1},
            "prompts": PROMPTS,
            "wordings": ["{question}", AGAIN + "{question}"],
            "training": {
                "steps": STEPS, "batch": BATCH, "group": GROUP, "checkpoint_every": 1, "lora": LORA, "grpo": grpo,
                **training,
            },
        }
    )  # fmt: skip


def train(config: AuditConfig, path: Path, *, tell: Any = quiet) -> tuple[Path, Watched, Split]:
    """Train in a run folder, going on from its last checkpoint: the folder of the weights, and what was seen."""
    watched = Watched()
    with pytest.MonkeyPatch.context() as patch:
        watched.watch(patch)
        with Run.open(path, config.model_dump(mode="json"), environment()) as run:
            split = split_pool(config, run)
            examiner: Any = Lenient(Examiner(fill_roles(config)))
            folder = train_auditor(run, config, split, examiner, arm="trained", reward="gated", tell=tell)
    return folder, watched, split
