"""The matrix of findings by models: what it is made from, and how it is told.

Source: ours; `method.transfer` says what the verdicts mean.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from rich.table import Column, Table
from rich.text import Text

from auditdm.errors import AuditError
from auditdm.method.transfer import Outcomes, alike, column, excess, similarity, whose
from auditdm.method.verdict import abstains
from auditdm.stats import Rate
from auditdm.store import Run

_NAME = 20  # letters of a model's name that stand in the table


@dataclass(frozen=True, kw_only=True)
class Posed:
    """One probe of a finding, with what the references said."""

    id: str
    picture: str
    question: str
    consensus: str
    others: tuple[str, ...]  # what references answered in other words, or outvoted


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One model: who it is, and on which probes it fails."""

    model: str
    revision: str | None
    role: str  # "target", "reference" or "other"
    failed: Outcomes
    problem: str | None = None  # why the first of its silences


@dataclass(frozen=True, kw_only=True)
class Material:
    """What a run has to replay."""

    findings: tuple[Mapping[str, Any], ...]  # the confirmed rows of the ledger
    inside: Mapping[str, tuple[str, ...]]  # by finding: probes with a consensus
    beside: Mapping[str, tuple[str, ...]]
    posed: Mapping[str, Posed]
    target: Asked
    references: Mapping[tuple[str, str | None], Mapping[str, str]]  # by name and revision: answers by probe


def material_of(run: Run) -> Material:
    """Read the confirmed findings of a run, their fresh probes with a consensus, and what the references answered.

    Raises:
        AuditError: The run has no findings, or none was confirmed; says how to get some.
    """
    ledger = run.rows("findings")
    if not ledger:
        raise AuditError(
            f"{run.path}: has no table findings: it named and confirmed no failure modes, or was made before audits did. "
            f"Audit again into a new folder: auditdm audit {run.path / 'config.yaml'} --run NEW"
        )
    confirmed = tuple(row for row in ledger if row["state"] == "confirmed")
    if not confirmed:
        states = sorted({row["state"] for row in ledger})
        raise AuditError(
            f"{run.path}: {len(ledger)} failure modes were tested and none was confirmed ({', '.join(states)}), so there "
            "is nothing to replay. The report tells why of each; a larger budget of the search may confirm some."
        )
    ids = {row["id"] for row in confirmed}
    fresh = [row for row in run.rows("confirmations") if row["finding_id"] in ids]
    wanted = {row["probe_id"] for row in fresh}
    agreed = {r["id"]: r["consensus"] for r in run.rows("verdicts") if r["id"] in wanted and r["consensus"] is not None}
    answers = [r for r in run.rows("answers") if r["probe_id"] in agreed and r["wording"] == 0]
    others: dict[str, dict[str, None]] = {probe: {} for probe in agreed}
    references: dict[tuple[str, str | None], dict[str, str]] = {}
    for r in answers:
        if r["role"] == "reference" and r["text"] is not None:
            references.setdefault((r["model"], r["revision"]), {})[r["probe_id"]] = r["text"]
            if r["text"] != agreed[r["probe_id"]] and not abstains(r["text"]):
                others[r["probe_id"]][r["text"]] = None
    failed: dict[str, bool | None] = {}
    for row in fresh:
        if row["probe_id"] in agreed and failed.get(row["probe_id"]) is None:
            failed[row["probe_id"]] = row["failed"]
    own = next(
        (r for r in answers if r["role"] == "target"), {"model": run.config["target"]["model"], "revision": None}
    )

    def of(role: str) -> dict[str, tuple[str, ...]]:
        return {
            f["id"]: tuple(
                r["probe_id"]
                for r in fresh
                if r["finding_id"] == f["id"] and r["role"] == role and r["probe_id"] in agreed
            )
            for f in confirmed
        }

    return Material(
        findings=confirmed,
        inside=of("inside"),
        beside=of("beside"),
        posed={
            r["id"]: Posed(
                id=r["id"], picture=r["picture_id"], question=r["question"], consensus=agreed[r["id"]],
                others=tuple(others[r["id"]]),
            )
            for r in run.rows("probes") if r["id"] in agreed
        },
        target=Asked(model=own["model"], revision=own["revision"], role="target", failed=failed),
        references=references,
    )  # fmt: skip


def matrix(material: Material, columns: Sequence[Asked]) -> dict[str, Any]:
    """Findings by models, as `replays.json` has it.

    Args:
        material: Of the run.
        columns: The target first.
    """
    names, findings = _names(columns), [f["id"] for f in material.findings]
    rates = [
        [(_rate(material.inside[f], c.failed), _rate(material.beside[f], c.failed)) for f in findings] for c in columns
    ]
    cells: list[list[dict[str, Any]]] = []
    for c, measured in zip(columns, rates, strict=True):
        judged = [cell.as_dict() for cell in column(measured, rates[0])]
        if c.role == "target":
            judged = [cell | {"verdict": "confirmed", "reason": f["reason"], "p": f["p"], "q": f["q"]}
                      for cell, f in zip(judged, material.findings, strict=True)]  # fmt: skip
        elif c.role == "reference":  # it agrees with itself
            judged = [cell if cell["verdict"] == "void" else cell | {"verdict": "undecided",
                      "reason": "its own answers are part of the consensus"} for cell in judged]  # fmt: skip
        cells.append(judged)
    others = [n for n, c in enumerate(columns) if c.role == "other"]
    group = alike([[excess(*rates[n][f]) for n in others] for f in range(len(findings))])
    picture_of = {p.id: p.picture for p in material.posed.values()}
    return {
        "models": [
            {"name": name, "model": c.model, "revision": c.revision, "role": c.role, "problem": c.problem,
             "measured": sum(f is not None for f in c.failed.values()),
             "void": sum(f is None for f in c.failed.values()),
             "verdicts": dict(Counter(cell["verdict"] for cell in of))}
            for name, c, of in zip(names, columns, cells, strict=True)
        ],
        "findings": [
            {"id": row["id"], "name": row["name"], "group": group[f] if others else None,
             "whose": whose({names[n]: cells[n][f]["verdict"] for n in others}),
             "cells": [of[f] for of in cells]}
            for f, row in enumerate(material.findings)
        ],
        "similarity": [
            {"first": names[i], "second": names[j], **similarity(columns[i].failed, columns[j].failed, picture_of).as_dict()}
            for i, j in combinations([n for n, c in enumerate(columns) if c.role != "reference"], 2)
        ],
    }  # fmt: skip


def _names(columns: Sequence[Asked]) -> list[str]:
    """The specs, with the revision where two share one."""
    specs = [c.model for c in columns]
    return [c.model if specs.count(c.model) == 1 else f"{c.model}@{(c.revision or 'unknown')[:12]}" for c in columns]


def _rate(probes: Sequence[str], failed: Outcomes) -> Rate:
    asked = [failed[p] for p in probes if p in failed]
    return Rate(sum(f is True for f in asked), sum(f is not None for f in asked), asked.count(None))


# --- in words


def table_of(told: Mapping[str, Any]) -> Table:
    """A row for each finding and model, for a terminal: failures inside and beside, and how many more inside.

    Findings have numbers, those of `lines_of`, and of long names of models the end is told, so that eighty columns are enough.

    Args:
        told: What `replays.json` holds.
    """
    figures = (Column(n, justify="right", no_wrap=True) for n in ("fails", "beside", "excess, 95%"))
    table = Table(
        Column("", no_wrap=True), Column("model", overflow="fold"), *figures, Column("verdict", no_wrap=True), box=None,
        padding=(0, 2, 0, 0),
    )  # fmt: skip
    for number, finding in enumerate(told["findings"], start=1):
        for n, (model, cell) in enumerate(zip(told["models"], finding["cells"], strict=True)):
            table.add_row(
                "" if n else str(number), Text(_end_of(model["name"])), _share(cell["inside"]), _share(cell["beside"]),
                _between(cell["excess"]["ci95"], "+"), cell["verdict"],
            )  # fmt: skip
    return table


def lines_of(told: Mapping[str, Any]) -> list[str]:
    """Whose each finding is, what became of each model, and how alike two of them fail.

    Args:
        told: What `replays.json` holds.
    """
    lines = [f"{n}  {finding['name']}: {finding['whose']}" for n, finding in enumerate(told["findings"], start=1)]
    for model in told["models"]:
        counts = ", ".join(f"{count} {verdict}" for verdict, count in model["verdicts"].items())
        silent = f"; {model['void']} void: {model['problem'] or 'the judge cannot tell'}" if model["void"] else ""
        lines.append(f"{model['name']}: of {len(told['findings'])} findings {counts}{silent}")
    for pair in told["similarity"]:
        agree, names = pair["agree"], f"{pair['first']} and {pair['second']}"
        kappa = (
            f"kappa {pair['kappa']:.2f} [{_between(pair['ci95'], '', '.2f')}]"
            if pair["kappa"] is not None
            else "kappa not defined: one of them fails never or always"
        )
        lines.append(f"{names}: pass and fail alike on {agree['hits']} of {agree['asked']} probes; {kappa}")
    return lines


def _end_of(name: str) -> str:
    return name if len(name) <= _NAME else "..." + name[3 - _NAME :]


def _share(rate: Mapping[str, Any]) -> str:
    if rate["value"] is None:  # never to be read as no failures
        return f"{rate['void']} void"
    return f"{rate['hits']}/{rate['asked']}" + (f", {rate['void']} void" if rate["void"] else "")


def _between(interval: Sequence[float] | None, sign: str, form: str = ".0%") -> str:
    return "-" if interval is None else " to ".join(f"{end:{sign}{form}}" for end in interval).replace("%", "", 1)
