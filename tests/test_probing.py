"""How an audit poses and asks: the references first, each way to a probe of a kind, and nothing twice."""

import itertools

import pytest

from auditdm.backends.fakes import FakeModel
from auditdm.backends.turns import at_length
from auditdm.method.predicate import Literal, Predicate
from auditdm.runs.describing import Describer, describing
from auditdm.runs.examining import Examiner
from auditdm.runs.pictures import split_pool
from auditdm.runs.probing import MOST_POSED, PoolProber
from auditdm.store import Run
from sandbox_audit import COLOUR, PROMPTS, Author, Counted, configured, discovered, roles_of

ASKS_COLOUR = Predicate.of(Literal(('asks "what colour is the ...?"',)))
NEVER = Predicate.of(Literal(('answer "mauve"',)))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("probing") / "run"
    discovered(path, configured(), roles_of([COLOUR]))
    return path


class Bench:
    """A prober in a copy of a run, with everybody whom it asks."""

    def __init__(self, run, config, prompts=PROMPTS):
        self.run, self.roles, self.author = run, roles_of([COLOUR], prompts=prompts), Author()
        self.split, self.examiner = split_pool(config, run), Examiner(self.roles)
        self.examiner.recall(run.rows("answers"))
        self.describer = Describer(run, self.roles.references[0], "describe")
        self.prober = PoolProber(run, config, self.split, self.examiner, lambda: self.author, self.describer)
        self.known = self.prober.known()


@pytest.fixture
def bench(folder, tmp_path):
    import shutil

    shutil.copytree(folder, tmp_path / "run")
    with Run.open(tmp_path / "run", configured().model_dump(mode="json"), {}) as run:
        yield Bench(run, configured())


def test_the_pool_has_three_parts_that_share_no_picture(bench):
    parts = [set(part) for part in (bench.split.training, bench.split.discovery, bench.split.confirmation)]
    assert [len(part) for part in parts] == [26, 94, 140]
    assert all(not one & other for one, other in itertools.combinations(parts, 2))


def test_without_a_budget_discovery_has_all_that_training_has_not(tmp_path):
    config = configured(confirmation={"budget": 0})
    with Run.open(tmp_path / "run", config.model_dump(mode="json"), {}) as run:
        split = split_pool(config, run)
    assert (len(split.training), len(split.discovery), split.confirmation) == (26, 234, ())


def test_what_discovery_measured_is_known_and_the_untrained_auditors_probes_are_unchosen(bench):
    verdicts = {v["id"]: v for v in bench.run.rows("verdicts")}
    measured = {
        i for i, v in verdicts.items()
        if v["outcome"] == "agreement" or (v["outcome"] == "failure" and v["self_consistent"])
    }  # fmt: skip
    plain = {p["probe_id"] for p in bench.run.rows("proposals") if p["arm"] == "prompt_only"} & measured
    assert len(bench.known) == len(measured)
    assert sum(not chosen for _, _, chosen in bench.known) == len(plain)
    assert sum(failed for _, failed, _ in bench.known) == sum(verdicts[i]["outcome"] == "failure" for i in measured)


def test_the_target_is_not_asked_what_is_only_posed(bench):
    posed = bench.prober.pose(20)
    assert len(posed) == 20
    assert all(p.views for p in posed if p.views is not None)
    assert {p.probe.probe.proposal.source_id for p in posed} <= set(bench.split.discovery)
    assert bench.roles.target.asked == 0
    said = bench.prober.ask(posed[:5])
    assert bench.roles.target.asked == 5
    assert len(said) == 5
    assert {p.id for p in posed[:5]} <= bench.run.ids("verdicts")
    assert not {p.id for p in posed[5:]} & bench.run.ids("verdicts")


def test_a_kind_is_posed_from_known_questions_without_the_auditor(bench):
    written = len(bench.author.asked)
    posed = bench.prober.pose_for(ASKS_COLOUR, 10)
    assert sum(p.views is not None for p in posed) == 10
    assert all(ASKS_COLOUR.holds(p.views) for p in posed if p.views is not None)
    assert len(bench.author.asked) == written
    earlier = {p["probe_id"] for p in bench.run.rows("proposals")}
    assert not {p.id for p in posed} & earlier
    bench.prober.ask([p for p in posed if p.views is not None])
    assert not {p.id for p in bench.prober.pose_for(ASKS_COLOUR, 10)} & {p.id for p in posed}


def test_fresh_probes_stand_on_the_confirmation_part_alone(bench):
    posed = bench.prober.pose_for(ASKS_COLOUR, 30, fresh=True)
    assert posed
    assert {p.probe.probe.proposal.source_id for p in posed} <= set(bench.split.confirmation)


def test_a_fresh_probe_serves_every_name_and_is_answered_once(bench):
    agreed = [p for p in bench.prober.pose_for(ASKS_COLOUR, 60, fresh=True) if p.views is not None]
    bench.prober.ask(agreed)
    narrow = Predicate((*ASKS_COLOUR.literals, Literal(('about "red"',), negated=True)))
    other = bench.prober.pose_for(narrow, 60, fresh=True)
    both = {p.id for p in other} & {p.id for p in agreed}
    assert both
    rows = [a for a in bench.run.rows("answers") if a["probe_id"] in both and a["wording"] == 0]
    assert len({(a["probe_id"], a["role"], a["model"]) for a in rows}) == len(rows)


def test_what_nobody_answers_so_is_looked_for_within_bounds(bench):
    assert bench.prober.pose_for(NEVER, 30, fresh=True) == []
    posed = len(bench.run.rows("probes"))
    assert posed <= MOST_POSED * 420 + 400
    assert bench.roles.target.asked == 0


def test_another_question_is_posed_on_the_same_picture(bench):
    posed = bench.prober.pose_for(ASKS_COLOUR, 70, fresh=True)
    beside = bench.prober.pose_beside(posed)
    assert len(beside) > 40
    assert {p.picture for p in beside} <= {p.picture for p in posed}
    asked = {(p.picture, p.probe.probe.question) for p in posed}
    assert not {(p.picture, p.probe.probe.question) for p in beside} & asked
    assert all(p.views is not None for p in beside)
    assert bench.prober.pose_beside(posed[:20]) == []  # too few to test a mode with


def test_a_failure_is_asked_again_in_the_second_wording_and_kept(bench):
    posed = [p for p in bench.prober.pose_for(ASKS_COLOUR, 40) if p.views is not None]
    failing = [p for p, failed in zip(posed, bench.prober.ask(posed), strict=True) if failed]
    assert len(failing) > 8
    again = bench.prober.ask(failing, again=True)
    assert set(again) <= {True, False, None}
    assert again.count(True) > len(failing) / 2
    rows = [a for a in bench.run.rows("answers") if a["role"] == "target" and a["wording"] == 1]
    assert {a["probe_id"] for a in rows} == {p.id for p in failing}
    assert {a["text"] for a in rows} - {None}


def test_a_question_goes_where_it_names_as_many_things_as_where_it_was_asked(bench):
    prober = bench.prober
    seen = {}
    for known, question in prober.questions.text.items():
        seen.setdefault(question, set()).add(prober.questions._fit[known])
    reworded = [p for p in prober.pose_for(ASKS_COLOUR, 40) if p.probe.probe.question in seen]
    assert len(reworded) > 10
    for p in reworded:
        [description] = bench.describer.describe([p.picture])
        assert prober.questions.fit(p.probe.probe.question, description) in seen[p.probe.probe.question]


def test_how_a_question_fits_a_picture(bench):
    shown = "small red star row1 col2 and red circle row3 col3 and blue circle row4 col1"
    for question, fits in (
        ("what colour is the star ?", (1, 1)),
        ("what colour is the circle ?", (2, 0)),  # which?
        ("what colour is the red circle ?", (1, 1)),
        ("what colour is the green triangle ?", (0, 0)),
    ):
        assert bench.prober.questions.fit(question, shown) == fits


def test_an_auditor_whose_prompts_take_a_name_is_told_it(folder, tmp_path):
    import shutil

    shutil.copytree(folder, tmp_path / "run")
    config = configured(actions={"question": 1})
    told = configured().model_dump(mode="json")
    with Run.open(tmp_path / "run", told, {}) as run:
        bench = Bench(run, config, PROMPTS | {"question_about": "ask about {name}"})
        bench.prober.pose_for(NEVER, 64)
    assert set(bench.author.asked) == {'ask about answer "mauve"'}


def test_a_picture_is_described_once_and_a_silence_is_remembered(tmp_path, folder):
    import shutil

    shutil.copytree(folder, tmp_path / "run")
    with Run.open(tmp_path / "run", configured().model_dump(mode="json"), {}) as run:
        ids = sorted(run.ids("sources"))[:3]
        mute = Counted(FakeModel({}))
        assert Describer(run, mute, "describe").describe([*ids, ids[0]]) == [None] * 4
        assert Describer(run, mute, "describe").describe(ids) == [None] * 3
        assert mute.asked == 3
        assert describing(FakeModel(lambda _: "a dog"), "describe")([run.picture(ids[0])]) == ["a dog"]


def test_a_model_that_knows_no_length_stays_as_it_is():
    model = FakeModel(lambda _: "two")
    assert at_length(model, 100) is model


@pytest.mark.parametrize("looking", [True, False])
def test_what_the_target_alone_refuses_counts_where_the_references_look_at_the_picture(bench, looking):
    models = bench.examiner._models
    models["target"] = FakeModel(lambda _: "cannot say", name="refusing")
    if not looking:
        for who in ("references[0]", "references[1]"):
            models[who] = FakeModel(lambda _: "red", name=f"dreaming {who}")
    posed = [p for p in bench.prober.pose_for(ASKS_COLOUR, 20) if p.views is not None]
    said = bench.prober.ask(posed)
    assert len(posed) >= 20
    if looking:
        assert said.count(True) >= 0.9 * len(said)
    else:
        assert said == [None] * len(said)
    verdicts = {v["id"]: v["outcome"] for v in bench.run.rows("verdicts")}
    assert {verdicts[p.id] for p in posed} == {"failure"}  # what was said stands; only what it counts for changes
