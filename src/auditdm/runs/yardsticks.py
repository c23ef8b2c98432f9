"""What stands beside the findings: how the search went, how far references and auditor can be believed, other models.

Each comes from a JSON file that a run may lack; a file that is not there, and a figure that it does not hold, is None
and 'not measured' on the page.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from auditdm.stats import Rate

SELFTEST_RATES = {  # the names of `auditdm selftest`, with what each is out of
    "gap_recall": ("Planted gaps found", "of the planted gaps that no reference shares"),
    "gap_fdr": ("Reports that stand for no gap", "of its reports; second pieces of a gap are among them"),
    "outside_every_gap": ("False alarms", "of its reports, those outside every planted gap"),
    "shared_reported_as_own": ("Shared gaps reported as the target's own", "of planted gaps that a reference shares"),
    "predicate_exact": ("Named as planted", "of the gaps found, those whose name holds of the same probes"),
    "interval_coverage": ("Intervals that hold the true rate", "of its reports; 95% is meant"),
    "true_failure_precision": ("True failures", "of the failures that it claimed"),
    "validity_of_claims": ("On answerable questions", "of the failures that it claimed"),
    "canary_share": ("Canaries", "questions without an answer, of all that was rewarded"),
}


@dataclass(frozen=True, kw_only=True)
class Searched:
    """How the search for modes went."""

    calls: int | None  # of the target
    curve: tuple[tuple[int, int], ...]  # target calls, modes confirmed by then
    unseen: float | None  # Good and Turing's chance that the next failure is of a new kind
    usual: Rate | None  # failures among probes that nobody chose
    met: Rate | None  # failures among all probes of the search
    stopped: str | None

    @property
    def singles(self) -> int | None:
        """Failures, on probes that nobody chose, of a kind met once: the numerator of `unseen`."""
        if self.unseen is None or self.usual is None or not self.usual.hits:
            return None
        return round(self.unseen * self.usual.hits)


@dataclass(frozen=True, kw_only=True)
class Voter:
    """One reference."""

    model: str
    kept: Rate | None  # its answer, asked in other words
    deviates: Rate | None  # from the others where they agree
    abstains: Rate | None


@dataclass(frozen=True, kw_only=True)
class Expected:
    """How often a consensus is expected to be wrong, estimated without labels."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Reliability:
    """The references as an instrument."""

    probes: int | None  # that the estimate rests on
    agreeing: int | None  # have to agree
    of: int | None
    votes: float | None  # independent votes that they are worth together
    expected: Expected | None
    voters: tuple[Voter, ...]
    oracle: Rate | None  # consensuses that were wrong by the sandbox's truth; None outside the sandbox

    @property
    def kept(self) -> Rate | None:
        """Answers kept in other words, all references together."""
        known = [voter.kept for voter in self.voters if voter.kept is not None]
        if not sum(rate.asked for rate in known):
            return None
        return Rate(hits=sum(r.hits for r in known), asked=sum(r.asked for r in known), void=sum(r.void for r in known))


@dataclass(frozen=True, kw_only=True)
class Selftest:
    """What the search found of gaps that were planted, and how often it cried wolf."""

    rates: dict[str, Rate | None]  # by the keys of SELFTEST_RATES
    recall_by: tuple[tuple[str, Rate], ...]  # by kind of gap
    clean: tuple[int, int] | None  # reports, audits of targets without any gap
    odd: tuple[int, int] | None  # the same where only the style is odd
    calls_per_gap: float | None
    audits: int | None


@dataclass(frozen=True, kw_only=True)
class Span:
    """A figure over several runs."""

    median: float
    least: float
    most: float


@dataclass(frozen=True, kw_only=True)
class Rung:
    """One way to audit, at as many target calls as the others."""

    name: str
    runs: int | None
    spans: dict[str, Span | None]  # by the ladder's figures


@dataclass(frozen=True, kw_only=True)
class Ladder:
    """Ways to audit side by side."""

    figures: tuple[str, ...]
    rungs: tuple[Rung, ...]

    def top(self, figure: str) -> float:
        """The end of the figure's axis: 1 for what looks like shares, else the largest value."""
        most = max((span.most for rung in self.rungs if (span := rung.spans[figure])), default=0.0)
        return most if most > 1 else 1.0


def searched(told: object) -> Searched | None:
    """Read `search.json`; None where there is none."""
    if not isinstance(told, Mapping) or not told:
        return None
    curve = tuple((int(point[0]), int(point[1])) for point in told.get("curve") or ())
    return Searched(
        calls=_count(told.get("calls")),
        curve=curve if not curve or curve[0][0] == 0 else ((0, 0), *curve),
        unseen=_real(told.get("unseen")),
        usual=rate_of(told.get("usual")),
        met=rate_of(told),
        stopped=str(told["stopped"]) if told.get("stopped") else None,
    )


def reliability(told: object) -> Reliability | None:
    """Read `references.json`; None where there is none."""
    if not isinstance(told, Mapping) or not told:
        return None
    used = _mapping(told.get("used"))
    panel = _mapping(told.get("panel"))
    expected = next(
        (e for e in _mappings(told.get("expected")) if e.get("agreeing") == used.get("agreeing")),
        {},
    )
    oracle = _mapping(_mapping(told.get("oracle")).get("all"))
    return Reliability(
        probes=_count(panel.get("measured")),
        agreeing=_count(used.get("agreeing")),
        of=_count(used.get("of")),
        votes=_real(panel.get("votes")),
        expected=_expected(expected),
        voters=tuple(
            Voter(
                model=str(row.get("model") or "a reference without a name"),
                kept=rate_of(row.get("kept")),
                deviates=rate_of(row.get("deviates")),
                abstains=rate_of(row.get("abstains")),
            )
            for row in _mappings(told.get("references"))
        ),
        oracle=rate_of(oracle.get("false_consensus")),
    )


def selftested(told: object) -> Selftest | None:
    """Read `selftest.json`; None where there is none."""
    if not isinstance(told, Mapping) or not told:
        return None
    kinds = _mapping(told.get("gap_recall_by"))
    return Selftest(
        rates={name: rate_of(told.get(name)) for name in SELFTEST_RATES},
        recall_by=tuple((str(kind), rate) for kind, found in kinds.items() if (rate := rate_of(found)) is not None),
        clean=_reports(told.get("clean_twin_reports")),
        odd=_reports(told.get("distractor_reports")),
        calls_per_gap=_real(told.get("calls_per_confirmed_gap")),
        audits=len(told["audits"]) if isinstance(told.get("audits"), list) else None,
    )


def ladder(told: object) -> Ladder | None:
    """Read `ladder.json`; None where there is none, or no rung in it."""
    rows = [row for row in _mappings(told) if row.get("rung")]
    figures = tuple(dict.fromkeys(str(name) for row in rows for name in _mapping(row.get("figures"))))
    rungs = tuple(
        Rung(
            name=str(row["rung"]),
            runs=_count(row.get("n")),
            spans={name: _span(_mapping(row.get("figures")).get(name)) for name in figures},
        )
        for row in rows
    )
    return Ladder(figures=figures, rungs=rungs) if rungs else None


@dataclass(frozen=True, kw_only=True)
class InWords:
    """A finding as a model puts it, and of which of its fresh probes another says that it holds."""

    words: str | None  # a model's: untrusted. None: there are none
    why: str
    of_failing: Rate | None
    of_passing: Rate | None
    proposer: str
    ranker: str


def in_words(told: object) -> dict[str, InWords]:
    """Read `words.json`, by finding; empty where there is none."""
    found: dict[str, InWords] = {}
    for finding, one in _mapping(told).items():
        row = _mapping(one)
        words = row.get("words")
        found[str(finding)] = InWords(
            words=words if isinstance(words, str) else None,
            why=str(row.get("why") or ""),
            of_failing=rate_of(row.get("of_failing")),
            of_passing=rate_of(row.get("of_passing")),
            proposer=str(row.get("proposer") or "a model"),
            ranker=str(row.get("ranker") or "a model"),
        )
    return found


def rate_of(told: object) -> Rate | None:
    """A rate as every JSON file of a run has it; None where it is not there or says more hits than asked."""
    found = _mapping(told)
    hits, asked, void = _count(found.get("hits")), _count(found.get("asked")), _count(found.get("void"))
    if hits is None or asked is None or not 0 <= hits <= asked:
        return None
    return Rate(hits=hits, asked=asked, void=max(0, void or 0))


def _expected(told: Mapping[str, Any]) -> Expected | None:
    value, between = _real(told.get("value")), told.get("interval")
    if value is None or not isinstance(between, Sequence) or len(between) != 2:
        return None
    return Expected(value=value, low=float(between[0]), high=float(between[1]))


def _reports(told: object) -> tuple[int, int] | None:
    reports, audits = (_count(_mapping(told).get(name)) for name in ("reports", "audits"))
    return None if reports is None or not audits else (reports, audits)


def _span(told: object) -> Span | None:
    median, least, most = (_real(_mapping(told).get(name)) for name in ("median", "least", "most"))
    if median is None:
        return None
    return Span(median=median, least=median if least is None else least, most=median if most is None else most)


def _mapping(told: object) -> Mapping[str, Any]:
    return told if isinstance(told, Mapping) else {}


def _mappings(told: object) -> list[Mapping[str, Any]]:
    return [row for row in told if isinstance(row, Mapping)] if isinstance(told, list) else []


def _count(told: object) -> int | None:
    return told if isinstance(told, int) and not isinstance(told, bool) else None


def _real(told: object) -> float | None:
    return float(told) if isinstance(told, int | float) and not isinstance(told, bool) else None
