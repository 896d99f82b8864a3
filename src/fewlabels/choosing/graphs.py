"""Candidate graphs of one neighbour search, and what the labels of the other folds bring to each labelled row.

The system is linear in the labels: solved with a column for each fold and class (or for each labelled row, where those
are fewer), the answer without any fold is a sum of columns, and so is the answer of all labels.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from ..graph.build import assemble_graph, find_neighbors
from ..graph.settings import GraphSettings
from ..graph.system import PropagationSystem
from ..graph.types import ClusteredNeighbors, Comparable, Graph, Progress, no_progress

Float = NDArray[np.float64]
CHOICE_TOL = 1e-4  # relative residual of the solves that candidates are compared by


@dataclass(frozen=True, kw_only=True)
class Lists:
    """One neighbour search, from which a graph of any smaller number of neighbours can be made.

    found: sorted lists of the nodes. node: (n,) int64, the node of each row.
    """

    found: ClusteredNeighbors
    node: NDArray[np.int64]

    @property
    def most(self) -> int:
        return int(self.found.index.shape[1])

    def usual_distance(self) -> float:
        """Median of 1 - similarity to the tenth neighbour (or the last, with fewer)."""
        if self.most == 0 or not len(self.found.similarity):
            return 0.0
        return float(np.median(1 - self.found.similarity[:, min(10, self.most) - 1].astype(np.float64)))

    def graph(self, settings: GraphSettings) -> Graph:
        """The graph of the first settings.n_neighbors of each list."""
        k = min(settings.n_neighbors, self.most)
        index, similarity = self.found.index[:, :k], self.found.similarity[:, :k]
        shorter = replace(self.found, index=np.ascontiguousarray(index), similarity=np.ascontiguousarray(similarity))
        return assemble_graph(shorter, self.node, settings, no_progress)


def search_lists(rows: Comparable, settings: GraphSettings, most: int, on_progress: Progress) -> Lists:
    """The lists of up to `most` neighbours of each row. Raises EmbeddingError (E4) for too many rows of zeros."""
    wide = replace(settings, n_neighbors=most)
    found, node = find_neighbors(rows, wide, None, on_progress)
    return Lists(found=found, node=node)


@dataclass(frozen=True, kw_only=True)
class Columns:
    """The columns that all folds are solved by: labels of one class that share a fold, or one label each.

    column: (l,) of each labelled row. fold, class_number: (columns,) of each column.
    """

    column: NDArray[np.int64]
    fold: NDArray[np.int64]
    class_number: NDArray[np.int64]

    def matrix(self, node: NDArray[np.int64], num_nodes: int, weight: Float) -> sp.csc_array:
        """(m, columns) label matrix. node, weight: (l,) of each labelled row."""
        at = (node, self.column)
        return sp.csc_array(sp.coo_array((weight, at), (num_nodes, self.fold.size)))

    def sums(self, num_classes: int, left_out: int | None) -> Float:
        """(columns, c): adds the columns of each class up, without those of one fold."""
        table = np.zeros((self.fold.size, num_classes))
        table[np.arange(self.fold.size), self.class_number] = 1 if left_out is None else self.fold != left_out
        return table


def share_columns(classes: NDArray[np.int64], fold: NDArray[np.int64]) -> Columns:
    """The fewest columns that tell folds and classes apart. classes, fold: (l,)."""
    keys, column = np.unique(np.stack([fold, classes]), axis=1, return_inverse=True)
    return Columns(column=column.reshape(-1), fold=keys[0], class_number=keys[1])


def solve_columns(
    system: PropagationSystem,
    labelled: NDArray[np.int64],
    weight: Float,
    columns: Columns,
    asked: NDArray[np.int64],
) -> NDArray[np.floating]:
    """(q, columns) what each column's labels bring to the rows `asked`, negatives clipped.

    labelled, asked: (l,) and (q,) row numbers.
    """
    node = system.graph.node
    y = columns.matrix(node[labelled], system.graph.affinity.shape[0], weight)
    return np.asarray(np.maximum(system.solve(y, tol=CHOICE_TOL).x[node[asked]], 0))


def held_out_mass(mass: NDArray[np.floating], fold: NDArray[np.int64], columns: Columns, num_classes: int) -> Float:
    """(l, c) what the labels of the other folds bring to each labelled row. mass: (l, columns) at those rows."""
    found = np.empty((fold.size, num_classes))
    for number in np.unique(fold):
        own = fold == number
        found[own] = mass[own] @ columns.sums(num_classes, int(number))
    return found
