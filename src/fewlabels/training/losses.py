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
    weight: () float32, of the consistency loss in this epoch. given: (b,) bool, which rows came with a label.
    threshold: (c,) float32, from which probability on the teacher's word counts; None where all of it does.
    """

    student: Output
    targets: BatchTargets
    teaching: torch.Tensor | None
    weight: torch.Tensor
    given: torch.Tensor
    threshold: torch.Tensor | None = None


def weighted_cross_entropy(inputs: LossInputs) -> torch.Tensor:
    """Sum over the batch of weight * class weight of the label * cross-entropy, divided by the batch size.

    The paper's L_w: labelled rows have weight 1, pseudo-labelled ones their certainty, and both kinds the inverse
    population of their class. Rows without a label count in the batch size alone.
    Released code helpers.py:206-209: sum, then divided by the whole batch.
    """
    targets = inputs.targets
    return (_cross_entropy(inputs, targets.label) * targets.weight).sum() / targets.label.shape[0]


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


def labeled_cross_entropy(inputs: LossInputs) -> torch.Tensor:
    """Mean over the rows with a given label of weight * class weight * cross-entropy: FixMatch, eq. 3."""
    return _average(_cross_entropy(inputs, inputs.targets.label) * inputs.targets.weight, inputs.given)


def match_graph(inputs: LossInputs) -> torch.Tensor:
    """Mean over the other rows of certainty * class weight * cross-entropy with the graph's label, times the weight.

    The paper's L_w of pseudo-labelled rows. Rows that no label reaches count as 0.
    """
    loss = _cross_entropy(inputs, inputs.targets.label) * inputs.targets.weight
    return inputs.weight * _average(loss, ~inputs.given)


def match_teacher(inputs: LossInputs) -> torch.Tensor:
    """Mean over rows without a given label of the cross-entropy with the teacher's label, if it is sure, weighted.

    FixMatch, eq. 4: 1[max q >= threshold] * H(argmax q, p of the strong view). Rows that it is not sure of count as 0.
    """
    assert inputs.teaching is not None
    return _match(inputs, inputs.teaching)


def match_both(inputs: LossInputs) -> torch.Tensor:
    """The same with (1 - w) * teacher + w * graph, w the certainty of the graph's label.

    Where the two agree the sum is surer than the teacher alone, and where they do not, less sure than the surer of
    them: one threshold asks for both. Class weights of the targets must be 1.
    """
    assert inputs.teaching is not None
    certainty = inputs.targets.weight[:, None]  # 0 for a row out of reach
    says = inputs.targets.label[:, None] == torch.arange(inputs.teaching.shape[1], device=certainty.device)
    return _match(inputs, (1 - certainty) * inputs.teaching + certainty * says)


def _match(inputs: LossInputs, share: torch.Tensor) -> torch.Tensor:
    """share: (b, c), what pseudo-labels are taken from."""
    assert inputs.threshold is not None
    most, label = share.max(dim=1)
    sure = most >= inputs.threshold[label]
    return inputs.weight * _average(_cross_entropy(inputs, label) * sure, ~inputs.given)


def _cross_entropy(inputs: LossInputs, label: torch.Tensor) -> torch.Tensor:
    """(b,), 0 where there is no label."""
    return F.cross_entropy(inputs.student.logits.float(), label, ignore_index=UNLABELED, reduction="none")


def _average(loss: torch.Tensor, counted: torch.Tensor) -> torch.Tensor:
    """Mean over the counted rows, 0 without any. Of several processes each takes the mean of its own rows."""
    return (loss * counted).sum() / counted.sum().clamp_min(1)
