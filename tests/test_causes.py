"""Why a finding fails, from pairs made up by hand."""

import doctest

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from auditdm.method import causes as module
from auditdm.method.causes import (
    LEAST,
    Edited,
    Pair,
    broken,
    causes,
    changed_share,
    choose,
    in_question,
    needs_description,
    settled,
    stays,
)
from auditdm.method.predicate import Literal, Predicate

LATE, CLOCK, SMALL = Literal(("answer >= 9",)), Literal(('asks "what time is it?"',)), Literal(('about "small"',))
MODE = Predicate.of(LATE, CLOCK)


def edit(share, inside):
    return Edited(changed_share=share, inside=inside)


def pairs(relevant, control, of=24, literal=LATE):
    """So many of each flip, those of the controls first."""
    return [Pair(relevant=n < relevant, control=n < control, broken=(literal,)) for n in range(of)]


def test_the_examples_hold():
    assert doctest.testmod(module).failed == 0


@pytest.mark.parametrize(
    ("literals", "expected"),
    [
        ((CLOCK,), True),
        ((Literal(('says "left"',), negated=True), Literal(('asks "is there a ...?"',))), True),
        ((Literal(('the question "why?"',)),), True),
        ((CLOCK, LATE), False),
        ((Literal(("answer is a number",)),), False),
        ((Literal(("things >= 3",)),), False),
        ((Literal(("picture changed",)),), False),
        ((Literal(('says "small"', 'about "small"')),), False),
        ((), True),
    ],
)
def test_a_mode_is_on_the_question_alone_where_no_condition_speaks_of_the_picture(literals, expected):
    assert in_question(Predicate.of(*literals)) is expected


def test_only_what_is_said_of_the_picture_needs_a_description():
    assert needs_description(Predicate.of(CLOCK, SMALL)) and needs_description(
        Predicate.of(Literal(('shows several "dog"',)))
    )
    assert not needs_description(MODE)


def test_what_is_broken_is_told_by_the_view_that_keeps_most():
    views = (frozenset(), frozenset(['asks "what time is it?"']))
    assert broken(MODE, views) == (LATE,)
    assert broken(MODE, (frozenset(['asks "what time is it?"', "answer >= 9"]),)) == ()


def test_noise_of_an_encoder_is_no_change_and_sizes_may_differ():
    white = Image.new("RGB", (10, 10), "white")
    assert changed_share(white, Image.new("RGB", (10, 10), (250, 250, 250))) == 0.0
    assert changed_share(white, Image.new("RGB", (20, 5), "black")) == 1.0


def test_the_control_is_as_large_as_the_relevant_edit_if_there_is_such_a_one():
    assert choose([edit(0.3, True), edit(0.2, False), edit(0.1, True), edit(0.4, True)]) == (1, 0)
    assert choose([edit(0.1, True), edit(0.2, True), edit(0.5, False)]) == (2, 1)
    assert choose([edit(0.2, True), edit(0.1, True)]) == (None, 1)
    assert choose([edit(0.2, False), edit(0.1, None)]) == (0, None)
    assert choose([]) == (None, None)


@given(st.lists(st.tuples(st.integers(0, 9), st.sampled_from([True, False, None]))))
def test_once_settled_larger_edits_change_no_choice(made):
    edits = [edit(share / 9, inside) for share, inside in sorted(made, key=lambda one: one[0])]
    for count in range(len(edits) + 1):
        if settled(edits[:count]):
            assert choose(edits[:count]) == choose(edits)


def test_all_who_describe_have_to_see_it_alike():
    inside, outside = (frozenset(['about "small"']),), (frozenset(['about "large"']),)
    mode = Predicate.of(SMALL)
    assert stays(mode, [inside, inside, inside]) is True
    assert stays(mode, [outside, outside]) is False
    assert stays(mode, [inside, outside]) is None
    assert stays(mode, [None, None]) is None
    assert stays(mode, []) is None


def only(predicate, of, **limits):
    [cause] = causes([(predicate, of)], **limits)
    return cause


def test_the_cause_is_in_the_picture_where_relevant_edits_flip_and_controls_do_not():
    cause = only(MODE, pairs(22, 1))
    assert cause.state == "in the picture"
    assert cause.reason == (
        'the cause is in the picture: 22 of 24 edits that break "answer >= 9" flip it, 1 of 24 controls do'
    )
    assert (cause.relevant.hits, cause.control.hits, cause.difference.gained, cause.difference.lost) == (22, 1, 21, 0)
    assert cause.q == pytest.approx(2 * 0.5**21)  # exact McNemar: 21 heads in 21 throws, two-sided
    assert cause.broken == ((LATE, 22),)


def test_part_of_the_cause_is_in_the_picture_where_fewer_than_half_flip():
    cause = only(MODE, pairs(10, 1))
    assert cause.state == "partly in the picture" and "a part of the cause" in cause.reason


def test_controls_that_flip_as_often_say_that_the_name_is_not_the_cause():
    cause = only(MODE, pairs(20, 18))
    assert cause.state == "not the cause"
    assert cause.reason == "control edits flip it as often (18 of 24; relevant ones 20 of 24): not the cause"


def test_a_failure_that_stays_outside_the_mode_is_not_caused_by_it():
    cause = only(MODE, pairs(2, 1))
    assert cause.state == "not the cause"
    assert cause.reason.startswith("it fails on when it is taken out of the mode (2 of 24 flip, 1 of 24 controls do)")


def test_fewer_pairs_than_needed_say_nothing_and_holes_are_void():
    holes = [Pair(relevant=None, control=False), Pair(relevant=True, control=None)]
    cause = only(MODE, [*pairs(19, 0, of=19), *holes])
    assert (cause.state, cause.reason, cause.q) == ("not enough pairs", f"not enough pairs (19 of {LEAST})", None)
    assert (cause.relevant.asked, cause.relevant.void, cause.control.asked, cause.control.void) == (20, 1, 20, 1)
    assert cause.difference.void == 2
    assert only(MODE, []).state == "not enough pairs" and only(MODE, []).relevant.value is None


def test_a_mode_on_the_question_alone_has_its_cause_there_unless_other_answers_flip_it():
    question = Predicate.of(CLOCK)
    assert only(question, []).reason == (
        "no edit of the picture takes it away: the cause is in the question (not enough pairs to say more: 0 of 20)"
    )
    kept = only(question, [Pair(relevant=n < 2, control=False) for n in range(20)])
    assert kept.state == "in the question" and "2 of 20 edits that change the answer flip it" in kept.reason
    other = only(question, [Pair(relevant=n < 18, control=n < 2) for n in range(20)])
    assert other.state == "not told by the name"
    assert other.reason == (
        "the name tells nothing of the picture, but 18 of 20 edits that change the answer flip it, 2 of 20 controls do"
    )


def test_the_conditions_that_were_broken_are_counted_where_the_failure_flipped():
    mixed = [Pair(relevant=n < 20, control=False, broken=(SMALL,) if n % 4 else (LATE, SMALL)) for n in range(24)]
    assert only(Predicate.of(LATE, SMALL), mixed).broken == ((SMALL, 20), (LATE, 5))


def test_many_findings_share_one_rate_of_false_discoveries():
    alone = only(MODE, pairs(6, 0))  # p = 0.03125
    assert alone.state == "partly in the picture"
    many = causes([(MODE, pairs(6, 0)), *[(MODE, pairs(1, 1))] * 3, (MODE, pairs(1, 1, of=5))])
    assert many[0].state == "not the cause" and many[0].q == pytest.approx(4 * 0.03125)
    assert many[4].q is None
