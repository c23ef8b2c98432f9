import doctest

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditdm.backends.fakes import FakeImageEditor, FakeImageGenerator, FakeJudge, FakeModel, fake_picture
from auditdm.errors import ModelError
from auditdm.method.auditor import read_prompts
from auditdm.runs import examining
from auditdm.runs.examining import Examiner, Request, record
from auditdm.runs.roles import Roles
from auditdm.store import Run

PICTURES = {name: fake_picture(name) for name in ("one", "two")}
AGAIN = "In other words: {question}"


class Asked(FakeModel):
    """A fake that keeps what it was asked."""

    def __init__(self, respond, name="fake"):
        super().__init__(respond, name)
        self.asked = []

    def generate(self, batch):
        self.asked += [words for _, words in batch]
        return super().generate(batch)


class Broken(FakeModel):
    def generate(self, batch):
        raise ModelError("out of memory")


def always(reply):
    return lambda _: reply


def model(respond, name="fake"):
    return Asked(respond if callable(respond) or isinstance(respond, dict) else always(respond), name)


def roles(target="one", references=("two", "two"), wordings=("{question}", AGAIN), quorum=1.0, judge=None):
    return Roles(
        target=model(target, "target"),
        references=tuple(model(r, f"reference-{n}") for n, r in enumerate(references)),
        judge=judge or FakeJudge(unclear=["hm"]),
        generator=FakeImageGenerator(declined=["no"]),
        editor=FakeImageEditor(declined=["no"]),
        prompts=read_prompts(),
        quorum=quorum,
        wordings=wordings,
    )


def request(copy=0, action="question", source_id="one", question=None, step=0):
    return Request(
        arm="trained", phase="training", step=step, copy=copy, source_id=source_id, action=action, question=question
    )


def examined_by(someone, *replies, **of_request):
    examiner = someone if isinstance(someone, Examiner) else Examiner(someone)
    return examiner.examine([request(copy=n, **of_request) for n in range(len(replies))], replies, PICTURES)


WHY = "<question>Why?</question>"
HOW = "<question>How?</question>"


def test_a_failure_from_reply_to_record():
    everyone = roles()
    [found] = examined_by(everyone, WHY)
    assert (found.verdict.outcome, found.verdict.consensus, found.target_answer) == ("failure", "two", "one")
    assert found.self_consistent is True
    assert found.is_failure
    assert everyone.target.asked == ["Why?"]  # the target is not asked again
    assert everyone.references[0].asked == ["Why?", "In other words: Why?"]
    told = [(a["role"], a["model"], a["wording"], a["text"], a["revision"]) for a in found.answers]
    assert told == [
        ("target", "target", 0, "one", "fake"),
        ("reference", "reference-0", 0, "two", "fake"),
        ("reference", "reference-1", 0, "two", "fake"),
        ("reference", "reference-0", 1, "two", "fake"),
        ("reference", "reference-1", 1, "two", "fake"),
    ]
    assert len({a["id"] for a in found.answers}) == 5


def test_only_failures_are_asked_again():
    everyone = roles(target={"Why?": "two", "How?": "one"})
    agreed, failed = examined_by(everyone, WHY, HOW)
    assert (agreed.verdict.outcome, failed.verdict.outcome) == ("agreement", "failure")
    assert agreed.self_consistent is None
    assert not agreed.is_failure
    assert everyone.references[0].asked == ["Why?", "How?", "In other words: How?"]


@pytest.mark.parametrize(
    ("again", "kept"),
    [("two", True), ("TWO", True), ("three", False), (None, None), ("hm", None), ("I cannot say.", False), ("", False)],
)
def test_a_failure_stands_in_other_words_or_it_does_not(again, kept):
    moody = {"Why?": "two", "In other words: Why?": again}
    [found] = examined_by(roles(references=("two", moody)), WHY)
    assert found.verdict.outcome == "failure"
    assert found.self_consistent is kept
    assert found.is_failure == (kept is True)


def test_a_reference_that_abstains_does_not_shift_what_is_said_of_the_others():
    # three failures: on the first a reference abstains when asked again, on the second it changes its mind
    moody = {"A?": "two", "B?": "two", "C?": "two", "In other words: A?": "cannot say", "In other words: B?": "three",
             "In other words: C?": "two"}  # fmt: skip
    found = examined_by(roles(references=(moody,)), *(f"<question>{q}?</question>" for q in "ABC"))
    assert [e.self_consistent for e in found] == [False, False, True]


def test_an_outvoted_reference_may_keep_its_own_answer():
    [found] = examined_by(roles(references=("two", "two", "three"), quorum=0.66), WHY)
    assert (found.verdict.consensus, found.self_consistent) == ("two", True)


def test_one_wording_alone_asks_nothing_again():
    everyone = roles(wordings=("{question}",))
    [found] = examined_by(everyone, WHY)
    assert found.is_failure
    assert everyone.references[0].asked == ["Why?"]


# --- the four silences


def test_the_auditors_fault_a_reply_that_is_no_proposal():
    everyone = roles()
    lost, found = examined_by(everyone, "Why?", WHY)
    assert lost.malformed == "0 <question>...</question>, one is wanted, in 'Why?'"
    assert (lost.proposal, lost.probe, lost.verdict, lost.void, lost.answers) == (None, None, None, None, ())
    assert found.is_failure
    assert everyone.target.asked == ["Why?"]


def test_the_targets_silence_is_an_answer():
    [found] = examined_by(roles(target=""), WHY)
    assert (found.is_failure, found.target_answer) == (True, "")


@pytest.mark.parametrize(
    ("target", "references", "reason"),
    [
        (None, ("two", "two"), "target: target gave no reply"),
        ("one", ("two", None), "reference-1: reference-1 gave no reply"),
        ("one", ("two", "hm"), "the judge cannot tell whether the references agree"),
    ],
)
def test_nobodys_fault_a_silence_makes_the_verdict_void(target, references, reason):
    everyone = roles(target={"Why?": target, "How?": "one"})
    everyone = Roles(**{**vars(everyone), "references": tuple(
        model({"Why?": r, "How?": "two", "In other words: How?": "two"}, f"reference-{n}")
        for n, r in enumerate(references))})  # fmt: skip
    lost, found = examined_by(everyone, WHY, HOW)
    assert (lost.verdict.outcome, lost.verdict.reason, lost.self_consistent) == ("void", reason, None)
    assert lost.target_answer == target
    assert len(lost.answers) == 3
    assert found.is_failure


@pytest.mark.parametrize("action", ["caption", "edit"])
def test_nobodys_fault_a_picture_that_was_declined(action):
    replies = [f"<{action}>{told}</{action}>{WHY}" for told in ("no", "a dog")]
    lost, found = examined_by(roles(), *replies, action=action)
    assert lost.void == {"caption": "the generator declined", "edit": "the editor declined"}[action]
    assert (lost.probe, lost.verdict, lost.malformed, lost.answers) == (None, None, None, ())
    assert lost.proposal.instruction == "no"
    assert found.is_failure
    assert found.probe.proposal.pairing == "Q*,I*"


def test_nothing_in_nothing_out(tmp_path):
    examiner = Examiner(roles())
    assert examiner.examine([], [], {}) == []
    assert (examiner.calls, examiner.cached) == (0, 0)
    with Run.open(tmp_path / "run", {}, {}) as run:
        record(run, [])
        assert run.rows("proposals") == []


def test_a_batch_that_fails_is_an_error_and_leaves_no_half_answers():
    everyone = roles()
    broken = Roles(**{**vars(everyone), "references": (everyone.references[0], Broken(always("two")))})
    examiner = Examiner(broken)
    with pytest.raises(ModelError, match="out of memory"):
        examined_by(examiner, WHY)


def test_a_reply_for_each_request():
    with pytest.raises(ValueError, match="zip"):
        Examiner(roles()).examine([request()], [], PICTURES)


# --- memory


def test_the_same_probe_is_asked_once():
    everyone = roles()
    examiner = Examiner(everyone)
    first, twin = examined_by(examiner, WHY, WHY)
    assert (examiner.calls, examiner.cached) == (5, 3)
    [later] = examined_by(examiner, WHY, step=1)
    assert (examiner.calls, examiner.cached) == (5, 8)
    for found in (twin, later):
        assert (found.verdict, found.answers, found.is_failure) == (first.verdict, first.answers, True)
    [elsewhere] = examined_by(examiner, WHY, source_id="two")
    assert elsewhere.probe.id != first.probe.id
    assert examiner.calls == 10


def test_models_of_the_same_name_are_not_confused():
    everyone = roles()
    same = Roles(**{**vars(everyone), "target": model("one"), "references": (model("two"), model("TWO"))})
    [found] = examined_by(same, WHY)
    assert found.is_failure
    assert [a["text"] for a in found.answers] == ["one", "two", "TWO", "two", "TWO"]
    assert len({a["id"] for a in found.answers}) == 5


def test_a_silence_is_remembered_because_the_tables_keep_the_first_verdict(tmp_path):
    replies = iter([None, "one"])
    examiner = Examiner(roles(target=lambda _: next(replies)))
    with Run.open(tmp_path / "run", {}, {}) as run:
        for step in range(2):
            found = examined_by(examiner, WHY, step=step)
            record(run, found)
            [kept] = run.rows("verdicts")
            assert kept["outcome"] == found[0].verdict.outcome == "void"


def test_a_resumed_session_asks_nothing_twice(tmp_path):
    replies = [WHY, HOW, "nonsense"]
    with Run.open(tmp_path / "run", {}, {}) as run:
        before = examined_by(roles(target={"Why?": "one", "How?": None}), *replies)
        record(run, before)
        examiner = Examiner(roles(target=always("something else")))
        examiner.recall(run.rows("answers"))
    assert examined_by(examiner, *replies) == before
    assert (examiner.calls, examiner.cached) == (0, 3 * 2 + 2)


def test_answers_of_other_weights_are_not_recalled():
    old = [a for e in examined_by(roles(), WHY) for a in e.answers]
    examiner = Examiner(roles())
    examiner.recall([a | {"revision": "older"} for a in old if a["role"] == "target"])
    examiner.recall([a for a in old if a["role"] != "target"])
    examined_by(examiner, WHY)
    assert (examiner.calls, examiner.cached) == (1, 4)


# --- batches

REPLIES = st.lists(st.sampled_from([WHY, HOW, "nonsense", "<question>Who?</question>", "<question>When?</question>"]))
MANY = {
    "target": {"Why?": "one", "How?": None, "Who?": "two", "When?": ""},
    "references": (
        "two",
        {"Why?": "two", "In other words: Why?": "three", "How?": "two", "Who?": "two", "When?": "hm"},
    ),
}


@given(REPLIES, st.randoms(use_true_random=False), st.integers(0, 6))
def test_shuffling_and_splitting_change_nothing_else(replies, rng, cut):
    requests = [request(copy=n) for n in range(len(replies))]
    whole = Examiner(roles(**MANY)).examine(requests, replies, PICTURES)
    assert [e.request for e in whole] == requests
    order = list(range(len(replies)))
    rng.shuffle(order)
    shuffled = Examiner(roles(**MANY)).examine([requests[n] for n in order], [replies[n] for n in order], PICTURES)
    assert shuffled == [whole[n] for n in order]
    parts = Examiner(roles(**MANY))
    assert [e for k in (slice(None, cut), slice(cut, None))
            for e in parts.examine(requests[k], replies[k], PICTURES)] == whole  # fmt: skip


# --- the run folder


def test_what_was_examined_is_in_the_tables(tmp_path):
    requests = [
        request(0),
        request(1),
        request(2, "edit", question="Why?"),
        request(3, "edit"),
        request(4, "caption"),
    ]
    replies = [WHY, "nonsense", "<edit>add a dog</edit>", f"<edit>no</edit>{WHY}", f"<caption>a dog</caption>{HOW}"]
    everyone = roles(target={"Why?": "one", "How?": None})
    with Run.open(tmp_path / "run", {}, {}) as run:
        found = Examiner(everyone).examine(requests, replies, PICTURES)
        record(run, found)
        record(run, found)  # a second time changes nothing
        proposals, probes, answers, verdicts = (run.rows(t) for t in ("proposals", "probes", "answers", "verdicts"))
        for p in probes:
            assert run.picture(p["picture_id"]).size == (64, 64)
    assert [p["id"] for p in proposals] == [r.id for r in requests]
    assert [p["probe_id"] is None for p in proposals] == [False, True, False, True, False]
    assert [p["malformed"] is None for p in proposals] == [True, False, True, True, True]
    assert [p["void"] for p in proposals] == [None, None, None, "the editor declined", None]
    assert [p["given_question"] for p in proposals] == [False, False, True, False, False]
    assert [p["prompt_question"] for p in proposals] == [None, None, "Why?", None, None]
    assert [p["question"] for p in proposals] == ["Why?", None, "Why?", "Why?", "How?"]
    assert [p["instruction"] for p in proposals] == [None, None, "add a dog", "no", "a dog"]
    assert [p["pairing"] for p in probes] == ["Q*,I", "Q,I*", "Q*,I*"]
    assert [v["outcome"] for v in verdicts] == ["failure", "failure", "void"]
    assert [v["self_consistent"] for v in verdicts] == [True, True, None]
    assert [v["target_answer"] for v in verdicts] == ["one", "one", None]
    assert [v["dissent"] for v in verdicts] == [1.0, 1.0, None]
    assert {v["id"] for v in verdicts} == {p["id"] for p in probes} == {a["probe_id"] for a in answers}
    assert len(answers) == 5 + 5 + 3
    [mute] = [a for a in answers if a["text"] is None]
    assert mute["problem"] == "target gave no reply"


def test_the_id_of_a_request_tells_it_from_every_other():
    some = [request(n, a, s, step=t) for n in (0, 1) for a in ("edit", "caption") for s in PICTURES for t in (0, 1)]
    assert len({r.id for r in some}) == len(some)


def test_the_examples_of_the_docstrings_run():
    assert doctest.testmod(examining).failed == 0
