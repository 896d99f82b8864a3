"""Layers whose weight is g v / |v|: one length g and one direction v for each output.

Salimans and Kingma, arXiv 1602.07868, eq. 2. The parameters are called weight_g and weight_v. Values and gradients are
those of torch.nn.utils.parametrizations.weight_norm, which works on rows of memory and so copies v, and the weight
again, at every step where convolutions are kept channels last: here v is seen as those rows instead.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn


class NormedConv2d(nn.Module):
    """A convolution with stride 1 and a bias. weight_v: (o, i, k, k), weight_g: (o, 1, 1, 1).

    It starts as torch's own: v is what nn.Conv2d draws, and g the length of it.
    """

    def __init__(self, num_in: int, num_out: int, kernel_size: int, padding: int = 0) -> None:
        super().__init__()
        drawn = nn.Conv2d(num_in, num_out, kernel_size)
        self.padding = padding
        self.weight_v = drawn.weight
        self.weight_g = nn.Parameter(torch.linalg.vector_norm(drawn.weight.detach(), dim=(1, 2, 3), keepdim=True))
        self.bias = drawn.bias

    def weight(self) -> torch.Tensor:
        """(o, i, k, k) float32, channels last."""
        rows = self.weight_v.permute(0, 2, 3, 1)  # contiguous, as v is channels last
        return torch._weight_norm(rows, self.weight_g, 0).permute(0, 3, 1, 2)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return F.conv2d(features, self.weight(), self.bias, padding=self.padding)


class NormedLinear(nn.Module):
    """A linear layer with a bias. weight_v: (o, i), weight_g: (o, 1). It starts as torch's own."""

    def __init__(self, num_in: int, num_out: int) -> None:
        super().__init__()
        drawn = nn.Linear(num_in, num_out)
        self.weight_v = drawn.weight
        self.weight_g = nn.Parameter(torch.linalg.vector_norm(drawn.weight.detach(), dim=1, keepdim=True))
        self.bias = drawn.bias

    def forward(self, descriptor: torch.Tensor) -> torch.Tensor:
        return F.linear(descriptor, torch._weight_norm(self.weight_v, self.weight_g, 0), self.bias)
