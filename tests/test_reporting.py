"""The report as data: which pages exist, that everything resolves, that every rate shows its denominator."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass, field
from html.parser import HTMLParser
from importlib import resources
from pathlib import Path

import pytest
from PIL import Image

from auditdm.errors import StoreError
from auditdm.runs import tallies
from auditdm.runs.exhibits import TABLES, gather, groups
from auditdm.runs.pages import visible
from auditdm.runs.reporting import page_name, report
from auditdm.stats import Rate
from auditdm.store import Run
from synthetic_run import CONFIG, ENVIRONMENT, synthetic_run

VOID_TAGS = {"meta", "link", "img", "input", "br", "hr", "rect", "line", "circle", "path", "image", "use"}
HOSTILE = "<script>alert(1)</script>\" onerror='x' \u202egnp.exe\u200b\x07 {{ 7*7 }}"
EVIL = "<script>alert(1)"


@dataclass
class Page(HTMLParser):
    """What a test wants to know of a page."""

    path: Path
    tags: list[tuple[str, dict[str, str | None]]] = field(default_factory=list)
    texts: list[tuple[str, tuple[str, ...]]] = field(default_factory=list)  # text, classes of all that holds it
    rates: list[str] = field(default_factory=list)  # the words of each element of class rate
    open: list[tuple[str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()
        self.feed(self.path.read_text(encoding="utf-8"))
        assert not self.open, f"{self.path.name}: never closed: {self.open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID_TAGS:
            self.open.append((tag, dict(attrs).get("class") or ""))
            if "rate" in self.open[-1][1].split():
                self.rates.append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID_TAGS:
            assert self.open.pop()[0] == tag, f"{self.path.name}: </{tag}> closes something else"

    def handle_data(self, text: str) -> None:
        classes = tuple(name for _, names in self.open for name in names.split())
        self.texts.append((text, (*classes, *(tag for tag, _ in self.open))))
        if "rate" in classes:
            self.rates[-1] += text

    @property
    def words(self) -> str:
        return " ".join(" ".join(text for text, _ in self.texts).split())

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = synthetic_run(tmp_path_factory.mktemp("runs") / "whole")
    report(path)
    return path


def pages_of(run: Path) -> list[Page]:
    return [Page(path) for path in sorted((run / "report").glob("*.html"))]


def test_there_is_an_index_and_one_page_per_group(whole: Path) -> None:
    modes = groups(gather(Run.read(whole).rows))
    assert len(modes) == 3
    assert {p.path.name for p in pages_of(whole)} == {"index.html", *(page_name(mode) for mode in modes)}


def test_every_link_and_picture_resolves(whole: Path) -> None:
    for page in pages_of(whole):
        ids = {attributes["id"] for _, attributes in page.tags if attributes.get("id")}
        asked = [(tag, a.get(name)) for tag, a in page.tags for name in ("href", "src", "xlink:href") if a.get(name)]
        assert len([tag for tag, _ in asked if tag == "img"]) >= 3
        for _, address in asked:
            assert address is not None
            if address.startswith("#"):
                assert address[1:] in ids, address
            else:
                assert (whole / "report" / address).is_file(), address


def test_no_page_asks_for_anything_outside_its_folder(whole: Path) -> None:
    for page in pages_of(whole):
        for _, attributes in page.tags:
            for name, value in attributes.items():
                if name in ("href", "src", "srcset", "xlink:href", "action", "data", "poster", "style"):
                    assert not re.search(r"//|url\((?!#)|^/|\.\.", value or ""), (page.path.name, name, value)
        policy = next(a for a in page.all("meta") if a.get("http-equiv") == "Content-Security-Policy")["content"]
        assert policy is not None
        assert "default-src 'none'" in policy
    for name in ("style.css", "filter.js"):
        assert not re.search(r"https?:|url\(|@import|fetch", (whole / "report" / name).read_text(encoding="utf-8"))


def test_ids_are_unique_on_a_page(whole: Path) -> None:
    for page in pages_of(whole):
        ids = [a["id"] for _, a in page.tags if a.get("id") and not (a["id"] or "").startswith("probe-")]
        assert len(ids) == len(set(ids)), page.path.name


def test_every_rate_shows_its_denominator(whole: Path) -> None:
    seen = 0
    for page in pages_of(whole):
        for text, within in page.texts:
            text = re.sub(r"95% (Wilson )?(interval|CI)", "", text)
            if re.search(r"\d%", text) and not {"axis", "svg", "said", "pre"} & set(within):
                assert "rate" in within, (page.path.name, text)
        for rate in page.rates:
            if "%" in rate:
                seen += 1
                assert re.search(r"[\d,]+ of [\d,]+|mean of \d+, [\d,]+ asked", rate), rate
                assert re.search(r"[\d.]+ to [\d.]+", rate), f"no interval: {rate}"
    assert seen > 30


def test_the_headline_names_who_audited_whom_and_counts_void_apart(whole: Path) -> None:
    words = Page(whole / "report" / "index.html").words
    outcomes = tallies.outcomes(gather(Run.read(whole).rows), "trained", "discovery")
    assert "sandbox/target-small" in words
    assert "Audited by sandbox/auditor against 3 references" in words
    assert f"{outcomes.counts['failure']} failures among {outcomes.failures.asked} measured probes" in words
    assert f"{outcomes.counts['void']} void, counted apart" in words
    assert "stands alone against references that agree, not that it is wrong" in words


def test_an_exemplar_shows_both_pictures_all_answers_the_verdict_and_the_truth(whole: Path) -> None:
    mode = groups(gather(Run.read(whole).rows))[0]
    page = Page(whole / "report" / page_name(mode))
    changed = next(e for e in mode.failing if e.original_id)
    assert len(mode.failing) == min(12, mode.rate.hits)
    assert mode.passing
    assert all(e.outcome == "agreement" for e in mode.passing)
    for words in (changed.question, changed.instruction, *(reply.model for reply in changed.replies)):
        assert words is not None
        assert words in page.words
    assert "Sandbox truth, not seen by the auditor" in page.words
    assert "The references agree on" in page.words
    assert any("Original picture" in (a["alt"] or "") for a in page.all("img"))
    assert all(a.get("class") == "pixels" for a in page.all("img"))  # 64 px: enlarged, pixel by pixel


def test_words_of_models_never_become_markup(tmp_path: Path) -> None:
    places = {"target": "T", "question": "Q", "reply": "R", "caption": "C", "group_name": "G"}
    run = synthetic_run(tmp_path / "run", probes=24, **{place: mark + HOSTILE for place, mark in places.items()})
    report(run)
    shown = ""
    for page in pages_of(run):
        raw = page.path.read_text(encoding="utf-8")
        assert EVIL not in raw
        assert not any(character in raw for character in "\u202e\u200b\x07")
        assert [a.get("src") for a in page.all("script")] in ([], ["filter.js"])
        assert not any("onerror" in attributes for _, attributes in page.tags)
        shown += page.words
    spelled_out = "<script>alert(1)</script>\" onerror='x' [U+202E]gnp.exe[U+200B][U+0007] {{ 7*7 }}"
    for place, mark in places.items():
        assert mark + spelled_out in shown, place


def test_unseen_characters_are_spelled_out() -> None:
    assert visible("a\u2066b\u0000c\ufeff\U000e0041") == "a[U+2066]b[U+0000]c[U+FEFF][U+E0041]"
    assert visible("two\nlines\t\u00e9 \u4e2d \u05d0") == "two\nlines\t\u00e9 \u4e2d \u05d0"
    assert visible("\ud800") == "[U+D800]"  # could not be written as UTF-8
    assert visible(3) == 3


def test_an_empty_run_is_a_readable_page_without_a_single_zero_rate(tmp_path: Path) -> None:
    Run.open(tmp_path / "run", CONFIG, ENVIRONMENT).close()
    [page] = (Page(report(tmp_path / "run")),)
    assert "No probe has been measured yet" in page.words
    assert page.words.count("not measured") >= 10
    assert not page.rates
    assert "0.0%" not in page.words
    assert "sandbox/reference-2" in page.words  # from the configuration
    assert "auditdm demo --run 'runs/my demo'" in page.words


@pytest.mark.parametrize("table", [name for name in TABLES if name not in ("findings", "confirmations", "causes")])
def test_a_missing_table_leaves_a_readable_page(whole: Path, tmp_path: Path, table: str) -> None:
    shutil.copytree(whole, tmp_path / "run", ignore=shutil.ignore_patterns("report"))
    shutil.rmtree(tmp_path / "run" / "tables" / table)
    page = Page(report(tmp_path / "run"))
    assert "sandbox/target-small" in page.words
    if table in ("scores", "training_log", "trainset"):
        assert "not measured" in page.words


def test_without_truths_nothing_is_said_about_truth(tmp_path: Path) -> None:
    run = synthetic_run(tmp_path / "run", truths=False)
    index = Page(report(run))
    assert "Distinct failure types over probes: not measured" in index.words
    assert "need the truth, which is known in the sandbox only" in index.words
    assert "no summary.json yet" in index.words
    for page in pages_of(run):
        assert "The answer is" not in page.words


def test_failures_that_nobody_grouped_are_shown_all_the_same(whole: Path, tmp_path: Path) -> None:
    shutil.copytree(whole, tmp_path / "run", ignore=shutil.ignore_patterns("report"))
    shutil.rmtree(tmp_path / "run" / "tables" / "failure_modes")
    page = Page(report(tmp_path / "run"))
    assert "not yet grouped. The first 12" in page.words
    assert len(page.all("article")) == 12


def test_a_picture_that_is_not_there_is_named_and_the_rest_stands(whole: Path, tmp_path: Path) -> None:
    shutil.copytree(whole, tmp_path / "run", ignore=shutil.ignore_patterns("report"))
    shutil.rmtree(tmp_path / "run" / "pictures")
    assert "the run folder does not hold this picture" in Page(report(tmp_path / "run")).words


def test_photos_are_scaled_down_and_not_pixelated(tmp_path: Path) -> None:
    run = synthetic_run(tmp_path / "run", probes=5, side=1100)
    page = Page(report(run))
    sizes = {Image.open(path).size for path in (run / "report" / "pictures").iterdir()}
    assert sizes == {(1024, 1024)}
    assert all(a.get("class") is None for a in page.all("img"))


def test_the_same_run_gives_the_same_bytes_and_old_pages_go(whole: Path, tmp_path: Path) -> None:
    shutil.copytree(whole, tmp_path / "whole")
    (tmp_path / "whole" / "report" / "group-of-yesterday.html").write_text("old")
    report(tmp_path / "whole")
    files = {p.relative_to(whole): p.read_bytes() for p in (whole / "report").rglob("*") if p.is_file()}
    again = tmp_path / "whole"
    assert files == {p.relative_to(again): p.read_bytes() for p in (again / "report").rglob("*") if p.is_file()}
    assert not (again / "report.part").exists()


def test_what_is_no_run_or_is_damaged_is_refused_with_a_remedy(whole: Path, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="not a run"):
        report(tmp_path)
    shutil.copytree(whole, tmp_path / "run", ignore=shutil.ignore_patterns("report"))
    (tmp_path / "run" / "summary.json").write_text("{")
    with pytest.raises(StoreError, match=r"summary\.json is not JSON .* remove it and run the same command again"):
        report(tmp_path / "run")


def test_a_group_with_more_failures_than_measured_is_refused(tmp_path: Path) -> None:
    with Run.open(tmp_path / "run", CONFIG, ENVIRONMENT) as run:
        run.append("failure_modes", [{"id": "m", "name": "m", "probe_ids": ["a", "b"], "measured": 1}])
    with pytest.raises(StoreError, match="has 2 failures of 1 measured"):
        report(tmp_path / "run")


def test_a_report_that_cannot_be_written_leaves_the_old_one(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(whole, tmp_path / "run")

    def full_disk(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full_disk)
    with pytest.raises(StoreError, match=r"could not be written .* No space left .* The run itself is whole"):
        report(tmp_path / "run")
    assert (tmp_path / "run" / "report" / "index.html").exists()


def test_secrets_of_the_configuration_stay_out(tmp_path: Path) -> None:
    options = {"api_key": "sk-123", "max_new_tokens": 12, "hf_token": "hf_abc"}
    config = {**CONFIG, "judge": {"model": "openai-api/judge", "options": options}}
    Run.open(tmp_path / "run", config, ENVIRONMENT).close()
    words = Page(report(tmp_path / "run")).words
    assert "sk-123" not in words
    assert "hf_abc" not in words
    assert "max_new_tokens: 12" in words


def test_pages_can_be_heard_as_well_as_seen(whole: Path) -> None:
    for page in pages_of(whole):
        assert page.all("html")[0]["lang"] == "en"
        assert all(a.get("alt") for a in page.all("img"))
        assert all(a.get("scope") for a in page.all("th"))
        assert all(a.get("aria-label") or a.get("aria-hidden") == "true" for a in page.all("svg"))
        assert len(page.all("h1")) == 1
        assert len(page.all("caption")) == len(page.all("table"))


def test_words_stand_out_from_their_ground_in_both_schemes() -> None:
    css = (resources.files("auditdm") / "report" / "style.css").read_text(encoding="utf-8")
    blocks = re.findall(r":root \{(.*?)\}", css, flags=re.DOTALL)
    assert len(blocks) == 3  # light, dark, paper
    for block in blocks:
        colours = {name: code if len(code) == 6 else "".join(2 * c for c in code) for name, code in _colours(block)}
        for ink in ("ink", "soft", "failure", "agreement", "split", "better", "worse"):
            for ground in ("paper", "card", "well"):
                assert _contrast(colours[ink], colours[ground]) >= 4.5, (ink, ground, block)


def _colours(block: str) -> list[tuple[str, str]]:
    return re.findall(r"--([\w-]+): #([0-9a-f]{6}|[0-9a-f]{3})\b", block)


def _contrast(one: str, other: str) -> float:
    """WCAG 2: (lighter + .05) / (darker + .05), by relative luminance."""

    def luminance(code: str) -> float:
        parts = [int(code[i : i + 2], 16) / 255 for i in (0, 2, 4)]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_the_counts_of_an_arm_add_up_to_its_proposals(whole: Path) -> None:
    arms = tallies.arms(gather(Run.read(whole).rows), {})
    assert [(arm.phase, arm.arm) for arm in arms] == [
        ("discovery", "trained"),
        ("discovery", "prompt_only"),
        ("discovery", "paper_reward"),
        ("training", "trained"),
    ]
    for arm in arms:
        left = arm.malformed + arm.undrawn + arm.unjudged
        assert arm.proposals == 60 == left + sum(arm.counts.values())
        assert arm.apparent.asked + arm.apparent.void == arm.proposals
        assert arm.malformed == 6  # the auditor's fault: asked, and a miss


def test_a_change_is_coloured_only_where_its_interval_excludes_zero() -> None:
    # Newcombe (1998), Statistics in Medicine 17, 873-890, table II, method 10: 56/70 against 48/80 is 0.0524 to 0.3339.
    found = tallies.change(Rate(48, 80), Rate(56, 70))
    assert found is not None
    assert (found.points, found.low, found.high) == pytest.approx((20, 5.24, 33.39), abs=0.01)
    assert found.direction == "better"
    same = tallies.change(Rate(48, 80), Rate(49, 80))
    assert same is not None
    assert same.direction == "unclear"
    assert tallies.change(Rate(0, 0, 4), Rate(1, 2)) is None
    assert tallies.change(None, Rate(1, 2)) is None


def test_a_mean_needs_every_suite_and_says_how_much_it_rests_on() -> None:
    def score(before: Rate | None) -> tallies.Score:
        return tallies.Score(suite="s", slice="", rates={"before": before}, change=None, found=None)

    mean = tallies.mean_of([score(Rate(50, 100)), score(Rate(100, 100))], "before")
    assert mean is not None
    # half width: 1.96 * sqrt(.5 * .5 / 100 + 0) / 2 = .049
    assert (mean.value, mean.low, mean.high, mean.rates, mean.asked) == pytest.approx((0.75, 0.701, 0.799, 2, 200))
    assert tallies.mean_of([score(Rate(50, 100)), score(None)], "before") is None


def test_reasons_that_differ_in_what_they_quote_are_one_reason() -> None:
    found = tallies.reasons(["no question in 'a'", "no question in 'b'", None, "declined"])
    assert found.counts == (("no question in '...'", 2), ("declined", 1))
    assert (found.total, found.others) == (3, 0)
