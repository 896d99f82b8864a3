"""Nodes so far from every label that the solver cannot resolve them."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from .settings import GraphSettings
from .solver import Solution
from .types import Graph

NOISE = 0.01  # a row is solved where its own residual is below this share of its largest entry


def fill_far_nodes(graph: Graph, solution: Solution, y: sp.csc_array, settings: GraphSettings) -> NDArray[np.floating]:
    """Z, (m, c), with negatives clipped and the nodes that the solver could not resolve filled from their neighbours.

    Far from every label the exact Z is positive but smaller than the solver's error (after t steps it is exactly
    zero beyond t edges), and its rows are noise. They get, ring by ring outwards, the mix of their solved neighbours'
    distributions: one step of Z = alpha W Z each. So every node of a component with a label is reached.
    Released mode fills only rows without any mass, where the released code returns NaN.
    """
    w = graph.affinity
    labelled = np.zeros(graph.num_components, bool)
    labelled[graph.component[y.indices]] = True
    reachable = labelled[graph.component]
    filled = np.maximum(solution.x, 0)
    largest = filled.max(axis=1)
    far = reachable & (largest == 0)
    if settings.mode != "released":
        far |= reachable & (solution.row_residual > NOISE * largest)
    filled[far | ~reachable] = 0
    by_row = sp.csr_array(y).astype(filled.dtype)
    rows, place = np.flatnonzero(far), np.empty(w.shape[0], np.int32)
    while rows.size:
        mixed = _mix(w[rows], filled, place)
        own = by_row[rows].tocoo()  # a labelled node is its own source
        mixed[own.row, own.col] += own.data
        got = rows[mixed.any(axis=1)]
        filled[rows] = mixed
        far[got] = False
        rows = np.unique(w[got].indices)  # nothing else can have changed: the others' neighbours are as they were
        rows = rows[far[rows]]
    return np.asarray(filled)


def _mix(w: sp.csr_array, filled: NDArray[np.floating], place: NDArray[np.int32]) -> NDArray[np.floating]:
    """w times the rows of `filled` scaled to sum 1, negatives clipped, in the type of `filled`.

    w: (rows, m). place: (m,) room to work in, so that a ring costs what it holds, not what the graph does.
    """
    near = np.unique(w.indices)
    place[near] = np.arange(near.size)
    shares = filled[near]
    mass = shares.sum(axis=1, keepdims=True)
    mass[mass == 0] = 1
    shares /= mass
    weights = w.data.astype(filled.dtype, copy=False)
    mixed = sp.csr_array((weights, place[w.indices], w.indptr), (w.shape[0], near.size)) @ shares
    return np.asarray(np.maximum(mixed, 0, out=mixed))
