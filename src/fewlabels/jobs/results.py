"""What a training run ends with: the content of results.json but for time and memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..data.notes import counts
from ..graph import Propagation
from ..insights.compute import reliability_of
from .measures import accuracy_percent, certainty, class_counts, health
from .task import Task


def results_of(task: Task, final: Propagation, epochs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The final pseudo-labels are made by the final network: they are the ones that are written."""
    spread = [epoch for epoch in epochs if "mean_certainty" in epoch]
    first = spread[0] if spread else {}
    trust = reliability_of(final, task.labels, task.truth) or {}
    return {
        "class_names": list(task.class_names),
        "num_rows": len(task.labels),
        "num_labeled": task.num_labeled,
        "num_test": task.num_test,
        "num_rejected": len(task.rejected),
        "notes": counts(task.notes),
        **_errors(epochs),
        "pseudo_label_accuracy_first": first.get("pseudo_label_accuracy"),
        "certainty_right_first": first.get("certainty_right"),
        "certainty_wrong_first": first.get("certainty_wrong"),
        "pseudo_label_accuracy_last": accuracy_percent(final.pseudo_labels.label, task.labels, task.truth),
        "class_counts": class_counts(final.pseudo_labels.label, task.labels, len(task.class_names)),
        **certainty(final, task.labels, task.truth),
        "certainty_auroc": trust.get("auroc"),
        "certainty_ece": trust.get("ece"),
        **health(final),
    }


def _errors(epochs: Sequence[dict[str, Any]]) -> dict[str, float | None]:
    """<method>_error, and <method>_teacher_error where one teaches: of the last epoch of each phase, never the best."""
    errors: dict[str, float | None] = {}
    for epoch in epochs:
        errors[f"{epoch['phase']}_error"] = epoch["test_error"]
        if epoch["teacher_test_error"] is not None:
            errors[f"{epoch['phase']}_teacher_error"] = epoch["teacher_test_error"]
    return errors
