import doctest

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditdm.method import allocation as module
from auditdm.method.allocation import FLOOR, shares_by_pay

WEIGHTS = {"question": 2.0, "caption": 1.0, "edit": 1.0}


def paid(**hits_of_ten):
    return [(kind, n < hits) for kind, hits in hits_of_ten.items() for n in range(10)]


def test_without_any_success_the_weights_decide():
    plain = {"question": 0.5, "caption": 0.25, "edit": 0.25}
    assert shares_by_pay([], WEIGHTS) == plain
    assert shares_by_pay(paid(question=0, caption=0, edit=0), WEIGHTS) == plain


def test_what_succeeds_as_often_keeps_its_share():
    assert shares_by_pay(paid(question=7, caption=7, edit=7), WEIGHTS) == {
        "question": 0.5,
        "caption": 0.25,
        "edit": 0.25,
    }


def test_what_fails_keeps_its_floor_and_what_was_not_tried_counts_as_the_best():
    found = shares_by_pay(paid(question=10, caption=0), WEIGHTS)
    assert found["caption"] / found["question"] == pytest.approx(FLOOR / 2)
    assert found["edit"] / found["question"] == pytest.approx(1 / 2)


@given(st.lists(st.tuples(st.sampled_from(["question", "caption", "edit", "other"]), st.booleans())))
def test_shares_sum_to_one_and_keep_the_order_of_success(tried):
    found = shares_by_pay(tried, WEIGHTS)
    assert sum(found.values()) == pytest.approx(1.0)
    assert set(found) == set(WEIGHTS)
    rate = {k: [hit for kind, hit in tried if kind == k] for k in ("caption", "edit")}
    if rate["caption"] and rate["edit"]:
        means = {k: sum(v) / len(v) for k, v in rate.items()}
        if means["caption"] > means["edit"]:
            assert found["caption"] > found["edit"]


def test_a_kind_of_weight_0_is_never_drawn():
    assert shares_by_pay(paid(question=1, edit=9), {"question": 1.0, "edit": 0.0})["edit"] == 0.0


def test_the_examples_of_the_docstrings_run():
    assert doctest.testmod(module).failed == 0
