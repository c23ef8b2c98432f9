"""Counterfactual pairs for the findings of a run: table `causes`, and `causes.json` with what they say.

Each failing probe of a finding is edited many times, its question kept. The references answer on the edited pictures, which
tells the edits that break the finding's predicate from those that do not; the target is asked about the two that are chosen
(auditdm.method.causes), like about any probe. A search for causes that was killed goes on where it stood.

Source: ours; the head of `method.causes`.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from PIL.Image import Image

from auditdm.errors import MalformedProposal, StoreError
from auditdm.method.attributes import Names, Views, attributes
from auditdm.method.auditor import parse, prompt_for, written
from auditdm.method.causes import (
    LEAST,
    Edited,
    Kind,
    Pair,
    broken,
    causes,
    changed_share,
    choose,
    in_question,
    needs_description,
    settled,
    stays,
)
from auditdm.method.predicate import Literal, Predicate
from auditdm.method.probe import draw
from auditdm.runs.auditor_training import Tell
from auditdm.runs.examining import Examined, Examiner, Request, record
from auditdm.store import Row, Run
from auditdm.types import Model, Probe, Proposal, content_id

Commands = Callable[[Sequence[tuple[Image, str]], int], list[list[str]]]  # (picture, question) each: at most so many
Describe = Callable[[Sequence[Image]], list[str | None]]

FILE = "causes.json"
PHASE, ARM = "cause", "causes"
_TURN = 8  # failing probes at a time: as many pictures as this times the edits are in memory
_HARDER = 4  # times the edits, for probes without a pair where too few have one
_WAVE = 4  # edits of each of them that the references are asked about at a time, smallest first
_PAIR, _ELSEWHERE = "pair", "the name does not hold of it on a second look"


def find_causes(
    run: Run,
    examiner: Examiner,
    findings: Sequence[Row],
    *,
    describe: Describe | Sequence[Describe],
    names: Names,
    commands: Commands,
    pairs: int = LEAST + 4,
    edits: int = 24,
    tell: Tell = lambda _event, _values: None,
) -> dict[str, Any]:
    """Find what makes each confirmed finding fail.

    Args:
        run: Open for writing; the probes and pictures of the findings are in it.
        examiner: Asks and judges; its roles have the editor.
        findings: Rows of the table `findings`; those that are not confirmed are passed over.
        describe: N pictures in words, None where there are none; called only where a predicate needs it. Better several,
            such as all references: an edit that they see unlike is left out, so that a slip is not taken for a change.
        names: Words that name what pictures show, as `attributes` takes them.
        commands: Writes edit commands for N pictures with questions, such as `auditor_commands`.
        pairs: So many pairs for each finding, or a few more, if its failing probes give them.
        edits: Commands wanted for each failing probe; four times as many in a second round, for those without a pair, where
            the first round gave too few pairs.
        tell: Called with ("causes", {"finding", "done", "of", "pairs"}): findings, and pairs of this one.

    Returns:
        What `causes.json` holds: `least` (pairs needed) and for each finding id, name, state, reason, relevant and control
        (rates of flips), difference (paired), q, broken (condition, flips) and without (why failing probes have no pair).
        Empty, and nothing is written, where the run has no editor.

    Raises:
        ModelError: A whole batch could not be answered. What was done before is kept.
        StoreError: The disk refused, or a probe of a finding is not in the run.

    Cost: for each finding at most 2 * (pairs + 7) target calls, and for each failing probe that is tried `edits` commands
        and edits (five times as many if it is tried twice), and for at most as many edited pictures R answers and, where it
        is needed, each description.
    """
    if examiner.roles.editor is None:
        return {}
    confirmed = [f for f in findings if f["state"] == "confirmed"]
    tried: dict[str, dict[str, Any]] = {f["id"]: _tried(run).get(f["id"], {}) for f in confirmed}
    means = _Means(
        run=run,
        examiner=examiner,
        describe=(describe,) if callable(describe) else tuple(describe),
        names=names,
        commands=commands,
        edits=edits,
    )
    failing = _failing(run, confirmed)
    told = _told(confirmed, tried)
    for times in (1, _HARDER):
        for place, finding in enumerate(confirmed):
            known = tried[finding["id"]]
            left = [n for n, before in enumerate(failing[finding["id"]]) if _is_left(known.get(before["id"]), times)]
            turn = max(1, _TURN // times)
            for some in (left[start : start + turn] for start in range(0, len(left), turn)):
                if _measured(known) >= pairs:
                    break
                befores = {n: failing[finding["id"]][n] for n in some}
                known |= _paired(replace(means, edits=edits * times), finding, befores, place)
                for before in befores.values():
                    known[before["id"]]["times"] = times
                told = _told(confirmed, tried)
                run.write_json(FILE, told)
                tell(
                    "causes",
                    {"finding": finding["name"], "done": place, "of": len(confirmed), "pairs": _measured(known)},
                )
    run.write_json(FILE, told)
    return told


def auditor_commands(auditor: Model, prompts: Mapping[str, str]) -> Commands:
    """Edit commands by an auditor that samples its replies: its edit act, with the probe's question as the given one.

    Args:
        auditor: Any model that was taught to write commands, or is asked for them in words.
        prompts: Of `auditdm.method.auditor.read_prompts`.

    Returns:
        A function as `find_causes` wants it; malformed replies and repetitions are left out of what it gives.

    Cost: N * count replies a call.

    Example:
        >>> from auditdm.backends.fakes import FakeModel, fake_picture
        >>> moved = FakeModel(lambda _: "<edit> move the dog </edit>")
        >>> auditor_commands(moved, {"edit_for": "Change it: {question}"})([(fake_picture(), "Where is the dog?")], 3)
        [['move the dog']]
    """

    def commands(shown: Sequence[tuple[Image, str]], count: int) -> list[list[str]]:
        asked = [(picture, prompt_for(prompts, "edit", question)) for picture, question in shown for _ in range(count)]
        replies = iter(auditor.generate(asked))
        found: list[list[str]] = []
        for _, question in shown:
            read = [_command(next(replies).text, question) for _ in range(count)]
            found.append(list(dict.fromkeys(command for command in read if command is not None)))
        return found

    return commands


# --- one turn: some failing probes of one finding


@dataclass(frozen=True, kw_only=True)
class _Means:
    """Whatever takes part."""

    run: Run
    examiner: Examiner
    describe: tuple[Describe, ...]
    names: Names
    commands: Commands
    edits: int


@dataclass(frozen=True, kw_only=True)
class _Made:
    """A failing probe with its picture edited."""

    probe: Probe
    changed_share: float


def _is_left(tried: Mapping[str, Any] | None, times: int) -> bool:
    """Whether a failing probe is still to be edited, `times` as often as at first."""
    return tried is None or (tried["why"] not in (_PAIR, _ELSEWHERE) and tried.get("times", 1) < times)


def _paired(means: _Means, finding: Row, befores: Mapping[int, Row], place: int) -> dict[str, dict[str, Any]]:
    """What came of some failing probes, by their ids; pairs are written to the tables.

    Args:
        means: Whatever takes part.
        finding: Whose probes they are.
        befores: Each by its number among the finding's.
        place: The finding's number.
    """
    predicate, failing, numbers = Predicate.from_json(finding["predicate"]), list(befores.values()), list(befores)
    pictures = {before["picture_id"]: means.run.picture(before["picture_id"]) for before in failing}
    held = _held(means, predicate, failing, pictures)
    made = _made(means, [before for before, holds in zip(failing, held, strict=True) if holds], pictures)
    made = [made.pop(0) if holds else [] for holds in held]
    known = _seen(means, predicate, failing, made)
    found: dict[str, dict[str, Any]] = {}
    chosen: list[tuple[int, Kind, _Made]] = []
    for n, (before, holds, ones, edits) in enumerate(zip(failing, held, made, known, strict=True)):
        relevant, control = choose(edits)
        if relevant is None or control is None:
            found[before["id"]] = {"why": _without(edits) if holds else _ELSEWHERE}
            continue
        found[before["id"]] = {"why": _PAIR, "broken": json.loads(Predicate(edits[relevant].broken).as_json())}
        chosen += [(n, "relevant", ones[relevant]), (n, "control", ones[control])]
    judged = means.examiner.judge([one.probe for *_, one in chosen])
    examined = [
        Examined(
            request=Request(
                arm=ARM, phase=PHASE, step=place, copy=2 * numbers[n] + (kind == "control"),
                source_id=failing[n]["picture_id"], action="edit", question=None,
            ),
            reply=written(one.probe.proposal), proposal=one.probe.proposal, probe=one.probe, verdict=j.verdict,
            target_answer=j.target_answer, self_consistent=j.self_consistent, answers=j.answers,
        )
        for (n, kind, one), j in zip(chosen, judged, strict=True)
    ]  # fmt: skip
    record(means.run, examined)
    rows = []
    for (n, kind, one), e in zip(chosen, examined, strict=True):
        flipped = _flipped(e)
        found[failing[n]["id"]][kind] = flipped
        rows.append(
            {
                "id": content_id(finding["id"], kind, failing[n]["id"]),
                "finding_id": finding["id"],
                "kind": kind,
                "before": failing[n]["id"],
                "after": one.probe.id,
                "command": one.probe.proposal.instruction,
                "changed_share": one.changed_share,
                "flipped": flipped,
            }
        )
    means.run.append("causes", rows)
    return found


def _made(means: _Means, failing: Sequence[Row], pictures: Mapping[str, Image]) -> list[list[_Made]]:
    """The edits that could be made of each failing probe, smallest first; equal pictures once."""
    shown = [(pictures[before["picture_id"]], before["question"]) for before in failing]
    proposals: list[Proposal] = []
    whose: list[int] = []
    for n, (before, said) in enumerate(zip(failing, means.commands(shown, means.edits), strict=True)):
        for command in said:
            proposal = _proposal(command, before)
            if proposal is not None:
                proposals.append(proposal)
                whose.append(n)
    made: list[dict[str, _Made]] = [{} for _ in failing]
    for n, probe in zip(whose, draw(proposals, pictures, None, means.examiner.roles.editor), strict=True):
        if isinstance(probe, Probe) and probe.id not in made[n]:
            made[n][probe.id] = _Made(probe=probe, changed_share=changed_share(shown[n][0], probe.image))
    return [sorted(of.values(), key=lambda one: (one.changed_share, one.probe.id)) for of in made]


def _seen(
    means: _Means, predicate: Predicate, failing: Sequence[Row], made: Sequence[Sequence[_Made]]
) -> list[list[Edited]]:
    """The smallest edits of each probe, as many as it takes to choose among them, as the references see them."""
    known: list[list[Edited]] = [[] for _ in made]
    while True:
        waves = [
            (n, ones[len(known[n]) :][:_WAVE])
            for n, ones in enumerate(made)
            if len(known[n]) < len(ones) and not settled(known[n])
        ]
        if not waves:
            return known
        asked = [(failing[n], one) for n, wave in waves for one in wave]
        edits = iter(_edited(means, predicate, asked))
        for n, wave in waves:
            known[n] += [next(edits) for _ in wave]


def _edited(means: _Means, predicate: Predicate, asked: Sequence[tuple[Row, _Made]]) -> list[Edited]:
    """Whether each edited probe is still in the mode; of a mode on the question alone, whether its answer is the same."""
    consulted = means.examiner.consult([one.probe for _, one in asked])
    decided = {n: c.consensus for n, c in enumerate(consulted) if c.consensus is not None}
    inside: dict[int, bool | None] = {}
    missing: dict[int, tuple[Literal, ...]] = {}
    if in_question(predicate):
        answers = [(asked[n][0]["question"], asked[n][0]["consensus"], said) for n, said in decided.items()]
        inside = dict(zip(decided, means.examiner.roles.judge.same(answers), strict=True))
    else:
        posed = [(asked[n][1].probe.image, asked[n][1].probe.question, said, True) for n, said in decided.items()]
        for n, seen in zip(decided, _views(means, predicate, posed), strict=True):
            inside[n] = stays(predicate, seen)
            missing[n] = broken(predicate, seen[0]) if inside[n] is False and seen[0] is not None else ()
    return [
        Edited(changed_share=one.changed_share, inside=inside.get(n), broken=missing.get(n, ()))
        for n, (_, one) in enumerate(asked)
    ]


def _held(means: _Means, predicate: Predicate, failing: Sequence[Row], pictures: Mapping[str, Image]) -> list[bool]:
    """Whether the predicate holds of each failing probe, before any edit, in every description."""
    if not needs_description(predicate):
        return [True] * len(failing)
    posed = [(pictures[b["picture_id"]], b["question"], b["consensus"], b["action"] != "question") for b in failing]
    return [stays(predicate, seen) is True for seen in _views(means, predicate, posed)]


def _views(
    means: _Means, predicate: Predicate, posed: Sequence[tuple[Image, str, str, bool]]
) -> list[list[Views | None]]:
    """What each probe (picture, question, consensus, whether the picture is changed) is seen as, by each description."""
    told: list[list[str | None]] = [[None] * len(posed)]
    if needs_description(predicate):
        told = [describe([picture for picture, *_ in posed]) for describe in means.describe] if posed else told
        if any(len(words) != len(posed) for words in told):
            raise ValueError(f"{len(posed)} pictures were to be described, not {[len(words) for words in told]}")
    found: list[list[Views | None]] = []
    for n, (_, question, consensus, changed) in enumerate(posed):
        found.append(
            [
                None
                if words[n] is None and needs_description(predicate)
                else attributes(question, consensus, words[n], names=means.names, changed=changed)
                for words in told
            ]
        )
    return found


def _without(edits: Sequence[Edited]) -> str:
    """Why a failing probe has no pair."""
    if not edits:
        return "no edit could be made"
    seen = {e.inside for e in edits}
    if seen == {None}:
        return "of no edit it is known whether it stays in the mode"
    return "every edit took it out of the mode" if False in seen else "no edit took it out of the mode"


def _flipped(e: Examined) -> bool | None:
    """Whether the target agrees now; None where that is not known, and for a failure on which the references waver."""
    if e.verdict is not None and e.verdict.outcome == "agreement":
        return True
    return False if e.is_failure else None


def _proposal(command: str, before: Row) -> Proposal | None:
    """An edit of a probe's picture; None for a command that could not be read back."""
    proposal = Proposal(
        source_id=before["picture_id"],
        action="edit",
        question=before["question"],
        instruction=" ".join(command.split()),
    )
    try:
        return parse(written(proposal), proposal.source_id, "edit")
    except MalformedProposal:
        return None


def _command(reply: str | None, question: str) -> str | None:
    try:
        return parse(reply or "", "", "edit", question).instruction
    except MalformedProposal:
        return None


# --- what is kept


def _tried(run: Run) -> dict[str, dict[str, Any]]:
    path = run.path / FILE
    if not path.exists():
        return {}
    try:
        found: dict[str, dict[str, Any]] = json.loads(path.read_text("utf-8"))["tried"]
    except (ValueError, KeyError) as problem:
        raise StoreError(f"{path}: damaged ({problem}). Delete it; the causes are looked for again.") from problem
    return found


def _failing(run: Run, findings: Sequence[Row]) -> dict[str, list[Row]]:
    """Rows of `probes`, and their consensus, that fail inside each finding, the most typical first."""
    fresh: dict[str, list[str]] = {f["id"]: list(f["failing"] or ()) for f in findings}
    for row in run.rows("confirmations"):
        if row["finding_id"] in fresh and row["role"] == "inside" and row["failed"]:
            fresh[row["finding_id"]].append(row["probe_id"])
    wanted = {probe for ids in fresh.values() for probe in ids}
    agreed = {row["id"]: row["consensus"] for row in run.rows("verdicts") if row["id"] in wanted}
    rows = {
        row["id"]: {**row, "consensus": agreed[row["id"]]}
        for row in run.rows("probes")
        if agreed.get(row["id"]) is not None
    }
    if lost := sorted(wanted - rows.keys()):
        raise StoreError(
            f"{run.path}: findings name probe {lost[0]}, which is not in the run. Was tables/ copied whole?"
        )
    return {finding: [rows[probe] for probe in dict.fromkeys(ids)] for finding, ids in fresh.items()}


def _measured(tried: Mapping[str, Mapping[str, Any]]) -> int:
    """Pairs measured on both sides."""
    return sum(t["why"] == _PAIR and None not in (t["relevant"], t["control"]) for t in tried.values())


def _told(findings: Sequence[Row], tried: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    predicates = [Predicate.from_json(f["predicate"]) for f in findings]
    pairs = [[_pair(t) for t in tried[f["id"]].values() if t["why"] == _PAIR] for f in findings]
    found = causes(list(zip(predicates, pairs, strict=True)))
    return {
        "least": LEAST,
        "findings": [
            {
                "id": f["id"],
                "name": f["name"],
                "state": c.state,
                "reason": c.reason,
                "relevant": c.relevant.as_dict(),
                "control": c.control.as_dict(),
                "difference": c.difference.as_dict(),
                "q": c.q,
                "broken": [{"condition": literal.words(), "flips": flips} for literal, flips in c.broken],
                "without": dict(Counter(t["why"] for t in tried[f["id"]].values() if t["why"] != _PAIR)),
            }
            for f, c in zip(findings, found, strict=True)
        ],
        "tried": tried,
    }


def _pair(tried: Mapping[str, Any]) -> Pair:
    missing = Predicate.from_json(json.dumps(tried["broken"])).literals
    return Pair(relevant=tried["relevant"], control=tried["control"], broken=missing)
