"""Embeddings from .npy, Parquet and Arrow files: checked whole, held in memory only where they must be."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ...errors import ConfigError, EmbeddingError, InputWarning, listed, warn
from ..paths import ARROW_FILE, ARROW_STREAM, FEATHER_1, PARQUET, first_bytes, known_format, local_path
from .columns import (
    Columns,
    Features,
    Ids,
    choose_features,
    choose_ids,
    find_label_column,
    list_columns,
    may_be_list,
    missing_column,
    row_numbers,
)
from .files import (
    ARROW_ENDINGS,
    PARQUET_ENDINGS,
    Table,
    is_number,
    label_column,
    open_table,
    part_files,
    part_kind,
    plain,
    plain_type,
)
from .limits import demand_numbers
from .npy import MAGIC, check_shape, load_npy, open_npy, rows_per_block, stays_on_disk, working_dtype

DO_COMPUTE = "compute these again, leave the rows out, or let them go without a label (--drop-bad-rows)"


@dataclass(frozen=True)
class Embeddings:
    """values: (n, d) float32 or float64, C-contiguous, finite; a read-only memmap for most .npy files.

    ids: n texts. names: the label column, null = unlabelled; None as a whole where there is no such column.
    """

    values: np.ndarray
    ids: pa.ChunkedArray
    names: pa.ChunkedArray | None


@dataclass(frozen=True, kw_only=True)
class EmbeddingSource:
    """A file or folder of embeddings that is known to be one, and whose numbers are not read yet.

    path: where. ids: what the rows are called. shape: (n, d). held_bytes: memory that `read` takes; 0 for a memmap.
    features: which columns are the embeddings, and why others are not; None for .npy.
    """

    path: Path
    named: Ids
    shape: tuple[int, int]
    held_bytes: int
    features: Features | None
    _stored: np.ndarray | tuple[Table, Layout]
    label: str | None = None

    @property
    def ids(self) -> pa.ChunkedArray:
        """n texts."""
        return self.named.texts

    @property
    def table(self) -> Table | None:
        """The table that the embeddings are in; None for .npy."""
        return None if isinstance(self._stored, np.ndarray) else self._stored[0]

    @property
    def layout(self) -> Layout:
        """Where the numbers stand in the table. Raises AttributeError for .npy."""
        if isinstance(self._stored, np.ndarray):
            raise AttributeError("a .npy has no table")
        return self._stored[1]

    @property
    def number_columns(self) -> list[str]:
        """The columns of it that hold the embeddings."""
        return [] if self.features is None else self.features.columns

    def names(self) -> pa.ChunkedArray | None:
        """The label column as text, null = unlabelled; None where there is none. Raises EmbeddingError L22."""
        return None if self.label is None or self.table is None else label_column(self.table, self.label)

    def facts(self) -> dict[str, Any]:
        """What is used as what, for the results of a run."""
        left_out = {} if self.features is None else dict(self.features.left_out)
        return {"features": self.number_columns, "ids": self.named.said, "left_out": left_out}

    def describe(self, labels: str) -> list[str]:
        """What is used as features, ids and labels, and what is not and why, in one or two lines."""
        width = f"{self.shape[1]:,} {'number' if self.shape[1] == 1 else 'numbers'} in each row"
        if self.features is not None:
            columns = self.features.columns
            width = f"the column {columns[0]!r}, lists of {self.shape[1]:,}" if self.features.is_list else width
            width += "" if self.features.is_list else f": {list_columns(columns)}"
        lines = [f"features: {width}; ids: {self.named.said}; labels: {labels}"]
        if self.table is not None and (origin := self.table.origin()):
            lines.insert(0, origin)
        reasons: dict[str, list[str]] = {}
        for name, why in ({} if self.features is None else self.features.left_out).items():
            reasons.setdefault(why, []).append(name)
        said = [f"{list_columns(names)} ({why})" for why, names in reasons.items()]
        if self.label is not None and f"column {self.label!r}" not in labels:
            said.append(f"{self.label} (the label column; labels are those of {labels})")
        return lines + ([f"not used: {'; '.join(said)}"] if said else [])

    def read(
        self, on_share: Callable[[float], None] = lambda share: None, *, keep_bad_rows: bool = False
    ) -> np.ndarray:
        """(n, d) float32 or float64, C-contiguous, finite: a read-only map of the file where it is stored so.

        on_share: called with the share done, from 0 to 1.
        keep_bad_rows: give rows with NaN, infinity or missing numbers, too; a missing number is NaN.
        Raises EmbeddingError E1, E17, E18, naming the rows.
        """
        if isinstance(self._stored, np.ndarray):
            values = load_npy(self._stored, lambda share: on_share(share / 2))
        else:
            on_incomplete = _keep if keep_bad_rows else self._refuse
            values = read_values(*self._stored, lambda share: on_share(share / 2), on_incomplete)
        if not keep_bad_rows and (rows := find_unusable_rows(values, lambda share: on_share((1 + share) / 2))).size:
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

    .npy: ids are the row numbers "0", "1", ... Tables: see `choose_features` and `choose_ids`; a column asked for by
    another name than the default must be there.
    Raises EmbeddingError (E8-E10, E12-E14, E16, E18, E20, E21, E23, E30-E32, E36-E38), StorageError, and ConfigError
    C41 for columns of a .npy, which has none.
    """
    source, asked = local_path(path, EmbeddingError, "E32"), columns or Columns()
    if source.is_dir():
        return _open_source(source, open_table(_find_parts(source), EmbeddingError), asked)
    if _tell_kind(source) == "table":
        return _open_source(source, open_table([source], EmbeddingError), asked)
    if asked.features or asked.ignore:
        raise ConfigError("C41", "columns of a .npy, which has none by name", where=source, do="leave the option out")
    stored = open_npy(source)
    held = 0 if stays_on_disk(stored) else stored.size * working_dtype(stored.dtype, str(source)).itemsize
    start = asked.rows_from or 0
    ids = Ids(row_numbers(len(stored), start), f"row numbers from {start}", are_counted=asked.rows_from is None)
    return EmbeddingSource(path=source, named=ids, shape=stored.shape, held_bytes=held, features=None, _stored=stored)


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


def _find_parts(folder: Path) -> list[Path]:
    """The parts in a folder. Raises EmbeddingError E23 where there are none, E20 where they are of two kinds, E36 where
    some are in sub-folders, or where a log says which of them count; warns (E36) of other files that may be parts."""
    parquet, arrow = part_files(folder), part_files(folder, ARROW_ENDINGS)
    _refuse_hidden_order(folder)
    if not parquet and not arrow:
        do = "pass the folder that holds the .parquet or .arrow files itself, or a .npy file"
        raise EmbeddingError("E23", "a folder without Parquet or Arrow files", where=folder, do=do)
    if parquet and arrow:
        what = f"Parquet and Arrow files in one folder, such as {parquet[0].name} and {arrow[0].name}"
        raise EmbeddingError("E20", what, where=folder, do="move those of one kind away; or pass one file by its name")
    chosen = set(parquet or arrow)
    rest = [p for p in sorted(folder.iterdir()) if p not in chosen and p.name[0] not in "._" and p.is_file()]
    if rest := [p for p in rest if first_bytes(p, 8).startswith((*TABLES, MAGIC))]:
        what = f"FL-E36 files that are not read in {folder}: {listed([file.name for file in rest])}"
        warn(InputWarning(f"{what}; parts end in {', '.join(PART_ENDINGS)}"))
    return parquet or arrow


TABLES = (PARQUET, ARROW_FILE, ARROW_STREAM, FEATHER_1)
NPZ = "numpy.load('x.npz')['name of the array']"
PART_ENDINGS = (*PARQUET_ENDINGS, *ARROW_ENDINGS)


def _refuse_hidden_order(folder: Path) -> None:
    """Raise E36 where the order of the parts, or which of them count, is not that of the files in the folder."""
    if (folder / "_delta_log").is_dir():
        do = "write what it holds now to one file, or to a folder of parts"
        raise EmbeddingError("E36", "a Delta table, whose log says which of its files count", where=folder, do=do)
    below: list[str] = []
    for root, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if name[0] not in "._")
        if root != os.fspath(folder):
            below += [os.path.relpath(os.path.join(root, n), folder) for n in files if n.lower().endswith(PART_ENDINGS)]
    below = [name for name in below if Path(name).name[0] not in "._"]
    if below:
        do = "pass one folder whose files are the parts, in natural order of their names"
        if any("=" in Path(name).parts[0] for name in below):
            do = f"what stands in names such as {Path(below[0]).parts[0]!r} is no column; {do}"
        raise EmbeddingError("E36", "parts in sub-folders", where=folder, rows=below, do=do)


def _tell_kind(path: Path) -> str:
    """ "npy" or "table", by the ending of the name, else by content. Raises EmbeddingError for anything else."""
    ending, head = path.suffix.lower(), first_bytes(path)
    known = known_format(path)
    if known is None and ending == ".npz":
        known = ("an .npz or zip archive", NPZ)
    if known and ending not in (".npy", ".parquet") and (known[0].startswith("a zip") or known[1] == NPZ):
        do = f"save one array as .npy: numpy.save('x.npy', {NPZ})"
        raise EmbeddingError("E16", f"{known[0]}; expected one array", where=path, do=do)
    if known and ending not in (".npy", ".parquet"):
        do = f"save it as .npy: numpy.save('x.npy', {known[1]})" if known[1] else "save it as .npy, Parquet or Arrow"
        raise EmbeddingError("E32", f"{known[0]}; expected one array or table of numbers", where=path, do=do)
    if ending == ".npy" or head.startswith(MAGIC):
        return "npy"
    is_table = head.startswith(TABLES)
    if is_table or ending in (".parquet", ".pq", ".parq", *ARROW_ENDINGS):
        return "table"
    do = "save the embeddings as .npy (numpy.save), Parquet or Arrow"
    if ending in (".csv", ".tsv", ".txt", ".json", ".jsonl"):
        raise EmbeddingError("E30", "embeddings as text; text is slow and rounds numbers", where=path, do=do)
    raise EmbeddingError("E32", "neither a .npy nor a Parquet or Arrow file", where=path, do=do)


def find_rows(wanted: Sequence[str], ids: pa.ChunkedArray) -> np.ndarray:
    """(len(wanted),) int64, the row of each id among `ids`; -1 where it is not there."""
    places = pc.index_in(pa.array(wanted, pa.string()), value_set=ids)
    rows: np.ndarray = pc.fill_null(places, -1).to_numpy().astype(np.int64)
    return rows


def _open_source(path: Path, table: Table, asked: Columns) -> EmbeddingSource:
    usual = Columns()
    for name, default in ((asked.id, usual.id), (asked.embedding, usual.embedding), (asked.label, usual.label)):
        if name != default and name not in table.names:
            raise missing_column(table, f"no column {name!r}")
    if asked.features and asked.embedding != usual.embedding:
        raise ConfigError(
            "C41", "both --feature-columns and --embedding-column", do="embeddings are in one or the other"
        )
    check_shape((table.num_rows, 1), str(path))
    ids = choose_ids(table, asked)
    features = choose_features(table, asked, ids)
    found = find_layout(table, features)
    held = table.num_rows * found.width * found.dtype.itemsize
    demand_numbers(table.files, held, EmbeddingError)
    label = find_label_column(table, asked.label)
    label = None if label in features.columns else label
    return EmbeddingSource(
        path=path,
        named=ids,
        shape=(table.num_rows, found.width),
        held_bytes=held,
        features=features,
        _stored=(table, found),
        label=label,
    )


def find_unusable_rows(values: np.ndarray, on_share: Callable[[float], None] = lambda share: None) -> np.ndarray:
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


def find_layout(table: Table, features: Features) -> Layout:
    """How the table holds embeddings. Raises EmbeddingError E10 for the type of the column, E8 for lists of nothing."""
    if features.is_list:
        return _find_list_layout(table, features.columns[0])
    kinds = [plain_type(table.schema.field(name).type) for name in features.columns]
    return Layout(features.columns, False, len(kinds), _dtype(kinds))


def read_values(table: Table, found: Layout, on_share: OnShare, on_incomplete: OnIncomplete) -> np.ndarray:
    """(n, d) numbers, C-contiguous. A row with missing numbers or of another width is NaN.

    on_incomplete: told each time where such rows are, what is wrong with them and which they are; it may raise.
    """
    if found.is_list and (mapped := _map_values(table, found)) is not None:
        return mapped
    return (_read_lists if found.is_list else _read_columns)(table, found, on_share, on_incomplete)


def read_blocks(table: Table, found: Layout, bounds: Sequence[int]) -> Iterator[np.ndarray]:
    """The rows between each two of the ascending bounds, the last of which is their number; NaN as read_values."""
    left, at = np.empty((0, found.width), found.dtype), 1
    for batch in table.batches(found.columns):
        one = _OneBatch(table, batch)
        read = _read_lists if found.is_list else _read_columns
        values = read(one, found, lambda share: None, _keep)
        left = np.concatenate([left, values]) if len(left) else values
        while at < len(bounds) and len(left) >= bounds[at] - bounds[at - 1]:
            size = bounds[at] - bounds[at - 1]
            yield left if size == len(left) else left[:size].copy()
            left, at = left[size:], at + 1


@dataclass(frozen=True)
class _OneBatch:
    """A batch of a table, read as if it were the whole."""

    table: Table
    batch: pa.RecordBatch

    @property
    def num_rows(self) -> int:
        return len(self.batch)

    def batches(self, columns: list[str]) -> Iterator[pa.RecordBatch]:
        yield self.batch

    def place(self, name: str) -> str:
        return self.table.place(name)


def _dtype(kinds: list[pa.DataType]) -> np.dtype:
    is_wide = any(kind == pa.float64() or pa.types.is_decimal(kind) for kind in kinds)
    return np.dtype(np.float64 if is_wide else np.float32)


def _find_list_layout(table: Table, name: str) -> Layout:
    kind = plain_type(table.schema.field(name).type)
    where = table.place(name)
    if not may_be_list(kind) or not (is_number(kind.value_type) or pa.types.is_boolean(kind.value_type)):
        do = "write lists of float32, all of the same width"
        raise EmbeddingError("E10", f"embeddings of type {kind}; expected lists of numbers", where=where, do=do)
    if pa.types.is_fixed_size_list(kind):
        width = kind.list_size
    else:
        width = _find_usual_width(table, name)
    check_shape((table.num_rows, width), where)
    return Layout([name], True, width, _dtype([kind.value_type]))


def _find_usual_width(table: Table, name: str) -> int:
    """The most frequent width of the first rows that have one; 1 where all are null, which is refused on reading."""
    for batch in table.batches([name]):
        widths = pc.list_value_length(plain(batch.column(0))).drop_null().to_numpy(zero_copy_only=False)
        if widths.size:
            return int(Counter(widths.tolist()).most_common(1)[0][0])  # of equally many the first
    return 1


def _map_values(table: Table, found: Layout) -> np.ndarray | None:
    """The numbers where they lie, without a copy: of one Arrow file with one batch that is plain. None for others."""
    if len(table.files) > 1 or part_kind(table.files[0]) != "Arrow":
        return None
    lists = plain(next(iter(table.batches(found.columns, None))).column(0))
    flat = lists.flatten()
    if len(lists) < table.num_rows or flat.null_count or _find_odd_rows(lists, found.width).any():
        return None
    if flat.type not in (pa.float32(), pa.float64()):
        return None
    values: np.ndarray = flat.to_numpy().reshape(len(lists), found.width)
    return values if values.flags.aligned else None


def _read_lists(table: Table | _OneBatch, found: Layout, on_share: OnShare, on_incomplete: OnIncomplete) -> np.ndarray:
    """(n, d) from a column with one list of d numbers in each row."""
    values, start = np.empty((table.num_rows, found.width), found.dtype), 0
    for batch in table.batches(found.columns):
        lists = plain(batch.column(0))
        part = values[start : start + len(lists)]
        if (bad := _find_odd_rows(lists, found.width)).any():
            what = f"embeddings that are missing, have a missing value or not {found.width} numbers"
            on_incomplete(table.place(found.columns[0]), what, start + np.flatnonzero(bad))
            part[bad] = np.nan
            flat = lists.filter(pa.array(~bad)).flatten().to_numpy(zero_copy_only=False)
            part[~bad] = flat.reshape(-1, found.width)
        else:
            part[:] = lists.flatten().to_numpy(zero_copy_only=False).reshape(part.shape)
        start += len(lists)
        on_share(start / table.num_rows)
    return values


def _find_odd_rows(lists: pa.Array, width: int) -> np.ndarray:
    """(rows,) bool: null, of another width, or with a null inside."""
    bad: np.ndarray = lists.is_null().to_numpy(zero_copy_only=False)
    lengths = pc.fill_null(pc.list_value_length(lists), width).to_numpy(zero_copy_only=False)
    bad = bad | (lengths != width)
    flat = lists.flatten()  # leaves null rows out
    if flat.null_count:
        rows = np.repeat(np.arange(len(lists)), np.where(lists.is_valid(), lengths, 0))
        bad[rows[flat.is_null().to_numpy(zero_copy_only=False)]] = True
    return bad


def _read_columns(
    table: Table | _OneBatch, found: Layout, on_share: OnShare, on_incomplete: OnIncomplete
) -> np.ndarray:
    """(n, d) from d numeric columns side by side."""
    values, start = np.empty((table.num_rows, found.width), found.dtype), 0
    for batch in table.batches(found.columns):
        for at, name in enumerate(found.columns):
            column = plain(batch.column(name))
            if column.null_count:
                on_incomplete(table.place(name), "missing numbers", start + np.flatnonzero(column.is_null()))
            if not pa.types.is_integer(column.type) and not pa.types.is_floating(column.type):  # truths, decimals
                column = (column.cast(pa.uint8()) if pa.types.is_boolean(column.type) else column).cast(pa.float64())
            values[start : start + len(batch), at] = column.to_numpy(zero_copy_only=False)
        start += len(batch)
        on_share(start / table.num_rows)
    return values
