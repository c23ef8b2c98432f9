import doctest
import random
import re
from math import comb

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditdm.method import confirmation as module
from auditdm.method.confirmation import Evidence, decoy_floor, ledger
from auditdm.method.predicate import Literal, Predicate
from auditdm.stats import Rate

PURPLE, COLOUR = (Predicate.of(Literal((phrase,))) for phrase in ('answer "purple"', 'asks "what colour is the ...?"'))


def evidence(
    inside=(30, 64),
    base=(1, 64),
    splits=(2, 66),
    base_splits=(60, 1000),
    again=(29, 30),
    usual=(20, 1000),
    **more,
):
    """A mode that is confirmed; each test changes what it is about."""
    rates = {
        "inside": inside,
        "base": base,
        "splits": splits,
        "base_splits": base_splits,
        "again": again,
        "usual": usual,
    }
    return Evidence(predicate=PURPLE, **{name: Rate(*rate) for name, rate in rates.items()}, **more)


def entry(**changes):
    [found] = ledger([evidence(**changes)])
    return found


# --- the five states


def test_what_fails_on_fresh_probes_and_not_beside_them_is_confirmed():
    found = entry()
    assert (found.state, found.reason) == (
        "confirmed", "30 of 64 fresh probes fail; 1 of 64 others on the same pictures"
    )  # fmt: skip
    assert found.p == found.q < 1e-8  # one mode alone: nothing to correct
    assert found.predicate == PURPLE


def test_what_was_not_asked_again_says_so():
    found = entry(again=(0, 0))
    assert found.state == "confirmed"
    assert found.reason.endswith("; not asked again in other words")


@pytest.mark.parametrize(
    ("changes", "state", "reason"),
    [
        (
            {"inside": (4, 64), "base": (4, 64)},
            "not confirmed",
            r"4 of 64 fresh probes fail; 4 of 64 others on the same pictures \(q = 0\.64\)",
        ),
        (  # surely more than beside, but not by as much as anybody would repair: .04
            {"inside": (400, 10_000), "base": (0, 10_000)},
            "not confirmed",
            r"400 of 10000 fresh probes fail; 0 of 10000 others on the same pictures \(q = ",
        ),
        (  # more than beside, but the target fails as often on whatever is asked
            {"inside": (30, 64), "base": (1, 64), "usual": (450, 1000)},
            "not confirmed",
            r"30 of 64 fresh probes fail; one in a hundred random groups of this size fails at \d\d% or more",
        ),
        ({"inside": (63, 63)}, "too few", r"63 fresh probes measured of the 64 needed"),
        ({"inside": (0, 0), "splits": (0, 0), "again": (0, 0)}, "too few", r"0 fresh probes measured of the 64 needed"),
        (  # a mode of whole pictures: nothing asked of them is outside it
            {"base": (0, 3)},
            "confirmed",
            r"30 of 64 fresh probes fail; 20 of 1000 probes on other pictures: all that is asked of these is inside",
        ),
        ({"base": (0, 0), "usual": (0, 0)}, "too few", r""),  # nothing to hold it against
        ({"usual": (0, 0)}, "too few", r""),
        (
            {"splits": (40, 104)},
            "consensus unreliable",
            r"the references disagree on 40 of 104 probes inside, and on 60 of 1000 elsewhere",
        ),
        ({"inside": (2, 5), "splits": (20, 25)}, "consensus unreliable", r"the references disagree on 20 of 25"),
        ({"inside": (9, 12, 88)}, "too few", r"12 fresh probes measured of the 64 needed; 88 could not be judged"),
        (
            {"again": (10, 30)},
            "noise",
            r"30 of 64 fresh probes fail, but only 10 of 30 again when asked in other words",
        ),
        ({"again": (0, 30)}, "noise", r"but only 0 of 30 again"),
        ({"again": (0, 0)}, "confirmed", r"30 of 64 fresh probes fail"),  # could not be asked again: unmeasured is no 0
        ({"splits": (0, 0)}, "confirmed", r"30 of 64"),
        ({"base_splits": (0, 0)}, "confirmed", r"30 of 64"),
        ({"splits": (10, 74)}, "confirmed", r"30 of 64"),  # .14, but it may be chance: the interval begins at .07
    ],
)
def test_why_a_mode_is_a_finding_or_is_not(changes, state, reason):
    found = entry(**changes)
    assert found.state == state
    assert re.search(reason, found.reason), found.reason


def test_what_is_told_better_by_another_name_is_no_finding_of_its_own():
    found = entry(explained_by=COLOUR)
    assert found.state == "not confirmed"
    assert found.reason == 'what fails here is told better by: asks "what colour is the ...?"'


def test_the_least_of_probes_is_the_users():
    [found] = ledger([evidence(inside=(20, 20), again=(20, 20))], least=20)
    assert found.state == "confirmed"


def test_where_too_few_were_measured_there_is_no_p():
    found = entry(inside=(10, 63))
    assert (found.p, found.q) == (None, None)
    assert found.decoy_floor is not None  # but what chance would do is known


# --- by hand


def test_p_is_of_fishers_exact_test():
    # all 3 inside fail and none of 3 beside: one of the C(6, 3) = 20 ways in which 3 of 6 may fail
    [found] = ledger([evidence(inside=(3, 3), base=(0, 3), again=(3, 3))], least=3)
    assert found.p == pytest.approx(1 / comb(6, 3))
    # 2 of 3 against 0 of 3: C(3, 2) * C(3, 0) / C(6, 2) = 3 / 15
    [found] = ledger([evidence(inside=(2, 3), base=(0, 3))], least=3)
    assert found.p == pytest.approx(3 / 15)


def test_q_is_of_benjamini_and_hochberg():
    # p: 1/20, 3/15, 1 (of 0 against 0), so q = min over larger p of p * 3 / rank: 3/20, 3/10, 1
    modes = [
        evidence(inside=(0, 3), base=(0, 3)),
        evidence(inside=(3, 3), base=(0, 3)),
        evidence(inside=(2, 3), base=(0, 3)),
    ]
    found = ledger(modes, least=3)
    assert [e.p for e in found] == pytest.approx([1, 1 / 20, 3 / 15])
    assert [e.q for e in found] == pytest.approx([1, 3 / 20, 3 / 10])


def test_modes_with_too_few_probes_do_not_weigh_on_the_others():
    strong, few = evidence(inside=(3, 3), base=(0, 3)), evidence(inside=(1, 2))
    assert [e.q for e in ledger([few, strong, few], least=3)] == [None, pytest.approx(1 / 20), None]


@pytest.mark.parametrize(
    ("usual", "size", "floor"),
    [
        # 2 of 10 fail, groups of 2: none with 56/90, one with 32/90 (together .978), both with 1/45: 2 is the 99th percentile
        ((2, 10), 2, 2 / 2),
        # 1 of 50 fails, groups of 1: it fails with 1/50, more than one in a hundred
        ((1, 50), 1, 1.0),
        # 1 of 1000, groups of 5: none with 995/1000, so one group in a hundred is not above 0
        ((1, 1000), 5, 0.0),
        ((0, 10), 4, 0.0),
        ((10, 10), 4, 1.0),
        ((3, 5), 100, 3 / 5),  # no group is larger than all
        ((0, 0), 4, None),
        ((5, 10), 0, None),
    ],
)
def test_the_rate_that_one_random_group_in_a_hundred_exceeds(usual, size, floor):
    assert decoy_floor(Rate(*usual), size) == (None if floor is None else pytest.approx(floor))


def test_a_floor_is_seldom_exceeded_by_drawing():
    rng, usual = random.Random(0), [n < 60 for n in range(600)]
    floor = decoy_floor(Rate(60, 600), 64)
    above = sum(sum(rng.sample(usual, 64)) / 64 > floor for _ in range(2_000))
    assert above <= 0.02 * 2_000


# --- what holds of any evidence


def rates(most=80):
    return st.integers(0, most).flatmap(lambda asked: st.integers(0, asked).map(lambda hits: (hits, asked)))


EVIDENCE = st.builds(
    lambda **told: evidence(**told),
    inside=rates(), base=rates(), splits=rates(), base_splits=rates(), again=rates(32), usual=rates(200),
    explained_by=st.none() | st.just(COLOUR),
)  # fmt: skip


@given(st.lists(EVIDENCE, max_size=6))
def test_every_mode_has_a_line_in_the_order_of_testing(modes):
    found = ledger(modes)
    assert [e.evidence for e in found] == modes
    for e in found:
        assert e.reason
        assert (e.p is None) == (e.q is None) == (e.evidence.inside.asked < 64 or not e.evidence.rival[0].asked)
        assert e.p is None or 0 <= e.p <= e.q <= 1 + 1e-12
        if e.state == "confirmed":
            assert e.evidence.inside.asked >= 64
            assert e.q <= 0.05
            assert e.evidence.inside.value >= e.evidence.rival[0].value + 0.05
            assert e.evidence.inside.interval[0] > e.decoy_floor
            assert e.evidence.explained_by is None


@given(st.integers(0, 63), st.integers(0, 64), st.integers(0, 40))
def test_more_failures_inside_take_no_finding_away(hits, beside, usual):
    one, other = (
        entry(inside=(n, 64), base=(beside, 64), usual=(usual, 1000), again=(30, 30)) for n in (hits, hits + 1)
    )
    assert (one.state, other.state) != ("confirmed", "not confirmed")


@given(st.lists(EVIDENCE, min_size=1, max_size=5), st.randoms(use_true_random=False))
def test_the_order_of_testing_changes_no_state(modes, rng):
    order = list(range(len(modes)))
    rng.shuffle(order)
    straight, shuffled = ledger(modes), ledger([modes[n] for n in order])
    assert [shuffled[k].state for k in range(len(order))] == [straight[n].state for n in order]


def test_among_many_modes_of_nothing_almost_none_is_confirmed():
    rng, confirmed = random.Random(1), 0
    for _ in range(30):
        drawn = [[sum(rng.random() < 0.1 for _ in range(100)) for _ in range(2)] for _ in range(40)]
        modes = [
            evidence(inside=(k, 100), base=(b, 100), splits=(0, 100), usual=(200, 2000), again=(k, max(k, 1)))
            for k, b in drawn
        ]
        confirmed += sum(e.state == "confirmed" for e in ledger(modes))
    assert confirmed <= 2, "of 1,200 modes in 30 audits"


def test_an_empty_ledger():
    assert ledger([]) == []


def test_the_examples_of_the_docstrings_run():
    assert doctest.testmod(module).failed == 0
