"""Labels, checked, and the label matrix Y: the right-hand side of the propagation system."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike, NDArray

from ..conventions import UNLABELED
from ..errors import InputWarning, LabelError, shown, warn
from .settings import GraphSettings, Rules

FEW_ROWS = 50  # fewer are a toy, of which each row may be listed
MOST_CLASSES = 10_000_000  # where no names say how many there are


@dataclass(frozen=True)
class CheckedLabels:
    """label: (n,) int64, -1 where unlabelled. num_classes: c. weight: (n,) what each label counts; None: 1 each.

    class_names: c names for messages, where there are any.
    """

    label: NDArray[np.int64]
    num_classes: int
    weight: NDArray[np.float64] | None = None
    class_names: Sequence[str] | None = None

    def name_class(self, number: int) -> str:
        """How messages call a class."""
        return f"class {number}" + (f" ({shown(self.class_names[number])!r})" if self.class_names is not None else "")


def warn_of_narrow_classes(num_rows: int, num_classes: int, settings: GraphSettings) -> None:
    """Warn (G24) where classes of even size have no more rows than each row has neighbours: some must be of others.

    Not of fewer than 50 rows, and not in released mode, whose settings are given.
    """
    size = num_rows // max(1, num_classes)
    is_wide = size <= settings.n_neighbors < num_rows - 1  # beyond is E7
    if is_wide and num_classes > 1 and num_rows >= FEW_ROWS and settings.mode == "paper":
        fewer = max(1, min(settings.n_neighbors - 1, size // 4))
        what = f"FL-G24 {settings.n_neighbors} neighbours of each row are more than a class can fill"
        why = f"{num_rows:,} rows in {num_classes:,} classes are about {size:,} each"
        do = f"try fewer, such as n_neighbors={fewer} (--n-neighbors {fewer})"
        warn(InputWarning(f"{what}: {why}; {do}"))


def check_labels(
    labels: NDArray[np.generic], num_rows: int, settings: GraphSettings, class_names: Sequence[str] | None = None
) -> CheckedLabels:
    """Labels as int64 and the number of classes.

    The classes are 0 to c - 1, with c = len(class_names), or one more than the largest label (at most MOST_CLASSES).
    Raises LabelError for another shape or type (L22, L23), a number out of range (L40), no label at all (L16) and,
    unless settings.allow_empty_classes, for a class without a labelled row (L18). One class alone is warned of (L17).
    """
    array = np.asarray(labels)
    if array.shape != (num_rows,):
        raise LabelError("L23", f"labels have shape {array.shape}, and there are {num_rows} descriptors")
    if array.dtype.kind not in "iu":
        do = f"number the classes, {UNLABELED}: no label (fewlabels.estimator takes names)"
        raise LabelError("L22", f"labels have type {array.dtype}, expected integers", do=do)
    if array.dtype.kind == "u":
        array = np.minimum(array, np.iinfo(np.int64).max)  # 2^64 - 1 is no -1
    label = array.astype(np.int64)
    limit = np.inf  # too large a label is one of a class with a gap before it
    if class_names is not None:
        limit = len(class_names)
    elif settings.allow_empty_classes:
        limit = MOST_CLASSES
    outside = (label < UNLABELED) | (label >= limit)
    if outside.any():
        raise LabelError(
            "L40",
            f"labels range from {label.min()} to {label.max()}, expected {UNLABELED} to {limit - 1:.15g}",
            rows=np.flatnonzero(outside).tolist(),
        )
    given = label[label != UNLABELED]
    if given.size == 0:
        raise LabelError("L16", f"0 labelled of {num_rows} rows", do="label at least one row of each class")
    num_classes = len(class_names) if class_names is not None else int(given.max()) + 1
    _check_every_class(np.unique(given), num_classes, settings, class_names)
    return CheckedLabels(label, num_classes, class_names=class_names)


def drop_labels(
    labels: CheckedLabels, rows: NDArray[np.int64], settings: GraphSettings, class_names: Sequence[str] | None = None
) -> CheckedLabels:
    """The labels without those of these rows. Raises LabelError (L16, L18) as check_labels does for what is left."""
    if (labels.label[rows] == UNLABELED).all():
        return labels
    left = labels.label.copy()
    left[rows] = UNLABELED
    names = [str(number) for number in range(labels.num_classes)] if class_names is None else class_names
    return check_labels(left, left.size, settings, names)


def _check_every_class(
    present: NDArray[np.int64], num_classes: int, settings: GraphSettings, class_names: Sequence[str] | None
) -> None:
    """present: ascending numbers of the classes with a label. Never an array over all classes: there may be 10^12."""
    num_empty = num_classes - present.size
    if num_empty and not settings.allow_empty_classes:
        first = int(np.append(present != np.arange(present.size), True).argmax())
        name = f" ('{shown(class_names[first])}')" if class_names is not None else ""
        others = f" and {num_empty - 1} other classes have" if num_empty > 1 else " has"
        raise LabelError(
            "L18",
            f"class {first}{name}{others} no labelled row; propagation would never choose it",
            do="label at least one, leave the class out, or set allow_empty_classes",
        )
    if num_classes == 1:
        warn(InputWarning("FL-L17 all labels are of one class: every row reached will get it"))


def check_weight(weight: ArrayLike, num_rows: int, name: str = "weight") -> NDArray[np.float64]:
    """What the label of each of n rows counts, (n,) float64. Raises LabelError (L43) for others than n numbers >= 0."""
    array = np.asarray(weight)
    if array.shape != (num_rows,) or array.dtype.kind not in "fiub":
        what = f"{name} has shape {array.shape} and type {array.dtype}, expected {num_rows} real numbers"
        raise LabelError("L43", what)
    array = array.astype(np.float64)
    bad = ~(np.isfinite(array) & (array >= 0))
    if bad.any():
        raise LabelError("L43", f"{name} is negative, NaN or infinite", rows=np.flatnonzero(bad).tolist())
    return array


def build_label_matrix(labels: CheckedLabels, node: NDArray[np.int64], num_nodes: int, rules: Rules) -> sp.csc_array:
    """The label matrix Y: (num_nodes, c) sparse, one-hot rows times their weight on labelled nodes, nothing elsewhere.

    node: (n,) the graph node of each row. A node of several labelled rows holds the sum of their one-hot rows, so
    contradicting labels of equal descriptors mix. With rules.divide_by_class_size every column sums to 1.
    """
    rows = np.flatnonzero(labels.label != UNLABELED)
    weight = np.ones(rows.size) if labels.weight is None else labels.weight[rows]
    at = (node[rows], labels.label[rows])
    y = sp.csc_array(sp.coo_array((weight, at), (num_nodes, labels.num_classes)))  # equal places add up
    y.eliminate_zeros()
    if rules.divide_by_class_size:
        total = y.sum(axis=0)
        y.data /= np.repeat(np.where(total > 0, total, 1), np.diff(y.indptr))
    return y
