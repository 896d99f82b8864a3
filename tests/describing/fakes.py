"""A backbone that is quick, photos, and the command in a process of its own."""

import torch
from torch import nn

from fewlabels.nets.pretrained import Backbone, Preprocessing, make_backbone


class Tiny(nn.Module):
    """Means of a 4 x 4 grid of the square, through one fixed layer of 24."""

    def __init__(self, seed: int = 0):
        super().__init__()
        draw = torch.Generator().manual_seed(seed)
        self.weight = nn.Parameter(torch.randn(24, 48, generator=draw) / 7)

    def forward(self, images):
        grid = nn.functional.adaptive_avg_pool2d(images, 4).flatten(1)
        return torch.relu(grid @ self.weight.T)


def tiny(size: int = 32, seed: int = 0, **preprocessing) -> Backbone:
    how = Preprocessing(size=size, mean=(127.0,), std=(128.0,), **preprocessing)
    return make_backbone(f"tiny{seed}", Tiny(seed), how, source="a test", licence="none")
