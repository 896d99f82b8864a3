"""Every call that the benchmarks make of fewlabels: one place to change where its functions change."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any, Literal
from unittest import mock

import numpy as np
import scipy.sparse as sp

K, GAMMA, ALPHA, STEPS = 50, 3, 0.99, 20


def settings(mode: str, recall: float = 0.995) -> Any:
    """released: 20 solver steps, the peers' recipe. paper: the defaults, solved to 1e-6."""
    from fewlabels import GraphSettings

    return GraphSettings(n_neighbors=K, gamma=GAMMA, alpha=ALPHA, mode=mode, recall=recall, precision="single")


def labels(rows: np.ndarray, given: np.ndarray, mode: str, recall: float) -> np.ndarray:
    """(n,) a label for every row."""
    from fewlabels import propagate

    return propagate(rows, given, settings(mode, recall)).pseudo_labels.label


def neighbors(rows: np.ndarray, k: int, recall: float | Literal["exact"]) -> np.ndarray:
    """(n, k) ids of the neighbours of each row, in the order of the rows."""
    from fewlabels.graph import comparable_rows, nearest_neighbors

    return nearest_neighbors(comparable_rows(rows), k, recall=recall).index


def use_instructions(name: str) -> bool:
    """Let the kernels use this instruction set in this process. False where the processor or the build has none."""
    from fewlabels.errors import ConfigError
    from fewlabels.graph.compiled import SWITCH, instructions

    os.environ[SWITCH] = name
    try:
        return instructions() == name
    except ConfigError:
        return False


# The functions of the search in two stages that the seconds of each stage are of.
SEARCH_STAGES = {
    "true neighbours of a sample": ("find_true",),
    "basis": ("fit_basis",),
    "codes": ("encode", "as_points"),
    "clusters": ("make_centres", "assign"),
    "probes": ("rank_truth", "find_positions", "choose_plan", "search_codes"),
    "codes compared, candidates ranked": ("_search",),
}


@contextmanager
def search_stages(found: dict[str, list[float]]) -> Iterator[None]:
    """Add to found[stage] the seconds by the clock and of all cores that searches spend in each of SEARCH_STAGES.

    A function called within another counts for the outer one.
    """
    from fewlabels.graph.compiled import coded

    depth = [0]

    def timed(stage: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def work(*arguments: Any) -> Any:
            depth[0] += 1
            start, cpu = time.perf_counter(), time.process_time()
            try:
                return call(*arguments)
            finally:
                depth[0] -= 1
                if not depth[0]:
                    spent = found.setdefault(stage, [0.0, 0.0])
                    spent[0] += time.perf_counter() - start
                    spent[1] += time.process_time() - cpu

        return work

    with ExitStack() as stack:
        for stage, names in SEARCH_STAGES.items():
            for name in names:
                stack.enter_context(mock.patch.object(coded, name, timed(stage, getattr(coded, name))))
        yield


def forecast(rows: int, dimensions: int, threads: int) -> float:
    """The seconds that the search is forecast to take."""
    from fewlabels.graph import estimate

    return float(estimate(rows, dimensions, 10, settings("paper"), threads=threads).stage_seconds["neighbors"])


def graph(rows: np.ndarray, mode: str = "released") -> Any:
    """The graph, its nodes in the order that the solver likes best: graph.node has the node of each row."""
    from fewlabels.graph import build_graph

    return build_graph(rows, settings(mode))


def solve(affinity: sp.csr_array, y: sp.csc_array, tol: float, max_steps: int, held: Any, coarse: bool = False) -> Any:
    """The Solution of (I - alpha W) Z = Y: block conjugate gradients for all columns of y, (m, c).

    held: the graph of this affinity, or None for a matrix in another order. coarse: with the two-level preconditioner
    of the graph's groups, which is made anew each time.
    """
    from fewlabels.graph.compiled.solver import CompiledOperator
    from fewlabels.graph.types import even_groups

    groups = even_groups(y.shape[0]) if held is None else held.groups
    operator = CompiledOperator(affinity, ALPHA, groups, held.root_degree if coarse else None)
    return operator.solve(y, tol=tol, max_steps=max_steps)


def cold(rows: np.ndarray, given: np.ndarray, tol: float) -> Any:
    """A Propagation from descriptors, in paper mode, from nothing."""
    from fewlabels import propagate

    return propagate(rows, given, replace(settings("paper"), tol=tol))


def refreshed(rows: np.ndarray, given: np.ndarray, tol: float, last: Any) -> Any:
    """A Propagation from moved descriptors that starts from `last`, the one before they moved."""
    from fewlabels.graph import build_graph, spread

    chosen = replace(settings("paper"), tol=tol)
    moved = build_graph(rows, chosen, previous=last.graph)
    start = np.zeros((moved.affinity.shape[0], last.solution.x.shape[1]), last.solution.x.dtype)
    start[moved.node] = last.solution.x[last.graph.node]  # nodes may be numbered anew
    return spread(moved, given, chosen, start=start)
