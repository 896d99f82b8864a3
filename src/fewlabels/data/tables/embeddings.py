"""Embeddings from .npy, Parquet and Arrow files: checked whole, held in memory only where they must be."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ...errors import EmbeddingError
from ..paths import ARROW_FILE, ARROW_STREAM, FEATHER_1, PARQUET, archive_kind, first_bytes, local_path
from .files import ARROW_ENDINGS, Table, id_column, label_column, open_table, part_files, part_kind, plain, plain_type
from .npy import MAGIC, check_shape, in_memory, open_npy, rows_per_block, stays_on_disk, stored_as

IDS_PER_CHUNK = 1 << 20
DO_COMPUTE = "compute these again, leave the rows out, or let them go without a label (--drop-bad-rows)"


@dataclass(frozen=True)
class Columns:
    """What the columns of a table of embeddings are called; one that is not called by its default must be there."""

    id: str = "id"
    embedding: str = "embedding"
    label: str = "label"


@dataclass(frozen=True)
class Embeddings:
    """values: (n, d) float32 or float64, C-contiguous, finite; a read-only memmap for most .npy files.

    ids: n texts. names: the label column, null = unlabelled; None as a whole where there is no such column.
    """

    values: np.ndarray
    ids: pa.ChunkedArray
    names: pa.ChunkedArray | None


@dataclass(frozen=True)
class EmbeddingSource:
    """A file or folder of embeddings that is known to be one, and whose numbers are not read yet.

    path: where. ids: n texts. shape: (n, d). held_bytes: memory that `read` takes; 0 for a memmap.
    """

    path: Path
    ids: pa.ChunkedArray
    shape: tuple[int, int]
    held_bytes: int
    _stored: np.ndarray | tuple[Table, Layout]
    _label_column: str

    @property
    def table(self) -> Table | None:
        """The table that the embeddings are in; None for .npy."""
        return None if isinstance(self._stored, np.ndarray) else self._stored[0]

    @property
    def number_columns(self) -> list[str]:
        """The columns of it that hold the embeddings."""
        return [] if isinstance(self._stored, np.ndarray) else list(self._stored[1].columns)

    def names(self) -> pa.ChunkedArray | None:
        """The label column as text, null = unlabelled; None where there is none. Raises EmbeddingError L22."""
        if isinstance(self._stored, np.ndarray) or self._label_column not in self._stored[0].names:
            return None
        return label_column(self._stored[0], self._label_column)

    def read(
        self, on_share: Callable[[float], None] = lambda share: None, *, keep_bad_rows: bool = False
    ) -> np.ndarray:
        """(n, d) float32 or float64, C-contiguous, finite: a read-only map of the file where it is stored so.

        on_share: called with the share done, from 0 to 1.
        keep_bad_rows: give rows with NaN, infinity or missing numbers, too; a missing number is NaN.
        Raises EmbeddingError E1, E17, E18, naming the rows.
        """
        if isinstance(self._stored, np.ndarray):
            values = in_memory(self._stored, lambda share: on_share(share / 2))
        else:
            on_incomplete = _keep if keep_bad_rows else self._refuse
            values = values_of(*self._stored, lambda share: on_share(share / 2), on_incomplete)
        if not keep_bad_rows and (rows := unusable_rows(values, lambda share: on_share((1 + share) / 2))).size:
            what = "embeddings with NaN or infinity; one such row would spoil its neighbours"
            raise EmbeddingError("E1", what, where=self.path, rows=self.ids_of(rows), do=DO_COMPUTE)
        return values

    def ids_of(self, rows: np.ndarray) -> list[str]:
        """The ids of these rows."""
        ids: list[str] = self.ids.take(pa.array(rows)).to_pylist()
        return ids

    def _refuse(self, where: str, what: str, rows: np.ndarray) -> None:
        raise EmbeddingError("E17", what, where=where, rows=self.ids_of(rows), do=DO_COMPUTE)


def _keep(where: str, what: str, rows: np.ndarray) -> None:
    """They are NaN, and found like other such rows."""


def open_embeddings(path: str | os.PathLike[str], columns: Columns | None = None) -> EmbeddingSource:
    """A .npy, Parquet or Arrow IPC file, or a folder of Parquet or Arrow parts (in order of their names).

    .npy: ids are the row numbers "0", "1", ... Tables: a column of lists of numbers; where there is none called
    "embedding", two or more numeric columns side by side, without id, label and pandas' `__index_level_0__`. An id
    column is used if present, else row numbers; a column asked for by another name than the default must be there.
    Raises EmbeddingError (E8-E10, E12-E14, E16, E18, E20, E21, E23, E30-E32), StorageError.
    """
    source = local_path(path, EmbeddingError, "E32")
    if source.is_dir():
        return _from_table(source, open_table(_parts(source), EmbeddingError), columns or Columns())
    if _kind(source) == "table":
        return _from_table(source, open_table([source], EmbeddingError), columns or Columns())
    stored = open_npy(source)
    held = 0 if stays_on_disk(stored) else stored.size * stored_as(stored.dtype, str(source)).itemsize
    return EmbeddingSource(source, row_numbers(len(stored)), stored.shape, held, stored, "")


def read_embeddings(
    path: str | os.PathLike[str],
    *,
    id_column: str = "id",
    embedding_column: str = "embedding",
    label_column: str = "label",
) -> Embeddings:
    """All that a file or folder of embeddings holds: open_embeddings and its numbers. Raises what these raise."""
    source = open_embeddings(path, Columns(id_column, embedding_column, label_column))
    names = source.names()
    return Embeddings(source.read(), source.ids, names)


def _parts(folder: Path) -> list[Path]:
    """The parts in a folder. Raises EmbeddingError E23 where there are none, E20 where they are of two kinds."""
    parquet, arrow = part_files(folder), part_files(folder, ARROW_ENDINGS)
    if not parquet and not arrow:
        do = "pass the folder that holds the .parquet or .arrow files itself, or a .npy file"
        raise EmbeddingError("E23", "a folder without Parquet or Arrow files", where=folder, do=do)
    if parquet and arrow:
        what = f"Parquet and Arrow files in one folder, such as {parquet[0].name} and {arrow[0].name}"
        raise EmbeddingError("E20", what, where=folder, do="move those of one kind away; or pass one file by its name")
    return parquet or arrow


def _kind(path: Path) -> str:
    """ "npy" or "table", by the ending of the name, else by content. Raises EmbeddingError for anything else."""
    ending, head = path.suffix.lower(), first_bytes(path)
    if ending == ".npz" or (head.startswith(b"PK") and ending not in (".npy", ".parquet")):
        do = "save one array as .npy: numpy.save('x.npy', numpy.load('x.npz')['name of the array'])"
        raise EmbeddingError("E16", "an .npz or zip archive; expected one array", where=path, do=do)
    if ending == ".npy" or head.startswith(MAGIC):
        return "npy"
    is_table = head.startswith((PARQUET, ARROW_FILE, ARROW_STREAM, FEATHER_1))
    if is_table or ending in (".parquet", ".pq", *ARROW_ENDINGS):
        return "table"
    do = "save the embeddings as .npy (numpy.save), Parquet or Arrow"
    if ending in (".csv", ".tsv", ".txt"):
        raise EmbeddingError("E30", "embeddings as text; text is slow and rounds numbers", where=path, do=do)
    kind = archive_kind(head) or "neither a .npy nor a Parquet or Arrow file"
    raise EmbeddingError("E32", kind, where=path, do=do)


def row_numbers(count: int) -> pa.ChunkedArray:
    """ "0", "1", ... as text."""
    starts = range(0, count, IDS_PER_CHUNK)
    numbers = [np.arange(start, min(start + IDS_PER_CHUNK, count)) for start in starts]
    return pa.chunked_array([pa.array(part).cast(pa.string()) for part in numbers], pa.string())


def rows_of_ids(wanted: Sequence[str], ids: pa.ChunkedArray) -> np.ndarray:
    """(len(wanted),) int64, the row of each id among `ids`; -1 where it is not there."""
    places = pc.index_in(pa.array(wanted, pa.string()), value_set=ids)
    rows: np.ndarray = pc.fill_null(places, -1).to_numpy().astype(np.int64)
    return rows


def _from_table(path: Path, table: Table, columns: Columns) -> EmbeddingSource:
    default = Columns()
    for name, usual in zip(astuple(columns), astuple(default), strict=True):
        if name != usual and name not in table.names:
            raise missing_column(table, f"no column {name!r}")
    check_shape((table.num_rows, 1), str(path))
    found = layout(table, columns.embedding, (columns.id, columns.label))
    ids = id_column(table, columns.id) if columns.id in table.names else row_numbers(table.num_rows)
    held = table.num_rows * found.width * found.dtype.itemsize
    return EmbeddingSource(path, ids, (table.num_rows, found.width), held, (table, found), columns.label)


def unusable_rows(values: np.ndarray, on_share: Callable[[float], None] = lambda share: None) -> np.ndarray:
    """Numbers of the rows of (n, d) with NaN or infinity, ascending; one block in memory at a time."""
    bad: list[np.ndarray] = []
    step = rows_per_block(values.shape, values.itemsize)
    for start in range(0, len(values), step):
        bad.append(start + np.flatnonzero(~np.isfinite(values[start : start + step]).all(axis=1)))
        on_share(min(1.0, (start + step) / len(values)))
    return np.concatenate(bad)


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
