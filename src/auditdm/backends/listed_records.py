"""Pictures of a folder that a json list names, in the manner of COCO and VQAv2."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from auditdm.backends.records import NONE, Place, question_in
from auditdm.errors import ConfigError

_KEPT = ("file_name", "image", "question", "images", "questions", "annotations")  # keys of objects that are not dropped


class ListedPictures:
    """Pictures of a folder that a list names; places are (0, number in the list)."""

    by_path = True

    def __init__(self, folder: Path, asked: Sequence[tuple[str, str | None]]) -> None:
        self._folder, self._asked = folder, asked

    def places(self) -> Iterator[Place]:
        """Every picture of the list."""
        return ((0, number, NONE, NONE) for number in range(len(self._asked)))

    def origin(self, place: Place) -> str:
        """The name of the file in the folder."""
        return self._asked[place[1]][0]

    def read(self, place: Place) -> tuple[bytes | Path, str | None]:
        """The file, and its question."""
        name, question = self._asked[place[1]]
        return self._folder / name, question


def listed(
    listing: Path, folder: Path, names: Sequence[str]
) -> tuple[list[tuple[str, str | None]], list[tuple[str, str]]]:
    """Read which pictures of the folder a list names, and the question of each.

    Args:
        listing: The json file.
        folder: The folder of pictures.
        names: The pictures in it, relative to it.

    Returns:
        (name, question) of each picture, in the order of names; and what was left out, with the reason.

    Raises:
        ConfigError: Not such a list, or pictures that the folder does not have or that cannot be told apart.
    """
    images, questions = _entries(listing)
    if not names:
        raise ConfigError(
            f"images: coco/{listing}: {folder} holds no pictures. Give their folder: add '?pictures=FOLDER'."
        )
    fits = _fits(names, by_id=not images)
    file_of = {entry.get("id"): str(entry["file_name"]) for entry in images}
    chosen: dict[str, tuple[tuple[int, int, str], str | None]] = {}
    missing: dict[str, None] = {}
    more = 0
    for number, entry in enumerate([*images, *questions]):
        wanted = (
            entry.get("file_name") or entry.get("image") or file_of.get(entry.get("image_id"), entry.get("image_id"))
        )
        name = _fitting(wanted, fits, listing)
        if name is None:
            missing[str(wanted)] = None
            continue
        question = question_in(entry.get("question"))
        own = entry.get("question_id", number)
        rank = (0, own, "") if isinstance(own, int) else (1, 0, str(own))
        had = chosen.get(name)
        if question is None:
            chosen.setdefault(name, (rank, None))
            continue
        more += had is not None and had[1] is not None
        if had is None or had[1] is None or rank < had[0]:
            chosen[name] = (rank, question)
    left_out = [(wanted, f"{listing.name} names it and {folder} does not have it") for wanted in missing]
    if more:
        left_out.append((listing.name, f"{more} more questions: one per picture is used, that with the smallest id"))
    if not chosen:
        raise ConfigError(
            f"images: coco/{listing}: {folder} has none of the {len(missing)} pictures that it names. The first is "
            f"'{next(iter(missing), '')}', the folder has '{names[0]}'. Give the right folder: add '?pictures=FOLDER'."
        )
    return [(name, chosen[name][1]) for name in sorted(chosen)], left_out


def _entries(listing: Path) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The images and the questions of a list; boxes and polygons are dropped while it is read."""
    try:
        with listing.open(encoding="utf-8") as opened:
            found = json.load(opened, object_hook=_needed)
    except (ValueError, RecursionError) as problem:
        raise ConfigError(f"images: coco/{listing}: is no json: {problem}.") from problem
    if isinstance(found, list):
        found = {"questions": found}
    parts = []
    for part, needs in (("images", ("file_name",)), ("questions", ("image_id", "image", "file_name"))):
        entries = found.get(part) if isinstance(found, dict) else None
        entries = entries if isinstance(entries, list) else []
        for number, entry in enumerate(entries):
            if not isinstance(entry, dict) or all(entry.get(need) is None for need in needs):
                raise ConfigError(f"images: coco/{listing}: {part}[{number}] has no {' or '.join(needs)}.")
            if not isinstance(entry.get("question"), str | None):
                raise ConfigError(f"images: coco/{listing}: {part}[{number}]: question is no text: {str(entry)[:80]}.")
        parts.append(entries)
    if not any(parts):
        keys = ", ".join(found) if isinstance(found, dict) else type(found).__name__
        raise ConfigError(
            f"images: coco/{listing}: holds neither 'questions' (with image_id and question) nor 'images' (with "
            f"file_name); it has: {keys or 'nothing'}. Of VQAv2 give the questions file, not the annotations."
        )
    return parts[0], parts[1]


def _needed(found: dict[str, Any]) -> dict[str, Any] | None:
    return found if any(key in found for key in _KEPT) else None


def _fits(names: Sequence[str], *, by_id: bool) -> dict[str | int, str | None]:
    """What each picture can be called: name, name without folders or ending, number at its end; None: two can."""
    fits: dict[str | int, str | None] = {}
    for name in names:
        path = Path(name)
        number = re.search(r"\d+$", path.stem)
        called: set[str | int] = {path.name}
        if by_id:
            called |= {path.stem, int(number[0])} if number else {path.stem}
        for call in called:
            fits[call] = None if call in fits else name
    return fits | {name: name for name in names}


def _fitting(wanted: object, fits: dict[str | int, str | None], listing: Path) -> str | None:
    """The name of the picture that is wanted by file name or by id, or None where there is none."""
    calls: list[object] = [wanted, Path(wanted).name] if isinstance(wanted, str) else [wanted]
    if isinstance(wanted, str) and wanted.isdecimal():
        calls.append(int(wanted))
    for call in calls:
        if isinstance(call, str | int) and call in fits:
            name = fits[call]
            if name is None:
                raise ConfigError(
                    f"images: coco/{listing}: several pictures of the folder fit '{wanted}'. Keep one split per folder, "
                    "or give the list 'images' with file_name, folders included."
                )
            return name
    return None
