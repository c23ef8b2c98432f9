"""What a chat server's reply means: a text, or a fault of one probe, or an error that concerns them all."""

from __future__ import annotations

import email.utils
import json
import math
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from auditdm.backends.endpoint_access import Access

LONGEST_WAIT_S = 120.0  # a server that asks for a longer pause is not asked again
_FILTERED = re.compile(rb"content_filter|content_policy|responsible_?ai|flagged|moderation", re.IGNORECASE)
_NO_MODEL = re.compile(
    r"not found|not exist|pinned|unknown|not a valid|invalid model|no such|not available", re.IGNORECASE
)


@dataclass(frozen=True)
class Fault:
    """Why a request brought no text."""

    why: str
    again: bool = True  # asking again may help
    slower: bool = False  # the server asks for fewer requests
    wait_s: float | None = None  # the pause that the server asks for
    reached: bool = True  # False: there was no connection
    concerns_all: bool = False  # `why` is a message for the user, and no probe can be answered


def parsed(content: bytes) -> dict[str, Any] | None:
    """The JSON object of a body; None when it is something else."""
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def text_in(reply: Mapping[str, Any], access: Access) -> str | Fault:
    """The text of a chat completion, or why there is none. An empty text is a text, and a refusal is its words."""
    said = _said(reply)
    if isinstance(said, Fault):
        words = server_words(reply, access)
        return replace(said, why=f"{said.why}{words and ': '}{words}")
    if access.is_in(said, 16):
        return Fault("the reply holds the key and is left out", again=False)
    return said


def refusal(status: int, content: bytes, headers: Mapping[str, str], model: str, access: Access) -> Fault:
    """What a reply with another status than 200 means."""
    found = parsed(content) or {}
    words = server_words(found, access)
    if status in (400, 403) and _FILTERED.search(content):
        return Fault("the server filtered the picture or the text", again=False)
    if advice := _advice(status, found, words, model, access):
        return Fault(advice + (f" The server says: {words}" if words else ""), concerns_all=True)
    wait_s = _asked_wait_s(headers)
    patient = wait_s is None or wait_s <= LONGEST_WAIT_S
    asks = "" if patient else f" and asks to wait {wait_s:.0f} s"
    return Fault(
        f"the server answers with status {status}{asks}{words and ': '}{words}",
        again=patient and (status in (408, 409, 425, 429) or status >= 500),
        slower=status == 429,
        wait_s=wait_s,
    )


def _advice(status: int, found: Mapping[str, Any], words: str, model: str, access: Access) -> str | None:
    """What the user can do about a status that every probe would meet; None when it may concern this probe alone."""
    told = found.get("error")
    code = str(told.get("code")) if isinstance(told, dict) else ""
    where, key_name = access.address, access.key_name
    if status == 401:
        valid = f"Put a valid key into the variable {key_name}."
        return f"{where} does not accept the key (401). " + (
            valid if key_name else "None was sent: name the variable that holds it as api_key_env."
        )
    if status == 403:
        who = f"the key in {key_name}" if key_name else "a request without a key"
        return f"{where} denies '{model}' to {who} (403). Ask for access, or use another key or model."
    if status == 404 or (status == 400 and model in words and _NO_MODEL.search(words)):
        return (
            f"{where} knows no model '{model}' ({status}). Write the name as {where}/models lists it; if nothing is "
            "there, base_url is wrong: most end in /v1."
        )
    if status == 402 or code == "insufficient_quota":
        return f"the account of {key_name or 'this address'} has no credit left ({status}). Top it up."
    if status == 400 and code in ("unsupported_parameter", "unsupported_value"):
        return "the server does not take an option (400). Change it, or take it out with extra: {OPTION: null}."
    if 300 <= status < 400:
        return f"{where} sends requests elsewhere ({status}). Set base_url to the address where it ends."
    return None


def server_words(found: Mapping[str, Any], access: Access) -> str:
    """The server's own words on what went wrong: short, on one line, and not if they quote the key."""
    told = found.get("error", found)
    if isinstance(told, dict):
        told = told.get("message") or told.get("detail")
    words = " ".join(clean(told).split()) if isinstance(told, str) else ""
    words = "".join(letter for letter in words if letter.isprintable())  # no colours or bells in somebody's terminal
    if access.is_in(words, 8):
        return "(left out, because the key is in it)"
    return words if len(words) <= 500 else f"{words[:500]}..."


def clean(text: str) -> str:
    """The text with half surrogates, which neither JSON nor a table can hold, as question marks."""
    return text.encode(errors="replace").decode()


def _said(reply: Mapping[str, Any]) -> str | Fault:
    """The text of a chat completion."""
    choices = reply.get("choices")
    if not isinstance(choices, list) or not choices:
        return Fault("the reply holds no choice")
    if len(choices) != 1:
        return Fault(f"the reply holds {len(choices)} choices and one was asked for")
    choice = choices[0] if isinstance(choices[0], dict) else {}
    finish, message = str(choice.get("finish_reason")), choice.get("message")
    if finish.startswith("content_filter"):
        return Fault("the reply was filtered", again=False)
    if finish == "error":
        return Fault("the server broke off the reply")
    if not isinstance(message, dict):
        return Fault("the reply holds a choice without a message")
    content = message.get("content")
    if content is not None and not isinstance(content, str):
        return Fault(f"the reply holds a {type(content).__name__} instead of a text", again=False)
    refused = message.get("refusal")
    text = content or (refused if isinstance(refused, str) else "")
    if finish == "length" and not text and _reasoned(reply, message):
        return Fault("all tokens went into reasoning before the first word; raise max_new_tokens", again=False)
    if "content" not in message and not text:
        return Fault("the reply holds a message without a text")
    return clean(text).strip()


def _reasoned(reply: Mapping[str, Any], message: Mapping[str, Any]) -> bool:
    spent = reply.get("usage")
    details = spent.get("completion_tokens_details") if isinstance(spent, dict) else None
    counted = isinstance(details, dict) and details.get("reasoning_tokens")
    return bool(counted or message.get("reasoning_content") or message.get("reasoning"))


def _asked_wait_s(headers: Mapping[str, str]) -> float | None:
    """Retry-After in seconds, given as milliseconds, seconds or a date; None when absent or unreadable."""
    for name, unit in (("retry-after-ms", 1e-3), ("retry-after", 1.0)):
        try:
            wait_s = float(headers[name]) * unit
        except (KeyError, ValueError):
            continue
        return max(0.0, wait_s) if math.isfinite(wait_s) else None
    date = email.utils.parsedate_tz(headers.get("retry-after", ""))
    return None if date is None else max(0.0, float(email.utils.mktime_tz(date)) - time.time())
