from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditdm.method.allocation import Bandit, has_signal, replacements, shares_of_acts

# --- groups without signal


@pytest.mark.parametrize(
    ("rewards", "signal"),
    [
        ([0.0, 1.0], True),
        ([0.0, 0.0], False),
        ([0.5, 0.5], False),
        ([0.1 + 0.2, 0.3], False),  # equal but for rounding
        ([1.0, None], False),  # one alone teaches nothing
        ([1.0, None, 0.0], True),
        ([None, None], False),
        ([], False),
    ],
)
def test_a_group_has_signal_where_two_measured_rewards_differ(rewards, signal):
    assert has_signal(rewards) is signal


ALIVE, DEAD = [0.0, 1.0], [1.0, 1.0]


@pytest.mark.parametrize(
    ("groups", "drawn"),
    [
        ([ALIVE] * 8, 0),
        ([ALIVE] * 4 + [DEAD] * 4, 8),  # 4 missing, every second is alive
        ([ALIVE] * 6 + [DEAD] * 2, 3),  # 2 / (6 / 8) = 2.67
        ([ALIVE] + [DEAD] * 7, 24),  # 56, and no more than 24
        ([DEAD] * 8, 24),
        ([], 0),
    ],
)
def test_replacements_fill_up_at_the_present_rate(groups, drawn):
    assert replacements(groups, most=24) == drawn


# --- the bandit


def taught(outcomes, times=1, **settings):
    bandit = Bandit("abcd", **settings)
    for _ in range(times):
        bandit.learn(outcomes)
    return bandit


def test_at_first_all_arms_are_drawn_alike():
    shares = Bandit("abcd").shares(seed=1)
    assert shares == pytest.approx(dict.fromkeys("abcd", 0.25), abs=0.04)


def test_what_pays_is_drawn_and_the_floor_stays():
    bandit = taught([("a", 1.0), ("b", 0.0), ("c", 0.0), ("d", 0.0)] * 50)
    # 0.8 + 0.2 / 4, and 0.2 / 4 each
    assert bandit.shares(seed=0) == pytest.approx({"a": 0.85, "b": 0.05, "c": 0.05, "d": 0.05}, abs=0.001)
    drawn = Counter(bandit.draw(4000, seed=0))
    assert drawn["a"] / 4000 == pytest.approx(0.85, abs=0.02)
    assert min(drawn.values()) / 4000 == pytest.approx(0.05, abs=0.015)


def test_half_the_pay_counts_as_half_a_success():
    both = taught([("a", 1.0), ("a", 0.0)] * 20)
    half = taught([("a", 0.5)] * 40)
    assert half.shares(seed=3) == both.shares(seed=3)


def test_a_draw_depends_on_history_and_seed_alone():
    one, another = taught([("a", 0.3), ("b", 0.6)]), taught([("a", 0.3), ("b", 0.6)])
    assert one.draw(50, seed=7) == one.draw(50, seed=7) == another.draw(50, seed=7)
    assert one.draw(50, seed=7) != one.draw(50, seed=8)


def test_it_follows_an_auditor_that_changes():
    bandit = taught([("a", 1.0), ("b", 0.0), ("c", 0.0), ("d", 0.0)] * 5, times=40, keep=0.9)
    for _ in range(40):
        bandit.learn([("a", 0.0), ("b", 1.0), ("c", 0.0), ("d", 0.0)] * 5)
    shares = bandit.shares(seed=0)
    assert shares["b"] == max(shares.values()) > 0.8
    # without forgetting both have paid in every second trial
    kept = taught([("a", 1.0), ("b", 0.0)] * 5, times=40, keep=1.0)
    for _ in range(40):
        kept.learn([("a", 0.0), ("b", 1.0)] * 5)
    assert kept.shares(seed=0)["b"] < 0.8


def test_a_removed_arm_is_drawn_no_more_and_learns_no_more():
    bandit = taught([("a", 1.0)] * 20)
    bandit.remove("a")
    bandit.remove("nobody knows it")
    bandit.learn([("a", 1.0)] * 20)
    assert bandit.arms == ("b", "c", "d")
    assert "a" not in bandit.draw(200, seed=0)
    assert sum(bandit.shares(seed=0).values()) == pytest.approx(1)


def test_no_arm_no_draw():
    bandit = Bandit(["only"])
    assert bandit.draw(2, seed=0) == ["only", "only"]
    bandit.remove("only")
    assert bandit.draw(2, seed=0) == []
    assert bandit.shares(seed=0) == {}


def test_what_was_not_measured_teaches_nothing_and_a_new_thing_becomes_an_arm():
    bandit = taught([("a", None), ("new", None)])
    assert bandit.shares(seed=0) == Bandit("abcd").shares(seed=0)
    bandit.learn([(("act", 3), 1.0)])
    assert bandit.arms == ("a", "b", "c", "d", ("act", 3))


@pytest.mark.parametrize("settings", [{"floor": -0.1}, {"floor": 1.1}, {"keep": 1.5}])
def test_shares_out_of_range_are_refused(settings):
    with pytest.raises(ValueError, match="between 0 and 1"):
        Bandit("ab", **settings)


@given(
    st.lists(st.tuples(st.sampled_from("abcd"), st.none() | st.floats(0, 1)), max_size=60),
    st.floats(0.2, 1),
    st.integers(0, 99),
)
def test_every_arm_has_its_floor_and_the_shares_are_all(outcomes, floor, seed):
    shares = taught(outcomes, floor=floor).shares(seed)
    assert sum(shares.values()) == pytest.approx(1)
    assert min(shares.values()) >= floor / 4 - 1e-12


def test_rare_pay_is_found_in_fewer_draws_than_by_chance():
    # one arm of 20 pays .6, the others .02: of 100 batches of 16 draws, chance would give 5% to it
    import random

    rng, bandit, drawn = random.Random(0), Bandit(range(20)), Counter()
    for step in range(100):
        arms = bandit.draw(16, seed=step)
        bandit.learn([(arm, float(rng.random() < (0.6 if arm == 7 else 0.02))) for arm in arms])
        drawn.update(arms)
    assert drawn[7] > 0.5 * 1600
    assert min(drawn[arm] for arm in range(20)) >= 5  # and every arm is still looked at


# --- acts

ACTS = {"question": 2.0, "caption": 1.0, "edit": 1.0}


def test_without_experience_the_acts_share_alike_but_for_the_floor():
    # 0.2 by weight (2 : 1 : 1) and 0.8 / 3 each
    assert shares_of_acts([], ACTS, seed=0) == pytest.approx(
        {"question": 0.1 + 0.8 / 3, "caption": 0.05 + 0.8 / 3, "edit": 0.05 + 0.8 / 3}, abs=0.03
    )


def test_the_act_that_pays_gets_what_the_floor_leaves():
    paid = [("question", 0.0), ("caption", 1.0), ("edit", 0.0), ("question", None)] * 50
    assert shares_of_acts(paid, ACTS, seed=0) == pytest.approx(
        {"question": 0.1, "caption": 0.85, "edit": 0.05}, abs=0.001
    )


def test_an_act_of_no_weight_stays_out():
    shares = shares_of_acts([("edit", 1.0)] * 50, {"question": 1.0, "edit": 0.0}, seed=0)
    assert shares == {"question": pytest.approx(1.0), "edit": 0.0}


def test_what_paid_long_ago_counts_less():
    paid = [("caption", 1.0), ("edit", 0.0)] * 200 + [("caption", 0.0), ("edit", 1.0)] * 200
    late = shares_of_acts(paid, {"caption": 1.0, "edit": 1.0}, seed=0, batch=8)
    assert late["edit"] > 0.85
