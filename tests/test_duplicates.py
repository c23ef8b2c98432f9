import doctest

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from auditdm.method import duplicates
from auditdm.method.duplicates import Gathered, deduplicated

TEN = "what is on the left of the large red circle now"


def row(question, answer="two", picture="p", source="p", probe="x"):
    return Gathered(probe_id=probe, source_id=source, picture_id=picture, question=question, answer=answer)


def never(name):
    raise AssertionError(f"picture {name} was looked at")


def questions(rows):
    return [r.question for r in rows]


def test_the_documented_example():
    assert doctest.testmod(duplicates).failed == 0


def test_word_for_word_is_asked_once_whatever_the_answer():
    rows = [row("How many dogs?"), row("how many  DOGS", answer="three"), row("dogs many how")]
    assert questions(deduplicated(rows[:2], never)) == ["How many dogs?"]
    assert questions(deduplicated([rows[0], rows[2]], never)) == [
        "How many dogs?"
    ]  # nearly: the same words, same answer


def test_nearly_the_same_words_with_another_answer_both_stay():
    other = TEN.replace("left", "right")
    assert len(deduplicated([row(TEN), row(other)], never)) == 1
    assert len(deduplicated([row(TEN), row(other, answer="star")], never)) == 2


def test_another_word_of_few_is_another_question():
    assert len(deduplicated([row("how many dogs are there"), row("how many cats are there")], never)) == 2


def test_the_same_question_on_other_pictures_stays():
    rows = [row("how many dogs", picture=p, source=p) for p in "pqr"]
    assert deduplicated(rows, never) == rows  # of other sources: not even looked at


def test_an_edit_that_cannot_be_seen_is_the_same_picture():
    grey = np.full((64, 64, 3), 128, np.uint8)
    noisy, edited = grey.copy(), grey.copy()
    noisy[::2] += 5
    edited[20:30, 20:30] = (255, 0, 0)  # a small thing, 2% of the picture
    pictures = {"p": Image.fromarray(grey), "q": Image.fromarray(noisy), "r": Image.fromarray(edited)}
    rows = [row("how many dogs", picture=p) for p in "pqr"]
    assert [r.picture_id for r in deduplicated(rows, pictures.__getitem__)] == ["p", "r"]


def test_what_is_known_already_is_left_out_and_not_returned():
    rows = [row("how many dogs"), row("what colour")]
    assert questions(deduplicated(rows, never, known=[row("How many dogs?", answer="four")])) == ["what colour"]


def test_questions_without_words_are_compared_as_they_stand():
    assert questions(deduplicated([row("???"), row("???"), row("!")], never)) == ["???", "!"]


def test_signs_are_told_apart_in_answers():
    assert len(deduplicated([row(TEN, answer="-2"), row(TEN + " then", answer="2")], never)) == 2


@given(st.lists(st.tuples(st.sampled_from("pq"), st.sampled_from(["a b c", "A, b c!", "d e", "a b c d e"]),
                          st.sampled_from(["x", "y"])), max_size=12))  # fmt: skip
def test_it_is_settled_after_one_pass_and_keeps_the_order(drawn):
    rows = [row(q, answer=a, picture=p, source=p, probe=f"{n}") for n, (p, q, a) in enumerate(drawn)]
    once = deduplicated(rows, never)
    assert deduplicated(once, never) == once
    assert [r for r in rows if r in once] == once
    assert deduplicated(rows, never, known=rows) == []
    assert (rows == []) == (once == [])
