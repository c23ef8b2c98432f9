"""Made-up probes with planted failures, known to the last attribute, for tests of naming and searching; no picture, no model."""

from __future__ import annotations

import random
from hashlib import blake2b

from auditdm.method.predicate import Literal, Predicate
from auditdm.runs.searching import Posed

FORMS = ("what colour is the ...?", "what size is the ...?", "is there a ...?", "where is the ...?", "how many ...?")
COLOURS = ("red", "blue", "green", "black", "white")
SIZES = ("small", "large")
NOUNS = ("dog", "cat", "car", "cup")


def is_(*phrases):
    return Literal(tuple(sorted(phrases)))


def not_(*phrases):
    return Literal(tuple(sorted(phrases)), negated=True)


def asks(n):
    return is_(f'asks "{FORMS[n]}"')


def about(*words):
    return is_(*(f'about "{word}"' for word in words))


def view(rng: random.Random):
    """What is known of one probe: a form, a thing with colour, size and noun, and what else is shown."""
    form, colour, size, noun = (rng.choice(values) for values in (FORMS, COLOURS, SIZES, NOUNS))
    found = {f'asks "{form}"', *(f'about "{word}"' for word in (colour, size, noun))}
    found |= {f'shows "{word}"' for word in (colour, size, noun, rng.choice(COLOURS), rng.choice(NOUNS))}
    return frozenset(found | {f"things >= {n}" for n in range(2, rng.randint(2, 7))})


def views(seed: int, count: int):
    rng = random.Random(seed)
    return [(view(rng),) for _ in range(count)]


def draw(*key) -> float:
    """A number in [0, 1) that follows from the key."""
    return int.from_bytes(blake2b(repr(key).encode(), digest_size=6).digest()) / 2**48


def fails(seed, number, of_probe, gaps, base=0.02) -> bool:
    """Whether a probe fails: at the rate of the gap that holds of it, else at the base rate."""
    rate = max((rate for predicate, rate in gaps if predicate.holds(of_probe)), default=base)
    return draw(seed, number) < rate


FRESH = views(99_991, 4_000)


def overlap(one: Predicate, other: Predicate, among=FRESH) -> float:
    """Jaccard of what two predicates hold of."""
    held = [(one.holds(v), other.holds(v)) for v in among]
    either = sum(a or b for a, b in held)
    return sum(a and b for a, b in held) / either if either else 0.0


class PlantedProber:
    """Proposes made-up probes without end, or `pool` of them, and asks a target that fails where it was planted.

    Args:
        gaps: Predicates, each with the rate at which the target fails inside.
        seed: Of proposals and errors.
        base: Rate of failures elsewhere.
        pool: The auditor's own proposals at most; None: without end.
        void: Share of questions that nobody can measure.
        split: Where the references disagree.
        steady: Whether a failure fails again in other words.
        made_to_order: Whether probes can be made for a name.
    """

    def __init__(self, gaps=(), seed=0, *, base=0.02, pool=None, void=0.0, split=None, steady=True, made_to_order=True):
        self.gaps, self.seed, self.base, self.pool = list(gaps), seed, base, pool
        self.void, self.split, self.steady, self.made_to_order = void, split, steady, made_to_order
        self._rng = random.Random(seed)
        self._made = self._posed = 0
        self.asked, self.asked_again = [], []  # probes in order
        self.wanted = []  # (predicate, fresh) of pose_for

    def pose(self, count):
        count = count if self.pool is None else min(count, self.pool - self._posed)
        self._posed += count
        return [self._make("own", view(self._rng)) for _ in range(count)]

    def pose_for(self, predicate, count, *, fresh=False):
        self.wanted.append((predicate, fresh))
        tried = (view(self._rng) for _ in range(300 * count if self.made_to_order else 0))
        fitting = (v for v in tried if predicate.holds([v]))
        found, agreed = [], 0
        while agreed < count and (v := next(fitting, None)) is not None:
            found.append(self._make("fresh" if fresh else "own", v))
            agreed += found[-1].views is not None
        return found

    def pose_beside(self, posed):
        return [self._make("beside", view(self._rng), p.picture) for p in posed]

    def ask(self, posed, *, again=False):
        (self.asked_again if again else self.asked).extend(posed)
        return [self._fails(p, again) for p in posed]

    def _make(self, kind, seen, picture=None):
        self._made += 1
        unsure = self.split is not None and self.split.holds([seen]) and self._rng.random() < 0.4
        return Posed(
            id=f"{kind}{self._made}", picture=picture or f"{kind} {self._made}", views=None if unsure else (seen,)
        )

    def _fails(self, posed, again):
        assert posed.views is not None, "asked though the references disagree"
        if draw(self.seed, posed.id, "void") < self.void:
            return None
        return fails(self.seed, posed.id, posed.views, self.gaps, self.base) and (self.steady or not again)
