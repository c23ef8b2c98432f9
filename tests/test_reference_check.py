import json

import pytest

from auditdm.backends.fakes import FakeJudge
from auditdm.errors import StoreError
from auditdm.runs.reference_check import check_references, round_of
from auditdm.store import Run
from auditdm.types import content_id
from synthetic_run import synthetic_run

NAMES = ("twin", "twin", "other")  # two references are the same model: only the ids tell them apart
CONFIG = {
    "target": {"model": "small"},
    "references": [{"model": name} for name in NAMES],
    "quorum": 1.0,
    "wordings": ["{question}", "again: {question}"],
    "training": {"steps": 20},
}
ASKED = {  # name: target, references, references asked again, truth (None: the question has no answer)
    "agreed": ("one", ("two", "Two.", "2"), ("two", "three", None), "two"),
    "wrong": ("one", ("two", "two", "two"), (), "one"),
    "split": ("two", ("two", "two", "three"), (), "two"),
    "abstained": ("two", ("two", "I cannot tell", "two"), (), None),
    "nonsense": ("two", ("two", "two", "two"), (), None),
    "mute": ("two", ("two", None, "two"), (), "two"),
}


def answer(probe, who, model, wording, text):
    return {
        "id": content_id(probe, who, model, str(wording)),
        "probe_id": probe,
        "role": "target" if who == "target" else "reference",
        "model": model,
        "wording": wording,
        "text": text,
        "problem": None if text is not None else "timeout",
    }


def verdict(name, target, found):
    if None in found:
        return {"id": name, "outcome": "void"}
    outcome = {"split": "split", "abstained": "split", "nonsense": "agreement"}.get(name, "failure")
    return {
        "id": name,
        "outcome": outcome,
        "target_answer": target,
        "consensus": None if outcome == "split" else found[0],
    }


def small_run(path, *, truths=True, asked=ASKED, steps=(0, 1, 2, 2, 19, 19)):
    run = Run.open(path, CONFIG, {})
    for name, (target, found, again, _) in asked.items():
        run.append("probes", [{"id": name, "question": "How many dogs?"}])
        rows = [answer(name, "target", "small", 0, target)]
        rows += [answer(name, f"references[{n}]", NAMES[n], 0, text) for n, text in enumerate(found)]
        rows += [answer(name, f"references[{n}]", NAMES[n], 1, text) for n, text in enumerate(again)]
        run.append("answers", rows[::-1])  # their order says nothing
        run.append("verdicts", [verdict(name, target, found)])
    places = [*zip(asked, steps, strict=False), ("agreed", 0), ("agreed", 19)]  # asked again: once in each round
    run.append(
        "proposals",
        [
            {"id": str(n), "arm": "trained", "phase": "training", "step": step, "probe_id": name}
            for n, (name, step) in enumerate(places)
            if name in asked
        ]
        + [{"id": "late", "arm": "trained", "phase": "discovery", "step": 0, "probe_id": next(iter(asked), None)}]
        + [{"id": "malformed", "arm": "trained", "phase": "training", "step": 3, "malformed": "no question"}],
    )
    if truths:
        run.append(
            "truths", [{"id": name, "valid": truth is not None, "answer": truth} for name, (*_, truth) in asked.items()]
        )
    return run


def rate(told):
    return told["hits"], told["asked"], told["void"]


def test_each_reference_is_measured_by_its_number_though_two_are_one_model(tmp_path):
    with small_run(tmp_path / "run") as run:
        one, two, other = check_references(run)["references"]
    assert [r["model"] for r in (one, two, other)] == list(NAMES)
    # asked again about "agreed" alone: the first kept "two", the second said "three", the third was mute
    assert [rate(r["kept"]) for r in (one, two, other)] == [(1, 1, 5), (0, 1, 5), (0, 0, 6)]
    # the others agree in agreed, wrong, nonsense, and for the third also in split
    assert [rate(r["deviates"]) for r in (one, two, other)] == [(0, 3, 3), (0, 3, 3), (1, 4, 2)]
    assert [rate(r["abstains"]) for r in (one, two, other)] == [(0, 6, 0), (1, 6, 0), (0, 6, 0)]


def test_rounds_are_tenths_of_the_training_and_then_discovery(tmp_path):
    with small_run(tmp_path / "run") as run:
        told = check_references(run)
    assert [r["name"] for r in told["rounds"]] == ["1", "2", "10", "discovery"]
    assert [rate(r["split"]) for r in told["rounds"]] == [(0, 2, 0), (2, 2, 0), (0, 2, 1), (0, 1, 0)]
    assert rate(told["rounds"][0]["inconsistent"]) == (0, 0, 2)  # one changed its mind, another was mute
    assert all(0 < r["expected"]["value"] < 1 for r in told["rounds"])
    assert round_of({"phase": "training", "step": 25}, 20) == "10"


def test_where_the_truth_is_known_the_oracle_stands_beside_the_estimate(tmp_path):
    with small_run(tmp_path / "run") as run:
        oracle = check_references(run)["oracle"]
    assert rate(oracle["all"]["false_consensus"]) == (2, 3, 0)  # wrong and nonsense, of agreed, wrong, nonsense
    assert rate(oracle["all"]["false_consensus_of_answerable"]) == (1, 2, 0)
    told = {r["name"]: rate(r["false_consensus"]) for r in oracle["rounds"]}
    assert told == {"1": (1, 2, 0), "10": (1, 2, 0), "discovery": (0, 1, 0)}


def test_the_truth_changes_no_estimate(tmp_path):
    with small_run(tmp_path / "with") as one, small_run(tmp_path / "without", truths=False) as other:
        known, unknown = check_references(one), check_references(other)
    assert "oracle" not in unknown
    assert {key: value for key, value in known.items() if key != "oracle"} == unknown


def test_what_was_found_is_written_whole(tmp_path):
    with small_run(tmp_path / "run") as run:
        told = check_references(run)
        assert json.loads((run.path / "references.json").read_text()) == told
    assert told["probes"] == 6 and told["used"] == {"agreeing": 3, "of": 3}
    assert (told["panel"]["measured"], told["panel"]["void"]) == (4, 2)
    assert [e["agreeing"] for e in told["expected"]] == [2, 3]
    assert [(p["first"], p["second"]) for p in told["pairs"]] == [(0, 1), (0, 2), (1, 2)]
    assert told["quorum"]["reason"] and told["quorum"]["share"] in (2 / 3, 1.0)


def test_a_run_that_is_only_read_keeps_nothing(tmp_path):
    with small_run(tmp_path / "run"):
        reader = Run.read(tmp_path / "run")  # while it is written
        assert check_references(reader, keep=False)["probes"] == 6
        assert not (tmp_path / "run" / "references.json").exists()
        with pytest.raises(StoreError, match="opened for reading"):
            check_references(reader)


def test_a_run_without_verdicts_has_nothing_to_estimate(tmp_path):
    with small_run(tmp_path / "run", asked={}, truths=False) as run:
        told = check_references(run)
    assert (told["probes"], told["references"], told["panel"], told["expected"], told["rounds"]) == (
        0,
        [],
        None,
        None,
        [],
    )
    assert told["quorum"]["expected"] is None and told["quorum"]["agreeing"] == 3


def test_a_judge_that_cannot_tell_makes_the_probe_void(tmp_path):
    with small_run(tmp_path / "run") as run:
        told = check_references(run, FakeJudge({"two"}))
    assert told["panel"] is None and told["quorum"]["agreeing"] == 3
    assert all(r["deviates"]["asked"] == 0 for r in told["references"])


def test_a_synthetic_run_of_three_arms_is_measured_over_the_trained_one(tmp_path):
    synthetic_run(tmp_path / "run")
    told = check_references(Run.read(tmp_path / "run"), keep=False)
    assert told["panel"]["measured"] > 40 and told["rounds"][-1]["name"] == "discovery"
    assert rate(told["oracle"]["all"]["false_consensus"])[1] > 20
