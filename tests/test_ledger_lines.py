"""The ledger in short: what a terminal and a script get."""

import json

import pytest
from rich.console import Console

from auditdm.runs.ledger_lines import ledger_of, table_of
from auditdm.store import Run
from auditdm.terminal import show_audit
from confirmed_run import LEDGER, confirmed_run
from synthetic_run import synthetic_run


@pytest.fixture
def run(tmp_path):
    return Run.read(confirmed_run(tmp_path / "run"))


def test_findings_come_first_and_the_surest_of_them_before_others(run):
    ledger = ledger_of(run)
    assert [f["state"] for f in ledger["findings"]] == [
        "confirmed", "confirmed", "not confirmed", "too few", "consensus unreliable", "noise",
    ]  # fmt: skip
    surest = ledger["findings"][0]
    assert (surest["rate"]["hits"], surest["rate"]["asked"], surest["rate"]["void"]) == (41, 64, 2)
    assert (surest["beside"]["hits"], surest["beside"]["asked"]) == (3, 61)
    assert (surest["again"]["hits"], surest["again"]["asked"], surest["q"]) == (30, 32, 5e-12)
    assert "2000 unchosen probes" in ledger["stopped"]
    assert len(ledger["findings"]) == len(LEDGER)


def test_what_was_not_asked_has_no_value(run):
    [few] = [f for f in ledger_of(run)["findings"] if f["state"] == "too few"]
    assert (few["beside"]["value"], few["beside"]["asked"], few["q"]) == (None, 0, None)


def test_a_run_that_searched_for_nothing_has_null_and_not_none(tmp_path):
    assert ledger_of(Run.read(synthetic_run(tmp_path / "run"))) == {"findings": None, "stopped": None}


def test_the_table_has_every_name_whole_in_80_columns(run, capsys):
    Console(width=80).print(table_of(ledger_of(run)))
    told = capsys.readouterr().out
    assert max(map(len, told.splitlines())) <= 80
    assert "41/64" in told
    assert "0.52 to 0.75" in told
    words = " ".join(line[:29].strip() for line in told.splitlines())
    for _, state, *_ in LEDGER:
        assert state.split()[-1] in told
    assert 'asks "how many ... are there?"' in words


def test_a_state_that_nobody_knows_comes_last(run, monkeypatch):
    rows = run.rows("findings")
    rows[1]["state"] = "doubted"
    monkeypatch.setattr(Run, "rows", lambda _run, _table: rows)
    assert [f["state"] for f in ledger_of(run)["findings"]][-1] == "doubted"


@pytest.mark.parametrize("as_json", [True, False])
def test_an_audit_ends_with_its_ledger(run, as_json, capsys):
    show_audit(run, run.path / "report" / "index.html", as_json)
    out = capsys.readouterr().out
    if as_json:
        assert json.loads(out) == {
            "run": str(run.path),
            "report": str(run.path / "report" / "index.html"),
            **ledger_of(run),
        }
    else:
        assert out.splitlines()[-2:] == [f"Run: {run.path}", f"Report: {run.path / 'report' / 'index.html'}"]
        assert "41/64" in out
