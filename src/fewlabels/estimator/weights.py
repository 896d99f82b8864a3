"""What a row counts. A weight of w is w copies of the row; a weight of 0 is no row."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import LabelError
from ..graph import Graph
from ..graph.build import with_lone_nodes
from ..graph.label_matrix import checked_weight

Weights = NDArray[np.float64]


def checked_weights(sample_weight: Any, num_rows: int, mode: str) -> Weights:
    """(n,) float64. Raises LabelError (L43) for anything but one finite number from 0 up per row, one of them above 0.

    Copies of a row are one node in paper mode, whose label then counts as often; they change nothing else. In released
    mode they are nodes of their own, so that there weights would mean something else, and the authors' code has none.
    """
    if mode == "released":
        raise LabelError("L43", "sample_weight in released mode, which has no such thing", do="use mode='paper'")
    weight = checked_weight(sample_weight, num_rows, "sample_weight")
    if not weight.any():
        raise LabelError("L43", "every sample_weight is zero: no row of any class is left")
    return weight


def with_absent(graph: Graph, absent: NDArray[np.bool_]) -> Graph:
    """The graph of the rows that are not absent, with each absent row as a node without edges. absent: (n,)."""
    node = np.empty(absent.size, np.int64)
    node[~absent] = graph.node
    node[absent] = graph.affinity.shape[0] + np.arange(absent.sum())
    return replace(with_lone_nodes(graph, int(absent.sum())), node=node)


def rows_with_absent(rows: NDArray[np.float32] | None, absent: NDArray[np.bool_]) -> NDArray[np.float32] | None:
    """The rows that are not absent, with zeros for each absent one; None for a graph without rows."""
    if rows is None:
        return None
    whole = np.zeros((absent.size, rows.shape[1]), np.float32)
    whole[~absent] = rows
    return whole
