"""Why a row got its label, and what the other labels say of a labelled row: rows of the inverse of the system."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..conventions import UNLABELED
from ..errors import ConfigError
from .pseudo_labels import certainties, distributions
from .rows import comparable_rows
from .settings import GraphSettings
from .system import Propagation, PropagationSystem
from .types import Graph

SHOWN = 10
MOST = 1000  # labelled rows that leave_one_out looks at where nobody says which: each is a solve of its own
NOT_JUDGED = -1.0
Float = NDArray[np.float64]
Weigh = Callable[[NDArray[np.int64], NDArray[np.int64]], Float]  # (l,) rows and classes -> (l,) weights


@dataclass(frozen=True, kw_only=True)
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


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """Why row `row` got `label` (-1: no label reaches it) with `certainty`.

    given: whether the label came from the user. distribution: (c,) class shares, as in PseudoLabels.
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
    """Why one row got its label: the neighbours and the labelled rows that count most. Takes what explain_rows takes.

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
    system: PropagationSystem | None = None,
    weight: Float | None = None,
) -> list[Explanation]:
    """Why each of `rows` got its label; the rows share each product with W, so several cost little more than one.

    propagation, labels, settings: of one call of `propagate`. descriptors: (n, d) as it got them, for similarities.
    system: of the same graph and settings, where there is one already. weight: (n,) what the label of each row counted
        in the propagation; None: as the settings say.

    Z = (I - alpha W)^-1 Y: entry l of row i of the inverse times label l is what labelled row l contributed to row i
    (PropagationSystem.inverse_rows, also for how exact it is). Refinements do not count.
    Raises ConfigError (C42) for a row that does not exist.
    """
    settings, graph, given = settings or GraphSettings(), propagation.graph, np.asarray(labels)
    for row in rows:
        if not 0 <= row < graph.node.size:
            raise ConfigError("C42", f"row {row} is to be explained, and there are rows 0 to {graph.node.size - 1}")
    labelled, asked = np.flatnonzero(given != UNLABELED), np.asarray(rows, np.int64)
    system = system or PropagationSystem(graph, settings)
    scale = None if weight is None else weight[labelled]
    return [
        _explain_row(
            propagation, given, int(row), _shares(arriving, given[labelled], settings, scale), settings, descriptors
        )
        for row, arriving in zip(asked, system.inverse_rows(asked, labelled), strict=True)
    ]


def _explain_row(
    propagation: Propagation,
    given: NDArray[np.integer],
    row: int,
    contributed: Float,
    settings: GraphSettings,
    descriptors: NDArray[np.generic] | None,
) -> Explanation:
    """contributed: the share of each labelled row, in order, in what arrives at the row."""
    found, graph = propagation.pseudo_labels, propagation.graph
    node = graph.node[row]
    copies, labelled = np.bincount(graph.node), np.flatnonzero(given != UNLABELED)
    together = graph.component[graph.node] == graph.component[node]
    return Explanation(
        row=row,
        label=int(found.label[row]),
        certainty=float(found.certainty[row]),
        given=bool(given[row] != UNLABELED),
        distribution=np.asarray(found.distribution[row], np.float64),
        copies=int(copies[node]),
        component_size=int(together.sum()),
        component_labels=int(together[labelled].sum()),
        edges=_edges(propagation, row, copies, descriptors, settings),
        influences=_strongest(contributed, labelled, given),
        class_shares=np.bincount(given[labelled], contributed, found.distribution.shape[1]).astype(np.float64),
        resolved=bool(contributed.any()),
    )


def _shares(arriving: Float, classes: NDArray[np.integer], settings: GraphSettings, weight: Float | None) -> Float:
    """The share of each labelled row, summing to 1; zeros where nothing arrives.

    arriving: what a label of weight 1 at each brings. weight: of each; None: as the settings say.
    """
    mass = np.maximum(arriving, 0)  # below 0 is the error of the solver, or a negative edge
    if weight is not None:
        mass = mass * weight
    elif settings.rules.divide_by_class_size:
        mass = mass / np.bincount(classes)[classes]
    return mass / mass.sum() if mass.any() else mass


def _strongest(shares: Float, labelled: NDArray[np.int64], given: NDArray[np.integer]) -> tuple[Influence, ...]:
    order = np.argsort(-shares, kind="stable")[:SHOWN]
    return tuple(Influence(int(labelled[i]), int(given[labelled[i]]), float(shares[i])) for i in order if shares[i] > 0)


def _edges(
    propagation: Propagation,
    row: int,
    copies: NDArray[np.int64],
    descriptors: NDArray[np.generic] | None,
    settings: GraphSettings,
) -> tuple[Edge, ...]:
    """The strongest edges of the row's node."""
    found, graph = propagation.pseudo_labels, propagation.graph
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


@dataclass(frozen=True, kw_only=True)
class LeaveOneOut:
    """What the labels of all other rows say of some labelled rows.

    rows: (r,) int64, the labelled rows looked at, ascending. num_labelled: how many labelled rows there are.
    given: (r,) int64, the class each has.
    label: (r,) int64, the class it would get if it had no label; -1 where no other label reaches it.
    certainty: (r,) of that, 0 to 1, 1 - entropy / log c as everywhere; 0 where label is -1.
    distribution: (r, c), rows sum to 1; uniform where label is -1.
    share: (r,) share of the given class in it, 0 to 1; 0 where label is -1.
    judged: (r,) bool: another label reaches the row, and another row is labelled with its class. Nothing can be said of
    the only example of a class.
    suspicion: (r,) how much more the best other class has, -1 to 1; above 0 the others say something else. -1 where not
    judged. Sort by it, largest first. Each class counts by the mean of its other labels, not their sum: else a small
    class looks suspicious wherever it is (digits with a long tail, 40 % labelled and 5 % of that wrong: AUROC 0.97, and
    0.82 by the sum).
    """

    rows: NDArray[np.int64]
    num_labelled: int
    given: NDArray[np.int64]
    label: NDArray[np.int64]
    certainty: Float
    distribution: Float
    share: Float
    judged: NDArray[np.bool_]
    suspicion: Float


def leave_one_out(
    propagation: Propagation,
    labels: NDArray[np.integer],
    settings: GraphSettings | None = None,
    rows: ArrayLike | None = None,
    *,
    most: int = MOST,
    system: PropagationSystem | None = None,
) -> LeaveOneOut:
    """What `propagate` would say of each labelled row without its own label, the graph being the same.

    propagation, labels, settings: of one call of `propagate`. rows: labelled row numbers to look at; None: all, or the
    `most` whose given class has the least share in the propagation as it is. system: of the same graph and settings,
    where there is one already.

    Row l of (I - alpha W)^-1 times the labels of the other rows is what they bring to row l. No row's own mass is
    subtracted, so nothing cancels. In released mode a class is divided by one label less. Solved to the end also there;
    refinements are left out; a label that is connected, but so far that less than 1e-8 of it arrives, counts as not
    reaching the row (PropagationSystem.inverse_rows).
    Raises ConfigError (C83) for rows that have no label.

    >>> import numpy as np
    >>> from fewlabels.graph import propagate
    >>> corners = np.array([[0, 1.0], [0.1, 1], [0.2, 1], [1, 0], [1, 0.1], [1, 0.2]])
    >>> labels, settings = np.array([0, 1, 0, 1, 1, 1]), GraphSettings(n_neighbors=2)
    >>> found = leave_one_out(propagate(corners, labels, settings), labels, settings)
    >>> found.rows[found.suspicion > 0]
    array([1])
    """
    settings = settings or GraphSettings()
    given, divides = np.asarray(labels), settings.rules.divide_by_class_size
    weigh = _weigh_classes_alike if divides else None
    asked, totals = mass_of_others(propagation, given, settings, rows, most=most, system=system, weigh=weigh)
    count = np.bincount(given[given != UNLABELED].astype(np.int64), minlength=totals.shape[1])
    return judge_labels(asked, given, totals, count, divides)


def _weigh_classes_alike(labelled: NDArray[np.int64], classes: NDArray[np.int64]) -> Float:
    return np.asarray(1 / np.bincount(classes)[classes])


def mass_of_others(
    propagation: Propagation,
    labels: NDArray[np.integer],
    settings: GraphSettings,
    rows: ArrayLike | None = None,
    *,
    most: int = MOST,
    system: PropagationSystem | None = None,
    weigh: Weigh | None = None,
) -> tuple[NDArray[np.int64], Float]:
    """What the labels of all other rows bring to labelled rows: (r,) their numbers and (r, c) the mass of each class.

    As `leave_one_out`. weigh: what each label that is left counts, from their rows and classes; None: all the same.
    """
    given = np.asarray(labels)
    labelled = np.flatnonzero(given != UNLABELED)
    asked = _least_supported(propagation, given, labelled, most) if rows is None else _check_rows(rows, given)
    classes = given[labelled].astype(np.int64)
    totals = np.zeros((asked.size, propagation.z.shape[1]))
    system = system or PropagationSystem(propagation.graph, settings)
    for number, (row, mass) in enumerate(zip(asked, system.inverse_rows(asked, labelled), strict=True)):
        others = labelled != row
        left = mass[others] if weigh is None else mass[others] * weigh(labelled[others], classes[others])
        totals[number] = np.bincount(classes[others], left, totals.shape[1])
    return asked, totals


def judge_labels(
    rows: NDArray[np.int64], given: NDArray[np.integer], totals: Float, count: NDArray[np.int64], divided: bool
) -> LeaveOneOut:
    """What is to be said of some labelled rows, from what the labels of the others bring to them.

    totals: (r, c) mass that arrives from each class. count: (c,) its labels. divided: whether totals are by it."""
    found, reached = distributions(totals)
    shares = found.astype(np.float64)
    own, everyone = given[rows].astype(np.int64), np.arange(rows.size)
    share = np.where(reached, shares[everyone, own], 0)
    judged = reached & (count[own] > 1)
    rest = np.repeat(count[None], rows.size, axis=0)
    rest[everyone, own] -= 1
    others = shares if divided else shares / np.maximum(rest, 1)
    others = others / others.sum(axis=1, keepdims=True)
    kept = others[everyone, own].copy()
    others[everyone, own] = 0
    return LeaveOneOut(
        rows=rows,
        num_labelled=int(count.sum()),
        given=own,
        label=np.where(reached, shares.argmax(axis=1), UNLABELED),
        certainty=np.where(reached, certainties(shares), 0),
        distribution=shares,
        share=share,
        judged=judged,
        suspicion=np.where(judged, others.max(axis=1, initial=0) - kept, NOT_JUDGED),
    )


def _least_supported(
    propagation: Propagation, given: NDArray[np.integer], labelled: NDArray[np.int64], most: int
) -> NDArray[np.int64]:
    shares = propagation.pseudo_labels.distribution[labelled, given[labelled]]
    return np.sort(labelled[np.argsort(shares, kind="stable")[:most]])


def _check_rows(rows: ArrayLike, given: NDArray[np.integer]) -> NDArray[np.int64]:
    asked = np.unique(np.asarray(rows, np.int64))
    outside = asked[(asked < 0) | (asked >= given.size)]
    without = outside if outside.size else asked[given[asked] == UNLABELED]
    if without.size:
        do = "leave one out looks at rows with a given label only"
        raise ConfigError("C83", "rows without a label", rows=without.tolist(), do=do)
    return asked
