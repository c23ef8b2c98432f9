"""What a run's own answers say of its references, without labels: `references.json`.

A run can be read while another process writes it, with `keep=False`. In the sandbox the truth stands beside the
estimate, for the figure alone: it changes no estimate.

Source: ours; `method.panel` and `method.references` say how.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import fields
from itertools import combinations
from math import ceil
from typing import Any

from auditdm.backends.judges import ExactJudge
from auditdm.method.panel import (
    Ballot,
    Expected,
    Panel,
    Quorum,
    choose_quorum,
    expected_false_consensus,
    fit,
    sides,
)
from auditdm.method.references import Pair, Reference, Round, by_pair, by_reference, by_round
from auditdm.method.verdict import abstains
from auditdm.stats import Rate
from auditdm.store import Run
from auditdm.types import Judge, content_id

ROUNDS = 10
QUORUM_FILE = "quorum.json"

Texts = dict[tuple[int, int], str | None]  # (0 the target, 1.. the references; wording) to the reply


def check_references(run: Run, judge: Judge | None = None, *, bound: float = 0.02, keep: bool = True) -> dict[str, Any]:
    """Measure the references of a finished or running audit from the answers in its folder.

    Every distinct probe of the trained auditor counts once, in a round once in that round; without a trained one, every
    probe of the run.

    Args:
        run: Has answers of the target and the references to probes.
        judge: The run's; None for the exact one.
        bound: Share of consensuses that may be wrong, for the quorum.
        keep: Write `references.json`; the run has to be open for writing.

    Returns:
        references (kept, deviates, abstains), pairs, panel (error, correlation, same, votes), expected (by quorum),
        used (the run's quorum), quorum (the chosen one), rounds (ten equal parts of the training, then discovery) and,
        where the truth is known, oracle: the false consensus of the audit's verdicts, of all and by the same rounds.
        What cannot be estimated is None.

    Raises:
        StoreError: The run is open for reading only and `keep` is set.

    Cost: R * (R + 1) / 2 judgements a probe, those in other words, and no model call.

    Example:
        >>> from auditdm.runs.reference_check import round_of
        >>> [round_of({"phase": "training", "step": step}, 170) for step in (0, 16, 17, 169)]
        ['1', '1', '2', '10']
    """
    config = run.config
    names = [spec["model"] for spec in config["references"]]
    placed = _placed(run, int((config.get("training") or {}).get("steps") or 0))
    asked = dict.fromkeys(probe for _, probe in placed)
    cast = dict(zip(asked, ballots(run, list(asked), names, judge or ExactJudge()), strict=True))
    sheet = list(cast.values())
    panel = fit(sheet)
    agreeing = max(1, ceil(_quorum(run) * len(names) - 1e-9))
    quorums = range(len(names) // 2 + 1, len(names) + 1)
    told: dict[str, Any] = {
        "probes": len(sheet),
        "references": [{"model": m, **_told(r)} for m, r in zip(names, by_reference(sheet), strict=bool(sheet))],
        "pairs": _told(by_pair(sheet, panel)),
        "panel": _told(panel),
        "expected": [_told(expected_false_consensus(panel, k)) for k in quorums] if panel else None,
        "used": {"agreeing": agreeing, "of": len(names)},
        "quorum": _told(choose_quorum(panel, len(names), bound=bound)),
        "rounds": _told(by_round([r for r, _ in placed], [cast[p] for _, p in placed], panel, agreeing)),
    }
    if truths := {row["id"]: row for row in run.rows("truths")}:
        told["oracle"] = _oracle(run, placed, truths)
    if keep:
        run.write_json("references.json", told)
    return told


def chosen_quorum(run: Run) -> float | None:
    """The share of references that `quorum: auto` chose for this run, from RUN/quorum.json; None where it did not."""
    path = run.path / QUORUM_FILE
    if not path.exists():
        return None
    told = json.loads(path.read_text("utf-8"))
    return float(told["agreeing"] / told["of"])


def _quorum(run: Run) -> float:
    """Of the configuration; where it is "auto", what was chosen, and all while nothing is."""
    told = run.config.get("quorum", 1.0)
    return float(told) if told != "auto" else chosen_quorum(run) or 1.0


def round_of(proposal: Mapping[str, Any], steps: int) -> str:
    """Name the round of a proposal: "1" to "10" of the training, or its phase."""
    if proposal["phase"] != "training":
        return str(proposal["phase"])
    return str(1 + min(ROUNDS - 1, proposal["step"] * ROUNDS // max(1, steps)))


def _placed(run: Run, steps: int) -> list[tuple[str, str]]:
    """Round and probe, each distinct one once, in the order of the rounds."""
    verdicts = run.ids("verdicts")
    proposals = [p for p in run.rows("proposals") if p["probe_id"] in verdicts]
    own = [p for p in proposals if p["arm"] == "trained" and p["phase"] in ("training", "discovery")] or proposals
    steps = steps or 1 + max((p["step"] or 0 for p in own if p["phase"] == "training"), default=0)
    own.sort(key=lambda p: (p["phase"] != "training", p["step"] or 0))
    return list(dict.fromkeys((round_of(p, steps), p["probe_id"]) for p in own))


def ballots(run: Run, asked: Sequence[str], names: Sequence[str], judge: Judge) -> list[Ballot]:
    """What each voter said to each probe, from the answers in a run.

    Args:
        run: Has answers to the probes.
        asked: N ids of probes.
        names: Models of the references, in the order of the configuration.
        judge: The run's.
    """
    texts: dict[str, Texts] = defaultdict(dict)
    wanted = set(asked)
    for row in run.rows("answers"):
        if row["probe_id"] in wanted and (voter := _voter(row, names)) is not None:
            texts[row["probe_id"]].setdefault((voter, row["wording"]), row["text"])
    words = {row["id"]: row["question"] for row in run.rows("probes")}
    compared = [
        (words[probe], one, other) for probe in asked for _, one, other in _comparisons(texts[probe], len(names))
    ]
    distinct = list(dict.fromkeys(compared))
    known = dict(zip(distinct, judge.same(distinct), strict=True))
    found = []
    for probe in asked:
        same = {key: known[words[probe], one, other] for key, one, other in _comparisons(texts[probe], len(names))}
        found.append(_ballot(texts[probe], same, len(names)))
    return found


def _voter(row: Mapping[str, Any], names: Sequence[str]) -> int | None:
    """0 for the target; the number of a reference is in the id, for two may be one model. None: of another audit."""
    if row["role"] == "target":
        return 0
    for n in range(len(names)):
        if row["id"] == content_id(row["probe_id"], f"references[{n}]", row["model"], str(row["wording"])):
            return n + 1
    return names.index(row["model"]) + 1 if names.count(row["model"]) == 1 else None


def _comparisons(texts: Texts, size: int) -> list[tuple[tuple[int, int, int], str, str]]:
    """Each two first answers, keyed (i, j, 0), and each reference's first with its answer in wording w, (i, i, w)."""
    first = {v: text for v in range(size + 1) if (text := _spoken(texts, v)) is not None}
    found = [((i, j, 0), first[i], first[j]) for i, j in combinations(first, 2)]
    for (voter, wording), text in texts.items():
        if voter in first and voter and wording and text is not None and not abstains(text):
            found.append(((voter, voter, wording), first[voter], text))
    return found


def _spoken(texts: Texts, voter: int) -> str | None:
    """A voter's first answer; None: silent or, of a reference, "cannot be answered"."""
    text = texts.get((voter, 0))
    return None if text is None or (voter and abstains(text)) else text


def _ballot(texts: Texts, same: Mapping[tuple[int, int, int], bool | None], size: int) -> Ballot:
    first = {(i, j): s for (i, j, wording), s in same.items() if not wording}
    voices = range(1, size + 1)
    return Ballot(
        sides=sides(first, [_spoken(texts, v) is not None for v in range(size + 1)]),
        abstained=tuple(abstains(texts.get((v, 0)) or "") for v in voices),
        kept=tuple(_kept(texts, same, v) for v in voices),
    )


def _kept(texts: Texts, same: Mapping[tuple[int, int, int], bool | None], voter: int) -> bool | None:
    """As `method.verdict.stands` has it; None also where it was not asked again."""
    again = {wording: text for (v, wording), text in texts.items() if v == voter and wording}
    if not again or _spoken(texts, voter) is None:
        return None
    told = [
        None if text is None else False if abstains(text) else same[voter, voter, wording]
        for wording, text in again.items()
    ]
    return False if False in told else None if None in told else True


def _told(found: Any) -> Any:
    """A record, or a list of them, as it stands in the file."""
    if isinstance(found, Rate):
        return found.as_dict()
    if isinstance(found, list):
        return [_told(f) for f in found]
    if isinstance(found, Reference | Pair | Panel | Expected | Quorum | Round):
        told = {f.name: _told(getattr(found, f.name)) for f in fields(found) if f.name != "posterior"}
        derived = {Panel: "votes", Quorum: "share"}.get(type(found))
        return told | ({derived: getattr(found, derived)} if derived else {})
    return list(found) if isinstance(found, tuple) else found


def _oracle(run: Run, placed: Sequence[tuple[str, str]], truths: Mapping[str, Any]) -> dict[str, Any]:
    """How often the audit's consensus was wrong; void: the truth has not been told yet."""
    verdicts = {row["id"]: row for row in run.rows("verdicts")}
    here: dict[str, list[str]] = defaultdict(list)
    for name, probe in placed:
        if verdicts[probe]["consensus"] is not None:
            here[name].append(probe)
    every = list(dict.fromkeys(probe for _, probe in placed if verdicts[probe]["consensus"] is not None))
    return {
        "all": _false_consensus(every, verdicts, truths),
        "rounds": [{"name": n, **_false_consensus(probes, verdicts, truths)} for n, probes in here.items()],
    }


def _false_consensus(agreed: Sequence[str], verdicts: Mapping[str, Any], truths: Mapping[str, Any]) -> dict[str, Any]:
    """Of all consensuses, and of those to questions that have an answer, which is what the estimate is about."""
    known = [p for p in agreed if p in truths]
    valid = [p for p in known if truths[p]["valid"]]
    same = ExactJudge().same([("", verdicts[p]["consensus"], truths[p]["answer"]) for p in valid])
    wrong, void = sum(s is False for s in same), len(agreed) - len(known)
    return {
        "false_consensus": Rate(wrong + len(known) - len(valid), len(known), void).as_dict(),
        "false_consensus_of_answerable": Rate(wrong, len(valid), void).as_dict(),
    }
