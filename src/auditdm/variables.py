"""Variables in a configuration, and which of its values are secret.

A secret is used but never stored: a run folder holds what the user wrote for it, such as `${MY_KEY}`, and is expanded
again by whoever reads it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

Place = tuple[str | int, ...]  # keys and numbers that lead to a value
Written = Mapping[Place, str]  # secret values -> what stands in the file for them

_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")
_SECRET_WORD = re.compile(r"\w*KEY|TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIALS?", re.IGNORECASE)
_SECRET_OPTION = re.compile(
    r"(?:.*[_-])?(?:api[_-]?key|access[_-]?key|secret[_-]?key|private[_-]?key|secret|password|passwd|authorization)"
    r"|(?:(?:hf|api|auth|use_auth|access|bearer)_)?token",
    re.IGNORECASE,
)
_SHORTEST = 8  # letters; a shorter text, such as "none" or "EMPTY", is no secret


class UnsetVariableError(LookupError):
    """A variable without a default is not set."""

    def __init__(self, name: str, place: Place) -> None:
        super().__init__(name)
        self.name, self.place = name, place


def is_secret_variable(name: str) -> bool:
    """Whether a variable of the environment holds a secret, by its name.

    Example:
        >>> [is_secret_variable(name) for name in ("OPENAI_API_KEY", "HF_TOKEN", "MAX_TOKENS", "HOME")]
        [True, True, False, False]
    """
    return any(_SECRET_WORD.fullmatch(word) for word in name.split("_"))


def is_secret_option(name: str) -> bool:
    """Whether an option holds a secret, by its name; one that names a variable or a token of a language does not.

    Example:
        >>> [is_secret_option(name) for name in ("api_key", "X-Api-Key", "token", "api_key_env", "pad_token")]
        [True, True, True, False, False]
    """
    return _SECRET_OPTION.fullmatch(name) is not None


def expanded(found: Any, typed: Callable[[str], Any]) -> tuple[Any, Written]:
    """Replace `${VAR}` and `${VAR:-default}` in every text, from the environment.

    Args:
        found: Plain values.
        typed: Reads the text of a variable that stands alone, as YAML would; a secret stays a text.

    Returns:
        The values without variables, and what was written for those that are secret: they come from a variable with
        such a name, or stand under an option with such a name. A secret that is written out counts as written
        `${OPTION}`, after the option it stands under.

    Raises:
        UnsetVariableError: A variable is not set and has no default.
    """
    written: dict[Place, str] = {}
    return _expanded(found, (), typed, written), written


def concealed(plain: Any, written: Written, place: Place = ()) -> Any:
    """Plain values with every secret as it was written; also those that no file was read for.

    Args:
        plain: Plain values.
        written: As `expanded` told it.
        place: Where the values stand in the whole.

    Example:
        >>> concealed({"options": {"api_key": "sk-123456789", "batch": 4}}, {})
        {'options': {'api_key': '${API_KEY}', 'batch': 4}}
    """
    if place in written:
        return written[place]
    if isinstance(plain, Mapping):
        return {key: concealed(inner, written, (*place, key)) for key, inner in plain.items()}
    if isinstance(plain, list | tuple):
        return [concealed(inner, written, (*place, number)) for number, inner in enumerate(plain)]
    return _variable_for(place) if _is_secret_text(plain, place) else plain


def without_secrets(words: Sequence[str]) -> list[str]:
    """A command line in which every secret of the environment is its variable, and none follows an option such as --api-key."""
    secrets = {
        value: name for name, value in os.environ.items() if is_secret_variable(name) and len(value) >= _SHORTEST
    }
    told: list[str] = []
    for number, word in enumerate(words):
        for value, name in secrets.items():
            word = word.replace(value, f"${{{name}}}")
        option, equals, _ = word.partition("=")
        before = words[number - 1] if number else ""
        if equals and is_secret_option(option.lstrip("-")):
            word = f"{option}=..."
        elif before.startswith("-") and "=" not in before and is_secret_option(before.lstrip("-")):
            word = "..."
        told.append(word)
    return told


def _expanded(found: Any, place: Place, typed: Callable[[str], Any], written: dict[Place, str]) -> Any:
    if isinstance(found, Mapping):
        return {key: _expanded(inner, (*place, key), typed, written) for key, inner in found.items()}
    if isinstance(found, list | tuple):
        return [_expanded(inner, (*place, number), typed, written) for number, inner in enumerate(found)]
    if not isinstance(found, str):
        return found
    secret = any(is_secret_variable(match[1]) for match in _VARIABLE.finditer(found))
    if secret or ("${" in found and _is_under_secret_option(place)):
        written[place] = found
    elif _is_secret_text(found, place):
        written[place] = _variable_for(place)
    if "${" not in found:
        return found

    def value(match: re.Match[str]) -> str:
        text = os.environ.get(match[1]) or match[2]
        if text is None:
            raise UnsetVariableError(match[1], place)
        return text

    text = _VARIABLE.sub(value, found)
    return typed(text) if _VARIABLE.fullmatch(found) and place not in written else text


def _is_under_secret_option(place: Place) -> bool:
    return bool(place) and isinstance(place[-1], str) and is_secret_option(place[-1])


def _is_secret_text(found: Any, place: Place) -> bool:
    return isinstance(found, str) and len(found) >= _SHORTEST and _is_under_secret_option(place)


def _variable_for(place: Place) -> str:
    return f"${{{re.sub(r'[^A-Z0-9_]', '_', str(place[-1]).upper())}}}"
