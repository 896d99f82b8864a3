"""y as users write it -> class numbers, and back."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import column_or_1d

from ..conventions import UNLABELED
from ..errors import InputWarning, LabelError

AUTO = "auto"


@dataclass(frozen=True)
class CodedLabels:
    """codes: (n,) int64 numbers into `classes`, -1 where unlabelled. classes: (c,) the user's labels, sorted.

    marker: what y has where a row is unlabelled; "auto" where no row is, so that it is the rule for more labels.
    """

    codes: NDArray[np.int64]
    classes: NDArray[Any]
    marker: object = AUTO

    def decoded(self, codes: NDArray[np.int64]) -> NDArray[Any]:
        """The user's labels of class numbers; the marker where a number is -1."""
        if not (codes == UNLABELED).any():
            return np.asarray(self.classes[codes])
        labels = np.full(codes.shape, self.marker, self.classes.dtype)
        labels[codes != UNLABELED] = self.classes[codes[codes != UNLABELED]]
        return labels


MARKERS: dict[str, Callable[[object], bool]] = {
    "-1": lambda value: isinstance(value, (int, float, np.number)) and not isinstance(value, bool) and value == -1,
    "NaN": lambda value: isinstance(value, (float, np.floating)) and math.isnan(value),
    "None": lambda value: value is None or type(value).__name__ in ("NAType", "NaTType"),  # pandas.NA, NaT
    '""': lambda value: isinstance(value, str) and value == "",
}


def code_labels(y: object, unlabeled: object = AUTO) -> CodedLabels:
    """Class numbers of y, (n,) of integers, whole floats, booleans or strings.

    unlabeled: the one value that means "no label" (NaN and None count as such a value); "auto" takes -1, NaN, None or
    "", whichever occurs. Two of these in one y are refused (L19); exactly the labels -1 and 1 are two classes, and a
    warning says so (L20).
    Raises LabelError for continuous or mixed labels (L22), for y without any label (L16).
    """
    array = np.asarray(y, object) if _is_object(y) else np.asarray(y)
    if array.dtype.kind not in "biufOUS":
        raise LabelError("L22", f"labels have type {array.dtype}, expected integers, strings or booleans")
    array = column_or_1d(array, warn=True)
    missing, marker = _missing(array, unlabeled)
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
    return CodedLabels(codes, classes, marker)


def _is_object(y: object) -> bool:
    """Lists of texts and other things: NumPy would turn the NaN of ["a", nan] into text."""
    return isinstance(y, (list, tuple)) and len({isinstance(value, str) for value in y}) > 1


def _missing(array: NDArray[Any], unlabeled: object) -> tuple[NDArray[np.bool_], object]:
    """Which rows are unlabelled, and by which value."""
    if not (isinstance(unlabeled, str) and unlabeled == AUTO):
        return _equal(array, unlabeled), unlabeled
    found = {name: rows for name, is_marker in MARKERS.items() if (rows := _rows(array, name, is_marker)).any()}
    if set(found) == {"-1"} and array.dtype.kind != "O" and set(np.unique(array)) == {-1, 1}:
        what = "FL-L20 the labels are -1 and 1: taken as two classes; if -1 means unlabelled, say unlabeled=-1"
        warnings.warn(InputWarning(what), stacklevel=5)
        return np.zeros(array.shape, bool), AUTO
    if len(found) > 1:
        names = " and ".join(found)
        raise LabelError("L19", f"both {names} among the labels", do="say which means unlabelled: unlabeled=...")
    for rows in found.values():
        return rows, array[rows][0]
    return np.zeros(array.shape, bool), AUTO


def _rows(array: NDArray[Any], name: str, is_marker: Callable[[object], bool]) -> NDArray[np.bool_]:
    if array.dtype.kind in "iub":
        return np.asarray(array == -1) if name == "-1" and array.dtype.kind == "i" else np.zeros(array.shape, bool)
    if array.dtype.kind == "f":
        return np.asarray({"-1": array == -1, "NaN": np.isnan(array)}.get(name, np.zeros(array.shape, bool)))
    return np.fromiter((is_marker(value) for value in array.tolist()), bool, array.size)


def _equal(array: NDArray[Any], unlabeled: object) -> NDArray[np.bool_]:
    for name in ("NaN", "None"):
        if MARKERS[name](unlabeled):
            return _rows(array, name, MARKERS[name])
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
