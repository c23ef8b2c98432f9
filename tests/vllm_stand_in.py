"""What TRL asks of a vLLM server, on loopback, answered by transformers: `with StandIn(folder) as server`.

It speaks the endpoints that TRL 1.16 uses for prompts with pictures, as TRL's client expects them; vLLM itself was not at
hand. Weights come through `StandIn.receive`, because NCCL needs two GPUs.
"""

from __future__ import annotations

import base64
import io
import json
import threading
from collections.abc import Iterable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from auditdm.backends.loading import load_vlm

NAME = "the-auditor"


class StandIn:
    """One model, and everything it was asked.

    Args:
        folder: The model's.
        missing: "weights" for a server without a weight-transfer option, "render" for one without `--enable-scale-out`,
            "generate" for one that breaks down when it is to write.
    """

    def __init__(self, folder: Path, missing: str | None = None) -> None:
        self.model, self.processor = load_vlm(folder, device="cpu")
        self.missing = missing
        self.asked: list[dict[str, Any]] = []  # bodies of /inference/v1/generate
        self.updates: list[set[str]] = []  # names of the weights that came, for each update
        self.at: list[str] = []  # paths, in order
        self._pictures: dict[str, Image.Image] = {}
        self._lock = threading.Lock()
        self._http = _Http(("127.0.0.1", 0), type("_Bound", (_Handler,), {"owner": self}))
        self.url = f"http://127.0.0.1:{self._http.server_port}"

    def __enter__(self) -> StandIn:
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    def receive(self, weights: Iterable[tuple[str, torch.Tensor]]) -> None:
        """Take the weights of a step; every name has to be one of the model's, and every one of them has to come."""
        ours = dict(self.model.named_parameters())
        came = set()
        with torch.no_grad():
            for name, weight in weights:
                ours[name].copy_(weight)
                came.add(name)
        assert came == ours.keys(), ours.keys() - came
        self.updates.append(came)

    def render(self, body: dict[str, Any]) -> dict[str, Any]:
        """The features of a picture: here a name for it, and a place that means nothing for the trainer's prompt."""
        [message] = body["messages"]
        [part] = message["content"]
        raw = base64.b64decode(part["image_url"]["url"].partition("base64,")[2], validate=True)
        picture = Image.open(io.BytesIO(raw)).convert("RGB")
        name = f"picture {len(self._pictures)}"
        self._pictures[name] = picture
        return {
            "features": {"mm_hashes": {"image": [name]}, "mm_placeholders": {"image": [{"offset": 0, "length": 1}]}}
        }

    def generate(self, body: dict[str, Any]) -> dict[str, Any]:
        """Replies to a prompt of token ids whose picture stands where the body says.

        Log-probabilities are those before the bias; vLLM tells those after it, which are higher by the share of what is
        forbidden. That is nothing in a trained model and a hundredth a token in a random one.
        """
        self.asked.append(body)
        ids, features, how = body["token_ids"], body["features"], body["sampling_params"]
        [name], [place] = features["mm_hashes"]["image"], features["mm_placeholders"]["image"]
        number = self.model.config.image_token_id
        stretch = range(place["offset"], place["offset"] + place["length"])
        assert [at for at, token in enumerate(ids) if token == number] == list(stretch), "the picture is elsewhere"
        seen = self.processor.image_processor([[self._pictures[name]]], return_tensors="pt")
        seen = {key: seen[key] for key in ("pixel_values", "image_grid_thw") if key in seen}
        types = torch.tensor([[int(token == number) for token in ids]])
        key = "mm_token_type_ids" if "image_grid_thw" in seen else "token_type_ids"
        told = self.model.generate(
            input_ids=torch.tensor([ids]), attention_mask=torch.ones(1, len(ids), dtype=torch.long), **{key: types},
            **seen, do_sample=True, temperature=how["temperature"], top_k=0, max_new_tokens=how["max_tokens"],
            num_return_sequences=how["n"], output_logits=True, return_dict_in_generate=True,
            sequence_bias={(int(token),): bias for token, bias in (how.get("logit_bias") or {}).items()} or None,
        )  # fmt: skip
        logs = torch.log_softmax(torch.stack(told.logits, dim=1), -1)
        written = told.sequences[:, len(ids) :].tolist()
        return {"choices": [self._choice(tokens, log) for tokens, log in zip(written, logs, strict=True)]}

    def _choice(self, tokens: list[int], logs: torch.Tensor) -> dict[str, Any]:
        ends = self.model.generation_config.eos_token_id
        if ends in tokens:
            tokens = tokens[: tokens.index(ends) + 1]
        said = [
            {"token": f"token_id:{token}", "logprob": float(logs[at, token]), "top_logprobs": []}
            for at, token in enumerate(tokens)
        ]
        return {"token_ids": tokens, "logprobs": {"content": said}}


class _Http(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


class _Handler(BaseHTTPRequestHandler):
    owner: StandIn
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.owner.at.append(self.path)
        transfer = None if self.owner.missing == "weights" else {"backend": "nccl"}
        settings = {"weight_transfer_config": transfer, "model_config": {"logprobs_mode": "processed_logprobs"}}
        told = {
            "/health": {},
            "/v1/models": {"data": [{"id": NAME}]},
            "/server_info": {"vllm_config": settings},
            "/get_world_size": {"world_size": 1},
        }
        self.send(200, told[self.path.partition("?")[0]])

    def do_POST(self) -> None:
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = json.loads(raw) if raw else {}
        with self.owner._lock:
            self.owner.at.append(self.path)
            if self.path == "/v1/chat/completions/render" and self.owner.missing == "render":
                self.send(404, {"detail": "Not Found"})
            elif self.path == "/v1/chat/completions/render":
                self.send(200, self.owner.render(body))
            elif self.path == "/inference/v1/generate" and self.owner.missing == "generate":
                self.close_connection = True  # no reply at all
            elif self.path == "/inference/v1/generate":
                self.send(200, self.owner.generate(body))
            else:
                assert self.path == "/reset_prefix_cache", self.path
                self.send(200, {"success": True})

    def send(self, status: int, said: dict[str, Any]) -> None:
        content = json.dumps(said).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass
