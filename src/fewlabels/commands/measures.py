"""Numbers that describe a propagation: for results.json, the report and the table at the end."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import numpy as np

from ..conventions import UNLABELED
from ..graph import Graph, Propagation

BINS = 20


def clock(begun: float, before: float) -> Callable[[], float]:
    """Seconds that a run has taken until it is asked: since `begun` (time.perf_counter) and in sittings before."""
    return lambda: before + time.perf_counter() - begun


def accuracy_percent(label: np.ndarray, given: np.ndarray, truth: np.ndarray | None) -> float | None:
    """Share of right pseudo-labels in percent, over the rows that were not given a label and whose truth is known.

    label, given, truth: (n,) int64, -1 for none. A row without a pseudo-label counts as wrong.
    """
    if truth is None:
        return None
    asked = (given == UNLABELED) & (truth != UNLABELED)
    return float(100 * (label == truth)[asked].mean()) if asked.any() else None


def health(propagation: Propagation) -> dict[str, Any]:
    """Size and connectedness of the graph, and steps, residual and convergence of the solver for each class."""
    degree, solution = propagation.graph.degree, propagation.solution
    return {
        "graph": {
            "num_nodes": degree.size,
            "num_edges": int(degree.sum()) // 2,
            "num_components": propagation.graph.num_components,
            "num_isolated": int((degree == 0).sum()),
            "degree_min": int(degree.min()),
            "degree_median": float(np.median(degree)),
            "degree_max": int(degree.max()),
        },
        "solver": {
            "steps": solution.num_steps.tolist(),
            "residual": solution.residual.tolist(),
            "converged": solution.converged.tolist(),
        },
        **_search(propagation.graph),
        "unreached": int((~propagation.pseudo_labels.reached).sum()),
        "tied": propagation.pseudo_labels.num_tied,
    }


def _search(graph: Graph) -> dict[str, Any]:
    """How the neighbours were found, and the share of the true ones among them in percent."""
    if graph.search is None:
        return {}
    search = asdict(graph.search)
    search["num_cells"] = search.pop("num_clusters")  # the key of results.json
    return {"search": search, "recall": 100 * graph.search.recall}


def certainty(propagation: Propagation, given: np.ndarray, truth: np.ndarray | None) -> dict[str, Any]:
    """Mean and histogram of the certainty of pseudo-labels; where truth is known, of right and wrong ones apart."""
    found = propagation.pseudo_labels
    asked = given == UNLABELED
    edges = np.linspace(0, 1, BINS + 1)

    def counts(rows: np.ndarray) -> list[int]:
        return [int(count) for count in np.histogram(found.certainty[rows], edges)[0]]

    right = wrong = None
    if truth is not None:
        known = asked & (truth != UNLABELED)
        right, wrong = known & (found.label == truth), known & (found.label != truth)
    return {
        "certainty": _mean(found.certainty[asked]),
        "certainty_right": None if right is None else _mean(found.certainty[right]),
        "certainty_wrong": None if wrong is None else _mean(found.certainty[wrong]),
        "certainty_histogram": {
            "edges": edges.round(6).tolist(),
            "all": counts(asked),
            "right": None if right is None else counts(right),
            "wrong": None if wrong is None else counts(wrong),
        },
    }


def class_counts(label: np.ndarray, given: np.ndarray, num_classes: int) -> dict[str, list[int]]:
    """How many rows of each class were given their label, and how many got it by propagation."""
    spread = label[(given == UNLABELED) & (label != UNLABELED)]
    return {
        "given": np.bincount(given[given != UNLABELED], minlength=num_classes).tolist(),
        "propagated": np.bincount(spread, minlength=num_classes).tolist(),
    }


def peak_memory_mib() -> float:
    """Largest resident size of this process so far, in MiB."""
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def _mean(values: np.ndarray) -> float | None:
    return float(values.mean()) if values.size else None
