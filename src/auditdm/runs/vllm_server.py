"""A vLLM server that writes the auditor's replies during training, on a GPU of its own; TRL sends it each step's weights.

Source: TRL 1.16, server mode. The other mode, `colocate`, is refused: there the picture's tokens are expanded twice
(trl #6294), and the auditor is paid for replies to prompts that it never read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

from auditdm.errors import ConfigError, ModelError

_TRL_SAYS = (
    "The vLLM server at",  # a flag is missing
    "runs of image tokens",  # a picture is cut into tiles, as SmolVLM and Idefics3 do
)


def vllm_options(url: str | None) -> dict[str, Any]:
    """TRL's options for a server at this address; none without one.

    Args:
        url: Such as "http://localhost:8000". A "/v1" at its end, as chat clients write it, is taken off: TRL adds its own.

    Example:
        >>> vllm_options("http://gpu1:8000/v1/")["vllm_server_base_url"]
        'http://gpu1:8000'
        >>> vllm_options(None)
        {}
    """
    if url is None:
        return {}
    address = url.rstrip("/").removesuffix("/v1").rstrip("/")
    return {"use_vllm": True, "vllm_mode": "server", "vllm_server_base_url": address}


def refuse_colocate(grpo: Mapping[str, Any]) -> None:
    """Let `training.grpo` use vLLM in no other way than a server.

    Args:
        grpo: The options as the user gave them.

    Raises:
        ConfigError: They ask for vLLM inside the training process, which is also what TRL does when no mode is given.

    Example:
        >>> refuse_colocate({"learning_rate": 3e-6})
    """
    mode = grpo.get("vllm_mode", "colocate")
    if grpo.get("use_vllm") and mode != "server":
        raise ConfigError(
            f"training.grpo.use_vllm is on and vllm_mode is {mode!r}; in that mode TRL 1.16 expands the tokens of a "
            "picture twice (trl #6294). Remove both keys and set training.vllm_server: http://localhost:8000"
        )


def check_vllm(url: str | None) -> None:
    """Say before anything is loaded that TRL will not be able to talk to the server; without an address, nothing.

    Raises:
        ConfigError: vLLM is not installed where the training runs. TRL's client sends weights by vLLM's own code.
    """
    if url is None:
        return
    from trl.import_utils import is_vllm_available

    if not is_vllm_available():
        raise ConfigError(
            f"training.vllm_server is {url}, but vllm is not installed beside trl, which needs it to send weights to "
            "the server. Install it (pip install 'trl[vllm]'), or remove the key: replies are then written in process."
        )


def without_picture_tokens(given: Mapping[str, Any] | None, token: int) -> dict[str, Any]:
    """What the server is asked to sample by, so that no reply holds the token that stands for a picture.

    A sampled one has no picture behind it, and the training step fails on it. TRL 1.16 forbids it where it writes the
    replies itself and not where a server does.

    Args:
        given: The user's `generation_kwargs`, which stay.
        token: The id of the picture's token.

    Example:
        >>> without_picture_tokens({"stop": ["."]}, 7)
        {'stop': ['.'], 'logit_bias': {'7': -100.0}}
    """
    options = dict(given or {})
    return options | {"logit_bias": {**(options.get("logit_bias") or {}), str(token): -100.0}}


def picture_places(model: Any) -> Any:
    """What TRL asks a processor for in server mode: the id of the token that pictures stand at in a prompt.

    Gemma 3's own processor names the token that begins a picture there (transformers 5.23), so TRL would lay all features
    of a picture on that one.
    """
    return SimpleNamespace(image_token_id=model.config.image_token_id)


@contextmanager
def server_in_words(url: str | None) -> Iterator[None]:
    """Say in words that the server could not be reached or used; without an address, what goes wrong is passed on.

    Raises:
        ModelError: The server does not answer, or was started without what TRL needs.
    """
    if url is None:
        yield
        return
    from requests import RequestException

    try:
        yield
    except (RequestException, ImportError, NotImplementedError) as problem:
        raise ModelError(
            f"training.vllm_server {url}: {problem}\nStart it as docs/real-models.md says, on another GPU than the "
            "training's, and give the same command again: it resumes from the last checkpoint."
        ) from problem
    except (RuntimeError, ValueError) as problem:
        if not any(words in str(problem) for words in _TRL_SAYS):
            raise
        raise ModelError(f"training.vllm_server {url}: {problem} docs/real-models.md has the command.") from problem
