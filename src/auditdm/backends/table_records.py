"""Rows of Parquet files and of Hugging Face datasets as records."""

from __future__ import annotations

import itertools
import logging
import os
import re
import threading
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from auditdm.backends.records import NONE, UNREADABLE, Place, question_in
from auditdm.errors import ConfigError

log = logging.getLogger(__name__)

_IMAGE_NAMES = ("image", "images", "img", "picture", "photo", "jpg", "jpeg", "png", "webp", "image_bytes", "image_path")
_QUESTION_NAMES = ("question", "query")
_SPLIT = re.compile(r"(?P<name>.+?)(?::(?P<split>[\w.-]+(?:\[[^\]]*\])?))?")
_BATCH = 8  # rows of Parquet in memory at a time
_LARGE_GROUP = 256 * 2**20  # bytes of a row group


def _columns(schema: Any, where: str, image: str | None, question: str | None) -> tuple[str, str | None]:
    """The column of the pictures and that of the questions, given or found, or an error that lists the columns."""
    there = {column.name: column.type for column in schema}
    pictures = [name for name, kind in there.items() if _holds_pictures(kind)]
    for role, given, fit in (("image", image, pictures), ("question", question, [n for n in there if _text(there[n])])):
        if given and given not in fit:
            have = f"is {there[given]}" if given in there else "is not there"
            need = "bytes, a path, or a struct of bytes and path" if role == "image" else "text"
            raise ConfigError(f"{where}: column '{given}' {have}; {role} must be {need}. {_list_of(there)}")
    if image is None:
        by_name = [name for wanted in _IMAGE_NAMES for name in pictures if name.lower() == wanted]
        by_type = [name for name in pictures if pa.types.is_struct(there[name])]
        image = next(iter(by_name or (by_type if len(by_type) == 1 else [])), None)
    if image is None:
        raise ConfigError(
            f"{where}: no column is known as that of the pictures. {_list_of(there)} Name it: add '?image=COLUMN'."
        )
    if question is None:
        question = next((n for w in _QUESTION_NAMES for n in there if n.lower() == w and _text(there[n])), None)
    return image, question or None


def _list_of(columns: dict[str, Any]) -> str:
    return f"Its columns: {', '.join(f'{name} ({kind})' for name, kind in columns.items()) or 'none'}."


def _text(kind: Any) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _holds_pictures(kind: Any) -> bool:
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return _holds_pictures(kind.value_type) and not pa.types.is_list(kind.value_type)
    if pa.types.is_struct(kind):
        return bool({kind.field(number).name for number in range(kind.num_fields)} & {"bytes", "path"})
    return bool(
        _text(kind) or pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind)
    )


def _of_paths(kind: Any) -> bool:
    return _text(kind.value_type if pa.types.is_list(kind) or pa.types.is_large_list(kind) else kind)


def _cells(row: dict[str, Any], image: str, question: str | None, folder: Path) -> tuple[bytes | Path, str | None]:
    """Picture and question of a row; paths are relative to the folder."""
    picture = row[image]
    if isinstance(picture, list):
        if len(picture) != 1:
            raise ValueError(f"the row has {len(picture)} pictures; one is needed")
        picture = picture[0]
    if isinstance(picture, dict):
        picture = picture.get("bytes") or picture.get("path")
    if not picture:
        raise ValueError("the row has no picture")
    if isinstance(picture, str):
        if "://" in picture:
            raise ValueError(f"{picture[:80]} is an address; pictures are not fetched")
        picture = folder / Path(picture).expanduser()
    return picture, question_in(row[question] if question else None)


class ParquetRows:
    """Rows of Parquet files, a few in memory at a time; places are (file, row)."""

    def __init__(self, files: Sequence[Path], where: str, image: str | None, question: str | None) -> None:
        self._files, self._where, self._given = files, where, (image, question)
        self._root = Path(os.path.commonpath([file.parent for file in files]))
        self._lock = threading.Lock()  # there is one cursor: a file, a row group of it, a few rows
        self._number = self._group = NONE
        self._batch: Any = ()
        self._warned: set[int] = set()
        self.by_path = False
        for number in range(len(files)):
            try:
                self._open(number)
            except UNREADABLE:
                continue  # counted when the pass comes to it
            self.by_path = _of_paths(self._file.schema_arrow.field(self._image).type)
            break

    def places(self) -> Iterator[Place]:
        """Every row of every file; a file that is no Parquet is one place, which cannot be read."""
        for number, file in enumerate(self._files):
            try:
                rows = pq.read_metadata(file).num_rows
            except UNREADABLE:
                yield number, NONE, NONE, NONE
                continue
            for row in range(rows):
                yield number, row, NONE, NONE

    def origin(self, place: Place) -> str:
        """File and row, counted from 0."""
        name = self._files[place[0]].relative_to(self._root).as_posix()
        return name if place[1] == NONE else f"{name} row {place[1]}"

    def read(self, place: Place) -> tuple[bytes | Path, str | None]:
        """Move the cursor to the row: forward within its row group, else from the front of the group."""
        number, row = place[:2]
        with self._lock:
            try:
                if number != self._number:
                    self._open(number)
                self._seek(row)
            except BaseException:
                self._number = NONE  # an interrupted cursor stands nowhere
                raise
            cells = self._batch.slice(row - self._first, 1).to_pylist()[0]
        return _cells(cells, self._image, self._question, self._files[number].parent)

    def _open(self, number: int) -> None:
        self._number = NONE
        file = pq.ParquetFile(self._files[number], pre_buffer=False, buffer_size=2**20)  # page by page
        where = f"{self._where}: {self._files[number].name}" if len(self._files) > 1 else self._where
        self._image, self._question = _columns(file.schema_arrow, where, *self._given)
        sizes = [file.metadata.row_group(group).num_rows for group in range(file.metadata.num_row_groups)]
        self._starts = [0, *itertools.accumulate(sizes)]
        self._file, self._number = file, number
        self._group, self._first = NONE, 0
        large = max((file.metadata.row_group(g).total_byte_size for g in range(len(sizes))), default=0)
        if large > _LARGE_GROUP and number not in self._warned:
            self._warned.add(number)
            log.warning(
                "%s: has a row group of %d MiB; pictures out of order are slow. Write it with row_group_size=100.",
                self._files[number],
                large // 2**20,
            )

    def _seek(self, row: int) -> None:
        group = bisect_right(self._starts, row) - 1
        if group != self._group or row < self._first:
            columns = [self._image, *([self._question] if self._question else [])]
            self._batches = self._file.iter_batches(_BATCH, row_groups=[group], columns=columns, use_threads=False)
            self._group, self._first, self._batch = group, self._starts[group], ()
        while row >= self._first + len(self._batch):
            self._first += len(self._batch)
            self._batch = next(self._batches, None)
            if self._batch is None:
                raise OSError(f"row {row} is promised and not there")


class DatasetRows:
    """Rows of a Hugging Face dataset, mapped from disk and never decoded by it; places are (0, row)."""

    def __init__(self, dataset: Any, folder: Path, where: str, image: str | None, question: str | None) -> None:
        schema = dataset.features.arrow_schema
        self._image, self._question = _columns(schema, where, image, question)
        self._rows = dataset.select_columns([c for c in (self._image, self._question) if c]).with_format("arrow")
        self._folder = folder
        self.by_path = _of_paths(schema.field(self._image).type)

    def places(self) -> Iterator[Place]:
        """Every row."""
        return ((0, row, NONE, NONE) for row in range(len(self._rows)))

    def origin(self, place: Place) -> str:
        """The row, counted from 0."""
        return f"row {place[1]}"

    def read(self, place: Place) -> tuple[bytes | Path, str | None]:
        """Read one row."""
        [row] = self._rows[place[1] : place[1] + 1].to_pylist()
        return _cells(row, self._image, self._question, self._folder)


def open_dataset(name: str) -> tuple[Any, Path]:
    """Open one split of a dataset of the disk or of the hub.

    Returns:
        The dataset, and the folder that paths in it are relative to.

    Raises:
        ConfigError: No such dataset or split, no network, or the library is not installed.
    """
    try:
        import datasets
    except ImportError as error:
        raise ConfigError(
            f"images: hf-dataset/{name}: needs the library datasets. Install it: pip install -e '.[local]' -c constraints.txt."
        ) from error
    folder, split = Path(name).expanduser(), None
    if not folder.is_dir() and (parts := _SPLIT.fullmatch(name)):
        folder, split = Path(parts["name"]).expanduser(), parts["split"]
    if folder.is_dir():
        return _one_split(_from_disk(datasets, folder, name), split, name), folder
    if folder.is_absolute() or name.startswith((".", "~")):
        raise ConfigError(
            f"images: hf-dataset/{name}: there is no such folder. Give one that save_to_disk wrote, or a hub id."
        )
    found = _from_hub(datasets, str(folder), split, name)
    return (_one_split(found, None, name) if split is None else found), folder


def _from_disk(datasets: Any, folder: Path, name: str) -> Any:
    try:
        return datasets.load_from_disk(str(folder))
    except (OSError, ValueError, KeyError) as error:
        raise ConfigError(
            f"images: hf-dataset/{name}: the folder is not one that datasets' save_to_disk wrote: {error} "
            "For a folder of Parquet files write 'parquet/FOLDER', for pictures give the folder alone."
        ) from error


def _from_hub(datasets: Any, hub_id: str, split: str | None, name: str) -> Any:
    """Load a split from the hub, or say how to do without the network."""
    try:
        return datasets.load_dataset(hub_id, split=split)
    except Exception as error:  # the hub's clients raise errors of many families
        raise ConfigError(
            f"images: hf-dataset/{name}: is no local folder, and the hub did not give it: {str(error)[:300]}\n"
            "Check the name, and for a gated dataset `hf auth login`. Without network use a local copy: where there is "
            f"network run `datasets.load_dataset('{hub_id}').save_to_disk('FOLDER')`, bring the folder here and write "
            "'hf-dataset/FOLDER:SPLIT'; a folder of its Parquet files does too: 'parquet/FOLDER'."
        ) from error


def _one_split(found: Any, split: str | None, name: str) -> Any:
    """The split that is asked for, or the only one."""
    if not isinstance(found, dict):
        if split is None:
            return found
        raise ConfigError(f"images: hf-dataset/{name}: the folder has no splits; leave ':{split}' away.")
    splits = sorted(found)
    chosen = splits[0] if split is None and len(splits) == 1 else split
    if chosen not in found:
        asked = f"there is no split '{split}'" if split else "has several splits"
        raise ConfigError(
            f"images: hf-dataset/{name}: {asked}. Splits: {', '.join(splits)}. Write 'hf-dataset/NAME:{splits[0]}'."
        )
    return found[chosen]
