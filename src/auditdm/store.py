"""The run folder: append-only Parquet parts and pictures by content id; one writer, many readers.

Every file is written under a hidden name, flushed to the disk and renamed, so that after a power cut or `kill -9` it is
either whole or absent. A row carries its own id, made from content: appending it a second time changes nothing, which
is all that resuming needs. `docs/run-folder.md` says what each column means. Linux and macOS (the lock is `flock`).
"""

from __future__ import annotations

import errno
import fcntl
import io
import json
import os
import re
import socket
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import duckdb
import pyarrow.dataset as pds
import pyarrow.parquet as pq
import yaml
from PIL import Image

from auditdm.errors import StoreError
from auditdm.tables import TABLES as TABLES
from auditdm.tables import check_row, check_table, decode, encode
from auditdm.types import content_id, picture_id

Row = dict[str, Any]

_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_OWN_NAMES = {"LOCK", "environment.json"}  # all that a process killed before it wrote config.yaml can leave
_ABSENT = "(absent)"


class Run:
    """One run's folder. `Run.open` writes and locks; `Run.read` reads while another process may be writing."""

    def __init__(self, path: Path, lock: IO[str] | None) -> None:
        """Use `Run.open` or `Run.read`."""
        self.path = path
        self._lock = lock
        self._ids: dict[str, set[str]] = {}

    @classmethod
    def open(cls, path: str | Path, config: Mapping[str, Any], environment: Mapping[str, Any]) -> Run:
        """Create the folder, or resume what an interrupted process left in it.

        Leftovers of a killed process are removed. The configuration and the environment are on disk when this returns;
        a second environment, of a resumed run, is kept beside the first as `environment-<content id>.json`.

        Args:
            path: The folder; its parents are made.
            config: Plain YAML values. The key `run` says where the folder lies and is not compared.
            environment: Plain JSON values, see `auditdm.environment`.

        Raises:
            StoreError: Another process writes here, the folder belongs to another configuration or to no run, or the
                disk refuses; each message says what to do.
        """
        path = Path(path)
        config = json.loads(json.dumps(config))  # tuples become lists, as they will be when read back
        try:
            if path.is_dir() and not (path / "config.yaml").exists():
                _refuse_other_folder(path)
            path.mkdir(parents=True, exist_ok=True)
        except OSError as problem:
            raise StoreError(f"{path}: cannot be made a run folder: {problem}. Give another path.") from problem
        run = cls(path, _locked(path))
        try:
            _remove_leftovers(path)
            if (path / "tables").exists():
                _refuse_other_configuration(path, run.config, config)
            run._keep_environment(environment)
            if not (path / "tables").exists():  # nothing was made yet: a mended configuration takes the folder over
                text = yaml.safe_dump(config, sort_keys=False, allow_unicode=True, width=100)
                run._write(path / "config.yaml", text.encode(), "the configuration")
        except BaseException:
            run.close()
            raise
        return run

    @classmethod
    def read(cls, path: str | Path) -> Run:
        """Open a run for reading only; nothing is locked, so a run can be read while it is written.

        Raises:
            StoreError: There is no run at `path`.
        """
        path = Path(path)
        if not (path / "config.yaml").is_file():
            found = "a folder without config.yaml" if path.is_dir() else "no such folder"
            raise StoreError(f"{path}: {found}, so not a run. Give the folder that a run printed, such as runs/demo.")
        return cls(path, None)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give the lock back. Closing twice, or closing a reader, does nothing."""
        if self._lock is not None and not self._lock.closed:
            try:
                self._lock.truncate(0)
            finally:
                self._lock.close()

    @property
    def config(self) -> dict[str, Any]:
        """The configuration that the folder belongs to, as plain values."""
        found: dict[str, Any] = yaml.safe_load((self.path / "config.yaml").read_text(encoding="utf-8"))
        return found

    @property
    def finished(self) -> bool:
        """Whether the marker DONE is there."""
        return (self.path / "DONE").exists()

    # --- tables

    def append(self, table: str, rows: Iterable[Mapping[str, Any]]) -> None:
        """Add the rows whose id the table does not have yet, all or none, as one new part.

        Args:
            table: A key of `TABLES`.
            rows: Order is kept; of two rows with one id the first stays. A missing key is NULL.

        Raises:
            ValueError: A column or a type that `TABLES` does not have, a row without an id, or NaN (absent is None).
            StoreError: The disk refused. No part of the batch is there; the message says what is kept.
        """
        check_table(table)
        known = self._known_ids(table)
        fresh: dict[str, Mapping[str, Any]] = {}
        for row in rows:
            check_row(table, row)
            if row["id"] not in known:
                fresh.setdefault(row["id"], row)
        if not fresh:
            return
        raw = encode(table, list(fresh.values()))
        sequence = max((_sequence(part) for part in self._parts(table)), default=-1) + 1
        part = self.path / "tables" / table / f"part-{sequence:06d}-{content_id(raw)}.parquet"
        # the marker vouches for everything, so it goes before the new rows
        (self.path / "DONE").unlink(missing_ok=True)
        self._write(part, raw, f"{len(fresh)} rows of {table}")
        known.update(fresh)

    def ids(self, table: str) -> set[str]:
        """The ids that the table has: what a resumed run skips."""
        return set(self._known_ids(table))

    def rows(self, table: str) -> list[Row]:
        """All rows in the order they were appended; an empty list where nothing was."""
        check_table(table)
        found: list[Row] = []
        for part in self._parts(table):
            found.extend(decode(part, TABLES[table].names).to_pylist())
        return found

    def sql(self, query: str) -> list[Row]:
        """Answer a DuckDB query over views named like the tables; nothing outside the run can be read or written.

        Raises:
            StoreError: The query is wrong, or names a table that has no rows.
        """
        with duckdb.connect() as connection:
            filled = [table for table in TABLES if self._parts(table)]
            for table in filled:
                dataset = pds.dataset([str(p) for p in self._parts(table)], schema=TABLES[table], format="parquet")
                connection.register(table, dataset)
            connection.execute("SET enable_external_access = false; SET python_enable_replacements = false;")
            connection.execute("SET lock_configuration = true")
            try:
                cursor = connection.execute(query)
                names = [column[0] for column in cursor.description or []]
                return [dict(zip(names, values, strict=True)) for values in cursor.fetchall()]
            except duckdb.CatalogException as problem:
                raise StoreError(self._missing_table(problem, filled)) from problem
            except (duckdb.Error, OSError) as problem:
                raise StoreError(f"{self.path}: the query could not be answered: {problem}") from problem

    # --- pictures

    def save_picture(self, image: Image.Image) -> str:
        """Keep a picture, as PNG under its content id, and return that id; the same pixels are kept once."""
        name = picture_id(image)
        if not self.picture_path(name).exists():
            buffer = io.BytesIO()
            image.convert("RGB").save(buffer, "PNG")
            self._write(self.picture_path(name), buffer.getvalue(), f"picture {name}")
        return name

    def picture(self, name: str) -> Image.Image:
        """The picture with this id, RGB.

        Raises:
            StoreError: It is not in the run, or its file is damaged.
        """
        try:
            with Image.open(self.picture_path(name)) as image:
                return image.convert("RGB")
        except FileNotFoundError as problem:
            raise StoreError(
                f"{self.path}: no picture {name}. Was the folder pictures/ copied with the run?"
            ) from problem
        except (OSError, SyntaxError) as problem:
            raise StoreError(
                f"{self.picture_path(name)}: damaged ({problem}). Copy the file again, or delete it and repeat the run."
            ) from problem

    def picture_path(self, name: str) -> Path:
        """Where the picture with this id lies, there or not; anything but an id is refused, as rows are not trusted."""
        if not re.fullmatch(r"[0-9a-f]{16}", name):
            raise StoreError(f"{self.path}: {name!r} is not a picture id (16 hex digits).")
        return self.path / "pictures" / name[:2] / f"{name}.png"

    # --- files

    def write_json(self, name: str, value: object) -> None:
        """Write RUN/name, whole or not at all; a former file of that name is replaced.

        Raises:
            ValueError: `value` is not JSON; NaN is not, absent is None.
            StoreError: The disk refused; a former file is still there.
        """
        text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
        self._write(self.path / name, text.encode(), name)

    def finish(self) -> None:
        """Write the marker DONE, which says how many rows each table has. Call it last."""
        self.write_json("DONE", {"rows": self._row_counts()})

    # --- inside

    def _parts(self, table: str) -> list[Path]:
        return sorted((self.path / "tables" / table).glob("part-*.parquet"))

    def _known_ids(self, table: str) -> set[str]:
        """The cached ids of a writer, which is alone; a reader looks again each time."""
        check_table(table)
        if table in self._ids:
            return self._ids[table]
        found: set[str] = set()
        for part in self._parts(table):
            found.update(decode(part, ["id"])["id"].to_pylist())
        if self._lock is not None:
            self._ids[table] = found
        return found

    def _row_counts(self) -> dict[str, int]:
        counts = {t: sum(pq.read_metadata(part).num_rows for part in self._parts(t)) for t in TABLES}
        return {table: count for table, count in counts.items() if count}

    def _keep_environment(self, environment: Mapping[str, Any]) -> None:
        raw = (json.dumps(environment, indent=2, ensure_ascii=False, sort_keys=True) + "\n").encode()
        first = self.path / "environment.json"
        if not first.exists():
            self._write(first, raw, "the environment")
        elif first.read_bytes() != raw:
            self._write(self.path / f"environment-{content_id(raw)}.json", raw, "the environment")

    def _missing_table(self, problem: duckdb.Error, filled: Sequence[str]) -> str:
        with_rows = f"With rows: {', '.join(filled) or 'none yet'}."
        named = re.search(r"Table with name (\S+) does not exist", str(problem))
        if named is None:
            return f"{self.path}: the query could not be answered: {problem}"
        if named[1] in TABLES:
            return f"{self.path}: table {named[1]} has no rows yet; the step that writes it has not run. {with_rows}"
        return f"{self.path}: there is no table {named[1]}. {with_rows} All tables: {', '.join(TABLES)}."

    def _write(self, path: Path, raw: bytes, what: str) -> None:
        """Write a file whole or not at all, and flush it to the disk."""
        if self._lock is None or self._lock.closed:
            raise StoreError(f"{self.path}: opened for reading, so {what} cannot be written. Use Run.open.")
        hidden = path.with_name(f".{path.name}.tmp")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with hidden.open("wb") as file:
                file.write(raw)
                file.flush()
                os.fsync(file.fileno())
            os.replace(hidden, path)
            _flush_folder(path.parent)
        except OSError as problem:
            hidden.unlink(missing_ok=True)
            raise StoreError(self._refusal(problem, what)) from problem
        except BaseException:
            hidden.unlink(missing_ok=True)
            raise

    def _refusal(self, problem: OSError, what: str) -> str:
        kept = ", ".join(f"{count} {table}" for table, count in self._row_counts().items()) or "the configuration"
        if problem.errno in _NO_ROOM:
            cause, remedy = f"the disk is full ({problem.strerror})", "Free some space"
        else:
            cause, remedy = f"the disk refused ({problem})", "Mend that"
        return (
            f"{self.path}: {cause} while writing {what}; nothing of it was kept. "
            f"Kept: {kept}. {remedy} and give the same command again: it resumes from there."
        )


def _sequence(part: Path) -> int:
    return int(part.name.split("-")[1])


def _locked(path: Path) -> IO[str]:
    """Take RUN/LOCK for as long as the process lives: the kernel gives it back, whatever ends the process."""
    file = (path / "LOCK").open("a+", encoding="utf-8")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as problem:
        file.seek(0)
        holder = file.read().split()
        file.close()
        if not isinstance(problem, BlockingIOError):
            raise StoreError(
                f"{path}: this disk has no file locks ({problem}). Use a folder on a local disk."
            ) from problem
        pid, host = holder if len(holder) == 2 else ("unknown", "unknown")
        raise StoreError(
            f"{path}: process {pid} on {host} is writing this run. Wait until it ends, or stop it with `kill {pid}` "
            "and give the same command again: it resumes. Reading and reporting work meanwhile."
        ) from problem
    file.truncate(0)
    file.write(f"{os.getpid()} {socket.gethostname()}\n")
    file.flush()
    return file


def _remove_leftovers(path: Path) -> None:
    for folder in (path, *(path / "tables").glob("*"), *(path / "pictures").glob("*")):
        for leftover in folder.glob(".*.tmp"):
            leftover.unlink(missing_ok=True)


def _refuse_other_folder(path: Path) -> None:
    foreign = sorted(p.name for p in path.iterdir() if not p.name.startswith(".") and p.name not in _OWN_NAMES)
    if foreign:
        raise StoreError(
            f"{path}: holds {foreign[0]} and no config.yaml, so it is not a run folder. Give a new or empty folder."
        )


def _refuse_other_configuration(path: Path, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
    before, now = dict(_leaves(old)), dict(_leaves(new))
    keys = [*before, *(key for key in now if key not in before)]
    changed = [key for key in keys if before.get(key, _ABSENT) != now.get(key, _ABSENT) and key != "run"]
    if changed:
        lines = [f"  {key}: {before.get(key, _ABSENT)} in the folder, {now.get(key, _ABSENT)} now" for key in changed]
        remedy = "Give another folder for the new configuration, or put the old values back to resume."
        if not any(key in before and key in now for key in changed):
            remedy += (
                " If you changed nothing, another version of AuditDM wrote the folder: finish it with that one, or give "
                "another folder."
            )
        raise StoreError("\n".join([f"{path}: belongs to another configuration. What differs:", *lines, remedy]))


def _leaves(value: Any, key: str = "") -> Iterable[tuple[str, str]]:
    """Every value with its dotted key; an empty mapping or list is a value of its own."""
    if isinstance(value, Mapping) and value:
        for name, inner in value.items():
            yield from _leaves(inner, f"{key}.{name}" if key else str(name))
    elif isinstance(value, list) and value:
        for number, inner in enumerate(value):
            yield from _leaves(inner, f"{key}[{number}]")
    else:
        yield key, json.dumps(value, ensure_ascii=False)


def _flush_folder(path: Path) -> None:
    """Make a rename last through a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
