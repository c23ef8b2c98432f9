"""Turn a run folder into a static site that a person can read offline and a stranger can check.

Reads the run folder alone and writes `RUN/report/`: `index.html`, one page per tested mode and per failure group, the
pictures they show. No page asks for anything outside that folder. Words of models are untrusted: everything is escaped,
and characters that would not be seen, or would turn the reading direction, are spelled out.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import yaml

from auditdm.errors import StoreError
from auditdm.runs import index_figures
from auditdm.runs.exhibits import Evidence, Exhibit, Group, Row, exhibits, gather, groups, ungrouped
from auditdm.runs.ledger_exhibits import Tested, ledger_modes
from auditdm.runs.pages import page_templates
from auditdm.runs.replay_exhibits import replayed
from auditdm.runs.yardsticks import in_words, ladder, reliability, searched, selftested
from auditdm.store import Run
from auditdm.types import content_id

PIXELS_UP_TO = 160  # px on the longer side: such a picture is shown enlarged, pixel by pixel
SHOWN_UP_TO = 1024  # px on the longer side: a larger one is scaled down for the report
_SECRET = re.compile(r"(?im)^(\s*[\"']?\w*(?:api_?key|password|secret|(?:access|auth|hf)_token)\w*[\"']?\s*:\s*)\S.*$")


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A picture as it lies in the report."""

    src: str
    width: int  # px as shown
    height: int
    pixels: bool  # so small that its pixels should be seen
    area: int  # px in the run folder
    scaled: bool  # the run folder holds it larger


def report(run_path: str | Path) -> Path:
    """Write `RUN/report/`, replacing an earlier one, and say where its first page is.

    Args:
        run_path: A run folder, finished or not; what it does not hold yet is shown as not measured.

    Returns:
        The path of `index.html`.

    Raises:
        StoreError: The folder is no run, one of its files cannot be read, or the report cannot be written.

    Cost: no model call; the text tables in memory, and one copy of each picture shown (at most 18 per group and 16 per
    tested mode, twice where the auditor changed it).
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


def page_name(shown: Group | Tested) -> str:
    """File name of a group's or a mode's page; an id that is no content id is hashed: no id can name another file."""
    known = re.fullmatch(r"[0-9a-f]{4,64}", shown.id) is not None
    kind = "group" if isinstance(shown, Group) else "finding"
    return f"{kind}-{shown.id if known else content_id(shown.id)}.html"


def _write_site(path: Path, run: Run, evidence: Evidence, folder: Path) -> None:
    config_text, config = _config(path)
    summary = _json(path / "summary.json")
    environment = _json(path / "environment.json")
    all_groups = groups(evidence)
    modes = ledger_modes(evidence)
    search = searched(_read(path / "search.json"))
    loose = ungrouped(evidence)
    shown_loose = exhibits(evidence, loose, 12) if not all_groups else ()
    examples = [*_all_exhibits(all_groups), *shown_loose]
    pictures = _save_pictures(run, folder, [*_mode_exhibits(modes), *examples])
    shared = {
        "roles": index_figures.roles(evidence, config),
        "run_name": path.resolve().name,
        "pictures": pictures,
        "has_truth": bool(evidence.truth),
        "page_name": page_name,
        "replayed": replayed(_read(path / "replays.json")),
        "in_words": in_words(_read(path / "words.json")),
        **index_figures.ledger_figures(modes, search),
    }
    pages = page_templates()
    for place, mode in enumerate(modes):
        page = pages.get_template("finding.html.j2").render(**shared, mode=mode, **_around(modes, place))
        (folder / page_name(mode)).write_text(page, encoding="utf-8")
    for place, group in enumerate(all_groups):
        page = pages.get_template("group.html.j2").render(**shared, group=group, **_around(all_groups, place))
        (folder / page_name(group)).write_text(page, encoding="utf-8")
    index = pages.get_template("index.html.j2").render(
        **shared,
        groups=all_groups,
        loose=len(loose),
        shown_loose=shown_loose,
        finished=bool(summary),
        reliability=reliability(_read(path / "references.json")),
        selftest=selftested(_read(path / "selftest.json")),
        ladder=ladder(_read(path / "ladder.json")),
        config_text=_SECRET.sub(r"\1(hidden)", config_text),
        environment_text=_SECRET.sub(r"\1(hidden)", json.dumps(environment, indent=2, ensure_ascii=False)),
        environment=environment,
        command=index_figures.command(environment),
        steps=index_figures.steps(evidence, examples),
        stages=index_figures.stages(summary),
        revisions=index_figures.revisions(evidence),
        skipped_pictures=_skipped(path),
        **index_figures.figures(evidence, summary),
        **index_figures.curves(evidence),
    )
    for name in ("style.css", "filter.js"):
        shutil.copyfile(str(resources.files("auditdm") / "report" / name), folder / name)
    (folder / "index.html").write_text(index, encoding="utf-8")


def _around(shown: Sequence[object], place: int) -> dict[str, object]:
    """The neighbours of a page."""
    return {
        "before": shown[place - 1] if place else None,
        "after": shown[place + 1] if place + 1 < len(shown) else None,
    }


def _skipped(path: Path) -> list[dict[str, str]]:
    """The pictures of the pool that could not be read, by name, with the reason."""
    listed = path / "skipped_pictures.json"
    return list(json.loads(listed.read_text(encoding="utf-8"))) if listed.exists() else []


def _all_exhibits(all_groups: Iterable[Group]) -> Iterable[Exhibit]:
    for group in all_groups:
        yield from group.failing
        yield from group.passing


def _mode_exhibits(modes: Iterable[Tested]) -> Iterable[Exhibit]:
    for mode in modes:
        yield from mode.failing
        yield from mode.passing
        for pair in (mode.cause.minimal, mode.cause.beside) if mode.cause else ():
            if pair is not None:
                yield from (pair.before, pair.after)


def _save_pictures(run: Run, folder: Path, shown: Sequence[Exhibit]) -> dict[str, Picture]:
    """Copy what is shown; a picture that the run cannot give is absent, and the page says so."""
    from PIL import Image

    pictures: dict[str, Picture] = {}
    for picture_id in sorted({one for exhibit in shown for one in (exhibit.picture_id, exhibit.original_id) if one}):
        try:
            picture = run.picture(picture_id)
        except (StoreError, FileNotFoundError):
            continue
        longest, area = max(picture.size), picture.width * picture.height
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
            area=area,
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
    """A JSON object of the run; empty when the run has not written it."""
    loaded = _read(path)
    return loaded if isinstance(loaded, dict) else {}


def _read(path: Path) -> object:
    """A JSON file of the run; None when it is not there."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValueError as problem:
        raise StoreError(
            f"{path} is not JSON ({problem}). It is written by the run: remove it and run the same command again."
        ) from problem
