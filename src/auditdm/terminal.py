"""What a person sees while a run goes: a live table on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import json
import sys
import time
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from rich.console import Console, Group
from rich.live import Live
from rich.table import Column, Table
from rich.text import Text

if TYPE_CHECKING:
    from auditdm.store import Run

_COLUMNS = ("success", "split", "void", "invalid", "distinct", "zero_variance", "seconds")
_EVERY_S = 15.0  # between lines where there is no terminal


class Terminal:
    """Shows the events of a run on standard error.

    Args:
        quiet: Show nothing.
    """

    def __init__(self, *, quiet: bool = False) -> None:
        self._console = Console(stderr=True, quiet=quiet)
        self._live: Live | None = None
        self._stage, self._began, self._said = "", time.perf_counter(), 0.0
        self._steps: deque[Mapping[str, Any]] = deque(maxlen=8)
        self._line = ""
        self._spent: Mapping[str, Mapping[str, Any]] = {}

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live = Live(console=self._console, refresh_per_second=4, transient=True, get_renderable=self._view)
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            self._live.stop()
        if kind is None and self._stage:
            self._end_stage()
        for role, counts in self._spent.items():
            self._say(f"{role} ({counts['model']}): {_spent(counts)}")

    def tell(self, event: str, values: Mapping[str, Any]) -> None:
        """Take one event, such as "stage", "step", "discovered", "lesson" or "spent", with its values."""
        if event == "stage":
            if self._stage:
                self._end_stage()
            self._stage, self._began, self._line = str(values["name"]), time.perf_counter(), ""
            self._steps.clear()
            return
        if event == "step":
            self._steps.append(values)
            self._line = f"step {values['step'] + 1}: " + ", ".join(f"{c} {_short(values[c])}" for c in _COLUMNS)
        elif event == "discovered":
            self._line = (
                f"{values['done']} of {values['of']}: {values['failures']} failures of the last {values['asked']}"
            )
        elif event == "practised":
            self._line = f"{values['done']} of {values['of']} failure modes have enough, {values['asked']} probes"
        elif event == "lesson":
            self._line = f"step {values['step']} of {values['of']}"
        elif event == "evaluated":
            self._line = f"{values['model']} measured"
        elif event == "benchmark":
            value = "not measured" if values["value"] is None else f"{values['value']:.1f}"
            self._line = (
                f"{values['model']}, {values['benchmark']}: {value}, scored {values['scored']} of {values['asked']}"
            )
        elif event == "cycle":
            self._line = (
                f"{values['calls']:,} of {values['of']:,} calls, {values['tested']} names tested, "
                f"{values['confirmed']} confirmed"
            )
        elif event == "replayed":
            self._line = f"{values['model']}: {values['done']} of {values['of']} probes, {values['void']} void"
        elif event == "proposed":
            self._line = f"{values['model']} has written {values['written']:,} proposals"
        elif event == "audited":
            return self._say(f"  {_audited(values)}")
        elif event == "gathered":
            self._line = (
                f"{values['agreed']} of {values['asked']} probes have a consensus, {values['duplicates']} twice"
            )
        elif event == "spent":
            self._spent = values
        if self._live is None and time.perf_counter() - self._said > _EVERY_S:
            self._said = time.perf_counter()
            self._say(f"  {self._stage}: {self._line}")

    def close_with(self, run: Path, summary: Mapping[str, Any], as_json: bool) -> None:
        """The last words: the figures, the ledger, and where the report is."""
        if as_json:
            print(json.dumps(summary))
            return
        from auditdm.runs.ledger_lines import ledger_of, table_of
        from auditdm.store import Run

        out = Console(file=sys.stdout, highlight=False)
        out.print(_figures(summary))
        ledger = ledger_of(Run.read(run))
        if ledger["findings"]:
            out.print("", table_of(ledger), sep="\n")
        where = f"Report:  {run / 'report' / 'index.html'}\nFigures: {run / 'summary.json'}"
        out.print(where, markup=False, soft_wrap=True)

    def _end_stage(self) -> None:
        spent = time.perf_counter() - self._began
        self._say(f"{self._stage}: {spent:.0f} s. {self._line}".rstrip())

    def _say(self, line: str) -> None:
        self._console.print(line, highlight=False, markup=False, soft_wrap=True)

    def _view(self) -> Group:
        spent = time.perf_counter() - self._began
        parts: list[Any] = [Text(f"{self._stage}  {spent:.0f} s  {self._line if not self._steps else ''}")]
        if self._steps:
            table = Table("step", *_COLUMNS, box=None, padding=(0, 2))
            for row in self._steps:
                table.add_row(str(row["step"] + 1), *(_short(row[c]) for c in _COLUMNS))
            parts.append(table)
        return Group(*parts)


def show_plan(plan: Any, as_json: bool) -> None:
    """Who takes part and what every stage costs, on standard output."""
    if as_json:
        print(json.dumps(plan.as_dict()))
        return
    out = Console(file=sys.stdout, highlight=False)
    for role, what in plan.roles.items():
        out.print(f"{role:<16}{what}", markup=False, soft_wrap=True)
    out.print(f"{'pictures':<16}{plan.pictures}, of which {plan.held_back} are kept from training", markup=False)
    table = Table(
        Column("stage", no_wrap=True),
        "steps",
        "replies",
        "pictures, about",
        "answers, at most",
        box=None,
        padding=(0, 2, 0, 0),
    )
    for s in plan.stages:
        table.add_row(s.name, *(f"{n:,}" if n else "-" for n in (s.steps, s.replies, s.pictures, s.answers)))
    out.print(table)
    if plan.estimates:
        told = plan.as_dict()
        for line in ("Estimated:", *map(_cost, told["estimates"]), *_total(told["total"])):
            out.print(line, markup=False, soft_wrap=True)
    for note in plan.notes:
        out.print(f"Note: {note}", markup=False, soft_wrap=True)
    out.print("Nothing was loaded, asked or written.", markup=False)


def _cost(row: Mapping[str, Any]) -> str:
    """What one role takes, from a least to a most."""
    told = [f"{_span(row['calls'])} calls"]
    for key, name in (("tokens_in", "tokens in"), ("tokens_out", "out")):
        told += [f"{_span(row[key])} {name}"] if row[key] is not None else []
    if row["on"] == "endpoint":
        told.append("price not given" if row["usd"] is None else f"{_span(row['usd'])} US dollars")
    else:
        size = "size unknown" if row["billions"] is None else f"{row['billions']:.3g} billion parameters"
        told += [size, "GPU-hours unknown" if row["gpu_hours"] is None else f"{_span(row['gpu_hours'])} GPU-hours"]
    if row["revision"] is not None:
        told.append(f"revision {row['revision'][:12]}")
    return f"{row['role']:<17}{', '.join(told)}"


def _total(total: Mapping[str, Any]) -> list[str]:
    lines = []
    for key, name in (("gpu_hours", "GPU-hours"), ("usd", "US dollars")):
        missing = total[f"{key}_unknown"]
        if total[key] is not None or missing:
            known = "unknown" if total[key] is None else _span(total[key])
            lines.append(
                f"{name}, estimated, without the repair: {known}"
                + f"; not counted: {', '.join(missing)}" * bool(missing)
            )
    return [*lines, "What is assumed stands in auditdm/runs/costing.py; price and throughput of a role replace it."]


def _span(span: Sequence[float]) -> str:
    least, most = (_figure(number) for number in span)
    return least if least == most else f"{least} to {most}"


def _figure(number: float) -> str:
    """Two digits that count, and a word for the rest."""
    for size, word in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= size:
            return f"{float(f'{number / size:.2g}'):g}{word}"
    return f"{float(f'{number:.2g}'):g}" if number >= 0.01 or number == 0 else "<0.01"


def show_checkup(found: Mapping[str, Any], as_json: bool) -> None:
    """What `doctor` found, a line each, on standard output."""
    if as_json:
        print(json.dumps(found))
        return
    out = Console(file=sys.stdout, highlight=False)
    for name, value in found.items():
        if isinstance(value, Mapping):
            for key, inner in value.items():
                told = ", ".join(map(str, inner)) if isinstance(inner, list) else inner
                missing = f"missing {told}" if inner else "complete"
                out.print(f"{name} {key}: {missing if name == 'extras' else told}", markup=False, soft_wrap=True)
        else:
            told = ", ".join(repr(v) for v in value) if isinstance(value, list | tuple) else value
            out.print(f"{name}: {told}", markup=False, soft_wrap=True)


def show_audit(run: Run, page: Path, as_json: bool) -> None:
    """The ledger of a finished run, and where its report is, on standard output."""
    from auditdm.runs.ledger_lines import ledger_of, table_of

    ledger = ledger_of(run)
    if as_json:
        print(json.dumps({"run": str(run.path), "report": str(page), **ledger}))
        return
    out = Console(file=sys.stdout, highlight=False)
    if ledger["findings"]:
        out.print(table_of(ledger))
    elif ledger["findings"] is not None:
        out.print(f"No failure mode was named. The search ended: {ledger['stopped']}.", markup=False, soft_wrap=True)
    out.print(f"Run: {run.path}\nReport: {page}", markup=False, soft_wrap=True)


def show_replay(told: Mapping[str, Any], as_json: bool) -> None:
    """Findings by models, with intervals, and whose each finding is, on standard output."""
    if as_json:
        print(json.dumps(told))
        return
    from auditdm.runs.replay_matrix import lines_of, table_of

    out = Console(file=sys.stdout, highlight=False)
    out.print(table_of(told))
    for line in lines_of(told):
        out.print(line, markup=False, soft_wrap=True)


def _audited(values: Mapping[str, Any]) -> str:
    """One audit of the self-test."""
    audit = values["audit"]
    own = [gap for gap in audit.planted if not gap["shared_with"]]
    found = sum(gap["found_as"] is not None for gap in own)
    false = sum(report["gap"] is None or report["shared"] for report in audit.reports)
    gaps = f"{found} of {len(own)} planted gaps found, " if own else ""
    return (
        f"{values['organism']}, seed {values['seed']}: {gaps}{false} false reports, "
        f"{audit.found.calls:,} calls, {audit.seconds:.1f} s"
    )


_SELFTEST = {  # the figures of sandbox/selftest.py, and what each is out of
    "gap_recall": "planted gaps found",
    "gap_fdr": "reports that stand for no planted gap",
    "outside_every_gap": "reports that lie outside every planted gap",
    "shared_reported_as_own": "shared gaps reported as its own",
    "predicate_exact": "names that hold of the same probes",
    "interval_coverage": "intervals that hold the true rate",
    "true_failure_precision": "claimed failures that are true",
    "validity_of_claims": "claimed failures on valid questions",
    "canary_share": "rewarded probes without an answer",
}


def show_selftest(found: Mapping[str, Any], as_json: bool) -> None:
    """The figures of a self-test with what they are out of, then what was missed and what was made up."""
    if as_json:
        print(json.dumps(found))
        return
    out = Console(file=sys.stdout, highlight=False)
    names = Column("figure", overflow="fold")
    figures = (Column(name, justify="right", no_wrap=True) for name in ("value", "hits / asked", "95% interval"))
    table = Table(names, *figures, box=None, padding=(0, 2, 0, 0))
    for key, name in _SELFTEST.items():
        table.add_row(name, *_rate(found[key]))
        if key == "gap_recall":
            for kind, rate in found["gap_recall_by"].items():
                table.add_row(f"  {kind}", *_rate(rate))
    for key, name in (("clean_twin_reports", "no gap was planted"), ("distractor_reports", "only the style is odd")):
        told = found[key]
        table.add_row(f"reports where {name}", str(told["reports"]), f"audits: {told['audits']}", "")
    per_gap = found["calls_per_confirmed_gap"]
    table.add_row("target calls per gap found", "-" if per_gap is None else f"{per_gap:,.0f}", "", "")
    table.add_row(
        "target calls of an audit", f"{found['calls']['median']:,.0f}", "", f"at most {found['calls']['most']:,}"
    )
    out.print(table)
    for line in (*_missed(found["audits"]), *_made_up(found["audits"])):
        out.print(line, markup=False, soft_wrap=True)


def _rate(rate: Mapping[str, Any]) -> tuple[str, str, str]:
    between = f"{rate['ci95'][0]:.3f} to {rate['ci95'][1]:.3f}" if rate["ci95"] else "-"
    value = "-" if rate["value"] is None else f"{rate['value']:.3f}"
    return value, f"{rate['hits']} / {rate['asked']}", between


def _missed(audits: Sequence[Mapping[str, Any]]) -> list[str]:
    """Each planted gap that was not found, with the seeds on which it was not."""
    missed: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for audit in audits:
        for gap in audit["planted"]:
            if gap["found_as"] is None and not gap["shared_with"]:
                missed.setdefault((audit["organism"], gap["gap"]), []).append({**gap, "seed": audit["seed"]})
    lines = [
        f"missed on {_seeds(gaps)}: {organism}: {name} ({gaps[0]['where']}; error {gaps[0]['error']:g}, "
        f"prevalence {gaps[0]['prevalence']:.1%}, best overlap {max(g['jaccard'] for g in gaps):.2f})"
        for (organism, name), gaps in missed.items()
    ]
    return lines or ["No planted gap was missed."]


def _made_up(audits: Sequence[Mapping[str, Any]]) -> list[str]:
    """Each report that stands for no planted gap, or for one that is not the target's own."""
    lines = []
    for audit in audits:
        for report in audit["reports"]:
            if report["gap"] is None or report["shared"]:
                rate, told = report["rate"], f"shares {report['gap']!r} with a reference"
                why = told if report["shared"] else "stands for no planted gap"
                lines.append(
                    f"false report on seed {audit['seed']}: {audit['organism']}: {report['predicate']} "
                    f"({rate['hits']} of {rate['asked']}; {why})"
                )
    return lines or ["No report was false."]


def _seeds(gaps: Sequence[Mapping[str, Any]]) -> str:
    seeds = ", ".join(str(gap["seed"]) for gap in gaps)
    return f"seed {seeds}" if len(gaps) == 1 else f"seeds {seeds}"


def _short(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _spent(counts: Mapping[str, Any]) -> str:
    """What an endpoint was asked for, over all sessions of a run."""
    price, silent = counts["price_usd"], counts["replies"] - counts["counted"]
    return ", ".join(
        [
            f"{counts['requests']:,} requests ({counts['retries']:,} of them repeated)",
            f"{counts['tokens_in']:,} tokens in",
            f"{counts['tokens_out']:,} out" + (f" ({silent:,} replies told none)" if silent else ""),
            "price not given" if price is None else f"${price:,.2f}",
        ]
    )


def _figures(summary: Mapping[str, Any]) -> Table:
    table = Table("figure", "value", "hits / asked", "95% interval", box=None, padding=(0, 2))
    for name, found in summary.items():
        if isinstance(found, Mapping) and {"value", "hits", "asked"} <= found.keys():
            between = "-" if not found.get("ci95") else f"{found['ci95'][0]:.2f} to {found['ci95'][1]:.2f}"
            table.add_row(name, _short(found["value"]), f"{found['hits']} / {found['asked']}", between)
        elif isinstance(found, int | float):
            table.add_row(name, str(found), "", "")
    return table
