"""Why a row got its label: the edges it hangs on, and the labelled rows whose mass arrived there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..conventions import UNLABELED
from ..errors import ConfigError
from .graph import Graph
from .propagation import Propagation
from .pseudo_labels import PseudoLabels
from .rows import comparable_rows
from .settings import GraphSettings
from .solver import conjugate_gradients

SHOWN = 10
TOLERANCE = 1e-12  # of the solve, relative to 1: influences fall by orders of magnitude with every few edges
SMALLEST = 1e-8  # where no influence is larger, they are the error of the solver
MOST_STEPS = 5000
COLUMNS = 4  # solved at a time: each takes eight arrays of one number for each node
Float = NDArray[np.float64]


@dataclass(frozen=True)
class Edge:
    """An edge of the row's node.

    row: the first row of the node at the other end; `copies` rows have its descriptor. weight: entry of W; share: of
    the sum of the row's edges, by size; 0 where all of them weigh nothing. similarity: as the graph compares rows; None
    where no descriptors were handed in. label, certainty: of that row; label is -1 where no label reaches.
    """

    row: int
    copies: int
    weight: float
    share: float
    similarity: float | None
    label: int
    certainty: float


@dataclass(frozen=True)
class Influence:
    """row, label: a labelled row and its class. share: what it contributed, of all labelled rows together."""

    row: int
    label: int
    share: float


@dataclass(frozen=True)
class Explanation:
    """Why row `row` got `label` (-1: no label reaches it) with `certainty`.

    given: the label came from the user. distribution: (c,) class shares, as in PseudoLabels.
    copies: rows with the same descriptor, itself included. component_size: rows connected with it, itself included;
    component_labels: the labelled ones among them.
    edges: the strongest, at most `SHOWN`. influences: the labelled rows that count most, at most `SHOWN`.
    class_shares: (c,) sum of the shares of all labelled rows of each class; sums to 1, or is 0 where nothing arrives.
    resolved: whether the mass that arrives is larger than the error of the solver. Where it is not, the row is so far
    from every label that it took the mix of its neighbours, and there are no influences.
    """

    row: int
    label: int
    certainty: float
    given: bool
    distribution: NDArray[np.float64]
    copies: int
    component_size: int
    component_labels: int
    edges: tuple[Edge, ...]
    influences: tuple[Influence, ...]
    class_shares: NDArray[np.float64]
    resolved: bool


def explain(
    propagation: Propagation,
    labels: NDArray[np.integer],
    row: int,
    settings: GraphSettings | None = None,
    *,
    descriptors: NDArray[np.generic] | None = None,
) -> Explanation:
    """Why one row got its label. Takes what explain_rows takes.

    >>> import numpy as np
    >>> from fewlabels.graph import propagate
    >>> corners = np.array([[0, 1.0], [0.1, 1], [1, 0], [1, 0.1]])
    >>> labels, settings = np.array([0, -1, 1, -1]), GraphSettings(n_neighbors=1)
    >>> explain(propagate(corners, labels, settings), labels, 1, settings).influences
    (Influence(row=0, label=0, share=1.0),)
    """
    return explain_rows(propagation, labels, [row], settings, descriptors=descriptors)[0]


def explain_rows(
    propagation: Propagation,
    labels: NDArray[np.integer],
    rows: Sequence[int],
    settings: GraphSettings | None = None,
    *,
    descriptors: NDArray[np.generic] | None = None,
) -> list[Explanation]:
    """Why each of `rows` got its label; the rows share each product with W, so several cost little more than one.

    propagation, labels, settings: of one call of `propagate`. descriptors: (n, d) as it got them, for similarities.

    Z = (I - alpha W)^-1 Y, and the matrix is symmetric: row i of the inverse is the solution for the right-hand side
    e_i. Entry l of it times label l is what labelled row l contributed to row i.
    The system is solved to the end, also in released mode, which itself stops early.
    Raises ConfigError (C42) for a row that does not exist.
    """
    settings, graph = settings or GraphSettings(), propagation.graph
    given = np.asarray(labels)
    for row in rows:
        if not 0 <= row < graph.node.size:
            raise ConfigError("C42", f"row {row} is to be explained, and there are rows 0 to {graph.node.size - 1}")
    labelled = np.flatnonzero(given != UNLABELED)
    arrivals = _arrivals(graph, labelled, rows, settings)
    return [
        explained(propagation.pseudo_labels, graph, given, row, arrived, settings, descriptors)
        for row, arrived in zip(rows, arrivals, strict=True)
    ]


def explained(
    found: PseudoLabels,
    graph: Graph,
    given: NDArray[np.integer],
    row: int,
    arrived: Float,
    settings: GraphSettings,
    descriptors: NDArray[np.generic] | None = None,
) -> Explanation:
    """The explanation of a row whose solve is done.

    found: of the propagation of `given`, (n,), over the graph. arrived: what a label of weight 1 at each labelled row,
    in order, brings to the row.
    """
    node = graph.node[row]
    copies, labelled = np.bincount(graph.node), np.flatnonzero(given != UNLABELED)
    together = graph.component[graph.node] == graph.component[node]
    contributed = _shares(arrived, given[labelled], settings)
    return Explanation(
        row=int(row),
        label=int(found.label[row]),
        certainty=float(found.certainty[row]),
        given=bool(given[row] != UNLABELED),
        distribution=np.asarray(found.distribution[row], np.float64),
        copies=int(copies[node]),
        component_size=int(together.sum()),
        component_labels=int(together[labelled].sum()),
        edges=_edges(found, graph, int(row), copies, descriptors, settings),
        influences=_strongest(contributed, labelled, given),
        class_shares=np.bincount(given[labelled], contributed, found.distribution.shape[1]).astype(np.float64),
        resolved=bool(contributed.any()),
    )


def _arrivals(
    graph: Graph, labelled: NDArray[np.int64], rows: Sequence[int], settings: GraphSettings
) -> Iterator[Float]:
    """For each of `rows` what each labelled row brings to it, (labelled,)."""
    w = graph.affinity.astype(np.float64, copy=False)
    for start in range(0, len(rows), COLUMNS):
        nodes = graph.node[np.asarray(rows[start : start + COLUMNS])]
        unit = np.zeros((w.shape[0], nodes.size))
        unit[nodes, np.arange(nodes.size)] = 1
        solution = conjugate_gradients(
            lambda x: x - settings.alpha * (w @ x), unit, tol=TOLERANCE, max_steps=MOST_STEPS
        )
        yield from solution.x[graph.node[labelled]].T


def _shares(arrived: Float, classes: NDArray[np.integer], settings: GraphSettings) -> Float:
    """The share of each labelled row, summing to 1; zeros where nothing arrives that is more than an error."""
    mass = np.maximum(arrived, 0)  # below 0 is the error of the solver, or a negative edge
    if settings.rules.divide_by_class_size:
        mass = mass / np.bincount(classes)[classes]
    return mass / mass.sum() if mass.max(initial=0) > SMALLEST else np.zeros_like(mass)


def _strongest(shares: Float, labelled: NDArray[np.int64], given: NDArray[np.integer]) -> tuple[Influence, ...]:
    order = np.argsort(-shares, kind="stable")[:SHOWN]
    return tuple(Influence(int(labelled[i]), int(given[labelled[i]]), float(shares[i])) for i in order if shares[i] > 0)


def _edges(
    found: PseudoLabels,
    graph: Graph,
    row: int,
    copies: NDArray[np.int64],
    descriptors: NDArray[np.generic] | None,
    settings: GraphSettings,
) -> tuple[Edge, ...]:
    """The strongest edges of the row's node."""
    span = slice(*graph.affinity.indptr[graph.node[row] : graph.node[row] + 2])
    ends, weights = graph.affinity.indices[span], graph.affinity.data[span].astype(np.float64)
    total = np.abs(weights).sum() or 1.0  # released mode keeps edges below 0, and may cut all of them to 0
    order = np.argsort(-weights, kind="stable")[:SHOWN]
    others = _first_rows(graph, ends[order])
    similar: list[float | None] = [None] * len(others)
    if descriptors is not None and others.size:  # a row without edges may have no direction at all
        similar = _similarities(descriptors, row, others, settings)
    return tuple(
        Edge(
            row=int(other),
            copies=int(copies[ends[at]]),
            weight=float(weights[at]),
            share=float(weights[at] / total),
            similarity=similarity,
            label=int(found.label[other]),
            certainty=float(found.certainty[other]),
        )
        for at, other, similarity in zip(order, others, similar, strict=True)
    )


def _first_rows(graph: Graph, nodes: NDArray[np.int64]) -> NDArray[np.int64]:
    """The first row of each of the nodes."""
    first = np.full(graph.affinity.shape[0], graph.node.size)
    np.minimum.at(first, graph.node, np.arange(graph.node.size))
    return first[nodes]


def _similarities(
    descriptors: NDArray[np.generic], row: int, others: NDArray[np.int64], settings: GraphSettings
) -> list[float | None]:
    """Cosines, or inner products of the descriptors as they are."""
    pair = np.asarray(descriptors[np.append(row, others)])
    wide = comparable_rows(pair).astype(np.float64) if settings.metric == "cosine" else pair.astype(np.float64)
    return [float(similarity) for similarity in wide[1:] @ wide[0]]
