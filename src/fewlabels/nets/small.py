"""A small convolutional network for small images, quick on a CPU."""

from __future__ import annotations

from torch import nn

from .network import Network, Pixels
from .settings import ImageInput, NetworkSettings

LEAST = 4  # pixels along a side


def small(settings: NetworkSettings, image_input: ImageInput, num_classes: int) -> Network:
    """Stages of two 3 x 3 convolutions with batch norm and LeakyReLU(0.1); d = 4 * width from 20 pixels up.

    Halved by max-pooling, with dropout after it, until at most 4 pixels are left along a side.
    """
    image_input.require_size(LEAST, settings.name)
    width, stride = int(settings.option("width")), int(settings.option("first_stride"))
    layers: list[nn.Module] = []
    channels, here, size = image_input.channels, width, image_input.size
    while True:
        layers += [_convolution(channels, here, stride), _convolution(here, here)]
        channels, size, stride = here, -(-size // stride), 1
        if size <= LEAST:
            break
        layers += [nn.MaxPool2d(2), nn.Dropout(settings.option("dropout"))]
        size //= 2
        here = min(2 * here, 4 * width)
    heads = [nn.Linear(channels, num_classes) for _ in range(settings.heads)]
    return Network(Pixels(image_input), nn.Sequential(*layers), heads, settings.unit_descriptor)


def _convolution(num_in: int, num_out: int, stride: int = 1) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(num_in, num_out, 3, stride, padding=1, bias=False),
        nn.BatchNorm2d(num_out),
        nn.LeakyReLU(0.1, inplace=True),
    )
