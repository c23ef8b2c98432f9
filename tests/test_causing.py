"""Counterfactual pairs on pictures of two coloured halves: the left one is asked about, the right one is beside it."""

import doctest
import json

import pytest
from PIL import Image

from auditdm.backends.fakes import FakeJudge, FakeModel
from auditdm.errors import StoreError
from auditdm.method.predicate import Literal, Predicate
from auditdm.runs import causing
from auditdm.runs.causing import FILE, find_causes
from auditdm.runs.examining import Examiner, Request, record
from auditdm.runs.roles import Roles
from auditdm.store import Run
from auditdm.types import Answer

COLOURS = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255), "purple": (128, 0, 128), "black": (0, 0, 0)}
QUESTION = "what colour is the left half ?"
COLOUR = Predicate.of(Literal(('answer "purple"',)), Literal(('says "colour"',)))
ASKED = Predicate.of(Literal(('says "colour"',)))
SEEN = Predicate.of(Literal(('shows "purple"',)))
PAINT = ["paint left red", "paint right black", "paint left blue", "paint nothing", "paint right green", "what?"]


def colours(image):
    """Of the left half and of the right one."""
    names = {rgb: name for name, rgb in COLOURS.items()}
    return names[image.getpixel((0, 0))], names[image.getpixel((image.width - 1, 0))]


def picture(left, right, width):
    image = Image.new("RGB", (width, 8), COLOURS[left])
    image.paste(COLOURS[right], (width // 2, 0, width, 8))
    return image


class Onlooker:
    """Answers with the left colour, through a rule."""

    revision = "fake"

    def __init__(self, rule=lambda colour: colour, name="reference"):
        self.name, self._rule, self.asked = name, rule, 0

    def generate(self, batch):
        self.asked += len(batch)
        said = [self._rule(colours(image)[0]) for image, _ in batch]
        return [
            Answer(model=self.name, text=s, problem=None if s is not None else "mute", revision=self.revision)
            for s in said
        ]


class Painter:
    """Paints a quarter (the outer part of a half is enough to change its colour) or more; declines anything else."""

    def edit(self, batch):
        return [self._painted(image, command) for image, command in batch]

    def _painted(self, image, command):
        words = command.split()
        if words[1:2] not in (["left"], ["right"]):
            return None
        after, part = image.copy(), image.width // 4
        box = (0, 0, part, 8) if words[1] == "left" else (image.width - part, 0, image.width, 8)
        after.paste(COLOURS[words[2]], box)
        return after


def roles(target, references=None, editor=None):
    return Roles(
        target=Onlooker(target, "target"),
        references=tuple(references or (Onlooker(name="one"), Onlooker(name="two"))),
        judge=FakeJudge(),
        generator=None,
        editor=editor,
        prompts={},
        quorum=1.0,
        wordings=("{question}", "again: {question}"),
    )


def fails_on_purple(colour):
    return "blue" if colour == "purple" else colour


def told(image):
    left, right = colours(image)
    return f"{left} half and {right} half"


def describe(images):
    return [told(image) for image in images]


def commands(shown, count):
    return [PAINT[:count] for _ in shown]


@pytest.fixture
def made(tmp_path):
    """An open run with probes that fail inside a finding; returns run, examiner and the finding's row."""
    opened = []

    def make(predicate=COLOUR, target=fails_on_purple, editor=True, count=24, name="run", listed=None):
        run = Run.open(tmp_path / name, {"seed": 0}, {})
        opened.append(run)
        examiner = Examiner(roles(target, editor=Painter() if editor else None))
        images = {f"p{n}": picture("purple", "green", 16 + 8 * n) for n in range(count)}
        if not run.rows("findings"):
            asked = [
                Request(arm="x", phase="confirmation", step=0, copy=n, source_id=i, action="question", question=None)
                for n, i in enumerate(images)
            ]
            examined = examiner.examine(asked, [f"<question> {QUESTION} </question>"] * count, images)
            record(run, examined)
            ids = [e.probe.id for e in examined]
            run.append("confirmations", [
                {"id": f"c-{i}", "finding_id": "f", "probe_id": i, "role": "inside", "failed": True} for i in ids
            ])  # fmt: skip
            run.append("findings", [
                {"id": "f", "name": predicate.words(), "predicate": predicate.as_json(), "state": "confirmed",
                 "failing": ids[:3] if listed is None else listed},
                {"id": "g", "name": "not one", "predicate": predicate.as_json(), "state": "not confirmed",
                 "failing": ids},
            ])  # fmt: skip
        examiner.recall(run.rows("answers"))
        return run, examiner

    yield make
    for run in opened:
        run.close()


def found_by(run, examiner, **other):
    given = {"describe": describe, "names": {c: frozenset({c}) for c in COLOURS}, "commands": commands, **other}
    return find_causes(run, examiner, run.rows("findings"), **given)


def test_the_examples_hold():
    assert doctest.testmod(causing).failed == 0


def test_a_cause_in_the_picture_is_found_and_written_like_any_probe(made):
    run, examiner = made()
    found = found_by(run, examiner)
    [cause] = found["findings"]
    assert cause["state"] == "in the picture" and cause["id"] == "f"
    assert (cause["relevant"]["hits"], cause["relevant"]["asked"]) == (24, 24)
    assert (cause["control"]["hits"], cause["control"]["asked"]) == (0, 24)
    assert cause["broken"] == [{"condition": 'answer "purple"', "flips": 24}]
    assert json.loads((run.path / FILE).read_text()) == found
    rows = run.rows("causes")
    assert len(rows) == 48 and {r["finding_id"] for r in rows} == {"f"}
    probes, verdicts = ({r["id"]: r for r in run.rows(table)} for table in ("probes", "verdicts"))
    for row in rows:
        before, after = probes[row["before"]], probes[row["after"]]
        assert after["question"] == before["question"] == QUESTION
        assert (after["source_id"], after["action"]) == (before["picture_id"], "edit")
        assert after["instruction"] == row["command"]
        assert row["changed_share"] == 0.25
        assert verdicts[row["after"]]["outcome"] == ("agreement" if row["flipped"] else "failure")
        assert run.picture(after["picture_id"]).size == run.picture(before["picture_id"]).size
    assert {(r["kind"], r["flipped"], r["command"].split()[1]) for r in rows} == {
        ("relevant", True, "left"),
        ("control", False, "right"),
    }
    assert sum(p["phase"] == "cause" for p in run.rows("proposals")) == 48


def test_the_target_is_asked_about_the_two_chosen_edits_alone(made):
    run, examiner = made()
    before = examiner.roles.target.asked
    found_by(run, examiner)
    assert examiner.roles.target.asked - before == 48


def test_a_target_that_always_fails_here_fails_on_outside_the_mode(made):
    run, examiner = made(target=lambda _: "never")
    [cause] = found_by(run, examiner)["findings"]
    assert cause["state"] == "not the cause" and "fails on" in cause["reason"]


def test_a_mode_on_the_question_alone_is_probed_by_edits_that_change_the_answer(made):
    run, examiner = made(ASKED)
    assert found_by(run, examiner)["findings"][0]["state"] == "not told by the name"
    run, examiner = made(ASKED, target=lambda _: "never", name="other")
    assert found_by(run, examiner)["findings"][0]["state"] == "in the question"


def test_descriptions_that_differ_make_no_pair(made):
    run, examiner = made(SEEN)
    [cause] = found_by(run, examiner)["findings"]
    assert cause["state"] == "in the picture"
    run, examiner = made(SEEN, name="other")
    slips = [describe, lambda images: ["purple half" for _ in images]]
    [cause] = found_by(run, examiner, describe=slips)["findings"]
    assert cause["reason"] == "not enough pairs (0 of 20)"
    assert cause["without"] == {"no edit took it out of the mode": 24}
    run, examiner = made(SEEN, name="mute")
    [cause] = found_by(run, examiner, describe=lambda images: [None for _ in images])["findings"]
    assert cause["without"] == {"the name does not hold of it on a second look": 24}


def test_no_description_is_asked_for_where_none_is_needed(made):
    run, examiner = made()

    def refuse(images):
        raise AssertionError("not needed")

    assert found_by(run, examiner, describe=refuse)["findings"][0]["state"] == "in the picture"


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ([], "no edit could be made"),
        (["paint nothing", "</edit>", "x" * 500, " "], "no edit could be made"),
        (["paint left red"], "every edit took it out of the mode"),
        (["paint right red"], "no edit took it out of the mode"),
    ],
)
def test_a_failing_probe_without_a_pair_is_told_with_the_reason(made, said, why):
    run, examiner = made()
    [cause] = found_by(run, examiner, commands=lambda shown, count: [said for _ in shown])["findings"]
    assert cause["without"] == {why: 24} and cause["relevant"]["value"] is None
    assert not run.rows("causes")


def test_references_that_disagree_on_the_edited_picture_tell_nothing(made):
    run, examiner = made()
    doubting = Onlooker(lambda colour: colour if colour == "purple" else f"not {colour}", "two")
    examiner._models["references[1]"] = doubting
    [cause] = found_by(run, examiner)["findings"]
    assert cause["without"] == {"no edit took it out of the mode": 24}


def test_a_target_that_is_mute_after_the_edit_is_void(made):
    run, examiner = made(target=lambda colour: {"purple": "blue", "red": None}.get(colour, colour))
    [cause] = found_by(run, examiner, commands=lambda shown, _: [["paint left red", "paint right red"] for _ in shown])[
        "findings"
    ]
    assert (cause["relevant"]["asked"], cause["relevant"]["void"], cause["difference"]["void"]) == (0, 24, 24)
    assert {r["flipped"] for r in run.rows("causes") if r["kind"] == "relevant"} == {None}


def test_a_search_that_was_killed_goes_on_and_finds_the_same(made):
    class Killed(Exception):
        pass

    run, examiner = made()
    whole = found_by(run, examiner)
    run, examiner = made(name="cut")
    calls = []

    def fragile(shown, count):
        calls.append(len(shown))
        if len(calls) == 2:
            raise Killed
        return commands(shown, count)

    with pytest.raises(Killed):
        found_by(run, examiner, commands=fragile)
    assert len(run.rows("causes")) == 16
    run.close()
    run, examiner = made(name="cut")
    asked = []
    resumed = found_by(run, examiner, commands=lambda shown, n: asked.append(len(shown)) or commands(shown, n))
    assert resumed == whole and sum(asked) == 16
    assert len(run.rows("causes")) == 48
    found_by(run, examiner, commands=fragile)  # finished: nobody is asked
    assert len(calls) == 2


def test_what_few_edits_do_not_take_out_of_the_mode_is_edited_more_often(made):
    def seldom(shown, count):
        asked.append((len(shown), count))
        return [["paint right red", *(["paint left red"] if count > 24 else [])] for _ in shown]

    asked = []
    run, examiner = made()
    [cause] = found_by(run, examiner, commands=seldom)["findings"]
    assert cause["state"] == "in the picture" and cause["relevant"]["asked"] == 24 and not cause["without"]
    assert asked == [(8, 24)] * 3 + [(2, 96)] * 12
    assert len({r["id"] for r in run.rows("proposals") if r["phase"] == "cause"}) == 48
    found_by(run, examiner, commands=seldom)  # given again: nobody is asked
    assert len(asked) == 15
    run, examiner = made(name="enough")
    found_by(run, examiner, commands=seldom, pairs=2)
    assert asked[15:] == [(8, 24)] * 3 + [(2, 96)]


def test_no_more_probes_are_edited_than_it_takes(made):
    run, examiner = made()
    [cause] = found_by(run, examiner, pairs=8)["findings"]
    assert cause["difference"]["asked"] == 8 and cause["state"] == "not enough pairs"


def test_each_turn_is_told(made):
    run, examiner = made()
    events = []
    found_by(run, examiner, tell=lambda event, values: events.append((event, values["pairs"])))
    assert events == [("causes", 8), ("causes", 16), ("causes", 24)]


def test_without_an_editor_nothing_is_written(made):
    run, examiner = made(editor=False)
    assert found_by(run, examiner) == {}
    assert not (run.path / FILE).exists()


def test_damage_is_said_with_a_remedy(made):
    run, examiner = made(listed=["nowhere"])
    with pytest.raises(StoreError, match="nowhere, which is not in the run"):
        found_by(run, examiner)
    run, examiner = made(name="other")
    (run.path / FILE).write_text("{")
    with pytest.raises(StoreError, match="Delete it; the causes are looked for again"):
        found_by(run, examiner)


def test_replies_that_are_no_command_are_left_out(made):
    replies = iter(["<edit> a </edit>", "a", None, "<edit> b </edit>", "<edit> a </edit>", "<edit> c"])
    auditor = FakeModel(lambda _: next(replies))
    written = causing.auditor_commands(auditor, {"edit_for": "Change: {question}"})
    shown = [(picture("red", "blue", 16), "why ?"), (picture("blue", "red", 16), "how ?")]
    assert written(shown, 3) == [["a"], ["b", "a"]]
