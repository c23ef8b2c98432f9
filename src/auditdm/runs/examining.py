"""From the auditor's words to verdicts and records: what training and discovery have in common.

proposal -> probe -> answers -> verdict -> asked again in other words if it is a failure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from PIL.Image import Image

from auditdm.errors import MalformedProposal
from auditdm.method.auditor import parse
from auditdm.method.probe import draw
from auditdm.method.verdict import abstains, ask, stands, verdicts
from auditdm.runs.roles import Roles
from auditdm.store import Run
from auditdm.types import Action, Answer, Probe, Proposal, Verdict, content_id


@dataclass(frozen=True, kw_only=True)
class Request:
    """What the auditor was asked, and where in the run."""

    arm: str
    phase: str
    step: int
    copy: int  # number of this reply among those to the same request
    source_id: str
    action: Action
    question: str | None  # the one that the auditor had to change the picture for, such as the pool's own
    about: str | None = None  # what the auditor was told to ask about

    @property
    def id(self) -> str:
        """The id of the proposal that answers it."""
        return content_id(self.arm, self.phase, str(self.step), self.source_id, self.action, str(self.copy))


@dataclass(frozen=True, kw_only=True)
class Examined:
    """One reply of the auditor and what became of it."""

    request: Request
    reply: str
    proposal: Proposal | None = None  # None iff malformed
    malformed: str | None = None
    probe: Probe | None = None
    void: str | None = None  # why a proposal became no probe
    verdict: Verdict | None = None  # None iff there is no probe
    target_answer: str | None = None
    self_consistent: bool | None = None  # of failures; None: not measured
    answers: tuple[dict[str, Any], ...] = ()  # rows

    @property
    def is_failure(self) -> bool:
        """Whether it is a failure that stands: the references keep their answers in other words."""
        return self.verdict is not None and self.verdict.outcome == "failure" and self.self_consistent is True


@dataclass(frozen=True, kw_only=True)
class Judged:
    """What the answers to a probe say."""

    verdict: Verdict
    target_answer: str | None
    self_consistent: bool | None  # of failures; None: not measured
    answers: tuple[dict[str, Any], ...]  # rows


@dataclass(frozen=True, kw_only=True)
class Consulted:
    """What the references alone say of a probe."""

    consensus: str | None  # None: they give no answer to stand on
    said: tuple[str, ...]  # each answer once
    void: bool  # one was mute or says that it cannot be answered: the probe says nothing of anybody
    answers: tuple[dict[str, Any], ...]  # rows


class Examiner:
    """Asks every model, and remembers what was answered: a probe is put to a model once in each wording.

    A silence is remembered too. The tables keep the first verdict on a probe, so a later answer would contradict them.

    Args:
        roles: Whoever takes part.

    Example:
        >>> from auditdm.backends.fakes import FakeJudge, FakeModel, fake_picture
        >>> two = FakeModel(lambda _: "two")
        >>> roles = Roles(target=FakeModel(lambda _: "one"), references=(two, two), judge=FakeJudge(), generator=None,
        ...               editor=None, prompts={}, quorum=1.0, wordings=("{question}", "In one word: {question}"))
        >>> asked = Request(arm="trained", phase="training", step=0, copy=0, source_id="p", action="question", question=None)
        >>> examiner = Examiner(roles)
        >>> [found] = examiner.examine([asked], ["<question>How many dogs?</question>"], {"p": fake_picture()})
        >>> found.is_failure, found.verdict.consensus, found.target_answer, examiner.calls
        (True, 'two', 'one', 5)
    """

    def __init__(self, roles: Roles) -> None:
        self.roles = roles
        self.calls = 0  # questions put to models
        self.cached = 0  # questions answered from memory
        self._models = {"target": roles.target} | {f"references[{n}]": r for n, r in enumerate(roles.references)}
        self._known: dict[str, Answer] = {}  # by the id of its row

    def recall(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Take the answers of an earlier session into the memory, so that a resumed run asks nothing twice.

        Args:
            rows: Of the table `answers`; those of other models or other weights are passed over.
        """
        ours = {(m.name, m.revision) for m in self._models.values()}
        for r in rows:
            if (r["model"], r["revision"]) in ours:
                answer = Answer(model=r["model"], text=r["text"], problem=r["problem"], revision=r["revision"])
                self._known.setdefault(r["id"], answer)

    def examine(
        self, requests: Sequence[Request], replies: Sequence[str], pictures: Mapping[str, Image]
    ) -> list[Examined]:
        """Read, draw, ask, judge.

        Args:
            requests: N requests.
            replies: The auditor's N replies.
            pictures: The pool's pictures by source id.

        Returns:
            N records in order.

        Raises:
            ModelError: A whole batch could not be answered.

        Cost: at most N * (1 + R) model calls, and R * (W - 1) more per failure, for R references and W wordings.
        """
        read = [read_reply(q, r) for q, r in zip(requests, replies, strict=True)]
        proposals = [p for p in read if isinstance(p, Proposal)]
        drawn = iter(draw(proposals, pictures, self.roles.generator, self.roles.editor))
        made = [next(drawn) if isinstance(p, Proposal) else None for p in read]
        probes = [p for p in made if isinstance(p, Probe)]
        judged = iter(self.judge(probes))
        records = []
        for request, reply, proposal, probe in zip(requests, replies, read, made, strict=True):
            if isinstance(proposal, str):
                records.append(Examined(request=request, reply=reply, malformed=proposal))
            elif not isinstance(probe, Probe):
                records.append(Examined(request=request, reply=reply, proposal=proposal, void=probe))
            else:
                found = next(judged)
                records.append(
                    Examined(
                        request=request,
                        reply=reply,
                        proposal=proposal,
                        probe=probe,
                        verdict=found.verdict,
                        target_answer=found.target_answer,
                        self_consistent=found.self_consistent,
                        answers=found.answers,
                    )
                )
        return records

    def judge(self, probes: Sequence[Probe]) -> list[Judged]:
        """Ask everybody, and the references again in other words where the target stands alone.

        Cost: at most N * (1 + R) model calls, and R * (W - 1) more per failure; what is known is not asked.
        """
        target, *references = self._ask_all(probes, list(self._models), 0)
        found = verdicts(probes, target, references, self.roles.judge, quorum=self.roles.quorum)
        kept, again = self._ask_again(probes, found, references)
        return [
            Judged(
                verdict=verdict,
                target_answer=answers[0].text,
                self_consistent=kept.get(p.id),
                answers=(
                    *(_row(a, p, who, 0) for who, a in zip(self._models, answers, strict=True)),
                    *again.get(p.id, ()),
                ),
            )
            for p, verdict, *answers in zip(probes, found, target, *references, strict=True)
        ]

    def consult(self, probes: Sequence[Probe]) -> list[Consulted]:
        """Ask the references alone, so that a probe can be chosen by what they agree on before the target is asked.

        Cost: at most N * R model calls, none of the target.
        """
        references = self._ask_all(probes, self._references, 0)
        # The first reference in the target's place changes nothing about what the references agree on.
        found = verdicts(probes, references[0], references, self.roles.judge, quorum=self.roles.quorum)
        return [
            Consulted(
                consensus=verdict.consensus,
                said=tuple(dict.fromkeys(str(a.text) for a in answers if a.text is not None)),
                void=verdict.outcome == "void" or any(a.text is not None and abstains(a.text) for a in answers),
                answers=tuple(_row(a, p, who, 0) for who, a in zip(self._references, answers, strict=True)),
            )
            for p, verdict, *answers in zip(probes, found, *references, strict=True)
        ]

    def ask_target_again(
        self, probes: Sequence[Probe], consensus: Sequence[str]
    ) -> list[tuple[bool | None, tuple[dict[str, Any], ...]]]:
        """Whether the target still differs from the references' answer when it is asked in the second wording.

        Returns:
            For each probe that and the answer's row; None and no row where there is no second wording.

        Cost: at most one call of the target a probe.
        """
        if len(self.roles.wordings) < 2:
            return [(None, ())] * len(probes)
        [answers] = self._ask_all(probes, ["target"], 1)
        told = [n for n, a in enumerate(answers) if a.text is not None]
        same = self.roles.judge.same([(probes[n].question, str(answers[n].text), consensus[n]) for n in told])
        judged = dict(zip(told, same, strict=True))
        return [
            (None if judged.get(n) is None else not judged[n], (_row(a, p, "target", 1),))
            for n, (p, a) in enumerate(zip(probes, answers, strict=True))
        ]

    @property
    def _references(self) -> list[str]:
        return [who for who in self._models if who != "target"]

    def _ask_all(self, probes: Sequence[Probe], who: Sequence[str], wording: int) -> list[list[Answer]]:
        """The answers of several models, which are asked side by side: each has its own core or server."""
        keys = {w: [_answer_id(p, w, self._models[w].name, wording) for p in probes] for w in who}
        new = {w: {k: p for k, p in zip(keys[w], probes, strict=True) if k not in self._known} for w in who}

        def answers_of(w: str) -> list[Answer]:
            return ask(list(new[w].values()), self._models[w], self.roles.wordings[wording]) if new[w] else []

        with ThreadPoolExecutor(max(1, len(who))) as asking:
            for w, answered in zip(who, asking.map(answers_of, who), strict=True):
                self._known |= zip(new[w], answered, strict=True)
        self.calls += sum(len(of) for of in new.values())
        self.cached += sum(len(keys[w]) - len(new[w]) for w in who)
        return [[self._known[k] for k in keys[w]] for w in who]

    def _ask_again(
        self, probes: Sequence[Probe], found: Sequence[Verdict], references: Sequence[Sequence[Answer]]
    ) -> tuple[dict[str, bool | None], dict[str, list[dict[str, Any]]]]:
        """Whether each failure stands in every other wording, and the answers' rows, by probe id."""
        place = {v.probe_id: n for n, v in enumerate(found) if v.outcome == "failure"}
        doubted = [probes[n] for n in place.values()]
        rows: dict[str, list[dict[str, Any]]] = {probe_id: [] for probe_id in place}
        first: list[list[Answer]] = []
        again: list[list[Answer]] = []
        for wording in range(1, len(self.roles.wordings)):
            told_by_all = self._ask_all(doubted, [f"references[{n}]" for n in range(len(references))], wording)
            for n, (answers, told) in enumerate(zip(references, told_by_all, strict=True)):
                first.append([answers[m] for m in place.values()])
                again.append(told)
                for p, a in zip(doubted, told, strict=True):
                    rows[p.id].append(_row(a, p, f"references[{n}]", wording))
        return dict(zip(place, stands(doubted, first, again, self.roles.judge), strict=True)), rows


def read_reply(request: Request, reply: str) -> Proposal | str:
    """The proposal in a reply, or why there is none."""
    try:
        return parse(reply, request.source_id, request.action, request.question)
    except MalformedProposal as why:
        return str(why)


def _answer_id(probe: Probe, who: str, model: str, wording: int) -> str:
    return content_id(probe.id, who, model, str(wording))


def _row(answer: Answer, probe: Probe, who: str, wording: int) -> dict[str, Any]:
    return {
        "id": _answer_id(probe, who, answer.model, wording),
        "probe_id": probe.id,
        "role": "target" if who == "target" else "reference",
        "model": answer.model,
        "revision": answer.revision,
        "wording": wording,
        "text": answer.text,
        "problem": answer.problem,
    }


def record(run: Run, examined: Sequence[Examined]) -> None:
    """Write what was examined into the run folder: pictures first, proposals last, so that a proposal has everything.

    Args:
        run: Open for writing; rows that it has already are not added again.
        examined: Any number of records.

    Raises:
        StoreError: The disk refused; the message says what is kept.

    Cost: five Parquet parts and one PNG per new picture.
    """
    probes: list[dict[str, Any]] = []
    answers: list[dict[str, Any]] = []
    found: list[dict[str, Any]] = []
    for e in examined:
        if e.probe is None or e.verdict is None:
            continue
        probes.append(probe_row(e.probe, run.save_picture(e.probe.image)))
        answers += e.answers
        found.append(verdict_row(e.verdict, e.target_answer, e.self_consistent))
    run.append("probes", probes)
    run.append("answers", answers)
    run.append("verdicts", found)
    run.append("proposals", [proposal_row(e) for e in examined])


def probe_row(probe: Probe, picture: str) -> dict[str, Any]:
    """Of the table `probes`; `picture` is the id of the saved picture."""
    return {
        "id": probe.id,
        "picture_id": picture,
        "source_id": probe.proposal.source_id,
        "question": probe.question,
        "action": probe.proposal.action,
        "pairing": probe.proposal.pairing,
        "instruction": probe.proposal.instruction,
    }


def verdict_row(verdict: Verdict, target_answer: str | None, self_consistent: bool | None) -> dict[str, Any]:
    """Of the table `verdicts`."""
    return {
        "id": verdict.probe_id,
        "outcome": verdict.outcome,
        "consensus": verdict.consensus,
        "dissent": verdict.dissent,
        "reason": verdict.reason,
        "target_answer": target_answer,
        "self_consistent": self_consistent,
    }


def proposal_row(e: Examined) -> dict[str, Any]:
    """Of the table `proposals`."""
    return {
        "id": e.request.id,
        "arm": e.request.arm,
        "phase": e.request.phase,
        "step": e.request.step,
        "source_id": e.request.source_id,
        "action": e.request.action,
        "given_question": e.request.question is not None,
        "prompt_question": e.request.question or e.request.about,
        "reply": e.reply,
        "question": e.proposal.question if e.proposal else None,
        "instruction": e.proposal.instruction if e.proposal else None,
        "malformed": e.malformed,
        "probe_id": e.probe.id if e.probe else None,
        "void": e.void,
    }
