"""`make zoo`: train every model of the zoo, measure it, ship it as an ordinary model folder, and write the manifest."""

from __future__ import annotations

import hashlib
import json
import logging
import platform
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from auditdm.backends.judges import ExactJudge
from auditdm.backends.local import TransformersModel
from auditdm.environment import environment
from auditdm.runs.evaluation import evaluate
from auditdm.sandbox.language import ALL_SKILLS
from auditdm.sandbox.suites import ILL_POSED, suite
from auditdm.sandbox.zoo import ZOO, zoo_folder
from auditdm.sandbox.zoo_training import ALIGN_STEPS, ROUNDS, TOWER_STEPS, WEIGHTS, last_step, train
from auditdm.types import Example

log = logging.getLogger(__name__)
HELD_OUT_SEED = 7_000  # of the questions that models are measured on; training draws from other seeds
LEARNED = 0.95
ORDER = (
    "reference-1",
    "target-small",
    "reference-2",
    "reference-3",
    "target-large",
    "target-many",
    "auditor",
    "auditor-wide",
)


def ship(name: str, model: Any, processor: Any) -> Path:
    """Save a trained model in half precision where the package finds it."""
    folder = zoo_folder() / name
    model.half().save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def minutes(notes: Path) -> float:
    """Wall minutes that a training took by its own notes, sessions added up."""
    spent, before = 0.0, 0.0
    for row in map(json.loads, notes.read_text().splitlines()):
        now = row.get("seconds", 0.0)
        spent, before = spent + (before if now < before else 0.0), now
    return round((spent + before) / 60, 1)


def held_out(name: str, count: int) -> list[Example]:
    """`count` questions of every taught skill, of ill-posed ones, and of every planted slice of a model."""
    gaps = ZOO[name].gaps
    examples = [e for s in (*WEIGHTS, ILL_POSED) for e in suite(s, count, seed=HELD_OUT_SEED, gaps=gaps)]
    return examples + [e for g in gaps for e in suite(g.skill, count, seed=HELD_OUT_SEED, gaps=gaps, inside=g)]


def measure(name: str, *, count: int) -> dict[str, Any]:
    """Accuracy per skill, per planted slice and elsewhere, each with n, and how often "cannot say" is said.

    Cost: about 30 * count answers.
    """
    model = TransformersModel(zoo_folder() / name, name=name, batch=256, max_new_tokens=6)
    examples = held_out(name, count)
    rates = evaluate({name: model}, examples, ExactJudge())[name]
    # Whether a valid question is met with "cannot say": the ill-posed suite tells the other side.
    valid = [e for e in examples if e.suite != ILL_POSED and not e.slice]
    sample = valid[:: max(1, len(valid) // (2 * count))]
    replies = model.generate([(e.image, e.question) for e in sample])
    evaded = sum(a.text == "cannot say" for a in replies)
    return {
        "skills": {
            s: rates[s, "elsewhere"].as_dict() if (s, "elsewhere") in rates else rates[s, ""].as_dict() for s in WEIGHTS
        },
        "ill_posed": rates[ILL_POSED, ""].as_dict(),
        "cannot_say_to_valid": {"value": evaded / len(sample), "hits": evaded, "asked": len(sample), "void": 0},
        "gaps": [{**g.as_dict(), "accuracy": rates[g.skill, g.name].as_dict()} for g in ZOO[name].gaps],
    }


def _steps(name: str) -> dict[str, Any]:
    if ZOO[name].base:
        return {"from": ZOO[name].base, "more gaps" if ZOO[name].gaps else "auditor": last_step(name)}
    return {
        "tower": TOWER_STEPS,
        "align": ALIGN_STEPS,
        "language": [last for last, *_ in ROUNDS[: ZOO[name].rounds]],
    }


def make_zoo(work: Path, names: Sequence[str] = ORDER, *, count: int = 2000) -> None:
    """Train, ship and measure, one model after the other; resumes.

    Cost: about 25 minutes per model on one core of an AMD EPYC, and 3 minutes of measuring.
    """
    path = zoo_folder() / "manifest.json"
    for name in names:
        folder = ship(name, *train(name, work))
        weights = folder / "model.safetensors"
        told = environment()
        entry = {
            "species": {
                k: getattr(ZOO[name], k) for k in ("family", "width", "layers", "seed", "tower", "base", "rounds")
            },
            "steps": _steps(name),
            "command": f"python -m auditdm.sandbox.zoo_making WORK {name}",
            "minutes_on_one_thread": minutes(work / f"{name}.jsonl"),
            "hardware": {k: told.get(k) for k in ("cpu", "platform", "python")} | {"machine": platform.machine()},
            "torch": torch.__version__,
            "megabytes": round(weights.stat().st_size / 1e6, 2),
            "sha256": hashlib.sha256(weights.read_bytes()).hexdigest(),
            **({} if name.startswith("auditor") else measure(name, count=count)),
        }
        known = json.loads(path.read_text()) if path.exists() else {"models": {}}  # others may train beside us
        known["models"][name] = entry
        references = [m for n, m in known["models"].items() if n.startswith("reference")]
        known["learned_skills"] = [
            s for s in WEIGHTS if references and all(m["skills"][s]["value"] >= LEARNED for m in references)
        ]
        known["skills_of_the_world"] = len(ALL_SKILLS)
        path.write_text(json.dumps(known, indent=1) + "\n")
        log.info("%s: %s", name, json.dumps(entry)[:2000])


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stdout)
    torch.set_num_threads(1)
    make_zoo(Path(sys.argv[1] if len(sys.argv) > 1 else ".zoo"), sys.argv[2:] or ORDER)
