import doctest
import json
import logging
import sys

import pytest
import yaml

import auditdm
from auditdm import variables
from auditdm.backends.fakes import FakeModel, fake_picture
from auditdm.config import AuditConfig, ModelSpec, load_config, parse_config
from auditdm.environment import environment
from auditdm.errors import ConfigError, StoreError
from auditdm.store import Run
from auditdm.variables import expanded, is_secret_option, is_secret_variable

KEY = "sk-very-secret-0123456789"
LEAST = {"images": "photos", "auditor": "hf/a", "target": "hf/t", "references": ["hf/r"]}
seen_keys = []


class Keyed:
    """A target of the user's own that needs a key."""

    name, revision = "keyed", None

    def __init__(self, api_key, endpoint_key, header=""):
        seen_keys.append((api_key, endpoint_key, header))

    def generate(self, batch):
        return FakeModel(lambda _: "one", self.name).generate(batch)


@pytest.fixture
def keyed(tmp_path, monkeypatch):
    """A file of a whole audit whose target is given a key in three ways."""
    monkeypatch.setenv("AUDITDM_TEST_KEY", KEY)
    monkeypatch.setenv("AUDITDM_TEST_NAME", f"{KEY}-too")
    monkeypatch.setattr("sys.argv", ["audit.py", f"--note={KEY}", "--api-key", "sk-another-0123456789", "audit.yaml"])
    monkeypatch.setitem(sys.modules, "keyed_models", sys.modules[__name__])
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    for n in range(4):
        fake_picture(str(n)).save(tmp_path / "photos" / f"{n}.png")
    file = tmp_path / "audit.yaml"
    told = {
        "images": "photos",
        "auditor": "acting_models:auditor",
        "target": {
            "model": "keyed_models:Keyed",
            "options": {
                "api_key": "${AUDITDM_TEST_NAME}",
                "endpoint_key": "${AUDITDM_TEST_KEY}",
                "header": "Bearer ${AUDITDM_TEST_KEY}",
            },
        },
        "references": ["acting_models:reference", "acting_models:other"],
        "compare": [],
        "training": {"steps": 0},
        "discovery": {"probes": 8},
        "confirmation": {"budget": 0},
    }
    file.write_text(yaml.safe_dump(told))
    return file


def bytes_of(folder):
    return b"".join(str(f.relative_to(folder)).encode() + f.read_bytes() for f in folder.rglob("*") if f.is_file())


def test_the_examples_are_true():
    assert doctest.testmod(variables).failed == 0


def test_a_variable_is_secret_by_its_words():
    secret = ["OPENAI_API_KEY", "MY_APIKEY", "HF_TOKEN", "db_password", "CLIENT_SECRET_2"]
    plain = ["MAX_TOKENS", "HOME", "KEYS", "MODEL_KEYWORD"]
    assert [name for name in secret + plain if is_secret_variable(name)] == secret


def test_an_option_is_secret_by_its_name():
    secret = ["api_key", "apiKey", "x-api-key", "Authorization", "hf_token", "password", "client_secret"]
    plain = ["api_key_env", "token_limit", "tokens", "bos_token", "max_new_tokens", "key"]
    assert [name for name in secret + plain if is_secret_option(name)] == secret


def test_a_key_is_used_and_nowhere_written(keyed, caplog, capsys):
    caplog.set_level(logging.DEBUG)
    seen_keys.clear()
    config = load_config(keyed)
    run = auditdm.audit(config, "runs/one")
    auditdm.report(run.path)
    assert seen_keys[0] == (f"{KEY}-too", KEY, f"Bearer {KEY}")
    raw = bytes_of(run.path)
    assert b"sk-very" not in raw
    assert b"sk-another" not in raw
    assert "sk-very" not in caplog.text + "".join(capsys.readouterr())
    assert json.loads((run.path / "environment.json").read_text())["command"] == [
        "audit.py", "--note=${AUDITDM_TEST_KEY}", "--api-key", "...", "audit.yaml",
    ]  # fmt: skip
    assert Run.read(run.path).config["target"]["options"] == {
        "api_key": "${AUDITDM_TEST_NAME}",
        "endpoint_key": "${AUDITDM_TEST_KEY}",
        "header": "Bearer ${AUDITDM_TEST_KEY}",
    }


def test_a_run_with_a_key_resumes_also_with_a_new_key_and_its_stored_form_is_expanded_again(keyed, monkeypatch):
    run = auditdm.audit(load_config(keyed), "runs/one")
    before = bytes_of(run.path / "tables")
    (run.path / "DONE").unlink()
    monkeypatch.setenv("AUDITDM_TEST_KEY", "sk-renewed-0123456789")
    auditdm.audit(load_config(keyed), "runs/one")
    assert (run.path / "DONE").exists()
    assert bytes_of(run.path / "tables") == before
    stored = Run.read(run.path).config
    again = parse_config(stored, "config.yaml")  # as `rectify` reads it
    assert again.target.options["endpoint_key"] == "sk-renewed-0123456789"
    assert again.model_dump(mode="json") == stored
    monkeypatch.delenv("AUDITDM_TEST_KEY")
    with pytest.raises(
        ConfigError, match=r"target\.options\.endpoint_key uses \$\{AUDITDM_TEST_KEY\}, which is not set"
    ):
        parse_config(stored, "config.yaml")


def test_another_variable_is_another_configuration_and_the_message_holds_no_key(keyed, monkeypatch):
    auditdm.audit(load_config(keyed), "runs/one")
    monkeypatch.setenv("AUDITDM_OTHER_KEY", f"{KEY}-other")
    keyed.write_text(
        keyed.read_text().replace("endpoint_key: ${AUDITDM_TEST_KEY}", "endpoint_key: ${AUDITDM_OTHER_KEY}")
    )
    with pytest.raises(StoreError) as refused:
        auditdm.audit(load_config(keyed), "runs/one")
    assert "${AUDITDM_TEST_KEY}" in str(refused.value)
    assert "sk-very" not in str(refused.value)


def test_a_key_in_the_wrong_place_is_refused_without_being_quoted(monkeypatch):
    monkeypatch.setenv("AUDITDM_TEST_KEY", KEY)
    with pytest.raises(ConfigError) as refused:
        parse_config(LEAST | {"target": {"model": "hf/t", "batch": "${AUDITDM_TEST_KEY}"}}, "a.yaml")
    assert "target.batch is '${AUDITDM_TEST_KEY}'; it should be a valid integer" in str(refused.value)
    told = [refused.value]
    while error := told[-1].__cause__ or (None if told[-1].__suppress_context__ else told[-1].__context__):
        told.append(error)
    assert not any("sk-very" in str(error) for error in told)
    with pytest.raises(ConfigError) as refused:
        parse_config(LEAST | {"target": [{"api_key": "sk-literal-0123456789"}]}, "a.yaml")
    assert "sk-literal" not in str(refused.value)


def test_a_key_that_is_written_out_is_stored_as_a_variable():
    read = parse_config(LEAST | {"target": {"model": "hf/t", "options": {"api_key": KEY, "batch": 3}}})
    made = AuditConfig(
        images={"path": "photos"}, auditor="hf/a", references=("hf/r",),
        target=ModelSpec(model="hf/t", options={"api_key": KEY, "batch": 3}),
    )  # fmt: skip
    for config in (read, made, made.model_copy(update={"seed": 1})):
        assert config.target.options["api_key"] == KEY
        assert config.model_dump(mode="json")["target"]["options"] == {"api_key": "${API_KEY}", "batch": 3}
        assert KEY not in config.model_dump_json()
    assert read.model_dump()["target"]["options"]["api_key"] == KEY


def test_what_is_no_key_stays_as_it_is(monkeypatch):
    monkeypatch.setenv("AUDITDM_TEST_STEPS", "7")
    options = {"api_key": "EMPTY", "api_key_env": "MY_VARIABLE_NAME", "bos_token": "<|begin_of_text|>", "token": True}
    told = LEAST | {"target": {"model": "hf/t", "options": options}, "seed": "${AUDITDM_TEST_STEPS}"}
    saved = parse_config(told).model_dump(mode="json")
    assert saved["target"]["options"] == options
    assert saved["seed"] == 7


def test_a_secret_stays_a_text_and_another_variable_gets_its_type(monkeypatch):
    monkeypatch.setenv("AUDITDM_TEST_TOKEN", "12345678")
    monkeypatch.setenv("AUDITDM_TEST_N", "12345678")
    found, written = expanded({"a": "${AUDITDM_TEST_TOKEN}", "b": ["${AUDITDM_TEST_N}"]}, int)
    assert found == {"a": "12345678", "b": [12345678]}
    assert written == {("a",): "${AUDITDM_TEST_TOKEN}"}


def test_the_environment_tells_no_secret_of_the_command_line(monkeypatch):
    monkeypatch.setenv("AUDITDM_TEST_KEY", KEY)
    monkeypatch.setattr("sys.argv", ["x", f"a{KEY}b", "--token=abc", "--token", "abc", "--max-tokens", "5", "token"])
    told = environment()["command"]
    assert told == ["x", "a${AUDITDM_TEST_KEY}b", "--token=...", "--token", "...", "--max-tokens", "5", "token"]
