"""What each row is trained towards: the one value through which pseudo-labels reach the training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch

from ..conventions import UNLABELED
from ..graph import Propagation


class BatchTargets(NamedTuple):
    """Of some rows: label (b,) int64, -1 for none; weight (b,) float32, the row's weight times its class weight."""

    label: torch.Tensor
    weight: torch.Tensor

    def of(self, rows: torch.Tensor) -> BatchTargets:
        return BatchTargets(self.label.index_select(0, rows), self.weight.index_select(0, rows))


@dataclass(frozen=True)
class Targets:
    """Of all rows, for one epoch.

    label: (n,) int64, -1 for none. weight: (n,) float64, 1 on labelled rows, certainty on pseudo-labelled ones, 0 where
    there is no label. class_weight: (c,) float64. propagation: where the labels come from; None if all are given, or
    if they were read back from a checkpoint.
    """

    label: np.ndarray
    weight: np.ndarray
    class_weight: np.ndarray
    propagation: Propagation | None = None

    def on(self, device: torch.device) -> BatchTargets:
        """All rows as tensors on the device; class weights are multiplied in."""
        per_row = np.where(self.label == UNLABELED, 0, self.weight * self.class_weight[self.label])
        return BatchTargets(
            torch.from_numpy(self.label).to(device), torch.from_numpy(per_row.astype(np.float32)).to(device)
        )


def given_targets(labels: np.ndarray, num_classes: int) -> Targets:
    """Targets of the labelled rows alone, all with weight 1."""
    return Targets(labels, (labels != UNLABELED).astype(np.float64), np.ones(num_classes))


def propagated_targets(propagation: Propagation) -> Targets:
    """Targets of all rows that a label reaches, weighted by certainty and by inverse class population.

    Class weights are scaled so that their mean over the rows is 1. The paper sums over all rows and the loop averages
    over a batch; the factor n / c between the two is the released code's (lp/db_semisuper.py:335-337), so both modes
    train with the same steps.
    """
    found = propagation.pseudo_labels
    mean = found.class_weight[found.label[found.reached]].mean()
    return Targets(found.label, found.certainty, found.class_weight / mean, propagation)
