import ast
import doctest
from math import sqrt
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import auditdm.method
from auditdm.method import reward
from auditdm.method.archive import Archive, cell_of
from auditdm.method.reward import gated_reward, group_diversity, paper_reward
from auditdm.method.verdict import UNANSWERABLE
from auditdm.runs.examining import Examiner, Request
from auditdm.runs.roles import Roles
from auditdm.types import Verdict


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
    (None, None, 1.0, 1.0, 0.0, -0.2),  # the auditor's fault
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


# --- the pay of a cell is shared among siblings


def test_what_a_reference_calls_unanswerable_is_fined_by_the_gated_reward_alone():
    broken = Verdict(probe_id="p", outcome="split", dissent=1.0, reason=UNANSWERABLE)
    assert (gated_reward(broken, None, 1.0), gated_reward(broken, None, 1.0, fine=0.5)) == (-0.2, -0.5)
    assert paper_reward(broken) == 0.0


@pytest.mark.parametrize(
    ("cells", "factors"),
    [
        ([None, None, None, None], [1, 1, 1, 1]),
        (["a", None, None, None], [1, 1, 1, 1]),  # a lone hit is paid in full
        (["a", "b", "c", "d"], [1, 1, 1, 1]),
        (["a", "a", "a", "a"], [1 / 2] * 4),
        (["a", "a", "b", None], [1 / sqrt(2), 1 / sqrt(2), 1, 1]),
        (
            ["a", "a", "a", "b", "a", None, None, None],
            [1 / sqrt(3), 1 / sqrt(3), 1 / sqrt(3), 1, 1, 1, 1, 1],
        ),  # two groups
        ([], []),
    ],
)
def test_siblings_that_hit_the_same_cell_share_its_pay(cells, factors):
    assert group_diversity(cells, 4) == pytest.approx(factors)


@given(st.lists(st.lists(st.sampled_from(["a", "b", "c", None]), min_size=4, max_size=4), max_size=4))
def test_a_group_earns_the_root_of_the_hits_of_each_cell(groups):
    factors = group_diversity([cell for group in groups for cell in group], 4)
    for n, group in enumerate(groups):
        earned = sum(f for f, cell in zip(factors[4 * n : 4 * n + 4], group, strict=True) if cell is not None)
        assert earned == pytest.approx(sum(sqrt(group.count(cell)) for cell in set(group) - {None}))


def test_a_torn_group_is_refused():
    with pytest.raises(ValueError, match="5 replies are no whole groups of 4"):
        group_diversity([None] * 5, 4)


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
    assert len(METHOD) >= 12
    ours = {m for path in METHOD for m in modules_named_in(path) if m.startswith("auditdm")}
    assert {m for m in ours if not m.startswith("auditdm.method.")} <= {
        "auditdm.errors",
        "auditdm.stats",
        "auditdm.types",
    }


def test_who_pays_is_told_nothing_that_could_hold_the_truth():
    examining = Path(auditdm.method.__file__).parents[1] / "runs" / "examining.py"
    assert not [m for m in modules_named_in(examining) if "sandbox" in m]
    assert set(Examiner.examine.__annotations__) == {"requests", "replies", "pictures", "return"}
    assert set(Roles.__dataclass_fields__) == {
        "target", "references", "judge", "generator", "editor", "prompts", "quorum", "wordings", "turns", "spending",
    }  # fmt: skip
    assert set(Request.__dataclass_fields__) == {
        "arm", "phase", "step", "copy", "source_id", "action", "question", "about",
    }  # fmt: skip
    assert set(Archive.novelty.__annotations__) == {"hits", "return"}
    assert set(cell_of.__wrapped__.__annotations__) == {"question", "consensus", "return"}
    assert set(group_diversity.__annotations__) == {"cells", "group", "return"}
    assert set(gated_reward.__annotations__) == {"verdict", "self_consistent", "novelty", "fine", "return"}
    assert set(Verdict.__dataclass_fields__) == {
        "probe_id", "outcome", "consensus", "dissent", "reason",
    }  # fmt: skip


def test_the_examples_of_the_docstrings_run():
    assert doctest.testmod(reward).failed == 0
