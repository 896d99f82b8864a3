"""Refinements over partitions: workers solve the turns, and what comes is refined where all nodes are seen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from itertools import count
from typing import Any

import numpy as np
import scipy.sparse as sp

from ..graph.compiled.solver import Health
from ..graph.refinement import refine
from ..graph.settings import GraphSettings, Refinement
from ..graph.solver import Solution
from .labels import read_nodes, rows_of
from .layout import Layout
from .run import Run
from .spread import solve_and_fill


def solve_and_refine(
    run: Run, settings: GraphSettings, layout: Layout, label_matrix: sp.csc_array, name_class: Callable[[int], str]
) -> Health:
    """Z of a graph whose W is there, refined as the settings ask, in files of the run; without refinement just Z.

    All distributions are brought here: (nodes, c) float64, and copies. Centred sources and a prior have the bits of one
    machine; a temperature agrees to the solver's tolerance, since turns of held-out labels begin from zero here.
    """
    if settings.refinement == Refinement() or label_matrix.nnz == 0:
        return solve_and_fill(run, settings, layout, label_matrix)
    every, turns, healths = range(layout.num_partitions), count(), []

    def solve(y: sp.csc_array, start: np.ndarray | None) -> tuple[Solution, np.ndarray]:
        turn = run.within(f"turn-{next(turns)}")
        healths.append(solve_and_fill(turn, settings, layout, y))
        z = np.concatenate([read_nodes(turn.store, p, y.shape[1]) for p in every])
        return Solution(z, *healths[-1], np.empty(0)), z

    def compute() -> dict[str, Any]:
        root = np.sqrt(np.concatenate([run.store.get(f"degree-{p}") for p in every]))
        num_rows = np.concatenate([_count_rows(run, layout, p) for p in every])
        found = refine(solve, label_matrix, None, settings.refinement, lambda: root, num_rows, name_class)
        for p in every:
            run.store.put(f"refined-{p}", found.z[slice(*layout.nodes(p))])
        health = [part.tolist() for part in healths[0]]
        return {"refined": None if found.refined is None else asdict(found.refined), "health": health}

    answer = run.once("refine", compute)
    run.facts |= run.within("turn-0").facts | {"refined": answer["refined"]}
    run.facts |= {"components": run.facts.get("components", 0), "unresolved": run.facts.get("unresolved", 0)}
    steps, residual, converged = answer["health"]
    return Health(np.array(steps), np.array(residual), np.array(converged, bool))


def _count_rows(run: Run, layout: Layout, p: int) -> np.ndarray:
    """Rows that share each node of a partition."""
    first, last = layout.nodes(p)
    return np.bincount(rows_of(run.store, layout, p)[1], minlength=last - first)
