"""Rules: predicates in the making, what a list of them explains of measured probes, and the search for a better one.

A rule is searched for by a beam over conjunctions, then by hill climbing that adds, drops, exchanges, widens and narrows
conditions and says what is instead of what is not. `auditdm.method.naming` makes lists of them.

Source: ours, after subgroup discovery (beam search, and one rule after another within the last one's exceptions).

Shapes: N measured probes, W words of 64 of them (sets are bits), V views of each, F attributes, L levels: the rules and the rest.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from auditdm.method.search_space import Array, Bits, Table

MOST = 4  # conditions of a rule
VALUES = 8  # attributes of a condition
_VALUES_OF_NOT = 2
FAILS = 4  # failures of a kind from which on it is worth a look
JOINED = ("asks", "says", "answer", "about", "shows")  # kinds of which several values may stand in one condition
_CUTS = 1  # attributes of each of these kinds that are tried with a second one of their slot
_PART = 0.8  # share of some probes that have an attribute, at most: what more of them have says little there
_OWN = 0.5  # share of what a rule holds of that has to be its own, and not of a rule with a higher rate
_IDLE = 0.02  # of what the other conditions leave: a condition that shuts out no more of it says nothing there
_ASKED = ("asks", "the question")  # kinds that say how is asked
Condition = tuple[tuple[int, ...], bool]  # numbers of attributes, negated
Draft = tuple[Condition, ...]


class Basis:
    """What the rules found so far say of each probe: the rate of the rule that it belongs to, or the rate of the rest."""

    def __init__(
        self, table: Table, open_: Bits, rules: Sequence[Draft], price: float, *, passing: bool = False
    ) -> None:
        self.table, self.open, self.price = table, open_, price
        self.passing = passing  # look for what passes instead
        held = [probes_of(table, rule) & open_ for rule in rules]
        left = open_
        self.regions: list[tuple[int, Bits]] = []  # rule's number and its probes, highest rate first
        for n in sorted(range(len(rules)), key=lambda n: -_rate(table, held[n])):
            self.regions.append((n, held[n] & left))
            left = left & ~held[n]
        self._levels = np.stack([*(region for _, region in self.regions), left])
        self._rates = np.clip([_rate(table, level) for level in self._levels], 1e-4, 1 - 1e-4)
        fails_L, passes_L = table.count(self._levels)
        self._fails_L, self._count_L = fails_L, fails_L + passes_L
        self.loss = float(self._explained(self._fails_L, self._count_L).sum())
        # climbs that start apart come to the same places
        self._tops: dict[frozenset[Condition], tuple[list[Condition], list[int]]] = {}
        self._worths: dict[frozenset[Condition], float] = {}

    def worth(self, draft: Draft) -> float:
        """Gain less price; nothing at all where a condition joins what may not stand together."""
        key = frozenset(draft)
        if key not in self._worths:
            gain = float(self.gains(probes_of(self.table, draft))[0]) if in_one(self.table, draft) else -np.inf
            self._worths[key] = gain - self.cost(draft)
        return self._worths[key]

    def tops(self, draft: Draft) -> list[Condition]:
        """The three conditions, and the two negated ones, that add most to what a draft holds already."""
        return self._additions(draft)[0]

    def cuts(self, draft: Draft) -> list[int]:
        """Of each kind the attributes that add most, among those that only part of a draft's probes have."""
        return self._additions(draft)[1]

    def _additions(self, draft: Draft) -> tuple[list[Condition], list[int]]:
        key = frozenset(draft)
        if key not in self._tops:
            views = views_of(self.table, draft)
            plain, negated = (self.gains(self.table.of_each(views, slice(None), no)) for no in (False, True))
            gain = plain[0] - self.price * self.table.length_F
            gain_of_not = negated[0] - self.price * self.table.length_of_not_F
            found: list[Condition] = [((int(f),), False) for f in np.argsort(-gain)[:3]]
            found += [((int(f),), True) for f in np.argsort(-gain_of_not)[:2]]
            part = plain[2] <= _PART * float(self.table.count(any_of(views) & self.open).sum())
            value = np.where(part, gain, -np.inf)
            best = (of[np.argsort(-value[of])[:_CUTS]] for of in map(self.table.of_kind, JOINED) if len(of))
            cuts = [int(f) for few in best for f in few if part[f]]
            self._tops[key] = found, cuts
        return self._tops[key]

    def gains(self, probes: Bits) -> tuple[Array, Array, Array]:
        """Of each set of probes (..., W): how much better a rate of its own explains the list, its failures and its probes.

        What is left of the levels that it takes from gets rates of their own as well.

        What rules of a higher rate hold may stay theirs, as in the list, if that is less than half of it: a name stands alone.
        The gain is 0 where what is left fails no more often than expected.
        """
        union = np.bitwise_or.reduce(probes.reshape(-1, probes.shape[-1]), axis=0)
        # the rest first, then the rules from the lowest rate on
        met = np.flatnonzero((self._levels & union).any(1))[::-1]
        counts = [self.table.count(probes & self._levels[n]) for n in met]
        least = _OWN * sum(count.sum(0) for count in counts)
        gain, others, expected = np.zeros((3, *probes.shape[:-1]))
        k, inside = np.zeros((2, *probes.shape[:-1]), np.int64)
        for n, (fails, passes) in zip(met, counts, strict=True):
            both = fails + passes
            k, inside, expected = k + fails, inside + both, expected + self._rates[n] * both
            left = self._explained(self._fails_L[n] - fails, self._count_L[n] - both)
            others = others + left - self._explained(self._fails_L[n], self._count_L[n])
            own = self._explained(k, inside) + others
            gain = np.maximum(gain, np.where(((k > expected) != self.passing) & (inside >= least), own, 0.0))
        return gain, k, inside

    def _explained(self, k: Array, n: Array) -> Array:
        """Log-likelihood of k failures among n probes, at the rate of k / n."""
        x_log_x = self.table.x_log_x
        found: Array = x_log_x[k] + x_log_x[n - k] - x_log_x[n]
        return found

    def cost(self, draft: Draft) -> float:
        """Of a rule, and of its conditions."""
        return cost_of(self.table, draft, self.price)

    def grown(self, views: Bits) -> list[tuple[Array, Array]]:
        """For each attribute, then for its absence: (F,) the gain of a set of views together with it, and the failures."""
        both = [self.gains(self.table.of_each(views, slice(None), negated)) for negated in (False, True)]
        return [(gain, fails) for gain, fails, _ in both]


def cost_of(table: Table, draft: Draft, price: float) -> float:
    """Of a rule, and of what its conditions say."""
    return price + sum(price * table.length(values, negated) for values, negated in draft)


def _rate(table: Table, mask: Bits) -> float:
    fails, passes = table.count(mask)
    return (float(fails) + 0.5) / (float(fails + passes) + 1.0)


def views_of(table: Table, draft: Draft) -> Bits:
    """(V, W): the views of which a draft holds."""
    views = table.all_VW
    for values, negated in draft:
        views = views & table.holds(values, negated)
    return views


def probes_of(table: Table, draft: Draft) -> Bits:
    """(W,): the probes of which a draft holds."""
    return any_of(views_of(table, draft))


def any_of(views: Bits) -> Bits:
    """(W,): the probes that have one of the views (V, W)."""
    probes: Bits = np.bitwise_or.reduce(views, axis=0)
    return probes


def best_rule(table: Table, basis: Basis, *, depth: int = 3, width: int = 12) -> tuple[float, Draft]:
    """The draft of the highest worth, and its worth."""
    beam: list[tuple[Draft, Bits]] = [((), table.all_VW & basis.open)]
    best: list[Draft] = []
    seen: set[frozenset[Condition]] = set()
    for _ in range(depth):
        following: list[tuple[Draft, Bits]] = []
        for draft, parent in _longer(basis, beam, 4 * width):
            key = frozenset(draft)
            if key in seen or len(key) < len(draft):
                continue
            seen.add(key)
            mask = beam[parent][1] & table.holds(*draft[-1])
            if not any(np.array_equal(mask, other) for _, other in following):
                following.append((draft, mask))
            if len(following) == width:
                break
        if not following:
            break
        beam = following
        best.append(beam[0][0])
    return max((climb(table, basis, draft) for draft in best), key=lambda c: c[0], default=(-np.inf, ()))


def _longer(basis: Basis, beam: Sequence[tuple[Draft, Bits]], most: int) -> list[tuple[Draft, int]]:
    """The drafts of a beam with one condition more, best first, each with the number of the draft that it grew from."""
    found: list[tuple[float, int, int, bool]] = []
    for parent, (draft, mask) in enumerate(beam):
        before = basis.cost(draft)
        for negated, (gain, fails) in zip((False, True), basis.grown(mask), strict=True):
            length_F = basis.table.length_of_not_F if negated else basis.table.length_F
            value = gain - before - basis.price * length_F
            value[fails < (0 if basis.passing else 3)] = -np.inf
            found += [(float(value[f]), parent, int(f), negated) for f in np.argsort(-value)[:most]]
    ordered = sorted((f for f in found if np.isfinite(f[0])), key=lambda f: (-f[0], f[2], f[3], f[1]))[: 2 * most]
    return [((*beam[parent][0], ((column,), negated)), parent) for _, parent, column, negated in ordered]


def climb(table: Table, basis: Basis, draft: Draft, kept: Condition | None = None) -> tuple[float, Draft]:
    """Change one thing at a time while it gains; returns (worth, draft). A condition that is to be kept comes first."""
    draft = tuple(dict.fromkeys(draft))
    value = basis.worth(draft)
    for _ in range(12):
        moves = {tuple(dict.fromkeys(move)) for move in _moves(table, basis, draft)}
        if kept is not None:
            moves = {(kept, *(c for c in move if c != kept)) for move in moves if kept in move}
        scored = [(basis.worth(move), move) for move in moves]
        better = max(scored, key=lambda s: (s[0], s[1]), default=(value, draft))
        if better[0] <= value + 1e-6:
            break
        value, draft = better
    return value, draft


def _moves(table: Table, basis: Basis, draft: Draft) -> Iterator[Draft]:
    for n, (values, negated) in enumerate(draft):
        rest = draft[:n] + draft[n + 1 :]
        if rest:
            yield rest
        if len(values) > 1:
            yield from ((*rest, (tuple(v for v in values if v != gone), negated)) for gone in values)
        yield from ((*rest, condition) for condition in basis.tops(rest))
        same = partners(table, values, rest)
        if len(values) < (_VALUES_OF_NOT if negated else VALUES) and len(same):
            yield from (
                (*rest, (tuple(sorted((*values, f))), negated))
                for f in wider(basis, views_of(table, rest), values, negated, same)
            )
    if len(draft) < MOST:
        yield from ((*draft, condition) for condition in basis.tops(draft))
        yield from _cut(table, basis, draft)
    for kind in {table.kind[values[0]] for values, negated in draft if negated}:
        yield from _plainer(table, basis, draft, kind)


def _plainer(table: Table, basis: Basis, draft: Draft, kind: str) -> Iterator[Draft]:
    """What is instead of what is not: a condition for all negated ones of a kind, or the values that they leave."""
    bare = tuple(c for c in draft if not (c[1] and table.kind[c[0][0]] == kind))
    yield from ((*bare, condition) for condition in basis.tops(bare) if not condition[1])
    if kind not in JOINED:
        return
    of, fails = table.of_kind(kind), np.zeros(len(table.phrases), np.int64)
    fails[of] = table.count(table.of_each(views_of(table, draft), of, False))[0]
    for gone in sorted({values[0] for values, negated in draft if negated and table.kind[values[0]] == kind}):
        same = partners(table, (gone,), bare)
        if len(same) and fails[same].max() >= FAILS:
            rest = tuple(c for c in draft if not (c[1] and set(c[0]) <= {gone, *same.tolist()}))
            first = int(same[np.argmax(fails[same])])
            left = partners(table, (first,), rest)
            values = sorted((first, *left[fails[left] > 0].tolist()), key=lambda f: -fails[f])[:VALUES]
            yield (*rest, (tuple(sorted(values)), False))


def _cut(table: Table, basis: Basis, draft: Draft) -> Iterator[Draft]:
    """A draft with one condition more that holds of two values of a slot; neither alone need gain anything."""
    views = views_of(table, draft)
    for f in basis.cuts(draft):
        same = partners(table, (f,), draft)
        for g in wider(basis, views, (f,), False, same) if len(same) else ():
            yield (*draft, (tuple(sorted((f, g))), False))


def wider(basis: Basis, context: Bits, values: tuple[int, ...], negated: bool, same: Array) -> list[int]:
    """The two values of the same slot that gain most beside these, in views of which everything else holds."""
    table = basis.table
    if negated:
        found = table.of_each(context & table.holds(values, True), same, True)
    else:
        mine = any_of(context & table.holds(values, False))
        found = table.of_each(context, same, False) | mine
    changed = table.count(found).sum(0) != table.count(any_of(context & table.holds(values, negated))).sum()
    gained = np.where(changed, basis.gains(found)[0], -np.inf)
    return [int(same[f]) for f in np.argsort(-gained)[:2]]


def in_one(table: Table, draft: Draft) -> bool:
    """Whether the ways of asking in a condition may still stand together: a draft that lost a condition may be alone now."""
    for n, (values, negated) in enumerate(draft):
        if len(values) > 1 and not negated and table.kind[values[0]] in _ASKED:
            beside = draft[:n] + draft[n + 1 :]
            if any(set(values) - {v} - set(partners(table, (v,), beside).tolist()) for v in values):
                return False
    return True


def partners(table: Table, values: tuple[int, ...], beside: Draft) -> Array:
    """Numbers of the attributes that may stand beside some in one condition, given the rest of a draft."""
    return table.may_join(values, alone=_alone(table, values, beside))


def _alone(table: Table, values: tuple[int, ...], beside: Draft) -> bool:
    """Whether ways of asking stand as good as alone.

    The rest says only what is not, or what nearly all questions that are asked in one of these ways have anyhow.
    """
    if table.kind[values[0]] not in _ASKED:
        return False
    for wanted, negated in beside:
        if not negated:
            views = table.holds(wanted, False)
            asked = [table.holds((value,), False) for value in values]
            if all(np.bitwise_count(a & views).sum() <= _PART * np.bitwise_count(a).sum() for a in asked):
                return False
    return True


def worth_of(table: Table, open_: Bits, rules: Sequence[Draft], price: float) -> float:
    """How well a list of rules as a whole explains what was measured, in log-likelihood, less its price."""
    cost = sum(
        max(cost_of(table, rule, price), sum(cost_of(table, part, price) for part in said(table, rule)))
        for rule in rules
    )
    return Basis(table, open_, rules, price).loss - cost


def said(table: Table, rule: Draft) -> list[Draft]:
    """What a rule says in one breath, apart: one rule for those values of a condition that have exceptions of their own.

    "Which row or how many, changed, not row 4, not 0 or 1" tells of two things: no row is 0, and no number is row 4.
    """
    most = [rule]
    for n, (values, negated) in enumerate(rule):
        rest = rule[:n] + rule[n + 1 :]
        of: dict[Draft, list[int]] = {}
        for value in values if len(values) > 1 and not negated and any(no for _, no in rest) else ():
            of.setdefault(_mattering(table, value, rest), []).append(value)
        for others in sorted(of, key=len):  # exceptions that are some of another's are no matter of their own
            more = next((some for some in of if set(others) < set(some)), None)
            if more is not None:
                of[more] += of.pop(others)
        if len(of) > len(most):
            most = [((tuple(sorted(few)), False), *others) for others, few in of.items()]
    return most


def _mattering(table: Table, value: int, rest: Draft) -> Draft:
    """Of some conditions all but the negated ones that shut nothing out where a value holds, and the others do."""
    held = [table.holds((value,), False), *(table.holds(*condition) for condition in rest)]
    found = []
    for n, condition in enumerate(rest, start=1):
        open_ = np.bitwise_and.reduce([h for k, h in enumerate(held) if k != n])
        if not condition[1] or np.bitwise_count(open_ & ~held[n]).sum() > _IDLE * np.bitwise_count(open_).sum():
            found.append(condition)
    return tuple(found)
