"""What the endpoints of a run were asked for, and what that cost: RUN/usage.json, a sum over all of its sessions."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, fields, is_dataclass
from typing import Any

from auditdm.errors import StoreError
from auditdm.store import Run

COUNTS = ("requests", "retries", "replies", "counted", "tokens_in", "tokens_out")


class Spending:
    """Keeps an eye on what endpoint models were asked for, role by role.

    A model that counts nothing (one in this process, a rule) is passed over.
    """

    def __init__(self) -> None:
        self._watched: list[tuple[str, Any]] = []
        self._kept: Mapping[int, Mapping[str, Any]] = {}  # what of each model's counts is in the file already

    def watch(self, role: str, model: object) -> None:
        """Count a model under its role from now on; several may have one role, such as the auditors of two arms."""
        told = getattr(model, "usage", None)
        counts = is_dataclass(told) and {*COUNTS, "price_usd"} <= {field.name for field in fields(told)}
        if counts and not any(known is model for _, known in self._watched):
            self._watched.append((role, model))

    def keep(self, run: Run) -> dict[str, dict[str, Any]]:
        """Add to RUN/usage.json what was asked for since the last call.

        Returns:
            The whole file: role -> model, counts and `price_usd`, None where no prices are given. Empty, and nothing is
            written, where the run asks no endpoint.

        Raises:
            StoreError: The file is damaged or cannot be written.
        """
        told = _read(run)
        counted = {id(model): asdict(model.usage) for _, model in self._watched}
        for role, model in self._watched:
            now, before = counted[id(model)], self._kept.get(id(model), {})
            entry = told.setdefault(role, {"model": model.name, **dict.fromkeys(COUNTS, 0), "price_usd": 0.0})
            for key in COUNTS:
                entry[key] += now[key] - before.get(key, 0)
            if entry["price_usd"] is None or now["price_usd"] is None:
                entry["price_usd"] = None
            else:
                entry["price_usd"] = round(entry["price_usd"] + now["price_usd"] - before.get("price_usd", 0.0), 6)
        if self._watched:
            run.write_json("usage.json", told)
        self._kept = counted
        return told


def add_usage(run: Run, other: Run) -> None:
    """Add what another run asked endpoints for to RUN/usage.json; nothing is written where it asked none.

    Raises:
        StoreError: One of the files is damaged, or the disk refused.
    """
    told = _read(run)
    for role, theirs in _read(other).items():
        ours = told.get(role)
        if ours is None:
            told[role] = theirs
            continue
        for key in COUNTS:
            ours[key] += theirs[key]
        unknown = None in (ours["price_usd"], theirs["price_usd"])
        ours["price_usd"] = None if unknown else round(ours["price_usd"] + theirs["price_usd"], 6)
    if told:
        run.write_json("usage.json", told)


def _read(run: Run) -> dict[str, dict[str, Any]]:
    path = run.path / "usage.json"
    try:
        found: dict[str, dict[str, Any]] = json.loads(path.read_text("utf-8")) if path.exists() else {}
    except (OSError, ValueError) as problem:
        raise StoreError(f"{path}: cannot be read: {problem}. Move it away; counting then starts anew.") from problem
    return found
