"""The columns of a table that hold embeddings -> one array of numbers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ..errors import EmbeddingError
from .npy import check_shape
from .parts import part_kind
from .tables import Table, plain, plain_type

OnShare = Callable[[float], None]
OnIncomplete = Callable[[str, str, np.ndarray], None]


@dataclass(frozen=True)
class Layout:
    """Where the numbers stand: one column of lists, or `width` numeric columns side by side.

    dtype: float64 if any of the columns is, else float32.
    """

    columns: list[str]
    is_list: bool
    width: int
    dtype: np.dtype


def layout(table: Table, name: str, others: tuple[str, str]) -> Layout:
    """How the table holds embeddings: in the column `name` if there is one, else in all numeric columns but `others`.

    Raises EmbeddingError E10 for the type of the column, E31 if it is not clear where the embeddings are, E8 for
    lists of nothing.
    """
    if name in table.names:
        return _list_layout(table, name)
    kinds = {n: plain_type(table.schema.field(n).type) for n in table.names if n not in others}
    columns = [n for n, kind in kinds.items() if _is_number(kind) and not n.startswith("__index_level_")]
    if any(map(_is_list, kinds.values())) or len(columns) < 2:
        raise missing_column(table, f"no column {name!r}, and no table of two or more numeric columns")
    return Layout(columns, False, len(columns), _dtype([kinds[name] for name in columns]))


def missing_column(table: Table, what: str) -> EmbeddingError:
    """The error for a column that was asked for, or is needed, and is not there (E31)."""
    found = ", ".join(f"{name!r} ({kind})" for name, kind in zip(table.names[:20], table.schema.types, strict=False))
    do = "name the column of lists of numbers (--embedding-column; in Python: embedding_column=...)"
    return EmbeddingError("E31", f"{what}; found {found}", where=table.files[0], do=do)


def values_of(table: Table, found: Layout, on_share: OnShare, on_incomplete: OnIncomplete) -> np.ndarray:
    """(n, d) numbers, C-contiguous. A row with missing numbers or of another width is NaN.

    on_incomplete: told each time where such rows are, what is wrong with them and which they are; it may raise.
    """
    if found.is_list and (mapped := _mapped(table, found)) is not None:
        return mapped
    return (_from_lists if found.is_list else _from_columns)(table, found, on_share, on_incomplete)


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))


def _is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def _dtype(kinds: list[pa.DataType]) -> np.dtype:
    return np.dtype(np.float64 if pa.float64() in kinds else np.float32)


def _list_layout(table: Table, name: str) -> Layout:
    kind = plain_type(table.schema.field(name).type)
    where = _place(table, name)
    if not _is_list(kind) or not _is_number(kind.value_type):
        do = "write lists of float32, all of the same width"
        raise EmbeddingError("E10", f"embeddings of type {kind}; expected lists of numbers", where=where, do=do)
    if pa.types.is_fixed_size_list(kind):
        width = kind.list_size
    else:
        lengths = (pc.list_value_length(plain(batch.column(0))).drop_null() for batch in table.batches([name]))
        first = next((length for length in lengths if len(length)), None)
        width = 1 if first is None else first[0].as_py()  # only nulls: refused when they are read, with their ids
    check_shape((table.num_rows, width), where)
    return Layout([name], True, width, _dtype([kind.value_type]))


def _place(table: Table, name: str) -> str:
    return f"{table.files[0]}, column {name!r}"


def _mapped(table: Table, found: Layout) -> np.ndarray | None:
    """The numbers where they lie, without a copy: of one Arrow file with one batch that is plain. None for others."""
    if len(table.files) > 1 or part_kind(table.files[0]) != "Arrow":
        return None
    lists = plain(next(iter(table.batches(found.columns, None))).column(0))
    flat = lists.flatten()
    if len(lists) < table.num_rows or flat.null_count or _odd_rows(lists, found.width).any():
        return None
    if flat.type not in (pa.float32(), pa.float64()):
        return None
    values: np.ndarray = flat.to_numpy().reshape(len(lists), found.width)
    return values if values.flags.aligned else None


def _from_lists(table: Table, found: Layout, on_share: OnShare, on_incomplete: OnIncomplete) -> np.ndarray:
    """(n, d) from a column with one list of d numbers in each row."""
    values, start = np.empty((table.num_rows, found.width), found.dtype), 0
    for batch in table.batches(found.columns):
        lists = plain(batch.column(0))
        part = values[start : start + len(lists)]
        if (bad := _odd_rows(lists, found.width)).any():
            what = f"embeddings that are missing, have a missing value or not {found.width} numbers"
            on_incomplete(_place(table, found.columns[0]), what, start + np.flatnonzero(bad))
            part[bad] = np.nan
            flat = lists.filter(pa.array(~bad)).flatten().to_numpy(zero_copy_only=False)
            part[~bad] = flat.reshape(-1, found.width)
        else:
            part[:] = lists.flatten().to_numpy(zero_copy_only=False).reshape(part.shape)
        start += len(lists)
        on_share(start / table.num_rows)
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


def _from_columns(table: Table, found: Layout, on_share: OnShare, on_incomplete: OnIncomplete) -> np.ndarray:
    """(n, d) from d numeric columns side by side."""
    values, start = np.empty((table.num_rows, found.width), found.dtype), 0
    for batch in table.batches(found.columns):
        for at, name in enumerate(found.columns):
            column = batch.column(name)
            if column.null_count:
                on_incomplete(_place(table, name), "missing numbers", start + np.flatnonzero(column.is_null()))
            values[start : start + len(batch), at] = column.to_numpy(zero_copy_only=False)
        start += len(batch)
        on_share(start / table.num_rows)
    return values
