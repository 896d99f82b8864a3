"""Which rows are worth a person's answer most: unsure ones, whose label would move much, of classes with few labels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...graph import Graph, PseudoLabels
from .incremental import Spreading

LEAD = 600  # rows at the head of the queue that are spread over the graph
POOL = 3000  # rows that they are chosen from
Float = NDArray[np.floating]


def doubt(distribution: Float) -> Float:
    """(n,) how near the second class is to the first: share over share, 0 to 1; 1 where no label reaches.

    Entropy hardly tells rows apart: with alpha near 1 all distributions are nearly even, and 1 - H / log c is nearly 0
    for each. The ratio does not mind.
    """
    if distribution.shape[1] == 1:
        return np.zeros(len(distribution))
    two = -np.partition(-distribution, 1, axis=1)[:, :2]
    return np.divide(two[:, 1], two[:, 0], out=np.ones(len(two)), where=two[:, 0] > 0)


def score_rows(spreading: Spreading, found: PseudoLabels) -> Float:
    """(n,) what an answer for each row is worth, from 0 up: its doubt, times what a label there would move, divided by
    the labels that its class has. found: what the graph says now.

    A label at row i brings (I - alpha W)^-1_ij to row j, where `mass` of labels is already: it moves the share of j by
    about their ratio. Summed over the doubts of all rows, and by symmetry of the matrix, that is one solution for
    all i: (I - alpha W)^-1 (doubt / mass).
    In paper mode a class spreads in proportion to its labels, so unequal numbers cost more than any single row can
    bring: the class that the graph says now stands for the one that the person will say (docs/review.md has figures).
    Rows of a part of the graph without a label come before all others, the largest part first: nothing else gives them
    a label. Lone rows without an edge come last.
    """
    graph, node = spreading.graph, spreading.graph.node
    unsure, mass = doubt(found.distribution), spreading.mass
    labelled = np.zeros(graph.num_components, bool)
    labelled[graph.component[node[spreading.label >= 0]]] = True
    reached = labelled[graph.component]
    typical = float(np.median(mass[reached])) if reached.any() else 1.0
    mass = np.where(reached, mass + typical, typical)
    target = np.bincount(node, unsure, mass.size) / mass
    moved = spreading.solve_roughly(target)
    label = spreading.label[spreading.label >= 0]
    count = np.bincount(label, minlength=spreading.num_classes)
    value = unsure * moved[node] / (1 + count[np.maximum(found.label, 0)])
    return _lift_parts(value, graph, reached)


def _lift_parts(value: Float, graph: Graph, reached: NDArray[np.bool_]) -> Float:
    """Rows that no label reaches: above all others, by the size of their part; 0 where it is a lone node."""
    size = np.bincount(graph.component[graph.node], minlength=graph.num_components)
    nodes = np.bincount(graph.component, minlength=graph.num_components)
    outside = ~reached[graph.node]
    if not outside.any():
        return value
    top = float(value[~outside].max(initial=0)) or 1.0
    part = graph.component[graph.node[outside]]
    inside = value[outside] / max(float(value[outside].max()), 1e-300)
    value = value.copy()
    value[outside] = np.where(nodes[part] > 1, top * (1 + size[part] + inside / 2), 0)
    return value


def order_rows(
    score: Float, candidates: NDArray[np.int64], graph: Graph, reached: NDArray[np.bool_]
) -> NDArray[np.int64]:
    """The candidates by score, the first LEAD of them so that a page is not one clump.

    They are taken one by one; what is taken lowers the score of its neighbours, by the weight of the edge, and of the
    other rows of a part that no label reached. Copies of one row follow after all others. reached: (n,) bool.
    """
    order = candidates[np.argsort(-score[candidates], kind="stable")]
    first = np.unique(graph.node[order], return_index=True)[1]
    is_copy = np.ones(order.size, bool)
    is_copy[first] = False
    order, copies = order[~is_copy], order[is_copy]
    pool = order[:POOL]
    lead = _spread_out(score[pool].astype(np.float64), graph.node[pool], graph, ~reached[pool])
    taken = np.zeros(pool.size, bool)
    taken[lead] = True
    return np.concatenate([pool[lead], pool[~taken], order[POOL:], copies])


def _spread_out(value: Float, nodes: NDArray[np.int64], graph: Graph, lost: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Places in `value` of the first LEAD, in order. nodes: of each place. lost: whether no label reaches it."""
    place = np.full(graph.affinity.shape[0], -1)
    place[nodes] = np.arange(nodes.size)
    component = graph.component[nodes]
    w, taken = graph.affinity, []
    for _ in range(min(LEAD, value.size)):
        best = int(value.argmax())
        taken.append(best)
        value[best] = -np.inf
        span = slice(*w.indptr[nodes[best] : nodes[best] + 2])
        near, weight = place[w.indices[span]], w.data[span]
        known = near >= 0
        if known.any():
            value[near[known]] *= 1 - 0.9 * np.clip(weight[known] / weight.max(), 0, 1)
        if lost[best]:
            value[component == component[best]] *= 1e-9
    return np.array(taken, np.int64)
