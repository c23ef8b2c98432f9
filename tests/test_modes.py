import doctest

from hypothesis import given, settings
from hypothesis import strategies as st

from auditdm.method import modes
from auditdm.method.modes import Measured, failure_modes

COLOURS = ["red", "blue", "green", "white"]


def measured(n, question, consensus, target_answer=None):
    failed = target_answer is not None
    return Measured(
        probe_id=f"{n:05d}",
        question=question,
        consensus=consensus,
        target_answer=target_answer if failed else consensus,
        failed=failed,
    )


def numbered(rows):
    return [measured(n, *row) for n, row in enumerate(rows)]


# Three kinds: 8 counts of five, 6 crosses, 4 empty replies to clocks; 12 agreements on five dogs, 2 on crosses; 20 on
# something else: other counts, other shapes, and a subject on which nothing fails.
THREE = numbered(
    [(f"How many {c} dogs are there?", "5", "3") for c in COLOURS * 2]
    + [(f"What shape is the {c} thing?", "a cross", "square") for c in COLOURS]
    + [("What shape is the red thing?", "a cross", "triangle")] * 2
    + [("What time is it on the clock?", "noon", "")] * 4
    + [(f"How many {c} dogs are there?", "5") for c in COLOURS * 3]
    + [("What shape is the red thing?", "a cross")] * 2
    + [("Is it raining?", "no")] * 8
    + [(f"How many {c} dogs are there?", "2") for c in COLOURS]
    + [(f"What shape is the {c} thing?", "a star") for c in COLOURS * 2]
)


def test_three_kinds_are_found_named_and_counted():
    dogs, shapes, clock = failure_modes(THREE)
    assert [m.name for m in (dogs, shapes, clock)] == [
        "How many ... dogs are there? '5', not '3'",
        "What shape is the ... thing? 'a cross', not 'square' or 'triangle'",
        "What time is it on the clock? 'noon', not nothing",
    ]
    assert [len(m.probe_ids) for m in (dogs, shapes, clock)] == [8, 6, 4]
    # 8 failures + 12 agreements on five; 6 + 2; 4 + 0. Two dogs, stars and the rain are of no failing kind.
    assert [m.measured for m in (dogs, shapes, clock)] == [20, 8, 4]
    failed = {m.probe_id for m in THREE if m.failed}
    grouped = [i for m in (dogs, shapes, clock) for i in m.probe_ids]
    assert sorted(grouped) == sorted(failed)
    assert dogs.description == (
        f"Asked such as '{THREE[int(dogs.probe_ids[0])].question}', the target says '3' where the references agree on '5'."
    )


def test_what_the_target_said_does_not_split_a_kind():
    rows = [("Is it red?", "yes", said) for said in ("no", "blue", "maybe", "", "no", "no")] + [
        ("Is it red?", "yes")
    ] * 6
    [mode] = failure_modes(numbered(rows))
    assert (len(mode.probe_ids), mode.measured) == (6, 12)
    assert mode.name == "Is it red? 'yes', not 'no' or others"  # 3 of 6 are no, the rest once each


def test_a_stray_failure_does_not_widen_the_denominator():
    rows = [("How many dogs are there?", "5", "3")] * 19 + [("How many dogs are there?", "2", "3")]
    rows += [("How many dogs are there?", "2")] * 50 + [("How many dogs are there?", "5")] * 4
    first, *_ = failure_modes(numbered(rows), alike=0.1)
    assert (len(first.probe_ids), first.measured) == (20, 24)


def test_words_that_no_failure_has_make_an_agreement_another_kind():
    rows = [("How many dogs are there?", "5", "3")] * 4 + [("How many tall green striped vases are there?", "5")] * 9
    [mode] = failure_modes(numbered(rows))
    assert mode.measured == 4


def test_the_most_typical_failure_is_first():
    rows = [("How many big dogs sit there?", "5", "3")] + [("How many dogs are there?", "5", "3")] * 5
    [mode] = failure_modes(numbered(rows), alike=0.2)
    assert mode.probe_ids == ("00001", "00002", "00003", "00004", "00005", "00000")


def test_few_failures_make_no_group():
    assert failure_modes([]) == []
    assert failure_modes(numbered([("Why?", "a", "b")])) == []
    assert failure_modes(numbered([("Why?", "a", "b")]), least=1) == []
    assert failure_modes(numbered([("Why?", "a", "b")] * 2)) == []
    assert failure_modes(numbered([("Why?", "a")] * 9)) == []  # nothing failed
    assert failure_modes(numbered([(f"w{n} x{n}?", f"a{n}", "b") for n in range(9)])) == []  # nothing is alike
    [pair] = failure_modes(numbered([("Why?", "a", "b")] * 2), least=2)
    assert (pair.measured, pair.name) == (2, "Why? 'a', not 'b'")


def test_words_that_are_no_words_are_no_error():
    [mode] = failure_modes(numbered([("?!", "", "")] * 3 + [("?!", "")]))
    assert (mode.measured, mode.name) == (4, "?! nothing, not nothing")


def test_questions_that_share_no_word_are_named_by_the_usual_one():
    rows = [("dogs?", "so very many of them", "b")] * 2 + [(f"q{n}?", "so very many of them", "b") for n in range(2)]
    [mode] = failure_modes(numbered(rows), alike=0.2)
    assert mode.name == "dogs? 'so very many of them', not 'b'"


def test_many_different_answers_are_said_to_be_many():
    rows = [("What number is on the large sign over there?", f"{n}", f"{n + 1}") for n in range(30)]
    [mode] = failure_modes(numbered(rows), alike=0.2)
    assert mode.name == "What number is on the large sign over there? many answers, not many answers"


@settings(max_examples=20)
@given(st.permutations(range(len(THREE))))
def test_the_order_of_the_rows_changes_nothing(order):
    assert failure_modes([THREE[n] for n in order]) == failure_modes(THREE)


ROW = st.tuples(
    st.sampled_from(["How many dogs?", "How many red dogs?", "What is it?", "?"]),
    st.sampled_from(["1", "2", "a dog", ""]),
    st.sampled_from([None, "no", "3", ""]),
)


@settings(max_examples=60)
@given(st.lists(ROW, max_size=30), st.integers(1, 4))
def test_no_probe_is_counted_twice(rows, least):
    rows = numbered(rows)
    found = failure_modes(rows, least=least)
    grouped = [i for m in found for i in m.probe_ids]
    assert len(grouped) == len(set(grouped))
    assert set(grouped) <= {m.probe_id for m in rows if m.failed}
    assert sum(m.measured for m in found) <= len(rows)
    assert all(len(m.probe_ids) >= least and m.measured >= len(m.probe_ids) for m in found)
    assert len({m.id for m in found}) == len(found)
    assert [len(m.probe_ids) for m in found] == sorted((len(m.probe_ids) for m in found), reverse=True)


def test_more_failures_than_are_clustered_join_the_nearest_group():
    rows = [(f"How many {COLOURS[n % 4]} dogs are there?", "5", "3") for n in range(2500)]
    rows += [("What time is it on the clock?", "noon", "ten")] * 1000
    dogs, clock = failure_modes(numbered(rows))
    assert (len(dogs.probe_ids), len(clock.probe_ids)) == (2500, 1000)


def test_the_examples_of_the_docstrings_run():
    assert doctest.testmod(modes).failed == 0
