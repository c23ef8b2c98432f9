"""The ledger in the report as data: every tested mode, its figures with denominators, and what stands beside it."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from auditdm.errors import StoreError
from auditdm.method.predicate import Predicate
from auditdm.runs.exhibits import gather
from auditdm.runs.ledger_exhibits import STATES, ledger_modes, state_counts
from auditdm.runs.pages import page_templates
from auditdm.runs.replay_exhibits import replayed
from auditdm.runs.reporting import page_name, report
from auditdm.runs.yardsticks import ladder, rate_of, reliability, searched, selftested
from auditdm.stats import Rate
from auditdm.store import Run
from confirmed_run import (
    COUNTS,
    FILES,
    JUDGED,
    LADDER,
    LEDGER,
    OTHER,
    PLANTED,
    PURPLE,
    SEARCH,
    confirmed_run,
    finding_id,
)
from synthetic_run import CONFIG, ENVIRONMENT, TARGET, synthetic_run
from test_reporting import EVIL, HOSTILE, Page, pages_of

TOLD_IN_WORDS = {"axis", "svg", "said", "pre", "reason"}  # sentences of the ledger quote thresholds: not rates of ours
BESIDE = (*FILES, "replays.json")


@pytest.fixture(scope="module")
def confirmed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = confirmed_run(tmp_path_factory.mktemp("runs") / "confirmed")
    report(path)
    return path


@pytest.fixture(scope="module")
def index(confirmed: Path) -> Page:
    return Page(confirmed / "report" / "index.html")


def page_of(run: Path, predicate: Predicate) -> Page:
    [mode] = [m for m in ledger_modes(gather(Run.read(run).rows)) if m.id == finding_id(predicate)]
    return Page(run / "report" / page_name(mode))


def test_every_tested_mode_has_a_page_and_a_row_of_the_ledger(confirmed: Path, index: Page) -> None:
    modes = ledger_modes(gather(Run.read(confirmed).rows))
    assert len(modes) == len(LEDGER) == 6
    linked = {a.get("href") for a in index.all("a")}
    for mode in modes:
        assert page_name(mode) in linked
        assert (confirmed / "report" / page_name(mode)).is_file()
        assert mode.reason in index.words


def test_findings_come_first_the_surest_before_others_and_no_state_is_hidden(confirmed: Path, index: Page) -> None:
    modes = ledger_modes(gather(Run.read(confirmed).rows))
    assert [m.state for m in modes] == ["confirmed", "confirmed", *list(STATES)[1:]]
    assert [m.id for m in modes][:2] == [finding_id(PURPLE), finding_id(COUNTS)]  # low ends .518 and .242
    assert state_counts(modes) == {state: 2 if state == "confirmed" else 1 for state in STATES}
    for state, meaning in STATES.items():
        assert state in index.words
        assert meaning in index.words


def test_the_verdict_is_one_line_with_calls_base_rate_and_unseen_mass(index: Page) -> None:
    assert "2 confirmed failure modes of 6 named, from 18,420 target calls" in index.words
    assert "on probes that nobody chose: 4.2% 84 of 2,000 95% CI 3.4 to 5.2" in index.words
    assert "Unseen mass: 0.0357" in index.words
    assert "3 of 84 failures are the only one of their kind" in index.words
    assert "stands alone against references that agree, not that it is wrong" in index.words


def test_the_references_and_the_self_test_stand_beside_the_verdict(index: Page) -> None:
    assert (
        "3 of 3 have to agree; that consensus is expected to be wrong in 8 of 1,000 cases (95% 3 to 19)" in index.words
    )
    assert "estimated without labels from 1,250 probes" in index.words
    assert "tested on planted gaps: found 91.2% 73 of 80" in index.words
    assert "These gaps were planted" in index.words
    assert "1 in 100 audits" in index.words
    assert "2.7% 2 of 75" in index.words


def test_the_sections_come_in_the_order_in_which_an_engineer_reads(index: Page) -> None:
    ids = [a["id"] for a in index.all("section") if a.get("id")]
    wanted = ["ledger", "findings", "models", "search", "ladder", "selftest", "references", "failures", "repair"]
    assert [i for i in ids if i in wanted] == wanted


def test_a_card_of_each_finding_is_on_the_index_and_of_no_other_mode(index: Page) -> None:
    assert len([a for a in index.all("article") if a.get("class") == "finding"]) == 2
    assert "Cause: 19 of 20 edits out of the mode flip the outcome; 1 of 21 control edits do." in index.words
    assert "Decoy floor 5 of 64" in index.words


def test_a_finding_has_its_proof_on_its_page(confirmed: Path) -> None:
    page = page_of(confirmed, PURPLE)
    for words in (
        "64.1% 41 of 64, void 2 95% CI 51.8 to 74.7",
        "4.9% 3 of 61 1.7 to 13.5",
        "+59.1 points more often",
        "Benjamini-Hochberg over 5 tested modes",
        "5 of 64 failures that one random group of this size in a hundred exceeds",
        "93.8% 30 of 32",
        "2.9% 2 of 68",
        "6 of 41 fresh failures",
        "6 of 23 fresh probes inside the mode on which the target agrees",
        "It fails again when asked in other words.",
    ):
        assert words in page.words, words
    assert 'answer "purple"' in page.words  # its conditions one by one
    assert 'asks "what colour is the ...?"' in page.words


def test_a_name_that_holds_of_several_ways_of_asking_tells_each_apart(confirmed: Path) -> None:
    evidence = gather(Run.read(confirmed).rows)
    inside = [
        r for r in evidence.tables["confirmations"] if r["finding_id"] == finding_id(PURPLE) and r["role"] == "inside"
    ]
    for n, row in enumerate(inside):
        if n % 2 or n < 4:  # four of a third kind: too few for a line
            evidence.probe[row["probe_id"]]["question"] = (
                "which hue has the sign ?" if n % 2 else f"is it purple or {n} ?"
            )
    [mode] = [m for m in ledger_modes(evidence) if m.id == finding_id(PURPLE)]
    assert [way for way, _ in mode.ways] == ["which hue has the ...?", "what colour is the ... at ...?"]
    assert sum(rate.asked for _, rate in mode.ways) == mode.rate.asked - 2
    assert {rate.hits for _, rate in mode.ways} == {20, 19}


def test_the_smallest_flipping_edit_stands_beside_a_control_on_the_same_probe(confirmed: Path) -> None:
    [mode] = [m for m in ledger_modes(gather(Run.read(confirmed).rows)) if m.id == finding_id(PURPLE)]
    assert mode.cause is not None
    assert mode.cause.minimal is not None
    assert mode.cause.beside is not None
    assert mode.cause.relevant == Rate(19, 20, 1)
    assert mode.cause.control == Rate(1, 21)
    assert mode.cause.minimal.changed_share == 40 / 4096
    assert mode.cause.beside.before.id == mode.cause.minimal.before.id
    assert mode.cause.beside.flipped is False
    page = page_of(confirmed, PURPLE)
    assert "make the purple shape blue" in page.words
    assert "move the purple shape" in page.words
    assert "40 of 4,096 pixels changed" in page.words
    assert "95.0% 19 of 20, void 1" in page.words
    assert "take it as a hint" not in page.words
    assert not replace(mode.cause, control=Rate(1, 19)).enough
    assert "not measured: no edit was tried" in page_of(confirmed, COUNTS).words


def test_a_finding_says_how_it_stands_with_other_models(confirmed: Path, index: Page) -> None:
    assert f"shared by {OTHER}" in page_of(confirmed, PURPLE).words
    assert f"the target's own: not shared by {OTHER}" in page_of(confirmed, COUNTS).words
    assert "59.4% 38 of 64, void 1" in page_of(confirmed, PURPLE).words
    assert "0.52 0.36 to 0.68" in index.words
    assert "101 of 128" in index.words


def test_every_rate_of_the_ledger_shows_its_denominator(confirmed: Path) -> None:
    seen = 0
    for page in pages_of(confirmed):
        for text, within in page.texts:
            text = re.sub(
                r"95%( Wilson)? (interval|CI)|95% is meant|at least 2%|under 2%|95% [-+\d.]+ to|\(95%", "", text
            )
            text = re.sub(r", 95% *$", "", text)
            if re.search(r"\d%", text) and not TOLD_IN_WORDS & set(within):
                assert "rate" in within, (page.path.name, text)
        for rate in page.rates:
            if "%" in rate:
                seen += 1
                assert re.search(r"[\d,]+ of [\d,]+|mean of \d+, [\d,]+ asked", rate), rate
                assert re.search(r"[\d.]+ to [\d.]+", rate), f"no interval: {rate}"
    assert seen > 100


def test_links_pictures_ids_and_words_for_the_ear_are_in_order(confirmed: Path) -> None:
    for page in pages_of(confirmed):
        ids = [a["id"] for _, a in page.tags if a.get("id")]
        assert len(ids) == len(set(ids)), page.path.name
        for _, attributes in page.tags:
            for name in ("href", "src", "xlink:href"):
                address = attributes.get(name)
                if address:
                    file, _, anchor = address.partition("#")
                    assert not file or (confirmed / "report" / file).is_file(), address
                    assert (
                        not anchor or f'id="{anchor}"' in (confirmed / "report" / (file or page.path.name)).read_text()
                    )
        assert all(a.get("alt") for a in page.all("img"))
        assert all(a.get("scope") for a in page.all("th"))
        assert all(a.get("aria-label") or a.get("aria-hidden") == "true" for a in page.all("svg"))
        assert all(
            a.get("tabindex") == "0" and a.get("aria-label") for a in page.all("div") if a.get("class") == "scroll"
        )
        assert len(page.all("h1")) == 1
        assert len(page.all("caption")) == len(page.all("table"))


def test_hostile_names_reasons_commands_and_models_never_become_markup(tmp_path: Path) -> None:
    run = confirmed_run(tmp_path / "run", hostile=HOSTILE)
    report(run)
    spelled_out = "<script>alert(1)</script>\" onerror='x' [U+202E]gnp.exe[U+200B][U+0007] {{ 7*7 }}"
    for page in pages_of(run):
        raw = page.path.read_text(encoding="utf-8")
        assert EVIL not in raw
        assert not any(character in raw for character in "\u202e\u200b\x07")
        assert not any("onerror" in attributes for _, attributes in page.tags)
        assert [a.get("src") for a in page.all("script")] in ([], ["filter.js"])
    assert page_of(run, PURPLE).words.count(spelled_out) > 10


def test_ids_that_would_name_another_file_are_hashed(confirmed: Path) -> None:
    mode = ledger_modes(gather(Run.read(confirmed).rows))[0]
    assert page_name(mode) == f"finding-{mode.id}.html"
    assert re.fullmatch(r"finding-[0-9a-f]{16}\.html", page_name(replace(mode, id="../../etc/passwd")))


@pytest.mark.parametrize("name", BESIDE)
def test_a_file_that_is_not_there_is_said_and_no_zero_stands_for_it(confirmed: Path, tmp_path: Path, name: str) -> None:
    shutil.copytree(confirmed, tmp_path / "run", ignore=shutil.ignore_patterns("report"))
    (tmp_path / "run" / name).unlink()
    page = Page(report(tmp_path / "run"))
    assert "2 confirmed failure modes of 6 named" in page.words
    said = {
        "search.json": "Base rate: not measured",
        "references.json": "their reliability was not measured",
        "selftest.json": "tested on planted gaps: not measured",
        "ladder.json": "Ways to audit at equal target calls: not measured",
    }
    assert said.get(name, "2 confirmed") in page.words
    assert ("The findings on other models" in page.words) == (name != "replays.json")


@pytest.mark.parametrize("table", ["findings", "confirmations", "causes", "probes", "answers", "verdicts"])
def test_a_missing_table_leaves_a_readable_ledger(confirmed: Path, tmp_path: Path, table: str) -> None:
    shutil.copytree(confirmed, tmp_path / "run", ignore=shutil.ignore_patterns("report"))
    shutil.rmtree(tmp_path / "run" / "tables" / table)
    page = Page(report(tmp_path / "run"))
    if table == "findings":
        assert "the search confirmed 2 failure modes" in page.words
        assert "0 confirmed" not in page.words
    else:
        assert "2 confirmed failure modes of 6 named" in page.words


def test_exemplars_are_found_in_the_confirmations_where_the_ledger_lists_none(confirmed: Path) -> None:
    evidence = gather(Run.read(confirmed).rows)
    for row in evidence.tables["findings"]:
        row["failing"] = row["passing"] = None
    mode = ledger_modes(evidence)[0]
    assert [e.outcome for e in mode.failing] == ["failure"] * 6
    assert [e.outcome for e in mode.passing] == ["agreement"] * 6


def test_a_run_without_a_ledger_says_that_it_has_not_been_confirmed(tmp_path: Path) -> None:
    page = Page(report(synthetic_run(tmp_path / "run")))
    assert "This run has not been confirmed" in page.words
    assert "confirmed failure mode" not in page.words
    assert not [a for a in page.all("section") if a.get("id") in ("ledger", "findings", "search")]
    assert "32 failures among 42 measured probes" in page.words


def test_a_search_that_named_nothing_is_a_result(tmp_path: Path) -> None:
    with Run.open(tmp_path / "run", CONFIG, ENVIRONMENT) as run:
        run.write_json("search.json", {**SEARCH, "curve": [[18_420, 0]], "unseen": None})
    page = Page(report(tmp_path / "run"))
    assert "0 confirmed failure modes of 0 named, from 18,420 target calls" in page.words
    assert "Unseen mass: not measured" in page.words
    assert "The search named no mode." in page.words


def test_a_ledger_that_counts_wrongly_is_refused_with_a_remedy(tmp_path: Path) -> None:
    with Run.open(tmp_path / "run", CONFIG, ENVIRONMENT) as run:
        run.append("findings", [{"id": "m", "name": "m", "state": "confirmed", "hits": 3, "asked": 2}])
    with pytest.raises(StoreError, match=r"has hits = 3 of asked = 2\. Remove tables/findings"):
        report(tmp_path / "run")


def test_a_mode_of_which_only_a_name_is_known_has_a_page_without_a_zero(tmp_path: Path) -> None:
    with Run.open(tmp_path / "run", CONFIG, ENVIRONMENT) as run:
        run.append("findings", [{"id": "ab12", "name": "late clocks", "predicate": "{broken", "state": "of tomorrow"}])
    report(tmp_path / "run")
    page = Page(tmp_path / "run" / "report" / "finding-ab12.html")
    assert "late clocks" in page.words
    assert "of tomorrow" in page.words
    assert page.words.count("not measured") >= 5
    assert not page.rates


def test_a_damaged_file_is_named(confirmed: Path, tmp_path: Path) -> None:
    shutil.copytree(confirmed, tmp_path / "run", ignore=shutil.ignore_patterns("report"))
    (tmp_path / "run" / "ladder.json").write_text("[")
    with pytest.raises(StoreError, match=r"ladder\.json is not JSON"):
        report(tmp_path / "run")


@pytest.mark.parametrize("told", [None, {}, [], "words", 3, [{}], {"models": [{}]}, {"usual": "often"}])
def test_what_has_another_form_is_absent_and_never_an_error(told: object) -> None:
    search, judged, planted = searched(told), reliability(told), selftested(told)
    assert search is None or (search.calls, search.curve, search.unseen, search.usual) == (None, (), None, None)
    assert judged is None or (judged.probes, judged.voters, judged.expected) == (None, (), None)
    assert planted is None or not any(planted.rates.values())
    assert ladder(told) is None
    assert replayed(told) is None


def test_files_are_read_into_records() -> None:
    search = searched(SEARCH)
    assert search is not None
    assert search.curve[:2] == ((0, 0), (3_000, 0))
    assert search.singles == 3
    assert search.met == Rate(410, 6_100, 12)
    judged = reliability(JUDGED)
    assert judged is not None
    assert judged.kept == Rate(480 + 479 + 478, 1_500)
    assert judged.expected is not None
    assert judged.expected.value == 0.008  # of the quorum in use
    planted = selftested(PLANTED)
    assert planted is not None
    assert planted.clean == (1, 100)
    assert planted.rates["canary_share"] is None
    rungs = ladder(LADDER)
    assert rungs is not None
    assert rungs.top("search_success") == 1.0
    assert rungs.top("distinct_failure_types") == 22
    assert [r.runs for r in rungs.rungs] == [3, 3, 3]


def test_a_rate_that_cannot_be_is_none() -> None:
    assert rate_of({"hits": 3, "asked": 2}) is None
    assert rate_of({"hits": 0, "asked": 0}) == Rate(0, 0)
    assert rate_of({"hits": True, "asked": 2}) is None


def test_small_chances_and_figures_are_written_shortly() -> None:
    filters = page_templates().filters
    assert [filters["chance"](p) for p in (0.0004, 0.0123, 1.0)] == ["< 0.001", "0.012", "1.000"]
    assert [filters["figure"](v) for v in (20.0, 4_610.5, 0.0357142)] == ["20", "4,610", "0.0357"]


def test_the_target_is_a_column_of_its_own(confirmed: Path) -> None:
    found = replayed(json.loads((confirmed / "replays.json").read_text()))
    assert found is not None
    assert found.models == (TARGET, OTHER)
    assert [cell.verdict for cell in found.cells[finding_id(PURPLE)] if cell] == ["confirmed", "shared"]
    assert found.pairs[0].agree == Rate(101, 128)
