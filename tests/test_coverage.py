import doctest
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditdm.method import coverage as module
from auditdm.method.coverage import Smallest, unseen_mass


@pytest.mark.parametrize(
    ("kinds", "mass"),
    [
        ("", None),  # without a failure nothing is known, and that is not 0
        ("a", 1.0),
        ("aa", 0.0),
        ("ab", 1.0),
        ("aab", 1 / 3),
        ("aabbcd", 2 / 6),
        ("abcdaa", 3 / 6),
    ],
)
def test_the_unseen_mass_is_the_share_of_failures_whose_kind_was_met_once(kinds, mass):
    assert unseen_mass(kinds) == (None if mass is None else pytest.approx(mass))


@given(st.lists(st.integers(0, 8), min_size=1))
def test_to_see_everything_twice_leaves_nothing_unseen(kinds):
    assert unseen_mass(kinds * 2) == 0
    assert 0 <= unseen_mass(kinds) <= 1


@given(st.lists(st.integers(0, 8), min_size=1), st.integers(0, 8))
def test_a_failure_of_a_known_kind_never_adds_to_what_is_unseen(kinds, kind):
    before, after = unseen_mass(kinds), unseen_mass([*kinds, kind])
    assert (after <= before) or kind not in Counter(kinds)


@given(st.lists(st.text(max_size=1)), st.randoms(use_true_random=False))
def test_the_order_of_the_failures_does_not_matter(kinds, rng):
    shuffled = list(kinds)
    rng.shuffle(shuffled)
    assert unseen_mass(shuffled) == unseen_mass(kinds)


@pytest.mark.parametrize(
    ("smallest", "enough"),
    [
        (Smallest(), 5334),  # 8 / (.005 * .3) = 5333.3
        (Smallest(prevalence=0.02, rate=0.5), 800),
        (Smallest(prevalence=0.02, rate=0.5, failures=16), 1600),
        (Smallest(prevalence=1.0, rate=1.0, failures=1), 1),
    ],
)
def test_the_smallest_mode_sets_how_long_is_looked(smallest, enough):
    assert smallest.enough == enough


@pytest.mark.parametrize(
    ("asked", "times"),
    [(0, "0.0"), (1_000, "1.5"), (5_334, "8.0"), (10_000, "15")],
)
def test_what_was_looked_at_says_how_often_the_smallest_mode_would_have_been_seen(asked, times):
    told = Smallest().shown(asked)
    assert told.startswith(f"{asked:,} unchosen probes")
    assert told.endswith(f" a mode on 0.5% of them that fails 30% of the time about {times} times")


def test_the_examples_of_the_docstrings_run():
    assert doctest.testmod(module).failed == 0
