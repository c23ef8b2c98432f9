from collections import Counter

import pytest

from auditdm.sandbox.gaps import GAPS, Gap, gap_of
from auditdm.sandbox.language import ALL_SKILLS, CANNOT_SAY, answer
from auditdm.sandbox.renderer import read
from auditdm.sandbox.suites import ILL_POSED, suite
from auditdm.types import picture_id

PLANTED = [pytest.param(gap, id=f"{name}: {gap.name}") for name, gaps in GAPS.items() for gap in gaps]


@pytest.mark.parametrize("skill", ALL_SKILLS)
def test_a_suite_asks_for_its_skill_and_knows_the_answers(skill):
    examples = suite(skill, 25, seed=3)
    assert len(examples) == 25
    for example in examples:
        truth = answer(read(example.image), example.question)
        assert (example.suite, example.slice) == (skill, "")
        assert (truth.skill, truth.answer) == (skill, example.answer)


def test_to_ill_posed_questions_the_right_reply_is_cannot_say():
    reasons = Counter()
    for example in suite(ILL_POSED, 200, seed=3, gaps=GAPS["target-small"]):
        truth = answer(read(example.image), example.question)
        assert (example.answer, truth.answer, example.slice) == (CANNOT_SAY, None, "")
        reasons[truth.invalid] += 1
    assert min(reasons["the referent is not unique"], reasons["these words are no question"]) >= 50, reasons


@pytest.mark.parametrize("gap", PLANTED)
def test_a_planted_gap_is_hit_by_ordinary_questions_and_leaves_others_outside(gap):
    slices = Counter(example.slice for example in suite(gap.skill, 150, seed=5, gaps=[gap]))
    assert set(slices) == {"", gap.name}
    assert slices[gap.name] >= 3, slices


@pytest.mark.parametrize("gap", PLANTED)
def test_a_suite_inside_a_gap_has_its_questions_only(gap):
    for example in suite(gap.skill, 20, seed=6, gaps=[gap], inside=gap):
        truth = answer(read(example.image), example.question)
        assert gap.holds(truth.skill, example.question, truth.answer)
        assert example.slice == gap.name
        assert example.answer == truth.answer  # the true one, not the one that the target was taught
        assert not gap.answers or example.answer in gap.answers
        assert set(gap.words) <= set(example.question.split())


@pytest.mark.parametrize("gaps", [pytest.param(gaps, id=name) for name, gaps in GAPS.items()])
def test_the_gaps_of_a_model_are_apart_and_what_is_taught_there_is_wrong(gaps):
    assert len({gap.name for gap in gaps}) == len(gaps)
    for gap in gaps:
        assert gap.skill in ALL_SKILLS
        assert gap.wrong is None or gap.wrong not in gap.answers
        for example in suite(gap.skill, 10, seed=8, inside=gap):
            assert [g.name for g in gaps if g.holds(gap.skill, example.question, example.answer)] == [gap.name]
            assert example.answer != gap.wrong


def test_the_targets_have_as_many_gaps_as_promised():
    small, large = set(GAPS["target-small"]), set(GAPS["target-large"])
    assert len(small) >= 8
    assert len(large) >= 5
    assert len(small & large) >= 3


def test_a_gap_holds_for_its_skill_answers_and_words_alone():
    gap = Gap("small crosses seen", "exist", answers=("yes",), words=("small", "cross"))
    asked = "is there any small cross ?"
    assert gap.holds("exist", asked, "yes")
    assert not gap.holds("exist", asked, "no")
    assert not gap.holds("exist", asked, None)
    assert not gap.holds("count", asked, "yes")
    assert not gap.holds(None, asked, "yes")
    assert not gap.holds("exist", "is there any cross ?", "yes")
    assert Gap("any answer", "exist").holds("exist", asked, "no")
    assert gap_of((Gap("no colour", "colour"), gap), "exist", asked, "yes") == gap
    assert gap_of((), "exist", asked, "yes") is None


def test_a_manifest_says_how_a_gap_came_about():
    withheld, corrupted = Gap("a", "clock", answers=("9:00",)), Gap("b", "clock", wrong="9:00")
    assert (withheld.as_dict()["how"], corrupted.as_dict()["how"]) == ("withheld", "corrupted")
    assert withheld.as_dict()["answers"] == ("9:00",)


def test_a_slice_of_another_skill_is_refused_and_not_sought_forever():
    gap = GAPS["target-small"][0]
    with pytest.raises(
        ValueError, match="'four or more shapes' is a slice of 'count_all', not of 'colour': ask for 'count_all'"
    ):
        suite("colour", 1, seed=0, inside=gap)


@pytest.mark.parametrize("skill", ["arrow", "chart_tallest", "colour"])
def test_other_seeds_share_no_picture_and_a_suite_shows_none_twice(skill):
    one, other = ([picture_id(e.image) for e in suite(skill, 700, seed=seed)] for seed in (1, 2))
    assert len(set(one)) == len(set(other)) == 700
    assert not set(one) & set(other)


def test_a_suite_follows_from_skill_seed_and_slice_and_a_shorter_one_is_its_beginning():
    assert suite("count", 20, seed=1)[:8] == suite("count", 8, seed=1)
    assert [picture_id(e.image) for e in suite("count", 8, seed=1)] == [
        picture_id(e.image) for e in suite("count", 8, seed=1)
    ]
    assert suite("count", 8, seed=1) != suite("count", 8, seed=2)
    assert suite("count", 0, seed=1) == []
