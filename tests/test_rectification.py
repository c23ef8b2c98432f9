import re
import shutil
from pathlib import Path

import pytest
import yaml

from auditdm.backends.fakes import fake_picture
from auditdm.config import parse_config
from auditdm.errors import AuditError, ConfigError, StoreError
from auditdm.runs.auditing import audit
from auditdm.runs.rectification import rectify
from auditdm.store import Run
from auditdm.types import picture_id

pytestmark = pytest.mark.tiny

ROWS = 12
AGREED = 2  # agreements that this target and this reference reach, with the weights that are shipped
LESSONS = ROWS // 2 + AGREED  # and the failures wanted
LORA = {"r": 4, "lora_alpha": 8}
OPTIONS = {"learning_rate": 1e-3, "per_device_train_batch_size": 4, "max_steps": 2, "save_steps": 1}
QUESTIONS = ["how many shapes are there ?", "what colour is the star ?", "is the red circle large ?"]


def configured(target="sandbox/target-small", lora=None, **options):
    return {
        "seed": 1,
        "images": {"path": "sandbox/5", "limit": 40},
        "auditor": "acting_models:auditor",
        "target": target,
        "references": ["acting_models:reference"],
        "compare": [],
        "training": {"steps": 0},
        "discovery": {"probes": 30},
        "confirmation": {"budget": 0},
        "rectify": {"rows": ROWS // 2, "replay": 1, "per_mode": 4, "lora": lora, "options": OPTIONS | options},
    }


@pytest.fixture(scope="module")
def audited(tmp_path_factory):
    """Makes folders of an audit that is done, each with its own way of repair."""
    first = tmp_path_factory.mktemp("audited") / "run"
    audit(parse_config(configured()), first)

    def copied(path, changed):
        shutil.copytree(first, path, dirs_exist_ok=True)
        config = parse_config(changed).model_dump(mode="json")
        (path / "config.yaml").write_text(yaml.safe_dump(config))
        return path

    return copied


def weights(folder):
    from auditdm.backends.local import load_vlm

    return load_vlm(folder, "float32")[0].state_dict()


def zoo(name):
    from auditdm.sandbox.zoo import model_folder

    return model_folder(name)


@pytest.mark.parametrize("lora", [None, LORA])
def test_a_fine_tune_moves_the_words_and_not_the_eyes(audited, tmp_path, lora):
    from auditdm.backends.local import TransformersModel

    told = []
    path = audited(tmp_path, configured(lora=lora))
    folders = rectify(path, control=False, tell=lambda event, values: told.append((event, dict(values))))
    assert folders == {"audited": path / "models" / "target-audited"}
    assert [values for event, values in told if event == "lesson"] == [
        {"set": "audited", "step": 1, "of": 2},
        {"set": "audited", "step": 2, "of": 2},
    ]
    before, after = weights(zoo("target-small")), weights(folders["audited"])
    assert before.keys() == after.keys()
    changed = {key for key in before if not (before[key] == after[key]).all()}
    assert changed
    assert not any("vision" in key for key in changed)
    if lora:
        assert all("language_model" in key and "_proj" in key for key in changed)
    model = TransformersModel(folders["audited"], max_new_tokens=4)
    assert all(answer.text is not None for answer in model.generate([(fake_picture(), q) for q in QUESTIONS]))

    rows = Run.read(path).rows("trainset")
    assert [row["origin"] for row in rows] == ["failure"] * (ROWS // 2) + ["replay"] * AGREED
    assert {row["answer"] for row in rows} == {"two"}
    assert {row["label_from"] for row in rows} == {"consensus of the references"}
    assert Run.read(path).finished
    assert rectify(path, control=False) == folders  # nothing is trained again


class Stopped(Exception):
    pass


@pytest.mark.parametrize("lora", [None, LORA])
def test_a_fine_tune_that_was_stopped_ends_with_the_same_weights(audited, tmp_path, lora):
    def stopping(event, values):
        if event == "lesson" and values["step"] == 2:
            raise Stopped

    paths = [audited(tmp_path / name, configured(lora=lora)) for name in ("cut", "whole")]
    with pytest.raises(Stopped):
        rectify(paths[0], control=False, tell=stopping)
    assert (paths[0] / "trainer/target-audited/checkpoint-1/trainer_state.json").exists()
    steps = []
    folders = [
        rectify(path, control=False, tell=lambda event, v: steps.append(v["step"]) if event == "lesson" else None)
        for path in paths
    ]
    assert steps == [2, 1, 2]
    cut, whole = (weights(folder["audited"]) for folder in folders)
    assert all((cut[key] == whole[key]).all() for key in whole)


def test_the_control_has_as_many_rows_from_what_nobody_audited(audited, tmp_path):
    told = configured()
    told["rectify"]["images"] = {"path": "sandbox/6", "limit": 4}  # few, so that the control needs more
    path = audited(tmp_path, told)
    folders = rectify(path)
    assert [folder.name for folder in folders.values()] == ["target-audited", "target-control"]
    run = Run.read(path)
    rows = run.rows("trainset")
    sets = {name: [row for row in rows if row["set"] == name] for name in ("audited", "control")}
    assert len(sets["audited"]) == len(sets["control"]) == ROWS // 2 + 1  # on these pictures one thing is agreed on
    assert {row["origin"] for row in sets["control"]} == {"random"}
    arms = {p["probe_id"]: p["arm"] for p in run.rows("proposals") if p["phase"] in ("control", "practice")}
    assert {arms[row["probe_id"]] for row in sets["control"]} <= {"pool", "prompt_only"}
    assert "prompt_only" in {arms[row["probe_id"]] for row in sets["control"]}  # the pool's own did not suffice
    assert {row["probe_id"] for row in sets["audited"]} != {row["probe_id"] for row in sets["control"]}
    assert picture_id(run.picture(sets["control"][0]["picture_id"])) == sets["control"][0]["picture_id"]


# --- what cannot be


def test_a_run_of_an_older_version_is_repaired(audited, tmp_path):
    path = audited(tmp_path / "run", configured())
    config = yaml.safe_load((path / "config.yaml").read_text())
    del config["training"]["fair"]  # as if the key had come later
    (path / "config.yaml").write_text(yaml.safe_dump(config))
    assert rectify(path, control=False)["audited"].is_dir()


def test_a_run_without_failures_is_said_in_words(tmp_path):
    config = parse_config(configured("acting_models:other"))  # says what the reference says
    audit(config, tmp_path)
    said = f"{tmp_path}: the audit found no failure, so there is nothing to repair"
    with pytest.raises(AuditError, match=re.escape(said)):
        rectify(tmp_path)
    assert not (tmp_path / "models").exists()


def test_a_target_that_has_no_weights_here_is_said_in_words(tmp_path):
    audit(parse_config(configured("acting_models:target")), tmp_path)
    with pytest.raises(ConfigError, match="a class of your own cannot be trained"):
        rectify(tmp_path, control=False)


def test_no_run_is_said_in_words(tmp_path):
    with pytest.raises(StoreError, match="no such folder, so not a run"):
        rectify(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("options", "part"),
    [
        ({"seed": 1}, "rectify.options.seed is set by the run itself; remove it from the YAML"),
        ({"max_length": 9}, "rectify.options.max_length is set by the run itself"),
        ({"learning_rat": 1}, "rectify.options: TRL refuses it: .*learning_rat"),
    ],
)
def test_options_that_clash_are_said_in_words(audited, tmp_path, options, part):
    path = audited(tmp_path, configured(**options))
    with pytest.raises(ConfigError, match=part):
        rectify(path, control=False)


def test_a_target_that_cannot_be_an_auditor_is_repaired(audited, tmp_path):
    """PaliGemma has no chat template, and TRL's own collator cannot read it."""
    from tiny_models import write_tiny_model

    folder = write_tiny_model("paligemma", tmp_path / "model")
    path = audited(tmp_path / "run", configured(str(folder)))
    repaired = rectify(path, control=False)["audited"]
    before, after = weights(folder), weights(repaired)
    changed = {key for key in before if not (before[key] == after[key]).all()}
    assert any("language_model" in key for key in changed)
    assert not any("vision" in key for key in changed)


def test_a_full_disk_keeps_the_tables_and_the_same_command_goes_on(audited, tmp_path):
    import resource

    path = audited(tmp_path, configured())
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, hard))
    try:
        with pytest.raises(StoreError, match="the disk is full while writing weights or a checkpoint"):
            rectify(path, control=False)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert len(Run.read(path).rows("trainset")) == LESSONS
    assert Path(rectify(path, control=False)["audited"]).is_dir()
