"""A failure mode as a condition in words: up to four things that hold of a probe at once."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass

_PHRASE = re.compile(r"(.*?) (\"(.*)\"|(>=|<=) (\d+))")


@dataclass(frozen=True, order=True)
class Literal:
    """One thing that holds, or does not hold, of a probe."""

    any_of: tuple[str, ...]  # attributes (auditdm.method.attributes), sorted; at least one has to be there
    negated: bool = False  # True: none may be there

    def holds(self, attributes: Collection[str]) -> bool:
        """Whether it holds of a view."""
        return any(a in attributes for a in self.any_of) != self.negated

    def words(self) -> str:
        """For people and for the auditor."""
        kinds: dict[str, list[str]] = {}
        for attribute in self.any_of:
            kind, value = _split(attribute)
            kinds.setdefault(kind, []).append(value)
        told = " or ".join(f"{kind} {_listed(values)}".strip() for kind, values in kinds.items())
        return f"not ({told})" if self.negated else told


@dataclass(frozen=True, order=True)
class Predicate:
    """A conjunction of literals; of nothing at all, it holds of everything.

    It holds of a probe where it holds of one of its views (auditdm.method.attributes).

    Example:
        >>> late = Predicate.of(Literal(('asks "what time is it on the ...?"',)), Literal(("answer >= 9",)))
        >>> late.words()
        'answer >= 9 and asks "what time is it on the ...?"'
        >>> late.holds([{"answer >= 9"}]), Predicate.from_json(late.as_json()) == late
        (False, True)
    """

    literals: tuple[Literal, ...] = ()

    @classmethod
    def of(cls, *literals: Literal) -> Predicate:
        """Their conjunction; order and repetition do not matter."""
        return cls(tuple(sorted(set(literals))))

    def holds(self, views: Iterable[Collection[str]]) -> bool:
        """Whether it holds of a probe. Cost: under a microsecond a literal and view."""
        return any(all(literal.holds(view) for literal in self.literals) for view in views)

    def words(self) -> str:
        """Its name."""
        return " and ".join(literal.words() for literal in self.literals) or "anything"

    def without(self, literal: Literal) -> Predicate:
        """The same, with one condition less."""
        return Predicate(tuple(one for one in self.literals if one != literal))

    def as_json(self) -> str:
        """As a run folder keeps it: one line."""
        return json.dumps([{"any_of": list(one.any_of), "negated": one.negated} for one in self.literals])

    @classmethod
    def from_json(cls, text: str) -> Predicate:
        """The inverse of `as_json`."""
        return cls.of(*(Literal(tuple(one["any_of"]), bool(one["negated"])) for one in json.loads(text)))


def kind_of(attribute: str) -> str:
    """What an attribute speaks of: `asks`, `says`, `answer`, `about`, `shows`, `things`, ..."""
    return _split(attribute)[0]


def _split(attribute: str) -> tuple[str, str]:
    found = _PHRASE.fullmatch(attribute)
    return (found[1], found[2]) if found else (attribute, "")


def _listed(values: list[str]) -> str:
    return ", ".join(values[:-1]) + " or " + values[-1] if len(values) > 1 else values[0]
