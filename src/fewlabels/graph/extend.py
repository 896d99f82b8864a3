"""Labels for points that were not in the graph, from their neighbours that were."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from ..conventions import UNLABELED
from ..errors import EmbeddingError, GraphError, UnreachedWarning, listed, warn
from .build import refuse_many_zeros
from .compiled import instructions
from .neighbors import BLOCK_BYTES, GRID, PRODUCT_UP_TO, top_k
from .precomputed import edge_weights
from .pseudo_labels import certainties
from .rows import densify, digest_rows, make_comparable
from .settings import GraphSettings
from .types import Graph

if TYPE_CHECKING:
    from .system import Propagation

MOST_QUERIES = 8192  # searched at once
FITTED_ROWS = 16384  # compared at once with a block of queries
Nearest = tuple[NDArray[np.int64], NDArray[np.float64]]  # (q, k) numbers and similarities


@dataclass(frozen=True, kw_only=True)
class Extension:
    """What a propagation says of q new rows, over its c classes.

    label: (q,) int64, of equal shares the smallest class number; -1 where no label reaches.
    certainty: (q,) float64 in [0, 1], 1 - entropy / log c; 0 where no label reaches.
    distribution: (q, c) float64, rows sum to 1; uniform where no label reaches.
    reached: (q,) bool, False where a row is similar to no row that a label reached, or has no direction at all.
    """

    label: NDArray[np.int64]
    certainty: NDArray[np.float64]
    distribution: NDArray[np.float64]
    reached: NDArray[np.bool_]


def extend(
    propagation: Propagation,
    rows: NDArray[np.generic],
    new_rows: NDArray[np.generic],
    settings: GraphSettings | None = None,
) -> Extension:
    """Label new rows by a finished propagation: the mix of their nearest old rows, as one step of it.

    rows: (n, d), the descriptors that the graph was built of, in the same order: a Propagation keeps a hash of them and
    not the rows themselves. new_rows: (q, d) real numbers, checked as `propagate` checks descriptors; sparse
    ones are made dense, as there.
    settings: n_neighbors and gamma count, metric and drop_bad_rows must be the graph's; None: those of the graph.
    A labelled neighbour counts with its given label, any other with its distribution (in released mode all do); each
    weighs similarity ** gamma. The labels of the old rows stay as they are.

    Raises EmbeddingError for other rows than the graph's, or new rows of another width (E34), and as propagate does;
    GraphError (G16) for a graph that was not built of descriptors. Warns (UnreachedWarning, G1) of new rows that no
    label reaches.

    >>> import numpy as np
    >>> from fewlabels.graph import propagate
    >>> corners = np.array([[0, 1.0], [0.1, 1], [1, 0], [1, 0.1]])
    >>> result = propagate(corners, np.array([0, -1, 1, -1]), GraphSettings(n_neighbors=1))
    >>> extend(result, corners, np.array([[0.2, 3], [5, 1]])).label
    array([0, 1])
    """
    graph = propagation.graph
    if graph.rows_digest is None or graph.settings is None:
        do = "for a precomputed graph use fewlabels.graph.extend_precomputed with the affinities of the new rows"
        raise GraphError("G16", "a graph that does not say which rows it was built of", do=do)
    settings = settings or graph.settings
    fitted = _demand_rows_of(graph, densify(rows), settings)
    new = np.asarray(densify(new_rows))
    if new.ndim == 2 and new.shape[1] != fitted.shape[1] and 0 not in new.shape:
        what = f"new rows of shape {new.shape}, and the graph was built of rows of width {fitted.shape[1]}"
        raise EmbeddingError("E34", what, do="describe them by the same model as the old rows")
    found = make_comparable(new, "cosine", drop_bad_rows=settings.drop_bad_rows)  # the length of a new row cancels
    refuse_many_zeros(np.setdiff1d(np.flatnonzero(~found.values.any(axis=1)), found.bad), len(new), settings)
    answers = find_answers(propagation, _given_labels(propagation, settings), fitted)
    return _label_mix(mix_neighbors(found.values, fitted, answers, settings.n_neighbors, settings.gamma))


def extend_precomputed(propagation: Propagation, weights: Any, settings: GraphSettings | None = None) -> Extension:
    """`extend` where the graph was handed in: weights are the affinities of the new rows to the old ones.

    weights: (q, n) sparse or dense, from 0 up, on the scale of those of the graph. settings: only the mode counts.
    Raises GraphError (G11, G12) for anything else. Warns (UnreachedWarning, G1) of new rows that no label reaches.
    """
    affinities, num_rows = edge_weights(weights), propagation.graph.node.size
    if affinities.shape[1] != num_rows:
        what = f"affinities of shape {affinities.shape}, expected (q, {num_rows}): one column for each row of the graph"
        raise GraphError("G12", what)
    answers = find_answers(propagation, _given_labels(propagation, settings or GraphSettings()), None)
    return _label_mix(mix_affinities(affinities, answers))


def _demand_rows_of(graph: Graph, rows: NDArray[np.generic], settings: GraphSettings) -> NDArray[np.float32]:
    """The rows as they are compared. Raises EmbeddingError (E34) where they are not those of the graph."""
    shape, do = np.shape(rows), "give the descriptors that the propagation was made of, all and in order"
    if len(shape) == 2 and shape[0] != graph.node.size:
        raise EmbeddingError("E34", f"{shape[0]} rows, and the graph was built of {graph.node.size}", do=do)
    values = make_comparable(rows, settings.metric, drop_bad_rows=settings.drop_bad_rows).values
    if digest_rows(values) != graph.rows_digest:
        what = f"other rows than those that the graph was built of (compared by {settings.metric})"
        raise EmbeddingError("E34", what, do=do)
    return values


def _given_labels(propagation: Propagation, settings: GraphSettings) -> NDArray[np.int64]:
    """(n,) the label that each row was given; -1 for all in released mode, which asks distributions alone."""
    labels = propagation.pseudo_labels.label
    if propagation.labeled is None or settings.mode == "released":
        return np.full(labels.size, UNLABELED)
    return np.where(propagation.labeled, labels, UNLABELED)


def _label_mix(mix: Mix) -> Extension:
    """The mix as labels, with nothing said where no label reaches."""
    distribution, missed = mix.distribution, ~mix.reached
    certainty, label = certainties(distribution), distribution.argmax(axis=1)
    if missed.any():
        label[missed], certainty[missed], distribution[missed] = UNLABELED, 0, 1 / distribution.shape[1]
        what = f"FL-G1 no label reaches {missed.sum()} of {missed.size} new rows; they have no label ({UNLABELED}) and"
        rows = listed(np.flatnonzero(missed).tolist())
        warn(UnreachedWarning(f"{what} certainty 0: they are like no row that a label reached; {rows}"))
    return Extension(label=label, certainty=certainty, distribution=distribution, reached=mix.reached)


@dataclass(frozen=True, kw_only=True)
class Answers:
    """The old rows that new points ask: one for each node that a label reached.

    row: (m,) int64, their numbers, ascending. distribution: (m, c), what the propagation says of each.
    label: (m,) int64, the label that its node was given; -1 where none was, or equal rows were given different ones.
    """

    row: NDArray[np.int64]
    distribution: NDArray[np.floating]
    label: NDArray[np.int64]

    def shares(self, index: NDArray[np.int64]) -> NDArray[np.floating]:
        """(..., c) what the rows `index` of these say: one-hot where a label was given, else the distribution."""
        shares, label = self.distribution[index], self.label[index]
        is_given = label != UNLABELED
        shares[is_given] = 0
        shares[is_given, label[is_given]] = 1
        return shares


def find_answers(propagation: Propagation, labels: NDArray[np.int64], rows: NDArray[np.float32] | None) -> Answers:
    """The rows of a propagation that new points ask.

    labels: (n,) that count as given, -1 elsewhere. rows: (n, d) comparable; those without direction are not asked where
    others are there. None for a precomputed graph.
    """
    graph, found = propagation.graph, propagation.pseudo_labels
    first = np.arange(graph.node.size)
    if graph.affinity.shape[0] < first.size:
        first = np.sort(np.unique(graph.node, return_index=True)[1])
    first = first[found.reached[first]]
    if rows is not None:
        directed = graph.degree[graph.node[first]] > 0
        directed[~directed] = rows[first[~directed]].any(axis=1)
        first = first[directed] if directed.any() else first  # only rows without direction are labelled
    everyone = first.size == graph.node.size  # then nothing needs copying
    distribution = found.distribution if everyone else found.distribution[first]
    return Answers(row=first, distribution=distribution, label=_labels_of_nodes(graph, labels)[graph.node[first]])


def _labels_of_nodes(graph: Graph, labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """(nodes,) the label of each node's labelled rows; -1 where there is none, or they differ."""
    found = np.full(graph.affinity.shape[0], UNLABELED)
    rows = np.flatnonzero(labels != UNLABELED)
    found[graph.node[rows]] = labels[rows]
    differ = found[graph.node[rows]] != labels[rows]
    found[graph.node[rows[differ]]] = UNLABELED
    return found


@dataclass(frozen=True, kw_only=True)
class Mix:
    """distribution: (q, c) float64, rows sum to 1. reached: (q,) bool, similar to some row that answers.

    A row that is not gets the answer of the nearest one; an all-zero row, the mean of all: for who must answer.
    """

    distribution: NDArray[np.float64]
    reached: NDArray[np.bool_]


def mix_neighbors(
    queries: NDArray[np.float32],
    fitted: NDArray[np.float32],
    answers: Answers,
    n_neighbors: int,
    gamma: float,
) -> Mix:
    """The answers of each query's n_neighbors nearest old rows that answer, weighted by similarity ** gamma.

    queries: (q, d), fitted: (n, d) all old rows (graph.comparable_rows). The length of a query cancels, so a query may
    be scaled as one likes.
    This is one step of Z = alpha W Z, as a labelled point would spread it. Memory: blocks of 128 MiB.
    """
    fitted = fitted if answers.row.size == len(fitted) else fitted[answers.row]
    k, num_classes = min(n_neighbors, fitted.shape[0]), answers.distribution.shape[1]
    mixed = np.empty((queries.shape[0], num_classes))
    reached = np.ones(queries.shape[0], bool)
    block, nearest = _search(fitted, k * (num_classes + 2))
    for start in range(0, queries.shape[0], block):
        part = slice(start, start + block)
        index, similarity = nearest(queries[part], k)
        weight = np.maximum(similarity, 0) ** gamma
        reached[part] = weight.any(axis=1)
        alone = np.flatnonzero(~reached[part])
        weight[alone, similarity[alone].argmax(axis=1)] = 1
        weight /= weight.sum(axis=1, keepdims=True)
        mixed[part] = np.einsum("qk,qkc->qc", weight, answers.shares(index))
    mixed[~queries.any(axis=1)] = answers.distribution.mean(axis=0)
    return Mix(distribution=mixed / mixed.sum(axis=1, keepdims=True), reached=reached)


def mix_affinities(weights: sp.csr_array, answers: Answers) -> Mix:
    """The answers of the old rows that answer, weighted by each query's affinity to them.

    weights: (q, n) from 0 up, to all old rows. A query without any affinity to those gets the mean of their answers.
    """
    weights = weights if answers.row.size == weights.shape[1] else weights[:, answers.row]
    largest = weights.max(axis=1).toarray().ravel()
    reached = largest > 0
    scaled = weights.copy()
    scaled.data /= np.repeat(np.where(reached, largest, 1), np.diff(weights.indptr))  # so that no sum overflows
    mixed = np.asarray(scaled @ answers.shares(np.arange(answers.row.size)))
    mixed[~reached] = answers.distribution.mean(axis=0)
    return Mix(distribution=mixed / mixed.sum(axis=1, keepdims=True), reached=reached)


def _search(fitted: NDArray[np.float32], answer: int) -> tuple[int, Callable[[NDArray[np.float32], int], Nearest]]:
    """How many queries to search at once, and a function (queries, k) -> the k nearest fitted rows.

    answer: numbers that the answer to a query needs.
    """
    if fitted.shape[0] <= PRODUCT_UP_TO or instructions() is None:
        block = BLOCK_BYTES // (32 * min(fitted.shape[0], FITTED_ROWS))
        return max(1, block), lambda queries, k: _nearest(queries, fitted, k)
    from .compiled.search import pack_rows, search_exactly
    from .threads import Team

    with Team() as team:
        panels = pack_rows(fitted, team)

    def compiled(queries: NDArray[np.float32], k: int) -> Nearest:
        with Team() as team:
            index, similarity = search_exactly(queries, panels, k, team)
        return index.astype(np.int64), similarity.astype(np.float64)

    return max(1, min(MOST_QUERIES, BLOCK_BYTES // (8 * answer))), compiled


def _nearest(queries: NDArray[np.float32], fitted: NDArray[np.float32], k: int) -> Nearest:
    """(q, k) numbers of the k nearest fitted rows, ascending, and their similarities.

    In float64, block of fitted rows by block, so that they are never copied whole. Ties go to smaller numbers.
    """
    wide = queries.astype(np.float64)
    index, similarity = np.empty((len(wide), 0), np.int64), np.empty((len(wide), 0))
    rows = max(1, min(FITTED_ROWS, BLOCK_BYTES // (8 * fitted.shape[1])))
    for first in range(0, fitted.shape[0], rows):
        near = wide @ fitted[first : first + rows].astype(np.float64).T
        number = np.broadcast_to(np.arange(first, first + near.shape[1]), near.shape)
        if index.shape[1] == k:
            near, number = _above(near, number, similarity.min(axis=1) - 1 / GRID)
        near = np.concatenate([similarity, near], axis=1)
        number = np.concatenate([index, number], axis=1)
        place = np.sort(top_k(near, min(k, near.shape[1]))[0], axis=1)  # numbers ascend in a row: so ties stay in order
        index = np.take_along_axis(number, place, axis=1)
        similarity = np.rint(np.take_along_axis(near, place, axis=1) * GRID) / GRID
    return index, similarity


def _above(
    near: NDArray[np.float64], number: NDArray[np.int64], least: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """The entries of each row that are above its `least`, few as a rule, moved to the left; -inf fills the rest."""
    row, column = np.nonzero(near > least[:, None])
    count = np.bincount(row, minlength=len(near))
    place = np.arange(row.size) - np.repeat(np.cumsum(count) - count, count)
    packed, numbers = np.full((len(near), count.max()), -np.inf), np.full((len(near), count.max()), number.max())
    packed[row, place], numbers[row, place] = near[row, column], number[row, column]
    return packed, numbers
