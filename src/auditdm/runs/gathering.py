"""Training sets that are gathered rather than audited: both modes of the paper's rectification.

*Labelled*: for each row of the user's training set the trained auditor writes one new probe, and both are taught.
*Unlabelled*: the untrained auditor and several ages of the trained one write probes over a pool of pictures.
In both the references' consensus is the label of a probe; those that have none are left out, whatever the target said.

Source: arXiv:2512.16921, rectification with and without labels. Differs: docs/method.md.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Literal

from PIL.Image import Image

from auditdm.backends.labelled import LabelledRow, LabelledSet, read_labelled
from auditdm.backends.specs import load_pool
from auditdm.config import AuditConfig
from auditdm.errors import AuditError
from auditdm.method.auditor import prompt_for
from auditdm.method.duplicates import Gathered, deduplicated
from auditdm.method.trainset import Lesson
from auditdm.runs.auditor_training import GIVEN, Tell
from auditdm.runs.checkpoints import kept_auditors
from auditdm.runs.discovery import auditor_of, propose_more
from auditdm.runs.examining import Examined, Examiner, Request, record
from auditdm.runs.pictures import Split, keep, split_pool
from auditdm.runs.roles import loaded
from auditdm.store import Run
from auditdm.types import Model, content_id, seed_for

SAMPLED, GATHERED = "labelled", "gathering"  # phases: a probe for each labelled row; probes over a pool


def is_gathered(config: AuditConfig) -> bool:
    """Whether the configuration asks for one of the two modes, or both, in place of a repair from the audit's failures."""
    return config.rectify.labelled is not None or config.rectify.probes > 0


def gather(run: Run, config: AuditConfig, examiner: Examiner, tell: Tell) -> list[Lesson]:
    """Let auditors write what is to be taught, and leave out what was asked before.

    Counts go to RUN/gathering.json. What was asked in an earlier session is in the tables, so that the same set follows.

    Args:
        run: Open for writing, its auditor trained.
        config: `rectify.labelled`, `rectify.probes`, `rectify.checkpoints` and `rectify.images` are read.
        examiner: Asks and judges.
        tell: Called with ("discovered", ...) as in an audit, and with ("gathered", the counts) at the end.

    Returns:
        The user's rows as they are, then the probes that have a consensus.

    Raises:
        AuditError: There is none, or a checkpoint of the auditor is missing.
        ConfigError: The labelled set cannot be read.

    Cost: one reply of the auditor and 1 + R answers for each labelled row, and for each of `rectify.probes` per auditor.
    """
    rows: list[Gathered] = []
    if config.rectify.labelled is not None:
        labelled = read_labelled(config.rectify.labelled.path, config.rectify.labelled.limit)
        rows = _kept(run, labelled)
        _sample(run, config, labelled, examiner, tell)
    if config.rectify.probes:
        split = _pool(run, config)
        written = Counter(p["arm"] for p in run.rows("proposals") if p["phase"] == GATHERED)
        for arm in ("prompt_only", *kept_auditors(run, config)):
            if written[arm] < config.rectify.probes:  # else its weights need not be loaded
                _write_probes(run, config, split, examiner, arm, tell)
    asked, agreed = _agreed(run)
    new = deduplicated(agreed, run.picture, known=rows)
    counts = {
        "labelled": len(rows), "asked": asked, "agreed": len(agreed), "duplicates": len(agreed) - len(new),
        "taught": len(rows) + len(new),
    }  # fmt: skip
    run.write_json("gathering.json", counts)
    tell("gathered", counts)
    if not new:
        raise AuditError(
            f"{run.path}: of {asked} probes that the auditors wrote the references agree on none, so there is nothing "
            "to teach. See the tables proposals and verdicts for the reasons."
        )
    return [*_lessons(rows, "labelled"), *_lessons(new, "gathered")]


def _write_probes(run: Run, config: AuditConfig, split: Split, examiner: Examiner, arm: str, tell: Tell) -> None:
    propose_more(run, config, split, examiner, arm=arm, phase=GATHERED, count=config.rectify.probes, tell=tell)


def _pool(run: Run, config: AuditConfig) -> Split:
    """The pictures to write probes over: those of `rectify.images`, or the training half of the audit's."""
    if config.rectify.images is None:
        return split_pool(config, run)
    pictures, questions = keep(load_pool(config.rectify.images.path, config.rectify.images.limit), run)
    order = sorted(pictures, key=lambda i: content_id(str(config.seed), i))
    return Split(pictures, tuple(order), (), questions)


def _kept(run: Run, labelled: LabelledSet) -> list[Gathered]:
    """The labelled rows; their pictures are kept in the run folder."""
    known = run.ids("sources")
    for name in labelled:
        if not run.picture_path(name).exists():
            run.save_picture(labelled[name])
    run.append(
        "sources",
        [
            {"id": r.picture_id, "origin": r.origin, "question": r.question}
            for r in labelled.rows
            if r.picture_id not in known
        ],
    )
    return [
        Gathered(
            probe_id=content_id("probe", r.picture_id, r.question),  # its id, were it asked
            source_id=r.picture_id,
            picture_id=r.picture_id,
            question=r.question,
            answer=r.answer,
        )
        for r in labelled.rows
    ]


def _sample(run: Run, config: AuditConfig, labelled: LabelledSet, examiner: Examiner, tell: Tell) -> None:
    """One reply of the trained auditor for each row, its question given where the picture is changed for it."""
    done, size = run.ids("proposals"), config.discovery.batch
    requests = [_request_for(config, row, n, n // size) for n, row in enumerate(labelled.rows)]
    batches = [requests[start : start + size] for start in range(0, len(requests), size)]
    missing = [b for b in batches if any(r.id not in done for r in b)]
    if not missing:
        return
    auditor = loaded(examiner.roles.turns, partial(auditor_of, run, config, "trained"))
    for batch in missing:
        examined = _examined(batch, auditor, examiner, labelled)
        record(run, examined)
        tell("discovered", {
            "arm": "trained", "phase": SAMPLED, "done": batch[-1].copy + 1, "of": len(requests),
            "failures": sum(e.is_failure for e in examined), "asked": len(examined),
        })  # fmt: skip


def _request_for(config: AuditConfig, row: LabelledRow, number: int, step: int) -> Request:
    rng = random.Random(seed_for(config.seed, SAMPLED, str(number)))
    action = rng.choices(list(config.actions), list(config.actions.values()))[0]
    given = row.question if action != "question" and rng.random() < GIVEN else None
    return Request(
        arm="trained", phase=SAMPLED, step=step, copy=number, source_id=row.picture_id, action=action, question=given
    )


def _examined(
    batch: Sequence[Request], auditor: Model, examiner: Examiner, pictures: Mapping[str, Image]
) -> list[Examined]:
    """What became of the auditor's replies to a batch of requests; its silence is void."""
    shown = {i: pictures[i] for i in dict.fromkeys(r.source_id for r in batch)}
    asked = [(shown[r.source_id], prompt_for(examiner.roles.prompts, r.action, r.question)) for r in batch]
    answers = auditor.generate(asked)
    heard = [(r, a.text) for r, a in zip(batch, answers, strict=True) if a.text is not None]
    return examiner.examine([r for r, _ in heard], [t for _, t in heard], shown) + [
        Examined(request=r, reply="", void=f"the auditor gave no reply: {a.problem}")
        for r, a in zip(batch, answers, strict=True)
        if a.text is None
    ]


def _agreed(run: Run) -> tuple[int, list[Gathered]]:
    """How many replies there were, and the distinct probes that came of them and have a consensus that stands.

    The order is that of the tables: auditor after auditor, the untrained one first.
    """
    proposals = [p for p in run.rows("proposals") if p["phase"] in (SAMPLED, GATHERED)]
    probes = {p["id"]: p for p in run.rows("probes")}
    labels = {
        v["id"]: v["consensus"]
        for v in run.rows("verdicts")
        if v["outcome"] == "agreement" or (v["outcome"] == "failure" and v["self_consistent"])
    }
    asked = dict.fromkeys(p["probe_id"] for p in proposals if p["probe_id"] in labels)
    return len(proposals), [
        Gathered(
            probe_id=i,
            source_id=probes[i]["source_id"],
            picture_id=probes[i]["picture_id"],
            question=probes[i]["question"],
            answer=labels[i],
        )
        for i in asked
    ]


def _lessons(rows: Sequence[Gathered], origin: Literal["labelled", "gathered"]) -> list[Lesson]:
    """Of rows of the same picture and question, the later ones are copies."""
    times: Counter[str] = Counter()
    lessons = []
    for row in rows:
        lessons.append(
            Lesson(
                probe_id=row.probe_id,
                picture_id=row.picture_id,
                question=row.question,
                answer=row.answer,
                origin=origin,
                copy=times[row.probe_id],
            )
        )
        times[row.probe_id] += 1
    return lessons
