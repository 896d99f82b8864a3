"""What a propagation over partitions says at the end, under the names of one machine's results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..conventions import UNLABELED
from ..graph.compiled.solver import Health
from ..graph.label_matrix import CheckedLabels
from ..runs.table import BINS
from .layout import Layout
from .run import Run

if TYPE_CHECKING:
    from .propagate import Task


def describe_labels(task: Task, checked: CheckedLabels, parts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """How many rows got which class, and how certain they are. parts: counts of the partitions."""
    total, count = np.sum([part["certainty"] for part in parts], axis=0)
    given = checked.label[checked.label != UNLABELED]
    histogram = np.sum([part["histogram"] for part in parts], axis=0).tolist()
    return {
        "class_names": list(task.class_names),
        "num_rows": sum(part["rows"] for part in parts),
        "num_labeled": int(given.size),
        "class_counts": {
            "given": np.bincount(given, minlength=checked.num_classes).tolist(),
            "propagated": np.sum([part["classes"] for part in parts], axis=0).tolist(),
        },
        "certainty": float(total / count) if count else None,
        "certainty_right": None,
        "certainty_wrong": None,
        "certainty_histogram": {
            "edges": np.linspace(0, 1, BINS + 1).round(6).tolist(),
            "all": histogram,
            "right": None,
            "wrong": None,
        },
        "unreached": sum(part["missed"] for part in parts),
        "tied": sum(part["tied"] for part in parts),
    }


def describe_health(facts: Mapping[str, Any], layout: Layout, health: Health) -> dict[str, Any]:
    """Graph, solver and search. facts: of the run that solved it."""
    number, count = _join_degrees([part["degrees"] for part in facts["degrees"]])
    clusters = layout.start.size - 1
    search = {"n_neighbors": facts["n_neighbors"], "recall": facts["recall"], "num_probes": facts["num_probes"]}
    return {
        "graph": {
            "num_nodes": layout.num_nodes,
            "num_edges": int(number @ count) // 2,
            "num_components": facts["components"],
            "num_isolated": int(count[number == 0].sum()),
            "degree_min": int(number[0]),
            "degree_median": _find_median(number, count),
            "degree_max": int(number[-1]),
        },
        "solver": {
            "steps": health.steps.tolist(),
            "residual": health.residual.tolist(),
            "converged": health.converged.tolist(),
            "unresolved": facts["unresolved"],
        },
        "search": {**search, "num_cells": clusters},
        "recall": 100 * facts["recall"],
        "refined": facts.get("refined"),
    }


def _join_degrees(parts: Sequence[Sequence[Sequence[int]]]) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of neighbours, ascending, and how many nodes have so many."""
    numbers = np.concatenate([np.array(part[0], np.int64) for part in parts])
    number, place = np.unique(numbers, return_inverse=True)
    counts = np.concatenate([np.array(part[1], np.int64) for part in parts])
    return number, np.bincount(place, counts).astype(np.int64)


def _find_median(number: np.ndarray, count: np.ndarray) -> float:
    ends, total = np.cumsum(count), int(count.sum())
    middle = [number[np.searchsorted(ends, at, "right")] for at in ((total - 1) // 2, total // 2)]
    return float(np.mean(middle))


def describe_work(run: Run, layout: Layout) -> dict[str, Any]:
    """What the workers had to do."""
    return {
        "cluster": {
            "partitions": layout.num_partitions,
            "others": [part["others"] for part in run.facts.get("halo", [])],
            "rows_read": run.facts.get("rows_read", 0),
            "restarts": run.facts.get("restarts", 0),
            "peak_mib": run.engine.peak_mib(),
            "cpu_seconds": {name: round(spent, 2) for name, spent in run.engine.cpu_seconds.items()},
        },
    }
