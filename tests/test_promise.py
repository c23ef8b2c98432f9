import doctest

import pytest

from auditdm.method import promise as module
from auditdm.method.promise import promise

QUESTIONS = ["how many dogs are there ?", "what colour is the cat ?", "how many cats are there ?"]


@pytest.mark.parametrize(
    "tried",
    [
        [],
        [("how many dogs ?", True)] * 4,
        [("how many dogs ?", False)] * 4,
        [("how many dogs ?", True), ("what colour ?", False)]
        + [("how many cats ?", False)] * 2,  # the later half decides
    ],
)
def test_without_a_difference_to_learn_from_all_are_alike(tried):
    assert promise(tried, QUESTIONS) == pytest.approx([1 / 3] * 3)
    assert promise(tried, []) == []


def test_questions_like_those_that_paid_are_drawn_more_often_and_none_is_forgotten():
    tried = [("how many birds are there ?", True), ("what colour is the bird ?", False)] * 30
    weights = promise(tried, QUESTIONS)
    assert sum(weights) == pytest.approx(1)
    assert min(weights[0], weights[2]) > 5 * weights[1]
    assert weights[1] >= 0.2 / 3  # a fifth of the draws is spread over all


def test_what_an_earlier_auditor_could_do_does_not_count():
    before = [("what colour is the bird ?", True), ("how many birds are there ?", False)] * 30
    weights = promise([*before, *[(question, not failed) for question, failed in before]], QUESTIONS)
    assert weights[0] > weights[1]


def test_words_that_were_never_tried_have_a_weight_too():
    weights = promise([("how many ?", True), ("what ?", False)] * 9, ["zebra", ""])
    assert sum(weights) == pytest.approx(1)
    assert min(weights) > 0


def test_the_example_of_the_docstring_runs():
    assert doctest.testmod(module).failed == 0
