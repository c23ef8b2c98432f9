"""The stand-in for a trained auditor: its proposals, and what it may know before the target is asked."""

import random
from dataclasses import replace

import pytest

from auditdm.method.predicate import Literal, Predicate
from auditdm.sandbox.changes import caption
from auditdm.sandbox.language import CANNOT_SAY, answer
from auditdm.sandbox.standin import Bank, Language, StandIn, item_of
from auditdm.sandbox.world import Scene, Thing

SIZE = 700
SHAPE = Predicate.of(Literal(('asks "what shape is the ...?"', 'asks "how many ... are there?"')))


@pytest.fixture(scope="module")
def bank():
    return Bank(1, SIZE, Language())


@pytest.fixture(scope="module")
def fresh():
    return Bank(2, SIZE, Language())


class Told:
    """A respondent that knows the truth and writes down what it is asked; `says` replaces some replies."""

    def __init__(self, says=lambda _question, truth, _wording: truth):
        self.says, self.heard = says, []

    def reply(self, scene, question, truth, changed=False, wording=0):
        self.heard.append((question, wording))
        return self.says(question, truth.answer or CANNOT_SAY, wording)


def same(_question, one, other):
    return one == other


def standing_in(bank, fresh, target=None, references=None):
    return StandIn(bank, fresh, target or Told(), references or (Told(), Told()), same)


def asked_often(bank):
    """The form of a question that stands in the bank most often."""
    forms = [a for item in bank.items[:SIZE] for view in item.views[:1] for a in view if a.startswith("asks ")]
    return Predicate.of(Literal((max(sorted(set(forms)), key=forms.count),)))


# --- the bank


def test_the_same_seed_makes_the_same_bank_and_another_another(bank):
    again, other = Bank(1, SIZE, Language()), Bank(5, SIZE, Language())
    assert [i.id for i in again.items] == [i.id for i in bank.items]
    assert [i.views for i in again.items] == [i.views for i in bank.items]
    known = {i.id for i in bank.items}
    assert len([i for i in other.items if i.id in known]) < 0.05 * SIZE


def test_what_is_asked_makes_sense_nearly_always(bank):
    unanswerable = sum(item.truth.answer is None for item in bank.items[:SIZE])
    assert 0 < unanswerable < 0.12 * SIZE
    assert all(bool(item.views) == (item.truth.answer is not None) for item in bank.items)
    assert 0.2 * SIZE < sum(item.changed for item in bank.items[:SIZE]) < 0.4 * SIZE


def test_a_bank_finds_what_a_predicate_holds_of(bank):
    predicates = [
        SHAPE, asked_often(bank), Predicate(), Predicate.of(Literal(('about "red"',)), Literal(('about "small"',))),
        Predicate.of(Literal(("answer >= 2",)), Literal(('shows "star"',), negated=True)),
        Predicate.of(Literal(("never heard of",))),
    ]  # fmt: skip
    for predicate in predicates:
        expected = [n for n, item in enumerate(bank.items) if predicate.holds(item.views)]
        assert bank.where(predicate).tolist() == expected, predicate.words()


def test_what_was_made_for_one_audit_is_forgotten_before_the_next(bank):
    predicate = asked_often(bank)
    before = bank.where(predicate).tolist()
    made = [bank.items[n].id for n in bank.more(predicate, 12)]
    assert len(made) == 12
    assert len(bank.items) == SIZE + 12
    assert len(bank.where(predicate)) == len(before) + 12
    bank.forget()
    assert len(bank.items) == SIZE
    assert bank.where(predicate).tolist() == before
    assert [bank.items[n].id for n in bank.more(predicate, 12)] == made  # the next audit draws the same
    bank.forget()


def test_more_of_a_kind_are_of_that_kind_and_none_is_there_twice(bank):
    predicate = asked_often(bank)
    known = {item.id for item in bank.items}
    made = [bank.items[n] for n in bank.more(predicate, 40)]
    assert len(made) == 40
    assert all(predicate.holds(item.views) for item in made)
    ids = [item.id for item in made]
    assert len(set(ids)) == len(ids)
    assert not known & set(ids)
    bank.forget()


def test_a_picture_that_differs_by_a_pixel_is_the_same_picture():
    scene = Scene((Thing(1, 1, "star", "red"), Thing(2, 3, "circle", "blue")))
    nudged = Scene(tuple(replace(t, nudge=(1, 0)) for t in scene.things))
    one, other = (item_of(s, "what colour is the star ?", False) for s in (scene, nudged))
    assert caption(scene) == caption(nudged)
    assert one.id == other.id
    assert item_of(scene, "what colour is the circle ?", False).id != one.id


def test_of_what_the_bank_has_nothing_no_more_can_be_made(bank):
    assert bank.more(Predicate.of(Literal(("never heard of",))), 5) == []


def test_an_item_knows_the_truth_and_what_can_be_said_of_it():
    scene = Scene((Thing(1, 1, "star", "red"), Thing(2, 3, "circle", "blue")))
    item = item_of(scene, "what colour is the star ?", True)
    assert item.truth == answer(scene, "what colour is the star ?")
    [view] = item.views
    assert {'answer "red"', "picture changed", 'about "star"', "things >= 2"} <= view
    assert item_of(scene, "colour the what ?", False).views == ()


# --- posing: references first, the target never


def test_posing_asks_the_references_and_never_the_target(bank, fresh):
    target, references = Told(), (Told(), Told())
    prober = standing_in(bank, fresh, target, references)
    posed = prober.pose(60) + prober.pose_for(asked_often(bank), 10, fresh=True)
    prober.pose_beside(posed[:20])
    assert len(posed) == 70
    assert target.heard == []
    heard = [r.heard for r in references]
    assert len(heard[0]) >= 70
    assert sum(map(len, heard)) == prober.reference_calls
    prober.ask(posed[:5])
    assert len(target.heard) == 5


def test_what_a_reference_calls_unanswerable_is_not_posed(bank, fresh):
    doubting = Told(lambda question, truth, _: CANNOT_SAY if "colour" in question else truth)
    prober = standing_in(bank, fresh, references=(Told(), doubting))
    posed = prober.pose(200)
    assert posed
    assert not [p for p in posed if "colour" in p.probe.question]
    assert not [p for p in posed if p.probe.truth.answer is None]


def test_where_the_references_disagree_nothing_is_known(bank, fresh):
    contrary = Told(lambda question, truth, _: "something else" if "colour" in question else truth)
    prober = standing_in(bank, fresh, references=(Told(), contrary))
    posed = prober.pose(200)
    assert {p.views is None for p in posed if "colour" in p.probe.question} == {True}
    assert {p.views is None for p in posed if "colour" not in p.probe.question} == {False}


def test_a_probe_is_described_by_what_the_references_say_even_where_they_are_wrong(bank, fresh):
    wrong = tuple(Told(lambda _q, truth, _w: "purple" if truth == "red" else truth) for _ in range(2))
    prober = standing_in(bank, fresh, references=wrong)
    mistaken = [p for p in prober.pose(500) if p.probe.truth.answer == "red"]
    assert mistaken
    for p in mistaken:
        assert all('answer "purple"' in view and 'answer "red"' not in view for view in p.views)


def test_what_the_target_alone_refuses_counts_where_the_references_look_at_the_picture(bank, fresh):
    refusing = Told(lambda _q, _truth, _w: CANNOT_SAY)
    looking = standing_in(bank, fresh, target=refusing)
    posed = [p for p in looking.pose(100) if "colour" in p.probe.question]
    said = looking.ask(posed)
    assert len(posed) > 5
    assert sum(s is True for s in said) >= 0.9 * len(said)  # the same answer on six other pictures is chance
    assert len(looking.rewarded) == sum(s is True for s in said)

    def dreaming(question, truth, _wording):
        return "red" if "colour" in question else truth

    blind = standing_in(bank, fresh, target=refusing, references=(Told(dreaming), Told(dreaming)))
    posed = [p for p in blind.pose(100) if "colour" in p.probe.question]
    assert blind.ask(posed) == [None] * len(posed)
    assert blind.rewarded == []


def test_probes_are_posed_once_in_the_order_of_the_bank(bank, fresh):
    prober = standing_in(bank, fresh)
    posed = [p for _ in range(20) for p in prober.pose(50)]
    assert len({p.id for p in posed}) >= len(posed) - 3  # the language may ask the same of a picture by chance
    assert len(posed) <= SIZE
    assert prober.pose(10) == []  # the pictures are used up
    assert [p.id for p in standing_in(bank, fresh).pose(50)] == [p.id for p in posed[:50]]


def test_probes_for_a_name_belong_to_it_and_were_not_asked_before(bank, fresh):
    prober, predicate = standing_in(bank, fresh), asked_often(bank)
    first = prober.pose_for(predicate, 20)
    prober.ask(first)
    second = prober.pose_for(predicate, 20)
    assert all(predicate.holds(p.views) for p in first + second)
    assert not {p.id for p in first} & {p.id for p in second}


def test_a_name_gets_the_same_fresh_probes_whatever_was_tested_before(bank, fresh):
    contrary = Told(lambda question, truth, _: "something else" if len(question) % 4 == 0 else truth)
    one, other = (standing_in(bank, fresh, references=(Told(), contrary)) for _ in range(2))
    other.ask([p for p in other.pose_for(asked_often(fresh), 30, fresh=True) if p.views is not None])
    wide = Predicate.of(Literal(('about "red"',)))
    posed = [prober.pose_for(wide, 20, fresh=True) for prober in (one, other, other)]
    assert [p.id for p in posed[0]] == [p.id for p in posed[1]] == [p.id for p in posed[2]]
    assert any(p.views is None for p in posed[0])


def test_confirmation_comes_from_another_bank(bank, fresh):
    prober = standing_in(bank, fresh)
    numbers = {i.id for i in fresh.items}
    posed = prober.pose_for(asked_often(bank), 10, fresh=True)
    assert {p.id for p in posed} <= numbers


def test_beside_are_other_questions_on_the_same_pictures(bank, fresh):
    prober = standing_in(bank, fresh)
    posed = prober.pose(40)
    beside = prober.pose_beside(posed)
    assert len(beside) >= 30
    assert {p.picture for p in beside} <= {p.picture for p in posed}
    assert not {p.id for p in beside} & {p.id for p in posed}


# --- asking


def test_a_target_that_differs_from_the_consensus_fails(bank, fresh):
    target = Told(lambda question, truth, _: "wrong" if "colour" in question else truth)
    prober = standing_in(bank, fresh, target)
    posed = prober.pose(100)
    assert prober.ask(posed) == ["colour" in p.probe.question for p in posed]
    assert len(prober.rewarded) == sum("colour" in p.probe.question for p in posed)


def test_a_failure_that_the_references_do_not_stand_by_is_not_measured(bank, fresh):
    fickle = Told(lambda _q, truth, wording: "something else" if wording else truth)
    prober = standing_in(bank, fresh, Told(lambda *_: "wrong"), (Told(), fickle))
    said = prober.ask(prober.pose(30))
    assert said == [None] * 30
    assert prober.rewarded == []


def test_asked_again_it_is_asked_in_other_words(bank, fresh):
    target = Told(lambda _q, truth, wording: truth if wording else "wrong")
    prober = standing_in(bank, fresh, target)
    posed = prober.pose(10)
    assert prober.ask(posed) == [True] * 10
    assert prober.ask(posed, again=True) == [False] * 10
    assert {wording for _, wording in target.heard} == {0, 1}


def test_the_stand_in_asks_like_an_earlier_proposal(bank):
    rng, author = random.Random(0), Language()
    model = next(i for i in bank.items if i.truth.skill == "colour")
    found = {author.ask_like(rng, item.scene, model) for item in bank.items[:60]} - {None}
    assert model.question in found
    assert len(found) > 5
    assert all("colour" in question for question in found)
