"""Equal rows with equal labels as one row of more weight: so that a weight is as many copies, whatever is chosen."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..conventions import UNLABELED
from ..graph import PseudoLabels
from ..graph.rows import hash_rows

NOTHING = {"label": UNLABELED, "certainty": 0, "class_weight": 0, "reached": False}


@dataclass(frozen=True, kw_only=True)
class Merged:
    """first: (u,) one row for each that differs in its numbers or its label. place: (n,) which of these each row is; -1
    for rows of weight 0, which are not there. weight: (u,) of all rows together; labels have a mean of 1.
    """

    first: NDArray[np.int64]
    place: NDArray[np.int64]
    weight: NDArray[np.float64]

    def spread_out(self, result: PseudoLabels) -> PseudoLabels:
        """Pseudo-labels of all n rows, from those of the u; rows that are not there have none."""
        absent, size = self.place < 0, result.label.size
        arrays: dict[str, Any] = {}
        for field in fields(PseudoLabels):
            value = getattr(result, field.name)
            if isinstance(value, np.ndarray) and value.shape[:1] == (size,):
                arrays[field.name] = value[self.place]
        for name, value in {**NOTHING, "distribution": 1 / result.distribution.shape[1]}.items():
            if name in arrays:
                arrays[name][absent] = value
        return replace(result, **arrays)


def merge_equal(rows: NDArray[Any], codes: NDArray[np.int64], weight: NDArray[np.float64] | None) -> Merged:
    """rows: (n, d), equal where they are so in float32. codes: (n,). weight: (n,) or None for 1 each.

    Where rows come together they are ordered by content, so that neither their order nor how often they were written
    changes an answer; else they keep their order.
    """
    present = np.arange(len(rows)) if weight is None else np.flatnonzero(weight > 0)
    values = rows[present].astype(np.float32)
    keys = hash_rows(values) + (codes[present] + 2).astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    inverse = inverse.reshape(-1)
    if (weight is None and first.size == present.size) or not _are_equal(values, codes[present], first[inverse]):
        first = inverse = np.arange(present.size)
    counts = np.ones(present.size) if weight is None else weight[present]
    total = np.bincount(inverse, counts).astype(np.float64)
    labelled = codes[present][first] != UNLABELED
    place = np.full(len(rows), -1)
    place[present] = inverse
    weights = np.where(labelled, total / total[labelled].mean(), 1.0)
    return Merged(first=present[first], place=place, weight=weights.astype(np.float64))


def _are_equal(values: NDArray[np.float32], codes: NDArray[np.int64], other: NDArray[np.int64]) -> bool:
    """Whether each row is that one: two that share a hash by chance are not."""
    moved = np.flatnonzero(other != np.arange(other.size))
    same = (values[moved] == values[other[moved]]) | np.isnan(values[moved])
    return bool(same.all() and (codes[moved] == codes[other[moved]]).all())
