"""The auditor is audited: on two organisms in earnest, and its scores on audits that are made up."""

import doctest
import json

import pytest

from auditdm.errors import ConfigError
from auditdm.method.confirmation import Entry, Evidence
from auditdm.method.predicate import Literal, Predicate
from auditdm.runs.searching import Effort, Found
from auditdm.sandbox import bench_truth
from auditdm.sandbox import selftest as module
from auditdm.sandbox.gap_files import parse_gaps
from auditdm.sandbox.selftest import Audited, scores, selftest, write
from auditdm.sandbox.standin import Bank, Language
from auditdm.stats import Rate

BUDGET = 4_000
EASY = {
    "organisms": [
        {
            "name": "blind to colours",
            "gaps": [{"name": "colours", "where": {"skill": ["colour", "same_colour"]}, "error": 0.9}],
        },
        {"name": "clean twin"},
    ]
}


@pytest.fixture(scope="module")
def audits():
    """Two organisms audited once, with what was told on the way; fewer sealed proposals than in earnest."""
    told = []
    with pytest.MonkeyPatch.context() as patch:
        sealed = tuple(item for item in Bank(-1, 3_000, Language()).items if item.views)
        patch.setattr(module, "sealed_items", lambda: sealed)
        found = selftest(parse_gaps(EASY), effort=Effort(budget=BUDGET), tell=lambda *event: told.append(event))
    return found, told


def test_an_easy_gap_is_found(audits):
    found, _ = audits
    assert found["gap_recall"]["hits"] == found["gap_recall"]["asked"] == 1
    [gap] = found["audits"][0]["planted"]
    assert gap["gap"] == "colours"
    assert gap["found_as"]
    assert gap["jaccard"] >= 0.5


@pytest.mark.parametrize("where", [{"words": "purpel"}, {"skill": "same_colour", "things": 1}])
def test_a_gap_that_holds_of_no_question_is_refused_and_not_missed(where, monkeypatch):
    sealed = tuple(item for item in Bank(-1, 500, Language()).items if item.views)
    monkeypatch.setattr(module, "sealed_items", lambda: sealed)
    gap = {"name": "nowhere", "where": where, "error": 0.6}
    with pytest.raises(ConfigError, match=r"'mistaken': the gap 'nowhere' \(.*\) holds of none of .* Correct its"):
        selftest(parse_gaps({"organisms": [{"name": "mistaken", "gaps": [gap]}]}), effort=Effort(budget=BUDGET))


def test_a_clean_twin_has_no_report(audits):
    found, _ = audits
    assert found["clean_twin_reports"] == {"reports": 0, "audits": 1}
    assert found["audits"][1]["reports"] == []
    assert found["gap_fdr"]["hits"] == 0


def test_no_audit_exceeds_its_budget_and_each_is_told(audits):
    found, told = audits
    assert found["calls"]["most"] <= BUDGET
    assert [name for name, _ in told] == ["audited"] * 2
    assert [(v["organism"], v["seed"]) for _, v in told] == [("blind to colours", 0), ("clean twin", 0)]


def test_what_it_claims_in_discovery_is_true(audits):
    found, _ = audits
    assert found["true_failure_precision"]["asked"] > 50
    assert found["true_failure_precision"]["value"] > 0.97
    assert found["validity_of_claims"]["value"] > 0.97
    claims, canaries = found["validity_of_claims"], found["canary_share"]
    assert claims["hits"] + canaries["hits"] == claims["asked"] == canaries["asked"]


def test_the_figures_are_kept_as_json(audits, tmp_path):
    found, _ = audits
    write(found, tmp_path / "selftest.json")
    assert json.loads((tmp_path / "selftest.json").read_text()) == found
    assert len(found["audits"]) == 2
    assert all(line["state"] and line["reason"] for audit in found["audits"] for line in audit["ledger"])


# --- the scores, by hand


def reported(gap=None, shared=False, covered=True, within=False):
    return {"predicate": "some name", "gap": gap, "shared": shared, "covered": covered, "within_a_gap": within}


def planted(name, found_as=None, *, jaccard=0.0, shared_with=0, order=2, prevalence=0.03, error=0.6):
    return {
        "gap": name, "found_as": found_as, "jaccard": jaccard, "shared_with": shared_with, "order": order,
        "prevalence": prevalence, "error": error,
    }  # fmt: skip


def audit(organism, *, gaps=(), reports=(), calls=1_000, paid=(0, 10), true=10):
    evidence = Evidence(predicate=Predicate.of(Literal(("a",))), **dict.fromkeys(
        ("inside", "base", "splits", "base_splits", "again", "usual"), Rate(0, 0)))  # fmt: skip
    entry = Entry(evidence=evidence, state="too few", reason="", p=None, q=None, decoy_floor=None)
    found = Found(
        entries=(entry,),
        trials=(),
        calls=calls,
        curve=(),
        usual=Rate(0, 0),
        unseen=None,
        hits=0,
        asked=0,
        void=0,
        stopped="",
    )
    canaries, claimed = paid
    return Audited(
        organism=organism, seed=0, found=found, planted=tuple(gaps), reports=tuple(reports), rewarded=Rate(canaries, claimed),
        valid=Rate(claimed - canaries, claimed), true=Rate(true, claimed), seconds=1.0, reference_calls=0,
    )  # fmt: skip


GAP = {"where": {"skill": "colour"}, "error": 0.6}
FILE = parse_gaps(
    {
        "organisms": [
            {"name": "gappy", "gaps": [{"name": n, **GAP} for n in ("a", "b", "c")] + [{"name": "s", **GAP, "shared_with": 1}]},
            {"name": "clean"},
            {"name": "noisy twin", "base_error": 0.2},
            {"name": "verbose", "style": "verbose"},
            {"name": "flickering", "flicker": 0.3},
            {"name": "canaries", "references": {"canary": 0.5}},
        ]
    }
)  # fmt: skip


def test_the_scores_count_what_they_say():
    told = scores(FILE, [
        audit(
            "gappy", calls=9_000, paid=(1, 10), true=8,
            gaps=[
                planted("a", "name of a", jaccard=0.9),
                planted("b", "name of b", jaccard=0.6, order=3),
                planted("c", None, jaccard=0.3, prevalence=0.005, error=0.3),
                planted("s", "name of s", jaccard=0.9, shared_with=1),
            ],
            reports=[
                reported("a"), reported("b", covered=False), reported("s", shared=True),
                reported(None, covered=None, within=True),
            ],
        ),
        audit("clean", reports=[reported(None)]), audit("noisy twin"),
        audit("verbose", reports=[reported(None)]), audit("flickering"), audit("canaries"),
    ])  # fmt: skip

    def counted(name):
        return told[name]["hits"], told[name]["asked"]

    assert counted("gap_recall") == (2, 3)  # a and b of a, b and c; a shared gap is no gap of its own
    assert counted("gap_fdr") == (3, 6)  # of six reports three stand for nothing that was planted
    assert counted("outside_every_gap") == (2, 6)  # one of these tells a part of a gap
    assert counted("shared_reported_as_own") == (1, 1)
    assert counted("predicate_exact") == (1, 2)  # of a and b, a
    assert counted("interval_coverage") == (4, 5)  # where it is known
    assert told["clean_twin_reports"] == {"reports": 1, "audits": 2}  # a twin that errs anywhere is clean too
    assert told["distractor_reports"] == {"reports": 1, "audits": 3}
    assert told["calls_per_confirmed_gap"] == 4_500.0  # calls of the audits with gaps over a and b
    assert told["calls"] == {"median": 1_000, "most": 9_000}
    assert counted("canary_share") == (1, 60)
    assert counted("validity_of_claims") == (59, 60)
    assert counted("true_failure_precision") == (58, 60)
    by_kind = {kind: (rate["hits"], rate["asked"]) for kind, rate in told["gap_recall_by"].items()}
    assert by_kind["order 1-2, at least 2%"] == (1, 1)
    assert by_kind["order 3, or under 2%"] == (1, 2)
    assert by_kind["under 1%"] == (0, 1)


def test_where_nothing_was_planted_and_nothing_reported_the_shares_are_unknown():
    told = scores(FILE, [audit("clean", paid=(0, 0), true=0)])
    for name in ("gap_recall", "gap_fdr", "outside_every_gap", "shared_reported_as_own", "predicate_exact", "interval_coverage",
                 "canary_share", "validity_of_claims", "true_failure_precision"):  # fmt: skip
        assert (told[name]["value"], told[name]["asked"], told[name]["ci95"]) == (None, 0, None), name
    assert told["calls_per_confirmed_gap"] is None


@pytest.mark.parametrize("said", ["", "x", "3-", "-3", "3-x"])
def test_seeds_of_a_bench_are_a_number_or_two(said):
    assert doctest.testmod(bench_truth).failed == 0
    with pytest.raises(SystemExit, match="The seeds are"):
        bench_truth.seeds_of(said)
