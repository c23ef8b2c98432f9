"""What the report shows of the ledger: every tested mode with its figures, its exemplars and what makes it fail.

Reads rows, writes nothing. A run from before there was a ledger has no such rows: then nothing is said here, and the
page says that the run has not been confirmed.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from auditdm.errors import StoreError
from auditdm.method.attributes import form_of
from auditdm.method.predicate import Predicate
from auditdm.runs.exhibits import Evidence, Exhibit, Row, exhibit, exhibits
from auditdm.runs.tallies import Change, change
from auditdm.stats import Rate

STATES = {  # in the order of the page, each with what it means
    "confirmed": "On fresh probes it fails more often than the target does on the same pictures, than random groups of "
    "its size do, and again when asked in other words. Only these are findings.",
    "not confirmed": "It does not, or another tested mode tells better what fails here.",
    "too few": "Too few fresh probes could be measured to say anything.",
    "consensus unreliable": "The references disagree inside it far more often than elsewhere: whose fault it is is not "
    "known.",
    "noise": "It fails, but not again when asked in other words.",
}
SHOWN = {"confirmed": 6}  # exemplars of a kind; of a mode that is no finding
SHOWN_OTHERWISE = 3
LEAST_OF_WAY = 5  # fresh probes asked in one way, from which on they get a line of their own
PAIRS_WANTED = 20  # edits of each kind before a cause is called consistent


@dataclass(frozen=True, kw_only=True)
class Pair:
    """A probe before and after one edit."""

    before: Exhibit
    after: Exhibit
    command: str  # a model's words: untrusted
    changed_share: float | None  # of the pixels
    flipped: bool | None  # between failure and agreement; None: not measured


@dataclass(frozen=True, kw_only=True)
class Cause:
    """What edits say about a mode."""

    relevant: Rate | None  # flips among edits that take the probe out of the mode; None: no such edit
    control: Rate | None  # flips among edits that leave it inside
    minimal: Pair | None  # the smallest relevant edit that flips
    beside: Pair | None  # a control edit, on the same probe where there is one

    @property
    def enough(self) -> bool:
        """Whether both kinds were measured on as many pairs as a consistent cause needs."""
        return all(kind is not None and kind.asked >= PAIRS_WANTED for kind in (self.relevant, self.control))


@dataclass(frozen=True, kw_only=True)
class Tested:
    """One line of the ledger, and what its page shows."""

    id: str
    name: str
    conditions: tuple[str, ...]  # the predicate, one condition each; empty where it cannot be read
    state: str
    reason: str
    rate: Rate | None  # failures, of fresh probes inside; None: nothing was asked
    base: Rate | None  # of other questions on the same pictures
    above: Change | None  # the first minus the second
    splits: Rate | None  # no consensus, of what was posed inside
    again: Rate | None  # failed again in other words, of the failures that were asked again
    decoys: int | None  # failures that one random group in a hundred of this size exceeds
    floor: float | None  # the same as a share
    p: float | None
    q: float | None
    failing: tuple[Exhibit, ...]
    passing: tuple[Exhibit, ...]
    failed_again: dict[str, bool]  # by probe, those that were asked again
    ways: tuple[tuple[str, Rate], ...]  # failures by way of asking, most asked first; empty where there is one
    cause: Cause | None  # None: no edit was tried

    @property
    def confirmed(self) -> bool:
        """Whether it is a finding."""
        return self.state == "confirmed"


def ledger_modes(evidence: Evidence) -> tuple[Tested, ...]:
    """Every mode of the ledger: findings first, those that surely fail most before others; then state by state.

    Raises:
        StoreError: A row counts more failures than probes.

    Cost: the ledger's rows, and one look at `confirmations` and `causes`.
    """
    fresh: defaultdict[str, list[Row]] = defaultdict(list)
    for row in evidence.tables["confirmations"]:
        fresh[row["finding_id"]].append(row)
    edits: defaultdict[str, list[Row]] = defaultdict(list)
    for row in evidence.tables["causes"]:
        edits[row["finding_id"]].append(row)
    modes = [_tested(evidence, row, fresh[row["id"]], edits[row["id"]]) for row in evidence.tables["findings"]]
    known = list(STATES)
    return tuple(sorted(modes, key=lambda m: (known.index(m.state) if m.state in known else len(known), -_sure(m))))


def state_counts(modes: Sequence[Tested]) -> dict[str, int]:
    """How many modes are in each state, in the order of `STATES`; a state that nobody knows comes last."""
    counted = Counter(mode.state for mode in modes)
    return {state: counted[state] for state in (*STATES, *sorted(counted.keys() - STATES.keys())) if counted[state]}


def _sure(mode: Tested) -> float:
    """The lower end of a finding's interval; the others stay in the order of testing."""
    return mode.rate.interval[0] if mode.confirmed and mode.rate and mode.rate.interval else 0.0


def _tested(evidence: Evidence, row: Row, fresh: Sequence[Row], edits: Sequence[Row]) -> Tested:
    inside = [r for r in fresh if r["role"] == "inside"]
    failed, passed = ([r["probe_id"] for r in inside if r["failed"] is said] for said in (True, False))
    most = SHOWN.get(row["state"], SHOWN_OTHERWISE)
    rate, base = _rate(row, "hits", "asked", row.get("void")), _rate(row, "base_hits", "base_asked")
    floor = row.get("decoy_floor")
    return Tested(
        id=row["id"],
        name=row.get("name") or "a mode without a name",
        conditions=_conditions(row.get("predicate")),
        state=row.get("state") or "not told",
        reason=row.get("reason") or "",
        rate=rate,
        base=base,
        above=change(base, rate),
        splits=_rate(row, "splits", "posed"),
        again=_rate(row, "again_hits", "again_asked"),
        decoys=round(floor * rate.asked) if floor is not None and rate is not None and rate.asked else None,
        floor=floor,
        p=row.get("p"),
        q=row.get("q"),
        failing=exhibits(evidence, row.get("failing") or failed, most),
        passing=exhibits(evidence, row.get("passing") or passed, most),
        failed_again={r["probe_id"]: r["failed_again"] for r in inside if r["failed_again"] is not None},
        ways=_ways(evidence, inside),
        cause=_cause(evidence, edits) if edits else None,
    )


def _ways(evidence: Evidence, inside: Sequence[Row]) -> tuple[tuple[str, Rate], ...]:
    """How often it fails by way of asking: one name may hold of several, such as digits and clocks that read 7."""
    said: defaultdict[str, list[bool]] = defaultdict(list)
    for row in inside:
        if row["failed"] is not None and row["probe_id"] in evidence.probe:
            said[form_of(evidence.probe[row["probe_id"]]["question"])].append(row["failed"])
    often = sorted((way for way in said if len(said[way]) >= LEAST_OF_WAY), key=lambda way: (-len(said[way]), way))
    return tuple((way, Rate(sum(said[way]), len(said[way]))) for way in often) if len(often) > 1 else ()


def _conditions(predicate: str | None) -> tuple[str, ...]:
    try:
        return tuple(literal.words() for literal in Predicate.from_json(predicate or "[]").literals)
    except (ValueError, KeyError, TypeError):  # of another version, or not ours: the name says it
        return ()


def _rate(row: Row, hits: str, asked: str, void: int | None = None) -> Rate | None:
    if row.get(hits) is None or row.get(asked) is None:
        return None
    if not 0 <= row[hits] <= row[asked]:
        raise StoreError(
            f"findings row {row['id']} has {hits} = {row[hits]} of {asked} = {row[asked]}. Remove tables/findings and "
            "give the same command again: it is made anew."
        )
    return Rate(hits=row[hits], asked=row[asked], void=void or 0)


def _cause(evidence: Evidence, edits: Sequence[Row]) -> Cause:
    pairs: dict[str, list[Pair]] = {"relevant": [], "control": []}
    flips: dict[str, list[bool | None]] = {"relevant": [], "control": []}
    for row in sorted(edits, key=lambda r: (r.get("changed_share") is None, r.get("changed_share") or 0.0, r["id"])):
        if row["kind"] not in pairs:
            continue
        flips[row["kind"]].append(row["flipped"])
        before, after = exhibit(evidence, row["before"]), exhibit(evidence, row["after"])
        if before is not None and after is not None:
            pairs[row["kind"]].append(
                Pair(
                    before=before,
                    after=after,
                    command=row.get("command") or "",
                    changed_share=row.get("changed_share"),
                    flipped=row["flipped"],
                )
            )
    minimal = next((pair for pair in pairs["relevant"] if pair.flipped), None)
    controls = sorted(
        pairs["control"],  # already the smallest edit first
        key=lambda c: (minimal is None or c.before.id != minimal.before.id, c.flipped is None),
    )
    return Cause(
        relevant=_flips(flips["relevant"]),
        control=_flips(flips["control"]),
        minimal=minimal,
        beside=next(iter(controls), None),
    )


def _flips(said: Sequence[bool | None]) -> Rate | None:
    measured = [s for s in said if s is not None]
    return Rate(hits=sum(measured), asked=len(measured), void=len(said) - len(measured)) if said else None
