"""Labels by position: the first label is that of the first row of the data. Read only where this was asked for."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np

from ...conventions import UNLABELED
from ...errors import EmbeddingError, LabelError
from ..paths import first_bytes
from ..tables.files import label_column, open_table
from ..tables.npy import MAGIC, check_size, npy_header
from .csv import LabelOptions, columns_at, read_label_csv
from .files import Labels, encode_column, encode_labels, is_table, label_file, warn_of_one_class, warn_of_width


def read_labels_by_position(path: str | os.PathLike[str], num_rows: int, options: LabelOptions | None = None) -> Labels:
    """One label for each of `num_rows` rows, in their order.

    CSV, Parquet or Arrow with a column label, empty or null where there is none; ids in it are not looked at. Or a .npy
    file of whole numbers, shape (num_rows,), with -1 for none; the classes are then called "0", "1", ...
    options: of a CSV; None for the usual ones. A row that is left out for its width (with a warning, L5) has no label.
    Raises LabelError L23 where the count differs, L16 where nothing is labelled, L22 and L40 for other numbers, and for
    damaged files as read_labels does. Warns where only one class is labelled (L17).
    """
    file = label_file(path)
    if file.suffix.lower() == ".npy" or first_bytes(file).startswith(MAGIC):
        labels = _numbers(file, num_rows)
    elif is_table(file):
        table = open_table([file], LabelError)
        (label_at,) = columns_at(table.names, str(file), ",", ("label",))
        _check_count(table.num_rows, num_rows, file)
        labels = encode_column(label_column(table, table.names[label_at]))
    else:
        given = read_label_csv(file, options or LabelOptions(), by_position=True)
        _check_count(len(given.rows), num_rows, file)
        labels = replace(encode_labels([row.label for row in given.rows]), left_out=given.left_out)
        warn_of_width(given.left_out, str(file))
    if (labels.codes == UNLABELED).all():
        what = f"0 of {num_rows:,} rows are labelled"
        raise LabelError("L16", what, where=file, do="label at least one row of each class")
    warn_of_one_class(labels)
    return labels


def _check_count(count: int, num_rows: int, file: Path) -> None:
    if count != num_rows:
        what = f"{count:,} labels by position for {num_rows:,} rows of data"
        do = "give one for each row, empty where there is none; or join by id, without --labels-by-position"
        raise LabelError("L23", what, where=file, do=do)


def _numbers(file: Path, num_rows: int) -> Labels:
    try:
        shape, _, dtype, offset, size = npy_header(file)
        check_size(file, shape, dtype, offset, size)
    except EmbeddingError as problem:  # the same file, but it was to hold labels
        raise LabelError("L28", f"not a whole .npy file ({problem})", where=file, do="write it again") from problem
    if dtype.kind not in "iu":
        do = f"save whole numbers, {UNLABELED} where there is no label"
        raise LabelError("L22", f"an array of {dtype}; expected whole numbers", where=file, do=do)
    if len(shape) != 1:
        raise LabelError("L23", f"labels of shape {shape}; expected ({num_rows},)", where=file, do="reshape(-1)")
    _check_count(shape[0], num_rows, file)
    label = np.fromfile(file, dtype, offset=offset)
    if (bad := label < UNLABELED).any():
        rows = [f"row {row + 1}: {label[row]}" for row in np.flatnonzero(bad)]
        do = f"{UNLABELED} is the only number that means no label"
        raise LabelError("L40", f"labels below {UNLABELED}", where=file, rows=rows, do=do)
    given = label != UNLABELED
    classes, place = np.unique(label[given], return_inverse=True)
    codes = np.full(num_rows, UNLABELED)
    codes[given] = place
    return Labels(codes, [str(name) for name in classes])
