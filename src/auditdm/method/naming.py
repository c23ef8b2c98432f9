"""From failures and agreements to names: predicates inside which the target fails at one rate, and outside seldom.

The names form a list of rules: a probe belongs to the rule with the highest rate that holds of it, or to none. Rules are
found one by one (`auditdm.method.rules`). What counts is how much better its own rate explains a rule's probes than the
rates that the other rules gave them, in log-likelihood, less a price per condition; up to half of them it may leave to rules
of a higher rate. So a rule that is too broad is carved up by the next ones. In the end rules are reworded, split, carved and
joined while the list as a whole explains more for its price.

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
from auditdm.method.rules import (
    FAILS,
    JOINED,
    MOST,
    VALUES,
    Basis,
    Condition,
    Draft,
    any_of,
    best_rule,
    climb,
    cost_of,
    in_one,
    partners,
    probes_of,
    views_of,
    wider,
)
from auditdm.method.search_space import Array, Bits, Table, predicate_of

_PRICE = 0.8  # of a condition, in the log of the number of conditions that there are to choose from
_SEEDS = 12  # ways of asking that a rule is taken apart into at most
_NEARLY = 0.9  # of a rule's views that have what another demands: the two may be pieces of one
_FEW = 0.25  # of all probes: what more of them have is no sign that two rules are pieces of one
_STARTS = 3  # values that a condition is found afresh from
_MARKS = 6  # of what passes inside a rule, along which it may be split
_ROUNDS = 6  # of splitting and joining, at most
_IDLE = 0.02  # of what the other conditions leave: a condition that shuts out no more of it says nothing there


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
    price = _PRICE * float(np.log(2 * max(2, (table.length_F == 1).sum())))
    rules: list[Draft] = []
    poor = 0
    for _ in range(2 * most):
        if len(rules) >= most or poor >= hunches:
            break
        basis = Basis(table, open_, rules, price)
        worth, draft = best_rule(table, basis)
        if worth < hunch or draft in rules:
            break
        poor += worth < 0
        mask, before = probes_of(table, draft), set(rules)
        rules = [*rules, draft]
        touched = [rule for rule in rules[:-1] if (probes_of(table, rule) & mask & open_).any()]
        for rule in (*touched, draft) if touched else ():
            others = [other for other in rules if other != rule]
            _, better = climb(table, Basis(table, open_, others, price), rule)
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
    inside = next(region for n, region in Basis(table, open_, rules, price).regions if rules[n] == rule)
    values = table.of_kind(kind)
    fails = table.count(table.of_each(views_of(table, rule) & inside, values, False))[0]
    seeds = [int(values[n]) for n in np.argsort(-fails)[:_SEEDS] if fails[n] >= FAILS]
    pieces: list[Draft] = []
    for seed in seeds if len(seeds) > 1 else ():
        kept: Condition = ((seed,), False)
        worth, piece = climb(table, Basis(table, open_, [*others, *pieces], price), (kept,), kept)
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
    found: list[Draft] = []
    for draft in (one, other) if len(values) <= VALUES else ():
        if set(its) - set(mine) <= set(partners(table, mine, draft[1:]).tolist()):
            found.append(((values, False), *draft[1:]))
    return found


def _recast(table: Table, open_: Bits, rules: list[Draft], price: float) -> list[Draft]:
    """Reword, split, carve and join rules while the whole list explains more for its price."""
    for _ in range(_ROUNDS):
        before = rules
        for rule in before:
            for changed in (_reworded, _split, _carved):
                if rule in rules:
                    rules = changed(table, open_, rules, rule, price)
        pieces = rules
        for n, one in enumerate(pieces):
            for other in pieces[n + 1 :]:
                if one in rules and other in rules and _akin(table, one, other):
                    rules = _joined(table, open_, rules, (one, other), price)
                if one in rules and other in rules:
                    rules = _moved(table, open_, rules, (one, other), price)
        rules = _lifted(table, open_, rules, price)
        if rules == before:
            break
    return rules


def _lifted(table: Table, open_: Bits, rules: list[Draft], price: float) -> list[Draft]:
    """One attribute for several rules that all have it: "says colour" for three ways of asking for one."""
    views = [views_of(table, rule) for rule in rules]
    having = [table.count(table.of_each(held, slice(None), False)).sum(0) for held in views]
    has = np.array([few >= _NEARLY * table.count(any_of(v)).sum() for few, v in zip(having, views, strict=True)])
    groups: dict[tuple[int, ...], list[int]] = {}
    for f in np.flatnonzero(has.sum(0) > 1) if len(rules) > 1 else ():
        groups.setdefault(tuple(np.flatnonzero(has[:, f]).tolist()), []).append(int(f))
    candidates = [rules]
    for group, shared in groups.items():
        others = [rule for n, rule in enumerate(rules) if n not in group]
        basis = Basis(table, open_, others, price)
        gains = basis.gains(table.of_each(table.all_VW, np.array(shared), False))[0]
        candidates.append([*others, (((shared[int(np.argmax(gains))],), False),)])
    return max(candidates, key=lambda c: _total(table, open_, c, price))


def _reworded(table: Table, open_: Bits, rules: list[Draft], rule: Draft, price: float) -> list[Draft]:
    """The rule bettered, or the values of a condition found afresh: "clock or digit" may stand where "7, 8 or 9" tells more."""
    others = [other for other in rules if other != rule]
    basis = Basis(table, open_, others, price)
    candidates = [rules, [*others, climb(table, basis, rule)[1]]]
    for n, (values, negated) in enumerate(rule):
        of = np.setdiff1d(table.of_kind(table.kind[values[0]]), values)
        if negated or table.kind[values[0]] not in JOINED or not len(of):
            continue
        rest = rule[:n] + rule[n + 1 :]
        views = views_of(table, rest)
        gains = basis.gains(table.of_each(views, of, False))[0]
        starts: list[tuple[int, ...]] = [(int(first),) for first in of[np.argsort(-gains)[:_STARTS]]]
        starts += [tuple(v for v in values if v != gone) for gone in values] if len(values) > 1 else []
        for grown in starts:
            without = np.setdiff1d(values, grown)
            while len(grown) < VALUES:
                same = np.setdiff1d(partners(table, grown, rest), without)
                more = tuple(sorted((*grown, *wider(basis, views, grown, False, same)[:1]))) if len(same) else grown
                if more == grown or basis.worth((*rest, (more, False))) <= basis.worth((*rest, (grown, False))):
                    break
                grown = more
            candidates.append([*others, climb(table, basis, (*rest, (grown, False)))[1]])
    return max(candidates, key=lambda c: _total(table, open_, c, price))


def _split(table: Table, open_: Bits, rules: list[Draft], rule: Draft, price: float) -> list[Draft]:
    """Two rules for one: along what marks those of its probes that pass, or one value of a condition apart from the rest.

    A rule that the two make needless is left out.
    """
    others = [other for other in rules if other != rule]
    best, value = rules, _total(table, open_, rules, price)
    for halves in _halves(table, open_, rules, rule, price):
        _, first = climb(table, Basis(table, open_, [*others, halves[1]], price), halves[0])
        _, second = climb(table, Basis(table, open_, [*others, first], price), halves[1])
        both = [*others, first, second]
        for candidate in (both, *([r for r in both if r != gone] for gone in both)):
            if len(set(candidate)) == len(candidate) and (found := _total(table, open_, candidate, price)) > value:
                best, value = candidate, found
    return best


def _carved(table: Table, open_: Bits, rules: list[Draft], rule: Draft, price: float) -> list[Draft]:
    """A rule more for what fails more often inside a rule, where what is left of it fails at a lower rate than before."""
    inside = next(region for n, region in Basis(table, open_, rules, price).regions if rules[n] == rule)
    worth, inner = best_rule(table, Basis(table, inside, (), price, parting=True))
    drafts = [(*rule, *inner), *((*rule[:n], *rule[n + 1 :], *inner) for n in range(len(rule)))] if worth > 0 else []
    drafts = [tuple(dict.fromkeys(draft)) for draft in drafts]
    fit = [new for new in drafts if len(new) <= MOST and new not in rules and in_one(table, new)]
    candidates = [_settled(table, open_, rules, new, price) for new in fit]
    return max((rules, *candidates), key=lambda c: _total(table, open_, c, price))


def _halves(table: Table, open_: Bits, rules: list[Draft], rule: Draft, price: float) -> Iterator[tuple[Draft, Draft]]:
    inside = next(region for n, region in Basis(table, open_, rules, price).regions if rules[n] == rule)
    gain, _ = Basis(table, inside, (), price, passing=True).grown(views_of(table, rule) & inside)[0]
    for mark in (m for m in np.argsort(-gain)[:_MARKS] if gain[m] > price):
        yield (*rule, ((int(mark),), False)), (*rule, ((int(mark),), True))
    parts = [draft[0][0] for draft in _said(table, rule)]
    for n, (values, negated) in enumerate(rule):
        groups = [(v,) for v in values] + [part for part in parts if set(part) < set(values)]
        for group in dict.fromkeys(groups) if len(values) > 1 and not negated else ():
            left = tuple(v for v in values if v not in group)
            one, other = ((*rule[:n], (some, False), *rule[n + 1 :]) for some in (group, left))
            yield one, other


def _joined(table: Table, open_: Bits, rules: list[Draft], pair: tuple[Draft, Draft], price: float) -> list[Draft]:
    """One rule for two, found afresh."""
    others = [rule for rule in rules if rule not in pair]
    basis = Basis(table, open_, others, price)
    starts = [best_rule(table, basis)[1], *pair]
    if len(common := _in_common(table, *pair)):
        gains = basis.gains(table.of_each(table.all_VW, common, False))[0]
        starts.append((((int(common[np.argmax(gains)]),), False),))
    for one, other in (pair, pair[::-1]):  # a condition of the one, widened by that of the other
        for (values, negated), more in _same_slot(table, one, other):
            starts.append((*(c for c in one if c != (values, negated)), (tuple(sorted({*values, *more})), negated)))
    joined = dict.fromkeys(one for start in starts if start for one in (climb(table, basis, start)[1], start))
    candidates = [
        _settled(table, open_, others, one, price) for one in joined if one not in pair and in_one(table, one)
    ]
    best = max(candidates, key=lambda c: _total(table, open_, c, price), default=rules)
    return best if _total(table, open_, best, price) > _total(table, open_, rules, price) else rules


def _moved(table: Table, open_: Bits, rules: list[Draft], pair: tuple[Draft, Draft], price: float) -> list[Draft]:
    """Values of a condition of one rule handed to the other, and both found afresh: a way of asking may be in the wrong one.

    Only where that alone costs less than one condition: it is what the two can do without afterwards that pays.
    """
    others = [rule for rule in rules if rule not in pair]
    best, value = rules, _total(table, open_, rules, price)
    for giver, taker in (pair, pair[::-1]):
        for left, widened in _handed(table, giver, taker):
            if _total(table, open_, [*others, left, widened], price) > value - price:
                _, taken = climb(table, Basis(table, open_, [*others, left], price), widened)
                _, kept = climb(table, Basis(table, open_, [*others, taken], price), left)
                candidate = list(dict.fromkeys([*others, taken, kept]))
                if (found := _total(table, open_, candidate, price)) > value:
                    best, value = candidate, found
    return best


def _handed(table: Table, giver: Draft, taker: Draft) -> Iterator[tuple[Draft, Draft]]:
    """Both rules after one value of a slot, or all but one, went from the giver to the taker."""
    for n, (values, negated) in enumerate(giver):
        for m, (mine, no) in enumerate(taker):
            if negated or no or len(values) == 1 or table.kind[values[0]] != table.kind[mine[0]]:
                continue
            may = {*mine, *partners(table, mine, taker[:m] + taker[m + 1 :]).tolist()}
            for handed in dict.fromkeys([(v,) for v in values] + [tuple(x for x in values if x != v) for v in values]):
                union = tuple(sorted({*mine, *handed}))
                if set(handed) <= may and len(union) <= VALUES:
                    left = tuple(v for v in values if v not in handed)
                    yield (
                        (*giver[:n], (left, False), *giver[n + 1 :]),
                        (*taker[:m], (union, False), *taker[m + 1 :]),
                    )


def _settled(table: Table, open_: Bits, others: list[Draft], new: Draft, price: float) -> list[Draft]:
    """A new rule among others, and of these what overlaps with it found afresh beside it."""
    rules = [*others, new]
    held = probes_of(table, new) & open_
    for rule in others:
        if (probes_of(table, rule) & held).any():
            beside = [other for other in rules if other != rule]
            _, better = climb(table, Basis(table, open_, beside, price), rule)
            rules = [*beside, better] if better not in beside else beside
    return rules


def _same_slot(table: Table, one: Draft, other: Draft) -> Iterator[tuple[Condition, tuple[int, ...]]]:
    """The conditions of the one that values of a condition of the other may join, with these."""
    for n, (values, negated) in enumerate(one):
        may = set(partners(table, values, one[:n] + one[n + 1 :]).tolist())
        for more, also in other:
            if also == negated and set(more) - set(values) <= may:
                yield (values, negated), more


def _akin(table: Table, one: Draft, other: Draft) -> bool:
    """Whether two rules may be pieces of one: they share an attribute or a slot, or what they hold of has one in common."""
    phrases = [{f for values, negated in draft if not negated for f in values} for draft in (one, other)]
    return (
        bool(phrases[0] & phrases[1])
        or _implies(table, one, other)
        or _implies(table, other, one)
        or len(_in_common(table, one, other)) > 0
        or any(not negated for pair in ((one, other), (other, one)) for (_, negated), _ in _same_slot(table, *pair))
    )


def _in_common(table: Table, one: Draft, other: Draft) -> Array:
    """Numbers of the attributes that nearly all views have of which either rule holds, and few of the rest.

    "Striped" and "no" are both answered where patterns are spoken of.
    """
    common = table.count(table.of_each(table.all_VW, slice(None), False)).sum(0)
    common = common <= _FEW * table.count(any_of(table.all_VW)).sum()
    for rule in (one, other):
        views = views_of(table, rule)
        having = table.count(table.of_each(views, slice(None), False)).sum(0)
        common &= having >= _NEARLY * table.count(any_of(views)).sum()
    return np.flatnonzero(common)


def _implies(table: Table, one: Draft, other: Draft) -> bool:
    views = views_of(table, one)
    least = _NEARLY * table.count(any_of(views)).sum()
    plain = [table.holds(values, False) for values, negated in other if not negated]
    return any(table.count(any_of(views & held)).sum() >= least for held in plain)


def _total(table: Table, open_: Bits, rules: Sequence[Draft], price: float) -> float:
    """How well a whole list explains what was measured, less its price."""
    cost = sum(
        max(cost_of(table, rule, price), sum(cost_of(table, part, price) for part in _said(table, rule)))
        for rule in rules
    )
    return Basis(table, open_, rules, price).loss - cost


def _said(table: Table, rule: Draft) -> list[Draft]:
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


def _told(table: Table, open_: Bits, rules: Sequence[Draft], price: float, hunch: float) -> list[Named]:
    found: list[Named] = []
    for n, region in Basis(table, open_, rules, price).regions:
        others = [rule for k, rule in enumerate(rules) if k != n]
        worth = Basis(table, open_, others, price).worth(rules[n])
        if worth >= hunch and region.any():
            fails, passes = table.count(region)
            found.append(Named(predicate_of(table, rules[n]), worth, int(fails), int(fails + passes)))
    return found
