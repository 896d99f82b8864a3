"""What a training run ends with: the content of results.json but for time and memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from safetensors.torch import save
from torch import nn

from ..conventions import UNLABELED
from ..data.images.pictures import thumbnail
from ..data.notes import counts
from ..graph import GraphSettings, Propagation
from ..insights.compute import Material, reliability_of
from ..runs import PseudoLabelTable
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


@dataclass(frozen=True)
class Final:
    """Labels for every row by the final network, and its descriptors (n, d) float32, which they come from."""

    propagation: Propagation
    descriptors: np.ndarray

    def material(self, task: Task, settings: GraphSettings) -> Material:
        """What the report is made from."""
        return Material(
            self.propagation,
            task.labels,
            task.truth,
            len(task.class_names),
            self.descriptors,
            settings,
            lambda row: task.ids[row],
            lambda row: thumbnail(task.pixels[row]),
        )


def table_of(
    propagation: Propagation, given: np.ndarray, ids: Sequence[str], class_names: Sequence[str]
) -> PseudoLabelTable:
    """The rows of a propagation as a table. given: (n,) int64, -1 where the label is not the user's."""
    found = propagation.pseudo_labels
    return PseudoLabelTable(ids, found.label, found.certainty, given != UNLABELED, found.reached, class_names)


def weights_of(network: nn.Module) -> bytes:
    """The content of model.safetensors."""
    return save({name: tensor.cpu().contiguous() for name, tensor in network.state_dict().items()})
