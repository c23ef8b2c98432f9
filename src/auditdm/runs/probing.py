"""Who poses and asks in the search of an audit: the run's auditor, on the pictures that training never saw.

Three ways to a probe of a kind: proposals that were posed and not asked yet; questions that were asked inside the kind, put
to other pictures; and the auditor again, told what is wanted where its prompts take it. The references always answer first.

Source: ours.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from auditdm.config import AuditConfig
from auditdm.method.attributes import Views, clauses_of
from auditdm.method.auditor import ABOUT, prompt_for
from auditdm.method.confirmation import LEAST
from auditdm.method.predicate import Predicate
from auditdm.method.probe import draw, probe_id
from auditdm.method.verdict import abstains
from auditdm.runs.auditor_training import one_request
from auditdm.runs.describing import Describer, names_of
from auditdm.runs.examining import (
    Consulted,
    Examined,
    Examiner,
    Request,
    probe_row,
    proposal_row,
    read_reply,
    verdict_row,
)
from auditdm.runs.known_questions import KnownQuestions
from auditdm.runs.pictures import Split
from auditdm.runs.searching import Posed
from auditdm.store import Run
from auditdm.types import Action, Model, Probe, Proposal, seed_for

PHASE = "confirmation"
MOST_POSED = 4  # probes put to the references, for each call of the target that is planned
MOST_REPLIES = 2  # of the auditor, likewise
MOST_PROPOSED = {True: 3, False: 1}  # of the auditor's proposals, for each probe that is wanted of a kind; True: fresh
MOST_TRIED = {True: 8, False: 3}  # known questions that are put to other pictures, for each probe that is wanted
_PAIRS = {True: 12_000, False: 3_000}  # of question and picture that are looked at, in words; True: fresh
_ASKED = 64  # probes that are put to the references at a time
_LEAST_HITS = 0.03  # of the proposals for a kind have to be of it, or the auditor is not asked on
_ELSEWHERE = 6  # other pictures that a question is put to which the target alone refuses
_OTHERS = 6  # questions that are tried on a picture until one can be answered


@dataclass(frozen=True, kw_only=True)
class Considered:
    """What a `Posed` of this prober carries."""

    probe: Probe
    told: Consulted
    fresh: bool  # on a picture of the confirmation part


class PoolProber:
    """Satisfies `auditdm.runs.searching.Prober` with what a run has.

    Everything that is posed, asked and answered is in the tables before it returns, and each draw of chance follows from
    the seed and what was asked for: an interrupted search, begun again, comes to the same place.

    Args:
        run: Open for writing, after discovery.
        config: Of the audit.
        split: Its discovery part is searched, its confirmation part is kept for fresh probes.
        examiner: Asks the references and the target.
        auditor: Proposes; loaded when it is needed first.
        describer: Puts pictures into words.
        arm: Of the auditor.

    Attributes:
        said: Whether the target failed, by probe id; None: not measured.
        said_again: The same, of what was asked in other words.
        questions: Those of everything that was measured, and its attributes.
    """

    def __init__(
        self, run: Run, config: AuditConfig, split: Split, examiner: Examiner, auditor: Callable[[], Model],
        describer: Describer, *, arm: str = "prompt_only",
    ) -> None:  # fmt: skip
        self.said: dict[str, bool | None] = {}
        self.said_again: dict[str, bool | None] = {}
        self._run, self._config, self._split, self._examiner = run, config, split, examiner
        self._auditor, self._describer, self._arm = auditor, describer, arm
        self._model: Model | None = None
        self.questions = KnownQuestions(describer, names_of(run, split.discovery, describer))
        earlier = [p for p in run.rows("proposals") if p["phase"] != PHASE]
        self._seen = {p["probe_id"] for p in earlier if p["probe_id"] is not None}
        self._replies = {p["id"]: p for p in run.rows("proposals") if p["phase"] == PHASE}
        self._pictures = {p["id"]: p["picture_id"] for p in run.rows("probes")}
        self._open: dict[str, Posed] = {}  # posed on discovery pictures and not asked
        self._fresh: dict[str, Posed] = {}  # posed on confirmation pictures
        self._own = {q for q in split.questions.values() if q is not None}
        self._number = 0  # of the auditor's replies
        self._posed = 0

    # --- what the audit knows already

    def known(self) -> list[tuple[Views, bool, bool]]:
        """What discovery and training measured: attributes, whether the target failed, and whether it was chosen.

        Unchosen are the untrained auditor's probes of discovery, or the trained one's where it did not take part. Of what
        was measured in training at most as many as `confirmation.budget` are taken, by their ids.

        Cost: a description for each picture that was drawn.
        """
        measured = {
            v["id"]: v for v in self._run.rows("verdicts")
            if v["outcome"] == "agreement" or (v["outcome"] == "failure" and v["self_consistent"])
        }  # fmt: skip
        of: dict[str, set[tuple[str, str]]] = {}
        for p in self._run.rows("proposals"):
            if p["probe_id"] in measured and p["arm"] in ("trained", "prompt_only"):
                of.setdefault(p["probe_id"], set()).add((p["arm"], p["phase"]))
        plain = ("prompt_only", "discovery")
        unchosen = plain if any(plain in where for where in of.values()) else ("trained", "discovery")
        discovered = {i for i, where in of.items() if any(phase == "discovery" for _, phase in where)}
        trained = sorted(i for i, where in of.items() if i not in discovered and ("trained", "training") in where)
        kept = discovered | set(trained[: self._config.confirmation.budget])
        rows = [p for p in self._run.rows("probes") if p["id"] in kept]
        described = self._describer.describe([p["picture_id"] for p in rows])
        found = []
        for p, description in zip(rows, described, strict=True):
            verdict = measured[p["id"]]
            changed = p["action"] != "question"
            views = self.questions.attributes(p["question"], verdict["consensus"], description, changed=changed)
            self.questions.remember(p["id"], p["question"], p["picture_id"], views)
            found.append((views, verdict["outcome"] == "failure", unchosen not in of[p["id"]]))
        return found

    # --- the protocol

    def pose(self, count: int) -> list[Posed]:
        """The auditor's own proposals, on discovery pictures in turn."""
        found: list[Posed] = []
        for _ in range(2 + 4 * count // self._config.discovery.batch):
            if len(found) >= count or self._spent:
                break
            wanted = min(self._config.discovery.batch, max(8, count - len(found)))
            found += self._propose([self._request(self._split.discovery) for _ in range(wanted)], fresh=False)
        return found[:count]

    def pose_for(self, predicate: Predicate, count: int, *, fresh: bool = False) -> list[Posed]:
        """What is left over, then known questions on other pictures, then the auditor's proposals for it.

        Nothing is left over of fresh ones: what was posed for another name is no fair sample of this one.
        """
        found: dict[str, Posed] = {}
        agreed = 0
        for posed in self._candidates(predicate, count, fresh):
            if agreed >= count:
                break
            if posed.id not in found and _fits(predicate, posed, self._described):
                found[posed.id] = posed
                agreed += posed.views is not None
        for posed in found.values():
            if posed.views is None:  # counted once
                self._open.pop(posed.id, None)
        return list(found.values())

    def pose_beside(self, posed: Sequence[Posed]) -> list[Posed]:
        """The pool's own question on each picture, or a known one that can be answered there.

        None where there are too few probes to test a mode with: the budget is better spent on the next one.
        """
        if len(posed) < LEAST:
            return []
        inside = {p.id for p in posed}
        waiting = {p.id: (other for other in self._others(p) if other.id not in inside) for p in posed}
        found: dict[str, Posed] = {}
        for _ in range(_OTHERS):
            tried = {i: probe for i, others in waiting.items() if i not in found and (probe := next(others, None))}
            answered = {p.id: p for p in self._consult(list(tried.values()), fresh=True)}
            for i, probe in tried.items():
                if (one := answered.pop(probe.id, None)) is not None and one.views is not None:
                    found[i] = one
        return list(found.values())

    def ask(self, posed: Sequence[Posed], *, again: bool = False) -> list[bool | None]:
        """Put the probes to the target and judge; a failure that the references do not stand by is not measured."""
        for start in range(0, len(posed), self._config.discovery.batch):
            batch = posed[start : start + self._config.discovery.batch]
            probes = [p.probe.probe for p in batch]
            if again:
                told = self._examiner.ask_target_again(probes, [p.probe.told.consensus or "" for p in batch])
                self._run.append("answers", [row for _, rows in told for row in rows])
                self.said_again |= {p.id: failed for p, (failed, _) in zip(batch, told, strict=True)}
                continue
            judged = self._examiner.judge(probes)
            self._run.append("answers", [row for j in judged for row in j.answers])
            self._run.append("verdicts", [verdict_row(j.verdict, j.target_answer, j.self_consistent) for j in judged])
            failed = [j.verdict.outcome == "failure" and j.self_consistent is True for j in judged]
            blind = self._blind([
                p for p, j, f in zip(batch, judged, failed, strict=True) if f and abstains(j.target_answer or "")
            ])  # fmt: skip
            for p, j, f in zip(batch, judged, failed, strict=True):
                measured = j.verdict.outcome == "agreement" or (f and p.id not in blind)
                self.said[p.id] = f if measured else None
                self._open.pop(p.id, None)
                if measured and p.views is not None:
                    self.questions.remember(p.id, p.probe.probe.question, p.picture, p.views)
        said = self.said_again if again else self.said
        return [said[p.id] for p in posed]

    def _blind(self, refused: Sequence[Posed]) -> set[str]:
        """Of what the target refuses to answer, that to which no reference gives another answer on other pictures."""
        pairs = [(p, other) for p in refused for other in self._elsewhere(p)]
        if not pairs:
            return set()
        _, told = self._consulted([other for _, other in pairs])
        said = [(p, text) for (p, _), c in zip(pairs, told, strict=True) for text in c.said if not abstains(text)]
        same = self._examiner.roles.judge.same([(p.probe.probe.question, p.probe.told.consensus, t) for p, t in said])
        looked = {p.id for (p, _), alike in zip(said, same, strict=True) if not alike}
        return {p.id for p, _ in pairs} - looked

    def _elsewhere(self, posed: Posed) -> list[Probe]:
        """The question of a probe on the other pictures of which one thing shares most words with it."""
        question = posed.probe.probe.question
        named = self.questions.words(question)
        part = self._split.confirmation if posed.probe.fresh else self._split.discovery
        ids = [i for i in part if i not in (posed.picture, posed.probe.probe.proposal.source_id)]
        random.Random(seed_for(self._config.seed, "elsewhere", posed.id)).shuffle(ids)
        told = zip(ids, self._describer.describe(ids), strict=True)
        shared = {i: max((len(named & set(c)) for c in clauses_of(d or "")), default=0) for i, d in told}
        found = []
        for source in sorted(ids, key=lambda i: -shared[i])[:_ELSEWHERE]:
            image = self._split.pictures[source]
            proposal = Proposal(source_id=source, action="question", question=question)
            found.append(Probe(id=probe_id(image, question), proposal=proposal, image=image))
        return found

    # --- ways to a probe of a kind

    def _candidates(self, predicate: Predicate, count: int, fresh: bool) -> Iterator[Posed]:
        """Cheapest first; each step begins only when it is wanted."""
        yield from [] if fresh else list(self._open.values())
        rng = random.Random(seed_for(self._config.seed, PHASE, predicate.as_json(), str(fresh), str(self._posed)))
        questions = self.questions.inside(predicate)
        reworded = self._reworded(predicate, questions, fresh, rng)
        for _ in range(1 + MOST_TRIED[fresh] * count // _ASKED):
            batch = list(islice(reworded, _ASKED))
            if not batch or self._spent:
                break
            yield from self._consult(batch, fresh=fresh)
        ids = self._split.confirmation if fresh else self._split.discovery
        proposed = hits = 0
        while proposed < MOST_PROPOSED[fresh] * count and ids and not self._spent:
            requests = [self._request(ids, predicate, questions, rng) for _ in range(_ASKED)]
            posed = self._propose(requests, fresh=fresh)
            proposed += len(requests)
            hits += sum(_fits(predicate, p, self._described) for p in posed)
            yield from posed
            if hits < _LEAST_HITS * proposed:
                break

    def _reworded(
        self, predicate: Predicate, questions: Sequence[str], fresh: bool, rng: random.Random
    ) -> Iterator[Probe]:
        """Known questions on other pictures, of which the predicate may hold, the likeliest first."""
        ids = self._split.confirmation if fresh else self._split.discovery
        if not ids:
            return
        pairs: set[tuple[str, str]] = set()
        if questions:
            pairs = {(rng.choice(questions), rng.choice(ids)) for _ in range(_PAIRS[fresh])}
        own = {(q, i) for i in ids if (q := self._split.questions.get(i)) is not None}
        looked = sorted(pairs | own)
        rng.shuffle(looked)
        described = dict(zip(ids, self._describer.describe(ids), strict=True))
        for question, source in self.questions.likeliest(predicate, looked, described):
            image = self._split.pictures[source]
            known = probe_id(image, question)
            if fresh or known not in self._seen:
                given = self._split.questions.get(source) == question
                proposal = Proposal(source_id=source, action="question", question=question, given_question=given)
                yield Probe(id=known, proposal=proposal, image=image)

    def _others(self, posed: Posed) -> Iterator[Probe]:
        """Other questions on the picture of a probe: the pool's own first, then known ones that name what is there."""
        probe: Probe = posed.probe.probe
        source = probe.proposal
        own = self._split.questions.get(posed.picture)
        if own is not None and own != source.question:
            yield self._another(posed, own, given=True)
        rng = random.Random(seed_for(self._config.seed, "beside", posed.id))
        known = sorted({*self.questions.text.values(), *self._own} - {source.question})
        [description] = self._describer.describe([posed.picture])
        clauses = clauses_of(description or "")
        for question in rng.sample(known, min(200, len(known))):
            if not clauses or self.questions.named_in(question, clauses):
                yield self._another(posed, question, given=False)

    def _another(self, posed: Posed, question: str, *, given: bool) -> Probe:
        probe: Probe = posed.probe.probe
        of = probe.proposal
        proposal = Proposal(
            source_id=of.source_id,
            action=of.action,
            question=question,
            instruction=of.instruction,
            given_question=given,
        )
        return Probe(id=probe_id(probe.image, question), proposal=proposal, image=probe.image)

    # --- the auditor

    def _request(
        self, ids: Sequence[str], predicate: Predicate | None = None, questions: Sequence[str] = (),
        rng: random.Random | None = None,
    ) -> Request:  # fmt: skip
        """The next request; for a kind, a change of the picture for a question of it, or a question about it."""
        number = self._number
        self._number += 1
        start = self._config.discovery.probes
        step = number // self._config.discovery.batch
        plain = one_request(self._config, self._split, ids, self._arm, PHASE, step, start + number)
        if predicate is None or rng is None:
            return plain
        told = ABOUT in self._examiner.roles.prompts
        ways: dict[Action, float] = {a: w for a, w in self._config.actions.items() if w}
        able = {a: w for a, w in ways.items() if (told if a == "question" else questions)}
        if not able:
            return plain
        action = rng.choices(list(able), list(able.values()))[0]
        if action == "question":
            return replace(plain, action=action, question=None, about=predicate.words())
        return replace(plain, action=action, question=rng.choice(questions))

    def _propose(self, requests: Sequence[Request], *, fresh: bool) -> list[Posed]:
        """Let the auditor write, draw what it wrote, and put it to the references."""
        known = [self._replies.get(r.id) for r in requests]
        if all(
            k is not None and k["prompt_question"] == (r.question or r.about)
            for k, r in zip(known, requests, strict=True)
        ):
            replies = [k["reply"] if k is not None and not _was_mute(k) else None for k in known]
        else:
            replies = self._written(requests)
        heard = [(r, text) for r, text in zip(requests, replies, strict=True) if text is not None]
        read = [read_reply(r, text) for r, text in heard]
        proposals = [p for p in read if isinstance(p, Proposal)]
        roles = self._examiner.roles
        drawn = iter(draw(proposals, self._split.pictures, roles.generator, roles.editor))
        rows, probes = [], []
        for (request, text), proposal in zip(heard, read, strict=True):
            if isinstance(proposal, str):
                rows.append(Examined(request=request, reply=text, malformed=proposal))
                continue
            probe = next(drawn)
            if isinstance(probe, str):
                rows.append(Examined(request=request, reply=text, proposal=proposal, void=probe))
            else:
                probes.append(probe)
                rows.append(Examined(request=request, reply=text, proposal=proposal, probe=probe))
        mute = [r for r, text in zip(requests, replies, strict=True) if text is None]
        rows += [Examined(request=r, reply="", void=_MUTE) for r in mute]
        posed = self._consult(probes, fresh=fresh)
        self._run.append("proposals", [proposal_row(e) for e in rows])
        return posed

    def _written(self, requests: Sequence[Request]) -> list[str | None]:
        if self._model is None:
            self._model = self._auditor()
        prompts = self._examiner.roles.prompts
        asked = [
            (self._split.pictures[r.source_id], prompt_for(prompts, r.action, r.question, r.about)) for r in requests
        ]
        return [a.text for a in self._model.generate(asked)]

    # --- the references

    def _consult(self, probes: Sequence[Probe], *, fresh: bool) -> list[Posed]:
        """Probes with what the references say of them: of fresh ones all, else those that were not posed before."""
        new = list({p.id: p for p in probes if p.id not in self._seen}.values())
        posed = self._posed_anew(new, fresh) if new else {}
        if not fresh:
            self._open |= posed
            return list(posed.values())
        self._fresh |= posed
        return [self._fresh[i] for i in dict.fromkeys(p.id for p in probes) if i in self._fresh]

    def _posed_anew(self, new: Sequence[Probe], fresh: bool) -> dict[str, Posed]:
        self._seen |= {p.id for p in new}
        self._posed += len(new)
        pictures, consulted = self._consulted(new)
        described = self._describer.describe(pictures)
        found = {}
        for probe, picture, description, told in zip(new, pictures, described, consulted, strict=True):
            if told.void:
                continue
            views = None
            if told.consensus is not None:
                changed = probe.proposal.action != "question"
                views = self.questions.attributes(probe.question, told.consensus, description, changed=changed)
            carried = Considered(probe=probe, told=told, fresh=fresh)
            found[probe.id] = Posed(id=probe.id, picture=picture, views=views, probe=carried)
        return found

    def _consulted(self, probes: Sequence[Probe]) -> tuple[list[str], list[Consulted]]:
        """The ids of the probes' pictures, and what the references say; all of it is in the tables."""
        pictures = [self._pictures.get(p.id) or self._run.save_picture(p.image) for p in probes]
        consulted = self._examiner.consult(probes)
        self._run.append("probes", [probe_row(p, i) for p, i in zip(probes, pictures, strict=True)])
        self._run.append("answers", [row for c in consulted for row in c.answers])
        return pictures, consulted

    # --- words

    @property
    def _spent(self) -> bool:
        budget = self._config.confirmation.budget
        return self._posed >= MOST_POSED * budget or self._number >= MOST_REPLIES * budget

    def _described(self, posed: Posed) -> Iterable[Views]:
        """The attributes of a probe on which the references disagree, under each of their answers."""
        probe, told = posed.probe.probe, posed.probe.told
        [description] = self._describer.describe([posed.picture])
        changed = probe.proposal.action != "question"
        return (self.questions.attributes(probe.question, said, description, changed=changed) for said in told.said)


_MUTE = "the auditor gave no reply"


def _was_mute(row: Mapping[str, object]) -> bool:
    return row["void"] == _MUTE and not row["reply"]


def _fits(predicate: Predicate, posed: Posed, described: Callable[[Posed], Iterable[Views]]) -> bool:
    """Whether a predicate holds of a probe, or under one of the answers of references that disagree."""
    if posed.views is not None:
        return predicate.holds(posed.views)
    return any(predicate.holds(views) for views in described(posed))
