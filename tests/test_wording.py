"""A finding in a sentence: what is proposed is ranked on probes kept back, and a model that fails leaves the predicate."""

import shutil
from pathlib import Path

import pytest

from auditdm.backends.fakes import FakeModel
from auditdm.config import parse_config
from auditdm.method.wording import Shown, ask_for_descriptions, ask_whether_it_holds
from auditdm.runs.reporting import report
from auditdm.runs.wording import KEPT_BACK, PROPOSED, SHOWN, word_findings
from auditdm.store import Run
from confirmed_run import PURPLE, confirmed_run, finding_id

DULL, KEEN = "The picture shows something.", "The right answer is purple <b>."
ONE = Shown(question="What colour is it?", right="purple", said="blue")


def proposes(text):
    assert "The model said:" in text
    return f"Here you are:\n1. {DULL}\n2. {KEEN}\n3. {DULL}"


def ranks_by(path):
    """A ranker to whom the keen sentence says which questions failed."""
    run = Run.read(path)
    words = {p["id"]: p["question"] for p in run.rows("probes")}
    failed = {words[r["probe_id"]] for r in run.rows("confirmations") if r["failed"]}

    def ranks(text):
        assert "The model said" not in text, "the ranker is not told what the target said"
        question = text.splitlines()[0].removeprefix("Question about this picture: ")
        return "Yes." if DULL in text or question in failed else "No, it is not."

    return ranks


def opened(path):
    told = Run.read(path)
    return Run.open(path, told.config, {})


def worded(path, proposer=proposes, ranker=None):
    seen, ranker = [], ranker or ranks_by(path)
    models = FakeModel(proposer, name="writer"), FakeModel(ranker, name="ranker")
    with opened(path) as run:
        found = word_findings(run, lambda: models, lambda *event: seen.append(event))
    return found, seen


@pytest.fixture(scope="module")
def confirmed(tmp_path_factory):
    return confirmed_run(tmp_path_factory.mktemp("runs") / "confirmed")


@pytest.fixture
def audited(confirmed, tmp_path):
    return Path(shutil.copytree(confirmed, tmp_path / "run"))


def test_the_sentence_that_tells_failures_from_passes_is_chosen_with_what_it_holds_of(audited):
    found, seen = worded(audited)
    purple = found[finding_id(PURPLE)]
    assert purple["words"] == KEEN
    assert purple["proposed"] == [DULL, KEEN]  # each once
    assert (purple["proposer"], purple["ranker"]) == ("writer", "ranker")
    failing, passing = purple["of_failing"], purple["of_passing"]
    assert failing["asked"] == passing["asked"] == KEPT_BACK
    assert failing["value"] == 1.0 > passing["value"]
    assert seen[-1][0] == "worded"
    confirmed = {f["id"] for f in Run.read(audited).rows("findings") if f["state"] == "confirmed"}
    assert set(found) == confirmed


def test_what_the_proposer_saw_is_not_asked_of_the_ranker_and_a_second_call_asks_nobody(audited):
    heard, ranks = [], ranks_by(audited)

    def proposer(text):
        heard.append(("proposer", text))
        return proposes(text)

    def ranker(text):
        heard.append(("ranker", text))
        return ranks(text)

    found, _ = worded(audited, proposer, ranker)
    second = [n for n, (who, _) in enumerate(heard) if who == "proposer"][1]
    (_, prompt), *ranked = heard[:second]
    shown = [line.split(". ", 1)[1].split(" Right:")[0] for line in prompt.splitlines() if " Right: " in line]
    assert len(shown) == 2 * SHOWN
    asked = [text.splitlines()[0].removeprefix("Question about this picture: ") for _, text in ranked]
    assert len(asked) > 2 * KEPT_BACK  # two sentences
    assert not {*shown} & {*asked}
    before = len(heard)
    again, _ = worded(audited, proposer, ranker)
    assert (len(heard), again) == (before, found)


@pytest.mark.parametrize(
    ("proposer", "ranker", "why"),
    [
        (lambda _: "I see nothing in common.", None, "holds no list"),
        (lambda _: None, None, ""),
        (proposes, lambda _: "perhaps", "neither yes nor no"),
    ],
    ids=["no list", "silence", "no word"],
)
def test_where_there_are_no_words_the_reason_is_kept_and_shown(audited, proposer, ranker, why):
    found, _ = worded(audited, proposer, ranker)
    assert found[finding_id(PURPLE)]["words"] is None
    assert why in found[finding_id(PURPLE)]["why"] and found[finding_id(PURPLE)]["why"]
    report(audited)
    assert "In words:" in (audited / "report" / f"finding-{finding_id(PURPLE)}.html").read_text()


def test_the_page_of_a_finding_shows_the_sentence_as_text(audited):
    worded(audited)
    report(audited)
    page = (audited / "report" / f"finding-{finding_id(PURPLE)}.html").read_text()
    assert "The right answer is purple &lt;b&gt;." in page
    assert "of the failures and of" in page


def test_prompts_hold_what_they_should():
    text = ask_for_descriptions([ONE], [ONE], PROPOSED)
    assert text.count("What colour is it?") == 2 and text.count("The model said: blue") == 1
    assert "blue" not in ask_whether_it_holds("It is purple.", ONE)


def test_the_configuration_names_both_by_spec():
    told = {
        "images": "sandbox/5", "auditor": "a", "target": "t", "references": ["r"],
        "confirmation": {"proposer": "openai/gpt", "ranker": {"model": "hf/small"}},
    }  # fmt: skip
    config = parse_config(told)
    assert (config.confirmation.proposer.model, config.confirmation.ranker.model) == ("openai/gpt", "hf/small")
    assert parse_config({**told, "confirmation": {}}).confirmation.proposer is None
