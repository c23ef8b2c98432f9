"""Fresh probes for a repair: the pool's own questions, and what the failure modes ask, asked again on other pictures.

Source: ours; the auditor is not called. A mode's own failures are few and alike; on fresh pictures its questions also
show the target where its usual answer is right, and the pool's own questions show what must not be lost, and what is in
the pictures.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import islice

from PIL.Image import Image

from auditdm.backends.specs import load_pool
from auditdm.config import AuditConfig
from auditdm.method.attributes import form_of
from auditdm.method.trainset import practice
from auditdm.runs.auditor_training import Tell
from auditdm.runs.examining import Examiner, Request, record
from auditdm.runs.pictures import keep, split_pool
from auditdm.store import Run

OFTEN = 0.2  # of what was measured of a mode has to fail: less is a slip here and there
MOST_ASKED = 8  # fresh probes of a mode for each failure wanted: then it is left as it is
_SHARE = 0.1  # of a mode's failures that a way of asking and its answer have to have, to be looked for
_IN_TURN, _BATCH = 32, 256  # fresh probes of a mode at a time; the pool's own questions at a time

Kind = tuple[str, str]  # how is asked, and the right answer


def practise(run: Run, config: AuditConfig, examiner: Examiner, tell: Tell) -> None:
    """Ask the pool's own questions, then put the modes' questions to fresh pictures until each has `rectify.per_mode` failures.

    What is counted is a way of asking and the right answer to it, whichever mode asked: of three modes that fail alike none
    needs all of them, and a mode that fails in two ways needs both.

    A mode of which the target fails less than `OFTEN` is left as it is: its failures are lessons, and no more are looked for.

    What was asked in an earlier session is known to the examiner, so that the same probes follow.

    Args:
        run: Open for writing; its failure modes are known.
        config: `rectify.images` are the fresh pictures; the audit's training pictures without it.
        examiner: Asks and judges.
        tell: Called with ("practised", {"done", "of", "asked"}): modes that have enough, modes, probes so far.

    Cost: 1 + R answers for at most `MOST_ASKED * rectify.per_mode` probes a mode and as many of the pool's own questions
        as the training set has rows.
    """
    pictures, own = fresh_pictures(run, config)
    rows = config.rectify.rows
    wanted = None if rows is None else round(rows * (1 + config.rectify.replay))  # the control may need them all
    with_question = [i for i in sorted(own) if own[i] is not None][:wanted]
    known = dict(own)
    for start in range(0, len(with_question), _BATCH):
        batch = with_question[start : start + _BATCH]
        examined = examiner.examine([_request("pool", start, 0, i, own[i]) for i in batch], [""] * len(batch), pictures)
        record(run, examined)
        for i, e in zip(batch, examined, strict=True):
            if e.verdict is not None and e.verdict.consensus is not None:
                known[i] = f"{own[i]} {e.verdict.consensus}"
    _ask_of_modes(run, config, pictures, known, examiner, tell)


def fresh_pictures(run: Run, config: AuditConfig) -> tuple[Mapping[str, Image], dict[str, str | None]]:
    """Pictures by source id, and the own questions of those to practise on."""
    if config.rectify.images is None:
        split = split_pool(config, run)
        return split.pictures, {i: split.questions.get(i) for i in split.training}
    return keep(load_pool(config.rectify.images.path, config.rectify.images.limit), run)


def _ask_of_modes(
    run: Run,
    config: AuditConfig,
    pictures: Mapping[str, Image],
    known: Mapping[str, str | None],
    examiner: Examiner,
    tell: Tell,
) -> None:
    asked = {p["id"]: p["question"] for p in run.rows("probes")}
    right = {v["id"]: v["consensus"] or "" for v in run.rows("verdicts")}
    modes = [
        [(asked[i], right[i]) for i in m["probe_ids"]]
        for m in run.rows("failure_modes")
        if len(m["probe_ids"]) >= OFTEN * m["measured"]
    ]
    pairs = [practice(set(mode), known, seed=config.seed) for mode in modes]
    kinds = [_kinds(mode) for mode in modes]
    got: Counter[Kind] = Counter()  # what the audit found of a mode is many times much the same, so it does not count
    probes = 0

    def wanting(n: int) -> bool:
        return any(got[kind] < config.rectify.per_mode for kind in kinds[n])

    for turn in range(MOST_ASKED * config.rectify.per_mode // _IN_TURN):
        turns = [(n, i, q) for n in range(len(modes)) if wanting(n) for i, q in islice(pairs[n], _IN_TURN)]
        if not turns:
            return
        requests = [_request("modes", turn, n, i) for n, i, _ in turns]
        examined = examiner.examine(requests, [f"<question>{q}</question>" for *_, q in turns], pictures)
        record(run, examined)
        probes += len(examined)
        got.update(
            _kind(q, e.verdict.consensus or "")
            for (*_, q), e in zip(turns, examined, strict=True)
            if e.verdict and e.is_failure
        )
        tell("practised", {"done": sum(not wanting(n) for n in range(len(modes))), "of": len(modes), "asked": probes})


def _kinds(failures: Sequence[tuple[str, str]]) -> list[Kind]:
    """The ways of asking and the right answers of a mode, but for those that are seldom among its failures; one at least."""
    met = Counter(_kind(question, answer) for question, answer in failures)
    often = min(_SHARE * len(failures), max(met.values()))
    return [kind for kind, count in met.items() if count >= often]


def _kind(question: str, answer: str) -> Kind:
    return form_of(question), answer


def _request(arm: str, step: int, number: int, source_id: str, question: str | None = None) -> Request:
    return Request(
        arm=arm, phase="practice", step=step, copy=number, source_id=source_id, action="question", question=question
    )
