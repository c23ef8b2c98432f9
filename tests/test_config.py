import pytest
from pydantic import ValidationError

from auditdm.config import load_config, parse_config
from auditdm.errors import ConfigError

LEAST = {"images": "photos", "auditor": "hf/a", "target": "hf/t", "references": ["hf/r"]}


def written(tmp_path, text):
    path = tmp_path / "audit.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def message(**changes):
    with pytest.raises(ConfigError) as caught:
        parse_config(LEAST | changes, "audit.yaml")
    return str(caught.value)


def test_defaults_are_those_of_the_page():
    config = parse_config(LEAST)
    assert (config.seed, config.run, config.judge.name, config.quorum, config.reward) == (
        0,
        None,
        "exact",
        1.0,
        "gated",
    )
    assert config.wordings == ("{question}",)
    assert config.actions == {"question": 1.0}
    assert config.images.holdout == 0.5
    assert (config.target.model, config.target.batch, config.target.temperature) == ("hf/t", 64, 0.0)


def test_a_model_is_a_string_or_a_mapping():
    written_out = {"model": "hf/t", "batch": 8, "options": {"revision": "abc"}}
    assert parse_config(LEAST | {"target": written_out}).target.options == {"revision": "abc"}
    assert parse_config(LEAST | {"target": {"model": "hf/t"}}) == parse_config(LEAST)


def test_makers_switch_their_actions_on():
    made = parse_config(LEAST | {"generator": "sandbox/renderer", "editor": "sandbox/editor"})
    assert made.actions == {"question": 1.0, "caption": 1.0, "edit": 1.0}


def test_the_keys_of_a_repair_and_of_a_server_are_kept():
    told = {
        "rectify": {"labelled": "coco/train.json", "checkpoints": 5, "probes": 1000},
        "training": {"vllm_server": "http://localhost:8000"},
        "target": {"model": "hf/t", "price": {"input": 0.4, "output": 1.6}, "throughput": 12},
        "editor": {"name": "diffusers/x/y", "throughput": 0.5},
    }
    config = parse_config(LEAST | told)
    assert config.rectify.labelled.path == "coco/train.json"
    assert (config.rectify.checkpoints, config.rectify.probes) == (5, 1000)
    assert config.training.vllm_server == "http://localhost:8000"
    assert (config.target.price.input, config.target.price.output, config.editor.throughput) == (0.4, 1.6, 0.5)
    assert parse_config(config.model_dump(mode="json")) == config
    bare = parse_config(LEAST)
    assert (bare.rectify.labelled, bare.rectify.checkpoints, bare.rectify.probes) == (None, 0, 0)
    assert (bare.training.vllm_server, bare.target.price) == (None, None)


def test_the_saved_form_loads_to_the_same_configuration():
    config = parse_config(LEAST | {"run": "runs/x", "training": {"grpo": {"learning_rate": 1e-6}}})
    assert parse_config(config.model_dump(mode="json")) == config


def test_the_configuration_is_frozen():
    with pytest.raises(ValidationError):
        parse_config(LEAST).seed = 1


# Every message names the key, what was found, what is allowed and what to do.
@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"trainig": {}}, ["trainig is not a key", "Did you mean 'training'?", "Known here: seed"]),
        ({"training": {"stpes": 3}}, ["training.stpes is not a key", "Did you mean 'steps'?"]),
        ({"references": [{"model": "x", "bacth": 1}]}, ["references[0].bacth is not a key", "'batch'"]),
        ({"images": {"path": "p", "zzz": 1}}, ["images.zzz is not a key", "Known here: path, limit, holdout"]),
        ({"references": []}, ["references is empty", "at least one other model", "Add one"]),
        ({"references": ["hf/t"]}, ["references[0] is 'hf/t'", "same model as target", "Name another one"]),
        ({"references": ["hf/r", {"model": "hf/r", "batch": 2}]}, ["references[1]", "same model as references[0]"]),
        ({"quorum": 0.5}, ["quorum: 0.5 should be", "greater than 0.5", "or auto", "default, 1.0"]),
        ({"quorum": "all"}, ["quorum: 'all' should be"]),
        ({"reward": "papr"}, ["reward is 'papr'", "'gated', 'gated_only' or 'paper'"]),
        ({"actions": {"cpation": 1}}, ["actions has no 'cpation'", "'caption'"]),
        ({"actions": {"caption": 1}}, ["actions.caption is 1.0", "generator is absent", "remove actions.caption"]),
        ({"actions": {"edit": 1}}, ["actions.edit is 1.0", "editor is absent"]),
        ({"actions": {"question": 0}}, ["at least one weight must be above 0"]),
        ({"wordings": ["Answer."]}, ["wordings[0] is 'Answer.'", "{question}"]),
        ({"wordings": []}, ["wordings is []", "should not be empty"]),
        ({"training": {"batch": 65}}, ["batch is 65 and group is 8", "group must divide batch", "64 or 72"]),
        ({"training": {"batch": 2}}, ["batch is 2 and group is 8", "Use batch: 8."]),
        ({"references": "hf/r"}, ["references is 'hf/r'", "should be a list"]),
        ({"target": {"batch": 3}}, ["target.model is missing", "hf/google/gemma-3-4b-it"]),
        ({"target": {"model": "hf/t", "price": {"input": 1}}}, ["target.price.output is missing", "Add it"]),
        (
            {"target": {"model": "hf/t", "price": {"input": -1, "output": 1}}},
            ["target.price.input is -1", "equal to 0"],
        ),
        ({"target": {"model": "hf/t", "throughput": 0}}, ["target.throughput is 0", "greater than 0", "default, None"]),
        (
            {"training": {"vllm_server": "localhost:8000"}},
            ["training.vllm_server", "Write it like http://localhost:8000"],
        ),
        ({"training": {"vllm_server": "http://me:pw@gpu:8000"}}, ["training.vllm_server", "no plain address"]),
        (
            {"training": {"vllm_server": "http://gpu:8000", "grpo": {"use_vllm": True}}},
            ["training: grpo.use_vllm is set by vllm_server", "remove one"],
        ),
        ({"rectify": {"labelled": {"pth": "x"}}}, ["rectify.labelled.pth is not a key", "Did you mean 'path'?"]),
        ({"rectify": {"checkpoints": -1, "probes": 1}}, ["rectify.checkpoints is -1", "greater than or equal to 0"]),
        ({"rectify": {"checkpoints": 2}}, ["rectify: checkpoints is 2 and probes is 0", "Set probes: 1000"]),
        (
            {"rectify": {"checkpoints": 6, "probes": 9}},
            ["rectify.checkpoints is 6", "training.steps 100", "checkpoint_every 20 saves 5", "Lower one"],
        ),
        ({"auditor": {"model": "hf/a", "temperature": 0.7}}, ["auditor.temperature is 0.7", "discovery.temperature"]),
        ({"images": {"path": "p", "holdout": 1.5}}, ["images.holdout is 1.5", "less than 1", "default, 0.5"]),
    ],
)
def test_mistakes_are_explained(changes, parts):
    found = message(**changes)
    assert found.startswith("audit.yaml: ")
    for part in parts:
        assert part in found


def test_each_mistake_has_its_line():
    assert len(message(quorum=3, reward="x", sead=1).splitlines()) == 3


def test_missing_keys_come_with_an_example():
    with pytest.raises(ConfigError, match=r"target is missing\. Add it; the model to audit, such as target:"):
        parse_config({}, "audit.yaml")


def test_the_same_folder_by_two_names_is_one_model(tmp_path, monkeypatch):
    (tmp_path / "m").mkdir()
    monkeypatch.chdir(tmp_path)
    assert "same model as target" in message(target="m", references=[str(tmp_path / "m")])


def test_other_weights_of_one_name_are_another_model():
    parse_config(LEAST | {"references": [{"model": "hf/t", "options": {"revision": "main~1"}}]})


def test_variables_keep_their_type(tmp_path, monkeypatch):
    monkeypatch.setenv("AUDITDM_TEST_STEPS", "7")
    monkeypatch.delenv("AUDITDM_TEST_RATE", raising=False)
    config = load_config(
        written(
            tmp_path,
            "images: ${AUDITDM_TEST_HOME:-/data}/photos\nauditor: hf/a\ntarget: hf/t\nreferences: [hf/r]\n"
            "training:\n  steps: ${AUDITDM_TEST_STEPS}\n"
            "  grpo: {learning_rate: '${AUDITDM_TEST_RATE:-2e-6}', beta: 1e-3}\n",
        )
    )
    assert config.images.path == "/data/photos"
    assert config.training.steps == 7
    assert config.training.grpo == {"learning_rate": 2e-6, "beta": 1e-3}


def test_a_variable_that_is_not_set_is_named(monkeypatch):
    monkeypatch.delenv("AUDITDM_TEST_X", raising=False)
    found = message(target={"model": "${AUDITDM_TEST_X}"})
    assert "target.model uses ${AUDITDM_TEST_X}, which is not set" in found
    assert "export AUDITDM_TEST_X=" in found


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "is empty; a configuration is a mapping"),
        ("- a\n", "is a list"),
        ("target: [", "is not YAML"),
        ("seed: 1\nseed: 2\n", "'seed' is given twice"),
    ],
)
def test_files_that_are_no_configuration(tmp_path, text, part):
    with pytest.raises(ConfigError, match=r"audit\.yaml: ") as caught:
        load_config(written(tmp_path, text))
    assert part in str(caught.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"nowhere\.yaml: no such file"):
        load_config(tmp_path / "nowhere.yaml")
