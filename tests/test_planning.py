import doctest
import json
import re
import struct
import typing
from pathlib import Path
from types import SimpleNamespace

import pytest
from pydantic import BaseModel

from auditdm.config import AuditConfig, load_config, parse_config
from auditdm.errors import ConfigError
from auditdm.runs import costing
from auditdm.runs.costing import ASSUMED, Span
from auditdm.runs.planning import plan
from auditdm.runs.practice import MOST_ASKED
from auditdm.terminal import show_plan

CONFIGS = Path(__file__).parents[1] / "configs"


def configured(**changes):
    return parse_config(
        {
            "images": {"path": "sandbox/5", "limit": 40, "holdout": 0.25},
            "auditor": "sandbox/auditor",
            "target": "sandbox/target-small",
            "references": ["sandbox/reference-1", "hf/google/gemma-3-12b-it"],
            "generator": "sandbox",
            "editor": "sandbox",
            "wordings": ["{question}", "Again: {question}"],
            "actions": {"question": 2, "caption": 1, "edit": 1},
            "compare": ["prompt_only", "paper_reward"],
            "training": {"steps": 10, "batch": 16, "group": 4},
            "discovery": {"probes": 100},
            "rectify": {"rows": 50, "replay": 2, "per_mode": 10},
            "confirmation": {"budget": 0},
            **changes,
        }
    )


def test_every_stage_is_counted():
    found = plan(configured())
    assert (found.pictures, found.held_back) == (40, 10)
    stages = {s.name: s for s in found.stages}
    assert list(stages)[:5] == [
        "training trained", "training paper_reward", "discovery trained", "discovery prompt_only", "discovery paper_reward",
    ]  # fmt: skip
    trained = stages["training trained"]
    assert (trained.steps, trained.replies, trained.pictures) == (10, 160, 80)
    assert trained.answers == 160 * (1 + 2 + 2)  # target, two references, and both again in other words
    assert (stages["discovery trained"].steps, stages["discovery trained"].answers) == (0, 500)
    assert stages["practice, per failure mode"].answers == MOST_ASKED * 10 * 5
    assert stages["practice, the pool's own questions"].answers == 150 * 5  # as many as the training set has rows
    told = found.as_dict()
    assert told["answers"] == sum(s.answers for s in found.stages)
    assert json.loads(json.dumps(told))["roles"]["references[1]"] == "google/gemma-3-12b-it on the hub, or in its cache"


def test_what_a_run_will_not_be_able_to_say_is_said_before_it(capsys):
    assert plan(configured(confirmation={"budget": 200, "pairs": 0})).notes == ()
    one_of_each = {"wordings": ["{question}"], "references": ["sandbox/reference-1"], "confirmation": {"budget": 0}}
    found = plan(configured(**one_of_each))
    assert [note.split(",")[0] for note in found.notes] == [
        "There is one wording", "There is one reference", "confirmation.budget is 0"
    ]  # fmt: skip
    show_plan(found, as_json=False)
    assert capsys.readouterr().out.count("Note: ") == 3


def test_what_is_not_counted_is_said():
    causes, sentences = plan(configured(confirmation={"budget": 200, "proposer": "hf/google/gemma-3-4b-it"})).notes
    assert re.match("Not counted: for each finding, the edits that look for its cause until there are 24 pairs", causes)
    assert sentences.endswith("one reply of confirmation.proposer and at most 240 of the ranker.")
    no_editor = {"editor": None, "actions": {"question": 1, "caption": 1}}
    assert plan(configured(confirmation={"budget": 200}, **no_editor)).notes == ()


def test_a_confirmation_is_counted_and_reckoned():
    config = configured(confirmation={"budget": 200}, compare=[], training={"steps": 0})
    [stage] = [s for s in plan(config).stages if s.name == "confirmation"]
    assert (stage.replies, stage.pictures) == (400, 400)  # at most two replies for a call
    described = 10 + 200 + 2 * 100 + 400  # held back, from training, from two discoveries, drawn
    assert stage.answers == 200 + 4 * 200 * 2 + 200 * 2 + described
    found = {e.role: e for e in plan(config).estimates}
    assert found["auditor"].calls == Span(100 + 0.5 * 200 * 0.2, 100 + 200 * 2)
    assert found["target"].calls == Span(50 + 100, 100 + 200)
    assert found["references[1]"].calls == Span(50 + 100 * 1.5, 2 * 100 + 200 * 4)
    first = found["references[0]"]
    assert first.calls == Span(50 + 150 + 100 * 0.5, 200 + 800 + 200 * 3)
    assert first.tokens_out == Span((50 + 150) * 3 + 50 * 30, 1000 * 32 + 600 * 160)


def test_no_training_is_no_stage_of_it():
    names = [s.name for s in plan(configured(training={"steps": 0}, compare=[])).stages]
    assert names[0] == "discovery trained"
    assert len(names) == 3


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"target": "sandbox/target-smal"}, "Did you mean 'sandbox/target-small'"),
        ({"editor": "diffuser/x"}, "editor 'diffuser/x': no kind and no folder has this name"),
        ({"judge": "no_such_module:Judge"}, "Python finds no module 'no_such_module'"),
        ({"images": "nowhere/at/all"}, "does not exist"),
        ({"training": {"steps": 1, "grpo": {"learning_rat": 1}}}, "training.grpo: TRL refuses it: .*learning_rat"),
    ],
)
def test_what_cannot_be_is_said_before_anything_is_loaded(changes, part):
    with pytest.raises(ConfigError, match=part):
        plan(configured(**changes))


def test_a_plan_loads_no_model_and_writes_nothing(tmp_path, monkeypatch):
    from auditdm.backends import specs

    monkeypatch.setattr(specs, "_call", lambda *_, **__: pytest.fail("something was built"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    from auditdm.backends.fakes import fake_picture

    for n in range(3):
        fake_picture(str(n)).save(tmp_path / "photos" / f"{n}.png")
    before = sorted(tmp_path.rglob("*"))
    assert plan(configured(images="photos")).pictures == 3
    assert sorted(tmp_path.rglob("*")) == before


def test_the_starter_is_a_configuration_that_can_be_planned(tmp_path, monkeypatch):
    from importlib import resources

    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    from auditdm.backends.fakes import fake_picture

    for n in range(4):
        fake_picture(str(n)).save(tmp_path / "photos" / f"{n}.png")
    (tmp_path / "mine.yaml").write_text(resources.files("auditdm").joinpath("starter.yaml").read_text())
    config = load_config("mine.yaml")
    assert plan(config).roles["auditor"].startswith("google/gemma-3-4b-it")
    assert len(config.references) == 3


def test_the_starter_says_every_key_that_there_is():
    from importlib import resources

    words = set(re.findall(r"[a-z_]+", resources.files("auditdm").joinpath("starter.yaml").read_text()))
    unsaid = {key for section in _sections(AuditConfig) for key in section.model_fields} - words
    assert not unsaid - {"name", "input", "output"}, "of judge, generator, editor and price: docs/real-models.md"


def _sections(section):
    """A section of the configuration and those inside it."""
    yield section
    for field in section.model_fields.values():
        for kind in (field.annotation, *typing.get_args(field.annotation)):
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                yield from _sections(kind)


def test_an_auditor_may_write_as_long_a_reply_as_its_spec_allows_and_96_tokens_at_least(monkeypatch):
    from auditdm.runs import discovery
    from auditdm.runs.trainer_options import grpo_options

    monkeypatch.setattr(discovery, "model_from", lambda _spec, **options: options)

    for said, longest in (({}, 96), ({"max_new_tokens": 8}, 96), ({"max_new_tokens": 200}, 200)):
        config = configured(auditor={"model": "sandbox/auditor", **said})
        assert grpo_options(config, Path("unused"), "gated").max_completion_length == longest
        asked = discovery.auditor_of(SimpleNamespace(path=Path("unused")), config, "prompt_only")
        assert (asked["max_new_tokens"], asked["temperature"]) == (longest, 1.0)


# What it costs. The numbers are worked out by hand from the table.


def estimated(**changes):
    return {e.role: e for e in plan(configured(**changes)).estimates}


def test_every_role_with_a_model_is_reckoned_and_a_rule_is_not():
    found = estimated()
    assert list(found) == ["auditor", "target", "references[0]", "references[1]"]
    replies = 2 * 160 + 3 * 100  # two trained arms, three discoveries
    auditor, target, other = (found[role] for role in ("auditor", "target", "references[1]"))
    assert auditor.calls == Span(replies, replies)
    assert target.calls == Span(replies / 2, replies)
    assert other.calls == Span(replies / 2, 2 * replies)  # at most in both wordings
    assert other.tokens_in == Span(replies / 2 * (256 + 20), 2 * replies * (1280 + 60))
    assert other.tokens_out == Span(replies / 2 * 3, 2 * replies * 32)
    assert (other.on, other.billions, other.revision) == ("GPU", 12.0, None)
    least = (other.tokens_in.least / 150_000 + other.tokens_out.least / 8_000) * 12 / 3600
    most = (other.tokens_in.most / 20_000 + other.tokens_out.most / 1_000) * 12 / 3600
    assert other.gpu_hours == pytest.approx((least, most))
    assert other.usd is None


def test_learning_costs_hours_and_a_prompted_auditor_learns_nothing():
    learns, asks = estimated()["auditor"], estimated(training={"steps": 0})["auditor"]
    assert asks.calls == Span(300, 300)
    tokens = 320 * (256 + 150 + 40), 320 * (1280 + 400 + 96)
    hours = Span(tokens[0] / 35_000, tokens[1] / 4_000) * (0.5 / 3600)  # a tiny model counts as half a billion
    asked = asks.gpu_hours * (620 / 300)
    assert learns.gpu_hours == pytest.approx((asked.least + hours.least, asked.most + hours.most))


def test_a_size_comes_from_the_files_then_from_the_name_and_is_else_unknown(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "my-70b"  # the name exaggerates
    folder.mkdir()
    header = {"__metadata__": {}, "w": {"dtype": "BF16", "shape": [3_000_000, 1000], "data_offsets": [0, 0]}}
    header["b"] = {"dtype": "F32", "shape": [], "data_offsets": [0, 0]}
    raw = json.dumps(header).encode()
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(raw)) + raw)
    assert estimated(target="my-70b")["target"].billions == pytest.approx(3.0)
    (folder / "model.safetensors").write_bytes(b"x")
    assert estimated(target="my-70b")["target"].billions == 70.0
    unknown = estimated(target="hf/lab/marvel")["target"]
    assert (unknown.billions, unknown.gpu_hours) == (None, None)
    assert estimated(target={"model": "hf/lab/marvel", "throughput": 10})["target"].gpu_hours == pytest.approx(
        (310 / 36_000, 620 / 36_000)
    )
    own = estimated(target="acting_models:target")["target"]
    assert (own.on, own.place, own.gpu_hours) == ("yours", None, None)


def test_a_part_of_the_files_tells_no_size(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "half").mkdir()
    raw = json.dumps({"w": {"dtype": "BF16", "shape": [10], "data_offsets": [0, 0]}}).encode()
    (tmp_path / "half" / "model-1.safetensors").write_bytes(struct.pack("<Q", len(raw)) + raw)
    index = {"weight_map": {"w": "model-1.safetensors", "v": "model-2.safetensors"}}
    (tmp_path / "half" / "model.safetensors.index.json").write_text(json.dumps(index))
    assert estimated(target="half")["target"].billions is None


def test_a_revision_in_the_cache_of_the_hub_is_told(tmp_path):
    commit = "0123456789abcdef0123456789abcdef01234567"
    repo = tmp_path / "models--lab--marvel"
    (repo / "snapshots" / commit).mkdir(parents=True)
    (repo / "refs").mkdir()
    (repo / "refs" / "main").write_text(commit)
    (repo / "snapshots" / commit / "config.json").write_text("{}")
    here = estimated(target={"model": "hf/lab/marvel", "options": {"cache_dir": str(tmp_path)}})["target"]
    assert (here.revision, here.place) == (commit, str(repo / "snapshots" / commit))
    asked = estimated(target={"model": "hf/lab/marvel", "options": {"revision": "v2"}})["target"]
    assert (asked.revision, asked.place) == ("v2", "lab/marvel")


def test_an_endpoint_costs_money_where_prices_are_given(capsys):
    priced = {"model": "openai/x", "price": {"input": 2, "output": 10}, "max_new_tokens": 8}
    found = estimated(target=priced, references=["openai/y", "sandbox/reference-1"], wordings=["{question}"])
    target, unpriced = found["target"], found["references[0]"]
    assert (target.on, target.gpu_hours) == ("endpoint", None)
    assert target.usd == pytest.approx((310 * (276 * 2 + 3 * 10) / 1e6, 620 * (1340 * 2 + 8 * 10) / 1e6))
    assert (unpriced.usd, unpriced.gpu_hours) == (None, None)
    made = plan(configured(target=priced, references=["openai/y", "hf/lab/marvel"]))
    show_plan(made, as_json=False)
    said = capsys.readouterr().out
    assert re.search(r"^target +310 to 620 calls, .* US dollars$", said, re.M)
    assert re.search(r"^references\[0\] .*, price not given$", said, re.M)
    assert re.search(r"^references\[1\] .*, size unknown, GPU-hours unknown$", said, re.M)
    assert re.search(r"^US dollars, estimated, without the repair: .*; not counted: references\[0\]$", said, re.M)
    assert re.search(r"^GPU-hours, estimated, .*; not counted: references\[1\]$", said, re.M)


def test_prices_among_the_options_count_too():
    options = {"usd_per_million_in": 1, "usd_per_million_out": 1}
    assert estimated(target={"model": "vllm/x", "options": options})["target"].usd.least > 0


def test_pictures_take_hours_by_size_steps_and_side():
    name = "diffusers/lab/painter-12b"
    small = {"name": name, "options": {"steps": 10, "side_px": 512}}
    drawn = estimated(generator=small)["generator"]
    assert drawn.calls == Span(620 / 4 / 2, 620 / 4)  # a quarter of the replies are captions
    assert drawn.gpu_hours == pytest.approx((77.5 * 10 * 0.02 * 12 / 4 / 3600, 155 * 10 * 0.08 * 12 / 4 / 3600))
    assert estimated(editor=small)["editor"].gpu_hours == pytest.approx(drawn.gpu_hours * 2)
    measured = estimated(generator={"name": "diffusers/lab/painter", "throughput": 2})["generator"]
    assert measured.gpu_hours == pytest.approx((77.5 / 7200, 155 / 7200))
    assert estimated(generator="diffusers/lab/painter")["generator"].gpu_hours is None


def test_the_models_of_a_judge_are_reckoned():
    judge = {
        "name": "cascade",
        "options": {"entailment": "hf/lab/nli", "model": {"model": "openai/x", "price": {"input": 1, "output": 1}}},
    }
    found = estimated(judge=judge)
    assert found["judge.entailment"].gpu_hours is None
    assert found["judge.model"].calls == pytest.approx((310 * 6 * 0.05, 620 * 6 * 0.5))  # three pairs, both orders
    assert found["judge.model"].usd.least > 0


def test_the_json_form_holds_the_estimates_their_sum_and_what_was_assumed():
    told = json.loads(json.dumps(plan(configured(target="hf/lab/marvel")).as_dict()))
    known = [e["gpu_hours"] for e in told["estimates"] if e["gpu_hours"]]
    assert told["total"]["gpu_hours"] == pytest.approx([sum(least for least, _ in known), sum(m for _, m in known)])
    assert told["total"]["gpu_hours_unknown"] == ["target"]
    assert (told["total"]["usd"], told["total"]["usd_unknown"]) == (None, [])
    assert told["assumed"]["tokens of a picture"] == list(ASSUMED["tokens of a picture"])


def test_the_examples_are_true():
    from auditdm.backends import weights

    assert doctest.testmod(costing).failed == 0
    assert doctest.testmod(weights).attempted > 0
    assert doctest.testmod(weights).failed == 0


# The files that are shipped.


@pytest.fixture
def pools(tmp_path, monkeypatch):
    """The pools that the shipped files name, tiny."""
    from auditdm.backends.fakes import fake_picture

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "photos").mkdir()
    pictures = tmp_path / "data" / "vqav2" / "train2014"
    pictures.mkdir(parents=True)
    for n in range(4):
        fake_picture(str(n)).save(tmp_path / "photos" / f"{n}.png")
        fake_picture(str(n)).save(pictures / f"COCO_train2014_{n + 1:012d}.jpg", quality=100, subsampling=0)
    asked = [{"image_id": n + 1, "question_id": n, "question": f"How many {n}?"} for n in range(4)]
    name = "v2_OpenEnded_mscoco_train2014_questions.json"
    (tmp_path / "data" / "vqav2" / name).write_text(json.dumps({"questions": asked}))


def test_these_files_are_shipped():
    names = {"endpoints-only", "one-gpu-24gb", "paper-gemma3", "paper-paligemma2", "sandbox"}
    assert {file.stem for file in CONFIGS.glob("*.yaml")} == names


@pytest.mark.parametrize("file", sorted(CONFIGS.glob("*.yaml")), ids=lambda file: file.stem)
def test_a_shipped_file_can_be_planned_without_network_or_weights(file, pools, monkeypatch):
    import socket

    monkeypatch.setattr(socket.socket, "connect", lambda *_: pytest.fail("the network was asked"))
    config = load_config(file)
    made = plan(config)
    assert {e.role for e in made.estimates} >= {"auditor", "target", "references[0]", "references[1]"}
    assert not any(e.gpu_hours is None for e in made.estimates if e.on == "GPU" and e.role != "judge.entailment")
    assert not any(e.usd is None for e in made.estimates if e.on == "endpoint")
    comment = "".join(line for line in file.read_text().splitlines(keepends=True) if line.startswith("#"))
    assert f"auditdm audit configs/{file.name}" in comment
    assert "Hardware:" in comment
    if file.stem != "sandbox":
        assert "estimate of --dry-run and not a measurement" in comment
        assert "Run so far:" in comment


@pytest.mark.parametrize("name", ["paper-paligemma2", "paper-gemma3"])
def test_the_paper_files_have_the_papers_settings(name):
    from auditdm.runs.trainer_options import grpo_options

    config = load_config(CONFIGS / f"{name}.yaml")
    trained = grpo_options(config, Path("unused"), config.reward)
    batch = trained.per_device_train_batch_size * trained.gradient_accumulation_steps
    assert (trained.max_steps, batch, trained.learning_rate, trained.optim) == (1000, 256, 3e-6, "adamw_torch")
    assert (trained.warmup_steps, trained.lr_scheduler_kwargs) == (0.1, {"min_lr": 1e-6})
    assert trained.lr_scheduler_type == "cosine_with_min_lr"
    assert (config.generator.name, config.editor.name) == (
        "diffusers/black-forest-labs/FLUX.1-dev",
        "diffusers/black-forest-labs/FLUX.1-Kontext-dev",
    )
    assert (config.auditor.model, config.reward) == ("hf/google/gemma-3-4b-it", "paper")


def test_a_quorum_that_is_to_be_chosen_has_a_stage_of_its_own():
    [stage] = [s for s in plan(configured(quorum="auto")).stages if s.name == "quorum"]
    assert stage.answers == 400 * len(configured().references)
    assert "quorum" not in [s.name for s in plan(configured()).stages]
