"""Why a row has its label: the labelled rows whose labels arrived there, and the neighbours it hangs on."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..conventions import UNLABELED
from .incremental import Spread, Spreading
from .state import State, Why

SHOWN = 10
SMALLEST = 1e-6  # what arrives from a label of weight 1; less is the error of the solver


def why_of(row: int, spreading: Spreading, spread: Spread, state: State) -> Why:
    """One solve; what arrives at row i from row j is what arrives at j from i. Refinements are left out."""
    distribution = np.asarray(spread.labels.distribution[row], np.float64)
    shares: tuple[tuple[int, float], ...] = ()
    if state.reached[row]:
        shares = tuple((int(at), float(distribution[at])) for at in _largest(distribution))
    labelled = _labelled(row, spreading)
    neighbours = _neighbours(row, spreading, state)
    return Why(row, int(state.label[row]), float(state.certainty[row]), shares, labelled, neighbours)


def _labelled(row: int, spreading: Spreading) -> tuple[tuple[int, int, float], ...]:
    label, graph = spreading.label, spreading.graph
    rows = np.flatnonzero(label != UNLABELED)
    mass = spreading.from_row(row)[graph.node[rows]].astype(np.float64)
    mass[mass < SMALLEST] = 0
    if spreading.settings.rules.divide_by_class_size:
        mass /= np.bincount(label[rows])[label[rows]]
    if not mass.any():
        return ()
    share = mass / mass.sum()
    return tuple((int(rows[at]), int(label[rows[at]]), float(share[at])) for at in _largest(share))


def _neighbours(row: int, spreading: Spreading, state: State) -> tuple[tuple[int, int, float, float], ...]:
    graph = spreading.graph
    w, node = graph.affinity, graph.node[row]
    span = slice(*w.indptr[node : node + 2])
    ends, weight = w.indices[span], np.maximum(w.data[span].astype(np.float64), 0)
    if not weight.any():
        return ()
    found = []
    for at in _largest(weight):
        other = int((graph.node == ends[at]).argmax())  # the first of the rows that share the node
        share = float(weight[at] / weight.sum())
        found.append((other, int(state.label[other]), float(state.certainty[other]), share))
    return tuple(found)


def _largest(values: NDArray[np.float64]) -> list[int]:
    """Places of the largest values above 0, at most SHOWN, largest first."""
    order = np.argsort(-values, kind="stable")[:SHOWN]
    return [int(at) for at in order if values[at] > 0]
