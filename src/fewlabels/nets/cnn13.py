"""The paper's 13-layer network for CIFAR-10 and CIFAR-100."""

from __future__ import annotations

from torch import nn

from .network import Network, Pixels
from .settings import ImageInput, NetworkSettings
from .weight_norm import NormedConv2d, NormedLinear

LEAST = 12  # pixels along a side, so that one is left to average


def cnn13(settings: NetworkSettings, image_input: ImageInput, num_classes: int) -> Network:
    """Nine convolutions and a linear layer, all with bias and weight norm; d = 128.

    At 32 x 32 pixels, 3 channels and 10 classes: 3,125,908 parameters, with two heads 3,127,208; at 100 classes
    3,137,608. Facts from the released code (architectures.py:45-114): batch norm with torch's defaults, LeakyReLU(0.1)
    after it, dropout after each pooling, torch's initial weights and none that depend on data. The last 6 x 6 pixels
    are averaged; images of another size leave another number of them, and the average is of all.
    """
    image_input.require_size(LEAST, settings.name)
    dropout = settings.option("dropout")
    trunk = nn.Sequential(
        *_convolution(image_input.channels, 128, 3, 1),
        *_convolution(128, 128, 3, 1),
        *_convolution(128, 128, 3, 1),
        nn.MaxPool2d(2),
        nn.Dropout(dropout),
        *_convolution(128, 256, 3, 1),
        *_convolution(256, 256, 3, 1),
        *_convolution(256, 256, 3, 1),
        nn.MaxPool2d(2),
        nn.Dropout(dropout),
        *_convolution(256, 512, 3, 0),
        *_convolution(512, 256, 1, 0),
        *_convolution(256, 128, 1, 0),
    )
    heads = [NormedLinear(128, num_classes) for _ in range(settings.heads)]
    return Network(Pixels(image_input), trunk, heads, settings.unit_descriptor)


def _convolution(num_in: int, num_out: int, kernel_size: int, padding: int) -> list[nn.Module]:
    return [
        NormedConv2d(num_in, num_out, kernel_size, padding),
        nn.BatchNorm2d(num_out),
        nn.LeakyReLU(0.1, inplace=True),
    ]
