"""Terms that a method adds up to its loss."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from ..conventions import UNLABELED
from ..nets import Output
from .targets import BatchTargets


def weighted_cross_entropy(output: Output, targets: BatchTargets) -> torch.Tensor:
    """Sum over the batch of weight * class weight of the label * cross-entropy, divided by the batch size.

    The paper's L_w: labelled rows have weight 1, pseudo-labelled ones their certainty, and both kinds the inverse
    population of their class. Rows without a label count in the batch size alone.
    Released code helpers.py:206-209: sum, then divided by the whole batch.
    """
    loss = F.cross_entropy(output.logits, targets.label, ignore_index=UNLABELED, reduction="none")
    return (loss * targets.weight).sum() / targets.label.shape[0]
