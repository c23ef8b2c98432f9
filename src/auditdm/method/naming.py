"""From failures and agreements to names: predicates inside which the target fails at one rate, and outside seldom.

The names form a list of rules: a probe belongs to the rule with the highest rate that holds of it, or to none. Rules are
found one by one by subgroup discovery: a beam over conjunctions, then hill climbing that adds, drops, exchanges, widens and
narrows conditions. What counts is how much better its own rate explains a rule's probes than the rates that the other rules
gave them, in log-likelihood, less a price per condition. So a rule that is too broad is carved up by the next ones.

Source: ours. arXiv:2306.12105 and 2312.02974 let a model propose descriptions; here they are mined from attributes, so that
a name is tested before anybody believes it and finds fresh probes by itself.

Shapes: N measured probes, W words of 64 of them (sets are bits), V views of each, F attributes, L levels: the rules and the rest.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from auditdm.method.predicate import Predicate
from auditdm.method.search_space import Array, Bits, Table, predicate_of

MOST = 4  # conditions of a name
_VALUES = 8  # attributes of a condition
_VALUES_OF_NOT = 2
_PRICE = 0.8  # of a condition, in the log of the number of conditions that there are to choose from
_SEEDS, _FAILS = 12, 4  # ways of asking that a rule is taken apart into at most, and failures of each at least
_NEARLY = 0.9  # of a rule's views that have what another demands: the two may be pieces of one
_MARKS = 6  # of what passes inside a rule, along which it may be split
_JOINED = ("asks", "says", "answer", "about", "shows")  # kinds of which several values may stand in one condition
_CUTS, _PART = (
    1,
    0.8,
)  # of each that are tried with a second value, and the share of a draft's probes that have it at most
_IDLE = 0.02  # of what the other conditions leave: a condition that shuts out no more of it says nothing there
_OF_NOT = 1.5  # what a negated condition costs beside a plain one: a name should say what is, where it can
Condition = tuple[tuple[int, ...], bool]  # numbers of attributes, negated
Draft = tuple[Condition, ...]


@dataclass(frozen=True)
class Named:
    """A predicate for some of the failures."""

    predicate: Predicate
    worth: float  # gain in log-likelihood less its price; below 0 it is a hunch
    fails: int
    inside: int  # probes measured that belong to it


def names(
    table: Table, open_N: Array, *, most: int = 8, hunch: float = 0.0, hunches: int = 2, thorough: bool = False
) -> list[Named]:
    """Name the failures among some of the probes.

    Args:
        table: N measured probes.
        open_N: (N,) bool: which of them are looked at.
        most: Names at most.
        hunch: Least worth of a name.
        hunches: Names of a worth below 0 at most.
        thorough: Whether to try in the end to split names that hold two weaknesses, and to join the pieces of one.

    Returns:
        Names, highest rate first.

    Source: ours; the head of this module.

    Cost: about four searches per name, each some ten milliseconds for 10,000 probes.
    """
    open_ = table.pack(open_N)
    if not len(table.phrases) or not table.count(open_).all():
        return []
    price = _PRICE * float(np.log(2 * max(2, len(table.phrases))))
    rules: list[Draft] = []
    poor = 0
    for _ in range(2 * most):
        if len(rules) >= most or poor >= hunches:
            break
        basis = _Basis(table, open_, rules, price)
        worth, draft = _best(table, basis)
        if worth < hunch or draft in rules:
            break
        poor += worth < 0
        mask, before = _probes(table, draft), set(rules)
        rules = [*rules, draft]
        touched = [rule for rule in rules[:-1] if (_probes(table, rule) & mask & open_).any()]
        for rule in (*touched, draft) if touched else ():
            others = [other for other in rules if other != rule]
            _, better = _climb(table, _Basis(table, open_, others, price), rule)
            rules = [*others, better] if better not in others else others
        if set(rules) == before:
            break
    for kind in ("asks", "answer"):
        for rule in tuple(rules):
            rules = _taken_apart(table, open_, rules, rule, kind, price)
    if thorough:
        rules = _recast(table, open_, rules, price)
    return _told(table, open_, rules, price, hunch)


def _taken_apart(table: Table, open_: Bits, rules: list[Draft], rule: Draft, kind: str, price: float) -> list[Draft]:
    """Rules for the ways of asking, or for the answers, that a rule holds of; together again where one tells as much as two.

    The best first rule is the broadest, and no single change of it leads to several narrow ones that tell more.
    """
    others = [other for other in rules if other != rule]
    inside = next(region for n, region in _Basis(table, open_, rules, price).regions if rules[n] == rule)
    values = table.of_kind(kind)
    fails = table.count(table.of_each(_views(table, rule) & inside, values, False))[0]
    seeds = [int(values[n]) for n in np.argsort(-fails)[:_SEEDS] if fails[n] >= _FAILS]
    pieces: list[Draft] = []
    for seed in seeds if len(seeds) > 1 else ():
        kept: Condition = ((seed,), False)
        worth, piece = _climb(table, _Basis(table, open_, [*others, *pieces], price), (kept,), kept)
        if worth > 0:
            pieces.append(piece)
    value = _total(table, open_, [*others, *pieces], price)
    while len(pieces) > 1:
        merged = [
            [one, *(p for p in pieces if p not in pair)]
            for pair in combinations(pieces, 2)
            for one in _both_ways(table, *pair)
        ]
        best = max(merged, key=lambda m: _total(table, open_, [*others, *m], price), default=pieces)
        total = _total(table, open_, [*others, *best], price)
        if total <= value:
            break
        pieces, value = best, total
    return [*others, *pieces] if pieces and value > _total(table, open_, rules, price) else rules


def _both_ways(table: Table, one: Draft, other: Draft) -> list[Draft]:
    """Each of two pieces with the first conditions of both, where these are of one slot."""
    (mine, _), (its, _) = one[0], other[0]
    values = tuple(sorted({*mine, *its}))
    if len(values) > _VALUES or not set(its) - set(mine) <= set(table.may_join(mine, alone=False).tolist()):
        return []
    return [((values, False), *draft[1:]) for draft in (one, other)]


def _recast(table: Table, open_: Bits, rules: list[Draft], price: float) -> list[Draft]:
    """Split and join rules while the whole list explains more for its price."""
    for _ in range(6):
        before = rules
        for rule in before:
            if rule in rules:
                rules = _split(table, open_, rules, rule, price)
        pieces = rules
        for n, one in enumerate(pieces):
            for other in pieces[n + 1 :]:
                if one in rules and other in rules and _akin(table, one, other):
                    rules = _joined(table, open_, rules, (one, other), price)
        if rules == before:
            break
    return rules


def _split(table: Table, open_: Bits, rules: list[Draft], rule: Draft, price: float) -> list[Draft]:
    """Two rules for one: along what marks those of its probes that pass, or one value of a condition apart from the rest.

    A rule that the two make needless is left out.
    """
    others = [other for other in rules if other != rule]
    best, value = rules, _total(table, open_, rules, price)
    for halves in _halves(table, open_, rules, rule, price):
        _, first = _climb(table, _Basis(table, open_, [*others, halves[1]], price), halves[0])
        _, second = _climb(table, _Basis(table, open_, [*others, first], price), halves[1])
        both = [*others, first, second]
        for candidate in (both, *([r for r in both if r != gone] for gone in both)):
            if len(set(candidate)) == len(candidate) and (found := _total(table, open_, candidate, price)) > value:
                best, value = candidate, found
    return best


def _halves(table: Table, open_: Bits, rules: list[Draft], rule: Draft, price: float) -> Iterator[tuple[Draft, Draft]]:
    inside = next(region for n, region in _Basis(table, open_, rules, price).regions if rules[n] == rule)
    gain, _ = _Basis(table, inside, (), price, passing=True).grown(_views(table, rule) & inside)[0]
    for mark in (m for m in np.argsort(-gain)[:_MARKS] if gain[m] > price):
        yield (*rule, ((int(mark),), False)), (*rule, ((int(mark),), True))
    for n, (values, negated) in enumerate(rule):
        groups = [(v,) for v in values] + [
            draft[0][0] for draft in _said(table, rule) if set(draft[0][0]) < set(values)
        ]
        for group in dict.fromkeys(groups) if len(values) > 1 and not negated else ():
            left = tuple(v for v in values if v not in group)
            one, other = ((*rule[:n], (some, False), *rule[n + 1 :]) for some in (group, left))
            yield one, other


def _joined(table: Table, open_: Bits, rules: list[Draft], pair: tuple[Draft, Draft], price: float) -> list[Draft]:
    """One rule for two, found afresh."""
    others = [rule for rule in rules if rule not in pair]
    basis = _Basis(table, open_, others, price)
    starts = [_best(table, basis)[1], *pair]
    for one, other in (pair, pair[::-1]):  # a condition of the one, widened by that of the other
        for (values, negated), more in _same_slot(table, one, other):
            starts.append((*(c for c in one if c != (values, negated)), (tuple(sorted({*values, *more})), negated)))
    candidates = [[*others, _climb(table, basis, start)[1]] for start in starts if start]
    best = max(candidates, key=lambda c: _total(table, open_, c, price), default=rules)
    return best if _total(table, open_, best, price) > _total(table, open_, rules, price) else rules


def _same_slot(table: Table, one: Draft, other: Draft) -> Iterator[tuple[Condition, tuple[int, ...]]]:
    """The conditions of the one that values of a condition of the other may join, with these."""
    for n, (values, negated) in enumerate(one):
        may = set(table.may_join(values, alone=_bare(one[:n] + one[n + 1 :])).tolist())
        for more, also in other:
            if also == negated and set(more) - set(values) <= may:
                yield (values, negated), more


def _bare(rest: Draft) -> bool:
    """Whether conditions say nothing of what is, so that one beside them stands as good as alone."""
    return all(negated for _, negated in rest)


def _akin(table: Table, one: Draft, other: Draft) -> bool:
    """Whether two rules may be pieces of one: they share an attribute or a slot, or what one demands the other has."""
    phrases = [{f for values, negated in draft if not negated for f in values} for draft in (one, other)]
    return (
        bool(phrases[0] & phrases[1])
        or _implies(table, one, other)
        or _implies(table, other, one)
        or any(not negated for pair in ((one, other), (other, one)) for (_, negated), _ in _same_slot(table, *pair))
    )


def _implies(table: Table, one: Draft, other: Draft) -> bool:
    views = _views(table, one)
    least = _NEARLY * table.count(_any(views)).sum()
    plain = [table.holds(values, False) for values, negated in other if not negated]
    return any(table.count(_any(views & held)).sum() >= least for held in plain)


def _total(table: Table, open_: Bits, rules: Sequence[Draft], price: float) -> float:
    """How well a whole list explains what was measured, less its price."""
    cost = sum(max(_cost(rule, price), sum(_cost(part, price) for part in _said(table, rule))) for rule in rules)
    return _Basis(table, open_, rules, price).loss - cost


def _said(table: Table, rule: Draft) -> list[Draft]:
    """What a rule says in one breath, apart: one rule for those values of a condition beside which the same others matter.

    "Which row or how many, changed, not row 4, not 0 or 1" tells of two things: no row is 0, and no number is row 4.
    """
    most = [rule]
    for n, (values, negated) in enumerate(rule):
        rest = rule[:n] + rule[n + 1 :]
        of: dict[Draft, list[int]] = {}
        for value in values if len(values) > 1 and not negated and any(no for _, no in rest) else ():
            of.setdefault(_mattering(table, value, rest), []).append(value)
        if len(of) > len(most):
            most = [((tuple(few), False), *others) for others, few in of.items()]
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


class _Basis:
    """What the rules found so far say of each probe: the rate of the rule that it belongs to, or the rate of the rest."""

    def __init__(
        self, table: Table, open_: Bits, rules: Sequence[Draft], price: float, *, passing: bool = False
    ) -> None:
        self.table, self.open, self.price = table, open_, price
        self.passing = passing  # look for what passes instead
        held = [_probes(table, rule) & open_ for rule in rules]
        left = open_
        self.regions: list[tuple[int, Bits]] = []  # rule's number and its probes, highest rate first
        for n in sorted(range(len(rules)), key=lambda n: -_rate(table, held[n])):
            self.regions.append((n, held[n] & left))
            left = left & ~held[n]
        self._levels = np.stack([*(region for _, region in self.regions), left])
        self._rates = np.clip([_rate(table, level) for level in self._levels], 1e-4, 1 - 1e-4)
        self._logs = np.stack([np.log(self._rates), np.log1p(-self._rates)])
        self.loss = float(self.sums(open_)[2])
        self._tops: dict[
            frozenset[Condition], tuple[list[Condition], list[int]]
        ] = {}  # climbs that start apart come to the same places
        self._worths: dict[frozenset[Condition], float] = {}

    def gain(self, sums: Array) -> Array:
        """How much better one rate of their own explains some probes; 0 where they do not fail more often than expected.

        Args:
            sums: (4, ...): failing probes, probes, and what the levels say of them: log-likelihood and failures expected.
        """
        fails, inside, loss, expected = sums
        return np.where((fails > expected) != self.passing, _likelihood(fails, inside) - loss, 0.0)

    def worth(self, draft: Draft) -> float:
        """Gain less price."""
        key = frozenset(draft)
        if key not in self._worths:
            self._worths[key] = float(self.gain(self.sums(_probes(self.table, draft)))) - self.cost(draft)
        return self._worths[key]

    def tops(self, draft: Draft) -> list[Condition]:
        """The three conditions, and the two negated ones, that add most to what a draft holds already."""
        return self._grown(draft)[0]

    def cuts(self, draft: Draft) -> list[int]:
        """Of each kind the attributes that add most, among those that only part of a draft's probes have."""
        return self._grown(draft)[1]

    def _grown(self, draft: Draft) -> tuple[list[Condition], list[int]]:
        key = frozenset(draft)
        if key not in self._tops:
            views = _views(self.table, draft)
            plain, negated = (self.sums(self.table.of_each(views, slice(None), no)) for no in (False, True))
            gain, gain_of_not = self.gain(plain), self.gain(negated)
            found: list[Condition] = [((int(f),), False) for f in np.argsort(-gain)[:3]]
            found += [((int(f),), True) for f in np.argsort(-gain_of_not)[:2]]
            part = plain[1] <= _PART * float(self.sums(_any(views))[1])
            value = np.where(part, gain, -np.inf)
            best = (of[np.argsort(-value[of])[:_CUTS]] for of in map(self.table.of_kind, _JOINED) if len(of))
            cuts = [int(f) for few in best for f in few if part[f]]
            self._tops[key] = found, cuts
        return self._tops[key]

    def sums(self, probes: Bits) -> Array:
        """(4, ...): what `gain` needs, of the open probes among each set (..., W)."""
        found = np.zeros((4, *probes.shape[:-1]))
        if probes.ndim == 1:
            fails, passes = self.table.count(probes & self._levels)
            found[:] = fails.sum(), (fails + passes).sum(), self._logs[0] @ fails + self._logs[1] @ passes, 0.0
            found[3] = self._rates @ (fails + passes)
            return found
        everywhere = np.bitwise_or.reduce(probes.reshape(-1, probes.shape[-1]), axis=0)
        for n, level in enumerate(self._levels):
            if (level & everywhere).any():
                fails, passes = self.table.count(probes & level)
                found[0] += fails
                found[1] += fails + passes
                found[2] += self._logs[0, n] * fails + self._logs[1, n] * passes
                found[3] += self._rates[n] * (fails + passes)
        return found

    def cost(self, draft: Draft) -> float:
        """Of a rule, and of its conditions."""
        return _cost(draft, self.price)

    def grown(self, views: Bits) -> list[tuple[Array, Array]]:
        """For each attribute, then for its absence: (F,) the gain of a set of views together with it, and the failures."""
        both = [self.sums(self.table.of_each(views, slice(None), negated)) for negated in (False, True)]
        return [(self.gain(sums), sums[0]) for sums in both]


def _cost(draft: Draft, price: float) -> float:
    return price + sum(price * len(values) * (_OF_NOT if negated else 1.0) for values, negated in draft)


def _rate(table: Table, mask: Bits) -> float:
    fails, passes = table.count(mask)
    return (float(fails) + 0.5) / (float(fails + passes) + 1.0)


def _likelihood(k: Array, n: Array) -> Array:
    passed = n - k
    share = np.maximum(n, 1e-12)
    found: Array = k * np.log(np.maximum(k, 1e-12) / share) + passed * np.log(np.maximum(passed, 1e-12) / share)
    return found


def _views(table: Table, draft: Draft) -> Bits:
    views = table.all_VW
    for values, negated in draft:
        views = views & table.holds(values, negated)
    return views


def _probes(table: Table, draft: Draft) -> Bits:
    return _any(_views(table, draft))


def _any(views: Bits) -> Bits:
    probes: Bits = np.bitwise_or.reduce(views, axis=0)
    return probes


def _best(table: Table, basis: _Basis, *, depth: int = 3, width: int = 12) -> tuple[float, Draft]:
    """The draft of the highest worth, and its worth."""
    beam: list[tuple[Draft, Bits]] = [((), table.all_VW & basis.open)]
    best: list[Draft] = []
    seen: set[frozenset[Condition]] = set()
    for _ in range(depth):
        following: list[tuple[Draft, Bits]] = []
        for draft, parent in _grown(basis, beam, 4 * width):
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
    return max((_climb(table, basis, draft) for draft in best), key=lambda c: c[0], default=(-np.inf, ()))


def _grown(basis: _Basis, beam: Sequence[tuple[Draft, Bits]], most: int) -> list[tuple[Draft, int]]:
    """The drafts of a beam with one condition more, best first, each with the number of the draft that it grew from."""
    found: list[tuple[float, int, int, bool]] = []
    for parent, (draft, mask) in enumerate(beam):
        before = basis.cost(draft)
        for negated, (gain, fails) in zip((False, True), basis.grown(mask), strict=True):
            value = gain - before - basis.price * (_OF_NOT if negated else 1.0)
            value[fails < (0 if basis.passing else 3)] = -np.inf
            found += [(float(value[f]), parent, int(f), negated) for f in np.argsort(-value)[:most]]
    ordered = sorted((f for f in found if np.isfinite(f[0])), key=lambda f: (-f[0], f[2], f[3], f[1]))[: 2 * most]
    return [((*beam[parent][0], ((column,), negated)), parent) for _, parent, column, negated in ordered]


def _climb(table: Table, basis: _Basis, draft: Draft, kept: Condition | None = None) -> tuple[float, Draft]:
    """Change one thing at a time while it gains; returns (worth, draft). A condition that is to be kept comes first."""
    value = basis.worth(draft)
    for _ in range(12):
        moves = set(_moves(table, basis, draft))
        if kept is not None:
            moves = {(kept, *(c for c in move if c != kept)) for move in moves if kept in move}
        scored = [(basis.worth(move), move) for move in moves]
        better = max(scored, key=lambda s: (s[0], s[1]), default=(value, draft))
        if better[0] <= value + 1e-6:
            break
        value, draft = better
    return value, draft


def _moves(table: Table, basis: _Basis, draft: Draft) -> Iterator[Draft]:
    for n, (values, negated) in enumerate(draft):
        rest = draft[:n] + draft[n + 1 :]
        if rest:
            yield rest
        if len(values) > 1:
            yield from ((*rest, (tuple(v for v in values if v != gone), negated)) for gone in values)
        yield from ((*rest, condition) for condition in basis.tops(rest))
        same = table.may_join(values, alone=_bare(rest))
        if len(values) < (_VALUES_OF_NOT if negated else _VALUES) and len(same):
            yield from (
                (*rest, (tuple(sorted((*values, f))), negated))
                for f in _wider(basis, _views(table, rest), values, negated, same)
            )
    if len(draft) < MOST:
        yield from ((*draft, condition) for condition in basis.tops(draft))
        yield from _cut(table, basis, draft)
    for kind in {table.kind[values[0]] for values, negated in draft if negated}:
        yield from _plainer(table, basis, draft, kind)


def _plainer(table: Table, basis: _Basis, draft: Draft, kind: str) -> Iterator[Draft]:
    """What is instead of what is not: a condition for all negated ones of a kind, or the values that they leave."""
    bare = tuple(c for c in draft if not (c[1] and table.kind[c[0][0]] == kind))
    yield from ((*bare, condition) for condition in basis.tops(bare) if not condition[1])
    of = table.of_kind(kind)
    fails = table.count(table.of_each(_views(table, draft), of, False))[0]
    if kind in _JOINED and len(of) and fails.max() >= _FAILS:
        first = int(of[np.argmax(fails)])
        left = np.intersect1d(of[fails > 0], table.may_join((first,), alone=_bare(bare)))
        values = sorted((first, *left.tolist()), key=lambda f: -fails[np.searchsorted(of, f)])[:_VALUES]
        yield (*bare, (tuple(sorted(values)), False))


def _cut(table: Table, basis: _Basis, draft: Draft) -> Iterator[Draft]:
    """A draft with one condition more that holds of two values of a slot; neither alone need gain anything."""
    views = _views(table, draft)
    for f in basis.cuts(draft):
        same = table.may_join((f,), alone=_bare(draft))
        for g in _wider(basis, views, (f,), False, same) if len(same) else ():
            yield (*draft, (tuple(sorted((f, g))), False))


def _wider(basis: _Basis, context: Bits, values: tuple[int, ...], negated: bool, same: Array) -> list[int]:
    """The two values of the same slot that gain most beside these."""
    table = basis.table
    if negated:
        found = table.of_each(context & table.holds(values, True), same, True)
    else:
        mine = _any(context & table.holds(values, False))
        found = table.of_each(context, same, False) | mine
    changed = table.count(found).sum(0) != table.count(_any(context & table.holds(values, negated))).sum()
    gained = np.where(changed, basis.gain(basis.sums(found)), -np.inf)
    return [int(same[f]) for f in np.argsort(-gained)[:2]]


def _told(table: Table, open_: Bits, rules: Sequence[Draft], price: float, hunch: float) -> list[Named]:
    found: list[Named] = []
    for n, region in _Basis(table, open_, rules, price).regions:
        others = [rule for k, rule in enumerate(rules) if k != n]
        worth = _Basis(table, open_, others, price).worth(rules[n])
        if worth >= hunch and region.any():
            fails, passes = table.count(region)
            found.append(Named(predicate_of(table, rules[n]), worth, int(fails), int(fails + passes)))
    return found
