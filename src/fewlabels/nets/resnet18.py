"""ResNet-18 (He et al., arXiv 1512.03385, table 1), the paper's network for Mini-ImageNet."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from .network import Network, Pixels
from .settings import ImageInput, NetworkSettings
from .weight_norm import NormedLinear

LEAST = 8  # pixels along a side


def resnet18(settings: NetworkSettings, image_input: ImageInput, num_classes: int) -> Network:
    """A 7 x 7 convolution with stride 2 and a max-pooling, then four stages of two blocks; d = 512.

    The trunk has 11,176,512 parameters with 3 channels. As in the released code (architectures.py:157-224):
    convolutions start from He's normal draw (fan out), fc1 is torch's linear layer, fc2 has weight norm.
    """
    image_input.require_size(LEAST, settings.name)
    trunk = nn.Sequential(
        *_convolution(image_input.channels, 64, 7, 2),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(3, stride=2, padding=1),
        *(
            Block(num_in, num_out, stride)
            for num_in, num_out in ((64, 64), (64, 128), (128, 256), (256, 512))
            for num_in, stride in ((num_in, 1 if num_in == num_out else 2), (num_out, 1))
        ),
    )
    for module in trunk.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    heads: list[nn.Module] = [nn.Linear(512, num_classes), NormedLinear(512, num_classes)]
    return Network(Pixels(image_input), trunk, heads[: settings.heads], settings.unit_descriptor)


class Block(nn.Module):
    """ReLU(x + two 3 x 3 convolutions of x). Where the shape changes, x goes through a 1 x 1 convolution."""

    def __init__(self, num_in: int, num_out: int, stride: int) -> None:
        super().__init__()
        self.residual = nn.Sequential(
            *_convolution(num_in, num_out, 3, stride), nn.ReLU(inplace=True), *_convolution(num_out, num_out, 3, 1)
        )
        changes = stride > 1 or num_in != num_out
        self.shortcut = nn.Sequential(*_convolution(num_in, num_out, 1, stride)) if changes else nn.Identity()

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return F.relu(self.shortcut(features) + self.residual(features), inplace=True)


def _convolution(num_in: int, num_out: int, kernel_size: int, stride: int) -> list[nn.Module]:
    return [
        nn.Conv2d(num_in, num_out, kernel_size, stride, padding=kernel_size // 2, bias=False),
        nn.BatchNorm2d(num_out),
    ]
