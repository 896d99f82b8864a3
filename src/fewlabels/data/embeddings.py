"""Embeddings from .npy and Parquet files: checked whole, held in memory only where they must be."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ..errors import EmbeddingError
from .npy import MAGIC, check_shape, read_npy, rows_per_block
from .paths import PARQUET, archive_kind, first_bytes, local_path
from .tables import Table, id_texts, label_texts, open_table, part_files, plain, plain_type

DEFAULT_EMBEDDING = "embedding"
BATCH_ROWS = 16384


@dataclass(frozen=True)
class Embeddings:
    """values: (n, d) float32 or float64, C-contiguous, finite; a read-only memmap for most .npy files.

    ids: n texts. names: the label column, None = unlabelled; None as a whole where there is no such column.
    """

    values: np.ndarray
    ids: list[str]
    names: list[str | None] | None


def read_embeddings(
    path: str | os.PathLike[str],
    *,
    id_column: str = "id",
    embedding_column: str = DEFAULT_EMBEDDING,
    label_column: str = "label",
) -> Embeddings:
    """The embeddings in a .npy file, a Parquet file, or a folder of Parquet files (in order of their names).

    .npy: ids are the row numbers "0", "1", ... Parquet: a column of lists of numbers; where there is none called
    "embedding", two or more numeric columns side by side, without id, label and pandas' `__index_level_0__`. An id
    column is used if present, else row numbers; a column asked for by another name than the default must be there.
    Raises EmbeddingError (E1, E8-E10, E12-E14, E16-E18, E20, E21, E23, E30-E32), StorageError.
    """
    source = local_path(path, EmbeddingError, "E32")
    if source.is_dir():
        files = part_files(source)
        if not files:
            do = "pass the folder that holds the .parquet files itself, or a .npy file"
            raise EmbeddingError("E23", "a folder without Parquet files", where=source, do=do)
        found = _from_table(open_table(files, EmbeddingError), id_column, embedding_column, label_column)
    elif _kind(source) == "npy":
        values = read_npy(source)
        found = Embeddings(values, _row_numbers(len(values)), None)
    else:
        found = _from_table(open_table([source], EmbeddingError), id_column, embedding_column, label_column)
    _check_finite(found, str(source))
    return found


def _kind(path: Path) -> str:
    """ "npy" or "parquet", by the ending of the name, else by content. Raises EmbeddingError for anything else."""
    ending, head = path.suffix.lower(), first_bytes(path)
    if ending == ".npz" or (head.startswith(b"PK") and ending not in (".npy", ".parquet")):
        do = "save one array as .npy: numpy.save('x.npy', numpy.load('x.npz')['name of the array'])"
        raise EmbeddingError("E16", "an .npz or zip archive; expected one array", where=path, do=do)
    if ending == ".npy" or head.startswith(MAGIC):
        return "npy"
    if ending in (".parquet", ".pq") or head.startswith(PARQUET):
        return "parquet"
    do = "save the embeddings as .npy (numpy.save) or Parquet"
    if ending in (".csv", ".tsv", ".txt"):
        raise EmbeddingError("E30", "embeddings as text; text is slow and rounds numbers", where=path, do=do)
    kind = archive_kind(head) or "neither a .npy nor a Parquet file"
    raise EmbeddingError("E32", kind, where=path, do=do)


def _row_numbers(count: int) -> list[str]:
    return list(map(str, range(count)))


def _from_table(table: Table, id_column: str, embedding_column: str, label_column: str) -> Embeddings:
    for name, default in ((id_column, "id"), (embedding_column, DEFAULT_EMBEDDING), (label_column, "label")):
        if name != default and name not in table.names:
            raise _missing(table, f"no column {name!r}")
    check_shape((table.num_rows, 1), str(table.files[0].parent if len(table.files) > 1 else table.files[0]))
    ids = id_texts(table, id_column) if id_column in table.names else _row_numbers(table.num_rows)
    names = label_texts(table, label_column) if label_column in table.names else None
    if embedding_column in table.names:
        return Embeddings(_from_lists(table, embedding_column, ids), ids, names)
    others = [name for name in table.names if name not in (id_column, label_column)]
    return Embeddings(_from_columns(table, others, ids), ids, names)


def _missing(table: Table, what: str) -> EmbeddingError:
    found = ", ".join(f"{name!r} ({kind})" for name, kind in zip(table.names[:20], table.schema.types, strict=False))
    do = f"call the column of lists of numbers {DEFAULT_EMBEDDING!r} (in Python: embedding_column=...)"
    return EmbeddingError("E31", f"{what}; found {found}", where=table.files[0], do=do)


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))


def _is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def _dtype(kinds: list[pa.DataType]) -> np.dtype:
    """float64 if any of the columns is, else float32."""
    return np.dtype(np.float64 if pa.float64() in kinds else np.float32)


def _from_lists(table: Table, name: str, ids: list[str]) -> np.ndarray:
    """(n, d) from a column with one list of d numbers in each row. Raises E10 for its type, E17 for odd rows."""
    kind = plain_type(table.schema.field(name).type)
    where = f"{table.files[0]}, column {name!r}"
    if not _is_list(kind) or not _is_number(kind.value_type):
        do = "write lists of float32, all of the same width"
        raise EmbeddingError("E10", f"embeddings of type {kind}; expected lists of numbers", where=where, do=do)
    values, start = np.empty((0, 0)), 0
    for batch in table.batches([name], BATCH_ROWS):
        lists = plain(batch.column(0))
        if start == 0:
            widths = pc.list_value_length(lists).drop_null()
            width = widths[0].as_py() if len(widths) else 1  # only nulls: refused below, with their ids
            check_shape((table.num_rows, width), where)
            values = np.empty((table.num_rows, width), _dtype([kind.value_type]))
        if (bad := _odd_rows(lists, values.shape[1])).any():
            rows = [ids[start + i] for i in np.flatnonzero(bad)]
            what = f"embeddings that are missing, have a missing value or not {values.shape[1]} numbers"
            raise EmbeddingError("E17", what, where=where, rows=rows, do="compute these again, or leave the rows out")
        flat = lists.flatten().to_numpy(zero_copy_only=False)
        values[start : start + len(lists)] = flat.reshape(len(lists), values.shape[1])
        start += len(lists)
    return values


def _odd_rows(lists: pa.Array, width: int) -> np.ndarray:
    """(rows,) bool: null, of another width, or with a null inside."""
    bad: np.ndarray = lists.is_null().to_numpy(zero_copy_only=False)
    lengths = pc.fill_null(pc.list_value_length(lists), width).to_numpy(zero_copy_only=False)
    bad = bad | (lengths != width)
    flat = lists.flatten()  # leaves null rows out
    if flat.null_count:
        rows = np.repeat(np.arange(len(lists)), np.where(lists.is_valid(), lengths, 0))
        bad[rows[flat.is_null().to_numpy(zero_copy_only=False)]] = True
    return bad


def _from_columns(table: Table, candidates: list[str], ids: list[str]) -> np.ndarray:
    """(n, d) from d numeric columns side by side. Raises E31 if that is not clearly what the table holds."""
    kinds = {name: plain_type(table.schema.field(name).type) for name in candidates}
    lists = [name for name, kind in kinds.items() if _is_list(kind)]
    columns = [n for n, kind in kinds.items() if _is_number(kind) and not n.startswith("__index_level_")]
    if lists or len(columns) < 2:
        raise _missing(table, f"no column {DEFAULT_EMBEDDING!r}, and no table of two or more numeric columns")
    values, start = np.empty((table.num_rows, len(columns)), _dtype([kinds[name] for name in columns])), 0
    for batch in table.batches(columns, BATCH_ROWS):
        for at, name in enumerate(columns):
            column = batch.column(name)
            if column.null_count:
                rows = [ids[start + i] for i in np.flatnonzero(column.is_null())]
                where = f"{table.files[0]}, column {name!r}"
                raise EmbeddingError("E17", "missing numbers", where=where, rows=rows, do="leave these rows out")
            values[start : start + len(batch), at] = column.to_numpy(zero_copy_only=False)
        start += len(batch)
    return values


def _blocks(values: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    step = rows_per_block(values.shape, values.itemsize)
    for start in range(0, len(values), step):
        yield start, values[start : start + step]


def _check_finite(found: Embeddings, where: str) -> None:
    """Raise EmbeddingError E1 naming the ids of rows with NaN or infinity; one block in memory at a time."""
    rows: list[str] = []
    for start, block in _blocks(found.values):
        bad = ~np.isfinite(block).all(axis=1)
        rows += [found.ids[start + i] for i in np.flatnonzero(bad)]
    if rows:
        what = "embeddings with NaN or infinity; one such row would spoil its neighbours"
        raise EmbeddingError("E1", what, where=where, rows=rows, do="compute these again, or leave the rows out")
