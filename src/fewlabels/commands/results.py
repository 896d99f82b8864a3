"""Numbers and the table that a run ends with: results.json but for time and memory, and pseudo_labels.parquet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from ..choosing import Answer
from ..conventions import UNLABELED
from ..data.notes import Note, counts
from ..graph import Propagation, Search
from ..insights.compute import measure_reliability
from ..runs.table import BINS, Ids, PseudoLabelTable

if TYPE_CHECKING:
    from .task import Task


def propagation_results(
    propagation: Propagation | Answer,
    given: np.ndarray,
    class_names: Sequence[str],
    notes: Sequence[Note],
    truth: np.ndarray | None = None,
) -> dict[str, Any]:
    """What every run says of its pseudo-labels: how many rows, labels and notes, certainty, health of graph and solver.

    given, truth: (n,) int64, -1 for none. notes: of odd input, counted by code. Of an Answer, health is that of its
    graph with the largest share; nothing is said of it where no graph answers.
    """
    solved = propagation.propagation if isinstance(propagation, Answer) else propagation
    return {
        "class_names": list(class_names),
        "num_rows": int(given.size),
        "num_labeled": int((given != UNLABELED).sum()),
        "notes": counts(notes),
        "class_counts": count_classes(propagation.pseudo_labels.label, given, len(class_names)),
        **measure_certainty(propagation, given, truth),
        **({} if solved is None else measure_health(solved)),
        "unreached": int((~propagation.pseudo_labels.reached).sum()),
        "tied": propagation.pseudo_labels.num_tied,
    }


def training_results(task: Task, final: Propagation, epochs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The same of a network's run, with its test errors. final: the labels by the final network, which are written.

    epochs: its epoch events, in order.
    """
    first = next((epoch for epoch in epochs if "mean_certainty" in epoch), {})
    trust = measure_reliability(final, task.labels, task.truth) or {}
    return {
        **propagation_results(final, task.labels, task.class_names, task.notes, task.truth),
        "num_test": task.num_test,
        "num_rejected": len(task.rejected),
        **_list_errors(epochs),
        "pseudo_label_accuracy_first": first.get("pseudo_label_accuracy"),
        "certainty_right_first": first.get("certainty_right"),
        "certainty_wrong_first": first.get("certainty_wrong"),
        "pseudo_label_accuracy_last": accuracy_percent(final.pseudo_labels.label, task.labels, task.truth),
        "certainty_auroc": trust.get("auroc"),
        "certainty_ece": trust.get("ece"),
    }


def _list_errors(epochs: Sequence[dict[str, Any]]) -> dict[str, float | None]:
    """<method>_error, and <method>_teacher_error where one teaches: of the last epoch of each phase, never the best."""
    errors: dict[str, float | None] = {}
    for epoch in epochs:
        errors[f"{epoch['phase']}_error"] = epoch["test_error"]
        if epoch["teacher_test_error"] is not None:
            errors[f"{epoch['phase']}_teacher_error"] = epoch["teacher_test_error"]
    return errors


def make_table(
    propagation: Propagation | Answer,
    given: np.ndarray,
    ids: Ids,
    class_names: Sequence[str],
    *,
    is_calibrated: bool = False,
) -> PseudoLabelTable:
    """The pseudo-labels of all rows, with their ids. given: (n,) int64, -1 where the label is not the user's.

    is_calibrated: their distributions were fitted on held-out labels, so that the table tells probabilities.
    """
    found, is_given = propagation.pseudo_labels, given != UNLABELED
    probability = np.where(is_given, 1.0, np.where(found.reached, found.distribution.max(axis=1), 0.0))
    return PseudoLabelTable(
        id=ids,
        label=found.label,
        certainty=found.certainty,
        given=is_given,
        reached=found.reached,
        class_names=class_names,
        probability=probability if is_calibrated else None,
    )


def accuracy_percent(label: np.ndarray, given: np.ndarray, truth: np.ndarray | None) -> float | None:
    """Share of right pseudo-labels in percent, over the rows that were not given a label and whose truth is known.

    label, given, truth: (n,) int64, -1 for none. A row without a pseudo-label counts as wrong.
    """
    if truth is None:
        return None
    asked = (given == UNLABELED) & (truth != UNLABELED)
    return float(100 * (label == truth)[asked].mean()) if asked.any() else None


def measure_health(propagation: Propagation) -> dict[str, Any]:
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
        **_measure_search(propagation.graph.search),
        "unreached": int((~propagation.pseudo_labels.reached).sum()),
        "tied": propagation.pseudo_labels.num_tied,
    }


def _measure_search(search: Search | None) -> dict[str, Any]:
    """How the neighbours were found, and the share of the true ones among them in percent."""
    if search is None:
        return {}
    found = asdict(search)
    found["num_cells"] = found.pop("num_clusters")  # the key of results.json
    return {"search": found, "recall": 100 * search.recall}


def measure_certainty(propagation: Propagation | Answer, given: np.ndarray, truth: np.ndarray | None) -> dict[str, Any]:
    """Mean and histogram of the certainty of pseudo-labels; where truth is known, of right and wrong ones apart."""
    found = propagation.pseudo_labels
    asked = given == UNLABELED
    edges = np.linspace(0, 1, BINS + 1)

    def histogram(rows: np.ndarray) -> list[int]:
        return [int(count) for count in np.histogram(found.certainty[rows], edges)[0]]

    right = wrong = None
    if truth is not None:
        known = asked & (truth != UNLABELED)
        right, wrong = known & (found.label == truth), known & (found.label != truth)
    return {
        "certainty": _find_mean(found.certainty[asked]),
        "certainty_right": None if right is None else _find_mean(found.certainty[right]),
        "certainty_wrong": None if wrong is None else _find_mean(found.certainty[wrong]),
        "certainty_histogram": {
            "edges": edges.round(6).tolist(),
            "all": histogram(asked),
            "right": None if right is None else histogram(right),
            "wrong": None if wrong is None else histogram(wrong),
        },
    }


def count_classes(label: np.ndarray, given: np.ndarray, num_classes: int) -> dict[str, list[int]]:
    """How many rows of each class were given their label, and how many got it by propagation."""
    spread = label[(given == UNLABELED) & (label != UNLABELED)]
    return {
        "given": np.bincount(given[given != UNLABELED], minlength=num_classes).tolist(),
        "propagated": np.bincount(spread, minlength=num_classes).tolist(),
    }


def _find_mean(values: np.ndarray) -> float | None:
    return float(values.mean()) if values.size else None
