"""The last stage of an audit, on organisms: what is planted is confirmed, nothing else is, and a killed stage goes on."""

import doctest
import json

import pytest

from auditdm.errors import ModelError
from auditdm.method.predicate import Predicate
from auditdm.runs import ledger_keeping
from auditdm.runs.ledger_keeping import effort_of, ledger_figures
from auditdm.store import Run
from sandbox_audit import COLOUR, Author, configured, confirmed, discovered, roles_of

TABLES = ("findings", "confirmations", "probes", "answers", "verdicts", "proposals", "descriptions")


@pytest.fixture(scope="module")
def audited(tmp_path_factory):
    path, config = tmp_path_factory.mktemp("audited") / "run", configured()
    discovered(path, config, roles_of([COLOUR]))
    roles, author = roles_of([COLOUR]), Author()
    confirmed(path, config, roles, author)
    return Run.read(path), roles, author


def test_a_planted_slice_is_confirmed_under_its_own_name_and_nothing_else_is(audited):
    run, _, _ = audited
    found = [f for f in run.rows("findings") if f["state"] == "confirmed"]
    assert len(found) == 1
    assert "colour" in found[0]["name"]
    assert found[0]["hits"] / found[0]["asked"] > 0.8


def test_the_tables_of_the_ledger_agree_with_each_other(audited):
    run, _, _ = audited
    verdicts = {v["id"]: v for v in run.rows("verdicts")}
    for f in run.rows("findings"):
        assert Predicate.from_json(f["predicate"]).words() == f["name"]
        mine = [c for c in run.rows("confirmations") if c["finding_id"] == f["id"]]
        inside = [c for c in mine if c["role"] == "inside"]
        assert sum(c["failed"] is True for c in inside) == f["hits"] == len(f["failing"])
        assert sum(c["failed"] is not None for c in inside) == f["asked"] == len(f["failing"]) + len(f["passing"])
        assert sum(c["failed"] is not None for c in mine if c["role"] == "beside") == f["base_asked"]
        assert sum(c["failed_again"] is True for c in inside) == f["again_hits"]
        for c in mine:
            assert (verdicts[c["probe_id"]]["outcome"] == "failure") == bool(c["failed"])


def test_fresh_probes_are_on_pictures_that_neither_training_nor_discovery_saw(audited):
    run, _, _ = audited
    source = {p["id"]: p["source_id"] for p in run.rows("probes")}
    seen = {p["source_id"] for p in run.rows("proposals") if p["phase"] == "discovery"}
    fresh = {source[c["probe_id"]] for c in run.rows("confirmations")}
    assert fresh
    assert not fresh & seen


def test_what_was_posed_and_not_chosen_has_no_answer_of_the_target(audited):
    run, _, _ = audited
    decided = run.ids("verdicts")
    asked = {a["probe_id"] for a in run.rows("answers") if a["role"] == "target"}
    assert asked == decided
    assert run.ids("probes") - decided


def test_the_budget_is_kept_and_told(audited):
    run, roles, _ = audited
    told = json.loads((run.path / "search.json").read_text())
    assert told["calls"] <= 420
    assert roles.target.asked <= told["calls"]  # what is known is not asked again
    assert told["curve"][-1] == [told["calls"], 1]
    assert told["usual"]["asked"] <= 192
    assert json.loads((run.path / "references.json").read_text())["probes"] > 0
    figures = ledger_figures(run)
    assert figures["modes_confirmed"] == 1
    assert figures["calls_per_confirmed_gap"] > told["calls"]  # discovery asked too


def test_a_finished_stage_asks_nothing(audited):
    run, _, _ = audited
    roles = roles_of([COLOUR], breaks_after=0)
    confirmed(run.path, configured(), roles)
    assert roles.target.asked == 0


def test_a_killed_stage_goes_on_to_the_same_tables(audited, tmp_path):
    whole, _, _ = audited
    config = configured()
    discovered(tmp_path / "run", config, roles_of([COLOUR]))
    for batches in (2, 5):
        with pytest.raises(ModelError, match="the power went"):
            confirmed(tmp_path / "run", config, roles_of([COLOUR], breaks_after=batches))
    confirmed(tmp_path / "run", config, roles_of([COLOUR]))
    run = Run.read(tmp_path / "run")
    for table in TABLES:
        mine, theirs = ({r["id"]: r for r in one.rows(table)} for one in (run, whole))
        assert mine == theirs, table
    assert (run.path / "search.json").read_text() == (whole.path / "search.json").read_text()


def test_a_clean_target_has_no_findings(tmp_path):
    config = configured(confirmation={"budget": 300, "fresh": 64, "describe": "describe"})
    discovered(tmp_path / "run", config, roles_of([]))
    confirmed(tmp_path / "run", config, roles_of([]))
    run = Run.read(tmp_path / "run")
    assert not [f for f in run.rows("findings") if f["state"] == "confirmed"]
    assert ledger_figures(run) == {"modes_confirmed": 0}


def test_without_a_stage_there_are_no_figures(tmp_path):
    with Run.open(tmp_path / "run", {}, {}) as run:
        assert ledger_figures(run) == {}


def test_the_effort_is_the_budget_of_the_configuration():
    effort = effort_of(configured())
    assert (effort.budget, effort.confirm, effort.beside_confirm, effort.chunk) == (420, 64, 64, 32)


def test_the_examples_of_the_docstrings_run():
    assert doctest.testmod(ledger_keeping).failed == 0
