"""The tables of a run folder: their columns, and the way of a row to Parquet and back.

`docs/run-folder.md` says what each column means, and a test holds that page to this file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from auditdm.errors import StoreError

_TEXT, _TRUTH, _COUNT, _REAL = pa.string(), pa.bool_(), pa.int64(), pa.float64()

# Every table and column there is. A key that a row lacks is NULL; a key that is not here is refused.
TABLES: dict[str, pa.Schema] = {
    "sources": pa.schema({"id": _TEXT, "origin": _TEXT, "question": _TEXT}),
    "proposals": pa.schema(
        {
            "id": _TEXT,
            "arm": _TEXT,
            "phase": _TEXT,
            "step": _COUNT,
            "source_id": _TEXT,
            "action": _TEXT,
            "given_question": _TRUTH,
            "prompt_question": _TEXT,
            "reply": _TEXT,
            "question": _TEXT,
            "instruction": _TEXT,
            "malformed": _TEXT,
            "probe_id": _TEXT,
            "void": _TEXT,
        }
    ),
    "probes": pa.schema(
        {
            "id": _TEXT,
            "picture_id": _TEXT,
            "source_id": _TEXT,
            "question": _TEXT,
            "action": _TEXT,
            "pairing": _TEXT,
            "instruction": _TEXT,
        }
    ),
    "answers": pa.schema(
        {
            "id": _TEXT,
            "probe_id": _TEXT,
            "role": _TEXT,
            "model": _TEXT,
            "revision": _TEXT,
            "wording": _COUNT,
            "text": _TEXT,
            "problem": _TEXT,
        }
    ),
    "verdicts": pa.schema(
        {
            "id": _TEXT,
            "outcome": _TEXT,
            "consensus": _TEXT,
            "dissent": _REAL,
            "reason": _TEXT,
            "target_answer": _TEXT,
            "self_consistent": _TRUTH,
        }
    ),
    "rewards": pa.schema({"id": _TEXT, "reward": _REAL, "novelty": _REAL}),
    "training_log": pa.schema(
        {
            "id": _TEXT,
            "arm": _TEXT,
            "step": _COUNT,
            "success": _REAL,
            "split": _REAL,
            "void": _REAL,
            "invalid": _REAL,
            "distinct": _REAL,
            "zero_variance": _REAL,
            "seconds": _REAL,
            "reward": _REAL,
        }
    ),
    "failure_modes": pa.schema(
        {
            "id": _TEXT,
            "name": _TEXT,
            "description": _TEXT,
            "probe_ids": pa.list_(_TEXT),
            "measured": _COUNT,
        }
    ),
    "descriptions": pa.schema({"id": _TEXT, "model": _TEXT, "revision": _TEXT, "text": _TEXT, "problem": _TEXT}),
    "findings": pa.schema(
        {
            "id": _TEXT,
            "name": _TEXT,
            "predicate": _TEXT,
            "state": _TEXT,
            "reason": _TEXT,
            "hits": _COUNT,
            "asked": _COUNT,
            "void": _COUNT,
            "base_hits": _COUNT,
            "base_asked": _COUNT,
            "splits": _COUNT,
            "posed": _COUNT,
            "again_hits": _COUNT,
            "again_asked": _COUNT,
            "decoy_floor": _REAL,
            "p": _REAL,
            "q": _REAL,
            "failing": pa.list_(_TEXT),
            "passing": pa.list_(_TEXT),
        }
    ),
    "confirmations": pa.schema(
        {
            "id": _TEXT,
            "finding_id": _TEXT,
            "probe_id": _TEXT,
            "role": _TEXT,
            "failed": _TRUTH,
            "failed_again": _TRUTH,
        }
    ),
    "causes": pa.schema(
        {
            "id": _TEXT,
            "finding_id": _TEXT,
            "kind": _TEXT,
            "before": _TEXT,
            "after": _TEXT,
            "command": _TEXT,
            "changed_share": _REAL,
            "flipped": _TRUTH,
        }
    ),
    "trainset": pa.schema(
        {
            "id": _TEXT,
            "set": _TEXT,
            "probe_id": _TEXT,
            "picture_id": _TEXT,
            "question": _TEXT,
            "answer": _TEXT,
            "origin": _TEXT,
            "label_from": _TEXT,
        }
    ),
    "scores": pa.schema(
        {
            "id": _TEXT,
            "model": _TEXT,
            "suite": _TEXT,
            "slice": _TEXT,
            "hits": _COUNT,
            "asked": _COUNT,
            "void": _COUNT,
        }
    ),
    "truths": pa.schema(
        {
            "id": _TEXT,
            "valid": _TRUTH,
            "invalid_reason": _TEXT,
            "skill": _TEXT,
            "answer": _TEXT,
            "target_right": _TRUTH,
            "gap": _TEXT,
        }
    ),
}


def check_table(table: str) -> None:
    """Refuse a name that is no table.

    Raises:
        StoreError: It is not a key of `TABLES`.
    """
    if table not in TABLES:
        raise StoreError(f"there is no table {table!r}. All tables: {', '.join(TABLES)}.")


def check_row(table: str, row: Mapping[str, Any]) -> None:
    """Refuse a row that the table cannot hold.

    Raises:
        ValueError: A column that the table does not have, no id, NaN where None is meant, or a fraction for a count.
    """
    if unknown := row.keys() - set(TABLES[table].names):
        raise ValueError(f"{table} has no column {min(unknown)!r}; it has {', '.join(TABLES[table].names)}")
    if not isinstance(row.get("id"), str) or not row["id"]:
        raise ValueError(f"a row of {table} needs an id, a text; found {row.get('id')!r}")
    for name, value in row.items():
        if not isinstance(value, Real) or isinstance(value, Integral):
            continue
        if value != value:
            raise ValueError(f"{table}.{name} of row {row['id']} is NaN; what was not measured is None")
        if TABLES[table].field(name).type == _COUNT:  # pyarrow would cut the fraction off
            raise ValueError(f"{table}.{name} holds int64: found {value!r}")


def encode(table: str, rows: Sequence[Mapping[str, Any]]) -> bytes:
    """Turn checked rows into the bytes of one Parquet file; a missing key is NULL.

    Raises:
        ValueError: A value has not the type of its column.
    """
    columns = []
    for column in TABLES[table]:
        try:
            columns.append(pa.array([row.get(column.name) for row in rows], type=column.type))
        except (pa.ArrowException, UnicodeEncodeError) as problem:
            raise ValueError(f"{table}.{column.name} holds {column.type}: {problem}") from problem
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_arrays(columns, schema=TABLES[table]), sink)
    return bytes(sink.getvalue())


def decode(part: Path, columns: Sequence[str]) -> pa.Table:
    """Read the named columns of one part.

    Raises:
        StoreError: The file is damaged.
    """
    try:
        return pq.ParquetFile(part).read(columns=list(columns))
    except (OSError, pa.ArrowException) as problem:
        raise StoreError(
            f"{part}: damaged ({problem}). Delete this file and give the same command again: its rows are made anew."
        ) from problem
