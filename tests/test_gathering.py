import json
from collections import Counter

import pytest

from auditdm.backends.fakes import FakeModel, fake_picture
from auditdm.config import parse_config
from auditdm.errors import AuditError, ConfigError
from auditdm.runs.auditing import audit
from auditdm.runs.examining import Examiner
from auditdm.runs.gathering import GATHERED, SAMPLED, gather
from auditdm.runs.rectification import rectify
from auditdm.runs.roles import fill_roles
from auditdm.store import TABLES, Run
from auditdm.types import Answer, content_id, picture_id

pytestmark = pytest.mark.tiny

ROWS, PROBES = 10, 24
PACKAGE = "auditdm.sandbox:prompts.yaml"


def configured(auditor="acting_models:auditor", target="acting_models:target", rectify=None, **other):
    return {
        "seed": 1,
        "images": {"path": "sandbox/5", "limit": 40},
        "auditor": auditor,
        "target": target,
        "references": ["acting_models:reference"],
        "compare": [],
        "training": {"steps": 0},
        "discovery": {"probes": 8, "batch": 8},
        "confirmation": {"budget": 0},
        "rectify": {
            "options": {"learning_rate": 1e-3, "per_device_train_batch_size": 4, "max_steps": 2, "save_steps": 1},
            **(rectify or {}),
        },
        **other,
    }


@pytest.fixture(scope="module")
def labelled(tmp_path_factory):
    """A training set of the user: five pictures, two questions on each."""
    folder, lines = tmp_path_factory.mktemp("labelled"), []
    for n in range(ROWS):
        fake_picture(f"{n // 2}").save(folder / f"{n // 2}.png")
        lines.append(json.dumps({"image": f"{n // 2}.png", "question": f"what is number {n} ?", "answer": f"a{n}"}))
    (folder / "questions.jsonl").write_text("\n".join(lines))
    return folder


def gathered(path, config, tell=lambda *_: None, roles=None):
    """What a finished audit gathers, and the rows that were asked for it."""
    audit(config, path)
    with Run.open(path, config.model_dump(mode="json"), {}) as run:
        examiner = Examiner(roles or fill_roles(config))
        examiner.recall(run.rows("answers"))
        lessons = gather(run, config, examiner, tell)
        return lessons, [p for p in run.rows("proposals") if p["phase"] in (SAMPLED, GATHERED)], examiner.calls


def test_for_each_labelled_row_there_is_one_new_probe_and_both_are_taught(tmp_path, labelled):
    config = parse_config(configured(rectify={"labelled": str(labelled)}))
    lessons, asked, _ = gathered(tmp_path, config)
    own = [x for x in lessons if x.origin == "labelled"]
    assert [(x.question, x.answer) for x in own] == [(f"what is number {n} ?", f"a{n}") for n in range(ROWS)]
    assert [(p["arm"], p["phase"]) for p in asked] == [("trained", SAMPLED)] * ROWS
    shown = Counter(p["source_id"] for p in asked)
    assert shown == Counter(x.picture_id for x in own), "one for each row, two for a picture with two rows"
    new = [x for x in lessons if x.origin != "labelled"]
    assert new
    assert {x.answer for x in new} == {"two"}, "the references' consensus, never the set's own label"
    run = Run.read(tmp_path)
    counts = json.loads((tmp_path / "gathering.json").read_text())
    assert counts["labelled"] == counts["asked"] == ROWS
    assert counts["taught"] == len(lessons) == ROWS + counts["agreed"] - counts["duplicates"]
    assert {x.picture_id for x in own} <= run.ids("sources")
    assert all(picture_id(run.picture(x.picture_id)) == x.picture_id for x in lessons)


def test_a_picture_is_changed_for_the_rows_own_question(tmp_path, labelled):
    changes = {"actions": {"question": 1, "edit": 1}, "editor": "sandbox", "prompts": PACKAGE}
    config = parse_config(configured(rectify={"labelled": str(labelled)}, **changes))
    _, asked, _ = gathered(tmp_path, config)
    given = {n: p for n, p in enumerate(asked) if p["given_question"]}
    assert given
    assert all(p["action"] == "edit" for p in given.values())
    assert all(p["prompt_question"] == f"what is number {n} ?" for n, p in given.items())
    assert {p["action"] for p in asked} == {"question", "edit"}


def test_of_two_samples_that_ask_the_same_one_is_taught(tmp_path, labelled):
    """The acting auditor asks one thing of a picture, so of the two samples for a picture the second repeats the first."""
    config = parse_config(configured(rectify={"labelled": str(labelled)}))
    lessons, asked, _ = gathered(tmp_path, config)
    new = [(x.picture_id, x.question) for x in lessons if x.origin != "labelled"]
    assert len(new) == len(set(new))
    assert len({p["probe_id"] for p in asked if p["probe_id"]}) < sum(p["probe_id"] is not None for p in asked)


def test_a_question_that_the_labelled_set_has_already_is_left_out(tmp_path):
    lines = []
    for name, question in (("0", "How many are {n}?"), ("2", "what is this ?")):
        fake_picture(name).save(tmp_path / f"{name}.png")
        number = int(picture_id(fake_picture(name)), 16) % 30
        assert number % 10, "the acting auditor has a question for this picture"
        lines.append(json.dumps({"image": f"{name}.png", "question": question.format(n=number), "answer": "mine"}))
    (tmp_path / "questions.jsonl").write_text("\n".join(lines))
    config = parse_config(configured(rectify={"labelled": str(tmp_path)}))
    lessons, _, _ = gathered(tmp_path / "run", config)
    told = [(x.picture_id, x.answer) for x in lessons]
    first, second = (picture_id(fake_picture(name)) for name in "02")
    assert told == [(first, "mine"), (second, "mine"), (second, "two")]
    assert json.loads((tmp_path / "run" / "gathering.json").read_text())["duplicates"] == 1


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Two ages of an auditor and the untrained one, over a pool of their own."""
    path = tmp_path_factory.mktemp("trained") / "run"
    config = parse_config(
        configured(
            auditor="sandbox/auditor",
            target="sandbox/target-small",
            prompts=PACKAGE,
            training={"steps": 4, "batch": 8, "group": 4, "checkpoint_every": 1, "grpo": {"learning_rate": 1e-2}},
            rectify={"images": {"path": "sandbox/7", "limit": 6}, "probes": PROBES, "checkpoints": 2},
        )
    )
    told = []
    lessons, asked, calls = gathered(path, config, tell=lambda event, values: told.append((event, dict(values))))
    return path, config, lessons, asked, calls, told


def weights(folder):
    from safetensors.torch import load_file

    return load_file(folder / "model.safetensors")


def test_untrained_and_several_ages_of_the_trained_auditor_write_probes_over_the_pool(trained):
    path, _, _, asked, _, told = trained
    assert Counter(p["arm"] for p in asked) == dict.fromkeys(("prompt_only", "trained-step-2", "trained"), PROBES)
    assert {p["phase"] for p in asked} == {GATHERED}
    pool = {s["id"] for s in Run.read(path).rows("sources")}
    assert {p["source_id"] for p in asked} <= pool
    assert len({p["source_id"] for p in asked}) == 6
    replies = {
        arm: [p["reply"] for p in asked if p["arm"] == arm] for arm in ("prompt_only", "trained-step-2", "trained")
    }
    assert len({tuple(r) for r in replies.values()}) == 3, "three auditors, not one under three names"
    assert [event for event, _ in told].count("gathered") == 1


def test_the_ages_are_those_of_the_training(trained):
    """transformers 5.23 removes old checkpoints by `save_total_limit`, and writes the optimiser beside the weights."""
    path = trained[0]
    middle, last = (weights(path / "models" / f"auditor-trained{age}") for age in ("-step-2", ""))
    assert middle.keys() == last.keys()
    assert any((middle[key] != last[key]).any() for key in middle)
    left = {p.name: {f.name for f in p.iterdir()} for p in (path / "trainer" / "auditor-trained").glob("checkpoint-*")}
    assert left.keys() == {"checkpoint-1", "checkpoint-3", "checkpoint-4"}
    assert "optimizer.pt" not in left["checkpoint-1"]
    assert "optimizer.pt" in left["checkpoint-4"]


def test_ages_of_an_adapter_write_probes_too(tmp_path):
    config = parse_config(
        configured(
            auditor="sandbox/auditor",
            target="sandbox/target-small",
            prompts=PACKAGE,
            training={
                "steps": 2, "batch": 4, "group": 2, "checkpoint_every": 1, "lora": {"r": 4},
                "grpo": {"learning_rate": 1e-1},
            },
            rectify={"probes": 8, "checkpoints": 2},
        )
    )  # fmt: skip
    _, asked, _ = gathered(tmp_path, config)
    assert Counter(p["arm"] for p in asked) == dict.fromkeys(("prompt_only", "trained-step-1", "trained"), 8)
    folder = tmp_path / "models" / "auditor-trained-step-1"
    assert {"adapter_config.json", "adapter_model.safetensors"} <= {f.name for f in folder.iterdir()}


def test_what_is_gathered_has_a_consensus_and_is_there_once(trained):
    path, _, lessons, asked, _, _ = trained
    run = Run.read(path)
    verdicts = {v["id"]: v for v in run.rows("verdicts")}
    assert lessons
    assert len({x.probe_id for x in lessons}) == len(lessons)
    assert {x.probe_id for x in lessons} <= {p["probe_id"] for p in asked}
    assert all(x.answer == verdicts[x.probe_id]["consensus"] for x in lessons)
    counts = json.loads((path / "gathering.json").read_text())
    assert counts["asked"] == 3 * PROBES
    assert counts["labelled"] == 0
    assert counts["taught"] == len(lessons) == counts["agreed"] - counts["duplicates"]


def test_the_same_command_gathers_the_same_and_asks_nothing(trained):
    path, config, lessons, _, calls, _ = trained
    before = {table: len(Run.read(path).rows(table)) for table in TABLES}
    weighing = path / "models" / "auditor-trained-step-2" / "model.safetensors"
    weighing.rename(path / "elsewhere")  # nothing is to be said, so nobody is to be loaded
    again, _, more = gathered(path, config)
    (path / "elsewhere").rename(weighing)
    assert calls > 0
    assert more == 0
    assert again == lessons
    assert {table: len(Run.read(path).rows(table)) for table in TABLES} == before


class Stopped(Exception):
    pass


@pytest.mark.parametrize("phase", [SAMPLED, GATHERED])
def test_a_gathering_that_was_stopped_ends_with_the_same_rows(tmp_path, labelled, phase):
    wanted = {"labelled": str(labelled), "probes": PROBES, "images": {"path": "sandbox/7", "limit": 6}}
    config = parse_config(configured(rectify=wanted))

    def stopping(event, values):
        if event == "discovered" and values["phase"] == phase and values["done"] >= 8:
            raise Stopped

    with pytest.raises(Stopped):
        gathered(tmp_path / "cut", config, stopping)
    cut, _, _ = gathered(tmp_path / "cut", config)
    whole, _, _ = gathered(tmp_path / "whole", config)
    assert cut == whole
    assert [p["phase"] for p in Run.read(tmp_path / "cut").rows("proposals")].count(phase) in (ROWS, PROBES)
    for table in ("proposals", "probes", "answers", "verdicts", "sources"):
        rows = [sorted(Run.read(tmp_path / name).rows(table), key=lambda r: r["id"]) for name in ("cut", "whole")]
        assert rows[0] == rows[1], table


def test_a_repair_from_labelled_rows_names_who_labelled_what_and_its_control_has_them_too(tmp_path, labelled):
    config = parse_config(configured(target="sandbox/target-small", rectify={"labelled": str(labelled)}))
    audit(config, tmp_path)
    folders = rectify(tmp_path)
    assert [folder.name for folder in folders.values()] == ["target-audited", "target-control"]
    rows = Run.read(tmp_path).rows("trainset")
    sets = {name: [r for r in rows if r["set"] == name] for name in ("audited", "control")}
    assert len(sets["audited"]) == len(sets["control"]) > ROWS
    for name, other in (("audited", "gathered"), ("control", "random")):
        assert Counter(r["origin"] for r in sets[name]) == {"labelled": ROWS, other: len(sets[name]) - ROWS}
        assert {(r["origin"] == "labelled", r["label_from"]) for r in sets[name]} == {
            (True, "the labelled set"), (False, "consensus of the references"),
        }  # fmt: skip
    probes = Run.read(tmp_path).ids("probes")
    assert {r["probe_id"] in probes for r in rows if r["origin"] != "labelled"} == {True}
    assert not [p for p in Run.read(tmp_path).rows("proposals") if p["phase"] == "practice"]


# --- silence


class MuteOnEvenCalls:
    """An auditor's stand-in that says nothing to every second picture."""

    name, revision = "auditor", "acting"

    def generate(self, batch):
        said = "<question> how many ? </question>"
        return [
            Answer(model="auditor", text=said) if int(picture_id(p), 16) % 2 else Answer(model="auditor", text=None, problem="cut")
            for p, _ in batch
        ]  # fmt: skip


mute_at_times = MuteOnEvenCalls()


def test_an_auditor_that_is_silent_leaves_a_void_proposal_and_the_row_stays(tmp_path, labelled):
    config = parse_config(configured(auditor="test_gathering:mute_at_times", rectify={"labelled": str(labelled)}))
    lessons, asked, _ = gathered(tmp_path, config)
    void = [p for p in asked if p["void"]]
    assert len(asked) == ROWS
    assert 0 < len(void) < ROWS
    assert {p["void"] for p in void} == {"the auditor gave no reply: cut"}
    assert sum(x.origin == "labelled" for x in lessons) == ROWS


disagreeing = FakeModel(lambda question: content_id(question)[:4], name="disagreeing")


def test_without_a_consensus_there_is_nothing_to_teach(tmp_path, labelled):
    config = parse_config(
        configured(rectify={"labelled": str(labelled)}) | {"references": ["acting_models:reference", "test_gathering:disagreeing"]}
    )  # fmt: skip
    with pytest.raises(AuditError, match=f"of {ROWS} probes that the auditors wrote the references agree on none"):
        gathered(tmp_path, config)
    assert json.loads((tmp_path / "gathering.json").read_text())["agreed"] == 0


def test_a_labelled_set_that_is_not_there_is_said_in_words(tmp_path):
    config = parse_config(configured(rectify={"labelled": str(tmp_path / "nowhere")}))
    with pytest.raises(ConfigError, match=r"rectify.labelled: .*nowhere is no labelled set"):
        gathered(tmp_path / "run", config)
