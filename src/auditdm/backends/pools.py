"""Folders of pictures as the place where an audit starts."""

from __future__ import annotations

import json
import logging
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, overload

import numpy as np
from PIL import Image, ImageFile, ImageOps

from auditdm.errors import ConfigError
from auditdm.types import Source, picture_id

log = logging.getLogger(__name__)

QUESTIONS = "questions.jsonl"

# What Pillow's plugins raise on damaged files.
DAMAGE = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    IndexError,
    RuntimeError,  # of a damaged AVIF
    struct.error,
    Image.DecompressionBombError,
)


@dataclass(frozen=True)
class Pool(Sequence[Source]):
    """The readable pictures of a folder, by name; a picture is decoded when it is asked for, and not kept."""

    path: Path
    names: tuple[str, ...]  # relative to path, sorted
    ids: tuple[str, ...]  # picture ids, in the order of names
    questions: tuple[str | None, ...]  # the pool's own, in the order of names
    skipped: tuple[tuple[str, str], ...]  # (name, why) of everything that was left out

    def __len__(self) -> int:
        return len(self.names)

    @overload
    def __getitem__(self, index: int) -> Source: ...
    @overload
    def __getitem__(self, index: slice) -> list[Source]: ...
    def __getitem__(self, index: int | slice) -> Source | list[Source]:
        """Decode one picture, or a slice of them.

        Raises:
            ConfigError: A file was changed or removed since the pool was read.
        """
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(len(self)))]
        name = self.names[index]
        try:
            image = decode(self.path / name)
        except DAMAGE as problem:
            raise ConfigError(f"{self.path / name}: was readable before and is not now: {problem}.") from problem
        if picture_id(image) != self.ids[index]:
            raise ConfigError(f"{self.path / name}: was changed while the run was using it. Give the command again.")
        return Source(id=self.ids[index], image=image, question=self.questions[index], origin=name)


def read_pool(path: str | Path, limit: int | None = None) -> Pool:
    """Look through a folder, with its subfolders, for pictures of any format that Pillow reads.

    Damaged pictures and pictures whose pixels another one has already are left out and named in `skipped`. A file
    `questions.jsonl` in the folder, lines of {"image": name, "question": text}, gives pictures a question of their own.

    Args:
        path: The folder.
        limit: Stop after so many good pictures; None reads all.

    Raises:
        ConfigError: No folder, no picture in it that can be read, or a wrong line in questions.jsonl.

    Cost: every picture is decoded once here, so that count, ids and damage are known before a model is called, and once
    each time it is asked for. One picture is in memory at a time.
    """
    path = Path(path).expanduser()
    if not path.is_dir():
        found = "is a file" if path.exists() else "does not exist"
        raise ConfigError(f"images: {path} {found}. Give a folder of pictures; it may have subfolders.")
    candidates = picture_names(path)
    if not candidates:
        raise ConfigError(
            f"images: {path} holds no pictures. Allowed is any format that Pillow reads, such as png or jpg."
        )
    asked, skipped = _questions(path, candidates)
    good: dict[str, str] = {}  # picture id -> name
    for name in candidates:
        if limit is not None and len(good) >= limit:
            break
        try:
            image = decode(path / name)
        except DAMAGE as problem:
            skipped.append((name, str(problem) or type(problem).__name__))
            continue
        first = good.setdefault(picture_id(image), name)
        if first != name:
            skipped.append((name, f"same pixels as {first}"))
    for name, why in skipped:
        log.warning("%s: left out: %s", path / name, why)
    if not good:
        name, why = skipped[-1]
        raise ConfigError(
            f"images: {path} holds {len(candidates)} pictures and none can be read. The last, {name}: {why}."
        )
    names = tuple(good.values())
    return Pool(path, names, tuple(good), tuple(asked.get(name) for name in names), tuple(skipped))


def decode(picture: Path | BinaryIO) -> Image.Image:
    """Read a picture as a person sees it: upright by its EXIF mark, transparency on white, RGB uint8.

    Of an animation the first frame is read; 16-bit grey is scaled to 8 bits.

    Raises:
        OSError: The file cannot be read; Pillow's plugins also raise SyntaxError, ValueError and a few more.
        ValueError: 32-bit pixels, which have no agreed range.
    """
    if isinstance(picture, Path):  # an open file: Pillow does not turn some TIFFs upright that it was given by name
        with picture.open("rb") as file:
            return decode(file)
    with _whole_pictures_only(), Image.open(picture) as opened:
        image = ImageOps.exif_transpose(opened)
        if image.mode.startswith("I;16") or (image.mode == "I" and opened.format == "PPM"):
            image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
        if image.mode in ("I", "F"):
            raise ValueError("32-bit pixels have no agreed range; save the picture with 8 bits per channel")
        if image.has_transparency_data:
            image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image.convert("RGBA"))
        return image.convert("RGB")


@contextmanager
def _whole_pictures_only() -> Iterator[None]:
    """Refuse a file that ends early, also where a library (lmms-eval 0.5 and later) told Pillow to fill it with grey."""
    before, ImageFile.LOAD_TRUNCATED_IMAGES = ImageFile.LOAD_TRUNCATED_IMAGES, False
    try:
        yield
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = before


def picture_names(path: Path) -> list[str]:
    """Files with the ending of a format that Pillow reads, relative and sorted; hidden ones are nobody's pictures."""
    readable = {ending for ending, kind in Image.registered_extensions().items() if kind in Image.OPEN} | {".mpo"}
    return sorted(name.as_posix() for name in _files(path) if name.suffix.lower() in readable)


def _files(path: Path) -> Iterator[Path]:
    for found in path.rglob("*"):
        name = found.relative_to(path)
        if found.is_file() and not any(part.startswith(".") for part in name.parts):
            yield name


def _questions(path: Path, candidates: list[str]) -> tuple[dict[str, str], list[tuple[str, str]]]:
    """The question of each named picture, and the lines that were left out."""
    listing = path / QUESTIONS
    asked: dict[str, str] = {}
    left_out: list[tuple[str, str]] = []
    known = set(candidates)
    lines = listing.read_text(encoding="utf-8").splitlines() if listing.is_file() else []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        name, question = _question_in(line, f"{listing}:{number}")
        if name not in known:
            left_out.append((f"{QUESTIONS}:{number}", f"there is no picture {name}"))
        elif name in asked:
            left_out.append((f"{QUESTIONS}:{number}", f"{name} has a question already; one per picture is used"))
        else:
            asked[name] = question
    return asked, left_out


def _question_in(line: str, where: str) -> tuple[str, str]:
    try:
        found = json.loads(line)
        name, question = found["image"], found["question"]
    except (ValueError, TypeError, KeyError) as problem:
        raise ConfigError(
            f'{where}: is {line[:80]!r}. Each line holds {{"image": "name.png", "question": "text"}}.'
        ) from problem
    if not (isinstance(name, str) and isinstance(question, str) and question.strip()):
        raise ConfigError(f"{where}: image and question must be texts, the question not blank; found {line[:80]!r}.")
    return name, question.strip()
