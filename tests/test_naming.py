import doctest
import random

import numpy as np
import pytest

from auditdm.method import naming as module
from auditdm.method import recasting, rules
from auditdm.method.naming import names
from auditdm.method.predicate import Predicate
from auditdm.method.rules import Basis, probes_of
from auditdm.method.search_space import Phrases, Table, predicate_of
from planted import FRESH, about, asks, fails, is_, not_, overlap, views

COUNT = 3_000
WORTH = 6.0  # from here on a name is worth confirming (runs/searching.py)
FOUND = 0.8  # overlap with what was planted
BASE = 0.02


def measured(gaps, seed=0, count=COUNT, base=BASE):
    """A table of probes that fail where it was planted, and now and then elsewhere."""
    phrases, held = Phrases(), views(seed, count)
    failed = [fails(seed, n, of_probe, gaps, base) for n, of_probe in enumerate(held)]
    return Table(phrases, [[phrases.numbers(sorted(v)) for v in of_probe] for of_probe in held], failed), held, failed


def named(gaps, seed=0, **options):
    table, _, failed = measured(gaps, seed)
    return [n for n in names(table, np.ones(len(failed), bool), **options) if n.worth >= WORTH]


def best(predicate, found):
    return max((overlap(n.predicate, predicate) for n in found), default=0.0)


PLANTED = {
    "one condition": Predicate.of(asks(0)),
    "two conditions": Predicate.of(asks(0), about("red")),
    "three conditions": Predicate.of(asks(1), about("large"), about("dog")),
    "all but one value": Predicate.of(asks(0), not_('about "red"')),
    "two values": Predicate.of(asks(2), about("red", "blue")),
    "three values and another condition": Predicate.of(about("red", "blue", "green"), about("cup"), about("small")),
    "about a thing, however it is asked": Predicate.of(about("small"), about("cat")),
    "a crowded picture": Predicate.of(asks(3), is_("things >= 4")),
}


@pytest.mark.parametrize("where", PLANTED.values(), ids=PLANTED)
@pytest.mark.parametrize("seed", [0, 1])
def test_what_was_planted_is_named_and_nothing_else(where, seed):
    found = named([(where, 0.7)], seed)
    assert best(where, found) >= FOUND, [n.predicate.words() for n in found]
    assert len(found) == 1, [n.predicate.words() for n in found]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("rate", [0.4, 0.7])
def test_two_gaps_of_one_rate_have_two_names(seed, rate):
    one, other = Predicate.of(asks(0), about("red")), Predicate.of(asks(2), about("small"))
    found = named([(one, rate), (other, rate)], seed)
    assert best(one, found) >= FOUND, [n.predicate.words() for n in found]
    assert best(other, found) >= FOUND, [n.predicate.words() for n in found]


def test_four_gaps_are_named_highest_rate_first():
    gaps = [
        (Predicate.of(asks(0), about("red")), 0.95),
        (Predicate.of(asks(1), about("dog")), 0.7),
        (Predicate.of(asks(2), about("small")), 0.45),
        (Predicate.of(asks(4), about("black", "white")), 0.25),
    ]
    found = named(gaps)
    assert [best(where, [n]) >= FOUND for n, (where, _) in zip(found, gaps, strict=True)] == [True] * 4
    rates = [n.fails / n.inside for n in found]
    assert rates == sorted(rates, reverse=True)


def test_a_target_that_errs_anywhere_as_often_has_almost_no_name():
    noise = [len(named([], seed)) for seed in range(40)]
    assert sum(noise) <= 1, noise


def test_a_name_counts_probes_and_not_views():
    where = Predicate.of(asks(0), about("red"))
    table, held, failed = measured([(where, 0.7)])
    [found] = [n for n in names(table, np.ones(len(failed), bool)) if n.worth >= WORTH]
    inside = [f for of_probe, f in zip(held, failed, strict=True) if found.predicate.holds(of_probe)]
    assert (found.fails, found.inside) == (sum(inside), len(inside))


def test_a_gap_in_one_thing_of_two_is_named_where_probes_have_two_views():
    small_cat, phrases = Predicate.of(about("small"), about("cat")), Phrases()
    pairs = [(one[0], other[0]) for one, other in zip(views(1, COUNT), views(2, COUNT), strict=True)]
    failed = [fails(5, n, pair, [(small_cat, 0.8)]) for n, pair in enumerate(pairs)]
    table = Table(phrases, [[phrases.numbers(sorted(v)) for v in pair] for pair in pairs], failed)
    found = [n for n in names(table, np.ones(len(failed), bool)) if n.worth >= WORTH]
    assert max(overlap(n.predicate, small_cat, pairs) for n in found) >= FOUND


def test_failures_that_are_not_looked_at_have_no_name():
    where = Predicate.of(asks(0), about("red"))
    table, held, _ = measured([(where, 0.7)])
    outside = np.array([not where.holds(of_probe) for of_probe in held])
    assert best(where, [n for n in names(table, outside) if n.worth >= WORTH]) < 0.1


@pytest.mark.parametrize("failed", [False, True])
def test_where_nothing_or_everything_fails_there_is_no_name(failed):
    phrases, held = Phrases(), views(0, 200)
    table = Table(phrases, [[phrases.numbers(sorted(v)) for v in of_probe] for of_probe in held], [failed] * 200)
    assert names(table, np.ones(200, bool)) == []


def test_nothing_measured_has_no_name():
    assert names(Table(Phrases(), [], []), np.zeros(0, bool)) == []


def test_the_order_of_the_probes_changes_no_name():
    gaps = [(Predicate.of(asks(0), about("red")), 0.7)]
    _, held, failed = measured(gaps)
    order = list(range(COUNT))
    random.Random(3).shuffle(order)
    phrases = Phrases()
    table = Table(phrases, [[phrases.numbers(sorted(v)) for v in held[n]] for n in order], [failed[n] for n in order])
    shuffled = [n for n in names(table, np.ones(COUNT, bool)) if n.worth >= WORTH]
    assert [n.predicate for n in shuffled] == [n.predicate for n in named(gaps)]


def test_at_most_so_many_names_are_given():
    gaps = [(Predicate.of(asks(n), about("red")), 0.6) for n in range(5)]
    assert len(named(gaps, most=2)) <= 2


def test_a_name_of_the_fresh_probes_holds_of_some():
    assert any(n.predicate.holds(v) for n in named([(PLANTED["two conditions"], 0.7)]) for v in FRESH)


def test_the_examples_of_the_docstrings_run():
    assert doctest.testmod(module).failed == 0


def test_weaknesses_that_share_an_answer_are_taken_apart_by_how_is_asked():
    gaps = [
        (Predicate.of(asks(0), about("red")), 0.6),
        (Predicate.of(asks(1), about("small")), 0.6),
        (Predicate.of(asks(2), about("dog")), 0.6),
    ]
    found = named(gaps, seed=1)
    assert [best(where, found) >= FOUND for where, _ in gaps] == [True] * 3, [n.predicate.words() for n in found]
    assert len(found) == 3, [n.predicate.words() for n in found]


# ---------------------------------------------------------------- what no single change of a rule leads to


def asked(rng):
    """How many, which row, or what is right or left of what, two views of the latter: each with its own answers."""
    form = rng.choice(("how many ...?", "which row ...?", "is the ... left of ...?", "is the ... right of ...?"))
    found = {f'asks "{form}"', rng.choice(("picture changed", "picture as it was"))}
    if form == "how many ...?":
        count = rng.randint(0, 7)
        found |= {f'answer "{count}"', *(f"answer >= {n}" for n in range(1, count + 1))}
        return (frozenset(found | {f"answer <= {n}" for n in range(count, 7)}),)
    things = [(rng.randint(1, 4), rng.randint(1, 4)) for _ in range(1 if form == "which row ...?" else 2)]
    found.add(
        f'answer "row{things[0][0]}"' if form == "which row ...?" else rng.choice(('answer "yes"', 'answer "no"'))
    )
    return tuple(frozenset(found | {f'about "row{row}"', f'about "col{col}"'}) for row, col in things)


def asked_of_nothing_too(rng):
    """The same and more; "the" is said of a thing, and in four of ten such questions it is not there."""
    if rng.random() < 0.4:
        how, answer = rng.choice((("what time ...?", "noon"), ("which letter ...?", "x"), ("who ...?", "nobody")))
        return (frozenset({f'asks "{how}"', f'answer "{answer}"', rng.choice(('says "the"', 'says "shapes"'))}),)
    found = asked(rng)
    if any("how many" in a for a in found[0]):
        return found
    if rng.random() < 0.6:
        return tuple(view | {'says "the"'} for view in found)
    return (frozenset(a for a in found[0] if a.startswith(("asks", "picture"))) | {'says "the"', 'answer "none"'},)


def told(gaps, seed, asked=asked):
    rng, phrases = random.Random(seed), Phrases()
    held = [asked(rng) for _ in range(4_000)]
    failed = [fails(seed, n, of_probe, gaps) for n, of_probe in enumerate(held)]
    table = Table(phrases, [[phrases.numbers(sorted(v)) for v in of_probe] for of_probe in held], failed)
    found = [n.predicate for n in names(table, np.ones(len(held), bool), thorough=True) if n.worth >= WORTH]
    return [max((overlap(n, where, held) for n in found), default=0.0) for where, _ in gaps], found


ROW, MANY = is_('asks "which row ...?"'), is_('asks "how many ...?"')
LEFT, RIGHT = is_('asks "is the ... left of ...?"'), is_('asks "is the ... right of ...?"')
TWO_IN_ONE = {
    "another value of one condition has a rate and conditions of its own": [
        (Predicate.of(LEFT), 0.3),
        (Predicate.of(RIGHT, is_('about "row1"', 'about "row2"')), 0.6),
    ],
    "each exception is of one way of asking": [
        (Predicate.of(ROW, is_("picture changed"), not_('answer "row4"')), 0.6),
        (Predicate.of(MANY, is_("picture changed"), not_("answer <= 1")), 0.6),
    ],
    "two conditions of two values, of which no three gain anything": [
        (Predicate.of(RIGHT, is_('about "row1"', 'about "row4"'), is_('about "col1"', 'about "col4"')), 0.6),
        (Predicate.of(MANY, is_("answer >= 5")), 0.3),
    ],
}


@pytest.mark.parametrize("gaps", TWO_IN_ONE.values(), ids=TWO_IN_ONE)
@pytest.mark.parametrize("seed", [0, 1])
def test_two_weaknesses_that_one_rule_tells_nearly_as_well_have_two_names(gaps, seed):
    overlaps, found = told(gaps, seed)
    assert min(overlaps) >= FOUND and len(found) == 2, [n.words() for n in found]


@pytest.mark.parametrize("seed", range(3))
def test_unlike_questions_have_a_name_each_though_all_may_be_on_what_is_not_there(seed):
    there = not_('answer "none"')
    gaps = [(Predicate.of(ROW, there), 0.6), (Predicate.of(LEFT, there), 0.6)]
    overlaps, found = told(gaps, seed, asked_of_nothing_too)
    assert min(overlaps) >= FOUND and len(found) == 2, [n.words() for n in found]


@pytest.mark.parametrize("seed", range(4))
def test_one_weakness_that_an_answer_tells_in_part_has_one_name(seed):
    where = Predicate.of(is_('asks "is the ... left of ...?"', 'asks "which row ...?"'), about("row4"))
    overlaps, found = told([(where, 0.6)], seed)  # where it is asked which row, "row4" is also the answer
    assert min(overlaps) >= FOUND and len(found) == 1, [n.words() for n in found]


LOOKS = {
    "what colour is the ...?": ("red", "blue", "green"), "are the ... and the ... the ...?": ("yes", "no"),
    "which shape has the ...?": ("star", "cross"), "what size is the ...?": ("small", "large"),
    "is there any ...?": ("yes", "no"), "what is the ...?": ("7", "8"), "which row ...?": ("row1", "row2"),
    "is the ... left of ...?": ("yes", "no"),
}  # fmt: skip


def asked_of_looks(rng):
    """Eight ways of asking, three of them about colours: "what colour", "the same colour", "the odd colour"."""
    form = rng.choice([*LOOKS])
    words = {'says "colour"'} if form in [*LOOKS][:3] else {'says "looks"'} if rng.random() < 0.5 else set()
    things = rng.randint(1, 6)
    seen = {f"things >= {n}" for n in range(2, things + 1)} | {rng.choice(('about "row1"', 'about "row2"'))}
    return (frozenset({f'asks "{form}"', f'answer "{rng.choice(LOOKS[form])}"', *words, *seen}),)


@pytest.mark.parametrize(("gaps", "lifted"), [(1, True), (2, False)])
def test_an_attribute_that_several_rules_have_stands_for_them_where_it_tells_as_much(gaps, lifted):
    rng, phrases = random.Random(0), Phrases()
    held = [asked_of_looks(rng) for _ in range(4_000)]
    planted = [(Predicate.of(is_('says "colour"')), 0.3), (Predicate.of(is_('asks "what colour is the ...?"')), 0.9)]
    failed = [fails(0, n, of_probe, planted[:gaps][::-1]) for n, of_probe in enumerate(held)]
    table = Table(phrases, [[phrases.numbers(sorted(v)) for v in of_probe] for of_probe in held], failed)
    ways = [*LOOKS][:3]
    rules = [(((table.index[f'asks "{way}"'],), False),) for way in ways]
    found = recasting._lifted(table, table.pack(np.ones(len(held), bool)), rules, 5.0)
    assert (found == [(((table.index['says "colour"'],), False),)]) == lifted
    assert (found == rules) != lifted


PATTERN, ALIKE, COLOUR = (
    f'asks "{form}"' for form in ("what pattern has ...?", "are ... alike?", "what colour is ...?")
)
PATTERNS = Predicate.of(is_('says "pattern"'), *(not_(f'answer "{said}"') for said in ("none", "plain", "yes")))
DOTTED = Predicate.of(is_(COLOUR), about("dotted"))


def asked_of_patterns(rng):
    """Which pattern, whether two are alike, or something else, of things with a pattern; one in eight is not there."""
    form = rng.choice((PATTERN, ALIKE, COLOUR, *(f'asks "{form}"' for form in LOOKS)))
    seen = rng.choice(("plain", "striped", "dotted"))
    answers = {PATTERN: [seen], ALIKE: ["yes", "no"], COLOUR: ["red", "blue"]}
    said = rng.choice(answers.get(form) or LOOKS[form.split('"')[1]])
    there = rng.random() > 0.125
    found = {form, f'answer "{said if there else "none"}"', rng.choice(('about "row1"', 'about "row2"'))}
    found |= {f'about "{seen}"'} if there else set()
    return (frozenset(found | ({'says "pattern"'} if form in (PATTERN, ALIKE) else set())),)


@pytest.mark.parametrize("seed", range(3))
def test_what_two_ways_of_asking_have_in_common_is_one_name_with_what_is_not_answered(seed):
    """Three answers of two ways of asking may not stand together, and one of them is told by what it is about as well."""
    overlaps, found = told([(PATTERNS, 0.6), (DOTTED, 0.6)], seed, asked_of_patterns)
    assert min(overlaps) >= FOUND and len(found) == 2, [n.words() for n in found]


PLACES = tuple(f'asks "{form}"' for form in ("is it at ...?", "is it in ...?", "which row ...?", "which column ...?"))
WHAT = 'asks "what is the ...?"'
SIGNS = Predicate.of(is_(*PLACES), about("sign"))
DIGITS = Predicate.of(is_(WHAT), about("digit"))


def asked_of_signs(rng):
    """Where a thing is, in four ways, or what it is: a sign is a digit or a letter, and other things are no sign."""
    form, thing = rng.choice((*PLACES, WHAT, WHAT)), rng.choice(("digit", "letter", "star", "star"))
    seen = {f'about "{thing}"'} | (set() if thing == "star" else {'about "sign"'})
    words = {'says "which"'} if "which" in form else {f'says "{thing}"'} if form == WHAT else set()
    answers = ("yes", "no") if " it " in form else ("row1", "row2") if form != WHAT else ("7", "8")
    return (frozenset({form, f'answer "{rng.choice(answers)}"', *seen, *words}),)


@pytest.mark.parametrize("seed", range(3))
def test_ways_of_asking_go_from_one_rule_to_another_at_once(seed):
    """No single value gains anything where it goes: only when both are gone can the giver be said in fewer words."""
    rng, phrases = random.Random(seed), Phrases()
    held = [asked_of_signs(rng) for _ in range(2_000)]
    failed = [fails(seed, n, of_probe, [(SIGNS, 0.5), (DIGITS, 0.9)]) for n, of_probe in enumerate(held)]
    table = Table(phrases, [[phrases.numbers(sorted(v)) for v in of_probe] for of_probe in held], failed)
    everything = table.pack(np.ones(len(held), bool))
    two = Predicate.of(is_(*PLACES[:2]), about("sign"))
    three = Predicate.of(is_(*PLACES[2:], WHAT), about("sign"), is_('says "digit"', 'says "which"'))
    pair = draft(table, two), draft(table, three)
    found = recasting._moved(table, everything, [*pair], pair, 5.0)
    overlaps = [max(overlap(predicate_of(table, rule), where, held) for rule in found) for where in (SIGNS, DIGITS)]
    assert min(overlaps) == 1 and len(found) == 2, [predicate_of(table, rule).words() for rule in found]
    assert rules.worth_of(table, everything, found, 5.0) > rules.worth_of(table, everything, pair, 5.0)


def test_a_rule_is_widened_by_what_another_holds_of_whatever_that_says():
    """ "Says which" holds of two ways of asking: they may join two others, though neither is told by the rule."""
    rng, phrases = random.Random(0), Phrases()
    held = [asked_of_signs(rng) for _ in range(1_000)]
    table = Table(
        phrases,
        [[phrases.numbers(sorted(v)) for v in of_probe] for of_probe in held],
        [n % 9 == 0 for n in range(1_000)],
    )
    (asked, _), *beside = draft(table, Predicate.of(is_(*PLACES[:2]), about("sign")))[::-1]
    met = recasting._met(
        table, asked, tuple(beside), rules.views_of(table, draft(table, Predicate.of(is_('says "which"'))))
    )
    assert {table.phrases[f] for f in met} == {*PLACES[2:]}


def test_a_rule_says_nothing_that_its_other_conditions_imply():
    rng, phrases = random.Random(0), Phrases()
    held = [asked(rng) for _ in range(1_000)]
    failed = [n % 2 == 0 for n in range(len(held))]
    table = Table(phrases, [[phrases.numbers(sorted(v)) for v in of_probe] for of_probe in held], failed)
    implied = Predicate.of(is_("answer >= 3"), is_('answer "3"', "answer >= 5"), not_("answer >= 6"), MANY)
    rule = module._needed(table, draft(table, implied))
    assert predicate_of(table, rule) == Predicate.of(is_('answer "3"', "answer >= 5"), not_("answer >= 6"))
    assert module._needed(table, rule) == rule


COUNTED, EITHER = 'asks "how many ...?"', 'asks "how many ... or ...?"'


def asked_of_numbers(rng):
    """How many, how many of two kinds, or something else."""
    form = rng.choice((COUNTED, EITHER, 'asks "what colour is ...?"', 'asks "is there any ...?"'))
    words = {'says "how"'} if "how" in form else set()
    things = rng.randint(1, 6)
    seen = {f"things >= {n}" for n in range(2, things + 1)} | {rng.choice(('about "row1"', 'about "row2"'))}
    return (frozenset({form, f'answer "{rng.choice("123") if words else "red"}"', *words, *seen}),)


def test_of_names_that_tell_the_same_the_one_is_kept_that_leaves_most_to_the_others():
    rng, phrases = random.Random(0), Phrases()
    held = [asked_of_numbers(rng) for _ in range(2_000)]
    either = Predicate.of(is_(EITHER), is_("things >= 3"))
    gaps = [(Predicate.of(is_(COUNTED)), 0.6), (either, 0.6)]
    failed = [fails(0, n, of_probe, gaps) for n, of_probe in enumerate(held)]
    table = Table(phrases, [[phrases.numbers(sorted(v)) for v in of_probe] for of_probe in held], failed)
    everything = table.pack(np.ones(len(held), bool))
    counted, how = (draft(table, Predicate.of(*x)) for x in ((is_(COUNTED),), (is_('says "how"'), is_("things >= 3"))))
    found = recasting._narrowed(table, everything, [counted, how], how, 5.0)
    assert {predicate_of(table, rule) for rule in found} == {Predicate.of(is_(COUNTED)), either}
    alone = [how]
    assert recasting._narrowed(table, everything, alone, how, 5.0) == alone  # nobody else holds of any of it


TALLEST, SHORTEST = 'asks "which bar is tallest?"', 'asks "which bar is shortest?"'
CORNER = Predicate.of(is_(TALLEST), about("row1", "row4"), about("col1", "col4"))
BARS = Predicate.of(is_(TALLEST, SHORTEST), is_('answer "middle"', 'answer "right"'))


def asked_of_places(rng):
    """Half of the questions are on bars of a chart, the tallest or the shortest; each thing stands in one of sixteen places."""
    form = rng.choice((TALLEST, SHORTEST, 'asks "what is the ...?"', 'asks "is there any ...?"'))
    bar = form in (TALLEST, SHORTEST)
    said = rng.choice(("left", "middle", "right") if bar else ("red", "star"))
    where = (f'about "row{rng.randint(1, 4)}"', f'about "col{rng.randint(1, 4)}"')
    return (frozenset({form, f'answer "{said}"', f'about "{"chart" if bar else "star"}"', *where}),)


def measured_places(seed, count=2_000):
    rng, phrases = random.Random(seed), Phrases()
    held = [asked_of_places(rng) for _ in range(count)]
    failed = [fails(seed, n, of_probe, [(CORNER, 0.7), (BARS, 0.2)]) for n, of_probe in enumerate(held)]
    table = Table(phrases, [[phrases.numbers(sorted(v)) for v in of_probe] for of_probe in held], failed)
    return table, table.pack(np.ones(len(held), bool))


def draft(table, predicate):
    return tuple((tuple(sorted(table.index[a] for a in one.any_of)), one.negated) for one in predicate.literals)


@pytest.mark.parametrize("seed", range(4))
def test_what_fails_more_often_inside_a_rule_is_carved_out_though_no_condition_alone_tells_it(seed):
    table, everything = measured_places(seed)
    shortest, tallest = (draft(table, Predicate.of(is_(form))) for form in (SHORTEST, TALLEST))
    found = recasting._carved(table, everything, [shortest, tallest], tallest, 5.0)
    assert CORNER in [predicate_of(table, rule) for rule in found]
    recast = recasting.recast(table, everything, [shortest, tallest], 5.0)
    assert CORNER in [predicate_of(table, rule) for rule in recast] and len(recast) == 2


def test_what_a_rule_leaves_has_a_rate_of_its_own_as_well():
    table, everything = measured_places(0)
    inside = probes_of(table, draft(table, CORNER))

    def log_likelihood(probes):
        fails, passes = table.count(probes)
        return fails * np.log(fails / (fails + passes)) + passes * np.log(passes / (fails + passes))

    parted = log_likelihood(inside) + log_likelihood(everything & ~inside)
    basis = Basis(table, everything, (), 5.0)
    assert float(basis.gains(inside)[0]) == pytest.approx(parted - log_likelihood(everything), abs=0.01)
    assert float(basis.gains(everything & ~inside)[0]) == 0  # it fails more seldom


def test_what_a_rule_of_a_higher_rate_holds_stays_its_own_unless_it_is_most_of_a_name():
    table, everything = measured_places(0)
    corner = probes_of(table, draft(table, CORNER))
    basis = Basis(table, everything, [draft(table, CORNER)], 5.0)
    tallest = probes_of(table, draft(table, Predicate.of(is_(TALLEST))))
    narrow = tallest & probes_of(table, draft(table, Predicate.of(about("row1", "row4"), not_('about "col3"'))))
    assert 0 < float(basis.gains(tallest)[0]) == pytest.approx(float(basis.gains(tallest & ~corner)[0]))
    assert [float(count) for count in basis.gains(tallest)[1:]] == [table.count(tallest)[0], table.count(tallest).sum()]
    assert table.count(narrow & corner).sum() > table.count(narrow & ~corner).sum()
    assert float(basis.gains(narrow)[0]) == 0 < float(basis.gains(narrow & ~corner)[0])


def test_what_is_not_is_told_by_what_is_slot_by_slot():
    table, everything = measured_places(0)
    basis = Basis(table, everything, (), 5.0)
    said = draft(table, Predicate.of(is_(TALLEST), about("col1", "col4"), not_('about "row2"'), not_('about "row3"')))
    moves = {predicate_of(table, move) for move in rules._plainer(table, basis, said, "about")}
    assert CORNER in moves  # most of what fails there is about a chart: that is another slot
    said = draft(
        table, Predicate.of(is_(TALLEST), not_('about "col2"', 'about "col3"'), not_('about "row2"', 'about "row3"'))
    )
    moves = {predicate_of(table, move) for move in rules._plainer(table, basis, said, "about")}
    kept = not_('about "col2"', 'about "col3"')
    assert Predicate.of(is_(TALLEST), kept, about("row1", "row4")) in moves
