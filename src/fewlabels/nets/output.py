"""What every network of fewlabels gives for a batch of images."""

from __future__ import annotations

from typing import NamedTuple

import torch


class Output(NamedTuple):
    """logits: (b, c) float32, scores of the classes. descriptor: (b, d) float32, the input of the last linear layer.

    consistency_logits: (b, c) float32 of a second head, where the network has one (Mean Teacher's double output).
    """

    logits: torch.Tensor
    descriptor: torch.Tensor
    consistency_logits: torch.Tensor | None = None

    @property
    def consistency(self) -> torch.Tensor:
        """What a teacher is to agree with: the second head's logits, or the first's where there is but one."""
        return self.logits if self.consistency_logits is None else self.consistency_logits
