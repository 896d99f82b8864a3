"""Nodes so far from every label that the solver cannot resolve them."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from .graph import Graph
from .settings import GraphSettings
from .solver import Solution

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
    by_row = sp.csr_array(y)
    while far.any():
        rows = np.flatnonzero(far)
        mixed = _mix(w[rows], filled) + by_row[rows]  # a labelled node is its own source
        got = mixed.any(axis=1)
        if not got.any():
            break
        filled[rows[got]] = mixed[got]
        far[rows[got]] = False
    return np.asarray(filled)


def _mix(w: sp.csr_array, filled: NDArray[np.floating]) -> NDArray[np.floating]:
    """w times the rows of `filled` scaled to sum 1, negatives clipped. w: (rows, m)."""
    near = np.unique(w.indices)
    shares = filled[near]
    mass = shares.sum(axis=1, keepdims=True)
    shares = np.divide(shares, mass, out=np.zeros_like(shares), where=mass > 0)
    mixed = np.maximum(w[:, near] @ shares, 0)
    return np.asarray(mixed)
