"""A list of rules for failure modes, changed while it explains more for its price.

Rules that were found one by one are each the best beside those before it; the best list is another thing. Changes of one or
two rules at once, each held against the whole list: reworded, split, carved, joined, values handed from one to another.

Source: ours; the last step of `auditdm.method.naming`, whose shapes these are.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from auditdm.method.rules import (
    JOINED,
    MOST,
    VALUES,
    Basis,
    Condition,
    Draft,
    any_of,
    best_rule,
    climb,
    in_one,
    partners,
    probes_of,
    said,
    views_of,
    wider,
    worth_of,
)
from auditdm.method.search_space import Array, Bits, Table

_NEARLY = 0.9  # of a rule's views that have what another demands: the two may be pieces of one
_FEW = 0.25  # of all probes: what more of them have is no sign that two rules are pieces of one
_RARE = 0.05  # of some views: what no more of them have is not what they have in common
_STARTS = 3  # values that a condition is found afresh from
_MARKS = 6  # of what passes inside a rule, along which it may be split
_ALL = 0.98  # of what a rule alone holds of: a narrower one has to hold of it too
_EQUAL = 1.0  # difference in log-likelihood that decides nothing
_SLACK = 3  # conditions that a list may lose at first when values are handed over
_ROUNDS = 6  # of splitting and joining, at most


def recast(table: Table, open_: Bits, rules: list[Draft], price: float) -> list[Draft]:
    """Reword, split, carve, join and move values between rules while the list as a whole explains more for its price.

    Args:
        table: N measured probes.
        open_: (W,): those that are looked at.
        rules: A list that says of each of them to which rule it belongs.
        price: Of a condition, in log-likelihood.

    Cost: seconds for 15,000 probes and eight rules.
    """
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
    for rule in tuple(rules):
        rules = _narrowed(table, open_, rules, rule, price)
    return rules


def _narrowed(table: Table, open_: Bits, rules: list[Draft], rule: Draft, price: float) -> list[Draft]:
    """Of attributes that tell the same for the same price the one that leaves most to the other rules: a name stands alone.

    Where others fail as often, "how many or" explains no more than "how many", and holds of nothing that they hold of.
    """
    others = [other for other in rules if other != rule]
    theirs = np.bitwise_or.reduce([probes_of(table, other) for other in others], axis=0) if others else open_ & ~open_
    mine = probes_of(table, rule) & open_ & ~theirs
    shared, own = (table.count(part).sum() for part in (probes_of(table, rule) & open_ & theirs, mine))
    for n, (values, negated) in enumerate(rule):
        if negated or len(values) > 1 or not shared:
            continue
        rest = rule[:n] + rule[n + 1 :]
        probes = table.of_each(views_of(table, rest), slice(None), False) & open_
        kept, overlap = (table.count(probes & part).sum(0) for part in (mine, theirs))
        fit = (kept >= _ALL * own) & (overlap < shared) & (table.length_F == table.length_F[values[0]])
        for f in np.flatnonzero(fit)[np.argsort(overlap[fit])][:_STARTS]:
            new = (*rule[:n], ((int(f),), False), *rule[n + 1 :])
            candidate = [*others, new]
            least = worth_of(table, open_, rules, price) - _EQUAL
            if in_one(table, new) and worth_of(table, open_, candidate, price) >= least:
                return _narrowed(table, open_, candidate, new, price)
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
    return max(candidates, key=lambda c: worth_of(table, open_, c, price))


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
    return max(candidates, key=lambda c: worth_of(table, open_, c, price))


def _split(table: Table, open_: Bits, rules: list[Draft], rule: Draft, price: float) -> list[Draft]:
    """Two rules for one: along what marks those of its probes that pass, or one value of a condition apart from the rest.

    A rule that the two make needless is left out.
    """
    others = [other for other in rules if other != rule]
    best, value = rules, worth_of(table, open_, rules, price)
    for halves in _halves(table, open_, rules, rule, price):
        _, first = climb(table, Basis(table, open_, [*others, halves[1]], price), halves[0])
        _, second = climb(table, Basis(table, open_, [*others, first], price), halves[1])
        both = [*others, first, second]
        for candidate in (both, *([r for r in both if r != gone] for gone in both)):
            if len(set(candidate)) == len(candidate) and (found := worth_of(table, open_, candidate, price)) > value:
                best, value = candidate, found
    return best


def _carved(table: Table, open_: Bits, rules: list[Draft], rule: Draft, price: float) -> list[Draft]:
    """A rule more for what fails more often inside a rule, where what is left of it fails at a lower rate than before."""
    inside = next(region for n, region in Basis(table, open_, rules, price).regions if rules[n] == rule)
    worth, inner = best_rule(table, Basis(table, inside, (), price))
    drafts = [(*rule, *inner), *((*rule[:n], *rule[n + 1 :], *inner) for n in range(len(rule)))] if worth > 0 else []
    drafts = [tuple(dict.fromkeys(draft)) for draft in drafts]
    fit = [new for new in drafts if len(new) <= MOST and new not in rules and in_one(table, new)]
    candidates = [_settled(table, open_, rules, new, price) for new in fit]
    return max((rules, *candidates), key=lambda c: worth_of(table, open_, c, price))


def _halves(table: Table, open_: Bits, rules: list[Draft], rule: Draft, price: float) -> Iterator[tuple[Draft, Draft]]:
    inside = next(region for n, region in Basis(table, open_, rules, price).regions if rules[n] == rule)
    gain, _ = Basis(table, inside, (), price, passing=True).grown(views_of(table, rule) & inside)[0]
    for mark in (m for m in np.argsort(-gain)[:_MARKS] if gain[m] > price):
        yield (*rule, ((int(mark),), False)), (*rule, ((int(mark),), True))
    parts = [draft[0][0] for draft in said(table, rule)]
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
    best = max(candidates, key=lambda c: worth_of(table, open_, c, price), default=rules)
    return best if worth_of(table, open_, best, price) > worth_of(table, open_, rules, price) else rules


def _moved(table: Table, open_: Bits, rules: list[Draft], pair: tuple[Draft, Draft], price: float) -> list[Draft]:
    """Values of a condition of one rule handed to the other, and both found afresh: a way of asking may be in the wrong one.

    Only where that alone costs little: it is what the two can do without afterwards that pays.
    """
    others = [rule for rule in rules if rule not in pair]
    best, value = rules, worth_of(table, open_, rules, price)
    for giver, taker in (pair, pair[::-1]):
        for left, widened in _handed(table, giver, taker):
            if worth_of(table, open_, [*others, left, widened], price) > value - _SLACK * price:
                _, taken = climb(table, Basis(table, open_, [*others, left], price), widened)
                _, kept = climb(table, Basis(table, open_, [*others, taken], price), left)
                candidate = list(dict.fromkeys([*others, taken, kept]))
                fit = in_one(table, taken) and in_one(table, kept)
                if fit and (found := worth_of(table, open_, candidate, price)) > value:
                    best, value = candidate, found
    return best


def _handed(table: Table, giver: Draft, taker: Draft) -> Iterator[tuple[Draft, Draft]]:
    """Both rules after one value of a condition, or all but one, went from the giver to the taker, with what it says is not."""
    for n, (values, negated) in enumerate(giver):
        groups = [(v,) for v in values] + [tuple(x for x in values if x != v) for v in values]
        for handed in dict.fromkeys(groups) if len(values) > 1 and not negated else ():
            left = (*giver[:n], (tuple(v for v in values if v not in handed), False), *giver[n + 1 :])
            gone = views_of(table, (*giver[:n], (handed, False), *giver[n + 1 :]))
            for m, (mine, no) in enumerate(taker):
                beside = taker[:m] + taker[m + 1 :]
                if not no and (more := _met(table, mine, beside, gone)):
                    widened = (*beside, (tuple(sorted({*mine, *more})), False))
                    with_it = tuple(dict.fromkeys((*widened, *(c for c in giver if c[1]))))
                    yield left, widened
                    if len(widened) < len(with_it) <= MOST:
                        yield left, with_it


def _met(table: Table, values: tuple[int, ...], beside: Draft, views: Bits) -> tuple[int, ...]:
    """The values that a condition lacks in order to hold of nearly all of some views; none where none may join it.

    The views need not be told by these: what "says which and colour" holds of is asked in one way.
    """
    same = partners(table, values, beside)
    if not len(same):
        return ()
    count = table.count(any_of(views)).sum()
    having = table.count(table.of_each(views, same, False)).sum(0)
    more = [int(same[n]) for n in np.argsort(-having) if having[n] > _RARE * count][: VALUES - len(values)]
    held = views & table.holds((*values, *more), False)
    return tuple(more) if table.count(any_of(held)).sum() >= _NEARLY * count else ()


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
    """The conditions of the one that values of what the other holds of may join, with these; of negated ones those it says."""
    views = views_of(table, other)
    for n, (values, negated) in enumerate(one):
        beside = one[:n] + one[n + 1 :]
        if not negated and (met := _met(table, values, beside, views)):
            yield (values, negated), met
        may = set(partners(table, values, beside).tolist())
        for more, also in other:
            if negated and also and set(more) - set(values) <= may:
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
