"""A small run folder made up by a seed, for tests of what only reads runs. No model is asked anything."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw

from auditdm.stats import Rate
from auditdm.store import Run
from auditdm.types import content_id

TARGET = "sandbox/target-small"
REFERENCES = ("sandbox/reference-1", "sandbox/reference-2", "sandbox/reference-3")
CONFIG = {
    "seed": 7,
    "images": {"path": "sandbox/pictures", "limit": 200},
    "auditor": {"model": "sandbox/auditor"},
    "target": {"model": TARGET},
    "references": [{"model": name} for name in REFERENCES],
}
ENVIRONMENT = {"python": "3.11.2", "command": ["auditdm", "demo", "--run", "runs/my demo"], "commit": "0123abcd"}
COLOURS = {"red": (214, 39, 40), "blue": (40, 100, 210), "green": (44, 150, 60), "purple": (135, 60, 170)}
SHAPES = ("square", "circle", "triangle")
SLICES = (("colour", "purple shapes"), ("count", "more than two"), ("shape", "green triangles"))


def scene(rng: random.Random, colour: str, shape: str, side: int = 64) -> Image.Image:
    """One shape on paper."""
    picture = Image.new("RGB", (side, side), (238, 238, 232))
    x, y, r = rng.randrange(12, side - 28), rng.randrange(12, side - 28), 16
    draw, ink = ImageDraw.Draw(picture), COLOURS[colour]
    if shape == "square":
        draw.rectangle((x, y, x + r, y + r), fill=ink)
    elif shape == "circle":
        draw.ellipse((x, y, x + r, y + r), fill=ink)
    else:
        draw.polygon([(x, y + r), (x + r, y + r), (x + r // 2, y)], fill=ink)
    return picture


def synthetic_run(
    path: Path,
    *,
    probes: int = 60,
    truths: bool = True,
    target: str = TARGET,
    question: str | None = None,
    reply: str | None = None,
    caption: str | None = None,
    group_name: str | None = None,
    side: int = 64,
) -> Path:
    """Write a whole run of three arms through `Run`.

    Args:
        probes: Per arm in discovery; training has as many for the trained arm.
        truths: Whether the sandbox's truth is there.
        target, question, reply, caption, group_name: Texts to put where a model's words or name would stand.
        side: Of every picture, in pixels.
    """
    rng = random.Random(5)
    rows: dict[str, list[dict[str, Any]]] = {}

    def put(table: str, **row: Any) -> None:
        rows.setdefault(table, []).append(row)

    with Run.open(path, CONFIG, ENVIRONMENT) as run:
        sources = []
        for number in range(12):
            picture = scene(rng, rng.choice(list(COLOURS)), rng.choice(SHAPES), side)
            sources.append(run.save_picture(picture))
            put("sources", id=sources[-1], origin=f"picture-{number}.png")
        failures: dict[tuple[str, str], list[str]] = {}
        for arm, phase in (
            ("trained", "training"),
            ("trained", "discovery"),
            ("prompt_only", "discovery"),
            ("paper_reward", "discovery"),
        ):
            for number in range(probes):
                skill, gap = rng.choice(SLICES)
                colour, shape = rng.choice(list(COLOURS)), rng.choice(SHAPES)
                words = question or f"What {skill} is the {shape} on the left, the {colour} one?"
                source, action = rng.choice(sources), ("question", "caption", "edit")[number % 3]
                instruction = (
                    None if action == "question" else caption or f"{'make it' if action == 'edit' else 'a'} {colour}"
                )
                picture_id = source if action == "question" else run.save_picture(scene(rng, colour, shape, side))
                probe = content_id(picture_id, words)
                proposal: dict[str, Any] = {
                    "id": content_id(arm, phase, str(number)),
                    "arm": arm,
                    "phase": phase,
                    "step": number // 8,
                    "source_id": source,
                    "action": action,
                    "given_question": False,
                    "reply": words,
                }
                if number % 10 == 8:
                    put("proposals", **proposal, malformed=f"no <question> in 'blah {number}'")
                    continue
                if number % 10 == 9:
                    put("proposals", **proposal, void="the editor declined", question=words, instruction=instruction)
                    continue
                put("proposals", **proposal, probe_id=probe, question=words, instruction=instruction)
                put(
                    "probes",
                    id=probe,
                    picture_id=picture_id,
                    source_id=source,
                    question=words,
                    action=action,
                    pairing="Q*,I" if action == "question" else "Q*,I*",
                    instruction=instruction,
                )
                chance = {"trained": 0.75, "prompt_only": 0.15, "paper_reward": 0.6}[arm]
                drawn = rng.random()
                outcome = "failure" if drawn < chance else ("agreement", "agreement", "split", "void")[number % 4]
                right, wrong = colour, reply or rng.choice(["none", "cannot say", "yes"])
                said = wrong if outcome == "failure" else right
                for place, model in enumerate((target, *REFERENCES)):
                    mute = outcome == "void" and place == 1
                    text = said if place == 0 else ("two" if outcome == "split" and place == 2 else right)
                    put(
                        "answers",
                        id=content_id(probe, model, "0"),
                        probe_id=probe,
                        role="reference" if place else "target",
                        model=model,
                        revision=f"sha256:{place:08d}",
                        wording=0,
                        text=None if mute else text,
                        problem="timeout after 30 s" if mute else None,
                    )
                    if place and not mute:
                        put(
                            "answers",
                            id=content_id(probe, model, "1"),
                            probe_id=probe,
                            role="reference",
                            model=model,
                            revision=f"sha256:{place:08d}",
                            wording=1,
                            text=text,
                        )
                decided = outcome in ("failure", "agreement")
                put(
                    "verdicts",
                    id=probe,
                    outcome=outcome,
                    consensus=right if decided else None,
                    dissent=None if outcome == "void" else float(outcome == "failure"),
                    reason={"split": "references differ", "void": "a reference was mute"}.get(outcome),
                    target_answer=said,
                )
                valid = arm != "paper_reward" or number % 2 == 0
                if truths:
                    put(
                        "truths",
                        id=probe,
                        valid=valid,
                        invalid_reason=None if valid else "the referent is not unique",
                        skill=skill,
                        answer=right if valid else None,
                        target_right=(outcome != "failure") if valid else None,
                        gap=gap if outcome == "failure" and valid and arm == "trained" else None,
                    )
                if outcome == "failure" and arm == "trained":
                    failures.setdefault((skill, gap), []).append(probe)
        for place, ((skill, gap), ids) in enumerate(sorted(failures.items())):
            distinct = list(dict.fromkeys(ids))
            put(
                "failure_modes",
                id=content_id(skill, gap),
                name=group_name if group_name and not place else f"{skill} of {gap}",
                description=f"Questions about {skill} where the picture shows {gap}.",
                probe_ids=distinct,
                measured=len(distinct) + 6 + place,
            )
        for step in range(30):
            for arm, top in (("trained", 0.75), ("paper_reward", 0.6)):
                put(
                    "training_log",
                    id=content_id(arm, str(step)),
                    arm=arm,
                    step=step,
                    success=top * step / 30 + rng.random() * 0.1,
                    split=0.2 - 0.005 * step,
                    void=0.02,
                    invalid=0.3 * (1 - step / 30),
                    distinct=0.9 - (0.02 * step if arm == "paper_reward" else 0.0),
                    zero_variance=0.1,
                )
        for number in range(20):
            put(
                "trainset",
                id=f"a{number}",
                set="audited",
                origin=("failure", "replay")[number % 2],
                label_from="consensus",
            )
            put("trainset", id=f"c{number}", set="control", origin="random", label_from="consensus")
        for suite in dict(SLICES):
            for slice_name in ("", dict(SLICES)[suite]):
                shares = (0.2, 0.95, 0.3, 0.7) if slice_name else (0.93, 0.97, 0.93, 0.95)
                for model, share in zip(("before", "after", "control", "larger"), shares, strict=True):
                    if (suite, model) != ("shape", "larger"):  # not measured
                        hits = round(200 * share) + rng.randrange(5)
                        put(
                            "scores",
                            id=content_id(model, suite, slice_name),
                            model=model,
                            suite=suite,
                            slice=slice_name,
                            hits=hits,
                            asked=200,
                            void=0,
                        )
        for table, found in rows.items():
            run.append(table, found)
        if truths:
            run.write_json(
                "summary.json",
                {
                    "search_success": Rate(38, 50, 2).as_dict(),
                    "search_success_prompt_only": Rate(8, 50, 1).as_dict(),
                    "distinct_failure_types": 9,
                    "guard": -0.004,
                    "stages": {
                        "training": {"wall_s": 181.2, "model_calls": 12_800, "cached": 310},
                        "discovery": {"wall_s": 42.0, "model_calls": 2_400},
                    },
                },
            )
    return path
