"""The zoo: tiny real models with known skills and known gaps, trained by `make zoo`."""

from __future__ import annotations

import difflib
import json
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from auditdm.errors import ConfigError
from auditdm.sandbox.gaps import GAPS, Gap


@dataclass(frozen=True)
class Species:
    """How one model of the zoo is made."""

    name: str
    family: Literal["llava", "gemma3", "idefics3"]
    width: int
    layers: int
    seed: int  # of the weights, the data's order and the tower: unlike models come from unlike seeds
    tower: int  # seed of the tower; the two targets share one, as siblings do
    base: str | None = None  # a model of the zoo whose weights, after its second round, it starts from
    rounds: int = 2  # of lessons; the third and later ones are on scenes full of signs

    @property
    def gaps(self) -> tuple[Gap, ...]:
        """The slices it never learned, or learned wrong."""
        return GAPS.get(self.name, ())


ZOO: dict[str, Species] = {
    s.name: s
    for s in (
        Species("reference-1", "llava", 128, 3, seed=11, tower=1, rounds=5),
        Species("target-small", "llava", 128, 3, seed=21, tower=4),
        Species("reference-2", "gemma3", 128, 3, seed=12, tower=2, rounds=3),
        Species("reference-3", "idefics3", 128, 3, seed=13, tower=3, rounds=6),
        Species("target-large", "llava", 128, 4, seed=22, tower=4, rounds=5),
        Species("target-many", "llava", 128, 3, seed=23, tower=4, base="target-small"),
        Species("auditor", "llava", 128, 3, seed=31, tower=1, base="reference-1"),
        Species("auditor-wide", "llava", 128, 3, seed=32, tower=1, base="auditor"),  # asks every skill of the language
    )
}


def zoo_folder() -> Path:
    """Where the shipped models lie."""
    return Path(str(resources.files("auditdm.sandbox"))) / "zoo_models"


def model_folder(name: str) -> Path:
    """The folder of one model of the zoo.

    Raises:
        ConfigError: No such model; names the nearest.
    """
    folder = zoo_folder() / name
    if name not in ZOO or not (folder / "config.json").exists():
        near = difflib.get_close_matches(name, ZOO, n=1)
        hint = f" Did you mean 'sandbox/{near[0]}'?" if near and near[0] != name else " `make zoo` trains it."
        raise ConfigError(f"'sandbox/{name}' is no model of the zoo. Known: {', '.join(sorted(ZOO))}.{hint}")
    return folder


def taught_skills() -> tuple[str, ...]:
    """The skills that the shipped references learned (at least .95 on held-out questions, every one of them)."""
    return tuple(manifest()["learned_skills"]) if (zoo_folder() / "manifest.json").exists() else ()


def manifest() -> dict[str, Any]:
    """What is known of each model: how it was made, its skills, its planted gaps, what was measured."""
    found: dict[str, Any] = json.loads((zoo_folder() / "manifest.json").read_text())
    return found
