"""From the auditor's words to verdicts and records: what training and discovery have in common.

proposal -> probe -> answers -> verdict -> asked again in other words if it is a failure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from PIL.Image import Image

from auditdm.errors import MalformedProposal
from auditdm.method.auditor import parse
from auditdm.method.probe import draw
from auditdm.method.verdict import ask, stands, verdicts
from auditdm.runs.roles import Roles
from auditdm.store import Run
from auditdm.types import Action, Answer, Model, Probe, Proposal, Verdict, content_id


@dataclass(frozen=True, kw_only=True)
class Request:
    """What the auditor was asked, and where in the run."""

    arm: str
    phase: str
    step: int
    copy: int  # number of this reply among those to the same request
    source_id: str
    action: Action
    question: str | None  # the pool's own, if the auditor had to change the picture for it

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
        """A failure that stands: the references keep their answer in other words."""
        return self.verdict is not None and self.verdict.outcome == "failure" and self.self_consistent is True


class Examiner:
    """Asks every model, and remembers what was answered: greedy models are asked the same thing once.

    Args:
        roles: Whoever takes part.
    """

    def __init__(self, roles: Roles) -> None:
        self.roles = roles
        self.calls = 0  # questions put to models
        self.cached = 0  # questions answered from memory
        self._known: dict[tuple[str, str, int], Answer] = {}

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
        read = [_read(q, r) for q, r in zip(requests, replies, strict=True)]
        proposals = [p for p in read if isinstance(p, Proposal)]
        drawn = iter(draw(proposals, pictures, self.roles.generator, self.roles.editor))
        made = [next(drawn) if isinstance(p, Proposal) else None for p in read]
        probes = [p for p in made if isinstance(p, Probe)]
        target = self._ask(probes, self.roles.target, 0)
        references = [self._ask(probes, r, 0) for r in self.roles.references]
        found = verdicts(probes, target, references, self.roles.judge, quorum=self.roles.quorum)
        kept, again = self._ask_again(probes, found)
        rows = [
            (*(_row(a, p, "target" if n == 0 else "reference", 0) for n, a in enumerate(answers)), *again.get(p.id, ()))
            for p, *answers in zip(probes, target, *references, strict=True)
        ]
        judged = iter(zip(found, target, rows, strict=True))
        records = []
        for request, reply, proposal, probe in zip(requests, replies, read, made, strict=True):
            if isinstance(proposal, str):
                records.append(Examined(request=request, reply=reply, malformed=proposal))
            elif not isinstance(probe, Probe):
                records.append(Examined(request=request, reply=reply, proposal=proposal, void=probe))
            else:
                verdict, answer, told = next(judged)
                records.append(
                    Examined(
                        request=request,
                        reply=reply,
                        proposal=proposal,
                        probe=probe,
                        verdict=verdict,
                        target_answer=answer.text,
                        self_consistent=kept.get(probe.id),
                        answers=told,
                    )
                )
        return records

    def _ask(self, probes: Sequence[Probe], model: Model, wording: int) -> list[Answer]:
        keys = [(model.name, p.id, wording) for p in probes]
        new = {k: p for k, p in zip(keys, probes, strict=True) if k not in self._known}
        answered = ask(list(new.values()), model, self.roles.wordings[wording]) if new else []
        fresh = dict(zip(new, answered, strict=True))
        self._known |= {k: a for k, a in fresh.items() if a.text is not None}  # a silence may pass
        self.calls += len(new)
        self.cached += len(keys) - len(new)
        return [fresh[k] if k in fresh else self._known[k] for k in keys]

    def _ask_again(
        self, probes: Sequence[Probe], found: Sequence[Verdict]
    ) -> tuple[dict[str, bool | None], dict[str, list[dict[str, Any]]]]:
        """Whether each failure stands in every other wording, and the answers' rows, by probe id."""
        doubted = list({p.id: p for p, v in zip(probes, found, strict=True) if v.outcome == "failure"}.values())
        rows: dict[str, list[dict[str, Any]]] = {p.id: [] for p in doubted}
        first: list[list[Answer]] = []
        again: list[list[Answer]] = []
        for wording in range(1, len(self.roles.wordings)):
            for model in self.roles.references:
                told = self._ask(doubted, model, wording)
                first.append([self._known[model.name, p.id, 0] for p in doubted])
                again.append(told)
                for p, a in zip(doubted, told, strict=True):
                    rows[p.id].append(_row(a, p, "reference", wording))
        kept = stands(doubted, first, again, self.roles.judge)
        return {p.id: k for p, k in zip(doubted, kept, strict=True)}, rows


def _read(request: Request, reply: str) -> Proposal | str:
    try:
        return parse(reply, request.source_id, request.action, request.question)
    except MalformedProposal as why:
        return str(why)


def _row(answer: Answer, probe: Probe, role: str, wording: int) -> dict[str, Any]:
    return {
        "id": content_id(probe.id, role, answer.model, str(wording)),
        "probe_id": probe.id,
        "role": role,
        "model": answer.model,
        "revision": answer.revision,
        "wording": wording,
        "text": answer.text,
        "problem": answer.problem,
    }


def record(run: Run, examined: Sequence[Examined]) -> None:
    """Write what was examined into the run folder: pictures first, proposals last, so that a proposal has everything.

    Cost: five Parquet parts and one PNG per new picture.
    """
    probes, answers, found = [], [], []
    for e in examined:
        if e.probe is None or e.verdict is None:
            continue
        probes.append(
            {
                "id": e.probe.id,
                "picture_id": run.save_picture(e.probe.image),
                "source_id": e.probe.proposal.source_id,
                "question": e.probe.question,
                "action": e.probe.proposal.action,
                "pairing": e.probe.proposal.pairing,
                "instruction": e.probe.proposal.instruction,
            }
        )
        answers += e.answers
        found.append(
            {
                "id": e.verdict.probe_id,
                "outcome": e.verdict.outcome,
                "consensus": e.verdict.consensus,
                "dissent": e.verdict.dissent,
                "reason": e.verdict.reason,
                "target_answer": e.target_answer,
                "self_consistent": e.self_consistent,
            }
        )
    run.append("probes", probes)
    run.append("answers", answers)
    run.append("verdicts", found)
    run.append("proposals", [_proposal_row(e) for e in examined])


def _proposal_row(e: Examined) -> dict[str, Any]:
    return {
        "id": e.request.id,
        "arm": e.request.arm,
        "phase": e.request.phase,
        "step": e.request.step,
        "source_id": e.request.source_id,
        "action": e.request.action,
        "given_question": e.request.question is not None,
        "prompt_question": e.request.question,
        "reply": e.reply,
        "question": e.proposal.question if e.proposal else None,
        "instruction": e.proposal.instruction if e.proposal else None,
        "malformed": e.malformed,
        "probe_id": e.probe.id if e.probe else None,
        "void": e.void,
    }
