import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditdm.stats import Rate, paired_difference


def test_nothing_asked_is_no_rate():
    rate = Rate(hits=0, asked=0, void=3)
    assert rate.value is None
    assert rate.interval is None
    assert rate.as_dict() == {"value": None, "hits": 0, "asked": 0, "void": 3, "ci95": None}


def test_interval_is_wilsons():
    # n = 10, x = 8, z = 1.959964: centre = (0.8 + z^2/20) / (1 + z^2/10) = 0.716738,
    # half = z * sqrt(0.8 * 0.2 / 10 + z^2 / 400) / (1 + z^2/10) = 0.226576
    low, high = Rate(hits=8, asked=10).interval
    assert (low, high) == (pytest.approx(0.490162, abs=1e-5), pytest.approx(0.943318, abs=1e-5))


@given(st.integers(0, 50), st.integers(0, 50), st.integers(0, 5))
def test_a_rate_lies_in_its_interval_and_is_json(hits, misses, void):
    rate = Rate(hits, hits + misses, void)
    assert json.loads(json.dumps(rate.as_dict())) == rate.as_dict()
    if rate.value is not None:
        low, high = rate.interval
        assert -1e-12 <= low <= rate.value + 1e-12
        assert rate.value - 1e-12 <= high <= 1 + 1e-12


@pytest.mark.parametrize(
    "wrong", [{"hits": 2, "asked": 1}, {"hits": -1, "asked": 1}, {"hits": 0, "asked": 1, "void": -1}]
)
def test_impossible_counts_are_refused(wrong):
    with pytest.raises(AssertionError):
        Rate(**wrong)


def test_a_paired_difference_by_hand():
    # 6 pairs gained, 1 lost, 2 unchanged, 1 void. Exact McNemar: 2 * (C(7,0) + C(7,1)) / 2^7 = 16 / 128 = 0.125.
    before = [False] * 6 + [True, True, False, None]
    after = [True] * 6 + [False, True, False, True]
    found = paired_difference(before, after)
    assert (found.gained, found.lost, found.asked, found.void) == (6, 1, 9, 1)
    assert found.value == pytest.approx(5 / 9)
    assert found.p == pytest.approx(0.125)
    # Bonett and Price: 7/11 - 2/11 +- z * sqrt((9/11 - 25/121) / 11) = 0.454545 +- 1.959964 * 0.235791
    assert found.interval == (pytest.approx(-0.007596, abs=1e-5), pytest.approx(0.916687, abs=1e-5))
    assert found.as_dict()["ci95"] == list(found.interval)


def test_no_change_and_nothing_measured():
    assert paired_difference([True, False], [True, False]).p == 1.0
    empty = paired_difference([None], [True])
    assert (empty.value, empty.interval, empty.p, empty.void) == (None, None, None, 1)


@given(st.lists(st.tuples(st.sampled_from([True, False, None]), st.sampled_from([True, False, None]))))
def test_swapping_the_models_changes_the_sign_alone(pairs):
    before, after = [b for b, _ in pairs], [a for _, a in pairs]
    there, back = paired_difference(before, after), paired_difference(after, before)
    assert (there.gained, there.lost, there.asked, there.void) == (back.lost, back.gained, back.asked, back.void)
    if there.value is not None:
        assert there.value == -back.value
        assert there.p == pytest.approx(back.p)
        assert there.interval == (pytest.approx(-back.interval[1]), pytest.approx(-back.interval[0]))


def test_unequal_lengths_are_a_wrong_call():
    with pytest.raises(ValueError, match="shorter"):
        paired_difference([True], [])
