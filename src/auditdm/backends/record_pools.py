"""Pictures in records as the place where an audit starts: Parquet, Hugging Face datasets, WebDataset shards, COCO lists.

A pool here holds ids and places. A picture is read and decoded when it is asked for, and not kept, so the size of a pool
is bounded by the disk alone. The ids need every picture decoded once; they are then kept in a small index file in the
user's cache folder, and the next start reads that.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import json
import logging
import os
import re
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar, cast, overload

import PIL
from PIL import Image

from auditdm.backends.listed_records import ListedPictures, listed
from auditdm.backends.pools import decode, picture_names
from auditdm.backends.records import UNREADABLE, Place, Records, files_named
from auditdm.backends.shard_records import TarMembers
from auditdm.backends.table_records import DatasetRows, ParquetRows, open_dataset
from auditdm.errors import ConfigError
from auditdm.types import Source, content_id, picture_id

log = logging.getLogger(__name__)

KINDS = ("hf-dataset", "parquet", "webdataset", "coco")
SAVE_EVERY = 10_000  # records between two saves of the index, and between two lines of progress

_ENDINGS = {".parquet": "parquet", ".tar": "webdataset", ".json": "coco"}
_OPTION = re.compile(r"\?((?:image|question|pictures)=[^?&=]*(?:&(?:image|question|pictures)=[^?&=]*)*)$")
_NAMED = 10  # pictures left out that are named in the log; all are in `skipped`
_INDEX = 1  # to be raised when the index file or the rules of decoding change
_WIDTH = 4  # numbers of a place

Stored = TypeVar("Stored")


@dataclass
class _Index:
    """What a pass over the records found, so far."""

    ids: dict[str, int] = field(default_factory=dict)  # picture id -> its number
    places: array[int] = field(default_factory=lambda: array("q"))  # _WIDTH numbers per picture
    skipped: list[tuple[int, str, str]] = field(default_factory=list)  # (good pictures before it, origin, why)
    looked: int = 0  # records passed
    done: bool = False  # no record is left
    stamp: str = ""  # of the picture files passed: path, size, mtime

    def place(self, number: int) -> Place:
        """Where a picture lies."""
        return cast(Place, tuple(self.places[_WIDTH * number : _WIDTH * (number + 1)]))


@dataclass(frozen=True)
class RecordPool(Sequence[Source]):
    """The readable pictures among records, in their order; one is decoded when it is asked for, and not kept."""

    where: str  # kind and path
    ids: tuple[str, ...]  # picture ids
    skipped: tuple[tuple[str, str], ...]  # (origin, why) of everything that was left out
    records: Records = field(repr=False)
    places: array[int] = field(repr=False)  # of the pictures, in the order of ids
    index_file: Path  # the index file

    def __len__(self) -> int:
        return len(self.ids)

    @overload
    def __getitem__(self, index: int) -> Source: ...
    @overload
    def __getitem__(self, index: slice) -> list[Source]: ...
    def __getitem__(self, index: int | slice) -> Source | list[Source]:
        """Read and decode one picture, or a slice of them.

        Raises:
            ConfigError: A file was changed or removed since the pool was read.
        """
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(len(self)))]
        number = range(len(self))[index]
        place = cast(Place, tuple(self.places[_WIDTH * number : _WIDTH * (number + 1)]))
        try:
            picture, question = self.records.read(place)
            image = _decoded(picture)
            origin = self.records.origin(place)
        except UNREADABLE as problem:
            self.index_file.unlink(missing_ok=True)
            raise ConfigError(
                f"{self.where}: picture {number} was readable before and is not now: {problem}."
            ) from problem
        if picture_id(image) != self.ids[number]:
            self.index_file.unlink(missing_ok=True)
            raise ConfigError(f"{self.where}: {origin} was changed after its id was taken. Give the command again.")
        return Source(id=self.ids[number], image=image, question=question, origin=origin)


def record_kind(spec: str) -> str | None:
    """Say which kind of records a spec names: by its first word or by its file ending; None: it is not one of these.

    Example:
        >>> record_kind("parquet/photos"), record_kind("photos/part-*.parquet"), record_kind("photos")
        ('parquet', 'parquet', None)
    """
    kind = spec.partition("/")[0]
    return kind if kind in KINDS else _ENDINGS.get(Path(_OPTION.sub("", spec)).suffix.lower())


def read_records(spec: str, limit: int | None = None) -> RecordPool:
    """Open the records that a spec names.

    Args:
        spec: "KIND/NAME" or a path with a telling ending, and after it what is not found by itself:
            "parquet/photos/*.parquet?image=photo&question=ask", "coco/questions.json?pictures=val2014". A blank
            "?question=" leaves the questions of the pool unused.
        limit: Stop after so many good pictures; None reads all.

    Raises:
        ConfigError: As `read_dataset`, `read_parquet`, `read_shards` and `read_coco`; or an option of another kind.
    """
    kind = record_kind(spec)
    given = _OPTION.search(spec)
    name = spec[: given.start()] if given else spec
    options = dict(part.split("=", 1) for part in given[1].split("&")) if given else {}
    name = name.removeprefix(f"{kind}/")
    known = {"coco": {"pictures"}, "webdataset": {"question"}}.get(kind or "", {"image", "question"})
    if kind is None or not name or not options.keys() <= known:
        raise ConfigError(
            f"images: '{spec}': after {kind or 'this'} may stand ?{'=..., ?'.join(sorted(known))}=... . "
            "Write it like 'hf-dataset/NAME:train', 'parquet/FOLDER', 'webdataset/shard-{000..099}.tar' or 'coco/LIST.json'."
        )
    if kind != "hf-dataset" and "://" in name:
        raise ConfigError(f"images: '{spec}': addresses are not read. Download the files and give their path.")
    if kind == "hf-dataset":
        return read_dataset(name, limit, image=options.get("image"), question=options.get("question"))
    if kind == "parquet":
        return read_parquet(name, limit, image=options.get("image"), question=options.get("question"))
    if kind == "webdataset":
        return read_shards(name, limit, question=options.get("question"))
    return read_coco(name, limit, pictures=options.get("pictures"))


def read_parquet(
    path: str, limit: int | None = None, *, image: str | None = None, question: str | None = None
) -> RecordPool:
    """Read a pool from Parquet: one row, one picture.

    Args:
        path: A file, a folder with its subfolders, or a pattern with *, ** and {a,b} or {000..099}.
        limit: Stop after so many good pictures; None reads all.
        image: Column of the pictures: bytes, a struct of bytes and path, a path (relative to the file), or a list with
            one of these. None: found by name, or by being the only struct of bytes and path.
        question: Column of the questions. None: a text column named question or query, if there is one; "": none.

    Raises:
        ConfigError: No such file, no such column (the message lists those there are), or no readable picture.

    Cost: each picture is decoded once, unless the index of an earlier start is there. Eight rows are decoded at
    a time, out of one page of the file, where pyarrow puts up to 1,024 rows. A picture asked for out of order reads its
    row group from the front: groups of about 100 rows are fast.
    """
    files = files_named(path, ".parquet")
    records = ParquetRows(files, f"images: {path}", image, question)
    return _pool(f"parquet/{path}", records, limit, files, (str(image), str(question)))


def read_dataset(
    name: str, limit: int | None = None, *, image: str | None = None, question: str | None = None
) -> RecordPool:
    """Read a pool from a Hugging Face dataset: one row, one picture.

    Args:
        name: A folder written by `save_to_disk`, or a hub id, which is downloaded; after it perhaps ":SPLIT".
        limit: Stop after so many good pictures; None reads all.
        image: As in `read_parquet`.
        question: As in `read_parquet`.

    Raises:
        ConfigError: No such dataset or split, a hub id that cannot be reached, no such column, no readable picture, or
            the library `datasets` is not installed.

    Cost: as `read_parquet`; rows are mapped from disk, so one is in memory at a time. Of a hub id the whole split is
    downloaded, whatever the limit.
    """
    dataset, folder = open_dataset(name)
    files = [Path(found["filename"]) for found in dataset.cache_files]
    records = DatasetRows(dataset, folder, f"images: hf-dataset/{name}", image, question)
    return _pool(f"hf-dataset/{name}", records, limit, files, (str(image), str(question), str(len(dataset))))


def read_shards(path: str, limit: int | None = None, *, question: str | None = None) -> RecordPool:
    """Read a pool from WebDataset shards: members of a tar file with the same key are one record.

    The key is the path up to the first dot of the file name. The first member with the ending of a picture is used.

    Args:
        path: A tar file that is not compressed, a folder, or a pattern such as "shard-{000..099}.tar" or "*.tar".
        limit: Stop after so many good pictures; None reads all.
        question: Key of the question in the .json member. None: "question", and without it the text of the .txt member,
            if there is one; "": none.

    Raises:
        ConfigError: No such file, a compressed one, or no readable picture.

    Cost: each picture is decoded once, unless the index of an earlier start is there. Afterwards a picture is one seek.
    """
    files = files_named(path, ".tar")
    return _pool(f"webdataset/{path}", TarMembers(files, question), limit, files, (str(question),))


def read_coco(path: str, limit: int | None = None, *, pictures: str | None = None) -> RecordPool:
    """Read a pool from a json list beside a folder of pictures: VQAv2 questions, or COCO captions and instances.

    The file holds `questions` with image_id and question, or `images` with file_name, or both; a bare list of objects
    with image or file_name and perhaps question will do too. A picture with several questions keeps the one with the
    smallest question_id; pictures come in the order of their names.

    Args:
        path: The json file.
        limit: Stop after so many good pictures; None reads all.
        pictures: The folder of pictures, with its subfolders. None: that of the json file.

    Raises:
        ConfigError: No such file or folder, not such a list, two pictures that fit one id, or no readable picture.

    Cost: the list is read whole, without boxes and polygons, and each picture is decoded once, unless the index of an
    earlier start is there.
    """
    listing = Path(path).expanduser()
    if not listing.is_file():
        raise ConfigError(f"images: coco/{path}: there is no such file. Give the json file with questions or images.")
    folder = Path(pictures).expanduser() if pictures else listing.parent
    if not folder.is_dir():
        raise ConfigError(f"images: coco/{path}: the folder of pictures, {folder}, does not exist.")
    names = picture_names(folder)
    kept = _index_file("list", [listing], (str(folder.resolve()), *names))
    found = _stored(kept, _list_from)
    if found is None:
        found = listed(listing, folder, names)
        _store(kept, found)
    asked, left_out = found
    facts = (str(folder.resolve()), *(name for name, _ in asked))
    return _pool(f"coco/{path}", ListedPictures(folder, asked), limit, [listing], facts, left_out)


# The pass that finds the ids, and its index file.


def _pool(
    where: str,
    records: Records,
    limit: int | None,
    files: Sequence[Path],
    facts: Sequence[str],
    left_out: Sequence[tuple[str, str]] = (),
) -> RecordPool:
    """Look through the records as far as the limit and the index of an earlier start ask for."""
    path = _index_file(type(records).__name__, files, facts)
    index = _stored(path, _index_from)
    if index is None or (records.by_path and _stamp(records, index.looked) != index.stamp):
        index = _Index()
    before = (index.looked, index.done)
    try:
        _look_through(where, records, index, limit, path)
    finally:
        if (index.looked, index.done) != before:
            _store(path, _written(index))
    count = len(index.ids) if limit is None else min(limit, len(index.ids))
    skipped = [
        *left_out,
        *((origin, why) for good, origin, why in index.skipped if limit is None or good < limit),
    ]
    _tell_skipped(where, skipped)
    if not count:
        name, why = skipped[-1] if skipped else ("", "")
        found = f"none of {index.looked} records can be used. The last, {name}: {why}" if name else "holds no records"
        raise ConfigError(f"images: {where}: {found}.")
    return RecordPool(
        where, tuple(itertools.islice(index.ids, count)), tuple(skipped), records, index.places[: _WIDTH * count], path
    )


def _look_through(where: str, records: Records, index: _Index, limit: int | None, path: Path) -> None:
    """Decode each record that was not looked at before, until there are `limit` good pictures."""
    if index.done:
        return
    if limit is not None and len(index.ids) >= limit:
        return
    for place in itertools.islice(records.places(), index.looked, None):
        _look_at(place, records, index)
        if index.looked % SAVE_EVERY == 0:
            log.info("%s: %d records looked through, %d pictures", where, index.looked, len(index.ids))
            _store(path, _written(index))
        if limit is not None and len(index.ids) >= limit:
            return
    index.done = True


def _look_at(place: Place, records: Records, index: _Index) -> None:
    """Enter one record; it counts as looked at only when all is entered, so an interruption loses no other."""
    good = len(index.ids)
    number: int | None = None
    picture: bytes | Path = b""
    why = ""
    try:
        picture, _ = records.read(place)
        number = index.ids.setdefault(picture_id(_decoded(picture)), good)
    except UNREADABLE as problem:
        why = (str(problem) or type(problem).__name__)[:200]
    if number == good:
        index.places.extend(place)
    else:
        why = why if number is None else f"same pixels as {records.origin(index.place(number))}"
        index.skipped.append((good, records.origin(place), why))
    index.stamp = _stamped(index.stamp, picture)
    index.looked += 1


def _decoded(picture: bytes | Path) -> Image.Image:
    # Opened here because Pillow 13.0.0, given a path, maps uncompressed TIFF and does not turn it upright.
    with io.BytesIO(picture) if isinstance(picture, bytes) else picture.open("rb") as opened:
        return decode(opened)


def _stamped(stamp: str, picture: bytes | Path) -> str:
    """The stamp of picture files, with one more; pictures inside a file are known by that file."""
    if isinstance(picture, bytes):
        return stamp
    try:
        stat = picture.stat()
    except OSError:
        return content_id(stamp, f"{picture} is not there")
    return content_id(stamp, f"{picture} {stat.st_size} {stat.st_mtime_ns}")


def _stamp(records: Records, looked: int) -> str:
    """The stamp of the picture files as they are now, among the records that were looked at."""
    stamp = ""
    for place in itertools.islice(records.places(), looked):
        with contextlib.suppress(*UNREADABLE):
            stamp = _stamped(stamp, records.read(place)[0])
    return stamp


def _index_file(kind: str, files: Sequence[Path], facts: Sequence[str]) -> Path:
    """Where the index is kept: AUDITDM_CACHE_DIR, or auditdm in XDG_CACHE_HOME, or ~/.cache/auditdm.

    Its name says of which files, by path, size and time of change, and how they were read.
    """
    own = os.environ.get("AUDITDM_CACHE_DIR")
    folder = Path(own or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "auditdm")).expanduser()
    stats = ((file.resolve(), file.stat()) for file in files)
    told = (f"{file} {stat.st_size} {stat.st_mtime_ns}" for file, stat in stats)
    return folder / "pools" / f"{content_id(f'{_INDEX} {PIL.__version__} {kind}', *facts, *told)}.json"


def _index_from(found: Any) -> _Index:
    ids = {str(name): number for number, name in enumerate(found["ids"])}
    skipped = [(int(good), str(origin), str(why)) for good, origin, why in found["skipped"]]
    index = _Index(ids, array("q", found["places"]), skipped, found["looked"], found["done"], found["stamp"])
    if len(index.places) != _WIDTH * len(ids):
        raise ValueError("every id needs a place")
    return index


def _written(index: _Index) -> dict[str, Any]:
    return {**vars(index), "ids": list(index.ids), "places": index.places.tolist()}


def _list_from(found: Any) -> tuple[list[tuple[str, str | None]], list[tuple[str, str]]]:
    asked, left_out = found
    return [(name, question) for name, question in asked], [(name, why) for name, why in left_out]


def _stored(path: Path, read: Callable[[Any], Stored]) -> Stored | None:
    """What an earlier start kept, or None where there is nothing that can be used."""
    try:
        return read(json.loads(path.read_bytes()))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError) as problem:
        log.warning("%s: cannot be used and is written anew: %s", path, problem)
        return None


def _store(path: Path, found: object) -> None:
    """Write under another name and rename, so that a reader sees all or nothing."""
    beside = path.with_suffix(f".{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside.write_text(json.dumps(found), encoding="utf-8")
        beside.replace(path)
    except OSError as problem:
        log.warning("%s: the index of the pool cannot be kept, so the next start decodes again: %s", path, problem)


def _tell_skipped(where: str, skipped: Sequence[tuple[str, str]]) -> None:
    for name, why in skipped[:_NAMED]:
        log.warning("%s: %s: left out: %s", where, name, why)
    if len(skipped) > _NAMED:
        log.warning("%s: %d more were left out", where, len(skipped) - _NAMED)
