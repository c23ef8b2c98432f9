"""A short audit of acting models with a real auditor, and how to start and stop it from outside."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from acting_models import AGAIN
from auditdm.backends.specs import load_pool
from auditdm.store import TABLES, Run

STEPS, BATCH, GROUP = 4, 16, 4


def configured(images="sandbox/5", **training):
    return {
        "seed": 3,
        "images": {"path": str(images), "limit": 24},
        "auditor": "sandbox/auditor",
        "target": "acting_models:target",
        "references": ["acting_models:reference", "acting_models:other"],
        "generator": "sandbox",
        "editor": "sandbox",
        "prompts": "auditdm.sandbox:prompts.yaml",
        "wordings": ["{question}", AGAIN + "{question}"],
        "training": {
            "steps": STEPS, "batch": BATCH, "group": GROUP, "checkpoint_every": 2, "grpo": {"learning_rate": 3e-4},
            **training,
        },
        "discovery": {"probes": 48, "batch": 16},
        "confirmation": {"budget": 0},
    }  # fmt: skip


def tables(path):
    """Every row of every table, by id; how long a step took is of the clock."""
    run = Run.read(path)
    return {
        table: sorted(({**row, "seconds": None} for row in run.rows(table)), key=lambda row: row["id"])
        for table in TABLES
    }


def weights_in(folder):
    from safetensors.torch import load_file

    return load_file(Path(folder) / "model.safetensors")


def pictures_in(folder):
    """Fill a folder with pictures that have questions, some written as data sets for vision-language models write them."""
    folder.mkdir()
    lines = []
    for n, source in enumerate(load_pool("sandbox/5", 24)):
        source.image.save(folder / f"{n:02d}.png")
        lines.append(json.dumps({"image": f"{n:02d}.png", "question": ("<image> " if n % 2 else "") + source.question}))
    (folder / "questions.jsonl").write_text("\n".join(lines))
    return folder


def command(config, folder, **variables):
    source = Path(__file__).parents[1] / "src"
    return subprocess.Popen(
        [sys.executable, "-m", "auditdm.cli", "audit", str(config), "--run", str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": f"{source}{os.pathsep}{Path(__file__).parent}", **variables},
        preexec_fn=lambda: signal.signal(
            signal.SIGINT, signal.SIG_DFL
        ),  # a shell in the background ignores it, and so would we
    )


def stop(process, when, how, after_s=0.0):
    """Send a signal as soon as the folder shows that it is time, or a little later."""
    for _ in range(6000):
        if when() or process.poll() is not None:
            break
        time.sleep(0.02)
    time.sleep(after_s)
    assert process.poll() is None, process.communicate()
    process.send_signal(how)
    return process.communicate(timeout=60)
