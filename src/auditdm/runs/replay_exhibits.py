"""What the report shows of `replays.json`: the findings on other models.

Read by names, so that a key more or less spoils nothing; what is not there is None.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from auditdm.runs.yardsticks import rate_of
from auditdm.stats import Rate


@dataclass(frozen=True, kw_only=True)
class Seen:
    """One finding on one model."""

    inside: Rate | None  # failures on the finding's fresh probes
    beside: Rate | None  # the same model's on other questions about the same pictures
    verdict: str  # of the target confirmed; shared, not shared, undecided or void
    reason: str


@dataclass(frozen=True, kw_only=True)
class Alike:
    """How alike two models fail on the findings' probes."""

    first: str
    second: str
    agree: Rate | None
    kappa: float | None
    interval: tuple[float, float] | None


@dataclass(frozen=True, kw_only=True)
class Replayed:
    """The matrix of findings by models."""

    models: tuple[str, ...]  # the target first
    cells: dict[str, tuple[Seen | None, ...]]  # by finding, a cell for each model; None: not asked
    whose: dict[str, str]  # by finding, in words; only where other models were asked
    pairs: tuple[Alike, ...]


def replayed(told: object) -> Replayed | None:
    """Read `replays.json`; None where there is none, or no model in it."""
    found = told if isinstance(told, Mapping) else {}
    columns = [m for m in _rows(found.get("models")) if m.get("name") or m.get("model")]
    if not columns:
        return None
    findings = [row for row in _rows(found.get("findings")) if row.get("id")]
    others = any(m.get("role") == "other" for m in columns)
    return Replayed(
        models=tuple(str(m.get("name") or m["model"]) for m in columns),
        cells={str(row["id"]): _cells(row.get("cells"), len(columns)) for row in findings},
        whose={str(row["id"]): str(row["whose"]) for row in findings if row.get("whose") and others},
        pairs=tuple(_alike(row) for row in _rows(found.get("similarity")) if row.get("first") and row.get("second")),
    )


def _cells(told: object, count: int) -> tuple[Seen | None, ...]:
    """One for each model, whatever is there."""
    listed = list(told)[:count] if isinstance(told, list) else []
    return tuple(_seen(cell) for cell in [*listed, *[None] * (count - len(listed))])


def _seen(told: object) -> Seen | None:
    if not isinstance(told, Mapping):
        return None
    return Seen(
        inside=rate_of(told.get("inside")),
        beside=rate_of(told.get("beside")),
        verdict=str(told.get("verdict") or "undecided"),
        reason=str(told.get("reason") or ""),
    )


def _alike(row: Mapping[str, object]) -> Alike:
    kappa, between = row.get("kappa"), row.get("ci95")
    measured = isinstance(between, Sequence) and len(between) == 2
    return Alike(
        first=str(row["first"]),
        second=str(row["second"]),
        agree=rate_of(row.get("agree")),
        kappa=float(kappa) if isinstance(kappa, int | float) else None,
        interval=(float(between[0]), float(between[1])) if measured and isinstance(between, Sequence) else None,
    )


def _rows(told: object) -> list[Mapping[str, object]]:
    return [row for row in told if isinstance(row, Mapping)] if isinstance(told, list) else []
