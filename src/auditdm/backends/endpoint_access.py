"""Where a server is, and the key to it. A key is read here, shown nowhere, and goes to no address but its own."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple
from urllib.parse import urlsplit

from dotenv import dotenv_values
from pydantic import SecretStr

from auditdm.errors import ConfigError

TokenLimit = Literal["max_tokens", "max_completion_tokens"]


class Access(NamedTuple):
    """An address, and what opens it."""

    address: str  # without a slash at its end
    key_name: str | None  # the variable that holds the key; None: no key is sent
    key: SecretStr | None

    def is_in(self, text: str, letters: int) -> bool:
        """Whether a text holds so many letters of the key in a row, or all of a shorter one; under 8 it is no secret."""
        secret = self.key.get_secret_value() if self.key else ""
        starts = range(max(1, len(secret) - letters + 1))
        return len(secret) >= 8 and any(secret[at : at + letters] in text for at in starts)


class _Place(NamedTuple):
    address_variables: tuple[str, ...]  # looked up before `address`
    address: str | None
    key_variables: tuple[str, ...]
    needs_key: bool
    token_limit: TokenLimit = "max_tokens"


_OPENAI = ("OPENAI_BASE_URL", "OPENAI_API_BASE")
_GOOGLE = "https://generativelanguage.googleapis.com/v1beta/openai"
PLACES: Mapping[str, _Place] = {  # kind of spec -> where its models are
    "openai-api": _Place(_OPENAI, None, ("OPENAI_API_KEY",), False),
    "openai": _Place(_OPENAI, "https://api.openai.com/v1", ("OPENAI_API_KEY",), True, "max_completion_tokens"),
    "vllm": _Place(("VLLM_BASE_URL",), "http://localhost:8000/v1", ("VLLM_API_KEY",), False),
    "google": _Place((), _GOOGLE, ("GOOGLE_API_KEY", "GEMINI_API_KEY"), True),
    "anthropic": _Place((), "https://api.anthropic.com/v1", ("ANTHROPIC_API_KEY",), True),
}


def access_to(name: str, base_url: str | None, key_name: str | None) -> Access:
    """Find the address and the key.

    Args:
        name: Who asks, for messages.
        base_url: The server's address; None: that of OPENAI_BASE_URL or OPENAI_API_BASE.
        key_name: The variable that holds the key. None: OPENAI_API_KEY, if set, when the address came from a variable
            too, otherwise no key.

    Raises:
        ConfigError: No address or none that could be one, or no key in the variable; a key is never quoted.
    """
    if base_url is None:
        base_url = next(filter(None, map(_setting, _OPENAI)), None)
        if key_name is None and _setting("OPENAI_API_KEY"):
            key_name = "OPENAI_API_KEY"
    return Access(_address(name, base_url), key_name, _key(name, key_name))


def with_address(kind: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Complete the options of an `EndpointModel` for a kind of spec: its address, its key's variable, its dialect.

    Args:
        kind: One of `PLACES`: "openai-api", "openai", "vllm", "google", "anthropic".
        options: What the user gave, which stands. A `base_url` among them gets no key but the one that it names.

    Raises:
        ConfigError: None of the kind's variables holds a key, and the kind needs one.

    Example:
        >>> with_address("vllm", {"base_url": "http://gpu-7:8000/v1", "connections": 64})
        {'base_url': 'http://gpu-7:8000/v1', 'connections': 64, 'token_limit': 'max_tokens'}
    """
    place = PLACES[kind]
    found: dict[str, Any] = {**options}
    found.setdefault("token_limit", place.token_limit)
    if found.get("base_url") is not None:
        return found
    found["base_url"] = next(filter(None, map(_setting, place.address_variables)), place.address)
    if found.get("api_key_env") is None:
        name = next((name for name in place.key_variables if _setting(name)), None)
        if name is None and place.needs_key:
            raise ConfigError(
                f"{kind}/...: no key in {' or '.join(place.key_variables)}. Set it in the environment or in .env, or "
                "name another variable as api_key_env."
            )
        found["api_key_env"] = name
    return found


def _setting(name: str) -> str | None:
    """A variable of the environment, or of `.env` in the current folder; None when unset or empty."""
    return os.environ.get(name) or dotenv_values(".env", interpolate=False).get(name) or None


def _address(name: str, base_url: str | None) -> str:
    if base_url is None:
        raise ConfigError(
            f"{name}: no address. Set base_url, such as http://localhost:8000/v1, or {' or '.join(_OPENAI)} in the "
            "environment or in .env."
        )
    parts = urlsplit(base_url)
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ConfigError(
            f"{name}: base_url holds more than an address. Put the key into a variable named by api_key_env, and leave "
            "http://HOST:PORT/PATH."
        )
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigError(f"{name}: base_url is {base_url!r}; write it like http://localhost:8000/v1.")
    return base_url.rstrip("/").removesuffix("/chat/completions")


def _key(name: str, variable: str | None) -> SecretStr | None:
    """The key in a variable; messages never quote what could be one."""
    if variable is None:
        return None
    if not re.fullmatch(r"[A-Z][A-Z0-9_]*", variable):
        raise ConfigError(
            f"{name}: api_key_env is not the name of an environment variable. Write the name, such as OPENAI_API_KEY, "
            "and never the key itself."
        )
    key = (_setting(variable) or "").strip()
    if not key:
        raise ConfigError(f"{name}: {variable} is not set. Put the key there, in the environment or in .env.")
    if not re.fullmatch(r"[\x21-\x7e]+", key):
        raise ConfigError(f"{name}: {variable} holds spaces or letters that no key has. Copy the key again.")
    return SecretStr(key)
