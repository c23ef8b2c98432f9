import doctest

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditdm.backends.fakes import FakeJudge, FakeModel, fake_probe
from auditdm.backends.judges import ExactJudge
from auditdm.method import verdict
from auditdm.method.verdict import abstains, ask, stands, verdicts
from auditdm.types import Answer

FEW = ["two", "Two", "three", "", "cannot say", None, "hm"]  # None: mute; "hm": the judge cannot tell


def said(*texts, model="m"):
    return [Answer(model=model, text=t, problem="no reply" if t is None else None) for t in texts]


def on_one(target, *references, quorum=1.0, judge=None):
    judge = judge or FakeJudge(unclear=["hm"])
    [found] = verdicts(
        [fake_probe("How many dogs?")], said(target), [said(r) for r in references], judge, quorum=quorum
    )
    return found


class Table:
    """A judge that looks up each pair of answers; what is the same need not be so by transitivity."""

    def __init__(self, same):
        self._same = same

    def same(self, batch):
        return [self._same[frozenset(pair)] for _, *pair in batch]


MUTE = "m: no reply"
REFUSES = "a reference says that it cannot be answered"
EMPTY = "the references' answer is empty"
DISAGREE = "the references disagree"
AGREE_UNCLEAR = "the judge cannot tell whether the references agree"
TARGET_UNCLEAR = "the judge cannot compare target and consensus"
NOT_COMPARED = "the judge cannot compare the target with any reference"

# target, references, quorum -> outcome, consensus, dissent, reason
CASES = [
    # one reference is its own consensus
    ("one", ["two"], 1.0, "failure", "two", 1.0, None),
    ("TWO ", ["two"], 1.0, "agreement", "two", 0.0, None),
    ("one", ["cannot say"], 1.0, "split", None, 1.0, REFUSES),
    ("cannot say", ["cannot say"], 1.0, "split", None, 0.0, REFUSES),
    ("one", ["hm"], 1.0, "void", None, None, NOT_COMPARED),
    # the target's silence is an answer
    ("", ["two"], 1.0, "failure", "two", 1.0, None),
    ("cannot say", ["two"], 1.0, "failure", "two", 1.0, None),
    ("I will not answer that.", ["two", "two"], 1.0, "failure", "two", 1.0, None),
    # the references' silence is no answer to stand on
    ("one", [""], 1.0, "split", None, 1.0, EMPTY),
    ("one", [" ", ""], 1.0, "split", None, 1.0, EMPTY),
    ("one", ["two", "two", ""], 0.66, "failure", "two", 1.0, None),
    # a model that is mute is nobody's fault
    (None, ["two", "two"], 1.0, "void", None, None, MUTE),
    ("one", ["two", None], 1.0, "void", None, None, MUTE),
    ("one", ["cannot say", None], 1.0, "void", None, None, MUTE),
    ("one", ["two", "two", None], 0.6, "void", None, None, MUTE),
    # two references
    ("one", ["two", "Two"], 1.0, "failure", "two", 1.0, None),
    ("two", ["two", "two"], 1.0, "agreement", "two", 0.0, None),
    ("two", ["two", "three"], 1.0, "split", None, 0.5, DISAGREE),  # 1 of 2 is against the target
    ("one", ["two", "three"], 0.6, "split", None, 1.0, DISAGREE),  # 1 of 2 is less than 0.6
    ("two", ["two", "Cannot say."], 1.0, "split", None, 0.5, REFUSES),
    ("one", ["two", "hm"], 1.0, "void", None, None, AGREE_UNCLEAR),
    ("hm", ["two", "two"], 1.0, "void", None, None, NOT_COMPARED),
    # three references, all of them needed
    ("one", ["two", "two", "two"], 1.0, "failure", "two", 1.0, None),
    ("one", ["two", "two", "three"], 1.0, "split", None, 1.0, DISAGREE),
    ("two", ["two", "two", "three"], 1.0, "split", None, 1 / 3, DISAGREE),
    ("one", ["two", "three", "hm"], 1.0, "split", None, 1.0, DISAGREE),  # whatever the third says
    ("one", ["two", "two", "hm"], 1.0, "void", None, None, AGREE_UNCLEAR),
    # three references, two of them needed: 2 of 3 is at least 0.66
    ("one", ["two", "two", "three"], 0.66, "failure", "two", 1.0, None),
    ("one", ["three", "two", "two"], 0.66, "failure", "two", 1.0, None),
    ("three", ["two", "two", "three"], 0.66, "failure", "two", 2 / 3, None),  # the outvoted one is with the target
    ("two", ["two", "two", "three"], 0.66, "agreement", "two", 1 / 3, None),
    ("one", ["two", "two", "hm"], 0.66, "failure", "two", 1.0, None),  # 2 of the 2 that could be compared
    ("one", ["two", "two", "three"], 2 / 3, "failure", "two", 1.0, None),
    ("one", ["two", "two", "three"], 0.67, "split", None, 1.0, DISAGREE),
    ("one", ["two", "three", "four"], 0.66, "split", None, 1.0, DISAGREE),
    ("one", ["two", "two", "cannot say"], 0.66, "split", None, 1.0, REFUSES),
    ("one", ["two", "three", "hm"], 0.66, "void", None, None, AGREE_UNCLEAR),
]


@pytest.mark.parametrize(("target", "references", "quorum", "outcome", "consensus", "dissent", "reason"), CASES)
def test_the_verdict(target, references, quorum, outcome, consensus, dissent, reason):
    found = on_one(target, *references, quorum=quorum)
    assert (found.outcome, found.consensus, found.reason) == (outcome, consensus, reason)
    assert found.dissent == (None if dissent is None else pytest.approx(dissent))


def test_two_empty_replies_are_no_consensus_for_the_real_judge():
    assert on_one("one", "", "", judge=ExactJudge()).reason == AGREE_UNCLEAR
    assert on_one("", "", "", judge=ExactJudge()).reason == NOT_COMPARED


def test_references_agree_only_if_each_two_do():
    # b is the same as a and as c, but a and c differ: no answer is shared by three
    judge = Table({frozenset(pair): pair in ("ab", "bc") for pair in ("ab", "bc", "ac", "xa", "xb", "xc")})
    assert on_one("x", "a", "b", "c", judge=judge).reason == DISAGREE
    two_of_three = on_one("x", "a", "b", "c", judge=judge, quorum=0.66)
    assert (two_of_three.outcome, two_of_three.consensus) == ("failure", "a")


def test_a_target_that_matches_one_of_those_who_agree_is_with_them():
    pairs = {"ab": True, "xa": None, "xb": True}
    assert on_one("x", "a", "b", judge=Table({frozenset(p): s for p, s in pairs.items()})).outcome == "agreement"
    pairs["xb"] = False
    assert on_one("x", "a", "b", judge=Table({frozenset(p): s for p, s in pairs.items()})).reason == TARGET_UNCLEAR


@pytest.mark.parametrize("quorum", [0.5, 0.0, 1.01, float("nan")])
def test_a_quorum_out_of_range_is_refused(quorum):
    with pytest.raises(ValueError, match=r"^at least one reference and a quorum in \(0.5, 1\], not 1 and "):
        on_one("one", "two", quorum=quorum)


def test_no_reference_is_refused():
    with pytest.raises(ValueError, match=r"^at least one reference and a quorum in \(0.5, 1\], not 0 and 1.0$"):
        on_one("one")


def test_a_missing_answer_is_found_out():
    probes = [fake_probe("a"), fake_probe("b")]
    for target, reference in ((said("x"), said("x", "y")), (said("x", "y"), said("x")), (said("x"), said("x"))):
        with pytest.raises(ValueError, match="zip"):
            verdicts(probes, target, [reference], FakeJudge())
        with pytest.raises(ValueError, match="zip"):
            stands(probes, [target], [reference], FakeJudge())


def test_nothing_in_nothing_out():
    assert ask([], FakeModel({})) == []
    assert verdicts([], [], [[], []], FakeJudge()) == []
    assert stands([], [[]], [[]], FakeJudge()) == []
    assert stands([], [], [], FakeJudge()) == []


@given(st.integers(1, 3).flatmap(lambda r: st.lists(st.tuples(*[st.sampled_from(FEW)] * (r + 1)), min_size=1, max_size=8)),
       st.sampled_from([0.51, 0.66, 1.0]), st.randoms(use_true_random=False), st.integers(0, 8))  # fmt: skip
def test_shuffling_and_splitting_change_nothing_else(rows, quorum, rng, cut):
    judge = FakeJudge(unclear=["hm"])

    def judged(rows):
        numbered = [n for n, _ in rows]
        target, *references = (said(*column) for column in zip(*(texts for _, texts in rows), strict=True))
        return verdicts([fake_probe(f"{n}") for n in numbered], target, references, judge, quorum=quorum)

    numbered = list(enumerate(rows))
    whole = judged(numbered)
    shuffled = numbered.copy()
    rng.shuffle(shuffled)
    assert judged(shuffled) == [whole[n] for n, _ in shuffled]
    parts = [part for part in (numbered[:cut], numbered[cut:]) if part]
    assert [v for part in parts for v in judged(part)] == whole
    for found, texts in zip(whole, rows, strict=True):
        assert (found.consensus is not None) == (found.outcome in ("failure", "agreement"))
        if found.outcome == "failure":
            assert found.consensus in texts[1:]
            assert found.dissent > 0
        if found.outcome == "agreement":
            assert found.dissent < 1
        if None in texts:
            assert found.outcome == "void"


def test_the_judge_is_asked_once_about_each_pair_of_answers():
    asked = []

    class Counting(FakeJudge):
        def same(self, batch):
            asked.append(len(batch))
            return super().same(batch)

    texts = said(*["two"] * 4, None)
    verdicts([fake_probe(f"{n}") for n in range(5)], texts, [texts, texts, texts], Counting())
    assert asked == [4 * 3 * 4 // 2]  # N * R * (R + 1) / 2 of those that were answered, in one batch


# --- asked again in other words

AGAIN = [
    (["two"], ["two"], True),
    (["two"], ["Two"], True),
    (["two"], ["three"], False),  # changed its mind
    (["two"], [None], None),  # mute
    (["two"], ["hm"], None),  # the judge cannot tell
    (["two"], ["cannot say"], False),  # abstains
    (["two"], [""], False),
    (["two", "two"], ["two", "three"], False),
    (["two", "two"], ["two", None], None),
    (["two", "two"], ["three", None], False),  # one that changed its mind is enough
    (["two", "two"], ["cannot say", None], False),
    (["two", "three"], ["two", "three"], True),  # outvoted, and true to itself
    (["two", "three"], ["two", "two"], False),
    ([None], ["two"], None),
    ([], [], True),  # nobody was asked again
]


@pytest.mark.parametrize(("first", "again", "kept"), AGAIN)
def test_a_failure_stands_if_every_reference_keeps_its_answer(first, again, kept):
    told = [said(t) for t in first], [said(t) for t in again]
    assert stands([fake_probe("Why?")], *told, FakeJudge(unclear=["hm"])) == [kept]


@given(st.lists(st.sampled_from([t for t in FEW if t != ""]), min_size=1, max_size=6))
def test_an_answer_in_other_words_counts_for_its_own_probe_alone(again):
    # an abstention or a silence must not shift what the judge says of the others
    probes, judge = [fake_probe(f"{n}") for n in range(len(again))], FakeJudge(unclear=["hm"])
    alone = [stands([p], [said("two")], [said(t)], judge)[0] for p, t in zip(probes, again, strict=True)]
    assert stands(probes, [said(*["two"] * len(again))], [said(*again)], judge) == alone
    wanted = {"two": True, "Two": True, "three": False, "cannot say": False, None: None, "hm": None}
    assert alone == [wanted[t] for t in again]


@pytest.mark.parametrize(
    ("text", "whether"),
    [
        ("cannot say", True),
        ("Cannot say.", True),
        ("I can't tell.", True),
        ("I can\u2019t tell", True),
        ("It can not be  determined", True),
        ("There is not enough\ninformation.", True),
        ("This question is unanswerable", True),
        ("none", False),
        ("", False),
        ("no", False),
        ("a can", False),
        ("not blue", False),
    ],
)
def test_what_an_abstention_is(text, whether):
    assert abstains(text) is whether


def test_a_question_is_asked_in_the_wording():
    echo = FakeModel(lambda words: words)
    [answer] = ask([fake_probe("What is {this}?")], echo, "Look. {question} Be short.")
    assert answer.text == "Look. What is {this}? Be short."
    assert [a.text for a in ask([fake_probe("a"), fake_probe("b")], FakeModel({"b": ""}))] == [None, ""]


def test_the_examples_of_the_docstrings_run():
    assert doctest.testmod(verdict).failed == 0
