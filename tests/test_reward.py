import ast
import doctest
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import auditdm.method
from auditdm.method import reward
from auditdm.method.reward import gated_reward, paper_reward
from auditdm.runs.examining import Examiner, Request
from auditdm.runs.roles import Roles
from auditdm.types import Verdict

# The numbers below are worked out for these settings, whatever the defaults are.
Archive = partial(reward.Archive, alike=0.6, saturation=0.2, floor=0.1)


def verdict(outcome, dissent=1.0):
    decided = outcome in ("failure", "agreement")
    return Verdict(
        probe_id="p",
        outcome=outcome,
        consensus="two" if decided else None,
        dissent=None if outcome == "void" else dissent,
    )


# outcome (None: no proposal), kept in other words, dissent, novelty -> paper, gated
PAY = [
    (None, None, 1.0, 1.0, 0.0, 0.0),  # the auditor's fault
    ("void", None, 1.0, 1.0, None, None),  # nobody's
    ("agreement", None, 0.0, 1.0, 0.0, 0.0),
    ("agreement", None, 1 / 3, 1.0, 0.0, 0.0),  # an outvoted reference pays nothing
    ("split", None, 1.0, 1.0, 0.0, 0.0),
    ("failure", True, 1.0, 1.0, 1.0, 1.0),
    ("failure", True, 2 / 3, 0.55, 1.0, 11 / 30),  # 2/3 * 0.55
    ("failure", True, 1.0, 0.1, 1.0, 0.1),
    ("failure", False, 1.0, 1.0, 1.0, 0.0),  # a reference changed its mind
    ("failure", None, 1.0, 1.0, 1.0, None),  # whether it did is not known
]


@pytest.mark.parametrize(("outcome", "kept", "dissent", "novelty", "paper", "gated"), PAY)
def test_the_pay(outcome, kept, dissent, novelty, paper, gated):
    found = verdict(outcome, dissent) if outcome else None
    assert paper_reward(found) == paper
    assert gated_reward(found, kept, novelty) == (None if gated is None else pytest.approx(gated))


# --- novelty

DOGS = ("How many dogs?", "two")  # words: how many dogs two


def other(n):
    """Shares no word with the others."""
    return (f"q{n}a q{n}b?", f"c{n}")


def lived(count, archive=None, hit=DOGS):
    archive = archive or Archive()
    archive.remember([hit] * count)
    return archive


def test_the_first_hit_of_all_is_new():
    assert Archive().novelty([DOGS]) == [1.0]
    assert Archive().novelty([DOGS, other(1)]) == [1.0, 1.0]


@pytest.mark.parametrize(
    ("same", "unlike", "novelty"),
    [
        # share of the others that ask the same -> 0.1 + 0.9 * max(0, 1 - share / 0.2)
        (0, 10, 1.0),  # 0 of 10
        (1, 9, 0.55),  # 1 of 10: half of the saturation, so 0.1 + 0.9 / 2
        (1, 19, 0.775),  # 1 of 20: a quarter, so 0.1 + 0.9 * 3 / 4
        (2, 8, 0.1),  # 2 of 10: saturated, the floor
        (3, 2, 0.1),  # beyond
        (5, 0, 0.1),
    ],
)
def test_a_repeated_hit_loses_its_pay_down_to_the_floor(same, unlike, novelty):
    archive = lived(same)
    archive.remember([other(n) for n in range(unlike)])
    assert archive.novelty([DOGS]) == [pytest.approx(novelty)]


def test_the_batch_counts_like_the_archive():
    # each of the two dogs: 1 of 9 others is the same, so 0.1 + 0.9 * (1 - (1 / 9) / 0.2) = 0.1 + 0.9 * 4 / 9 = 0.5
    assert Archive().novelty([DOGS, DOGS, *map(other, range(8))])[:2] == pytest.approx([0.5, 0.5])
    # one is in the archive: 2 of 10 others, saturated
    assert lived(1).novelty([DOGS, DOGS, *map(other, range(8))])[:2] == pytest.approx([0.1, 0.1])


def test_settings_move_floor_and_saturation():
    # 1 of 2 others, saturation 1: 0.3 + 0.7 * (1 - 0.5) = 0.65
    archive = lived(1, Archive(saturation=1.0, floor=0.3))
    archive.remember([other(1)])
    assert archive.novelty([DOGS]) == [pytest.approx(0.65)]
    assert lived(4, Archive(floor=0.0)).novelty([DOGS]) == [0.0]


def test_another_answer_to_the_same_question_is_new():
    # how many dogs | two against how many dogs | five: 3 of 5 words are shared, which is the least that is alike;
    # at "alike" just above it they are different
    assert lived(9, Archive(alike=0.61)).novelty([("How many dogs?", "five")]) == [1.0]
    # what is it | a dog (5 words) against what is it | one cat: 3 of 7
    assert lived(9, hit=("What is it?", "a dog")).novelty([("What is it?", "one cat")]) == [1.0]


@pytest.mark.parametrize(("alike", "same"), [(0.6, True), (0.61, False), (0.5, True)])
def test_the_least_overlap_that_is_the_same(alike, same):
    # 3 shared of 5 words: exactly 0.6
    assert (lived(9, Archive(alike=alike)).novelty([("How many dogs?", "five")]) == [1.0]) != same


def test_case_order_and_punctuation_are_not_new():
    assert lived(9).novelty([("Dogs, HOW MANY", "Two.")]) == [pytest.approx(0.1)]


def test_hits_without_a_word_are_the_same_and_no_error():
    assert Archive().novelty([("?", "!"), ("...", ""), *map(other, range(1))]) == pytest.approx([0.1, 0.1, 1.0])


def test_no_hits_no_novelty_and_nothing_to_remember():
    archive = lived(1)
    assert archive.novelty([]) == []
    assert archive.novelty([DOGS]) == [pytest.approx(0.1)]


def test_the_memory_is_bounded_and_forgets_the_oldest():
    archive = lived(3, Archive(memory=3))
    assert archive.novelty([DOGS]) == [pytest.approx(0.1)]
    archive.novelty([other(n) for n in range(100)])
    assert len(archive._words) == 3
    assert archive.novelty([DOGS]) == [1.0]  # the dogs are forgotten


HITS = st.lists(st.sampled_from([DOGS, ("How many dogs?", "five"), ("How many cats?", "two"), other(1), ("?", "")]))


@given(st.lists(HITS, max_size=5), HITS, st.integers(1, 6))
def test_to_remember_is_to_have_lived_it(past, present, memory):
    one, another = Archive(memory=memory), Archive(memory=memory)
    for batch in past:
        one.novelty(batch)
    another.remember(hit for batch in past for hit in batch)
    assert one.novelty(present) == another.novelty(present)


@given(HITS, HITS, st.randoms(use_true_random=False))
def test_every_novelty_is_between_floor_and_one_in_the_order_of_its_hit(past, present, rng):
    def after(batch):
        archive = Archive()
        archive.remember(past)
        return archive.novelty(batch)

    found = after(present)
    assert all(0.1 - 1e-12 <= value <= 1.0 for value in found)
    order = list(range(len(present)))
    rng.shuffle(order)
    assert after([present[n] for n in order]) == [found[n] for n in order]


# --- the truth is out of reach

METHOD = sorted(Path(auditdm.method.__file__).parent.glob("*.py"))


def modules_named_in(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute here"
            yield str(node.module)


def test_the_method_knows_neither_sandbox_nor_backends():
    assert len(METHOD) == 10
    ours = {m for path in METHOD for m in modules_named_in(path) if m.startswith("auditdm")}
    assert ours <= {"auditdm.errors", "auditdm.types"}


def test_who_pays_is_told_nothing_that_could_hold_the_truth():
    examining = Path(auditdm.method.__file__).parents[1] / "runs" / "examining.py"
    assert not [m for m in modules_named_in(examining) if "sandbox" in m]
    assert set(Examiner.examine.__annotations__) == {"requests", "replies", "pictures", "return"}
    assert set(Roles.__dataclass_fields__) == {
        "target", "references", "judge", "generator", "editor", "prompts", "quorum", "wordings", "turns", "spending",
    }  # fmt: skip
    assert set(Request.__dataclass_fields__) == {
        "arm", "phase", "step", "copy", "source_id", "action", "question",
    }  # fmt: skip
    assert set(gated_reward.__annotations__) == {"verdict", "self_consistent", "novelty", "return"}
    assert set(Verdict.__dataclass_fields__) == {
        "probe_id", "outcome", "consensus", "dissent", "reason",
    }  # fmt: skip


def test_the_examples_of_the_docstrings_run():
    assert doctest.testmod(reward).failed == 0
