"""Who is audited: a gap file lists organisms, respondents that know the truth and err on purpose. docs/gaps.md tells all."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import yaml

from auditdm.config import _Loader  # the one way in which this package reads YAML: a key given twice is a mistake
from auditdm.errors import ConfigError
from auditdm.sandbox.gap_language import WHERE_KEYS, Where, where_of
from auditdm.sandbox.gap_values import check_unique, entries, mapping, name_in, one_of, share, whole

STYLES = ("plain", "verbose", "synonyms")
Style = Literal["plain", "verbose", "synonyms"]


@dataclass(frozen=True)
class PlantedGap:
    """Where an organism errs, and how often."""

    name: str
    where: Where
    error: float  # probability of a wrong answer where it holds, in (0, 1]
    shared_with: int = 0  # references that have the same gap

    def as_dict(self) -> dict[str, object]:
        """As YAML holds it."""
        shared = {"shared_with": self.shared_with} if self.shared_with else {}
        return {"name": self.name, "where": self.where.as_dict(), "error": self.error, **shared}


@dataclass(frozen=True)
class ReferencesSpec:
    """The references an organism is audited with."""

    count: int = 3
    base_error: float = 0.01
    canary: float = 0.0  # probability of the shared default answer to an invalid question, instead of "cannot say"

    def as_dict(self) -> dict[str, object]:
        """As YAML holds it."""
        return {"count": self.count, "base_error": self.base_error, "canary": self.canary}


@dataclass(frozen=True)
class OrganismSpec:
    """A respondent that knows the truth and errs on purpose; without gaps, a clean twin."""

    name: str
    gaps: tuple[PlantedGap, ...] = ()
    base_error: float = 0.02  # where no gap holds
    style: Style = "plain"
    flicker: float = 0.0  # probability that one asking gets a wrong answer; another wording is another draw
    references: ReferencesSpec | None = None  # None: those of the file

    def as_dict(self) -> dict[str, object]:
        """As YAML holds it."""
        found: dict[str, object] = {"name": self.name, "gaps": [gap.as_dict() for gap in self.gaps]}
        found |= {"base_error": self.base_error, "style": self.style, "flicker": self.flicker}
        return found | ({} if self.references is None else {"references": self.references.as_dict()})


@dataclass(frozen=True)
class GapFile:
    """Organisms, and the references that they share."""

    organisms: tuple[OrganismSpec, ...]
    references: ReferencesSpec = ReferencesSpec()

    def as_dict(self) -> dict[str, object]:
        """As YAML holds it; `parse_gaps` is the inverse."""
        return {"organisms": [one.as_dict() for one in self.organisms], "references": self.references.as_dict()}


def load_gaps(path: str | Path) -> GapFile:
    """Read a gap file.

    Raises:
        ConfigError: The file is missing, not YAML, or not in the language; the message says where and what to do.
    """
    path = Path(path)
    try:
        found = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)  # a safe loader
    except FileNotFoundError as problem:
        raise ConfigError(f"{path}: no such file. Give the path of a gap file; docs/gaps.md shows one.") from problem
    except (OSError, UnicodeDecodeError) as problem:
        raise ConfigError(f"{path}: cannot be read: {problem}.") from problem
    except yaml.YAMLError as problem:
        raise ConfigError(f"{path}: is not YAML: {problem}") from problem
    return parse_gaps(found, str(path))


def parse_gaps(found: Any, place: str = "gaps") -> GapFile:
    """Turn what a gap file holds into organisms.

    Args:
        found: The plain values.
        place: Names the origin in messages.

    Raises:
        ConfigError: The first mistake: key, value found, values allowed, remedy.
    """
    keys = mapping(found, ("organisms", "references"), f"{place}: the file")
    references = _references(keys.get("references", {}), f"{place}: references")
    listed = entries(keys.get("organisms"), f"{place}: organisms")
    organisms = tuple(_organism(one, references, f"{place}: organisms[{n}]") for n, one in enumerate(listed))
    check_unique([one.name for one in organisms], f"{place}: organisms")
    return GapFile(organisms, references)


def _organism(found: Any, references: ReferencesSpec, place: str) -> OrganismSpec:
    keys = mapping(found, ("name", "gaps", "base_error", "style", "flicker", "references"), place)
    own = _references(keys["references"], f"{place}.references") if "references" in keys else None
    count = (own or references).count
    gaps = tuple(
        _gap(gap, count, f"{place}.gaps[{n}]") for n, gap in enumerate(entries(keys.get("gaps", []), f"{place}.gaps"))
    )
    check_unique([gap.name for gap in gaps], f"{place}.gaps")
    return OrganismSpec(
        name=name_in(keys, place),
        gaps=gaps,
        base_error=share(keys.get("base_error", OrganismSpec.base_error), f"{place}.base_error"),
        style=cast(Style, one_of(keys.get("style", OrganismSpec.style), STYLES, f"{place}.style")),
        flicker=share(keys.get("flicker", OrganismSpec.flicker), f"{place}.flicker"),
        references=own,
    )


def _gap(found: Any, references: int, place: str) -> PlantedGap:
    keys = mapping(found, ("name", "where", "error", "picture", "shared_with"), place)
    for key in ("where", "error"):
        if key not in keys:
            raise ConfigError(f"{place}.{key} is missing. Add it; such as where: {{skill: colour}} and error: 0.6.")
    kind = one_of(keys.get("picture", "any"), ("any", "original", "changed"), f"{place}.picture")
    where = dict(mapping(keys["where"], WHERE_KEYS, f"{place}.where"))
    if kind != "any":
        if "changed" in where:
            raise ConfigError(f"{place}.picture is {kind!r} and where.changed says it too. Remove one of them.")
        where["changed"] = kind == "changed"
    error = share(keys["error"], f"{place}.error")
    if not error:
        raise ConfigError(f"{place}.error is 0; a gap errs. Give a probability above 0, or remove the gap.")
    shared = whole(keys.get("shared_with", 0), 0, references, f"{place}.shared_with", "references.count is its limit")
    return PlantedGap(name_in(keys, place), where_of(where, f"{place}.where"), error, shared)


def _references(found: Any, place: str) -> ReferencesSpec:
    keys = mapping(found, ("count", "base_error", "canary"), place)
    return ReferencesSpec(
        count=whole(keys.get("count", ReferencesSpec.count), 1, 99, f"{place}.count", "three are usual"),
        base_error=share(keys.get("base_error", ReferencesSpec.base_error), f"{place}.base_error"),
        canary=share(keys.get("canary", ReferencesSpec.canary), f"{place}.canary"),
    )
