"""What was measured, in words: the attributes of each probe, its question, and how that names things in its picture.

From these a name finds fresh probes: questions that were asked inside it, on other pictures that may hold what it wants.

Source: ours.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from auditdm.method.attributes import Clause, Names, Views, attributes, clauses_of, stem, subjects, words_of
from auditdm.method.predicate import Predicate
from auditdm.runs.describing import Describer


class KnownQuestions:
    """The questions of measured probes.

    Args:
        describer: Puts pictures into words.
        names: What words of questions stand for, of `auditdm.runs.describing.names_of`.

    Attributes:
        views: Attributes of every probe that was measured, by id.
        text: The question of each, by id.
    """

    def __init__(self, describer: Describer, names: Names) -> None:
        self.views: dict[str, Views] = {}
        self.text: dict[str, str] = {}
        self._fit: dict[str, tuple[int, int]] = {}
        self._describer, self._names = describer, names

    def attributes(self, question: str, consensus: str, description: str | None, *, changed: bool) -> Views:
        """Of a probe."""
        return attributes(question, consensus, description, names=self._names, changed=changed)

    def remember(self, known: str, question: str, picture: str, views: Views) -> None:
        """A measured probe, by its id and that of its picture."""
        [description] = self._describer.describe([picture])
        self.views[known] = views
        self.text[known] = question
        self._fit[known] = self.fit(question, description)

    def inside(self, predicate: Predicate) -> list[str]:
        """The questions of the probes of which a predicate holds, each once."""
        return list(dict.fromkeys(q for i, q in self.text.items() if predicate.holds(self.views[i])))

    def likeliest(
        self, predicate: Predicate, pairs: Sequence[tuple[str, str]], described: Mapping[str, str | None]
    ) -> Iterator[tuple[str, str]]:
        """Of pairs of a question and a picture those of which a predicate may hold, the likeliest first.

        Args:
            predicate: A name.
            pairs: Questions with ids of pictures; among equals the earlier comes first.
            described: The pictures in words, by id.
        """
        unanswered = Predicate(
            tuple(x for x in predicate.literals if not any(a.startswith("answer") for a in x.any_of))
        )
        weight = self._promise(predicate, unanswered)
        wanted: dict[str, set[tuple[int, int]]] = {}
        for i, views in self.views.items():
            if predicate.holds(views):
                wanted.setdefault(self.text[i], set()).add(self._fit[i])
        possible = (
            (question, picture, views)
            for question, picture in pairs
            if unanswered.holds(views := self.attributes(question, "", described[picture], changed=False))
            and self._fits_as(question, described[picture], wanted)
        )
        if weight:
            scored = ((max(sum(weight.get(a, 0.0) for a in view) for view in v), q, p) for q, p, v in possible)
            yield from ((q, p) for _, q, p in sorted(scored, key=lambda told: -told[0]))
        else:  # as they come: no more are looked at than are wanted
            yield from ((q, p) for q, p, _ in possible)

    def named_in(self, question: str, clauses: Sequence[Clause]) -> bool:
        """Whether a question is about something of a description."""
        return bool(subjects(question, clauses, self._names))

    def words(self, question: str) -> set[str]:
        """Of a question those that name things."""
        return {stem(w) for w in words_of(question)} & self._names.keys()

    def fit(self, question: str, description: str | None) -> tuple[int, int]:
        """How a question fits a picture: things that all its words tell (0, 1, more), and things that it singles out."""
        clauses = clauses_of(description or "")
        named = self.words(question)
        singled_out = [one for one in subjects(question, clauses, self._names) if one in clauses]
        return min(2, sum(named <= set(c) for c in clauses)), len(singled_out)

    def _fits_as(self, question: str, description: str | None, wanted: Mapping[str, set[tuple[int, int]]]) -> bool:
        """Whether a question fits here as where it was asked; the pool's own was written for its picture."""
        return question not in wanted or self.fit(question, description) in wanted[question]

    def _promise(self, predicate: Predicate, unanswered: Predicate) -> Mapping[str, float]:
        """What each attribute of a picture says about the answers that the predicate wants: log ratios of frequencies."""
        if predicate == unanswered:
            return {}
        inside: Counter[str] = Counter()
        all_: Counter[str] = Counter()
        hits = asked = 0
        for views in self.views.values():
            if not unanswered.holds(views):
                continue
            told = {a for view in views for a in view if a.startswith(("about", "shows", "things"))}
            asked += 1
            all_.update(told)
            if predicate.holds(views):
                hits += 1
                inside.update(told)
        return {a: math.log((inside[a] + 0.5) / (hits + 1) / ((n + 0.5) / (asked + 1))) for a, n in all_.items()}
