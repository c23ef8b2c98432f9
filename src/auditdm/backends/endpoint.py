"""Models behind any OpenAI-compatible chat server: vLLM, SGLang, `transformers serve`, hosted services.

A fault of the server or the wire concerns the probe that met it and no other; what concerns every probe, such as a
wrong key, is an error at once. A key is named by its environment variable, goes only to its own address, and is never
shown or written.
"""

from __future__ import annotations

import asyncio
import base64
import copy
import io
import logging
import random
import weakref
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

import httpx2
import openai
from PIL.Image import Image

from auditdm.backends.endpoint_access import TokenLimit, access_to, with_address
from auditdm.backends.endpoint_replies import Fault, clean, parsed, refusal, text_in
from auditdm.backends.endpoint_sending import Gate, client_for, start_loop, stop_loop, wire_fault
from auditdm.errors import ConfigError, ModelError
from auditdm.types import Answer, picture_id, seed_for

__all__ = ["EndpointModel", "Usage", "with_address"]

log = logging.getLogger(__name__)

_OURS = frozenset({"model", "messages", "stream", "n"})  # keys of a request that `extra` cannot change


@dataclass(frozen=True, kw_only=True)
class Usage:
    """What an endpoint was asked for so far, repeats included."""

    requests: int = 0
    retries: int = 0  # requests that repeated one which had met a fault
    replies: int = 0  # requests that were answered with JSON, usable or not
    counted: int = 0  # replies that told their tokens; what follows is over these
    tokens_in: int = 0
    tokens_out: int = 0
    price_usd: float | None = None  # None: no prices were given


class EndpointModel:
    """A vision-language model on a server, asked over HTTP.

    Requests run side by side. A 429 halves how many, every reply lets the number grow back a little, so no limit has to
    be known beforehand. All calls of one object, from whatever thread, share its connections and its limits.

    Args:
        model: What the server calls the model.
        name: What the answers call it; `model` when None.
        base_url: The server's address, such as "http://localhost:8000/v1". None: OPENAI_BASE_URL or OPENAI_API_BASE,
            and then OPENAI_API_KEY holds the key, if set. Variables are looked up in the environment, then in `.env` of
            the current folder.
        api_key_env: The name of the variable that holds the key. None beside a `base_url`: no key is sent.
        max_new_tokens: The longest reply, in tokens.
        temperature: 0.0 takes the likeliest token, and equal pairs of a batch are asked once.
        seed: Where samples come from, together with what is asked. Sent above temperature 0; None: not sent.
        connections: At most so many requests at the same time.
        requests_per_minute: At most so many requests start in a minute, evenly spaced; None: no limit.
        timeout_s: How long one request may take from first to last byte.
        retries: How often a pair is asked again after a fault that may pass. The pauses grow from half a second to a
            minute and are random, or are what the server asked for (Retry-After), up to two minutes.
        usd_per_million_in: Price of a million tokens of prompt.
        usd_per_million_out: Price of a million tokens of reply. Without both prices none is reckoned.
        extra: Merged into each request; None takes a key out, as in {"temperature": None}.
        picture_format: "png" sends the exact pixels; "jpeg" sends fewer bytes and not quite the same picture.
        max_reply_bytes: A longer reply is a fault.
        token_limit: What the server calls `max_new_tokens`.
        revision: Which version of the model is served, if you know it; the answers carry it.

    Attributes:
        usage: Requests, tokens and price so far.
        served: What the replies called the model, in the order of appearance; two names mean that it was exchanged.

    Raises:
        ConfigError: An argument out of range, no address, or no key in the named variable.

    Example:
        >>> EndpointModel("Qwen/Qwen3-VL-8B-Instruct", base_url="http://localhost:8000/v1")
        EndpointModel('Qwen/Qwen3-VL-8B-Instruct', base_url='http://localhost:8000/v1')
    """

    def __init__(
        self,
        model: str,
        *,
        name: str | None = None,
        base_url: str | None = None,
        api_key_env: str | None = None,
        max_new_tokens: int = 32,
        temperature: float = 0.0,
        seed: int | None = 0,
        connections: int = 16,
        requests_per_minute: float | None = None,
        timeout_s: float = 120.0,
        retries: int = 6,
        usd_per_million_in: float | None = None,
        usd_per_million_out: float | None = None,
        extra: Mapping[str, Any] | None = None,
        picture_format: Literal["png", "jpeg"] = "png",
        max_reply_bytes: int = 1_000_000,
        token_limit: TokenLimit = "max_tokens",
        revision: str | None = None,
    ) -> None:
        self.name, self.revision = model if name is None else name, revision
        for key, found, least in (
            ("max_new_tokens", max_new_tokens, 1),
            ("temperature", temperature, 0),
            ("connections", connections, 1),
            ("requests_per_minute", 1 if requests_per_minute is None else requests_per_minute, 0.001),
            ("timeout_s", timeout_s, 0.001),
            ("retries", retries, 0),
            ("max_reply_bytes", max_reply_bytes, 1),
        ):
            if not found >= least:
                raise ConfigError(f"{self.name}: {key} is {found}; it must be at least {least}.")
        if picture_format not in ("png", "jpeg"):
            raise ConfigError(f"{self.name}: picture_format is {picture_format!r}. Known: png, jpeg.")
        if clash := sorted(_OURS & (extra or {}).keys()):
            raise ConfigError(f"{self.name}: extra.{clash[0]} is set by auditdm itself; remove it.")
        self._model, self._format, self._timeout_s, self._retries = model, picture_format, timeout_s, retries
        self._access = access_to(self.name, base_url, api_key_env)
        self._greedy, self._seed = temperature == 0, seed
        self._token_limit = token_limit
        self._body = {token_limit: max_new_tokens, "temperature": temperature} | dict(extra or {})
        priced = usd_per_million_in is not None and usd_per_million_out is not None
        self._prices = (usd_per_million_in or 0.0, usd_per_million_out or 0.0) if priced else None
        self.usage = Usage(price_usd=0.0 if priced else None)
        self.served: tuple[str, ...] = ()
        self._jitter = random.Random()  # its own: a pause must not move anybody's stream of chance
        self._gate = Gate(connections, requests_per_minute)
        self._client = client_for(self._access, max_reply_bytes)
        self._loop = start_loop(f"endpoint {self.name}")
        weakref.finalize(self, stop_loop, self._loop, self._client).atexit = False

    def __repr__(self) -> str:
        return f"EndpointModel({self.name!r}, base_url={self._access.address!r})"

    def at_length(self, max_new_tokens: int) -> EndpointModel:
        """The same connections and the same account, with replies of at most so many tokens."""
        longer = copy.copy(self)
        longer._body = self._body | {self._token_limit: max_new_tokens}
        longer.usage = Usage(price_usd=None if self._prices is None else 0.0)  # counted apart
        weakref.finalize(longer, lambda _: None, self)  # whose connections close when it goes
        return longer

    def generate(self, batch: Sequence[tuple[Image, str]]) -> list[Answer]:
        """Answer each (picture, text) of the batch. May be called from several threads at once.

        Args:
            batch: N pairs; pictures of any size and mode, made RGB here. The server resizes them as its model needs.

        Returns:
            N answers in the same order. A timeout, a cut connection, a reply that is filtered, too long or no chat
            completion, once retries are used up, is an answer with a problem. An empty reply is an empty text, and a
            refusal is its words.

        Raises:
            ModelError: The key or the model is not accepted, the account is empty, the server knows no such option,
                or cannot be reached for a single pair. Says what to do; run the same command again afterwards.

        Cost: N requests, equal pairs once at temperature 0, and those that are repeated; the pictures of a batch are
        held as base64 while it runs.
        """
        pairs = _pairs(batch, self._greedy, self._seed)
        if not pairs:
            return []
        asking = asyncio.run_coroutine_threadsafe(self._ask_all(pairs), self._loop)
        try:
            replies = asking.result()
        except BaseException:  # Ctrl-C too: nothing may go on asking
            asking.cancel()
            raise
        answers: dict[int, Answer] = {}
        for pair, reply in zip(pairs, replies, strict=True):
            text, problem = (None, f"{self.name}: {reply.why}") if isinstance(reply, Fault) else (reply, None)
            answer = Answer(model=self.name, text=text, problem=problem, revision=self.revision)
            answers.update(dict.fromkeys(pair.places, answer))
        return [answers[place] for place in range(len(batch))]

    async def _ask_all(self, pairs: Sequence[_Pair]) -> list[str | Fault]:
        """A text or a fault for each pair."""
        once = {pair.picture_id: pair.picture for pair in pairs}
        urls = {
            key: asyncio.create_task(asyncio.to_thread(_data_url, image, self._format)) for key, image in once.items()
        }
        tasks = [asyncio.create_task(self._ask(pair, urls[pair.picture_id])) for pair in pairs]
        try:
            replies = await asyncio.gather(*tasks)
        finally:  # one that cannot be answered stops the others
            for task in tasks:
                task.cancel()
        unreached = [reply for reply in replies if isinstance(reply, Fault) and not reply.reached]
        if len(unreached) == len(pairs):
            raise ModelError(
                f"{self.name}: {self._access.address} cannot be reached: {unreached[0].why}. "
                "Check base_url, and that the server runs."
            )
        return replies

    async def _ask(self, pair: _Pair, url: asyncio.Task[str]) -> str | Fault:
        """Ask until there is a text, a fault that will not pass, or no retry left."""
        try:
            picture = {"type": "image_url", "image_url": {"url": await url}}
        except (OSError, ValueError) as error:
            return Fault(f"the picture cannot be written as {self._format}: {error}", again=False)
        content = [picture, {"type": "text", "text": clean(pair.text)}]
        body = ({"seed": pair.seed} if pair.seed is not None else {}) | self._body
        body = {key: found for key, found in body.items() if found is not None}
        tries = 0
        while True:
            said = await self._try([{"role": "user", "content": content}], body)
            tries += 1
            if isinstance(said, str):
                return said
            if said.concerns_all:
                raise ModelError(f"{self.name}: {said.why}")
            if not said.again or tries > self._retries:
                log.warning("%s: %s (asked %d times)", self.name, said.why, tries)
                return replace(said, why=f"{said.why} (asked {tries} times)")
            log.info("%s: %s; asking again", self.name, said.why)
            await asyncio.sleep(self._pause_s(tries, said.wait_s))
            self.usage = replace(self.usage, retries=self.usage.retries + 1)

    async def _try(self, messages: Any, body: Mapping[str, Any]) -> str | Fault:
        """One request, as soon as the gate lets it in."""
        began = await self._gate.enter()
        try:
            said = await self._send(messages, body)
            if isinstance(said, str):
                self._gate.widen()
            elif said.slower:
                self._gate.narrow(began, said.wait_s)
        finally:
            self._gate.leave()
        return said

    async def _send(self, messages: Any, body: Mapping[str, Any]) -> str | Fault:
        self.usage = replace(self.usage, requests=self.usage.requests + 1)
        try:
            async with asyncio.timeout(self._timeout_s):
                raw = await self._client.chat.completions.with_raw_response.create(
                    model=self._model, messages=messages, extra_body=dict(body)
                )
        except TimeoutError:
            return Fault(f"no reply within {self._timeout_s:g} s")
        except openai.APIStatusError as error:
            response = error.response
            return refusal(response.status_code, response.content, response.headers, self._model, self._access)
        except (openai.APIError, httpx2.HTTPError) as error:
            return wire_fault(error)
        return self._read(raw.content)

    def _read(self, content: bytes) -> str | Fault:
        """The text in the body of a 200, with its tokens counted."""
        reply = parsed(content)
        if reply is None:
            return Fault("the server sent something other than a JSON object")
        self._count(reply)
        return text_in(reply, self._access)

    def _count(self, reply: Mapping[str, Any]) -> None:
        """Add a reply's tokens, and note what it calls the model."""
        spent = reply.get("usage")
        spent = spent if isinstance(spent, dict) else {}
        tokens = [spent.get(key) for key in ("prompt_tokens", "completion_tokens")]
        told = [count for count in tokens if isinstance(count, int) and count >= 0]
        used = replace(self.usage, replies=self.usage.replies + 1)
        if len(told) == 2:
            price = used.price_usd
            if self._prices is not None and price is not None:
                price += sum(count * usd / 1e6 for count, usd in zip(told, self._prices, strict=True))
            used = replace(
                used,
                counted=used.counted + 1,
                tokens_in=used.tokens_in + told[0],
                tokens_out=used.tokens_out + told[1],
                price_usd=price,
            )
        self.usage = used
        name = reply.get("model")
        fresh = isinstance(name, str) and name[:200] not in self.served and len(self.served) < 8
        if isinstance(name, str) and fresh and not self._access.is_in(name, 8):
            if self.served:
                log.warning("%s: the server now calls its model %r, before %r", self.name, name[:200], self.served[-1])
            self.served += (name[:200],)

    def _pause_s(self, tries: int, asked_s: float | None) -> float:
        """What the server asked for and a little more, or twice the last pause, both at random."""
        if asked_s is not None:
            return asked_s + self._jitter.uniform(0, 0.5)
        return min(60.0, 0.25 * 2.0 ** min(tries, 10)) * self._jitter.uniform(0.5, 1)


class _Pair(NamedTuple):
    places: list[int]  # in the caller's batch
    picture: Image
    picture_id: str
    text: str
    seed: int | None


def _pairs(batch: Sequence[tuple[Image, str]], greedy: bool, seed: int | None) -> list[_Pair]:
    """The pairs to ask; at temperature 0 equal ones are one, otherwise each has a seed of its own."""
    known: dict[int, tuple[Image, str]] = {}
    pairs: dict[tuple[str, str, int], _Pair] = {}
    times: Counter[tuple[str, str]] = Counter()
    for place, (image, text) in enumerate(batch):
        if id(image) not in known:
            rgb = image.convert("RGB")
            known[id(image)] = (rgb, picture_id(rgb))
        picture, key = known[id(image)]
        time_asked = 0 if greedy else times[key, text]
        times[key, text] += 1
        own = None if greedy or seed is None else seed_for(seed, key, text, str(time_asked)) >> 32  # 31 bits
        pairs.setdefault((key, text, time_asked), _Pair([], picture, key, text, own)).places.append(place)
    return list(pairs.values())


def _data_url(picture: Image, kind: str) -> str:
    written = io.BytesIO()
    picture.save(written, kind, **({"quality": 95} if kind == "jpeg" else {}))
    return f"data:image/{kind};base64,{base64.b64encode(written.getvalue()).decode()}"
