"""A training set of the user: pictures, questions and the answers that count as right."""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL.Image import Image

from auditdm.backends.pools import DAMAGE, QUESTIONS, decode
from auditdm.errors import ConfigError
from auditdm.types import picture_id

log = logging.getLogger(__name__)
_FORM = '{"image": "name.png", "question": "text", "answer": "text"}'


@dataclass(frozen=True, kw_only=True)
class LabelledRow:
    """One question on one picture, with its answer."""

    picture_id: str
    question: str
    answer: str
    origin: str  # file name of the picture, for people


@dataclass(frozen=True)
class LabelledSet(Mapping[str, Image]):
    """The rows, and their pictures by id, which are decoded when they are asked for."""

    rows: tuple[LabelledRow, ...]  # in the order of the list
    skipped: tuple[tuple[str, str], ...]  # (line or name, why) of everything that was left out
    files: Mapping[str, Path] = field(repr=False)  # by picture id

    def __getitem__(self, name: str) -> Image:
        """Decode one picture."""
        return decode(self.files[name])

    def __iter__(self) -> Iterator[str]:
        """Ids, in the order of the rows."""
        return iter(self.files)

    def __len__(self) -> int:
        """How many pictures."""
        return len(self.files)


def read_labelled(path: str | Path, limit: int | None = None) -> LabelledSet:
    """Read a list of labelled questions and look at every picture once.

    Args:
        path: A folder with a `questions.jsonl`, or such a list by name; pictures lie relative to it. Each line holds
            {"image", "question", "answer"}, and a picture may stand in several. Of several answers, as people gave them in
            VQAv2 ("answers", texts or {"answer": text}), the most frequent one counts; of equals the first.
        limit: Stop after so many good rows; None reads all.

    Returns:
        Rows in the order of the list. Rows whose picture is missing or damaged are in `skipped`.

    Raises:
        ConfigError: No list there, a wrong line, or no row whose picture can be read.

    Cost: every picture is decoded once here, and once each time it is asked for.
    """
    listing = Path(path).expanduser()
    listing = listing / QUESTIONS if listing.is_dir() else listing
    if listing.suffix != ".jsonl" or not listing.is_file():
        raise ConfigError(
            f"rectify.labelled: {path} is no labelled set. Give a folder with a {QUESTIONS}, or a list that ends in "
            f".jsonl; each line holds {_FORM}."
        )
    rows: list[LabelledRow] = []
    skipped: list[tuple[str, str]] = []
    ids: dict[str, str | None] = {}  # by file name; None: cannot be read
    files: dict[str, Path] = {}
    for number, line in enumerate(listing.read_text(encoding="utf-8").splitlines(), start=1):
        if limit is not None and len(rows) >= limit:
            break
        if not line.strip():
            continue
        name, question, answer = _row_in(line, f"{listing}:{number}")
        if name not in ids:
            ids[name] = _looked_at(listing.parent / name, name, skipped, files)
        found = ids[name]
        if found is not None:
            rows.append(LabelledRow(picture_id=found, question=question, answer=answer, origin=name))
    for name, why in skipped:
        log.warning("%s: left out: %s", listing.parent / name, why)
    if not rows:
        reason = f"The last picture, {skipped[-1][0]}: {skipped[-1][1]}." if skipped else "It has no line."
        raise ConfigError(f"rectify.labelled: {listing} has no row whose picture can be read. {reason}")
    return LabelledSet(tuple(rows), tuple(skipped), files)


def _looked_at(file: Path, name: str, skipped: list[tuple[str, str]], files: dict[str, Path]) -> str | None:
    try:
        found = picture_id(decode(file))
    except DAMAGE as problem:
        skipped.append((name, str(problem) or type(problem).__name__))
        return None
    files.setdefault(found, file)
    return found


def _row_in(line: str, where: str) -> tuple[str, str, str]:
    try:
        found = json.loads(line)
        name, question, answer = found["image"], found["question"], _answer_in(found)
    except (ValueError, TypeError, KeyError) as problem:
        raise ConfigError(f"{where}: is {line[:80]!r}. Each line holds {_FORM}.") from problem
    if not all(isinstance(text, str) and text.strip() for text in (name, question, answer)):
        raise ConfigError(f"{where}: image, question and answer must be texts, none blank; found {line[:80]!r}.")
    return name, question.strip(), answer.strip()


def _answer_in(found: Mapping[str, Any]) -> Any:
    given = found["answer"] if "answer" in found else found["answers"]
    if not isinstance(given, list):
        return given
    texts = [one["answer"] if isinstance(one, dict) else one for one in given]
    return Counter(texts).most_common(1)[0][0] if texts else None
