"""Audits behind servers against audits in process: `python tests/served_audit.py [served|faults] [PROBES] [FOLDER]`.

`served`: the zoo's target and references once in this process and once each behind a `transformers serve` of its own, on
loopback; the same auditor asks the same probes, and the verdicts are compared one by one.
`faults`: a target behind the chat server of the tests, once well and once failing in three of ten requests.
Both write run folders into FOLDER, which must not have them yet: a server's port is part of a configuration.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import random
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL.Image import Image

from acting_models import AGAIN, digit
from auditdm.config import AuditConfig, parse_config
from auditdm.runs.auditing import audit
from auditdm.store import Run
from auditdm.types import Answer, picture_id
from faulty_server import FAULTS, Ask, FaultyServer, choice_of

ZOO = ("target-small", "reference-1", "reference-2", "reference-3")  # the target first
FAULT_RATE = 0.3


# --- comparing


def verdicts_of(run: Run) -> dict[str, dict[str, Any]]:
    """The verdict on each probe, by the probe's id."""
    return {row["id"]: row for row in run.rows("verdicts")}


def differing(one: Run, other: Run) -> list[str]:
    """Ids of the probes on which two runs do not say the same in every column; both must have the same probes."""
    ours, theirs = verdicts_of(one), verdicts_of(other)
    assert ours.keys() == theirs.keys(), "the two runs did not ask the same probes"
    return [key for key in ours if ours[key] != theirs[key]]


def unequal_answers(one: Run, other: Run) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Pairs of rows where the same question got another text, whatever the verdict made of it."""
    pairs = [_answers_of(one), _answers_of(other)]
    shared = [key for key in pairs[0] if key in pairs[1]]
    return [(pairs[0][k], pairs[1][k]) for k in shared if pairs[0][k]["text"] != pairs[1][k]["text"]]


def _answers_of(run: Run) -> dict[tuple[Any, ...], dict[str, Any]]:
    """By probe, who was asked (the last part of its name), and wording."""
    return {(r["probe_id"], r["model"].rpartition("/")[2], r["wording"]): r for r in run.rows("answers")}


# --- the zoo behind real servers


@contextlib.contextmanager
def serving(names: Sequence[str]) -> Iterator[dict[str, str]]:
    """A `transformers serve` for each model of the zoo: their addresses."""
    from transformers.cli.serve import Serve

    from auditdm.sandbox.zoo import model_folder

    fixed: dict[str, Any] = {"device": "cpu", "dtype": "float32", "host": "127.0.0.1", "port": 0, "log_level": "error"}
    servers = [Serve(force_model=str(model_folder(name)), non_blocking=True, **fixed) for name in names]
    try:
        end = time.monotonic() + 60
        while not all(s.server.started for s in servers) and time.monotonic() < end:
            time.sleep(0.02)
        for logger in ("uvicorn.access", "uvicorn.error"):
            logging.getLogger(logger).setLevel(logging.WARNING)  # a line per request otherwise
        ports = [s.server.servers[0].sockets[0].getsockname()[1] for s in servers]
        yield {name: f"http://127.0.0.1:{port}/v1" for name, port in zip(names, ports, strict=True)}
    finally:
        for server in servers:
            server.kill_server()


def zoo_audit(probes: int, urls: Mapping[str, str] | None = None, *, batch: int = 64) -> AuditConfig:
    """An audit of the zoo's target without training: in process, or with every witness at its address."""
    from auditdm.sandbox.zoo import model_folder

    def spec(name: str) -> dict[str, Any]:
        if urls is None:
            return {"model": f"sandbox/{name}", "max_new_tokens": 8, "batch": 64}
        options = {"base_url": urls[name], "connections": 4, "timeout_s": 60.0}
        return {
            "model": f"openai-api/{model_folder(name)}",
            "max_new_tokens": 8,
            "options": options,
        }  # as it is called there

    target, *references = ZOO
    return parse_config(
        {
            "seed": 7,
            "images": {"path": "sandbox/served", "limit": max(16, probes // 2), "holdout": 0.9},
            "auditor": "sandbox/auditor",
            "target": spec(target),
            "references": [spec(name) for name in references],
            "generator": "sandbox",
            "editor": "sandbox",
            "prompts": "auditdm.sandbox:prompts.yaml",
            "wordings": ["{question}", "again : {question}"],
            "compare": [],
            "training": {"steps": 0},
            "discovery": {"probes": probes, "batch": batch},
            "confirmation": {"budget": 0},
        }
    )


def served_and_near(probes: int, folder: Path, *, batch: int = 64) -> tuple[Run, Run]:
    """The same audit in process and behind servers: two finished runs."""
    near = audit(zoo_audit(probes, batch=batch), folder / "near")
    with serving(ZOO) as urls:
        far = audit(zoo_audit(probes, urls, batch=batch), folder / "far")
    return near, far


def alone_and_together(pairs: Sequence[tuple[dict[str, Any], dict[str, Any]]], run: Run) -> list[dict[str, Any]]:
    """Of each unequal answer: what the model says in process when it is asked that question and no other beside it."""
    from auditdm.backends.specs import load_model

    probes = {p["id"]: p for p in run.rows("probes")}
    wordings = run.config["wordings"]
    models: dict[str, Any] = {}
    told = []
    for near, far in pairs:
        model = models.setdefault(near["model"], load_model(near["model"], max_new_tokens=8, batch=1))
        probe = probes[near["probe_id"]]
        text = wordings[near["wording"]].replace("{question}", probe["question"])
        [alone] = model.generate([(run.picture(probe["picture_id"]), text)])
        told.append({"model": near["model"], "question": text, "in_batch": near["text"], "served": far["text"],
                     "served_problem": far["problem"], "alone": alone.text})  # fmt: skip
    return told


# --- a target behind a server that fails


class Asker:
    """An auditor that asks of each picture another question each time it sees it; every tenth is no proposal."""

    name, revision = "asker", "acting"

    def __init__(self) -> None:
        self._seen: Counter[str] = Counter()

    def generate(self, batch: Sequence[tuple[Image, str]]) -> list[Answer]:
        replies = []
        for image, _ in batch:
            key = picture_id(image)
            self._seen[key] += 1
            number = (int(key, 16) + 37 * self._seen[key]) % 1000
            text = f"<question> how many are {number} ? </question>" if number % 10 else f"{number} !"
            replies.append(Answer(model=self.name, text=text, revision=self.revision))
        return replies


def acted(ask: Ask) -> dict[str, Any]:
    """What the target of this file says: it fails on questions that end in 1 to 5."""
    return choice_of("one" if 1 <= digit(ask.text) <= 5 else "two")


def three_of_ten(ask: Ask) -> str | None:
    """A fault for 30% of the requests, by what is asked and how often it was: the order of requests changes nothing."""
    drawn = random.Random(f"{ask.answer} {ask.time}")
    return drawn.choice(FAULTS) if drawn.random() < FAULT_RATE else None


def faulty_audit(probes: int, url: str, retries: int, timeout_s: float = 1.0) -> AuditConfig:
    """An audit of the target at the address, with two references in process."""
    options = {"base_url": url, "timeout_s": timeout_s, "retries": retries, "connections": 64}
    return parse_config(
        {
            "seed": 7,
            "images": {"path": "sandbox/faults", "limit": max(16, probes // 4), "holdout": 0.9},
            "auditor": "served_audit:Asker",
            "target": {"model": "openai-api/acting", "options": options},
            "references": ["acting_models:reference", "acting_models:other"],
            "wordings": ["{question}", AGAIN + "{question}"],
            "compare": [],
            "training": {"steps": 0},
            "discovery": {"probes": probes, "batch": 256},
            "confirmation": {"budget": 0},
        }
    )


def well_and_faulty(probes: int, folder: Path, retries: int = 6) -> tuple[Run, Run, dict[str, Any]]:
    """The same audit of a healthy server and of a failing one: two finished runs, and what the second server did."""
    with FaultyServer(choice=acted) as server:
        well = audit(faulty_audit(probes, server.url, retries, 60.0), folder / "well")  # slow is not ill
    with FaultyServer(three_of_ten, choice=acted) as server:
        began = time.monotonic()
        faulty = audit(faulty_audit(probes, server.url, retries), folder / "faulty")
        kinds = Counter(three_of_ten(ask) for ask in server.asks)
    asked, failed = kinds.total(), kinds.total() - kinds[None]
    seconds = round(time.monotonic() - began, 1)
    kinds.pop(None, None)
    return well, faulty, {"requests": asked, "faults": failed, "kinds": dict(kinds), "seconds": seconds}


# --- the command


def told_of_served(probes: int, folder: Path) -> dict[str, Any]:
    """The figures of `served`."""
    near, far = served_and_near(probes, folder)
    apart, unequal = differing(near, far), unequal_answers(near, far)
    explained = alone_and_together(unequal, near)
    seconds = {run.path.name: _stages(run)["discovery trained"] for run in (near, far)}
    outcomes = Counter(row["outcome"] for row in verdicts_of(near).values())
    return {
        "probes": len(verdicts_of(near)),
        "identical": len(verdicts_of(near)) - len(apart),
        "differing": len(apart),
        "outcomes": dict(outcomes),
        "answers": len(_answers_of(near)),
        "unequal_answers": len(unequal),
        "alone_as_served": sum(e["alone"] == e["served"] for e in explained),
        "explained": explained,
        "stages": seconds,
    }


def told_of_faults(probes: int, folder: Path, retries: int = 6) -> dict[str, Any]:
    """The figures of `faults`."""
    well, faulty, server = well_and_faulty(probes, folder, retries)
    before, after = verdicts_of(well), verdicts_of(faulty)
    void = [row for row in after.values() if row["outcome"] == "void"]
    failed = {key for key, row in before.items() if row["outcome"] == "failure"}
    fails = {key for key, row in after.items() if row["outcome"] == "failure"}
    return {
        "probes": len(before),
        "lost": len(before.keys() - after.keys()),
        "void": len(void),
        "void_without_reason": sum(not row["reason"] for row in void),
        "failures_well": len(failed),
        "failures_faulty": len(fails),
        "false_failures": len(fails - failed),
        "missed_failures_not_void": len(failed - fails - {row["id"] for row in void}),
        "differing": len(differing(well, faulty)),
        **server,
    }


def _stages(run: Run) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run.path / "stages.json").read_text())
    return found


if __name__ == "__main__":
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    what, count, where = (*sys.argv[1:], *("served", "1200", "runs/served")[len(sys.argv) - 1 :])[:3]
    told = (told_of_served if what == "served" else told_of_faults)(int(count), Path(where) / what)
    print(json.dumps(told, indent=1))
