"""From failures and agreements to names: predicates inside which the target fails at one rate, and outside seldom.

The names form a list of rules: a probe belongs to the rule with the highest rate that holds of it, or to none. Rules are
found one by one by subgroup discovery: a beam over conjunctions, then hill climbing that adds, drops, exchanges, widens and
narrows conditions. What counts is how much better its own rate explains a rule's probes than the rates that the other rules
gave them, in log-likelihood, less a price per condition. So a rule that is too broad is carved up by the next ones.

Source: ours. arXiv:2306.12105 and 2312.02974 let a model propose descriptions; here they are mined from attributes, so that
a name is tested before anybody believes it and finds fresh probes by itself.

Shapes: N views of measured probes, F attributes, B predicates of the beam.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from auditdm.method.predicate import Predicate
from auditdm.method.search_space import Array, Table, predicate_of

MOST = 4  # conditions of a name
_VALUES = 6  # attributes of a condition
_VALUES_OF_NOT = 2
_PRICE = 0.8  # of a condition, in the log of the number of conditions that there are to choose from
_MARKS = 4  # of what passes inside a rule, along which it may be split
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
        table: N views of measured probes.
        open_N: (N,) bool: which of them are looked at; all views of a probe, or none.
        most: Names at most.
        hunch: Least worth of a name.
        hunches: Names of a worth below 0 at most.
        thorough: Whether to try in the end to split names that hold two weaknesses, and to join the pieces of one.

    Returns:
        Names, highest rate first.

    Source: ours; the head of this module.

    Cost: about four searches per name, each some ten milliseconds for 10,000 probes.
    """
    if not len(table.phrases) or not table.failed[open_N].any() or table.failed[open_N].all():
        return []
    price = _PRICE * float(np.log(2 * max(2, len(table.phrases))))
    rules: list[Draft] = []
    poor = 0
    for _ in range(2 * most):
        if len(rules) >= most or poor >= hunches:
            break
        basis = _Basis(table, open_N, rules, price)
        worth, draft = _best(table, basis)
        if worth < hunch or draft in rules:
            break
        poor += worth < 0
        mask, before = _mask(table, draft), set(rules)
        rules = [*rules, draft]
        touched = [rule for rule in rules[:-1] if (_mask(table, rule) & mask & open_N).any()]
        for rule in (*touched, draft) if touched else ():
            others = [other for other in rules if other != rule]
            _, better = _climb(table, _Basis(table, open_N, others, price), rule)
            rules = [*others, better] if better not in others else others
        if set(rules) == before:
            break
    if thorough:
        rules = _recast(table, open_N, rules, price)
    return _told(table, open_N, rules, price, hunch)


def _recast(table: Table, open_N: Array, rules: list[Draft], price: float) -> list[Draft]:
    """Split and join rules while the whole list explains more for its price."""
    for _ in range(3):
        before = rules
        for rule in before:
            if rule in rules:
                rules = _split(table, open_N, rules, rule, price)
        for n, one in enumerate(before):
            for other in before[n + 1 :]:
                if one in rules and other in rules and _akin(table, one, other):
                    rules = _joined(table, open_N, rules, (one, other), price)
        if rules == before:
            break
    return rules


def _split(table: Table, open_N: Array, rules: list[Draft], rule: Draft, price: float) -> list[Draft]:
    """Two rules for one, along what marks those of its probes that pass."""
    others = [other for other in rules if other != rule]
    inside = next(region for n, region in _Basis(table, open_N, rules, price).regions if rules[n] == rule)
    gain, _ = _Basis(table, inside, (), price, passing=True).grown(inside[None])[0]
    best, value = rules, _total(table, open_N, rules, price)
    for mark in np.argsort(-gain[0])[:_MARKS]:
        values = (int(mark),)
        halves: list[Draft] = [(*rule, (values, negated)) for negated in (False, True)]
        _, first = _climb(table, _Basis(table, open_N, [*others, halves[1]], price), halves[0])
        _, second = _climb(table, _Basis(table, open_N, [*others, first], price), halves[1])
        for candidate in ([*others, first, second], [*others, first], [*others, second]):
            if len(set(candidate)) == len(candidate) and (found := _total(table, open_N, candidate, price)) > value:
                best, value = candidate, found
    return best


def _joined(table: Table, open_N: Array, rules: list[Draft], pair: tuple[Draft, Draft], price: float) -> list[Draft]:
    """One rule for two, found afresh."""
    others = [rule for rule in rules if rule not in pair]
    basis = _Basis(table, open_N, others, price)
    starts = [_best(table, basis)[1], *pair]
    for one, other in (pair, pair[::-1]):  # a condition of the one, widened by that of the other
        for values, negated in one:
            starts += [
                (*(c for c in one if c != (values, negated)), (tuple(sorted({*values, *more})), negated))
                for more, also in other
                if also == negated
                and set(more) - set(values) <= set(table.may_join(values, alone=len(one) == 1).tolist())
            ]
    candidates = [[*others, _climb(table, basis, start)[1]] for start in starts if start]
    best = max(candidates, key=lambda c: _total(table, open_N, c, price), default=rules)
    return best if _total(table, open_N, best, price) > _total(table, open_N, rules, price) else rules


def _akin(table: Table, one: Draft, other: Draft) -> bool:
    """Whether two rules speak of the same: an attribute in common, or the same kinds of conditions."""
    phrases = [{f for values, negated in draft if not negated for f in values} for draft in (one, other)]
    kinds = [{table.kind[values[0]] for values, negated in draft if not negated} for draft in (one, other)]
    return bool(phrases[0] & phrases[1]) or kinds[0] == kinds[1]


def _total(table: Table, open_N: Array, rules: Sequence[Draft], price: float) -> float:
    """How well a whole list explains what was measured, less its price."""
    basis = _Basis(table, open_N, rules, price)
    return float(basis.loss.sum()) - sum(basis.cost(rule) for rule in rules)


class _Basis:
    """What the rules found so far say of each view: the rate of the rule that it belongs to, or the rate of the rest."""

    def __init__(
        self, table: Table, open_N: Array, rules: Sequence[Draft], price: float, *, passing: bool = False
    ) -> None:
        self.table, self.open, self.price = table, open_N, price
        self.passing = passing  # look for what passes instead
        failed = table.failed
        masks = [_mask(table, rule) & open_N for rule in rules]
        rate_N = np.zeros(len(failed))
        left = open_N.copy()
        self.regions: list[tuple[int, Array]] = []  # rule's number and its views, highest rate first
        for n in sorted(range(len(rules)), key=lambda n: -_rate(failed, masks[n])):
            region = masks[n] & left
            rate_N[region] = _rate(failed, region)
            left &= ~table.whole(region)
            self.regions.append((n, region))
        rate_N[left] = _rate(failed, left)
        rate_N = np.clip(rate_N, 1e-4, 1 - 1e-4)
        self.expected = np.where(open_N, rate_N, 0.0)
        self.loss = np.where(open_N, np.where(failed, np.log(rate_N), np.log(1 - rate_N)), 0.0)

    def gain(self, fails: Array | float, inside: Array | float, loss: Array | float, expected: Array | float) -> Array:
        """How much better one rate of their own explains some views; 0 where they do not fail more often than expected."""
        own = _likelihood(np.asarray(fails, float), np.asarray(inside, float))
        worse = np.asarray(fails) > np.asarray(expected)
        return np.where(worse != self.passing, own - loss, 0.0)

    def worth(self, draft: Draft) -> float:
        """Gain less price."""
        mask = _mask(self.table, draft) & self.open
        fails = float((self.table.failed & mask).sum())
        won = self.gain(fails, float(mask.sum()), float(self.loss[mask].sum()), float(self.expected[mask].sum()))
        return float(won) - self.cost(draft)

    def cost(self, draft: Draft) -> float:
        """Of a rule, and of its conditions."""
        return self.price + sum(self.price * len(values) * (_OF_NOT if negated else 1.0) for values, negated in draft)

    def grown(self, masks_BN: Array) -> list[tuple[Array, Array]]:
        """For each attribute, then for its absence: (B, F) the gain of each mask together with it, and the failures."""
        weights = np.stack([self.table.failed, np.ones(len(self.open)), self.loss, self.expected])
        held = self.table.sums(masks_BN, weights)
        missing = (masks_BN.astype(np.float64) @ weights.T).T[:, :, None] - held
        return [(self.gain(*sums), np.rint(sums[0])) for sums in (held, missing)]


def _rate(failed: Array, mask: Array) -> float:
    return (float((failed & mask).sum()) + 0.5) / (float(mask.sum()) + 1.0)


def _likelihood(k: Array, n: Array) -> Array:
    passed = n - k
    share = np.maximum(n, 1e-12)
    found: Array = k * np.log(np.maximum(k, 1e-12) / share) + passed * np.log(np.maximum(passed, 1e-12) / share)
    return found


def _mask(table: Table, draft: Draft) -> Array:
    mask = np.ones(len(table.failed), bool)
    for values, negated in draft:
        mask &= table.holds(values, negated)
    return mask


def _best(table: Table, basis: _Basis, *, depth: int = 3, width: int = 12) -> tuple[float, Draft]:
    """The draft of the highest worth, and its worth."""
    beam: list[tuple[Draft, Array]] = [((), basis.open)]
    best: list[Draft] = []
    seen: set[frozenset[Condition]] = set()
    for _ in range(depth):
        following: list[tuple[Draft, Array]] = []
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


def _grown(basis: _Basis, beam: Sequence[tuple[Draft, Array]], most: int) -> list[tuple[Draft, int]]:
    """The drafts of a beam with one condition more, best first, each with the number of the draft that it grew from."""
    masks = np.stack([mask for _, mask in beam])
    before = np.array([basis.cost(draft) for draft, _ in beam])[:, None]
    found: list[tuple[float, int, int, bool]] = []
    for negated, (gain, fails) in zip((False, True), basis.grown(masks), strict=True):
        value = gain - before - basis.price * (_OF_NOT if negated else 1.0)
        value[fails < (0 if basis.passing else 3)] = -np.inf
        width = value.shape[1]
        for i in np.argpartition(value, -min(most, value.size), axis=None)[-most:]:
            found.append((float(value.flat[i]), int(i // width), int(i % width), negated))
    ordered = sorted((f for f in found if np.isfinite(f[0])), key=lambda f: (-f[0], f[2], f[3], f[1]))
    return [((*beam[parent][0], ((column,), negated)), parent) for _, parent, column, negated in ordered]


def _climb(table: Table, basis: _Basis, draft: Draft) -> tuple[float, Draft]:
    """Change one thing at a time while it gains; returns (worth, draft)."""
    value = basis.worth(draft)
    for _ in range(12):
        scored = [(basis.worth(move), move) for move in set(_moves(table, basis, draft))]
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
        context = _mask(table, rest) & basis.open
        yield from ((*rest, condition) for condition in _tops(basis, context))
        same = table.may_join(values, alone=not rest)
        if len(values) < (_VALUES_OF_NOT if negated else _VALUES) and len(same):
            yield from (
                (*rest, (tuple(sorted((*values, f))), negated)) for f in _wider(basis, context, values, negated, same)
            )
    if len(draft) < MOST:
        context = _mask(table, draft) & basis.open
        yield from ((*draft, condition) for condition in _tops(basis, context))


def _tops(basis: _Basis, mask: Array) -> list[Condition]:
    """The three conditions, and the two negated ones, that add most to what a mask holds already."""
    (plain, _), (negated, _) = ((gain[0], fails) for gain, fails in basis.grown(mask[None]))
    found: list[Condition] = [((int(f),), False) for f in np.argsort(-plain)[:3]]
    return found + [((int(f),), True) for f in np.argsort(-negated)[:2]]


def _wider(basis: _Basis, context: Array, values: tuple[int, ...], negated: bool, same: Array) -> list[int]:
    """The two values of the same slot that gain most beside these."""
    table = basis.table
    mine = context & table.holds(values, negated)
    more = (context & ~table.holds(values, False))[None]
    weights = np.stack([table.failed, np.ones(len(context)), basis.loss, basis.expected])
    added = table.sums(more, weights)[:, 0][:, same]
    inside = np.rint(added[1])
    sign = -1.0 if negated else 1.0
    gained = basis.gain(*((weights @ mine.astype(float))[:, None] + sign * added))
    gained[inside == 0] = -np.inf
    return [int(same[f]) for f in np.argsort(-gained)[:2]]


def _told(table: Table, open_N: Array, rules: Sequence[Draft], price: float, hunch: float) -> list[Named]:
    found: list[Named] = []
    for n, region in _Basis(table, open_N, rules, price).regions:
        others = [rule for k, rule in enumerate(rules) if k != n]
        worth = _Basis(table, open_N, others, price).worth(rules[n])
        if worth >= hunch and region.any():
            fails, inside = table.probes(region & table.failed), table.probes(region)
            found.append(Named(predicate_of(table, rules[n]), worth, fails, inside))
    return found
