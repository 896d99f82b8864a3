"""Labels by position: the first label is that of the first row of the data. Read only where this was asked for."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np

from ...conventions import UNLABELED
from ...errors import EmbeddingError, LabelError
from ..paths import first_bytes
from ..tables.files import open_table
from ..tables.npy import MAGIC, check_size, read_npy_header
from .csv import CsvRows, LabelOptions, Row, find_columns, read_label_csv
from .files import (
    Labels,
    check_label_file,
    encode_column,
    encode_labels,
    encode_texts,
    is_table,
    warn_of_one_class,
    warn_of_width,
)
from .json_files import is_json, read_label_json
from .words import settle


def read_labels_by_position(path: str | os.PathLike[str], num_rows: int, options: LabelOptions | None = None) -> Labels:
    """One label for each of `num_rows` rows, in their order.

    CSV, Parquet, Arrow or JSON with a column label, empty or null where there is none; ids in it are not looked at. Or
    text with one label in each line, or a .npy file of shape (num_rows,): of whole numbers, with -1 or NaN for none and
    classes called "0", "1", ..., of truths, or of text. Words that mean no label: see `settle`.
    options: of a CSV; None for the usual ones. A row that is left out for its width (with a warning, L5) has no label.
    Raises LabelError L23 where the count differs, L16 where nothing is labelled, L22 and L40 for other numbers, and for
    damaged files as read_labels does. Warns where only one class is labelled (L17).
    """
    options = options or LabelOptions()
    file = check_label_file(path)
    if file.suffix.lower() == ".npy" or first_bytes(file).startswith(MAGIC):
        labels = _read_array(file, num_rows, options)
    elif is_table(file):
        table = open_table([file], LabelError)
        (label_at,) = find_columns(table.names, str(file), ",", ("label",))
        _check_count(table.num_rows, num_rows, file)
        labels = encode_column(table, table.names[label_at], options)
    else:
        is_of_json = is_json(file)
        given = CsvRows(read_label_json(file, by_position=True)) if is_of_json else _read_text(file, num_rows, options)
        _check_count(len(given.rows), num_rows, file)
        warn_of_width(given.left_out, str(file))
        labels = encode_texts([row.label for row in given.rows], str(file), options)
        labels = replace(labels, left_out=[*given.left_out, *labels.left_out])
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


def _read_text(file: Path, num_rows: int, options: LabelOptions) -> CsvRows:
    """The rows of a CSV, without blank ones beyond the last row of the data; or lines without a header, one a row."""
    try:
        given = read_label_csv(file, options, by_position=True)
    except LabelError as problem:
        if problem.code != "FL-L31":
            raise
        lines = [line.strip() for line in file.read_text(options.encoding).removeprefix("\ufeff").splitlines()]
        while len(lines) > num_rows and not lines[-1]:
            lines.pop()
        if len(lines) != num_rows or any(options.delimiter in line for line in lines):
            raise
        return CsvRows([Row(at, "", line or None) for at, line in enumerate(lines, 1)])
    beyond = min(len(given.rows) - num_rows, given.num_blank)
    return replace(given, rows=given.rows[:-beyond]) if beyond > 0 else given


def _read_array(file: Path, num_rows: int, options: LabelOptions) -> Labels:
    try:
        shape, _, dtype, offset, size = read_npy_header(file)
        if dtype.hasobject:
            do = "save the labels as text, numpy.save('y.npy', y.astype(str)), or as whole numbers with -1 for none"
            raise LabelError("L22", "an array of Python objects, which are not opened", where=file, do=do)
        check_size(file, shape, dtype, offset, size)
    except EmbeddingError as problem:  # the same file, but it was to hold labels
        raise LabelError("L28", f"not a whole .npy file ({problem})", where=file, do="write it again") from problem
    if len(shape) != 1:
        raise LabelError("L23", f"labels of shape {shape}; expected ({num_rows},)", where=file, do="reshape(-1)")
    if dtype.kind not in "iufbUS":
        do = f"save whole numbers, {UNLABELED} where there is no label, or text"
        raise LabelError("L22", f"an array of {dtype}; expected whole numbers or text", where=file, do=do)
    _check_count(shape[0], num_rows, file)
    label = np.fromfile(file, dtype, offset=offset)
    if dtype.kind in "bUS":
        texts = label if dtype.kind != "S" else np.array([cell.decode("utf-8", "backslashreplace") for cell in label])
        return encode_texts([text or None for text in texts.astype(str).tolist()], str(file), options)
    if dtype.kind == "f":
        label = _round_whole(label, file)
    return _encode_numbers(label, file, options)


def _round_whole(label: np.ndarray, file: Path) -> np.ndarray:
    """Floats as whole numbers, -1 for NaN. Raises LabelError L22 for 2.5."""
    label = np.where(np.isnan(label), UNLABELED, label)
    if (bad := ~np.isfinite(label) | (label != np.rint(label)) | (np.abs(label) >= 2**53)).any():
        rows = [f"row {row + 1}: {label[row]}" for row in np.flatnonzero(bad)]
        do = f"save whole numbers, {UNLABELED} or NaN where there is no label"
        raise LabelError("L22", "labels that are not whole numbers", where=file, rows=rows, do=do)
    whole: np.ndarray = label.astype(np.int64)
    return whole


def _encode_numbers(label: np.ndarray, file: Path, options: LabelOptions) -> Labels:
    """Whole numbers as classes called by number; -1 is no label, also beside 1 alone."""
    wrapped = str(np.iinfo(label.dtype).max) if label.dtype.kind == "u" else None
    if wrapped is not None and (label == np.iinfo(label.dtype).max).any():
        settled, notes = settle([str(number) for number in label.tolist()], str(file), options, wrapped=wrapped)
        return replace(encode_labels(settled), left_out=notes)
    if (bad := label < UNLABELED).any():
        rows = [f"row {row + 1}: {label[row]}" for row in np.flatnonzero(bad)]
        do = f"{UNLABELED} is the only number that means no label"
        raise LabelError("L40", f"labels below {UNLABELED}", where=file, rows=rows, do=do)
    given = label != UNLABELED
    classes, place = np.unique(label[given], return_inverse=True)
    codes = np.full(label.size, UNLABELED)
    codes[given] = place
    return Labels(codes, [str(name) for name in classes])
