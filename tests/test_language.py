import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auditdm.sandbox.changes import drawn
from auditdm.sandbox.language import (
    ALL_SKILLS,
    CANNOT_SAY,
    FALSE_PREMISE,
    SKILLS,
    Truth,
    answer,
    garbled,
    plural_of,
    random_question,
    unclear_question,
)
from auditdm.sandbox.world import random_scene, random_thing, scene_of
from brute_force_oracle import opinion, rows_of
from scenes import SEEDS, random_scenes, scenes

NOT_UNIQUE = "the referent is not unique"
NO_QUESTION = "these words are no question"
DESK = drawn(
    "green digit 7 row1 col1 and small dotted blue circle row1 col4 and red star row2 col3"
    " and purple clock 10:00 row3 col2 and striped red star row4 col1 and black chart 213 row4 col4"
)
TRIO = drawn("red circle row1 col1 and red square row2 col2 and blue star row4 col4")
LONE = drawn("orange arrow down row3 col3")
SUM = drawn("red digit 9 row1 col1 and blue digit 8 row1 col2 and red cross row1 col3")

BY_HAND = [  # scene, question, skill, reply; None where there is no right answer
    (DESK, "is there any blue circle ?", "exist", "yes"),
    (DESK, "is there any large circle ?", "exist", "no"),
    (DESK, "is there any small sign ?", "exist", "no"),
    (DESK, "how many shapes are there ?", "count_all", "3"),
    (LONE, "how many shapes are there ?", "count_all", "0"),
    (DESK, "how many red stars are there ?", "count", "2"),
    (DESK, "how many large plain red stars are there ?", "count", "1"),
    (DESK, "how many signs are there ?", "count", "3"),
    (DESK, "how many shapes are not red ?", "negation", "1"),
    (DESK, "how many shapes are red or purple ?", "disjunction", "2"),
    (DESK, "how many shapes are red or red ?", "disjunction", "2"),
    (DESK, "are there more stars than circles ?", "more", "yes"),
    (DESK, "are there more signs than shapes ?", "more", "no"),
    (DESK, "what colour is the clock ?", "colour", "purple"),
    (DESK, "what colour is the striped star ?", "colour", "red"),
    (DESK, "what shape is the small one ?", "shape", "circle"),
    (DESK, "what size is the blue shape ?", "size", "small"),
    (DESK, "what pattern has the circle ?", "pattern", "dotted"),
    (DESK, "what is the digit ?", "digit", "7"),
    (DESK, "what is the green digit ?", "digit", "7"),
    (drawn("red letter K row1 col1"), "what is the letter ?", "letter", "K"),
    (drawn("red number 42 row1 col1"), "what is the red number ?", "number", "42"),
    (DESK, "what time is it on the clock ?", "clock", "10:00"),
    (LONE, "where does the arrow point ?", "arrow", "down"),
    (DESK, "which bar of the chart is tallest ?", "chart_tallest", "right"),
    (DESK, "which bar of the black chart is shortest ?", "chart_shortest", "middle"),
    (DESK, "which row is the circle in ?", "row", "row1"),
    (DESK, "which column is the circle in ?", "column", "col4"),
    (DESK, "what is at row3 col2 ?", "at", "clock"),
    (DESK, "what is at row2 col2 ?", "at", "nothing"),
    (DESK, "is the digit left of the chart ?", "left_of", "yes"),
    (DESK, "is the circle left of the chart ?", "left_of", "no"),  # the same column
    (DESK, "is the chart right of the clock ?", "right_of", "yes"),
    (DESK, "is the digit above the circle ?", "above", "no"),  # the same row
    (DESK, "is the clock below the circle ?", "below", "yes"),
    (DESK, "is the striped star larger than the circle ?", "larger", "yes"),
    (DESK, "is the circle larger than the circle ?", "larger", "no"),
    (DESK, "are the striped star and the plain star the same colour ?", "same_colour", "yes"),
    (DESK, "do the striped star and the circle have the same pattern ?", "same_pattern", "no"),
    (DESK, "which shape is nearest to the circle ?", "nearest", "star"),
    (DESK, "which shape is nearest to the digit ?", "nearest", None),  # circle and star, 3 steps each
    (TRIO, "which shape is nearest to the circle ?", "nearest", "square"),
    (DESK, "is the digit in a corner ?", "corner", "yes"),
    (DESK, "is the clock in a corner ?", "corner", "no"),
    (DESK, "is the clock at the border ?", "border", "no"),
    (DESK, "is the striped star at the border ?", "border", "yes"),
    (TRIO, "which shape has the odd colour ?", "odd_one_out", "star"),
    (LONE, "which shape has the odd colour ?", "odd_one_out", None),
    (SUM, "what is the sum of the digits ?", "sum", "17"),
    (DESK, "what is the sum of the digits ?", "sum", None),  # one digit makes no sum
    # what is not there
    (DESK, "what colour is the cross ?", FALSE_PREMISE, "none"),
    (DESK, "is the cross left of the digit ?", FALSE_PREMISE, "none"),
    (DESK, "is the digit left of the cross ?", FALSE_PREMISE, "none"),
    (DESK, "what is the letter ?", FALSE_PREMISE, "none"),
    (DESK, "what is the small digit ?", FALSE_PREMISE, "none"),  # no sign is small
    (LONE, "which shape is nearest to the arrow ?", FALSE_PREMISE, "none"),
    (LONE, "what is the sum of the digits ?", FALSE_PREMISE, "none"),
    # what is not one
    (DESK, "what colour is the star ?", "colour", None),
    (DESK, "is the star above the digit ?", "above", None),
    (DESK, "is the star above the cross ?", "above", None),  # not one rather than not there
    (DESK, "what shape is the large one ?", "shape", None),
]
NO_QUESTIONS = [
    "",
    " ",
    "?",
    "hello",
    "what colour is the star",
    "what colour is the star ? ?",
    "What colour is the star ?",
    "what colour is the star?",
    "what colour is  the star ?",
    " what colour is the star ?",
    "what colour is the star ? ",
    "what colour is the star ?\n",
    "what color is the star ?",
    "what colour is a star ?",
    "what colour is the stars ?",
    "what colour is the one ?",  # "one" belongs to the question for the shape
    "what colour is the red small star ?",  # size, pattern, colour
    "what colour is the red blue star ?",
    "what shape is the star ?",
    "what shape is the shape ?",
    "what size is the digit ?",
    "what size is the sign ?",
    "what is the clock ?",
    "what time is it on the digit ?",
    "what is at row5 col1 ?",
    "what is at col1 row1 ?",
    "how many star are there ?",
    "how many ones are there ?",
    "how many shapes are not star ?",
    "is there any stars ?",
    "is the digit larger than the star ?",
    "is the star larger than the digit ?",
    "do the clock and the star have the same pattern ?",
    "again : what colour is the clock ?",
]


@pytest.mark.parametrize(("scene", "question", "skill", "reply"), BY_HAND)
def test_answers_worked_out_by_hand(scene, question, skill, reply):
    truth = answer(scene, question)
    assert (truth.skill, truth.answer) == (skill, reply)
    assert opinion(rows_of(scene), question) == (skill, reply)


def test_every_skill_is_worked_out_by_hand_once():
    assert {skill for _, _, skill, reply in BY_HAND if reply is not None} == set(ALL_SKILLS)


@pytest.mark.parametrize("words", NO_QUESTIONS)
def test_what_is_no_question_has_no_answer(words):
    assert answer(DESK, words) == Truth(None, invalid=NO_QUESTION)
    assert opinion(rows_of(DESK), words) == (None, None)


def test_the_right_reply_to_what_cannot_be_answered_is_to_say_so():
    assert answer(DESK, "what colour is the star ?").reply == CANNOT_SAY
    assert answer(DESK, "hello").reply == CANNOT_SAY
    assert answer(DESK, "what colour is the cross ?").reply == "none"
    assert answer(DESK, "what colour is the clock ?").reply == "purple"


def test_there_are_at_least_24_skills_with_words_of_their_own():
    assert len(ALL_SKILLS) == len(set(ALL_SKILLS)) >= 24
    assert len({words for words, _ in SKILLS.values()}) == len(SKILLS)


SIGNS_OF = {"chart_tallest": ["chart"], "chart_shortest": ["chart"], "sum": ["digit", "digit"]}
SIGNS_OF |= {noun: [noun] for noun in ("digit", "letter", "number", "clock", "arrow")}


def with_signs(rng, scene, kind):
    """The scene, its first things replaced by the signs that a kind of question is about."""
    wanted = SIGNS_OF.get(kind, [])[: len(scene.things)]
    signs = [random_thing(rng, t.cell, noun) for t, noun in zip(scene.things, wanted, strict=False)]
    return scene_of([*signs, *scene.things[len(wanted) :]])


def pairs():
    """10,000 and more scenes with a question: every skill in turn, unclear ones, garbled ones, those of other scenes."""
    rng, asked = random.Random(7), ["is there any star ?"]
    kinds = (*ALL_SKILLS, "unclear", "garbled", "unclear", "garbled", "elsewhere", "elsewhere", "elsewhere")
    for n, scene in enumerate(random_scenes(14_000, seed=5)):
        kind = kinds[n % len(kinds)]
        scene = with_signs(rng, scene, kind)
        if kind == "unclear":
            question = unclear_question(rng, scene)
        elif kind == "garbled":
            question = garbled(rng, rng.choice(asked[-50:]), rng.choice(asked[-50:]))
        elif kind == "elsewhere":
            question = rng.choice(asked[-50:])
        else:
            question = random_question(rng, scene, kind)
            if question is not None:
                asked.append(question)
        if question is not None:
            yield kind, scene, question


def test_every_question_is_of_its_kind_and_a_second_opinion_agrees_on_10000_pairs():
    told, kinds, asked = Counter(), Counter(), 0
    for kind, scene, question in pairs():
        truth, second = answer(scene, question), opinion(rows_of(scene), question)
        assert (truth.skill, truth.answer) == second, f"{question!r} on {scene}: {truth}, but the other says {second}"
        assert (truth.answer is None) == (truth.invalid is not None)
        if kind == "unclear":
            assert truth.invalid == NOT_UNIQUE, f"{question!r} on {scene}: {truth}"
        elif kind in ALL_SKILLS:
            assert truth.skill == kind, f"{question!r} on {scene}: {truth}"
            assert truth.answer is not None, f"{question!r} on {scene}: {truth}"
        asked += 1
        kinds[kind] += 1
        told[truth.skill if truth.answer is not None else truth.invalid] += 1
    assert asked >= 10_000
    assert all(kinds[skill] >= 30 for skill in (*ALL_SKILLS, "unclear", "garbled")), kinds
    assert told[NOT_UNIQUE] >= 300, told
    assert told[NO_QUESTION] >= 300, told
    assert len(set(told) - set(ALL_SKILLS) - {NOT_UNIQUE, NO_QUESTION}) == 3, told  # nearest, odd one out, sum


WORDS = sorted({w for words, _ in SKILLS.values() for w in words.split() if "{" not in w})
WORDS += "one red blue large small dotted star stars circle digit shape sign row1 col2 the the".split()  # noqa: SIM905


@settings(deadline=None)
@given(scenes(), st.lists(st.sampled_from(WORDS), max_size=9).map(" ".join))
def test_a_second_opinion_agrees_on_any_words(scene, words):
    truth = answer(scene, words)
    assert (truth.skill, truth.answer) == opinion(rows_of(scene), words)


@settings(deadline=None)
@given(scenes(), st.sampled_from(ALL_SKILLS), SEEDS)
def test_a_second_opinion_agrees_on_any_scene(scene, skill, rng):
    for question in (random_question(rng, scene, skill), unclear_question(rng, scene)):
        if question is not None:
            truth = answer(scene, question)
            assert (truth.skill, truth.answer) == opinion(rows_of(scene), question)


@settings(deadline=None)
@given(scenes(), SEEDS)
def test_where_things_stand_a_pixel_aside_does_not_matter(scene, rng):
    question = random_question(rng, scene, rng.choice(ALL_SKILLS))
    if question is not None:
        assert answer(scene, question) == answer(scene.without_nudges(), question)


@settings(deadline=None)
@given(st.text(max_size=30))
def test_any_text_has_a_truth(text):
    assert answer(TRIO, text).reply


def test_an_unclear_question_needs_two_things_that_one_description_fits():
    assert unclear_question(random.Random(0), LONE) is None
    two_unlike = drawn("orange arrow down row3 col3 and small dotted blue circle row1 col4")
    assert unclear_question(random.Random(0), two_unlike) is None


@pytest.mark.parametrize("skill", ["shape", "size", "digit", "sum", "odd_one_out", "chart_tallest"])
def test_what_a_scene_does_not_support_is_not_asked(skill):
    assert random_question(random.Random(0), LONE, skill) is None


def test_the_same_seed_asks_the_same():
    def asked(seed):
        rng = random.Random(seed)
        return [random_question(rng, random_scene(rng), rng.choice(ALL_SKILLS)) for _ in range(60)]

    assert asked(1) == asked(1)
    assert asked(1) != asked(2)


@pytest.mark.parametrize(("noun", "plural"), [("star", "stars"), ("cross", "crosses"), ("sign", "signs")])
def test_plurals(noun, plural):
    assert plural_of(noun) == plural


@settings(deadline=None)
@given(SEEDS)
def test_garbling_uses_only_the_words_that_it_was_given(rng):
    question, other = "what colour is the star ?", "how many circles are there ?"
    assert set(garbled(rng, question, other).split()) <= {*question.split(), *other.split()}


def test_the_four_looks_are_asked_for_with_either_verb():
    rng = random.Random(5)
    asked = 0
    for _ in range(200):
        scene = random_scene(rng)
        for skill, verb, other in (
            ("colour", "is", "has"),
            ("shape", "is", "has"),
            ("size", "is", "has"),
            ("pattern", "has", "is"),
        ):
            question = random_question(rng, scene, skill)
            if question is not None:
                asked += 1
                said = question.replace(f"what {skill} {verb} ", f"what {skill} {other} ")
                assert said != question
                assert answer(scene, said) == answer(scene, question)
    assert asked > 400
    assert answer(scene, "which row has the star in ?").skill is None
