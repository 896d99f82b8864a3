"""Lists of neighbours and labels -> what each node of one graph gets, over partitions."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp

from ..conventions import UNLABELED
from ..graph.affinity import negative_degree, warn_of_lost_rows
from ..graph.compiled.solver import Health
from ..graph.label_matrix import CheckedLabels, build_label_matrix
from ..graph.settings import GraphSettings
from ..graph.system import TWO_LEVELS_FROM, fill_rings, warn_of_contradictions
from . import affinity, labels
from .layout import Layout
from .run import Run
from .solve import solve


def find_nodes(run: Run, layout: Layout, checked: CheckedLabels) -> np.ndarray:
    """(l, 2) the labelled rows, ascending, and their nodes. Warns of nodes with labels that differ."""
    given = np.flatnonzero(checked.label != UNLABELED)
    run.store.put("given", np.stack([given, checked.label[given]], axis=1))
    found = [np.array(part).reshape(-1, 2) for part in run.each("given", labels.find_given, _each(run, layout))]
    pairs = np.concatenate(found).astype(np.int64)
    pairs = pairs[np.argsort(pairs[:, 0])]
    warn_of_contradictions(checked.label[pairs[:, 0]], pairs[:, 1])
    return pairs


def label_matrix_of(
    layout: Layout,
    checked: CheckedLabels,
    pairs: np.ndarray,
    settings: GraphSettings,
    weight: np.ndarray | None = None,
) -> sp.csc_array:
    """Y. pairs: as of find_nodes. weight: (l,) of these labels."""
    known = CheckedLabels(checked.label[pairs[:, 0]], checked.num_classes, weight)
    return build_label_matrix(known, pairs[:, 1], layout.num_nodes, settings.rules)


def solve_and_fill(run: Run, settings: GraphSettings, layout: Layout, label_matrix: sp.csc_array) -> Health:
    """Z of a graph whose W is there, and the unresolved nodes filled: all in files of the run."""
    health = _solve(run, settings, layout, label_matrix)
    _fill(run, settings, layout, label_matrix)
    return health


def weigh(run: Run, settings: GraphSettings, layout: Layout, powered: affinity.Powered) -> None:
    """W's rows of every partition."""
    tasks = _each(run, layout, powered)
    run.each("edges", affinity.turn_lists, tasks)
    found = run.each("measure-degrees", affinity.measure, tasks)
    negative = sorted(row for part in found for row in part["negative"])
    if negative:
        raise negative_degree(negative)
    warn_of_lost_rows(sum(part["lost"] for part in found), settings.gamma)
    run.facts["degrees"] = found
    run.facts["halo"] = run.each("weigh", affinity.weigh, tasks)
    run.store.remove("edges*")
    if _has_two_levels(settings, layout):
        run.each("coarsen", affinity.coarsen, _each(run, layout))


def _has_two_levels(settings: GraphSettings, layout: Layout) -> bool:
    return settings.mode == "paper" and layout.groups.size > TWO_LEVELS_FROM


def _solve(run: Run, settings: GraphSettings, layout: Layout, label_matrix: sp.csc_array) -> Health:
    """Z of every partition, in files."""
    how = {"alpha": settings.alpha, "tol": settings.tol, "max_steps": settings.step_limit}

    def compute() -> dict[str, Any]:
        def tell(share: float) -> None:
            run.on_progress("solve", share)

        two_levels = _has_two_levels(settings, layout)
        health, restarts = solve(run.engine, run.store, layout, label_matrix, how, two_levels, tell)
        return {"health": [part.tolist() for part in health], "restarts": restarts}

    answer = run.once("solve", compute)
    run.facts["restarts"] = answer["restarts"]
    steps, residual, converged = answer["health"]
    return Health(np.array(steps), np.array(residual), np.array(converged, bool))


def _fill(run: Run, settings: GraphSettings, layout: Layout, label_matrix: sp.csc_array) -> None:
    """Which nodes a label reaches, and those that the solver did not resolve filled from their neighbours."""
    store, c = run.store, label_matrix.shape[1]
    own = sum(run.each("parts", labels.link_own, _each(run, layout)))
    run.each("links", labels.link_others, _each(run, layout))
    run.facts["components"] = own - run.once("components", lambda: labels.join_parts(store, layout))
    nodes = np.unique(label_matrix.indices)
    reached = labels.component_of(store, affinity.take(store, layout, "part", nodes))
    store.put("labelled", np.unique(reached))
    far: int = sum(run.each("far", labels.find_far, _each(run, layout, c, settings)))
    run.facts["unresolved"] = far

    def fill_all() -> int:
        if not far:
            store.put("filled-nodes", np.empty(0, np.int64))
            store.put("filled-values", np.empty((0, c), np.float32))
            return 0
        labels.fill_fringe(store, layout, sp.csr_array(label_matrix), fill_rings)
        return far

    if far:
        run.each("fringe", labels.take_fringe, _each(run, layout, c))
    run.once("fill", fill_all)


def _each(run: Run, layout: Layout, *more: Any) -> list[tuple[Any, ...]]:
    return [(run.store, p, *more) for p in range(layout.num_partitions)]
