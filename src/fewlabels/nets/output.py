"""What every network of fewlabels gives for a batch of images."""

from __future__ import annotations

from typing import NamedTuple

import torch


class Output(NamedTuple):
    """logits: (b, c) float32, scores of the classes. descriptor: (b, d) float32, the input of the last linear layer."""

    logits: torch.Tensor
    descriptor: torch.Tensor
