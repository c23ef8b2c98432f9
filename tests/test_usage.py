import json
from dataclasses import replace

import pytest

from auditdm.backends.endpoint import Usage
from auditdm.backends.fakes import FakeModel
from auditdm.errors import StoreError
from auditdm.runs.usage import Spending
from auditdm.store import Run
from auditdm.terminal import Terminal


class Served:
    """Counts as an endpoint does."""

    def __init__(self, name, priced=True):
        self.name, self.usage = name, Usage(price_usd=0.0 if priced else None)

    def ask(self, requests, usd=0.0):
        was = self.usage
        self.usage = replace(
            was,
            requests=was.requests + requests,
            retries=was.retries + 1,
            replies=was.replies + requests - 1,
            counted=was.counted + requests - 2,
            tokens_in=was.tokens_in + 100 * requests,
            tokens_out=was.tokens_out + 10 * requests,
            price_usd=None if was.price_usd is None else was.price_usd + usd,
        )


@pytest.fixture
def run(tmp_path):
    with Run.open(tmp_path / "run", {"seed": 0}, {}) as opened:
        yield opened


def kept(run):
    return json.loads((run.path / "usage.json").read_text())


def test_what_was_asked_is_added_once_and_over_sessions(run):
    target = Served("openai/x")
    spending = Spending()
    spending.watch("target", target)
    spending.watch("target", target)  # no second time
    target.ask(10, 0.5)
    spending.keep(run)
    spending.keep(run)  # nothing since
    target.ask(5, 0.25)
    assert spending.keep(run) == kept(run)
    assert kept(run) == {
        "target": {
            "model": "openai/x", "requests": 15, "retries": 2, "replies": 13, "counted": 11,
            "tokens_in": 1500, "tokens_out": 150, "price_usd": 0.75,
        }
    }  # fmt: skip
    later, again = Spending(), Served("openai/x")  # a resumed session counts from nothing
    later.watch("target", again)
    again.ask(4, 0.1)
    later.keep(run)
    assert (kept(run)["target"]["requests"], kept(run)["target"]["price_usd"]) == (19, 0.85)


def test_two_auditors_have_one_role_and_each_role_its_line(run):
    spending, first, second = Spending(), Served("vllm/a", priced=False), Served("vllm/a", priced=False)
    reference = Served("openai/r")
    for role, model in (("auditor", first), ("auditor", second), ("references[0]", reference)):
        spending.watch(role, model)
    first.ask(3)
    second.ask(4)
    told = spending.keep(run)
    assert told["auditor"]["requests"] == 7
    assert told["auditor"]["price_usd"] is None  # not given, not nothing
    assert told["references[0]"] == {
        "model": "openai/r", "requests": 0, "retries": 0, "replies": 0, "counted": 0, "tokens_in": 0, "tokens_out": 0,
        "price_usd": 0.0,
    }  # fmt: skip


def test_a_price_that_is_once_unknown_stays_unknown(run):
    for priced in (False, True):
        spending, model = Spending(), Served("m", priced)
        spending.watch("target", model)
        model.ask(3, 1.0)
        spending.keep(run)
    assert kept(run)["target"]["price_usd"] is None
    assert kept(run)["target"]["requests"] == 6


def test_models_that_count_nothing_leave_no_file(run):
    spending = Spending()
    spending.watch("target", FakeModel(lambda _: "two"))
    spending.watch("judge.model", None)
    assert spending.keep(run) == {}
    assert not (run.path / "usage.json").exists()


def test_a_damaged_file_is_said(run):
    (run.path / "usage.json").write_text("{")
    with pytest.raises(StoreError, match=r"usage\.json: cannot be read: .*Move it away"):
        Spending().keep(run)


@pytest.mark.tiny
def test_a_real_endpoint_is_counted_with_its_retries_and_its_price(run):
    from auditdm.backends.fakes import fake_picture
    from auditdm.config import parse_config
    from auditdm.runs.roles import fill_roles
    from faulty_server import FaultyServer

    with FaultyServer(fault=lambda ask: "500" if ask.time == 0 else None) as server:
        told = {"model": "openai-api/tiny", "options": {"base_url": server.url}, "price": {"input": 2, "output": 4}}
        config = parse_config(
            {
                "images": "p",
                "auditor": "acting_models:auditor",
                "target": told,
                "references": ["acting_models:reference"],
            }
        )
        roles = fill_roles(config)
        answers = roles.target.generate([(fake_picture(str(n)), "How many?") for n in range(3)])
    entry = roles.spending.keep(run)["target"]
    assert all(a.text for a in answers)
    assert entry == kept(run)["target"]
    assert (entry["model"], entry["requests"], entry["retries"], entry["replies"]) == ("openai-api/tiny", 6, 3, 3)
    assert entry["price_usd"] == pytest.approx((2 * entry["tokens_in"] + 4 * entry["tokens_out"]) / 1e6)
    assert entry["tokens_out"] > 0


def test_the_terminal_ends_with_what_endpoints_cost(capsys):
    counts = {
        "model": "openai/x", "requests": 1204, "retries": 12, "replies": 1200, "counted": 1190,
        "tokens_in": 1234567, "tokens_out": 3000, "price_usd": 3.216,
    }  # fmt: skip
    with Terminal() as terminal:
        terminal.tell("stage", {"name": "modes"})
        terminal.tell("spent", {"target": counts, "auditor": {**counts, "counted": 1200, "price_usd": None}})
    said = capsys.readouterr().err
    assert "modes: 0 s." in said
    assert (
        "target (openai/x): 1,204 requests (12 of them repeated), 1,234,567 tokens in, 3,000 out (10 replies told none), $3.22"
        in said
    )
    assert "auditor (openai/x): " in said
    assert "3,000 out, price not given" in said
