"""A chat server on loopback that fails as real ones do, when the test says so. Standard library and Pillow only.

    with FaultyServer(fault=lambda ask: "500" if ask.time == 0 else None) as server:
        EndpointModel("tiny", base_url=server.url)

Its answer depends on every pixel and every letter, so that an answer given to the wrong probe is a wrong answer.
"""

from __future__ import annotations

import base64
import io
import json
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from PIL import Image

from auditdm.types import content_id, picture_id

HTML = b"<!doctype html><html><body><h1>Bad gateway</h1></body></html>"
FAULTS = ("429", "500", "hang", "cut", "html", "empty", "huge", "two")
KEY = "sk-loopback-7f3a9c51e8d24b60"  # opens nothing


def right_answer(picture: Image.Image, text: str) -> str:
    """What the server says when it says anything."""
    return f"answer {content_id(picture_id(picture), text)}"


@dataclass(frozen=True)
class Ask:
    """One request, and how often the same picture and text had come before."""

    text: str
    answer: str
    time: int
    at_once: int  # requests under way, this one among them
    body: dict[str, Any] = field(repr=False)
    headers: dict[str, str] = field(repr=False)  # names in small letters
    arrived_s: float = 0.0


class FaultyServer:
    """Serves POST /v1/chat/completions.

    Args:
        fault: What goes wrong with a request: one of FAULTS or of `_Handler.reply`, a (status, headers, JSON) of your
            own, or None.
        delay_s: How long a reply takes.
        choice: Replaces the choice of a reply.
    """

    def __init__(
        self,
        fault: Callable[[Ask], Any] = lambda ask: None,
        delay_s: float = 0.0,
        choice: Callable[[Ask], Any] | None = None,
    ) -> None:
        self.fault, self.delay_s, self.choice = fault, delay_s, choice
        self.asks: list[Ask] = []
        self.at_once = self.most_at_once = 0
        self.lock, self.over = threading.Lock(), threading.Event()
        self._times: Counter[str] = Counter()
        self._http = _Http(("127.0.0.1", 0), type("_Bound", (_Handler,), {"owner": self}))
        self.url = f"http://127.0.0.1:{self._http.server_port}/v1"

    def __enter__(self) -> FaultyServer:
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    def note(self, body: dict[str, Any], headers: dict[str, str]) -> Ask:
        """Take a request down."""
        picture, text = read_content(body)
        answer = right_answer(picture, text)
        with self.lock:
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
            ask = Ask(text, answer, self._times[answer], self.at_once, body, headers, time.monotonic())
            self._times[answer] += 1
            self.asks.append(ask)
        return ask

    def done(self) -> None:
        """A request is over."""
        with self.lock:
            self.at_once -= 1


def read_content(body: dict[str, Any]) -> tuple[Image.Image, str]:
    """The picture and the text of a request, or an error if it is not exactly one of each, the picture first."""
    [message] = body["messages"]
    assert message["role"] == "user"
    first, second = message["content"]
    assert (first["type"], second["type"]) == ("image_url", "text")
    kind, _, coded = first["image_url"]["url"].partition(";base64,")
    picture = Image.open(io.BytesIO(base64.b64decode(coded, validate=True)))
    assert kind == f"data:image/{picture.format.lower()}"
    return picture, second["text"]


class _Http(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128  # five would turn callers away that come at the same time

    def handle_error(self, *_: object) -> None:
        """A caller that hangs up is no news; a request that the server cannot read comes back as a cut connection."""


class _Handler(BaseHTTPRequestHandler):
    owner: FaultyServer
    protocol_version = "HTTP/1.1"
    timeout = 10

    def do_POST(self) -> None:
        assert self.path == "/v1/chat/completions", self.path
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        ask = self.owner.note(body, {name.lower(): found for name, found in self.headers.items()})
        over = False
        try:
            self.owner.over.wait(self.owner.delay_s)
            self.owner.done()
            over = True
            self.reply(ask, self.owner.fault(ask))
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True
        finally:
            if not over:
                self.owner.done()

    def reply(self, ask: Ask, fault: Any) -> None:
        if isinstance(fault, tuple):
            status, headers, said = fault
            self.send(status, said if isinstance(said, bytes) else json.dumps(said).encode(), headers)
        elif fault == "429":
            self.send(429, json.dumps({"error": {"message": "Too many requests"}}).encode())
        elif fault == "500":
            self.send(500, json.dumps({"error": {"message": "CUDA error"}}).encode())
        elif fault == "hang":
            self.owner.over.wait(60)
            self.close_connection = True
        elif fault == "cut":  # half a reply, then a reset
            self.send(200, json.dumps(completion(ask, ask.answer)).encode(), cut=True)
        elif fault == "drip":  # a byte now and then: no single read waits long
            self.send_head(200, 1000, {})
            while not self.owner.over.wait(0.05):
                self.wfile.write(b" ")
        elif fault == "html":
            self.send(200, HTML, {"Content-Type": "text/html"})
        elif fault == "empty":
            self.send(200, json.dumps({**completion(ask, ""), "choices": []}).encode())
        elif fault == "two":
            choices = [choice_of("one answer"), choice_of("another")]
            self.send(200, json.dumps({**completion(ask, ""), "choices": choices}).encode())
        elif fault == "huge":
            self.send(200, json.dumps(completion(ask, "no " * 3_500_000)).encode())
        elif fault == "huge 500":
            self.send(500, b"x" * 10_000_000)
        elif fault == "deep":
            self.send(200, b"[" * 400_000)
        elif fault == "latin":
            self.send(200, b'{"choices": "\xe9"}')
        else:
            assert fault is None, fault
            said = completion(ask, ask.answer)
            if self.owner.choice is not None:
                said["choices"] = [self.owner.choice(ask)]
            self.send(200, json.dumps(said).encode())

    def send(self, status: int, content: bytes, headers: dict[str, str] | None = None, cut: bool = False) -> None:
        self.send_head(status, len(content), headers or {})
        self.wfile.write(content[: len(content) // 2] if cut else content)
        if cut:
            self.wfile.flush()
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close_connection = True

    def send_head(self, status: int, length: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for key, found in {"Content-Type": "application/json", "Content-Length": str(length), **headers}.items():
            self.send_header(key, found)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def choice_of(text: str | None, **other: Any) -> dict[str, Any]:
    """A choice as servers write it."""
    return {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}, **other}


def completion(ask: Ask, text: str) -> dict[str, Any]:
    """A chat completion as servers write it: 100 tokens in, 5 out."""
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 0,
        "model": f"{ask.body['model']}-2026-01",
        "choices": [choice_of(text)],
        "usage": {"prompt_tokens": 100, "completion_tokens": 5, "total_tokens": 105},
    }
