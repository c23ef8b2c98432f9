import doctest
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditdm.method import trainset
from auditdm.method.trainset import Decided, audited_lessons, control_lessons, practice


def decided(n, question="Dogs?", consensus="two", failed=True):
    return Decided(
        probe_id=f"{n:04d}{'f' if failed else 'a'}",
        picture_id=f"p{n}",
        question=question,
        consensus=consensus,
        failed=failed,
    )


OFTEN = [decided(n) for n in range(50)]
RARE = [decided(100 + n, "Cats?") for n in range(3)]
OTHER_LABEL = [decided(200 + n, consensus="three") for n in range(2)]
PASSED = [decided(300 + n, failed=False) for n in range(20)]
PASSED_RARE = [decided(400, "Birds?", failed=False)]


def kinds(lessons):
    return Counter((lesson.question, lesson.answer) for lesson in lessons)


def test_kinds_take_turns():
    # 3 kinds of 50, 3 and 2; 9 rows: turn 1 and 2 give all kinds one each, turn 3 dogs and cats, then dogs alone
    lessons = audited_lessons([*OFTEN, *RARE, *OTHER_LABEL], rows=9, replay=0, seed=1)
    assert kinds(lessons) == {("Dogs?", "two"): 4, ("Cats?", "two"): 3, ("Dogs?", "three"): 2}
    for turn in (lessons[:3], lessons[3:6]):
        assert len(kinds(turn)) == 3
    assert len(kinds(lessons[6:8])) == 2


@pytest.mark.parametrize(
    ("rows", "replay", "failures", "replayed"),
    [
        (None, 0.0, 53, 0),
        (10, 0.0, 10, 0),
        (10, 1.0, 10, 10),
        (10, 0.5, 10, 5),
        (10, 0.26, 10, 3),  # 2.6
        (10, 5.0, 10, 21),  # no more than there are
        (1000, 1.0, 53, 21),
    ],
)
def test_the_cap_and_the_replay(rows, replay, failures, replayed):
    lessons = audited_lessons([*OFTEN, *RARE, *PASSED, *PASSED_RARE], rows=rows, replay=replay, seed=0)
    assert [lesson.origin for lesson in lessons] == ["failure"] * failures + ["replay"] * replayed
    assert {lesson.probe_id[-1] for lesson in lessons[failures:]} <= {"a"}
    if replayed >= 2:
        assert ("Birds?", "two") in kinds(lessons[failures:])  # agreements take turns too


def test_labels_take_turns_and_a_rare_one_may_stand_several_times():
    # 50 times the references said two, 3 times they said four, and these may stand twice: 12 rows are 6 and 3 + 3
    often = [replace(d, mode="m", target_answer="one") for d in OFTEN]
    rare = [replace(d, mode="r", consensus="four", target_answer="one") for d in RARE]
    lessons = audited_lessons([*often, *rare], rows=12, replay=0, seed=1, repeats=2)
    assert Counter(x.question for x in lessons) == {"Dogs?": 6, "Cats?": 6}
    assert Counter((x.probe_id, x.copy) for x in lessons if x.question == "Cats?") == {
        (d.probe_id, copy): 1 for d in RARE for copy in (0, 1)
    }
    assert len(audited_lessons(OFTEN, rows=None, replay=0, seed=1, repeats=9)) == 50  # of no mode: once


def test_the_first_replay_of_a_failure_is_where_its_wrong_answer_is_right():
    failed = replace(decided(1, "What colour is the star ?", "purple"), target_answer="blue")
    passed = [
        decided(2, "What colour is the star ?", "red", failed=False),
        decided(3, "What colour is the cross ?", "blue", failed=False),
        decided(4, "How many dogs are there ?", "blue", failed=False),
    ]
    lessons = audited_lessons([failed, *passed], rows=None, replay=1.0, seed=0)
    assert [(x.origin, x.probe_id[:4]) for x in lessons] == [("failure", "0001"), ("replay", "0003")]


def test_every_second_near_replay_keeps_an_answer_that_was_seldom_taken():
    failures = [replace(decided(n, "What is the digit ?", "9"), target_answer="1") for n in range(40)]
    ones = [decided(500 + n, "What is the digit ?", "1", failed=False) for n in range(90)]
    others = [decided(600 + n, "What is the digit ?", str(2 + n % 5), failed=False) for n in range(30)]
    elsewhere = [decided(700 + n, f"Is it {n} ?", "no", failed=False) for n in range(300)]
    lessons = audited_lessons([*failures, *ones, *others, *elsewhere], rows=None, replay=2.0, seed=0)
    near = [x for x in lessons if x.origin == "replay"][: round(0.3 * 80)]
    taken = Counter(x.answer for x in near)
    assert taken["1"] == 12 + 2  # twelve times what was said wrongly, and two of the twelve that go round
    assert [taken[str(n)] for n in range(2, 7)] == [2] * 5


def test_three_in_ten_replays_are_near_and_the_rest_is_the_pools_own_before_anything_else():
    failures = [replace(d, target_answer="blue") for d in OFTEN[:10]]
    blue = [decided(500 + n, "Dogs?", "blue", failed=False) for n in range(30)]
    own = [replace(decided(600 + n, f"Own {n}?", failed=False), own=True) for n in range(5)]
    lessons = audited_lessons([*failures, *blue, *own, *PASSED], rows=None, replay=2.0, seed=0)
    replayed = [x for x in lessons if x.origin == "replay"]
    assert Counter(x.question[:3] for x in replayed[:6]) == {"Dog": 6}
    assert Counter(x.answer for x in replayed[:6]) == {"blue": 4, "two": 2}  # in turn what was said wrongly, and others
    assert {x.probe_id for x in replayed[6:11]} == {d.probe_id for d in own}
    assert len(replayed) == 20


def test_a_failure_on_a_fresh_picture_stands_before_those_of_the_audit():
    fresh = [replace(decided(700 + n), fresh=True) for n in range(3)]
    lessons = audited_lessons([*OFTEN, *fresh], rows=5, replay=0, seed=2)
    assert {x.probe_id for x in lessons[:3]} == {d.probe_id for d in fresh}


POOL = {"a": "How many dogs?", "b": None, "c": "What colour is it?", "d": "How many cats?"}


def test_practice_shows_every_picture_once_and_begins_where_most_is_known_of_what_is_asked():
    wanted = [("How many dogs?", "two"), ("Is it red?", "no")]
    pairs = list(practice(wanted, POOL, seed=3))
    assert sorted(picture for picture, _ in pairs) == sorted(POOL)
    assert pairs[0] == ("a", "How many dogs?")
    assert {question for _, question in pairs} <= {"How many dogs?", "Is it red?"}
    assert list(practice(wanted[::-1], dict(reversed(POOL.items())), seed=3)) == pairs
    assert sorted(picture for picture, _ in practice([("Why?", "")], dict.fromkeys("abc"), seed=0)) == ["a", "b", "c"]
    assert list(practice([("Why?", "")], {}, seed=0)) == []


def test_practice_looks_for_the_answer_too_and_rare_words_count_more():
    pool = {f"{n}": "What colour is the dog? black" for n in range(9)} | {"cat": "Where is the purple cat? left"}
    assert next(practice([("What colour is the dog?", "purple")], pool, seed=1)) == ("cat", "What colour is the dog?")


def test_no_failure_no_lesson():
    assert audited_lessons([], rows=None, replay=1.0, seed=0) == []
    assert audited_lessons(PASSED, rows=None, replay=1.0, seed=0) == []
    assert control_lessons([], 5, seed=0) == []


def test_the_control_is_as_large_and_blind_to_what_the_target_said():
    everything = [*OFTEN, *PASSED]
    drawn = control_lessons(everything, 60, seed=0)
    assert len({lesson.probe_id for lesson in drawn}) == 60
    assert {lesson.origin for lesson in drawn} == {"random"}
    turned = [
        Decided(probe_id=d.probe_id, picture_id=d.picture_id, question=d.question, consensus=d.consensus, failed=not d.failed)
        for d in everything
    ]  # fmt: skip
    assert control_lessons(turned, 60, seed=0) == drawn
    assert len(control_lessons(everything, 100, seed=0)) == 70  # all there are


ROWS = st.lists(
    st.builds(
        Decided,
        probe_id=st.text("abcdef", min_size=4, max_size=4),
        picture_id=st.just("p"),
        question=st.sampled_from(["Dogs?", "Cats?", "Birds?"]),
        consensus=st.sampled_from(["one", "two"]),
        failed=st.booleans(),
    ),
    unique_by=lambda d: d.probe_id,
)


@given(ROWS, st.sampled_from([None, 1, 3]), st.sampled_from([0.0, 0.5, 2.0]), st.randoms(use_true_random=False))
def test_the_order_of_the_rows_changes_nothing_and_every_label_is_the_consensus(rows, cap, replay, rng):
    shuffled = rows.copy()
    rng.shuffle(shuffled)
    lessons = audited_lessons(rows, rows=cap, replay=replay, seed=7)
    assert audited_lessons(shuffled, rows=cap, replay=replay, seed=7) == lessons
    control = control_lessons(rows, len(lessons), seed=7)
    assert control_lessons(shuffled, len(lessons), seed=7) == control
    assert len(control) == len(lessons)
    told = {d.probe_id: d for d in rows}
    for lesson in (*lessons, *control):
        d = told[lesson.probe_id]
        assert (lesson.answer, lesson.question, lesson.picture_id) == (d.consensus, d.question, d.picture_id)
    assert len({lesson.probe_id for lesson in lessons}) == len(lessons)


def test_another_seed_is_another_order():
    orders = {tuple(x.probe_id for x in audited_lessons(OFTEN, rows=5, replay=0, seed=seed)) for seed in range(5)}
    assert len(orders) == 5
    assert len({tuple(x.probe_id for x in control_lessons(OFTEN, 5, seed=seed)) for seed in range(5)}) == 5


def test_the_examples_of_the_docstrings_run():
    assert doctest.testmod(trainset).failed == 0
