"""Turn a run folder into a static site that a person can read offline and a stranger can check.

Reads the run folder alone and writes `RUN/report/`: `index.html`, one page per failure group, the pictures they show.
No page asks for anything outside that folder. Words of models are untrusted: everything is escaped, and characters
that would not be seen, or would turn the reading direction, are spelled out.
"""

from __future__ import annotations

import json
import re
import shlex
import shutil
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from auditdm.errors import StoreError
from auditdm.runs import tallies
from auditdm.runs.exhibits import Evidence, Exhibit, Group, Row, exhibits, gather, groups, ungrouped
from auditdm.runs.pages import page_templates
from auditdm.runs.plots import SMOOTHED_OVER, curve_svg
from auditdm.stats import Rate
from auditdm.store import Run
from auditdm.types import content_id

PIXELS_UP_TO = 160  # px on the longer side: such a picture is shown enlarged, pixel by pixel
SHOWN_UP_TO = 1024  # px on the longer side: a larger one is scaled down for the report
CURVES = {  # columns of the training log: heading, and whether they are shares
    "success": ("Failures found", True),
    "split": ("References split", True),
    "void": ("Void", True),
    "invalid": ("Malformed or ill-posed", True),
    "distinct": ("Distinct proposals", True),
    "zero_variance": ("Groups without signal", True),
}
_SECRET = re.compile(r"(?im)^(\s*[\"']?\w*(?:api_?key|password|secret|(?:access|auth|hf)_token)\w*[\"']?\s*:\s*)\S.*$")


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A picture as it lies in the report."""

    src: str
    width: int  # px as shown
    height: int
    pixels: bool  # so small that its pixels should be seen
    scaled: bool  # the run folder holds it larger


def report(run_path: str | Path) -> Path:
    """Write `RUN/report/`, replacing an earlier one, and say where its first page is.

    Args:
        run_path: A run folder, finished or not; what it does not hold yet is shown as not measured.

    Returns:
        The path of `index.html`.

    Raises:
        StoreError: The folder is no run, one of its files cannot be read, or the report cannot be written.

    Cost: no model call; the text tables in memory, and one copy of each picture shown (at most 18 per group, twice
    where the auditor changed it).
    """
    path = Path(run_path)
    run = Run.read(path)
    evidence = gather(lambda table: list(run.rows(table)))
    target = path / "report"
    part = path / "report.part"  # renamed when complete: a reader never meets half a report
    try:
        shutil.rmtree(part, ignore_errors=True)
        (part / "pictures").mkdir(parents=True)
        _write_site(path, run, evidence, part)
        shutil.rmtree(target, ignore_errors=True)
        part.rename(target)
    except OSError as problem:
        raise StoreError(
            f"The report could not be written to {target}: {problem}. The run itself is whole; "
            f"make room or set the permissions, then run 'auditdm report {path}'."
        ) from problem
    return target / "index.html"


def page_name(group: Group) -> str:
    """File name of a group's page; an id that is no content id is hashed, so that no id can name another file."""
    known = re.fullmatch(r"[0-9a-f]{4,64}", group.id) is not None
    return f"group-{group.id if known else content_id(group.id)}.html"


def _write_site(path: Path, run: Run, evidence: Evidence, folder: Path) -> None:
    config_text, config = _config(path)
    summary = _json(path / "summary.json")
    environment = _json(path / "environment.json")
    all_groups = groups(evidence)
    loose = ungrouped(evidence)
    shown_loose = exhibits(evidence, loose, 12) if not all_groups else ()
    pictures = _save_pictures(run, folder, [*_all_exhibits(all_groups), *shown_loose])
    shared = {
        "roles": _roles(evidence, config),
        "run_name": path.resolve().name,
        "pictures": pictures,
        "has_truth": bool(evidence.truth),
        "page_name": page_name,
    }
    pages = page_templates()
    for place, group in enumerate(all_groups):
        page = pages.get_template("group.html.j2").render(
            **shared,
            group=group,
            before=all_groups[place - 1] if place else None,
            after=all_groups[place + 1] if place + 1 < len(all_groups) else None,
        )
        (folder / page_name(group)).write_text(page, encoding="utf-8")
    index = pages.get_template("index.html.j2").render(
        **shared,
        groups=all_groups,
        loose=len(loose),
        shown_loose=shown_loose,
        finished=bool(summary),
        config_text=_SECRET.sub(r"\1(hidden)", config_text),
        environment_text=_SECRET.sub(r"\1(hidden)", json.dumps(environment, indent=2, ensure_ascii=False)),
        environment=environment,
        command=_command(environment),
        steps=_steps(evidence, [*_all_exhibits(all_groups), *shown_loose]),
        stages=_stages(summary),
        revisions=_revisions(evidence),
        skipped_pictures=_skipped(path),
        **_figures(evidence, summary),
        **_curves(evidence),
    )
    for name in ("style.css", "filter.js"):
        shutil.copyfile(str(resources.files("auditdm") / "report" / name), folder / name)
    (folder / "index.html").write_text(index, encoding="utf-8")


def _skipped(path: Path) -> list[dict[str, str]]:
    """The pictures of the pool that could not be read, by name, with the reason."""
    listed = path / "skipped_pictures.json"
    return list(json.loads(listed.read_text(encoding="utf-8"))) if listed.exists() else []


def _figures(evidence: Evidence, summary: Mapping[str, Any]) -> dict[str, object]:
    """Everything that the first page counts."""
    tables = evidence.tables
    all_scores = tallies.scores(evidence)
    slices = [score for score in all_scores if score.slice not in ("", "elsewhere")]
    suites = [score for score in all_scores if not score.slice]
    found_in = "discovery" if tallies.outcomes(evidence, "trained", "discovery").probes else None
    success = tallies.rate_in(summary, "search_success")
    prompted = tallies.rate_in(summary, "search_success_prompt_only")
    return {
        "counts": {name: len(rows) for name, rows in tables.items()},
        "whole": Counter(row["outcome"] for row in tables["verdicts"]),
        "headline": tallies.outcomes(evidence, "trained", found_in),
        "found_in": found_in,
        "arms": tallies.arms(evidence, summary),
        "arm_names": tallies.ARMS,
        "model_names": tallies.MODELS,
        "outcome_names": tallies.OUTCOMES,
        "slices": slices,
        "suites": suites,
        "means": {
            "slices": {model: tallies.mean_of(slices, model) for model in tallies.MODELS},
            "suites": {model: tallies.mean_of(suites, model) for model in tallies.MODELS},
        },
        "slices_pooled": {model: tallies.pooled(score.rates[model] for score in slices) for model in tallies.MODELS},
        "training_sets": Counter((row["set"], row["origin"]) for row in tables["trainset"]),
        "label_sources": Counter(row["label_from"] for row in tables["trainset"] if row.get("label_from")),
        "trainset_rows": sum(row["set"] == "audited" for row in tables["trainset"]),
        "left_out": tallies.left_out(evidence),
        "success": success,
        "prompted": prompted,
        "times_prompted": _ratio(success, prompted),
        "true_precision": tallies.rate_in(summary, "true_failure_precision"),
        "validity": tallies.rate_in(summary, "validity"),
        "distinct_types": summary.get("distinct_failure_types"),
        "guard": summary.get("guard") if isinstance(summary.get("guard"), int | float) else None,
    }


def _curves(evidence: Evidence) -> dict[str, object]:
    measured = tallies.training_curves(evidence, tuple(CURVES))
    found = tallies.discovery(evidence)
    per_step = Counter((row["arm"], row["step"]) for row in evidence.tables["proposals"] if row["phase"] == "training")
    training = []
    for name, curves in measured.items():
        heading, is_share = CURVES[name]
        largest = max(value for points in curves.values() for _, value in points)
        svg = curve_svg(name, curves, x_label="step", share=is_share and largest <= 1)
        ends = (f"{tallies.ARMS.get(arm, arm)} ends at {points[-1][1]:.2f}" for arm, points in curves.items())
        training.append({"heading": heading, "svg": svg, "words": ", ".join(ends)})
    sizes = sorted(per_step.values())
    return {
        "training": training,
        "curve_arms": {arm: tallies.ARMS.get(arm, arm) for curves in measured.values() for arm in curves},
        "per_step": (sizes[0], sizes[-1]) if sizes else None,
        "smoothed_over": SMOOTHED_OVER,
        "discovery": curve_svg("discovery", found, x_label="probes", share=False, stairs=True, size=(9, 2.9))
        if found
        else None,
        "discovered": {arm: curve[-1] for arm, curve in found.items()},
        "type_from": tallies.TYPE_FROM,
    }


def _roles(evidence: Evidence, config: Mapping[str, Any]) -> dict[str, Any]:
    """Names of auditor, target and references, from the answers or else from the configuration."""
    answered: dict[str, list[str]] = {"target": [], "reference": []}
    for row in evidence.tables["answers"]:
        if row["model"] not in answered.setdefault(row["role"], []):
            answered[row["role"]].append(row["model"])
    references = config.get("references")
    named = [_spec_name(spec) for spec in references] if isinstance(references, list) else []
    return {
        "auditor": _spec_name(config.get("auditor")),
        "target": answered["target"][0] if answered["target"] else _spec_name(config.get("target")),
        "references": answered["reference"] or [name for name in named if name],
    }


def _spec_name(spec: object) -> str | None:
    named = spec.get("model") if isinstance(spec, Mapping) else spec
    return str(named) if named else None


def _command(environment: Mapping[str, Any]) -> str | None:
    command = environment.get("command")
    return shlex.join(map(str, command)) if isinstance(command, list) else command


def _steps(evidence: Evidence, examples: Sequence[Exhibit]) -> list[dict[str, object]]:
    """The stages of the loop, each with what leaves it, over the whole run; a table without rows is no count."""
    tables = evidence.tables
    failures = sum(row["outcome"] == "failure" for row in tables["verdicts"]) if tables["verdicts"] else None
    audited = sum(row["set"] == "audited" for row in tables["trainset"])
    changed = next((example for example in examples if example.original_id), None)
    shown = changed or next(iter(examples), None)
    stages = (
        ("Images", "the pool", "pictures", len(tables["sources"]) or None),
        ("Auditor", "proposes", "proposals", len(tables["proposals"]) or None),
        ("Probe", "picture, question", "probes", len(tables["probes"]) or None),
        ("Models", "target, references", "answers", len(tables["answers"]) or None),
        ("Verdict", "who stands alone", "failures", failures),
        ("Modes", "that look alike", "groups", len(tables["failure_modes"]) or None),
        ("Training set", "consensus labels", "rows", audited or None),
        ("Repaired target", "scored again", "", None),
    )
    thumbs = {"Images": shown.original_id or shown.picture_id, "Probe": shown.picture_id} if shown else {}
    return [
        {
            "name": name,
            "what": what,
            "unit": unit,
            "known": count is not None,
            "count": "not measured" if count is None else f"{count:,}",
            "thumb": thumbs.get(name),
        }
        for name, what, unit, count in stages
    ]


def _revisions(evidence: Evidence) -> list[tuple[str, str, str | None]]:
    return sorted(
        {(row["role"], row["model"], row.get("revision")) for row in evidence.tables["answers"]},
        key=lambda row: (row[0] != "target", row[1], row[2] or ""),
    )


def _stages(summary: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    stages = summary.get("stages")
    return {name: stage for name, stage in stages.items() if isinstance(stage, Mapping)} if stages else {}


def _ratio(one: Rate | None, other: Rate | None) -> float | None:
    if one is None or other is None or one.value is None or not other.value:
        return None
    return one.value / other.value


def _all_exhibits(all_groups: Iterable[Group]) -> Iterable[Exhibit]:
    for group in all_groups:
        yield from group.failing
        yield from group.passing


def _save_pictures(run: Run, folder: Path, shown: Sequence[Exhibit]) -> dict[str, Picture]:
    """Copy what is shown; a picture that the run cannot give is absent, and the page says so."""
    from PIL import Image

    pictures: dict[str, Picture] = {}
    for picture_id in sorted({one for exhibit in shown for one in (exhibit.picture_id, exhibit.original_id) if one}):
        try:
            picture = run.picture(picture_id)
        except (StoreError, FileNotFoundError):
            continue
        longest = max(picture.size)
        photo = longest > 256
        src = f"pictures/{content_id(picture_id)}.{'jpg' if photo else 'png'}"
        if longest > SHOWN_UP_TO:
            picture = picture.copy()
            picture.thumbnail((SHOWN_UP_TO, SHOWN_UP_TO), Image.Resampling.LANCZOS)
        picture.save(folder / src, quality=90)  # PNG is exact and takes no quality
        pictures[picture_id] = Picture(
            src=src,
            width=picture.width,
            height=picture.height,
            pixels=longest <= PIXELS_UP_TO,
            scaled=longest > SHOWN_UP_TO,
        )
    return pictures


def _config(path: Path) -> tuple[str, Row]:
    try:
        text = (path / "config.yaml").read_text(encoding="utf-8")
    except FileNotFoundError:
        return "", {}
    loaded = yaml.safe_load(text)
    return text, loaded if isinstance(loaded, dict) else {}


def _json(path: Path) -> Row:
    """A JSON file of the run; empty when the run has not written it."""
    try:
        loaded = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError as problem:
        raise StoreError(
            f"{path} is not JSON ({problem}). It is written by the run: remove it and run the same command again."
        ) from problem
    return loaded if isinstance(loaded, dict) else {}
