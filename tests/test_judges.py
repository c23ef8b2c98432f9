import doctest

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditdm.backends import judges
from auditdm.backends.judges import ExactJudge, canonical
from auditdm.types import Judge

SAME_FORM = [
    ("Two.", "2"),
    ("  TWO ", "2"),
    ("twenty-one", "21"),
    ("Twenty one dogs", "21 dogs"),
    ("ninety", "90"),
    ("zero", "0"),
    ("a dog", "dog"),
    ("The red star", "red star"),
    ("a the dog", "dog"),
    ("A", "a"),  # the letter, not the article
    ("(A)", "a"),
    ("the letter a", "letter a"),
    ("A B", "a b"),
    ("a a 00", "00"),
    ("a 5", "5"),
    ("1,200", "1200"),
    ("1,2", "1 2"),
    ("3.5", "3.5"),
    ("3.", "3"),
    ("-4", "-4"),
    ("t-shirt", "t shirt"),
    ("12:30", "12:30"),
    ("1/2", "1/2"),
    ("50%", "50 percent"),
    ("it's", "its"),
    ("Yes!", "yes"),
    ("yeah", "yes"),
    ("True", "yes"),
    ("Yes, there are.", "yes"),
    ("No, it isn't.", "no"),
    ("nope", "no"),
    ("No, two", "no 2"),  # says more than no
    ("no dogs", "no dogs"),
    ("none", "none"),  # not 0 and not no
    ("?", "?"),
    ("...", "..."),
    (" \n", ""),
    ("STRASSE", "strasse"),
    ("\uff12", "2"),  # a full-width two
    ("two\u00a0dogs", "2 dogs"),
]


@pytest.mark.parametrize(("text", "form"), SAME_FORM)
def test_the_canonical_form(text, form):
    assert canonical(text) == form


@given(st.text(alphabet="abAtheTWOonexyz0123456789 .,:;/-%'\u2019?!\n()", max_size=40))
def test_the_canonical_form_of_a_canonical_form_is_itself(text):
    assert canonical(canonical(text)) == canonical(text)


@given(st.text(max_size=40))
def test_only_a_blank_answer_has_a_blank_form(text):
    assert (canonical(text) == "") == (not text.strip())


@given(st.lists(st.sampled_from(["two", "dogs", "red", "star", "5"]), min_size=1, max_size=5))
def test_case_punctuation_and_spaces_do_not_matter(words):
    assert canonical(" ".join(words).upper() + ".") == canonical(",  ".join(words))


def test_aliases_rename_the_longest_phrase_once():
    aliases = {"Grey": "gray", "the t-shirt": "shirt", "shirt": "top", "light grey": "silver", "affirmative": "Yes!"}
    assert canonical("a grey cat", aliases) == "gray cat"
    assert canonical("T-shirt", aliases) == "shirt"
    assert canonical("light grey shirt", aliases) == "silver top"
    assert canonical("Affirmative.", aliases) == "yes"
    assert canonical("greyhound", aliases) == "greyhound"


def test_silence_differs_from_an_answer_and_two_silences_cannot_be_compared():
    silent = [("Why?", "", "two"), ("Why?", "two", " "), ("Why?", "", ""), ("Why?", "\n", "  ")]
    assert ExactJudge().same(silent) == [False, False, None, None]


def test_a_refusal_is_an_answer_like_any_other():
    assert ExactJudge().same([("Why?", "cannot say", "Cannot say."), ("Why?", "cannot say", "two")]) == [True, False]


def test_the_batch_law():
    judge = ExactJudge({"grey": "gray"})
    assert isinstance(judge, Judge)
    assert judge.same([]) == []
    batch = [("q", "grey", "gray"), ("q", "", ""), ("q", "one", "2"), ("q", "two", "2")]
    assert judge.same(batch) == [True, None, False, True]
    assert judge.same(batch[::-1]) == [True, False, None, True]
    assert judge.same([(q, b, a) for q, a, b in batch]) == judge.same(batch)


def test_the_examples_of_the_docstrings_run():
    assert doctest.testmod(judges).failed == 0
