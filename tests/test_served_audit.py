"""Whole audits whose models are behind servers: real ones of transformers, and one that fails in three of ten requests."""

import pytest

from served_audit import (
    differing,
    faulty_audit,
    served_and_near,
    three_of_ten,
    unequal_answers,
    verdicts_of,
    well_and_faulty,
    zoo_audit,
)


@pytest.mark.tiny
@pytest.mark.slow
def test_the_zoo_behind_transformers_serve_gets_the_verdicts_it_gets_in_process(tmp_path):
    pytest.importorskip("fastapi")
    pytest.importorskip("uvicorn")
    near, far = served_and_near(64, tmp_path, batch=32)
    assert len(verdicts_of(near)) >= 50
    assert differing(near, far) == []
    assert unequal_answers(near, far) == []
    assert {row["outcome"] for row in verdicts_of(near).values()} >= {"failure", "agreement", "split"}
    served = {row["model"].partition("/")[0] for row in far.rows("answers")}
    assert served == {"openai-api"}, "somebody answered in process"
    assert {row["revision"] for row in far.rows("answers")} == {None}


def failures(run):
    return {key for key, row in verdicts_of(run).items() if row["outcome"] == "failure"}


def test_with_faults_in_three_of_ten_requests_an_audit_loses_nothing(tmp_path):
    well, faulty, server = well_and_faulty(60, tmp_path)
    assert 0.2 < server["faults"] / server["requests"] < 0.4
    assert len(server["kinds"]) >= 5
    assert len(verdicts_of(well)) >= 50
    assert differing(well, faulty) == []
    assert len(failures(faulty)) >= 15
    assert {row["id"] for row in well.rows("proposals")} == {row["id"] for row in faulty.rows("proposals")}


def test_where_retries_run_out_a_probe_is_void_with_its_reason_and_never_a_failure(tmp_path):
    well, faulty, _ = well_and_faulty(100, tmp_path, retries=0)
    before, after = verdicts_of(well), verdicts_of(faulty)
    assert before.keys() == after.keys()
    void = {key for key, row in after.items() if row["outcome"] == "void"}
    assert len(void) >= 15
    assert {key for key in before if before[key] != after[key]} == void
    assert failures(faulty) < failures(well)
    assert failures(well) - failures(faulty) <= void
    for key in void:
        assert after[key]["reason"].startswith("openai-api/acting: ")
        assert "(asked 1 times)" in after[key]["reason"]
        assert after[key]["target_answer"] is None
    kept = [row for row in faulty.rows("answers") if row["role"] == "target"]
    assert len(kept) == len(after)
    assert all((row["text"] is None) == (row["problem"] is not None) for row in kept)


def test_both_audits_differ_in_where_the_witnesses_are_and_in_nothing_else():
    near, far = zoo_audit(96), zoo_audit(96, dict.fromkeys(("target-small", *REFERENCES), "http://127.0.0.1:1/v1"))
    told = [c.model_dump(exclude={"target", "references"}) for c in (near, far)]
    assert told[0] == told[1]
    assert [spec.max_new_tokens for spec in (near.target, *near.references)] == [
        spec.max_new_tokens for spec in (far.target, *far.references)
    ]
    assert faulty_audit(8, "http://127.0.0.1:1/v1", 6).training.steps == 0


REFERENCES = ("reference-1", "reference-2", "reference-3")


def test_the_faults_do_not_depend_on_the_order_of_requests():
    from faulty_server import Ask

    asks = [Ask(f"q {n}", f"answer {n}", n % 3, 1, {}, {}) for n in range(1000)]
    drawn = [three_of_ten(ask) for ask in asks]
    assert drawn == [three_of_ten(ask) for ask in asks]
    assert 0.26 < sum(fault is not None for fault in drawn) / 1000 < 0.34
