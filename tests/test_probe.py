import doctest

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditdm.backends.fakes import FakeImageEditor, FakeImageGenerator, fake_picture
from auditdm.method import probe
from auditdm.method.probe import draw, probe_id
from auditdm.types import Probe, Proposal, picture_id

POOL = {name: fake_picture(name) for name in ("one", "two", "three")}


def proposal(action="question", source="one", question="Why?", instruction=None):
    told = None if action == "question" else instruction or f"{action} it"
    return Proposal(source_id=source, action=action, question=question, instruction=told)


class Counted(dict):
    """A pool that counts how often a picture is decoded."""

    def __init__(self, *args):
        super().__init__(*args)
        self.decoded = []

    def __getitem__(self, source_id):
        self.decoded.append(source_id)
        return super().__getitem__(source_id)


class Kept:
    """An editor that changes nothing, and a generator that draws too little."""

    def edit(self, batch):
        return [image.copy() for image, _ in batch]

    def generate(self, captions):
        return [fake_picture(c) for c in captions[1:]]


def test_each_action_gets_its_picture():
    asked = [proposal("question"), proposal("caption"), proposal("edit", "two"), proposal("question", "three")]
    shown = draw(asked, POOL, FakeImageGenerator(), FakeImageEditor())
    assert [p.proposal for p in shown] == asked
    drawn = FakeImageGenerator().generate(["caption it"])[0]
    edited = FakeImageEditor().edit([(POOL["two"], "edit it")])[0]
    wanted = [POOL["one"], drawn, edited, POOL["three"]]
    assert [picture_id(p.image) for p in shown] == [picture_id(image) for image in wanted]
    assert [p.id for p in shown] == [probe_id(p.image, "Why?") for p in shown]


def test_the_same_picture_and_question_are_the_same_probe_whatever_led_to_it():
    first, second = draw([proposal(), proposal()], POOL, None, None)
    assert first.id == second.id
    assert len({probe_id(image, question) for image in POOL.values() for question in ("Why?", "Who?")}) == 6


@given(st.lists(st.tuples(st.sampled_from(["question", "caption", "edit"]), st.sampled_from(sorted(POOL)),
                          st.sampled_from(["draw it", "no"]))), st.integers(0, 9))  # fmt: skip
def test_splitting_a_batch_changes_nothing(rows, cut):
    asked = [proposal(action, source, instruction=told) for action, source, told in rows]
    makers = FakeImageGenerator(declined=["no"]), FakeImageEditor(declined=["no"])
    whole = draw(asked, POOL, *makers)
    assert draw(asked[:cut], POOL, *makers) + draw(asked[cut:], POOL, *makers) == whole
    assert len(whole) == len(asked)


def test_nobodys_fault_a_picture_that_was_declined_is_a_reason_in_its_place():
    asked = [proposal("caption", instruction="no"), proposal(), proposal("edit", instruction="no"), proposal("edit")]
    shown = draw(asked, POOL, FakeImageGenerator(declined=["no"]), FakeImageEditor(declined=["no"]))
    assert (shown[0], shown[2]) == ("the generator declined", "the editor declined")
    assert isinstance(shown[1], Probe)
    assert shown[3].proposal is asked[3]


def test_the_auditors_fault_an_edit_that_changes_nothing_is_no_probe():
    assert draw([proposal("edit")], POOL, None, Kept()) == ["the editor changed nothing"]


def test_nothing_in_nothing_out():
    assert draw([], POOL, None, None) == []
    assert draw([], {}, FakeImageGenerator(), FakeImageEditor()) == []


def test_a_generator_that_breaks_the_batch_law_is_found_out():
    with pytest.raises(ValueError, match="zip"):
        draw([proposal("caption"), proposal("caption")], POOL, Kept(), None)


def test_a_picture_is_decoded_once_and_only_if_it_is_needed():
    pool = Counted(POOL)
    asked = [proposal("edit", "one"), proposal("edit", "one"), proposal("question", "one"), proposal("caption", "two")]
    draw(asked, pool, FakeImageGenerator(), FakeImageEditor())
    assert pool.decoded == ["one"]


def test_the_examples_of_the_docstrings_run():
    assert doctest.testmod(probe).failed == 0
