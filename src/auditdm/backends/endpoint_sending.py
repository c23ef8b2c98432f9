"""How requests go out: as many at a time as the server bears, and no more of a reply read than allowed."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import httpx2
import openai

from auditdm.backends.endpoint_access import Access
from auditdm.backends.endpoint_replies import LONGEST_WAIT_S, Fault

log = logging.getLogger(__name__)


class Gate:
    """Lets so many requests in as the server bears. Belongs to one event loop."""

    def __init__(self, most: int, per_minute: float | None) -> None:
        self._most, self.limit, self._inside = most, float(most), 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._gap_s = 60.0 / per_minute if per_minute else 0.0
        self._next = self._opens = self._narrowed = 0.0  # on the clock of the loop

    async def enter(self) -> float:
        """Wait for a place, for the pause that the server asked for and for one's turn; returns when one came in."""
        loop = asyncio.get_running_loop()
        while self._inside >= int(self.limit):
            turn = loop.create_future()
            self._waiting.append(turn)
            try:
                await turn
            except asyncio.CancelledError:
                self._wake()  # the turn may have been given already
                raise
        self._inside += 1
        try:
            start = max(loop.time(), self._next)
            self._next = start + self._gap_s
            while (wait_s := max(start, self._opens) - loop.time()) > 0:
                await asyncio.sleep(wait_s)
        except asyncio.CancelledError:
            self.leave()
            raise
        return loop.time()

    def leave(self) -> None:
        """Give the place to whoever waits longest."""
        self._inside -= 1
        self._wake()

    def widen(self) -> None:
        """One place more after as many replies as there are places."""
        self.limit = min(float(self._most), self.limit + 1 / self.limit)
        self._wake()

    def narrow(self, began: float, wait_s: float | None) -> None:
        """Half the places; requests that were under way at that time do not halve them again."""
        now = asyncio.get_running_loop().time()
        if wait_s is not None and wait_s <= LONGEST_WAIT_S:
            self._opens = max(self._opens, now + wait_s)
        if began >= self._narrowed:
            self.limit, self._narrowed = max(1.0, self.limit / 2), now
            log.info("the server asks for fewer requests: at most %d at a time", int(self.limit))

    def _wake(self) -> None:
        free = int(self.limit) - self._inside
        while self._waiting and free > 0:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                free -= 1


class _TooLong(httpx2.RequestError):
    """The reply is longer than allowed."""


class _AtMost(httpx2.AsyncByteStream):
    """A body that ends with an error once it is too long."""

    def __init__(self, inner: Any, most: int) -> None:
        self._inner, self._most = inner, most

    async def __aiter__(self) -> AsyncIterator[bytes]:
        length = 0
        async for chunk in self._inner:
            length += len(chunk)
            if length > self._most:
                raise _TooLong(f"the reply is longer than {self._most} bytes")
            yield chunk

    async def aclose(self) -> None:
        await self._inner.aclose()


class _Http(httpx2.AsyncClient):
    """Reads no more of a body than allowed, whatever its status."""

    most_bytes: int

    async def send(self, request: httpx2.Request, *, stream: bool = False, **options: Any) -> httpx2.Response:
        response = await super().send(request, stream=True, **options)
        response.stream = _AtMost(response.stream, self.most_bytes)
        if not stream:
            try:
                await response.aread()
            except BaseException:
                await response.aclose()
                raise
        return response


def client_for(access: Access, most_bytes: int) -> openai.AsyncOpenAI:
    """A client that neither repeats nor follows a redirect: both would happen behind our back."""
    http = _Http(
        timeout=None,  # `timeout_s` is for the whole request
        limits=httpx2.Limits(max_connections=None, max_keepalive_connections=100),
        headers={"Accept-Encoding": "identity"},  # a packed body could be longer than it looks
    )
    http.most_bytes = most_bytes
    client = openai.AsyncOpenAI(
        api_key=access.key.get_secret_value() if access.key else "none",
        base_url=access.address,
        max_retries=0,
        http_client=http,
    )
    if urlsplit(access.address).hostname != "api.openai.com":
        client.organization = client.project = None  # from the environment, and nobody else's affair
    return client


def wire_fault(error: Exception) -> Fault:
    """What went wrong where there is no status; the error's own words may quote a header, so its kind must do."""
    cause = error.__cause__ or error
    if isinstance(cause, _TooLong):
        return Fault(str(cause))
    if isinstance(cause, (httpx2.ConnectError, httpx2.ConnectTimeout)):
        return Fault(f"no connection ({cause})", reached=False)
    return Fault(f"the connection was cut ({type(cause).__name__})")


def start_loop(name: str) -> asyncio.AbstractEventLoop:
    """An event loop in a thread of its own, which ends with the program, or with `stop_loop`."""
    loop = asyncio.new_event_loop()

    def run() -> None:
        loop.run_forever()
        loop.close()

    threading.Thread(target=run, name=name, daemon=True).start()
    return loop


def stop_loop(loop: asyncio.AbstractEventLoop, client: openai.AsyncOpenAI) -> None:
    """Close the client's connections and end the loop."""

    async def close() -> None:
        await client.close()
        loop.stop()

    asyncio.run_coroutine_threadsafe(close(), loop)
