"""What the report shows of a run: probes with every answer to them, and failure groups with their exemplars.

Reads rows, writes nothing, loads no picture. Any table may be empty and any optional column absent: that is None here
and 'not measured' on the page.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from auditdm.errors import StoreError
from auditdm.stats import Rate

Row = dict[str, Any]

TABLES = (
    "sources",
    "proposals",
    "probes",
    "answers",
    "verdicts",
    "training_log",
    "failure_modes",
    "findings",
    "confirmations",
    "causes",
    "trainset",
    "scores",
    "truths",
)
FAILING_SHOWN = 12  # per group, the most typical
PASSING_SHOWN = 6
_WORD = re.compile(r"\w+")


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """A run's tables, and the look-ups every section needs."""

    tables: dict[str, list[Row]]
    probe: dict[str, Row]  # by probe id, as the three below
    verdict: dict[str, Row]
    truth: dict[str, Row]  # empty: no truth is known, as always outside the sandbox
    answers: dict[str, list[Row]]
    proposal: dict[str, Row]  # the first proposal that led to the probe

    def outcome(self, probe_id: str | None) -> str | None:
        """What came of a probe; None when it has no verdict yet."""
        return self.verdict[probe_id]["outcome"] if probe_id in self.verdict else None

    def truly_failed(self, probe_id: str) -> bool | None:
        """Whether a failure is one against the truth too; None when no truth is known for it."""
        truth = self.truth.get(probe_id)
        if truth is None:
            return None
        return self.outcome(probe_id) == "failure" and bool(truth["valid"]) and truth["target_right"] is False


@dataclass(frozen=True, kw_only=True)
class Reply:
    """What one model said to one probe."""

    role: str  # target | reference
    model: str
    text: str | None  # None: no reply reached us, see `problem`. "" is a reply
    problem: str | None
    again: tuple[str | None, ...]  # its replies to the same question in other words

    @property
    def steady(self) -> bool:
        """Whether it was asked again and said the same each time, letter by letter."""
        return bool(self.again) and set(self.again) == {self.text}


@dataclass(frozen=True, kw_only=True)
class Exhibit:
    """One probe as a person sees it."""

    id: str
    picture_id: str
    original_id: str | None  # the pool's picture; set iff the auditor changed it
    question: str
    action: str | None
    instruction: str | None
    outcome: str | None
    consensus: str | None
    dissent: float | None
    reason: str | None
    replies: tuple[Reply, ...]  # target first
    truth: Row | None


@dataclass(frozen=True, kw_only=True)
class Group:
    """A failure mode with the probes that show it."""

    id: str
    name: str
    description: str
    rate: Rate  # failures over failures and agreements of this kind
    true_failures: Rate | None  # None: no truth is known
    gaps: tuple[tuple[str, int], ...]  # planted slices met by its failures, most frequent first
    failing: tuple[Exhibit, ...]
    passing: tuple[Exhibit, ...]


def gather(rows: Callable[[str], list[Row]]) -> Evidence:
    """Read every table of a run once.

    Args:
        rows: `Run.rows`: the rows of a table, none when the run has not written it.

    Cost: the text tables in memory; no picture.
    """
    tables = {name: rows(name) for name in TABLES}
    answers: defaultdict[str, list[Row]] = defaultdict(list)
    for row in tables["answers"]:
        answers[row["probe_id"]].append(row)
    proposal: dict[str, Row] = {}
    for row in tables["proposals"]:
        if row.get("probe_id"):
            proposal.setdefault(row["probe_id"], row)
    return Evidence(
        tables=tables,
        probe={row["id"]: row for row in tables["probes"]},
        verdict={row["id"]: row for row in tables["verdicts"]},
        truth={row["id"]: row for row in tables["truths"]},
        answers=dict(answers),
        proposal=proposal,
    )


def exhibit(evidence: Evidence, probe_id: str) -> Exhibit | None:
    """Put one probe together from its rows; None when the run does not hold the probe."""
    probe = evidence.probe.get(probe_id)
    if probe is None:
        return None
    verdict = evidence.verdict.get(probe_id, {})
    changed = probe.get("source_id") not in (None, probe["picture_id"])
    return Exhibit(
        id=probe_id,
        picture_id=probe["picture_id"],
        original_id=probe["source_id"] if changed else None,
        question=probe["question"],
        action=probe.get("action"),
        instruction=probe.get("instruction"),
        outcome=verdict.get("outcome"),
        consensus=verdict.get("consensus"),
        dissent=verdict.get("dissent"),
        reason=verdict.get("reason"),
        replies=_replies(evidence.answers.get(probe_id, [])),
        truth=evidence.truth.get(probe_id),
    )


def exhibits(evidence: Evidence, probe_ids: Iterable[str], most: int) -> tuple[Exhibit, ...]:
    """The first `most` of these probes that the run holds, in the order given."""
    shown: list[Exhibit] = []
    for probe_id in probe_ids:
        if len(shown) == most:
            break
        found = exhibit(evidence, probe_id)
        if found is not None:
            shown.append(found)
    return tuple(shown)


def groups(evidence: Evidence) -> tuple[Group, ...]:
    """Every failure group with its exemplars, the largest first.

    The passing exemplars are agreements whose question shares most words with the group's most typical one: they show
    where the target still stands with the references.

    Raises:
        StoreError: A group has more failures than were measured.

    Cost: modes x distinct agreeing questions, sets of words only.
    """
    agreeing: defaultdict[str, list[str]] = defaultdict(list)
    for probe_id in sorted(evidence.verdict):
        if evidence.outcome(probe_id) == "agreement" and probe_id in evidence.probe:
            agreeing[evidence.probe[probe_id]["question"]].append(probe_id)
    modes = sorted(evidence.tables["failure_modes"], key=lambda mode: (-len(mode["probe_ids"]), mode["id"]))
    return tuple(_group(evidence, mode, agreeing) for mode in modes)


def ungrouped(evidence: Evidence) -> list[str]:
    """Ids of failures that no group holds, in the order of the tables."""
    held = {probe_id for mode in evidence.tables["failure_modes"] for probe_id in mode["probe_ids"]}
    return [row["id"] for row in evidence.tables["verdicts"] if row["outcome"] == "failure" and row["id"] not in held]


def _group(evidence: Evidence, mode: Row, agreeing: dict[str, list[str]]) -> Group:
    probe_ids: Sequence[str] = mode["probe_ids"]
    if mode["measured"] < len(probe_ids):
        raise StoreError(
            f"failure_modes row {mode['id']} has {len(probe_ids)} failures of {mode['measured']} measured; a failure "
            "is measured too. Remove tables/failure_modes and give the same command again: it is made anew."
        )
    known = [evidence.truly_failed(probe_id) for probe_id in probe_ids]
    judged = [is_true for is_true in known if is_true is not None]
    gaps = Counter(
        evidence.truth[probe_id]["gap"]
        for probe_id in probe_ids
        if probe_id in evidence.truth and evidence.truth[probe_id].get("gap")
    )
    failing = exhibits(evidence, probe_ids, FAILING_SHOWN)
    return Group(
        id=mode["id"],
        name=mode["name"],
        description=mode.get("description") or "",
        rate=Rate(hits=len(probe_ids), asked=int(mode["measured"]), void=0),
        true_failures=Rate(hits=sum(judged), asked=len(judged), void=len(known) - len(judged)) if judged else None,
        gaps=tuple(sorted(gaps.items(), key=lambda pair: (-pair[1], pair[0]))),
        failing=failing,
        passing=_passing(evidence, failing, agreeing),
    )


def _passing(evidence: Evidence, failing: Sequence[Exhibit], agreeing: dict[str, list[str]]) -> tuple[Exhibit, ...]:
    if not failing:
        return ()
    typical = set(_WORD.findall(failing[0].question.lower()))
    nearness: list[tuple[float, str]] = []
    for question in agreeing:
        words = set(_WORD.findall(question.lower()))
        shared = len(words & typical)
        if shared:
            nearness.append((-shared / len(words | typical), question))
    nearest = (probe_id for _, question in sorted(nearness) for probe_id in agreeing[question])
    return exhibits(evidence, nearest, PASSING_SHOWN)


def _replies(rows: Sequence[Row]) -> tuple[Reply, ...]:
    by_model: defaultdict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in rows:
        by_model[(row["role"], row["model"])].append(row)
    replies = []
    for role, model in sorted(by_model, key=lambda key: (key[0] != "target", key[1])):
        first, *others = sorted(by_model[(role, model)], key=lambda row: row.get("wording") or 0)
        replies.append(
            Reply(
                role=role,
                model=model,
                text=first["text"],
                problem=first.get("problem"),
                again=tuple(row["text"] for row in others),
            )
        )
    return tuple(replies)
