"""Members of WebDataset tar shards as records."""

from __future__ import annotations

import json
import os
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, cast

from PIL import Image

from auditdm.backends.records import NONE, Place, question_in
from auditdm.errors import ConfigError

_SECOND, _NO_PICTURE = -2, -3  # in a place: why a record cannot be used
_COMPRESSED = {b"\x1f\x8b": "gzip", b"BZ": "bzip2", b"\xfd7": "xz", b"\x28\xb5": "zstd"}  # by their first two bytes


class TarMembers:
    """Records of WebDataset shards; places are (shard, header of the picture, of the .json, of the .txt)."""

    by_path = False

    def __init__(self, shards: Sequence[Path], question: str | None) -> None:
        self._shards, self._asked = shards, question
        self._root = Path(os.path.commonpath([shard.parent for shard in shards]))
        endings = Image.registered_extensions()
        self._pictures = {".mpo", *(ending for ending, kind in endings.items() if kind in Image.OPEN)}

    def places(self) -> Iterator[Place]:
        """Every key of every shard; after the keys of a broken shard comes one place that cannot be read."""
        for number, shard in enumerate(self._shards):
            keys: dict[str, list[int]] = {}
            unused: list[int] = []
            broken = False
            try:
                self._list(shard, keys, unused)
            except (OSError, tarfile.TarError) as problem:
                if packing := _packing(shard):
                    raise ConfigError(
                        f"images: {shard} is compressed ({packing}), so no single picture can be read from it. "
                        "Unpack it to a plain .tar; pictures are compressed already."
                    ) from problem
                broken = True
            for picture, record, text, other in keys.values():
                yield (number, picture, record, text) if picture != NONE else (number, other, _NO_PICTURE, NONE)
            yield from ((number, offset, _SECOND, NONE) for offset in unused)
            if broken:
                yield number, NONE, NONE, NONE

    def _list(self, shard: Path, keys: dict[str, list[int]], unused: list[int]) -> None:
        """Group the members of one shard by key, from their headers alone."""
        with tarfile.open(shard, "r:") as tar:
            while (member := tar.next()) is not None:
                cast(Any, tar).members.clear()  # tarfile keeps every header otherwise
                folder, _, name = member.name.rpartition("/")
                stem, _, endings = name.partition(".")
                ending = endings.lower()
                if not member.isfile() or not stem:
                    continue
                slots = keys.setdefault(f"{folder}/{stem}", [NONE, NONE, NONE, member.offset])
                if f".{ending.rpartition('.')[2]}" in self._pictures:
                    if slots[0] != NONE:
                        unused.append(member.offset)
                    else:
                        slots[0] = member.offset
                elif ending in ("json", "txt"):
                    slots[1 if ending == "json" else 2] = member.offset
            # At a header that is none tarfile stops as if the shard ended there.
            if _block(tar, cast(Any, tar).offset).strip(b"\0"):
                raise tarfile.ReadError("no header where one should be")

    def origin(self, place: Place) -> str:
        """Shard and member."""
        shard = self._shards[place[0]]
        name = shard.relative_to(self._root).as_posix()
        if place[1] == NONE:
            return name
        with tarfile.open(shard, "r:") as tar:
            member = _member(tar, place[1]).name  # bytes that are no text come as lone surrogates
            return f"{name}/{member.encode('utf-8', 'backslashreplace').decode('utf-8')}"

    def read(self, place: Place) -> tuple[bytes | Path, str | None]:
        """Seek to the members of one key."""
        number, picture, record, text = place
        if record == _SECOND:
            raise ValueError("its key has a picture already; one per key is used")
        if record == _NO_PICTURE:
            raise ValueError("its key has no picture")
        with tarfile.open(self._shards[number], "r:") as tar:
            if picture == NONE:
                raise tarfile.ReadError("the shard breaks off here; it is cut short or damaged")
            return _content(tar, picture), self._question_of(tar, record, text)

    def _question_of(self, tar: tarfile.TarFile, record: int, text: int) -> str | None:
        if self._asked == "":
            return None
        if record != NONE:
            found = json.loads(_content(tar, record))
            key = self._asked or "question"
            if isinstance(found, dict) and (self._asked or key in found):
                return question_in(found.get(key))
        if text == NONE or self._asked:
            return None
        return question_in(_content(tar, text).decode("utf-8"))


def _block(tar: tarfile.TarFile, offset: int) -> bytes:
    assert tar.fileobj is not None
    tar.fileobj.seek(offset)
    return bytes(tar.fileobj.read(tarfile.BLOCKSIZE))


def _member(tar: tarfile.TarFile, offset: int) -> tarfile.TarInfo:
    """The member whose header, long name included, begins at the offset."""
    assert tar.fileobj is not None
    tar.fileobj.seek(offset)
    return tarfile.TarInfo.fromtarfile(tar)


def _content(tar: tarfile.TarFile, offset: int) -> bytes:
    found = tar.extractfile(_member(tar, offset))
    assert found is not None, "only plain files are listed"
    return found.read()


def _packing(shard: Path) -> str | None:
    with shard.open("rb") as opened:
        return _COMPRESSED.get(opened.read(2))
