import doctest
import random
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditdm.method import attributes as module
from auditdm.method.attributes import attributes, clauses_of, form_of, names_in, stem, words_of
from auditdm.method.predicate import kind_of

SEEN = "small red star row1 col2 and blue digit 7 row3 col3"
NAMES = names_in([SEEN, "large green circle row2 col2"])
KINDS = {
    "asks", "the question", "says", "answer", "about", "shows", "shows several", "things",
    "answer is a number", "picture changed", "picture as it was",
}  # fmt: skip


def said(question, answer="yes", description=SEEN, **options):
    return attributes(question, answer, description, names=NAMES, **options)


def of_kind(view, kind):
    return {phrase for phrase in view if kind_of(phrase) == kind}


def about(views):
    return [sorted(phrase.removeprefix('about "')[:-1] for phrase in of_kind(view, "about")) for view in views]


# --- what is known of one probe, written out


def test_everything_that_is_known_of_a_probe_is_said():
    [view] = said("What is the digit ?", "7")
    assert view == {
        'asks "what is the ...?"', 'the question "What is the digit ?"',
        'says "what"', 'says "the"', 'says "digit"',
        'answer "7"', "answer is a number",
        *(f"answer >= {n}" for n in (1, 2, 3, 4, 5, 6, 7)),
        *(f"answer <= {n}" for n in (7, 8, 9, 10, 11, 12, *range(15, 100, 5))),
        "picture as it was",
        "things >= 2", *(f"things <= {n}" for n in range(2, 13)),
        *(f'shows "{word}"' for word in ("small", "red", "star", "row1", "col2", "blue", "digit", "7", "row3", "col3")),
        *(f'shows "{one} {other}"' for one, other in combinations(("small", "red", "star", "row1", "col2"), 2)),
        *(f'shows "{one} {other}"' for one, other in combinations(("blue", "digit", "7", "row3", "col3"), 2)),
        *(f'about "{word}"' for word in ("blue", "digit", "7", "row3", "col3")),
    }  # fmt: skip


def test_without_a_description_nothing_is_said_of_the_picture():
    [view] = said("What is the digit ?", "7", None)
    assert not [phrase for phrase in view if kind_of(phrase) in ("about", "shows", "shows several", "things")]
    assert {'answer "7"', "answer >= 7", 'asks "what is the ...?"'} <= view


def test_a_changed_picture_is_said_to_be_one():
    [before], [after] = said("is it so ?"), said("is it so ?", changed=True)
    assert before ^ after == {"picture as it was", "picture changed"}


def test_what_is_there_twice_is_shown_several_times():
    [view] = said("is it so ?", description="red star, red circle and blue star")
    assert of_kind(view, "shows several") == {'shows several "red"', 'shows several "star"'}
    assert {"things >= 3", "things <= 3"} <= view
    assert "things >= 4" not in view
    assert "things <= 2" not in view


# --- views: one for each thing that is asked about


def test_a_question_on_two_things_has_a_view_for_each():
    views = said("is the red star above the digit ?")
    assert about(views) == [["col2", "red", "row1", "small", "star"], ["7", "blue", "col3", "digit", "row3"]]
    one, other = ({p for p in view if kind_of(p) != "about"} for view in views)
    assert one == other


def test_no_view_mixes_two_things():
    views = said("is the red star above the digit ?")
    assert not [view for view in views if {'about "red"', 'about "blue"'} <= view]


def test_a_thing_that_is_told_twice_has_one_view():
    assert about(said("is the red star the small star ?")) == [["col2", "red", "row1", "small", "star"]]


@pytest.mark.parametrize(
    "question",
    [
        "how many things are there ?",  # of none
        "what colour is the circle ?",  # of one that is not there
        "is the red digit there ?",  # as near to the one as to the other
        "",
    ],
)
def test_a_question_on_nothing_in_particular_has_one_view_about_nothing(question):
    assert about(said(question)) == [[]]


def test_the_thing_that_shares_most_words_is_meant():
    seen = "small red star, large red star and blue star"
    assert about(said("what size is the small red star ?", description=seen)) == [["red", "small", "star"]]


@pytest.mark.parametrize(
    ("answer", "meant"),
    [
        ("red", [["red", "star"]]),  # "green" was a slip
        ("", [["red", "star"]]),  # not answered yet
        ("none", [[]]),  # there is no green star, and the red one is not meant by it
    ],
)
def test_what_is_not_there_is_nothing_else(answer, meant):
    seen = "red star and circle"
    assert (
        about(attributes("what size is the green star ?", answer, seen, names=names_in([seen, "green circle"])))
        == meant
    )


def test_of_several_things_that_tell_of_the_answer_the_one_that_says_least_is_meant():
    seen = "small red star col1, red star col1 and star col2"
    assert about(said("which column is the star in ?", "col1", seen)) == [["col1", "red", "star"]]


def test_of_several_things_that_may_be_meant_only_what_they_share_is_known():
    seen = "red cup col1, blue cup col1 and dish col2"
    assert about(attributes("which column is the cup in ?", "col1", seen, names=names_in([seen]))) == [["col1", "cup"]]


# --- English: forms of questions, plurals, numbers, clauses


@pytest.mark.parametrize(
    ("question", "form"),
    [
        ("What colour is the small dog's collar?", "what colour is the ...?"),
        ("How many red cars are there?", "how many ... are there?"),
        ("How many people wear a hat?", "how many ... a ...?"),
        ("Is there a clock on the wall?", "is there a ... on the ...?"),
        ("is the star left of the blue digit ?", "is the ... left of the ...?"),
        ("What time is it on the clock ?", "what time is it on the ...?"),
        ("WHAT TIME IS IT, on the old clock?!", "what time is it on the ...?"),
        ("Are the man and the woman smiling?", "are the ... and the ...?"),
        ("", "?"),
    ],
)
def test_a_form_leaves_open_what_is_named(question, form):
    assert form_of(question) == form


@pytest.mark.parametrize(
    ("word", "singular"),
    [
        ("dogs", "dog"), ("stars", "star"), ("crosses", "cross"), ("boxes", "box"), ("dishes", "dish"),
        ("churches", "church"), ("glasses", "glass"), ("horses", "horse"), ("ties", "tie"), ("glass", "glass"),
        ("bus", "bus"), ("this", "this"), ("is", "is"), ("has", "has"), ("cross", "cross"), ("row1", "row1"), ("7", "7"),
    ],
)  # fmt: skip
def test_a_plural_is_its_singular(word, singular):
    assert stem(word) == singular


@given(st.from_regex(r"[a-z]{1,12}", fullmatch=True))
def test_a_stem_is_the_start_of_its_word_and_loses_at_most_two_letters(word):
    assert word.startswith(stem(word))
    assert len(word) - len(stem(word)) <= 2


def test_a_plural_in_the_question_finds_the_thing_in_the_picture():
    seen = "red cross, blue star"
    views = attributes("where are the crosses ?", "left", seen, names=names_in([seen]))
    assert about(views) == [["cross", "red"]]


@pytest.mark.parametrize(
    ("answer", "least", "most"),
    [
        ("7", 7, 7), ("seven", 7, 7), ("Seven.", 7, 7), ("zero", 0, 1), ("12", 12, 12), ("42", 40, 45), ("9:00", 9, 9),
        ("11:30", 11, 11), ("85%", 85, 85), ("3.5", 3, 4), ("200", 95, None),
    ],
)  # fmt: skip
def test_a_number_is_between_thresholds(answer, least, most):
    [view] = said("how much ?", answer, None)
    at_least = [int(p.split()[-1]) for p in view if p.startswith("answer >=")]
    at_most = [int(p.split()[-1]) for p in view if p.startswith("answer <=")]
    assert "answer is a number" in view
    assert max(at_least, default=0) == least
    assert min(at_most, default=None) == most


@pytest.mark.parametrize("answer", ["yes", "row4", "7 dogs", "red", "", "a seven"])
def test_what_is_no_number_has_no_thresholds(answer):
    [view] = said("how much ?", answer, None)
    assert not [p for p in view if p.startswith(("answer >=", "answer <=", "answer is"))]


def test_an_answer_is_said_without_case_and_punctuation():
    assert of_kind(said("what ?", "Dark-blue, mostly.", None)[0], "answer") == {'answer "dark-blue mostly"'}


@pytest.mark.parametrize(
    ("description", "clauses"),
    [
        ("small red star, blue digit 7", [("small", "red", "star"), ("blue", "digit", "7")]),
        ("A man with two dogs. The sky is blue.", [("man", "two", "dog"), ("sky", "blue")]),
        ("a clock that shows 9:30 and a 2.5 litre jug", [("clock", "show", "9:30"), ("2.5", "litre", "jug")]),
        ("the sandy beach", [("sandy", "beach")]),  # "and" within a word divides nothing
        ("the, a; and.", []),
        ("", []),
    ],
)
def test_a_description_is_divided_into_things(description, clauses):
    assert list(clauses_of(description)) == clauses


# --- what holds of any text

WORDS = st.lists(
    st.sampled_from(
        ["What", "is", "are", "the", "a", "small", "red", "digit", "7", "dogs", "of", "and", ",", ".", "9:30"]
    ),
    max_size=12,
).map(" ".join)
TEXTS = WORDS | st.text(max_size=40)


@given(TEXTS, TEXTS, st.none() | TEXTS, st.booleans())
def test_any_text_can_be_described(question, answer, description, changed):
    views = attributes(question, answer, description, names=names_in([description or ""]), changed=changed)
    assert len(views) >= 1
    assert len(set(views)) == len(views)
    assert all("asks" in {kind_of(phrase) for phrase in view} for view in views)
    unlike = {phrase for view in views for phrase in view} - set.intersection(*map(set, views))
    assert all(phrase.startswith("about ") for phrase in unlike)


@given(WORDS, WORDS, WORDS)
def test_every_attribute_is_of_a_known_kind(question, answer, description):
    for view in attributes(question, answer, description, names=names_in([description])):
        assert {kind_of(phrase) for phrase in view} <= KINDS


@given(WORDS)
def test_case_and_punctuation_ask_nothing_else(question):
    assert form_of(question) == form_of(question.upper() + " ?!")
    assert form_of(form_of(question)) == form_of(form_of(question))
    assert words_of(question) == words_of(f"  {question.title()}...")


@given(st.lists(WORDS, max_size=5))
def test_the_order_of_descriptions_names_nothing_else(descriptions):
    assert names_in(descriptions) == names_in(reversed(descriptions))


def test_the_examples_of_the_docstrings_run():
    assert doctest.testmod(module).failed == 0


# --- what words stand for


def kinds_of_animals(asked="where is the animal ?"):
    rng = random.Random(0)
    colours, animals, things = ("red", "blue", "black"), ("dog", "cat", "bird"), ("car", "tree", "house")
    told = [
        " and ".join(f"{rng.choice(colours)} {what}" for what in (rng.choice(animals), *rng.choices(things, k=n % 3)))
        for n in range(200)
    ]
    return names_in(told, [(asked, d) for d in told])


def test_a_word_that_singles_one_thing_out_stands_for_what_is_met_there():
    names = kinds_of_animals()
    assert names["animal"] == {"dog", "cat", "bird"}
    assert names["car"] == {"car"}
    [view] = attributes("what colour is the animal ?", "blue", "blue cat and car", names=names)
    assert {'about "cat"', 'about "animal"', 'shows "animal"'} <= view
    assert 'about "animal"' not in attributes("where is the car ?", "left", "blue cat and car", names=names)[0]


@pytest.mark.parametrize(
    "asked",
    ["how many animals are there ?", "is there an animal ?", "is the car larger than the tree ?", "where is it ?"],
)
def test_a_word_that_points_at_nothing_stands_for_nothing_more(asked):
    names = kinds_of_animals(asked)
    assert not {"animal", "larger", "it"} & set(names)


def test_of_two_things_that_share_as_much_the_answer_or_what_goes_unsaid_decides():
    seen = "red cross col1 and small red cross col4"
    [small] = attributes("which column is the cross in ?", "col4", seen, names=names_in([seen]))
    assert 'about "small"' in small
    [plain] = attributes("what colour is the large cross ?", "red", seen, names=names_in([seen]))
    assert 'about "col1"' in plain
