"""Labels and weights as users write them, to class numbers and checked arrays, and back."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import column_or_1d

from ..conventions import UNLABELED
from ..errors import ConfigError, InputWarning, LabelError, warn
from ..graph import Graph
from ..graph.build import add_lone_nodes
from ..graph.label_matrix import check_weight
from .merging import Merged

AUTO = "auto"
SHOWN_CLASSES = 10
MARKERS: dict[str, Callable[[object], bool]] = {
    "-1": lambda value: isinstance(value, (int, float, np.number)) and not isinstance(value, bool) and value == -1,
    "NaN": lambda value: isinstance(value, (float, np.floating)) and math.isnan(value),
    "None": lambda value: value is None or type(value).__name__ in ("NAType", "NaTType"),  # pandas.NA, NaT
    '""': lambda value: isinstance(value, str) and value == "",
}
TEXT_MARKERS = ("nan", "None", "<NA>", "-1")  # what NumPy and pandas make of these in an array of text


@dataclass(frozen=True)
class CodedLabels:
    """Labels as class numbers.

    codes: (n,) int64 indices into `classes`, -1 where unlabelled. classes: (c,) the user's labels, sorted.
    marker: what y has where a row is unlabelled; "auto" where no row is, so that it is the rule for more labels.
    """

    codes: NDArray[np.int64]
    classes: NDArray[Any]
    marker: object = AUTO

    def decode(self, codes: NDArray[np.int64]) -> NDArray[Any]:
        """The user's labels of class numbers; the marker where a number is -1."""
        if not (codes == UNLABELED).any():
            return np.asarray(self.classes[codes])
        marker = self._default_marker() if _is_auto(self.marker) else self.marker
        labels = np.full(codes.shape, marker, _common_type(self.classes.dtype, np.asarray(marker).dtype))
        labels[codes != UNLABELED] = self.classes[codes[codes != UNLABELED]]
        return labels

    def relabel(self, rows: NDArray[np.integer], y: NDArray[Any], *, allow_new_classes: bool) -> CodedLabels:
        """The same with other labels on these rows, the marker for none. Costs what the labelled rows cost, not all.

        Raises LabelError (L34) for a label that is no class yet, unless they may come.
        """
        at = np.union1d(np.flatnonzero(self.codes != UNLABELED), rows)
        labels = self.decode(self.codes[at]).astype(object)
        labels[np.searchsorted(at, rows)] = y
        coded = code_labels(labels.tolist(), self.marker)
        if not allow_new_classes:
            self._refuse_new(coded, at)
        codes = np.full(self.codes.shape, UNLABELED, np.int64)
        codes[at] = coded.codes
        return CodedLabels(codes, coded.classes, self.marker if _is_auto(coded.marker) else coded.marker)

    def remove(self, rows: NDArray[np.bool_]) -> CodedLabels:
        """The same without the labels of these rows, (n,) bool, and without classes that only they had."""
        codes = np.where(rows, UNLABELED, self.codes)
        left, numbers = np.unique(codes[codes != UNLABELED], return_inverse=True)
        codes[codes != UNLABELED] = numbers
        return CodedLabels(codes, self.classes[left], self.marker)

    def _refuse_new(self, coded: CodedLabels, rows: NDArray[np.integer]) -> None:
        """Raise LabelError (L34) where `coded`, the labels of these rows, has a class that is not known yet."""
        known, classes = self.classes.tolist(), coded.classes.tolist()
        new = [number for number, label in enumerate(classes) if label not in set(known)]
        if new:
            first, names = classes[new[0]], ", ".join(repr(label) for label in known[:SHOWN_CLASSES])
            what = f"{first!r} is none of the classes {names}{', ...' if len(known) > SHOWN_CLASSES else ''}"
            do = "correct it, or say allow_new_classes=True"
            raise LabelError("L34", what, rows=rows[np.isin(coded.codes, new)].tolist(), do=do)

    def _default_marker(self) -> object:
        """What marks a row that no label reaches where y had no marker."""
        kind = self.classes.dtype.kind
        if kind == "i" and UNLABELED not in self.classes:
            return UNLABELED
        return {"f": np.nan, "U": ""}.get(kind)


def code_labels(y: object, unlabeled: object = AUTO, num_rows: int | None = None) -> CodedLabels:
    """Turn labels into class numbers. y: (n,) integers, whole floats, booleans or strings. num_rows: expected n.

    unlabeled: the one value that means "no label" (NaN and None count as such a value); "auto" takes -1, NaN, None or
    "", whichever occurs, and where all labels are text what NumPy makes of these: 'nan', 'None', '<NA>', '-1' and b"",
    with a warning (L45). Two of these in one y are refused (L19); exactly the labels -1 and 1 are two classes, and a
    warning says so (L20).
    Raises LabelError for continuous or mixed labels (L22), for y without any label (L16), for another number or shape
    (L23).
    """
    array = _to_column(y)
    if num_rows not in (None, array.size):
        what = f"{array.size} labels for {num_rows} rows (inconsistent numbers of samples)"
        raise LabelError("L23", what, do="give one label for each row")
    missing, marker = _find_missing(array, unlabeled)
    if missing.all():
        raise LabelError("L16", f"0 labelled of {array.size} rows", do="label at least one row of each class")
    known = array[~missing]
    _refuse_continuous(known)
    try:
        classes, numbers = np.unique(known, return_inverse=True)
    except TypeError as problem:
        kinds = ", ".join(sorted({type(label).__name__ for label in known}))
        raise LabelError("L22", f"labels of mixed types: {kinds}", do="make them all of one type") from problem
    codes = np.full(array.shape, UNLABELED, np.int64)
    codes[~missing] = numbers
    return CodedLabels(codes, _to_plain_type(classes), marker)


def _to_column(y: object) -> NDArray[Any]:
    """y as an array of one dimension. Raises LabelError for any other shape (L23), and for a type that is no label."""
    try:
        array = _to_array(y)
        if array.dtype.kind not in "biufOUS":
            raise LabelError("L22", f"labels have type {array.dtype}, expected integers, strings or booleans")
        return np.asarray(column_or_1d(array, warn=True))
    except LabelError:
        raise
    except ValueError as problem:
        raise LabelError("L23", " ".join(str(problem).split()), do="give one label for each row") from problem


def check_new_labels(
    rows: ArrayLike, y: ArrayLike, num_rows: int, weight: NDArray[np.float64] | None
) -> tuple[NDArray[np.int64], NDArray[Any]]:
    """Row numbers, (q,) int64, and their labels, (q,), as handed to `add_labels`. weight: (n,) of the fit, or None.

    Raises LabelError: L23 for other shapes or types, L15 for rows that were not fitted, L43 for rows of weight zero.
    """
    at, new = np.asarray(rows), np.asarray(y, object)
    if at.shape != new.shape or at.ndim != 1 or (at.dtype.kind not in "iu" and at.size):
        raise LabelError("L23", f"{at.shape} row numbers of type {at.dtype} and {new.shape} labels: one for each")
    at = at.astype(np.int64)
    outside = (at < 0) | (at >= num_rows)
    if outside.any():
        raise LabelError("L15", "row numbers that were not fitted", rows=at[outside].tolist())
    if weight is not None and not weight[at].all():
        raise LabelError("L43", "rows that were fitted with weight zero", rows=at[weight[at] == 0].tolist())
    return at, new


def find_labelled(y: object, unlabeled: object = AUTO, classes: NDArray[Any] | tuple[()] = ()) -> NDArray[np.bool_]:
    """Which rows of y have a label, (n,) bool. With "auto", a marker that is one of `classes` is a label."""
    array = column_or_1d(_to_array(y))
    if not _is_auto(unlabeled):
        return ~_find_equal(array, unlabeled)
    names = [name for name, is_marker in MARKERS.items() if not any(is_marker(label) for label in classes)]
    missing = np.zeros(array.shape, bool)
    for name in names:
        missing |= _find_marked(array, name, MARKERS[name])
    known = set(np.asarray(classes, object).tolist())
    return ~(missing | _find_words(array, [word for word in TEXT_MARKERS if word not in known]))


def _is_auto(value: object) -> bool:
    return isinstance(value, str) and value == AUTO


def _to_plain_type(classes: NDArray[Any]) -> NDArray[Any]:
    """Turn classes of type object into numbers where they are: scikit-learn's scores know no objects."""
    if classes.dtype.kind != "O":
        return classes
    plain = [label.item() if isinstance(label, np.generic) else label for label in classes.tolist()]
    return np.array(plain) if {type(label) for label in plain} <= {int, float, bool} else classes


def _common_type(one: np.dtype[Any], other: np.dtype[Any]) -> np.dtype[Any]:
    """A type that holds labels of both; NumPy would make text of numbers beside text."""
    if one.kind == other.kind or {one.kind, other.kind} <= set("iuf"):
        return np.result_type(one, other)
    return np.dtype(object)


def _to_array(y: object) -> NDArray[Any]:
    """y as an array; missing values of pandas, Polars and Arrow stay what they are, and whole numbers whole."""
    if hasattr(y, "to_pylist"):  # pyarrow
        return np.asarray(y.to_pylist(), object)
    if not isinstance(getattr(y, "dtype", np.dtype(object)), np.dtype):  # pandas' nullable types, Polars
        values = y.to_list() if hasattr(y, "to_list") else y
        return np.asarray(values, object)
    return np.asarray(y, object) if _is_object(y) else np.asarray(y)


def _is_object(y: object) -> bool:
    """Whether y is a list of texts and other things: NumPy would turn the NaN of ["a", nan] into text."""
    return isinstance(y, (list, tuple)) and len({isinstance(value, str) for value in y}) > 1


def _find_missing(array: NDArray[Any], unlabeled: object) -> tuple[NDArray[np.bool_], object]:
    """Which rows are unlabelled, and by which value."""
    if not _is_auto(unlabeled):
        return _find_equal(array, unlabeled), unlabeled
    found = {name: rows for name, is_marker in MARKERS.items() if (rows := _find_marked(array, name, is_marker)).any()}
    words = _find_words(array, TEXT_MARKERS)
    if words.any() and set(array[words].tolist()) <= {"-1", b"-1"} and set(array[~words].tolist()) <= {"1", b"1"}:
        return np.zeros(array.shape, bool), _warn_of_two_classes("'-1' and '1'")
    if words.any():
        found["a word such as 'nan'"] = words
        _warn_of_words(array[words])
    if set(found) == {"-1"} and array.dtype.kind != "O" and set(np.unique(array)) == {-1, 1}:
        return np.zeros(array.shape, bool), _warn_of_two_classes("-1 and 1")
    if len(found) > 1:
        names = " and ".join(found)
        raise LabelError("L19", f"both {names} among the labels", do="say which means unlabelled: unlabeled=...")
    for rows in found.values():
        return rows, array[rows][0]
    return np.zeros(array.shape, bool), AUTO


def _warn_of_two_classes(labels: str) -> str:
    what = f"FL-L20 the labels are {labels}: taken as two classes"
    marker = labels.split(" ", 1)[0]
    warn(InputWarning(f"{what}; if {marker} means unlabelled, say unlabeled={marker}"))
    return AUTO


def _warn_of_words(words: NDArray[Any]) -> None:
    counted = Counter(words.tolist())
    said = ", ".join(f"{word!r} ({count:,})" for word, count in counted.items())
    do = "if it is a class, name another marker, such as unlabeled=''"
    what = f"FL-L45 text that means no label, as NumPy writes it: {said}"
    warn(InputWarning(f"{what}; {do}"))


def _find_words(array: NDArray[Any], words: Sequence[str]) -> NDArray[np.bool_]:
    """(n,) bool, which labels are one of the words, where all labels are text; b"" is one where all are bytes."""
    if array.dtype.kind == "U":
        return np.asarray(np.isin(array, words))
    if array.dtype.kind == "S":
        return np.asarray(np.isin(array, [b"", *(word.encode() for word in words)]))
    if array.dtype.kind == "O" and all(isinstance(label, str) for label in array.tolist()):
        return np.fromiter((label in words for label in array.tolist()), bool, array.size)
    return np.zeros(array.shape, bool)


def _find_marked(array: NDArray[Any], name: str, is_marker: Callable[[object], bool]) -> NDArray[np.bool_]:
    if array.dtype.kind in "iub":
        return np.asarray(array == -1) if name == "-1" and array.dtype.kind == "i" else np.zeros(array.shape, bool)
    if array.dtype.kind == "f":
        return np.asarray({"-1": array == -1, "NaN": np.isnan(array)}.get(name, np.zeros(array.shape, bool)))
    if array.dtype.kind == "U":
        return np.asarray(array == "") if name == '""' else np.zeros(array.shape, bool)
    return np.fromiter((is_marker(value) for value in array.tolist()), bool, array.size)


def _find_equal(array: NDArray[Any], unlabeled: object) -> NDArray[np.bool_]:
    for name in ("NaN", "None"):
        if MARKERS[name](unlabeled):
            return _find_marked(array, name, MARKERS[name])
    return np.fromiter((value == unlabeled for value in array.tolist()), bool, array.size)


def _refuse_continuous(known: NDArray[Any]) -> None:
    numbers = known
    if known.dtype.kind == "O":
        numbers = np.array([value for value in known if isinstance(value, (float, np.floating))], float)
    if numbers.dtype.kind != "f":
        return
    with np.errstate(invalid="ignore"):
        odd = ~np.isfinite(numbers) | (numbers != np.rint(numbers))
    if odd.any():
        raise LabelError(
            "L22",
            f"continuous labels, such as {numbers[odd][0]:g}; expected classes: integers, strings or booleans",
            do="this is a classifier; for numbers use a regressor",
        )


def number_groups(groups: ArrayLike, num_rows: int, is_chosen: bool) -> NDArray[np.int64]:
    """(n,) the number of each row's group, from the values that were given.

    Raises LabelError (L23) for another length, ConfigError (C120) where nothing is chosen and groups mean nothing.
    """
    values = np.asarray(groups)
    if not is_chosen:
        raise ConfigError("C120", "groups where nothing is chosen", do="leave them out, or use mode='auto' with rows")
    if values.shape != (num_rows,):
        raise LabelError("L23", f"groups have shape {values.shape}, and X has {num_rows} rows")
    return np.unique(values, return_inverse=True)[1].reshape(-1).astype(np.int64)


def check_weights(sample_weight: Any, num_rows: int, mode: str) -> NDArray[np.float64]:
    """sample_weight as (n,) float64. Raises LabelError (L43) unless each is finite and from 0 up, and one above 0.

    Copies of a row are one node in paper mode, whose label then counts as often; they change nothing else. In released
    mode they are nodes of their own, so that there weights would mean something else, and the authors' code has none.
    """
    if mode == "released":
        raise LabelError("L43", "sample_weight in released mode, which has no such thing", do="use mode='paper'")
    weight = check_weight(sample_weight, num_rows, "sample_weight")
    if not weight.any():
        raise LabelError("L43", "every sample_weight is zero: no row of any class is left")
    return weight


def add_absent_nodes(graph: Graph, absent: NDArray[np.bool_]) -> Graph:
    """Add each absent row to the graph of the others, as a node without edges. absent: (n,) bool."""
    node = np.empty(absent.size, np.int64)
    node[~absent] = graph.node
    node[absent] = graph.affinity.shape[0] + np.arange(absent.sum())
    return replace(add_lone_nodes(graph, int(absent.sum())), node=node)


def add_merged(graph: Graph, merged: Merged) -> Graph:
    """The graph of rows that were merged as one of all rows; those that are not there are nodes without edges."""
    absent = merged.place < 0
    if not absent.any():
        return replace(graph, node=graph.node[merged.place])
    return add_absent_nodes(replace(graph, node=graph.node[merged.place[~absent]]), absent)


def add_absent_rows(rows: NDArray[np.float32] | None, absent: NDArray[np.bool_]) -> NDArray[np.float32] | None:
    """Add zeros for each absent row to the rows of the others; None for a graph without rows."""
    if rows is None:
        return None
    whole = np.zeros((absent.size, rows.shape[1]), np.float32)
    whole[~absent] = rows
    return whole
