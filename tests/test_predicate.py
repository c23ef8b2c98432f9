import doctest
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditdm.method import predicate as module
from auditdm.method.predicate import Literal, Predicate, kind_of

PHRASES = ['about "small"', 'about "red"', 'about "blue"', "answer >= 9", 'asks "is the ...?"', "picture changed"]


def is_(*phrases):
    return Literal(tuple(sorted(phrases)))


def not_(*phrases):
    return Literal(tuple(sorted(phrases)), negated=True)


LITERALS = st.builds(
    Literal,
    st.lists(st.sampled_from(PHRASES), min_size=1, max_size=3, unique=True).map(lambda p: tuple(sorted(p))),
    st.booleans(),
)
PREDICATES = st.lists(LITERALS, max_size=4).map(lambda literals: Predicate.of(*literals))
VIEWS = st.lists(st.frozensets(st.sampled_from(PHRASES)), max_size=3)


# --- of what it holds


@pytest.mark.parametrize(
    ("literals", "views", "holds"),
    [
        ([], [set()], True),  # of anything
        ([], [], False),  # but of nothing that has no view
        ([is_("a")], [{"a", "b"}], True),
        ([is_("a")], [{"b"}], False),
        ([is_("a", "c")], [{"c"}], True),  # one of them is enough
        ([not_("a")], [{"b"}], True),
        ([not_("a", "c")], [{"b", "c"}], False),  # none may be there
        ([is_("a"), is_("b")], [{"a", "b"}], True),
        ([is_("a"), is_("b")], [{"a"}], False),
        ([is_("a"), not_("b")], [{"a"}], True),
        ([is_("a"), not_("b")], [{"a", "b"}], False),
        ([is_("a"), is_("b")], [{"a"}, {"b"}], False),  # of one view at once, never of two together
        ([is_("a"), not_("b")], [{"a", "b"}, {"a"}], True),
    ],
)
def test_it_holds_where_all_conditions_hold_of_one_view(literals, views, holds):
    assert Predicate.of(*literals).holds(views) is holds


def test_a_small_blue_thing_beside_a_large_red_one_is_no_small_red_thing():
    small_red = Predicate.of(is_('about "small"'), is_('about "red"'))
    assert not small_red.holds([{'about "small"', 'about "blue"'}, {'about "large"', 'about "red"'}])
    assert small_red.holds([{'about "large"', 'about "blue"'}, {'about "small"', 'about "red"'}])


# --- its name


@pytest.mark.parametrize(
    ("literals", "words"),
    [
        ([], "anything"),
        ([is_('about "red"')], 'about "red"'),
        ([is_('about "red"', 'about "blue"')], 'about "blue" or "red"'),
        ([is_('about "red"', 'about "blue"', 'about "green"')], 'about "blue", "green" or "red"'),
        ([not_('about "red"')], 'not (about "red")'),
        ([not_('about "red"', 'about "blue"')], 'not (about "blue" or "red")'),
        ([is_("answer >= 9"), is_('asks "what time is it?"')], 'answer >= 9 and asks "what time is it?"'),
        ([is_("picture changed")], "picture changed"),
        ([is_('shows "star"', 'about "red"')], 'about "red" or shows "star"'),
        ([is_("things >= 5"), not_("things >= 6")], "things >= 5 and not (things >= 6)"),
    ],
)
def test_a_name_says_its_conditions(literals, words):
    assert Predicate.of(*literals).words() == words


@pytest.mark.parametrize(
    ("attribute", "kind"),
    [
        ('asks "what is the ...?"', "asks"), ('the question "is it ?"', "the question"), ("answer >= 7", "answer"),
        ('answer "7"', "answer"), ("things <= 2", "things"), ('shows several "star"', "shows several"),
        ("picture changed", "picture changed"), ("answer is a number", "answer is a number"),
        ('asks "is "red" there?"', "asks"),
    ],
)  # fmt: skip
def test_an_attribute_speaks_of_its_kind(attribute, kind):
    assert kind_of(attribute) == kind


# --- what holds of all of them


@given(PREDICATES)
def test_a_run_folder_gives_back_what_it_was_given(predicate):
    text = predicate.as_json()
    assert Predicate.from_json(text) == predicate
    assert "\n" not in text
    assert all(set(one) == {"any_of", "negated"} for one in json.loads(text))


@given(st.lists(LITERALS, max_size=4), st.randoms(use_true_random=False))
def test_order_and_repetition_do_not_matter(literals, rng):
    shuffled = [*literals, *literals[:1]]
    rng.shuffle(shuffled)
    one, other = Predicate.of(*literals), Predicate.of(*shuffled)
    assert (one, one.words(), one.as_json()) == (other, other.words(), other.as_json())
    assert hash(one) == hash(other)


@given(PREDICATES, VIEWS)
def test_one_condition_less_holds_of_no_less(predicate, views):
    for literal in predicate.literals:
        less = predicate.without(literal)
        assert len(less.literals) == len(predicate.literals) - 1
        assert less.holds(views) or not predicate.holds(views)


@given(PREDICATES, VIEWS)
def test_a_probe_belongs_where_one_of_its_views_does(predicate, views):
    assert predicate.holds(views) == any(predicate.holds([view]) for view in views)


@given(LITERALS, VIEWS)
def test_a_view_has_a_condition_or_its_negation(literal, views):
    other = Literal(literal.any_of, not literal.negated)
    assert all(literal.holds(view) != other.holds(view) for view in views)


def test_the_examples_of_the_docstrings_run():
    assert doctest.testmod(module).failed == 0
