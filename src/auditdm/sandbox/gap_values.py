"""Reading the plain values of a gap file: what is wrong is said with key, value found, values allowed and remedy."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from typing import Any

from auditdm.errors import ConfigError

_RANGE = re.compile(r"(>=|<=) ?(\d\d?)|(\d\d?) ?- ?(\d\d?)")


def mapping(found: Any, allowed: tuple[str, ...], place: str) -> Mapping[str, Any]:
    """The value as a mapping with no other keys."""
    if not isinstance(found, Mapping):
        raise ConfigError(f"{place} is {found!r}; it should be a mapping with keys among {', '.join(allowed)}.")
    for key in found:
        if key not in allowed:
            raise ConfigError(f"{place} has no key {key!r}.{_near(key, allowed)} Keys: {', '.join(allowed)}.")
    return found


def entries(found: Any, place: str) -> list[Any]:
    """The value as a list."""
    if not isinstance(found, list):
        raise ConfigError(f"{place} is {found!r}; it should be a list, each entry behind a dash.")
    return found


def values_of(keys: Mapping[str, Any], key: str, place: str) -> list[Any]:
    """One value or a list of them; [] where the key is absent."""
    if key not in keys:
        return []
    found = keys[key]
    listed = list(found) if isinstance(found, list | tuple) else [found]
    if not listed or any(isinstance(v, dict | list | tuple) or v is None for v in listed):
        raise ConfigError(f"{place}.{key} is {found!r}; it takes a value or a list of values. Change it.")
    return listed


def one_of(value: Any, allowed: Iterable[str], place: str, ranges: bool = False) -> str:
    """The value as text, if it is allowed; with `ranges`, also one that holds an allowed number or hour."""
    text, known = str(plain(value)), tuple(allowed)
    if text in known or (ranges and _numbers(text) is not None and meant((text,)) & set(known)):
        return text
    if isinstance(value, int) and value and value % 60 == 0 and f"{value // 60}:00" in known:
        raise ConfigError(
            f'{place}: YAML reads {value // 60}:00 as the number {value}. Write "{value // 60}:00" in quotes.'
        )
    more = f", ... ({len(known)} in all)" if len(known) > 40 else ""
    or_range = ', or a range such as ">=4", "2-3" or "<=1" that holds one' if ranges else ""
    raise ConfigError(f"{place} is {value!r}.{_near(text, known)} Allowed: {', '.join(known[:40])}{more}{or_range}.")


def plain(value: Any) -> Any:
    """YAML takes yes and no for truth values; here they are words."""
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else value


def _near(found: object, allowed: Iterable[str]) -> str:
    near = difflib.get_close_matches(str(found), tuple(allowed), n=1)
    return f" Did you mean {near[0]!r}?" if near else ""


def name_in(keys: Mapping[str, Any], place: str) -> str:
    """What stands under `name`."""
    name = keys.get("name")
    if not isinstance(name, str) or not name.strip():
        raise ConfigError(f"{place}.name is {name!r}; it should be a text, by which reports call it. Add one.")
    return name


def check_unique(names: list[str], place: str) -> None:
    """Refuse a name given twice."""
    twice = next((name for n, name in enumerate(names) if name in names[:n]), None)
    if twice is not None:
        raise ConfigError(f"{place}: the name {twice!r} is given twice; reports tell by name. Rename one.")


def share(value: Any, place: str) -> float:
    """The value as a probability."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise ConfigError(f"{place} is {value!r}; it should be a probability from 0 to 1. Change it.")
    return float(value)


def whole(value: Any, least: int, most: int, place: str, why: str) -> int:
    """The value as a whole number from `least` to `most`."""
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise ConfigError(
            f"{place} is {value!r}; it should be a whole number from {least} to {most} ({why}). Change it."
        )
    return value


def _numbers(text: str) -> range | None:
    """The numbers of a range, up to 99."""
    found = _RANGE.fullmatch(text)
    if not found:
        return None
    sign, bound, low, high = found.groups()
    if sign:
        return range(int(bound), 100) if sign == ">=" else range(int(bound) + 1)
    return range(int(low), int(high) + 1)


def meant(values: Iterable[str]) -> frozenset[str]:
    """Values with their ranges written out: ">=11" means the numbers 11 to 99, and the hours 11:00 and 12:00."""
    found: set[str] = set()
    for value in values:
        numbers = _numbers(value)
        found |= {value} if numbers is None else {w for n in numbers for w in (str(n), f"{n}:00")}
    return frozenset(found)


def told(values: tuple[str, ...]) -> str | list[str]:
    """Values as YAML holds them: one alone is no list."""
    return values[0] if len(values) == 1 else list(values)
