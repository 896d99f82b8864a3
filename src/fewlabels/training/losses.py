"""The losses that methods add up: plain functions of what a step has computed."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F

from ..conventions import UNLABELED
from ..nets import Output
from .targets import BatchTargets


class LossInputs(NamedTuple):
    """What the losses of one step are computed from.

    student: the network's output for the first view of the batch. targets: of its rows.
    teaching: (b, c) probabilities by the teacher for the second view, without gradient; None without a teacher.
    weight: () float32, of the consistency loss in this epoch.
    """

    student: Output
    targets: BatchTargets
    teaching: torch.Tensor | None
    weight: torch.Tensor


def weighted_cross_entropy(inputs: LossInputs) -> torch.Tensor:
    """Sum over the batch of weight * class weight of the label * cross-entropy, divided by the batch size.

    The paper's L_w: labelled rows have weight 1, pseudo-labelled ones their certainty, and both kinds the inverse
    population of their class. Rows without a label count in the batch size alone.
    Released code helpers.py:206-209: sum, then divided by the whole batch.
    """
    targets = inputs.targets
    loss = F.cross_entropy(inputs.student.logits.float(), targets.label, ignore_index=UNLABELED, reduction="none")
    return (loss * targets.weight).sum() / targets.label.shape[0]


def consistency(inputs: LossInputs) -> torch.Tensor:
    """Mean squared difference of the student's probabilities (second head, if any) from the teacher's, weighted.

    All rows, labelled ones too: sum over batch and classes, divided by both. Released code losses.py:16-28,
    helpers.py:178-179, 193-197.
    """
    assert inputs.teaching is not None
    return inputs.weight * F.mse_loss(inputs.student.consistency.float().softmax(dim=1), inputs.teaching)


def logit_distance(inputs: LossInputs) -> torch.Tensor:
    """Mean squared difference between the two heads, with gradient to both. Released code losses.py:45-55."""
    return F.mse_loss(inputs.student.logits.float(), inputs.student.consistency.float())
