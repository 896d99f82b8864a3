"""A small convolutional network for small images, quick on a CPU."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from ..errors import ConfigError
from .output import Output


@dataclass(frozen=True)
class SmallNetwork:
    """How to build a SmallCNN; stored beside its weights.

    in_channels: 1 or 3. image_size: height and width in pixels, from 4 up. num_classes: c.
    width: channels of the first stage; each further stage has twice as many, up to 4 * width.
    dropout: share of features set to zero after each pooling, while training.
    mean, std: of the pixel values in [0, 255], one number for each channel.
    """

    in_channels: int
    image_size: int
    num_classes: int
    width: int = 32
    dropout: float = 0.0
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (255.0,)

    def __post_init__(self) -> None:
        if self.image_size < 4 or self.width < 1 or self.num_classes < 1:
            raise ConfigError(
                "C19", f"image_size {self.image_size}, width {self.width}, num_classes {self.num_classes}: too small"
            )
        if len(self.mean) != self.in_channels or len(self.std) != self.in_channels:
            raise ConfigError("C19", f"mean and std need {self.in_channels} numbers, one for each channel")


class SmallCNN(nn.Module):
    """(b, c, size, size) pixels in [0, 255] -> Output(logits, descriptor).

    Stages of two 3 x 3 convolutions with batch norm and LeakyReLU(0.1), halved by max-pooling until at most 4 pixels
    are left along a side, then averaged. The descriptor is scaled to length 1 before the linear layer, as in the
    released code's isL2 (paper: LP experiments).
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, config: SmallNetwork) -> None:
        super().__init__()
        self.config = config
        self.register_buffer("mean", torch.tensor(config.mean)[:, None, None])
        self.register_buffer("std", torch.tensor(config.std)[:, None, None])
        layers: list[nn.Module] = []
        channels, width, size = config.in_channels, config.width, config.image_size
        while True:
            layers += [_convolution(channels, width), _convolution(width, width)]
            channels = width
            if size <= 4:
                break
            layers += [nn.MaxPool2d(2), nn.Dropout(config.dropout)]
            size //= 2
            width = min(2 * width, 4 * config.width)
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Linear(channels, config.num_classes)

    def forward(self, images: torch.Tensor) -> Output:
        features = self.features((images.float() - self.mean) / self.std)
        descriptor = F.normalize(features.mean(dim=(2, 3)), dim=1)
        return Output(self.classifier(descriptor), descriptor)


def _convolution(num_in: int, num_out: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(num_in, num_out, 3, padding=1, bias=False), nn.BatchNorm2d(num_out), nn.LeakyReLU(0.1)
    )
