"""Teach the auditor by its own paid proposals: rejection sampling, then supervised fine-tuning.

Source: ours, after rejection-sampling fine-tuning (RAFT, arXiv:2304.06767). Differs: the paid replies are balanced over
cells before they are taught, so that what is found easily does not crowd out the rest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import ceil
from pathlib import Path

from auditdm.config import AuditConfig
from auditdm.method.archive import Cell, cell_of
from auditdm.method.auditor import prompt_for
from auditdm.method.trainset import Lesson
from auditdm.runs.auditor_training import Tell
from auditdm.runs.fine_tuning import fine_tune
from auditdm.store import Run
from auditdm.types import content_id

COPIES = 4  # of a reply in a rare cell, at most
Paid = tuple[Cell, Lesson]


def paid_proposals(run: Run, prompts: Mapping[str, str]) -> list[Paid]:
    """The training proposals that were failures, each pair of request and reply once, with the cell that they hit.

    Args:
        run: Its tables are read.
        prompts: Those that the auditor was asked by.

    Returns:
        Lessons whose question is the auditor's prompt, on the pool's picture, and whose answer is its own reply.
    """
    hits = {v["id"]: v["consensus"] for v in run.rows("verdicts") if v["outcome"] == "failure" and v["self_consistent"]}
    found: dict[tuple[str, str, str], Paid] = {}
    for p in run.rows("proposals"):
        if (p["arm"], p["phase"]) != ("trained", "training") or p["probe_id"] not in hits:
            continue
        given = p["prompt_question"] if p["given_question"] else None
        lesson = Lesson(
            probe_id=p["probe_id"],
            picture_id=p["source_id"],
            question=prompt_for(prompts, p["action"], given),
            answer=p["reply"],
            origin="failure",
        )
        cell = cell_of(p["question"], hits[p["probe_id"]])
        found.setdefault((lesson.picture_id, lesson.question, lesson.answer), (cell, lesson))
    return list(found.values())


def balanced(paid: Sequence[Paid], *, seed: int, copies: int = COPIES) -> list[Lesson]:
    """Give every cell its fair share: common ones are cut to it, rare ones are repeated up to it.

    Args:
        paid: N lessons in K cells, in any order.
        seed: Decides which lessons of a common cell stay.
        copies: How often one lesson may stand, 1 or more.

    Returns:
        At most N / K lessons of a cell, rounded up; fewer where its lessons, `copies` times each, are fewer.

    Example:
        >>> def lesson(n): return Lesson(probe_id=str(n), picture_id="p", question="ask", answer=str(n), origin="failure")
        >>> often, seldom = cell_of("How many dogs?", "2"), cell_of("What time is it?", "9:00")
        >>> taught = balanced([*((often, lesson(n)) for n in range(11)), (seldom, lesson(99))], seed=0)
        >>> len(taught), sum(x.probe_id == "99" for x in taught), max(x.copy for x in taught)
        (10, 4, 3)
    """
    cells: dict[Cell, list[Lesson]] = {}
    for cell, lesson in paid:
        cells.setdefault(cell, []).append(lesson)
    share = ceil(len(paid) / len(cells)) if cells else 0
    taught: list[Lesson] = []
    for lessons in cells.values():
        order = sorted(lessons, key=lambda x: content_id(str(seed), x.picture_id, x.question, x.answer))
        taught += [replace(lesson, copy=n) for n in range(copies) for lesson in order][:share]
    return taught


def teach_auditor(run: Run, config: AuditConfig, prompts: Mapping[str, str], tell: Tell) -> Path | None:
    """Fine-tune the untrained auditor on its balanced paid proposals; resumes from the last checkpoint.

    Args:
        run: Open for writing; its training proposals are all there.
        config: `auditor`, `seed` and `rectify`, whose options the trainer gets.
        prompts: Those that the auditor was asked by.
        tell: Called with ("lesson", {"set", "step", "of"}) after each step.

    Returns:
        The folder of the weights, where `discovery.auditor_of` finds them; None where nothing was paid.

    Cost: no call of any other model; a pass over the lessons per epoch of `rectify.options`.
    """
    folder = run.path / "models" / "auditor-trained"
    if folder.exists():
        return folder
    lessons = balanced(paid_proposals(run, prompts), seed=config.seed)
    if not lessons:
        return None
    learner = config.model_copy(update={"target": config.auditor, "wordings": ("{question}",)})
    fine_tune(run, learner, lessons, "auditor-lessons", tell).rename(folder)
    return folder
