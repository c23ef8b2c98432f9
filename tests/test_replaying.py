"""Findings put to other models: a run folder made by hand, models that answer by rule, and two of the zoo."""

import io
import json
import shutil

import pytest
from rich.console import Console

from auditdm.backends.fakes import FakeJudge, FakeModel, fake_picture
from auditdm.config import parse_config
from auditdm.errors import AuditError, ConfigError, ModelError, StoreError
from auditdm.runs import replaying
from auditdm.runs.replay_matrix import Posed, lines_of, table_of
from auditdm.runs.replaying import failures, replay
from auditdm.store import Run
from auditdm.types import content_id

TARGET, REFERENCES = "vllm/target", ("vllm/one", "vllm/two")
CONFIG = {"images": "sandbox/0", "target": TARGET, "references": list(REFERENCES), "auditor": "vllm/auditor"}
PER = 64  # probes inside each finding, and beside it
KINDS = ("colour", "clock")


def asked(kind, n, role="inside"):
    return f"what {kind} has thing {n} ?" if role == "inside" else f"is thing {n} of {kind} there ?"


def fails_at(**shares):
    """Right but for so many of the first probes inside each finding; all answers are "yes" where they are right."""
    wrong = {asked(kind, n) for kind, count in shares.items() for n in range(count)}
    return lambda question: "no" if question in wrong else "yes"


class Counting(FakeModel):
    """Counts what it is asked; breaks down after so many questions."""

    def __init__(self, respond, name="other", breaks_after=None):
        super().__init__(respond, name)
        self.heard, self._breaks_after = [], breaks_after

    def generate(self, batch):
        if self._breaks_after is not None and len(self.heard) >= self._breaks_after:
            raise ModelError("the server is gone")
        self.heard += [question for _, question in batch]
        return super().generate(batch)


def put_probe(run, rows, picture, question, consensus, target, references=REFERENCES, said=None):
    probe = content_id(picture, question)
    rows["probes"].append({"id": probe, "picture_id": picture, "source_id": picture, "question": question,
                           "action": "question", "pairing": "Q*,I"})  # fmt: skip
    for n, (model, text) in enumerate([(TARGET, target), *zip(references, said or [consensus] * 2, strict=True)]):
        rows["answers"].append({"id": content_id(probe, str(n), model, "0"), "probe_id": probe, "model": model,
                                "role": "reference" if n else "target", "revision": "fake", "wording": 0,
                                "text": text})  # fmt: skip
    rows["verdicts"].append({"id": probe, "outcome": "failure" if target != consensus else "agreement",
                             "consensus": consensus, "dissent": float(target != consensus)})  # fmt: skip
    return probe


def put_finding(rows, name, inside, beside, state="confirmed"):
    """Inside and beside: (probe, failed)."""
    hits = sum(failed for _, failed in inside)
    rows["findings"].append({"id": content_id(name), "name": name, "state": state, "predicate": "[]",
                             "reason": f"{hits} of {len(inside)} fresh probes fail", "hits": hits, "p": 1e-9, "q": 2e-9,
                             "asked": len(inside)})  # fmt: skip
    for role, probes in (("inside", inside), ("beside", beside)):
        rows["confirmations"] += [
            {"id": content_id(name, role, probe), "finding_id": content_id(name), "probe_id": probe, "role": role,
             "failed": failed}
            for probe, failed in probes
        ]  # fmt: skip


def written(path, rows, config=None):
    with Run.open(path, parse_config(config or CONFIG).model_dump(mode="json"), {}) as run:
        for table, found in rows.items():
            run.append(table, found)
        run.finish()
    return path


def empty():
    return {table: [] for table in ("probes", "answers", "verdicts", "findings", "confirmations")}


@pytest.fixture(scope="module")
def made_once(tmp_path_factory):
    """Two findings that the target fails on 40 of 64 probes, one tested mode that is none, one probe without consensus."""
    rows, path = empty(), tmp_path_factory.mktemp("made") / "run"
    with Run.open(path, parse_config(CONFIG).model_dump(mode="json"), {}) as made:
        for kind in KINDS:
            of = {}
            for role in ("inside", "beside"):
                said = {n: "no" if role == "inside" and n < 40 else "yes" for n in range(PER)}
                of[role] = [
                    (put_probe(made, rows, made.save_picture(fake_picture(f"{kind} {n}")), asked(kind, n, role), "yes", t),
                     t == "no")
                    for n, t in said.items()
                ]  # fmt: skip
            split = put_probe(made, rows, made.save_picture(fake_picture("split")), f"{kind} split ?", "yes", "yes")
            rows["verdicts"][-1] |= {"consensus": None, "outcome": "split"}
            rows["confirmations"].append({"id": f"split {kind}", "finding_id": content_id(kind), "probe_id": split,
                                          "role": "inside"})  # fmt: skip
            put_finding(rows, kind, of["inside"], of["beside"])
        put_finding(rows, "dull", [], [], "not confirmed")
    return written(path, rows)


@pytest.fixture
def run(made_once, tmp_path):
    return shutil.copytree(made_once, tmp_path / "run")


def cell(told, finding, model):
    names = [m["name"] for m in told["models"]]
    [row] = [f for f in told["findings"] if f["name"] == finding]
    return row["cells"][names.index(model)]


def test_the_matrix_says_who_shares_what(run):
    told = replay(run, [Counting(fails_at(colour=30)), FakeModel(fails_at(), "sound")], judge=FakeJudge())
    assert [m["name"] for m in told["models"]] == [TARGET, "other", "sound"]
    assert [f["name"] for f in told["findings"]] == list(KINDS)  # what was not confirmed is not replayed
    assert cell(told, "colour", TARGET)["verdict"] == "confirmed"
    assert (cell(told, "colour", TARGET)["inside"]["hits"], cell(told, "colour", TARGET)["q"]) == (40, 2e-9)
    shared = cell(told, "colour", "other")
    assert shared["verdict"] == "shared"
    assert (shared["inside"]["hits"], shared["inside"]["asked"], shared["beside"]["hits"]) == (30, PER, 0)
    assert shared["inside"]["ci95"][0] < 30 / 64 < shared["inside"]["ci95"][1]
    assert cell(told, "clock", "other")["verdict"] == cell(told, "colour", "sound")["verdict"] == "not shared"
    assert [f["whose"] for f in told["findings"]] == [
        "shared by other; not shared by sound",
        "the target's own: not shared by other, sound",
    ]
    assert [f["group"] for f in told["findings"]] == [0, 1]
    assert told["models"][1]["verdicts"] == {"shared": 1, "not shared": 1}
    [alike] = [s for s in told["similarity"] if (s["first"], s["second"]) == (TARGET, "other")]
    # of 256 probes: 30 both fail, 50 only the target, 176 neither
    assert (alike["agree"]["hits"], alike["agree"]["asked"]) == (206, 256)
    assert alike["kappa"] == pytest.approx(
        (206 / 256 - (80 * 30 + 176 * 226) / 256**2) / (1 - (80 * 30 + 176 * 226) / 256**2)
    )
    assert json.loads((run / "replays.json").read_text()) == told


def test_the_finished_run_stays_as_it_was(run):
    before = {p: p.read_bytes() for p in (run / "tables").rglob("*.parquet")} | {
        run / "DONE": (run / "DONE").read_bytes()
    }
    replay(run, [Counting(fails_at())])
    assert {p: p.read_bytes() for p in before} == before
    assert len(list((run / "tables").rglob("*.parquet"))) == len(before) - 1


def test_nothing_is_asked_twice_and_models_are_added(run):
    first, second = Counting(fails_at(colour=30)), Counting(fails_at(colour=30), "second")
    replay(run, [first])
    assert len(first.heard) == len(set(first.heard)) == 2 * 2 * PER  # without those on which the references split
    again, told = Counting(fails_at()), []
    found = replay(run, [again, second], tell=lambda *said: told.append(said))
    assert again.heard == []
    assert [m["name"] for m in found["models"]] == [TARGET, "other", "second"]
    assert cell(found, "colour", "other")["inside"]["hits"] == 30
    assert ("replayed", {"model": "second", "done": 256, "of": 256, "void": 0}) in told
    assert replay(run, []) == found


def test_asking_again_replaces_the_answers(run):
    replay(run, [Counting(fails_at(colour=30))])
    found = replay(run, [Counting(fails_at())], again=True)
    assert cell(found, "colour", "other")["inside"]["hits"] == 0
    assert len(found["models"]) == 2


def test_other_weights_under_one_name_are_another_column(run):
    newer = Counting(fails_at(), TARGET)
    newer.revision = "0123456789abcdef"
    found = replay(run, [newer])
    assert [m["name"] for m in found["models"]] == [f"{TARGET}@fake", f"{TARGET}@0123456789ab"]


def test_the_runs_own_target_is_not_asked(run):
    same = Counting(fails_at(), TARGET)
    assert [m["name"] for m in replay(run, [same])["models"]] == [TARGET]
    assert same.heard == []


def test_a_reference_is_not_asked_and_shares_nothing_for_sure(run):
    reference = Counting(fails_at(), REFERENCES[0])
    found = replay(run, [reference])
    assert reference.heard == []
    assert cell(found, "colour", REFERENCES[0])["verdict"] == "undecided"
    assert found["findings"][0]["whose"] == "not known: no other model was asked"
    assert found["similarity"] == []


def test_a_killed_replay_goes_on_where_it_was(run, monkeypatch):
    monkeypatch.setattr(replaying, "CHUNK", 50)
    broken = Counting(fails_at(colour=30), breaks_after=100)
    with pytest.raises(ModelError, match="gone"):
        replay(run, [broken])
    mended = Counting(fails_at(colour=30))
    found = replay(run, [mended])
    assert len(mended.heard) == 256 - 100
    assert set(mended.heard).isdisjoint(broken.heard)
    assert cell(found, "colour", "other")["inside"]["hits"] == 30


def test_answers_are_kept_when_the_judge_breaks_down(run):
    class Broken:
        def same(self, batch):
            raise ModelError("the judge is gone")

    with pytest.raises(ModelError, match="the judge is gone"):
        replay(run, [Counting(fails_at(colour=30))], judge=Broken())
    model = Counting(fails_at(colour=30))
    assert cell(replay(run, [model]), "colour", "other")["verdict"] == "shared"
    assert model.heard == []


def test_a_model_that_answers_nothing_is_void_and_is_asked_again(run):
    found = replay(run, [FakeModel(lambda _: None, "mute"), Counting(fails_at())])
    mute = cell(found, "colour", "mute")
    assert mute["verdict"] == "void"
    assert mute["inside"] == {"value": None, "hits": 0, "asked": 0, "void": PER, "ci95": None}
    assert found["models"][1]["problem"] == "mute gave no reply"
    assert found["findings"][0]["whose"] == "not shared by other; void: mute"  # so not yet the target's own
    awake = Counting(fails_at(), "mute")
    assert cell(replay(run, [awake]), "colour", "mute")["verdict"] == "not shared"
    assert len(awake.heard) == 256


def test_silences_and_what_the_judge_cannot_tell_are_counted_apart(run):
    right = fails_at(colour=30)
    silent, unclear = {asked("colour", 60), asked("colour", 61)}, {asked("colour", 62)}
    model = Counting(lambda q: None if q in silent else "hm" if q in unclear else right(q))
    inside = cell(replay(run, [model], judge=FakeJudge(unclear=["hm"])), "colour", "other")["inside"]
    assert (inside["hits"], inside["asked"], inside["void"]) == (30, PER - 3, 3)


def test_another_judge_judges_the_kept_answers_anew(run):
    replay(run, [Counting(lambda _: "no")], judge=FakeJudge())
    told = replay(run, [Counting(lambda _: "no")])
    assert cell(told, "colour", "other")["inside"]["hits"] == PER
    assert cell(replay(run, [], judge=FakeJudge(unclear=["no"])), "colour", "other")["verdict"] == "void"


def test_a_limit_asks_the_first_and_the_rest_can_follow(run):
    model = Counting(fails_at(colour=30))
    few = replay(run, [model], limit=10)
    assert len(model.heard) == 40
    assert cell(few, "colour", "other")["inside"]["asked"] == 10
    assert cell(replay(run, [model]), "colour", "other")["inside"]["asked"] == PER
    assert len(model.heard) == 256


def test_an_answer_may_be_that_of_any_reference_which_agrees():
    posed = Posed(id="p", picture="", question="q", consensus="a couch", others=("sofa", "chair"))

    class Chain:  # sofa is a couch; a settee is a sofa; nobody knows that a settee is a couch
        def same(self, batch):
            pairs = [{"a couch", "sofa"}, {"settee", "sofa"}, {"stool", "chair"}]
            return [one == other or {one, other} in pairs for _, one, other in batch]

    said = ["a couch", "settee", "stool", "table", None]
    assert failures([posed] * 5, said, Chain()) == [False, False, True, True, None]


@pytest.mark.parametrize("state", [None, "noise"])
def test_a_run_without_findings_says_how_to_get_some(tmp_path, state):
    rows = empty()
    if state:
        put_finding(rows, "dull", [], [], state)
    written(tmp_path / "run", rows)
    with pytest.raises(
        AuditError, match=r"none was confirmed \(noise\)" if state else "auditdm audit .*config.yaml --run NEW"
    ):
        replay(tmp_path / "run", ["vllm/other"])
    assert not (tmp_path / "run" / "replays.json").exists()


def test_an_unknown_model_is_named_before_anything_is_asked(run):
    model = Counting(fails_at())
    with pytest.raises(ConfigError, match="Did you mean 'sandbox/target-small'"):
        replay(run, [model, "sandbx/target-small"])
    with pytest.raises(ConfigError, match=r"is no model of the zoo\. Known: .*target-small"):
        replay(run, [model, "sandbox/target-smal"])
    assert model.heard == []


def test_a_damaged_file_of_answers_says_what_to_do(run):
    replay(run, [Counting(fails_at())])
    [kept] = (run / "replays").iterdir()
    kept.write_text("{")
    with pytest.raises(StoreError, match=r"damaged .* Delete it; its model is asked again"):
        replay(run, [Counting(fails_at())])


def test_it_is_told_with_denominators_and_intervals(run):
    told = replay(run, [Counting(fails_at(colour=30)), FakeModel(lambda _: None, "mute")])
    console = Console(width=80, file=io.StringIO())
    console.print(table_of(told))
    lines = [" ".join(line.split()) for line in console.file.getvalue().splitlines()]
    assert lines[2] == "other 30/64 0/64 +34 to +59% shared"
    assert lines[3] == "mute 64 void 64 void - void"
    words = lines_of(told)
    assert "1 colour: shared by other; void: mute" in [" ".join(w.split()) for w in words]
    assert "mute: of 2 findings 2 void; 256 void: mute gave no reply" in words
    assert any(w.startswith(f"{TARGET} and other: pass and fail alike on 206 of 256 probes; kappa 0.4") for w in words)


@pytest.mark.tiny
def test_two_models_of_the_zoo_share_what_was_planted_in_both(tmp_path):
    pytest.importorskip("transformers")
    from auditdm.sandbox.suites import suite
    from auditdm.sandbox.zoo import ZOO

    small = {gap.name: gap for gap in ZOO["target-small"].gaps}
    count = 64
    rows, path = empty(), tmp_path / "run"
    config = CONFIG | {"references": ["sandbox/reference-1", "sandbox/reference-2"]}
    with Run.open(path, parse_config(config).model_dump(mode="json"), {}) as made:

        def posed(examples, fails):
            return [
                (
                    put_probe(made, rows, made.save_picture(e.image), e.question, e.answer, "?" if fails else e.answer),
                    fails,
                )
                for e in examples
            ]

        for name in (
            "the colour purple",
            "dotted pattern",
        ):  # the first is planted in both, the second in the small one
            gap = small[name]
            inside = suite(gap.skill, count, seed=5, inside=gap)
            beside = [e for e in suite(gap.skill, 2 * count, seed=6) if not gap.holds(gap.skill, e.question, e.answer)]
            put_finding(rows, name, posed(inside, True), posed(beside[:count], False))
    written(path, rows, config)
    targets = ["sandbox/target-small", "sandbox/target-large"]
    told = replay(path, targets)
    verdicts = {f["name"]: [c["verdict"] for c in f["cells"]] for f in told["findings"]}
    assert verdicts == {
        "the colour purple": ["confirmed", "shared", "shared"],
        "dotted pattern": ["confirmed", "shared", "not shared"],
    }
    assert [m["revision"] is not None for m in told["models"]] == [True] * 3
    assert replay(path, targets) == told
