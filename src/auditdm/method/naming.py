"""From failures and agreements to names: predicates inside which the target fails at one rate, and outside seldom.

The names form a list of rules: a probe belongs to the rule with the highest rate that holds of it, or to none. Rules are
found one by one (`auditdm.method.rules`). What counts is how much better the list explains all probes with
a rule than without it, in log-likelihood, less a price per condition; up to half of its probes it may leave to rules of a
higher rate. So a rule that is too broad is carved up by the next ones. In the end rules are reworded, split, carved,
joined, and hand values to each other while the list explains more for its price (`auditdm.method.recasting`).

Source: ours. arXiv:2306.12105 and 2312.02974 let a model propose descriptions; here they are mined from attributes, so that
a name is tested before anybody believes it and finds fresh probes by itself.

Shapes: N measured probes, W words of 64 of them (sets are bits), V views of each, F attributes, L levels: the rules and the rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from auditdm.method.predicate import Predicate
from auditdm.method.recasting import recast
from auditdm.method.rules import (
    FAILS,
    VALUES,
    Basis,
    Condition,
    Draft,
    best_rule,
    climb,
    in_one,
    partners,
    probes_of,
    views_of,
    worth_of,
)
from auditdm.method.search_space import Array, Bits, Table, predicate_of

_PRICE = 0.8  # of a condition, in the log of the number of conditions that there are to choose from
_SEEDS = 12  # ways of asking that a rule is taken apart into at most


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
        rules = recast(table, open_, rules, price)
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
    value = worth_of(table, open_, [*others, *pieces], price)
    while len(pieces) > 1:
        merged = [
            [one, *(p for p in pieces if p not in pair)]
            for pair in combinations(pieces, 2)
            for one in _both_ways(table, *pair)
        ]
        best = max(merged, key=lambda m: worth_of(table, open_, [*others, *m], price), default=pieces)
        total = worth_of(table, open_, [*others, *best], price)
        if total <= value:
            break
        pieces, value = best, total
    told = [_needed(table, piece) for piece in pieces]
    return [*others, *told] if pieces and value > worth_of(table, open_, rules, price) else rules


def _needed(table: Table, rule: Draft) -> Draft:
    """A rule without what its other conditions imply: what it was grown from may say nothing beside them."""
    views = views_of(table, rule)
    shorter = (rule[:n] + rule[n + 1 :] for n in range(len(rule)))
    same = (rest for rest in shorter if np.array_equal(views_of(table, rest), views) and in_one(table, rest))
    return next((_needed(table, rest) for rest in same), rule)


def _both_ways(table: Table, one: Draft, other: Draft) -> list[Draft]:
    """Each of two pieces with the first conditions of both, where these are of one slot."""
    (mine, _), (its, _) = one[0], other[0]
    values = tuple(sorted({*mine, *its}))
    found: list[Draft] = []
    for draft in (one, other) if len(values) <= VALUES else ():
        if set(its) - set(mine) <= set(partners(table, mine, draft[1:]).tolist()):
            found.append(((values, False), *draft[1:]))
    return found


def _told(table: Table, open_: Bits, rules: Sequence[Draft], price: float, hunch: float) -> list[Named]:
    found: list[Named] = []
    for n, region in Basis(table, open_, rules, price).regions:
        others = [rule for k, rule in enumerate(rules) if k != n]
        worth = Basis(table, open_, others, price).worth(rules[n])
        if worth >= hunch and region.any():
            fails, passes = table.count(region)
            found.append(Named(predicate_of(table, rules[n]), worth, int(fails), int(fails + passes)))
    return found
