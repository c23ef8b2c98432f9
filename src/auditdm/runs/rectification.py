"""Repair a target from what an audit found, and beside it the control: as many rows that nobody audited.

What is taught: the failures of the audit and agreements beside them; or, where `rectify.labelled` or `rectify.probes` is
set, what auditors write for it (`gathering`), as the paper does.

Source: arXiv:2512.16921, rectification with and without labels. Differs: docs/method.md.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from auditdm.config import AuditConfig
from auditdm.errors import AuditError
from auditdm.method.trainset import Decided, Lesson, audited_lessons, control_lessons
from auditdm.runs.auditing import perform
from auditdm.runs.auditor_training import Tell
from auditdm.runs.beside import fine_tuned_beside
from auditdm.runs.discovery import propose_more
from auditdm.runs.examining import Examiner
from auditdm.runs.fine_tuning import fine_tune
from auditdm.runs.gathering import gather, is_gathered
from auditdm.runs.pictures import split_pool
from auditdm.runs.practice import practise
from auditdm.runs.quorum import with_quorum
from auditdm.runs.roles import Roles, fill_roles
from auditdm.runs.stages import Stages, quiet
from auditdm.store import Run
from auditdm.types import content_id

log = logging.getLogger(__name__)
Set = Literal["audited", "control"]
OWN: tuple[str, ...] = ("labelled",)  # origins of rows that came with their label
AUDITED = ("trained", "prompt_only", "modes", "pool")


def rectify(path: str | Path, *, control: bool = True, tell: Tell = quiet) -> dict[Set, Path]:
    """Fine-tune the target on the failures of a run, or on what its auditors write for `rectify.labelled` or `.probes`.

    Args:
        path: A run folder of `audit`; an unfinished one is finished first.
        control: Also fine-tune a second copy on as many rows from random probes of the untrained auditor, beside the
            user's own rows if there are any.
        tell: Called with (event, values) while it goes.

    Returns:
        The folders of the repaired target ("audited") and of the control.

    Raises:
        AuditError: The run has no failure to learn from, or the references agree on nothing that was gathered.
        StoreError: There is no run, or another process writes in it.

    Cost: `rectify.options` decides the fine-tune. The control also costs its probes: one reply of the auditor and
        1 + R answers each.
    """
    from auditdm.config import parse_config
    from auditdm.environment import environment

    told = Run.read(path).config
    config = parse_config(told, str(Path(path) / "config.yaml"))
    with Run.open(path, told, environment()) as run:  # as it stands there: an older version knew fewer keys
        roles = fill_roles(config)
        if not run.finished:
            perform(run, config, roles, tell)
        folders = repair(run, config, roles, control=control, tell=tell)
        run.finish()
    return folders


def repair(run: Run, config: AuditConfig, roles: Roles, *, control: bool, tell: Tell) -> dict[Set, Path]:
    """Both fine-tunes, in an open run whose audit is done."""
    stages, examiner = Stages(run, tell), Examiner(with_quorum(run, roles))
    examiner.recall(run.rows("answers"))
    make = _gathered if is_gathered(config) else _audited
    lessons = make(run, config, examiner, stages, tell)
    _write(run, "audited", lessons)
    drawn: list[Lesson] = []
    if control:
        with stages.timed("control probes", examiner):
            given = [x for x in lessons if x.origin in OWN]
            drawn = given + _control(run, config, examiner, len(lessons) - len(given), tell)
            _write(run, "control", drawn)
    if roles.turns:
        roles.turns.clear()
    if control and config.rectify.side_by_side:
        with stages.timed("repair and control"), fine_tuned_beside(run, "control") as beside:
            return {"audited": fine_tune(run, config, lessons, "audited", tell), "control": beside}
    with stages.timed("repair"):
        folders: dict[Set, Path] = {"audited": fine_tune(run, config, lessons, "audited", tell)}
    if control:
        with stages.timed("control"):
            folders["control"] = fine_tune(run, config, drawn, "control", tell)
    return folders


def _audited(run: Run, config: AuditConfig, examiner: Examiner, stages: Stages, tell: Tell) -> list[Lesson]:
    """The failures of the audit, more of their kind on fresh pictures, and agreements against forgetting."""
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
    return lessons


def _gathered(run: Run, config: AuditConfig, examiner: Examiner, stages: Stages, tell: Tell) -> list[Lesson]:
    """What auditors write for the repair, and the user's own rows."""
    with stages.timed("gathering", examiner):
        return gather(run, config, examiner, tell)


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
    run.append("trainset", [
        {"id": content_id(name, x.probe_id, str(x.copy)), "set": name, "probe_id": x.probe_id, "picture_id": x.picture_id,
         "question": x.question, "answer": x.answer, "origin": x.origin,
         "label_from": "the labelled set" if x.origin in OWN else "consensus of the references"}
        for x in lessons
    ])  # fmt: skip
