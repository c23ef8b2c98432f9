"""`quorum: auto`: chosen once from the pool's own questions, kept with the run, used by whoever judges."""

import json
import random

import pytest

from auditdm.backends.fakes import FakeJudge, FakeModel, fake_picture
from auditdm.config import parse_config
from auditdm.runs.auditing import audit
from auditdm.runs.examining import Examiner
from auditdm.runs.pictures import Split
from auditdm.runs.quorum import LEAST, TRIED, settle_quorum, with_quorum
from auditdm.runs.reference_check import QUORUM_FILE, check_references, chosen_quorum
from auditdm.runs.roles import Roles
from auditdm.store import Run

NAMES = ("first", "second", "third")
CONFIG = {
    "images": "sandbox/5", "auditor": "acting_models:auditor", "target": "small", "references": list(NAMES), "quorum": "auto",
}  # fmt: skip


def erring(name, share):
    """A reference that errs on so many questions, each time in its own way."""

    def says(question):
        rng = random.Random(f"{name} {question}")
        return f"{name} {rng.random()}" if rng.random() < share else "two"

    return FakeModel(says, name=name)


def chosen(run):
    return json.loads((run.path / QUORUM_FILE).read_text())


def roles(*shares):
    references = tuple(erring(name, share) for name, share in zip(NAMES, shares, strict=True))
    return Roles(
        target=FakeModel(lambda _: "one", name="small"), references=references, judge=FakeJudge(), generator=None,
        editor=None, prompts={}, quorum=1.0, wordings=("{question}",),
    )  # fmt: skip


def pool(count):
    ids = tuple(f"p{n}" for n in range(count))
    return Split({i: fake_picture(i) for i in ids}, ids, (), {i: f"How many dogs in {i}?" for i in ids})


def settled(path, shares, count=TRIED + 50):
    config = parse_config(CONFIG)
    with Run.open(path, config.model_dump(mode="json"), {}) as run:
        examiner = Examiner(roles(*shares))
        settle_quorum(run, config, examiner, pool(count))
        return run, examiner


def test_references_that_err_seldom_and_apart_need_not_all_agree(tmp_path):
    run, examiner = settled(tmp_path, (0.01, 0.01, 0.01))
    told = chosen(run)
    assert (told["agreeing"], told["of"], told["probes"]) == (2, 3, TRIED)
    assert told["expected"] < 0.02 and told["reason"]
    assert examiner.roles.quorum == pytest.approx(2 / 3)
    assert examiner.calls == 3 * TRIED
    assert not [a for a in run.rows("answers") if a["role"] == "target"]


def test_references_that_err_often_have_to_agree_all(tmp_path):
    run, examiner = settled(tmp_path, (0.35, 0.35, 0.35))
    assert chosen(run)["agreeing"] == 3
    assert examiner.roles.quorum == 1.0


def test_of_too_few_questions_nothing_is_concluded_and_nobody_is_asked(tmp_path):
    run, examiner = settled(tmp_path, (0.01, 0.01, 0.01), count=LEAST - 1)
    assert chosen(run)["agreeing"] == 3
    assert f"{LEAST - 1} questions" in chosen(run)["reason"]
    assert examiner.calls == 0


def test_what_was_chosen_stays_and_whoever_opens_the_run_judges_by_it(tmp_path):
    settled(tmp_path, (0.01, 0.01, 0.01))
    run, examiner = settled(tmp_path, (0.35, 0.35, 0.35))  # the file is there: nobody is asked
    assert examiner.calls == 0
    assert with_quorum(run, roles(0, 0, 0)).quorum == pytest.approx(2 / 3)
    assert check_references(run, keep=False)["used"] == {"agreeing": 2, "of": 3}


def test_a_run_whose_configuration_says_the_quorum_keeps_it(tmp_path):
    with Run.open(tmp_path, {**CONFIG, "quorum": 0.6}, {}) as run:
        assert chosen_quorum(run) is None
        assert with_quorum(run, roles(0, 0, 0)).quorum == 1.0  # as it was filled


@pytest.mark.tiny
def test_an_audit_chooses_before_it_asks_and_a_second_call_changes_nothing(tmp_path):
    config = parse_config(
        {
            "seed": 1, "images": {"path": "sandbox/5", "limit": 200}, "auditor": "acting_models:auditor", "quorum": "auto",
            "target": "acting_models:target", "references": ["acting_models:reference", "acting_models:other"],
            "compare": [], "training": {"steps": 0}, "discovery": {"probes": 40}, "confirmation": {"budget": 0},
        }
    )  # fmt: skip
    run = audit(config, tmp_path)
    told = json.loads((tmp_path / "quorum.json").read_text())
    assert told["agreeing"] == 2 and "two references" in told["reason"]
    assert "quorum" in json.loads((tmp_path / "stages.json").read_text())
    before = {t: run.rows(t) for t in ("probes", "answers", "verdicts")}
    audit(config, tmp_path)
    assert {t: Run.read(tmp_path).rows(t) for t in before} == before
