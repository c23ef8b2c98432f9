"""The ladder: cells are balanced, every rung spends the same, and a finished or interrupted rung is not run again."""

import json
from collections import Counter

import pytest

from auditdm.errors import AuditError, ModelError
from auditdm.method.archive import cell_of
from auditdm.method.trainset import Lesson
from auditdm.runs.yardsticks import ladder as told_in_the_report
from auditdm.sandbox import ladder as module
from auditdm.sandbox.auditor_lessons import balanced, paid_proposals
from auditdm.sandbox.ladder import FIGURES, FOLDERS, NAMES, climb, effective, ladder, main, rung_config, table
from auditdm.store import Run

TARGET = "sandbox/target-many"


def paid(cell, count, start=0):
    question, answer = cell
    return [
        (
            cell_of(question, answer),
            Lesson(probe_id=str(n), picture_id="p", question="ask", answer=f"reply {n}", origin="failure"),
        )
        for n in range(start, start + count)
    ]


OFTEN, SELDOM, ONCE = ("how many dogs ?", "2"), ("what time is it ?", "9:00"), ("is it red ?", "yes")


def test_common_cells_are_cut_to_the_share_and_rare_ones_repeated_up_to_it():
    rows = paid(OFTEN, 24) + paid(SELDOM, 4, 100) + paid(ONCE, 2, 200)
    taught = balanced(rows, seed=0)  # 30 lessons, 3 cells: 10 each
    group = Counter("often" if int(x.probe_id) < 100 else "seldom" if int(x.probe_id) < 200 else "once" for x in taught)
    assert group == {"often": 10, "seldom": 10, "once": 8}  # two lessons, four times each
    assert len({(x.probe_id, x.copy) for x in taught}) == len(taught)
    assert max(x.copy for x in taught) == 3
    assert len({x.probe_id for x in taught if int(x.probe_id) < 100}) == 10  # a common cell repeats nothing


def test_what_is_taught_depends_on_the_seed_alone_and_nothing_is_made_of_nothing():
    rows = paid(OFTEN, 24) + paid(SELDOM, 2, 100)
    assert sorted(balanced(rows, seed=1), key=repr) == sorted(balanced(rows[::-1], seed=1), key=repr)
    assert balanced(rows, seed=1) != balanced(rows, seed=2)
    assert balanced([], seed=0) == []


def test_effective_types_count_what_is_equally_common():
    assert effective([]) == 0.0
    assert effective([7]) == pytest.approx(1)
    assert effective([3, 3, 3, 3]) == pytest.approx(4)
    assert 1 < effective([99, 1]) < 1.1


def test_rungs_differ_by_the_reward_alone_and_nothing_is_confirmed():
    configs = {rung: rung_config(rung, TARGET, 3, steps=5, probes=70) for rung in NAMES}
    assert [configs[r].reward for r in (5, 6, 7)] == ["paper", "gated_only", "gated"]
    plain = [c.model_dump(mode="json") | {"reward": ""} for c in configs.values()]
    assert all(c == plain[0] for c in plain)
    config = configs[1]
    assert (config.compare, config.confirmation.budget, config.seed) == ((), 0, 3)
    assert (config.target.model, config.training.steps, config.discovery.probes) == (TARGET, 5, 70)


def test_a_figure_that_one_run_lacks_is_not_told_of_the_others():
    runs = [dict.fromkeys(FIGURES, value) for value in (1.0, 4.0, 2.0)]
    runs[1]["calls_per_type"] = None
    row = module._spread("a rung", runs)
    assert row["figures"]["validity"] == {"median": 2.0, "least": 1.0, "most": 4.0}
    assert row["figures"]["calls_per_type"] is None
    read = told_in_the_report([row])
    assert read is not None
    assert read.rungs[0].runs == 3
    assert read.rungs[0].spans["calls_per_type"] is None
    text = table([row])
    assert "2 (1-4)" in text
    assert "not measured" in text


def test_an_unknown_target_and_an_unknown_rung_are_refused_in_words(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(module, "_silence_libraries", lambda: None)  # the environment of other tests
    with pytest.raises(SystemExit, match="no model of the zoo"):
        main(["--target", "sandbox/target-mony", "--rungs", "1", "--out", str(tmp_path / "ladder.json")])
    with pytest.raises(SystemExit):
        main(["--rungs", "8"])
    assert "invalid choice" in capsys.readouterr().err


# --- with the zoo's models

STEPS, BATCH, PROBES = 2, 16, 16


def small(steps=STEPS, probes=PROBES):
    told = rung_config(1, TARGET, 0).model_dump(mode="json")
    return {
        "steps": steps,
        "probes": probes,
        "images": {**told["images"], "limit": 60},
        "training": {**told["training"], "batch": BATCH, "checkpoint_every": 1},
        "discovery": {**told["discovery"], "batch": 16},
        "rectify": {**told["rectify"], "options": {"per_device_train_batch_size": 8, "max_steps": 2}},
    }


def config_of(rung):
    return rung_config(rung, TARGET, 0, **small())


def quiet(*_):
    pass


def parts_of(path):
    return sorted((str(p), p.stat().st_mtime_ns) for p in (path / "tables").rglob("*.parquet"))


def spent(path):
    """By phase: proposals, and those that became probes; and the probes that the target answered."""
    with Run.read(path) as run:
        rows = run.rows("proposals")
        asked = {a["probe_id"] for a in run.rows("answers") if a["role"] == "target"}
    assert {p["arm"] for p in rows} == {"trained"}
    phases = {
        phase: (len(of), sum(p["probe_id"] is not None for p in of))
        for phase in ("training", "discovery")
        for of in [[p for p in rows if p["phase"] == phase]]
    }
    return phases, asked, {p["probe_id"] for p in rows} - {None}


@pytest.mark.tiny
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_all_rungs_spend_as_many_probes_and_a_second_call_runs_nothing(tmp_path, monkeypatch, capsys):
    out = tmp_path / "ladder.json"
    rows = ladder(TARGET, (0,), tuple(NAMES), out, **small())
    assert json.loads(out.read_text()) == rows
    assert [r["rung"] for r in rows] == list(NAMES.values())
    assert all(tuple(r["figures"]) == FIGURES and r["n"] == 1 for r in rows)
    for rung, row in zip(NAMES, rows, strict=True):
        path = tmp_path / "ladder-target-many-0" / FOLDERS[rung]
        phases, asked, probes = spent(path)
        for phase, budget in (("training", STEPS * BATCH), ("discovery", PROBES)):
            proposals, became = phases[phase]
            # Audits spend so many proposals, the other rungs so many probes.
            assert (proposals if rung >= 5 else became) == budget
        assert asked == probes  # nothing else was put to the target: not the three of four that were not chosen
        assert row["figures"]["target_calls"]["median"] == len(asked)
    said = capsys.readouterr().out
    assert "GRPO, gated + archive, seed 0: target_calls" in said
    assert " s)" in said
    folders = [tmp_path / "ladder-target-many-0" / name for name in FOLDERS.values()]
    before = [parts_of(f) for f in folders]
    monkeypatch.setattr(module, "fill_roles", lambda _: pytest.fail("a finished rung was run again"))
    assert ladder(TARGET, (0,), tuple(NAMES), out, **small()) == rows
    assert [parts_of(f) for f in folders] == before


@pytest.mark.slow
@pytest.mark.tiny
@pytest.mark.parametrize("rung", [2, 3])
def test_an_interrupted_rung_goes_on_to_the_same_probes(tmp_path, monkeypatch, rung):
    whole = tmp_path / "whole"
    figures = climb(rung, whole, config_of(rung), quiet)
    broken, batches = tmp_path / "broken", []
    record = module.record

    def dies(run, examined):
        record(run, examined)
        batches.append(len(examined))
        if len(batches) == 2:
            raise ModelError("the power went")

    with monkeypatch.context() as patch:
        patch.setattr(module, "record", dies)
        with pytest.raises(AuditError, match="the power went"):
            climb(rung, broken, config_of(rung), quiet)
    kept = parts_of(broken)
    assert climb(rung, broken, config_of(rung), quiet) == figures
    assert set(kept) <= set(parts_of(broken))
    with Run.read(whole) as one, Run.read(broken) as other:
        assert {p["id"]: p["probe_id"] for p in one.rows("proposals")} == {
            p["id"]: p["probe_id"] for p in other.rows("proposals")
        }


@pytest.mark.slow
@pytest.mark.tiny
def test_the_archive_asks_more_cells_than_the_prompt_alone(tmp_path):
    cells = {}
    for rung in (2, 3):
        climb(rung, tmp_path / str(rung), config_of(rung), quiet)
        with Run.read(tmp_path / str(rung)) as run:
            agreed = {v["id"]: v["consensus"] for v in run.rows("verdicts")}
            probes = {p["id"]: p["question"] for p in run.rows("probes")}
        cells[rung] = {cell_of(probes[i], c) for i, c in agreed.items() if c is not None}
    assert len(cells[3]) > len(cells[2])


@pytest.mark.tiny
def test_another_budget_is_another_run_and_rejection_teaches_what_was_paid(tmp_path):
    path = tmp_path / "4"
    climb(4, path, config_of(4), quiet)
    assert (path / "models" / "auditor-trained" / "config.json").exists()
    with Run.read(path) as run:
        lessons = paid_proposals(run, {"question": "ask", "caption": "caption", "edit": "edit",
                                       "caption_for": "caption for : {question}",
                                       "edit_for": "edit for : {question}"})  # fmt: skip
        sources = run.ids("sources")
        paid_for = {v["id"] for v in run.rows("verdicts") if v["outcome"] == "failure" and v["self_consistent"]}
    assert lessons
    assert all(x.probe_id in paid_for and x.picture_id in sources for _, x in lessons)
    with pytest.raises(AuditError, match=r"training\.steps"):
        climb(4, path, rung_config(4, TARGET, 0, **small(steps=3)), quiet)
