"""What all networks share: pixels in, a trunk, a descriptor, linear heads."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn

from ..errors import ImageError
from .output import Output
from .settings import ImageInput


class Pixels(nn.Module):
    """(b, c, size, size) uint8 or float in [0, 255] -> float32 of the same shape, mean taken out, divided by std.

    memory_format: of what comes out. Raises ImageError (I50) for images of another shape than the network was built
    for: averaging would hide that they are of another size.
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, image_input: ImageInput, memory_format: torch.memory_format = torch.channels_last) -> None:
        super().__init__()
        self.shape = (image_input.channels, image_input.size, image_input.size)
        self.memory_format = memory_format
        self.register_buffer("mean", torch.tensor(image_input.mean)[:, None, None])
        self.register_buffer("std", torch.tensor(image_input.std)[:, None, None])

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        if tuple(images.shape[1:]) != self.shape:
            raise ImageError(
                "I50",
                f"images of shape {tuple(images.shape)}; this network takes (b, {', '.join(map(str, self.shape))})",
                do="resize them, or build a network for them",
            )
        # One row of the whole image: with channels last, three numbers for each pixel are half as quick.
        mean, std = (
            part.expand(1, *self.shape).contiguous(memory_format=self.memory_format) for part in (self.mean, self.std)
        )
        return (images.to(memory_format=self.memory_format).float() - mean).div_(std)


class Network(nn.Module):
    """images -> Output. trunk: normalised images -> (b, d), or (b, d, h, w), of which the average is taken.

    heads: one or two linear layers on the same descriptor: fc1 for classes, fc2 for consistency (released code
    helpers.py:178-179). Under autocast the trunk may be in bfloat16; averages, lengths and logits are float32.
    """

    def __init__(self, pixels: Pixels, trunk: nn.Module, heads: Sequence[nn.Module], unit_descriptor: bool) -> None:
        super().__init__()
        self.pixels = pixels
        self.trunk = trunk
        self.fc1 = heads[0]
        self.fc2 = heads[1] if len(heads) > 1 else None
        self.unit_descriptor = unit_descriptor

    def forward(self, images: torch.Tensor) -> Output:
        features = self.trunk(self.pixels(images))
        with torch.autocast(images.device.type, enabled=False):
            descriptor = features.mean(dim=(2, 3), dtype=torch.float32) if features.dim() == 4 else features.float()
            if self.unit_descriptor:
                descriptor = F.normalize(descriptor, dim=1)
            second = None if self.fc2 is None else self.fc2(descriptor)
            return Output(self.fc1(descriptor), descriptor, second)
