"""The verbs `selftest` and `replay`: what is handed on, what is printed, and what is said when it cannot be done."""

import json
import re
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

import auditdm
from auditdm.cli import app
from auditdm.sandbox import selftest as module
from auditdm.stats import Rate
from auditdm.terminal import show_selftest

GAPS = """
organisms:
  - name: signs misread
    gaps: [{name: digits, where: {skill: digit}, error: 0.6}]
  - name: clean twin
"""


def gap(name, found_as=None, shared_with=0):
    return {
        "gap": name, "where": f"skill {name}", "error": 0.6, "order": 1, "prevalence": 0.031, "shared_with": shared_with,
        "found_as": found_as, "jaccard": 0.91 if found_as else 0.22,
    }  # fmt: skip


def report(predicate, stands_for=None, shared=False):
    return {"predicate": predicate, "rate": Rate(30, 64).as_dict(), "gap": stands_for, "shared": shared}


AUDITS = [
    {
        "organism": "signs misread", "seed": 0,
        "planted": [gap("digit", "its name"), gap("clock"), gap("arrow", "another name", shared_with=1)],
        "reports": [report("its name", "digit"), report("another name", "arrow", shared=True)],
    },
    {"organism": "signs misread", "seed": 1, "planted": [gap("digit", "its name"), gap("clock")], "reports": []},
    {"organism": "clean twin", "seed": 0, "planted": [], "reports": [report('about "red"')]},
]  # fmt: skip
FOUND = {
    "gap_recall": Rate(73, 80).as_dict(), "gap_recall_by": {"under 1%": Rate(0, 0).as_dict()},
    "gap_fdr": Rate(2, 75).as_dict(), "outside_every_gap": Rate(1, 75).as_dict(), "clean_twin_reports": {"reports": 1, "audits": 1},
    "distractor_reports": {"reports": 0, "audits": 4}, "shared_reported_as_own": Rate(1, 20).as_dict(),
    "predicate_exact": Rate(66, 73).as_dict(), "interval_coverage": Rate(71, 75).as_dict(), "calls_per_confirmed_gap": 4610.5,
    "calls": {"median": 18000, "most": 20000}, "canary_share": Rate(3, 900).as_dict(),
    "validity_of_claims": Rate(897, 900).as_dict(), "true_failure_precision": Rate(890, 900).as_dict(), "audits": AUDITS,
}  # fmt: skip


def said(*words):
    done = CliRunner().invoke(app, [str(word) for word in words])
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code, done.stdout, done.stderr


@pytest.fixture
def gaps(tmp_path):
    (tmp_path / "gaps.yaml").write_text(GAPS)
    return tmp_path / "gaps.yaml"


@pytest.fixture
def asked(monkeypatch):
    """What the verb handed on; the self-test itself takes a while and is replaced by its figures."""
    heard = []

    def instead(file, **options):
        heard.append((file, options))
        for audit in AUDITS:
            found = SimpleNamespace(
                planted=audit["planted"], reports=audit["reports"], found=SimpleNamespace(calls=18_000), seconds=1.25
            )
            options["tell"]("audited", {**audit, "audit": found})
        return FOUND

    monkeypatch.setattr(module, "selftest", instead)
    return heard


# --- selftest: what is handed on


def test_a_self_test_hands_on_what_it_is_told(gaps, asked):
    assert said("selftest", "--gaps", gaps, "--budget", 5000, "--seeds", 3, "--prompt-only")[0] == 0
    [(file, options)] = asked
    assert [organism.name for organism in file.organisms] == ["signs misread", "clean twin"]
    assert list(options["seeds"]) == [0, 1, 2]
    assert (options["effort"].budget, options["effort"].focus, options["author"]) == (5000, False, None)


def test_without_a_file_the_shipped_one_is_taken(asked):
    assert said("selftest")[0] == 0
    [(file, options)] = asked
    assert len(file.organisms) > 10
    assert (options["effort"].budget, options["effort"].focus) == (20_000, True)
    assert list(options["seeds"]) == [0]


@pytest.mark.tiny
def test_the_trained_model_of_the_sandbox_may_be_the_auditor(gaps, asked):
    import random

    assert said("selftest", "--gaps", gaps, "--auditor", "sandbox/auditor")[0] == 0
    [(_, options)] = asked
    assert options["author"].propose(random.Random(0), 4)


def test_a_misspelt_auditor_is_named_and_its_neighbour_too(gaps, asked):
    code, _, err = said("selftest", "--gaps", gaps, "--auditor", "sandbox/auditor-wid")
    assert (code, asked) == (1, [])
    assert "Did you mean 'sandbox/auditor-wide'?" in err
    assert said("selftest", "--gaps", gaps, "--auditor", "nobody")[0] == 1


def test_a_model_that_does_not_speak_the_sandbox_is_no_auditor_of_its_targets():
    import random

    from auditdm.errors import ModelError
    from auditdm.sandbox.zoo_author import ZooAuthor
    from auditdm.types import Answer

    class Stranger:
        name = "stranger"

        def __init__(self, text):
            self.text = text

        def generate(self, batch):
            return [Answer(model=self.name, text=self.text) for _ in batch]

    for text in ("I cannot help with that.", "<question> What breed is the dog? </question>"):
        with pytest.raises(
            ModelError, match=r"stranger cannot be the auditor of a self-test: 0 of 512 replies ask"
        ) as no:
            ZooAuthor(Stranger(text)).propose(random.Random(0), 1000)
        assert text in str(no.value)
    asked, heard = "<question> how many shapes are there ? </question>", []
    author = ZooAuthor(Stranger(asked), lambda *event: heard.append(event))
    assert len(author.propose(random.Random(0), 500)) == 500
    assert heard == [("proposed", {"model": "stranger", "written": n}) for n in (512, 1024)]


def test_it_is_a_function_too():
    assert auditdm.selftest is module.selftest


# --- selftest: what is printed


def test_the_figures_are_printed_with_what_they_are_out_of(gaps, asked):
    code, out, err = said("selftest", "--gaps", gaps)
    assert code == 0
    for line in (
        r"planted gaps found +0\.912 +73 / 80 +0\.830 to 0\.957",
        r"under 1% +- +0 / 0 +-",  # unmeasured is not 0
        r"reports that stand for no planted gap +0\.027 +2 / 75 ",
        r"reports where no gap was planted +1 +audits: 1",
        r"reports where only the style is odd +0 +audits: 4",
        r"target calls per gap found +4,61\d",
        r"target calls of an audit +18,000 +at most 20,000",
    ):
        assert re.search(line, out), (line, out)
    assert max(map(len, out[: out.index("missed")].splitlines())) <= 80
    assert "signs misread, seed 0: 1 of 2 planted gaps found, 1 false reports, 18,000 calls, 1.2 s" in err
    assert "clean twin, seed 0: 1 false reports" in err


def test_what_was_missed_and_what_was_made_up_is_named(gaps, asked):
    _, out, _ = said("selftest", "--gaps", gaps)
    assert out.splitlines()[-3:] == [
        "missed on seeds 0, 1: signs misread: clock (skill clock; error 0.6, prevalence 3.1%, best overlap 0.22)",
        "false report on seed 0: signs misread: another name (30 of 64; shares 'arrow' with a reference)",
        'false report on seed 0: clean twin: about "red" (30 of 64; stands for no planted gap)',
    ]


def test_nothing_missed_and_nothing_made_up_is_said(capsys):
    audit = {"organism": "a", "seed": 0, "planted": [gap("x", "y")], "reports": [report("y", "x")]}
    show_selftest({**FOUND, "audits": [audit], "calls_per_confirmed_gap": None}, as_json=False)
    out = capsys.readouterr().out
    assert out.splitlines()[-2:] == ["No planted gap was missed.", "No report was false."]
    assert re.search(r"target calls per gap found +-", out)


def test_json_is_all_there_is_and_a_file_keeps_the_same(gaps, asked, tmp_path):
    code, out, err = said("selftest", "--gaps", gaps, "--json", "--out", tmp_path / "selftest.json")
    assert (code, err) == (0, "")
    assert json.loads(out) == json.loads((tmp_path / "selftest.json").read_text()) == FOUND


# --- selftest: what cannot be done, said before anything is asked


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (
            ["--gaps", "nowhere.yaml"],
            r"nowhere\.yaml: no such file\. Give the path of a gap file; docs/gaps\.md shows one",
        ),
        (["--budget", "300"], r"--budget is 300; .* so nothing could be confirmed\. Give \d+ or more\."),
        (["--budget", "-1"], r"--budget is -1; "),
        (["--out", "."], r"--out is \., a folder\. Give a file in it, such as selftest\.json"),
        (
            ["--out", "nowhere/x.json"],
            r"--out is nowhere/x\.json, and there is no folder nowhere\. Make it, or give another",
        ),
    ],
)
def test_what_cannot_be_done_is_said_in_words(words, part, asked):
    code, out, err = said("selftest", *words)
    assert (code, out, asked) == (1, "", [])
    assert re.search(part, err), err


def test_a_gap_file_with_a_mistake_is_refused_in_words(gaps, asked):
    gaps.write_text(GAPS.replace("skill: digit", "skill: digits"))
    code, out, err = said("selftest", "--gaps", gaps)
    assert (code, out, asked) == (1, "", [])
    assert "gaps.yaml: organisms[0].gaps[0].where.skill is 'digits'" in err
    gaps.write_text("organisms: [")
    assert "is not YAML" in said("selftest", "--gaps", gaps)[2]


@pytest.mark.parametrize("words", [["--seeds", "0"], ["--budget", "many"]])
def test_a_wrong_call_ends_with_2(words, asked):
    assert (said("selftest", *words)[0], asked) == (2, [])


# --- replay


@pytest.fixture
def replayed(monkeypatch):
    from auditdm.runs import replaying

    heard = []
    told = {
        "models": [{"name": "target", "verdicts": {"shares it": 0, "does not": 1}, "void": 0, "problem": None}],
        "findings": [], "similarity": [],
    }  # fmt: skip

    def instead(path, targets, **options):
        heard.append((str(path), targets, options))
        options["tell"]("stage", {"name": "replay other"})
        options["tell"]("replayed", {"model": "other", "done": 64, "of": 64, "void": 2})
        return told

    monkeypatch.setattr(replaying, "replay", instead)
    return heard, told


def test_a_replay_hands_on_what_it_is_told_and_says_how_far_it_is(replayed):
    heard, _ = replayed
    code, out, err = said("replay", "runs/x", "--target", "a/b", "--target", "c/d", "--limit", 9, "--again")
    assert code == 0, err
    [(path, targets, options)] = heard
    assert (path, targets, options["limit"], options["again"]) == ("runs/x", ["a/b", "c/d"], 9, True)
    assert "target: of 0 findings" in out
    assert re.search(r"replay other: \d+ s\. other: 64 of 64 probes, 2 void", err)


def test_a_replay_as_json_is_what_the_function_returns(replayed):
    code, out, err = said("replay", "runs/x", "--target", "a/b", "--json")
    assert (code, json.loads(out), err) == (0, replayed[1], "")


def test_a_replay_without_a_run_or_a_target_is_said_in_words(tmp_path):
    code, out, err = said("replay", tmp_path / "nowhere", "--target", "acting_models:other")
    assert (code, out) == (1, "")
    assert "no such folder, so not a run" in err
    assert said("replay", tmp_path)[0] == 2
