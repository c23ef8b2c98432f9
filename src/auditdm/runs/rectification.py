"""Repair a target from what an audit found, and beside it the control: as many rows that nobody audited.

Source: arXiv:2512.16921, rectification without labels. Differs: docs/method.md.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from auditdm.config import AuditConfig
from auditdm.errors import AuditError, ConfigError
from auditdm.method.trainset import Decided, Lesson, audited_lessons, control_lessons
from auditdm.runs.auditing import Stages, perform, propose_more, quiet
from auditdm.runs.auditor_training import Tell
from auditdm.runs.examining import Examiner
from auditdm.runs.pictures import split_pool
from auditdm.runs.practice import practise
from auditdm.runs.roles import Roles, fill_roles
from auditdm.runs.trainer_options import (
    adapter_options,
    last_checkpoint,
    load_for_training,
    plain_words,
    sft_options,
    train,
    weights_on_disk,
)
from auditdm.store import Run
from auditdm.types import content_id

log = logging.getLogger(__name__)
Set = Literal["audited", "control"]
AUDITED = ("trained", "prompt_only", "modes", "pool")


def rectify(path: str | Path, *, control: bool = True, tell: Tell = quiet) -> dict[Set, Path]:
    """Fine-tune the target on the failures of a run.

    Args:
        path: A run folder of `audit`; an unfinished one is finished first.
        control: Also fine-tune a second copy on as many rows from random probes of the untrained auditor.
        tell: Called with (event, values) while it goes.

    Returns:
        The folders of the repaired target ("audited") and of the control.

    Raises:
        AuditError: The run has no failure to learn from.
        StoreError: There is no run, or another process writes in it.

    Cost: `rectify.options` decides the fine-tune. The control also costs its probes: one reply of the auditor and
        1 + R answers each.
    """
    from auditdm.config import parse_config
    from auditdm.environment import environment

    config = parse_config(Run.read(path).config, str(Path(path) / "config.yaml"))
    with Run.open(path, config.model_dump(mode="json"), environment()) as run:
        roles = fill_roles(config)
        if not run.finished:
            perform(run, config, roles, tell)
        folders = repair(run, config, roles, control=control, tell=tell)
        run.finish()
    return folders


def repair(run: Run, config: AuditConfig, roles: Roles, *, control: bool, tell: Tell) -> dict[Set, Path]:
    """Both fine-tunes, in an open run whose audit is done."""
    stages, examiner = Stages(run, tell), Examiner(roles)
    examiner.recall(run.rows("answers"))
    with stages.timed("practice", examiner):
        practise(run, config, examiner, tell)
    lessons = audited_lessons(
        decided_probes(run, arms=AUDITED, phases=("training", "discovery", "practice")),
        rows=config.rectify.rows,
        replay=config.rectify.replay,
        repeats=config.rectify.repeats,
        seed=config.seed,
    )
    if not any(x.origin == "failure" for x in lessons):
        raise AuditError(f"{run.path}: the audit found no failure, so there is nothing to repair from.")
    _write(run, "audited", lessons)
    if roles.turns:
        roles.turns.clear()
    folders: dict[Set, Path] = {}
    with stages.timed("repair audited"):
        folders["audited"] = fine_tune(run, config, lessons, "audited", tell)
    if control:
        with stages.timed("control probes", examiner):
            drawn = _control(run, config, examiner, len(lessons), tell)
            _write(run, "control", drawn)
            if roles.turns:
                roles.turns.clear()
        with stages.timed("repair control"):
            folders["control"] = fine_tune(run, config, drawn, "control", tell)
    return folders


def decided_probes(run: Run, *, phases: Sequence[str], arms: Sequence[str]) -> list[Decided]:
    """The probes of these arms on which the references agree; failures that do not stand in other words are left out."""
    proposals = [p for p in run.rows("proposals") if p["arm"] in arms and p["phase"] in phases]
    asked = {p["probe_id"] for p in proposals}
    practised = {p["probe_id"] for p in proposals if p["phase"] == "practice"}
    found = {
        v["id"]: v
        for v in run.rows("verdicts")
        if v["outcome"] == "agreement" or (v["outcome"] == "failure" and v["self_consistent"])
    }
    probes = run.rows("probes")
    modes = {i: m["id"] for m in run.rows("failure_modes") for i in m["probe_ids"]}
    asking = {p["question"]: modes[p["id"]] for p in probes if p["id"] in modes}
    return [
        Decided(
            probe_id=p["id"],
            picture_id=p["picture_id"],
            question=p["question"],
            consensus=found[p["id"]]["consensus"],
            failed=found[p["id"]]["outcome"] == "failure",
            mode=modes.get(p["id"]) or asking.get(p["question"]),
            target_answer=found[p["id"]]["target_answer"] or "",
            own=p["pairing"] == "Q,I",
            fresh=p["id"] in practised,
        )
        for p in probes
        if p["id"] in asked and p["id"] in found
    ]


def _control(run: Run, config: AuditConfig, examiner: Examiner, count: int, tell: Tell) -> list[Lesson]:
    """Draw from what nobody audited: the pool's own questions, those of the untrained auditor, and as many more as it takes."""

    def unaudited() -> list[Decided]:
        return decided_probes(run, arms=("pool", "prompt_only"), phases=("practice", "discovery", "control"))

    split, asked, found = split_pool(config, run), 0, unaudited()
    while len(found) < count and asked < 4 * count:
        asked += max(256, round(1.15 * (count - len(found))))
        propose_more(run, config, split, examiner, arm="prompt_only", phase="control", count=asked, tell=tell)
        found = unaudited()
    if len(found) < count:
        log.warning(
            "the control has %d rows, the audited set %d: the untrained auditor gave no more", len(found), count
        )
    return control_lessons(found, count, seed=config.seed)


def _write(run: Run, name: Set, lessons: Sequence[Lesson]) -> None:
    references = "consensus of the references"
    run.append("trainset", [
        {"id": content_id(name, x.probe_id, str(x.copy)), "set": name, "probe_id": x.probe_id, "picture_id": x.picture_id,
         "question": x.question, "answer": x.answer, "origin": x.origin, "label_from": references}
        for x in lessons
    ])  # fmt: skip


def fine_tune(run: Run, config: AuditConfig, lessons: Sequence[Lesson], name: str, tell: Tell) -> Path:
    """Fine-tune a copy of the target by TRL's SFTTrainer; returns its folder, resuming from the last checkpoint.

    The vision tower is frozen, as it is in most recipes; with `rectify.lora` only adapters on language layers learn, and
    are merged into the saved weights.

    Raises:
        ConfigError: `rectify.options` sets what the run itself decides, or TRL refuses it.
        StoreError: The disk is full.
    """
    folder = run.path / "models" / f"target-{name}"
    if folder.exists():
        return folder
    with weights_on_disk(run.path):
        trainer = _trainer(run, config, lessons, name, tell)
        train(trainer, last_checkpoint(Path(trainer.args.output_dir)))
        trained = trainer.model if config.rectify.lora is None else trainer.model.merge_and_unload()
        unfinished = folder.with_name(folder.name + ".unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        trained.save_pretrained(unfinished)
        trainer.processing_class.save_pretrained(unfinished)
    unfinished.rename(folder)
    return folder


def _trainer(run: Run, config: AuditConfig, lessons: Sequence[Lesson], name: str, tell: Tell) -> Any:
    from datasets import Dataset, Image
    from datasets import Sequence as Many
    from transformers import PrinterCallback, TrainerCallback
    from trl import SFTTrainer

    class Told(TrainerCallback):  # type: ignore[misc]  # its base has no types
        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            tell("lesson", {"set": name, "step": state.global_step, "of": state.max_steps})

    model, processor = load_for_training(config.target, config.rectify.lora, "target")
    wording = config.wordings[0]
    rows = [
        {
            "images": [str(run.picture_path(x.picture_id))],
            "prompt": [{"role": "user", "content": plain_words(processor, wording.replace("{question}", x.question))}],
            "completion": [{"role": "assistant", "content": plain_words(processor, x.answer)}],
        }
        for x in lessons
    ]
    try:
        trainer = SFTTrainer(
            model=model,
            args=sft_options(config, run.path / "trainer" / f"target-{name}"),
            train_dataset=Dataset.from_list(rows).cast_column("images", Many(Image())),
            processing_class=processor,
            peft_config=adapter_options(config.rectify.lora, "rectify.lora"),
            callbacks=[Told()],
        )
    except ValueError as problem:
        raise ConfigError(f"rectify: target {config.target.model} cannot be trained so: {problem}") from problem
    trainer.remove_callback(PrinterCallback)  # `tell` tells
    return trainer
