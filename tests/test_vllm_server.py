"""Replies written by a vLLM server: the options, and TRL's real client against a stand-in on loopback."""

import doctest

import pytest

import auditdm.runs.vllm_server as module
from auditdm.errors import ConfigError, ModelError
from auditdm.runs.trainer_options import grpo_options
from auditdm.runs.vllm_server import check_vllm, refuse_colocate, server_in_words, vllm_options
from grpo_training import BATCH, GROUP, STEPS, configured, train


def test_the_examples_are_right():
    assert doctest.testmod(module).attempted > 3
    assert doctest.testmod(module).failed == 0


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("http://localhost:8000", "http://localhost:8000"),
        ("http://localhost:8000/", "http://localhost:8000"),
        ("http://localhost:8000/v1", "http://localhost:8000"),
        ("https://gpu1/replies/v1/", "https://gpu1/replies"),
    ],
)
def test_an_address_becomes_the_server_mode_of_trl(url, address):
    assert vllm_options(url) == {"use_vllm": True, "vllm_mode": "server", "vllm_server_base_url": address}


@pytest.mark.parametrize("grpo", [{"use_vllm": True}, {"use_vllm": True, "vllm_mode": "colocate"}])
def test_vllm_inside_the_training_process_is_refused(grpo):
    """trl: colocate hands prompts whose picture tokens are expanded to vLLM, which expands them again (trl #6294)."""
    with pytest.raises(ConfigError, match=r"vllm_mode is 'colocate'.*set training.vllm_server"):
        refuse_colocate(grpo)
    refuse_colocate({"use_vllm": True, "vllm_mode": "server"})
    refuse_colocate({"vllm_mode": "colocate"})  # not used


def test_only_what_is_the_servers_fault_is_said_to_be():
    with pytest.raises(RuntimeError, match="CUDA error"), server_in_words("http://gpu1:8000"):
        raise RuntimeError("CUDA error")
    with pytest.raises(ImportError), server_in_words(None):
        raise ImportError("no module")


@pytest.mark.tiny
def test_the_key_of_the_configuration_reaches_trl(tmp_path):
    args = grpo_options(configured(tmp_path, vllm_server="http://gpu1:8000/v1"), tmp_path, "gated")
    assert (args.use_vllm, args.vllm_mode, args.vllm_server_base_url) == (True, "server", "http://gpu1:8000")
    assert not grpo_options(configured(tmp_path), tmp_path, "gated").use_vllm
    with pytest.raises(ConfigError, match="vllm_mode is 'colocate'"):
        grpo_options(configured(tmp_path, grpo={"use_vllm": True}), tmp_path, "gated")


# --- TRL's client


@pytest.fixture
def no_vllm(monkeypatch):
    """TRL as if vLLM were installed; what needs it, the NCCL group and what goes through it, is replaced by `receive`."""
    pytest.importorskip("requests")
    from trl import import_utils
    from trl.generation import vllm_client, vllm_generation

    for place in (import_utils, vllm_client, vllm_generation):
        monkeypatch.setattr(place, "is_vllm_available", lambda *_, **__: True)

    def handed_to(server):
        def update(client, metadata, weights):
            assert client.base_url == server.url
            server.receive(weights)  # as a stream: TRL takes the adapter out of the weights when it ends
            assert {name for name, _, _ in metadata} == server.updates[-1]

        monkeypatch.setattr(vllm_client.VLLMClient, "update_named_params", update)
        monkeypatch.setattr(vllm_client.VLLMClient, "init_communicator", lambda client, device: None)

    return handed_to


@pytest.mark.tiny
@pytest.mark.parametrize("family", ["gemma3", "qwen2_5_vl"])
def test_a_server_writes_what_the_policy_is_scored_on(family, no_vllm, tmp_path, monkeypatch):
    """trl: pictures go apart from the prompt and are put back at its picture tokens; each step's weights go before it."""
    from tiny_models import write_tiny_model
    from vllm_stand_in import StandIn

    folder = write_tiny_model(family, tmp_path / "model")
    quick_to_give_up(monkeypatch)
    with StandIn(folder) as server:
        no_vllm(server)
        config = configured(folder, vllm_server=f"{server.url}/v1")
        _, seen, _ = train(config, tmp_path / "run")
    assert len(server.asked) == STEPS * BATCH // GROUP
    assert {body["sampling_params"]["n"] for body in server.asked} == {GROUP}
    assert len(server.updates) == STEPS, "trl: the weights of a step did not reach the server before its replies"
    number = seen.trainer.model.config.image_token_id
    for step, scored in enumerate(seen.scored):
        mask = scored["completion_mask"].bool()
        ratio = scored["importance_sampling_ratio"]
        assert (ratio - 1).abs().max() < 1e-3, f"step {step}: the server read another prompt or has other weights"
        assert number not in scored["completion_ids"][mask]
    bias = [body["sampling_params"]["logit_bias"] for body in server.asked]
    assert bias == [{str(number): -100.0}] * len(bias)


@pytest.mark.tiny
@pytest.mark.parametrize(
    ("missing", "said"),
    [
        ("render", "--enable-scale-out"),
        ("generate", "it resumes from the last checkpoint"),
    ],
)
def test_a_server_that_lacks_something_is_said_in_words(missing, said, no_vllm, tmp_path, monkeypatch):
    from tiny_models import write_tiny_model
    from vllm_stand_in import StandIn

    folder = write_tiny_model("gemma3", tmp_path / "model")
    with StandIn(folder, missing) as server:
        no_vllm(server)
        quick_to_give_up(monkeypatch)
        with pytest.raises(ModelError, match=said) as caught:
            train(configured(folder, vllm_server=server.url), tmp_path / "run")
    assert server.url in str(caught.value)


@pytest.mark.tiny
def test_a_picture_in_tiles_is_said_to_be_beyond_the_server(no_vllm, tmp_path):
    """trl: it looks for one run of picture tokens for each picture, and SmolVLM writes one for each tile."""
    from tiny_models import write_tiny_model
    from vllm_stand_in import StandIn

    folder = write_tiny_model("smolvlm", tmp_path / "model")
    with StandIn(folder) as server:
        no_vllm(server)
        with pytest.raises(ModelError, match="runs of image tokens"):
            train(configured(folder, vllm_server=server.url), tmp_path / "run")


def quick_to_give_up(patch):
    """TRL's session repeats a lost request five times with pauses of up to a minute; here not at all."""
    from trl.generation import vllm_client

    patch.setattr(vllm_client, "Retry", lambda **_: 0)


@pytest.mark.tiny
def test_a_server_without_weight_transfer_is_said_in_words(no_vllm, tmp_path, monkeypatch):
    from trl.generation import vllm_client

    from tiny_models import write_tiny_model
    from vllm_stand_in import StandIn

    real = vllm_client.VLLMClient.init_communicator
    folder = write_tiny_model("gemma3", tmp_path / "model")
    with StandIn(folder, "weights") as server:
        no_vllm(server)
        monkeypatch.setattr(vllm_client.VLLMClient, "init_communicator", real)
        with pytest.raises(ModelError, match="weight-transfer-config"):
            train(configured(folder, vllm_server=server.url), tmp_path / "run")


@pytest.mark.tiny
def test_without_vllm_beside_trl_nothing_is_loaded(tmp_path):
    """trl: its client for a server elsewhere imports vLLM too."""
    from trl.import_utils import is_vllm_available

    if is_vllm_available():
        pytest.skip("vllm is installed")
    with pytest.raises(ConfigError, match="vllm is not installed beside trl"):
        check_vllm("http://gpu1:8000")
    check_vllm(None)
    with pytest.raises(ConfigError, match="vllm is not installed beside trl"):
        train(configured(tmp_path / "no model there", vllm_server="http://gpu1:8000"), tmp_path / "run")
