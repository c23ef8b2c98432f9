"""Reading records one by one, wherever they lie: what each kind of records promises, and finding their files."""

from __future__ import annotations

import glob
import re
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Protocol

from auditdm.backends.pools import DAMAGE
from auditdm.errors import ConfigError

UNREADABLE = (*DAMAGE, RuntimeError, tarfile.TarError)  # RuntimeError: what Pillow's AVIF plugin raises
NONE = -1  # in a place: nothing there

Place = tuple[int, int, int, int]  # number of the file and three numbers within it; what they are, each kind knows

_RANGE = re.compile(r"(\d+)\.\.(\d+)")
_BRACES = re.compile(r"\{([^{}]*)\}")


class Records(Protocol):
    """What can be read record by record, wherever the records lie."""

    by_path: bool  # pictures are files of their own, which can change without their list

    def places(self) -> Iterator[Place]:
        """Every record in order, without reading a picture."""
        ...

    def origin(self, place: Place) -> str:
        """Where a record is, for people."""
        ...

    def read(self, place: Place) -> tuple[bytes | Path, str | None]:
        """The picture as it is stored, and its question.

        Raises:
            One of UNREADABLE: The record cannot be used; the message says why.
        """
        ...


def files_named(path: str, ending: str) -> list[Path]:
    """List the files of a path, a folder or a pattern, sorted.

    Raises:
        ConfigError: A path, or one of those that {a,b} or {000..099} stand for, names no file.
    """
    files: list[Path] = []
    for name in _unbraced(path):
        here = Path(name).expanduser()
        if here.is_file():
            found = [here]
        elif here.is_dir():
            found = sorted(file for file in here.rglob(f"*{ending}") if not file.name.startswith("."))
        else:
            found = sorted(file for file in map(Path, glob.glob(str(here), recursive=True)) if file.is_file())
        if not found:
            what = f"is a folder without {ending} files" if here.is_dir() else "names no file"
            raise ConfigError(
                f"images: {name} {what}. Give a {ending} file, a folder of them, or a pattern such as "
                f"'part-*{ending}' or 'part-{{000..099}}{ending}'."
            )
        files.extend(found)
    return list(dict.fromkeys(files))


def _unbraced(pattern: str) -> Iterator[str]:
    """Write {a,b} and {000..012} out, as a shell does."""
    braces = _BRACES.search(pattern)
    if braces is None or Path(pattern).exists():
        yield pattern
        return
    if numbers := _RANGE.fullmatch(braces[1]):
        first, last = numbers[1], numbers[2]
        choices: Iterable[str] = (f"{number:0{len(first)}d}" for number in range(int(first), int(last) + 1))
    else:
        choices = braces[1].split(",")
    for choice in choices:
        yield from _unbraced(pattern[: braces.start()] + choice + pattern[braces.end() :])


def question_in(found: object) -> str | None:
    """A question without blanks around it; None where there is none.

    Raises:
        ValueError: It is no text.
    """
    if found is not None and not isinstance(found, str):
        raise ValueError(f"its question is no text: {str(found)[:80]}")
    return (found or "").strip() or None
