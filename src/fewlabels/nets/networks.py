"""Networks of fewlabels: what all share, then the paper's 13-layer network, ResNet-18 and a small one for a CPU."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn

from ..errors import ImageError
from .contract import Output
from .settings import ImageInput, NetworkSettings


class Pixels(nn.Module):
    """Normalise images: (b, c, size, size) uint8 or float in [0, 255] -> (pixels - mean) / std, float32.

    memory_format: of the result. Raises ImageError (I50) for images of another shape than the network was built
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
    """A trunk with one or two heads: images -> Output.

    trunk: normalised images -> (b, d), or (b, d, h, w), of which the average over pixels is taken.
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


class NormedConv2d(nn.Module):
    """A convolution with weight norm, stride 1 and a bias. weight_v: (o, i, k, k), weight_g: (o, 1, 1, 1).

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
    """A linear layer with weight norm and a bias. weight_v: (o, i), weight_g: (o, 1). It starts as torch's own."""

    def __init__(self, num_in: int, num_out: int) -> None:
        super().__init__()
        drawn = nn.Linear(num_in, num_out)
        self.weight_v = drawn.weight
        self.weight_g = nn.Parameter(torch.linalg.vector_norm(drawn.weight.detach(), dim=1, keepdim=True))
        self.bias = drawn.bias

    def forward(self, descriptor: torch.Tensor) -> torch.Tensor:
        return F.linear(descriptor, torch._weight_norm(self.weight_v, self.weight_g, 0), self.bias)


CNN13_LEAST = 12  # pixels along a side, so that one is left to average


def cnn13(settings: NetworkSettings, image_input: ImageInput, num_classes: int) -> Network:
    """Nine convolutions and a linear layer, all with bias and weight norm; d = 128.

    At 32 x 32 pixels, 3 channels and 10 classes: 3,125,908 parameters, with two heads 3,127,208; at 100 classes
    3,137,608. Facts from the released code (architectures.py:45-114): batch norm with torch's defaults, LeakyReLU(0.1)
    after it, dropout after each pooling, torch's initial weights and none that depend on data. The last 6 x 6 pixels
    are averaged; images of another size leave another number of them, and the average is of all.
    """
    image_input.require_size(CNN13_LEAST, settings.name)
    dropout = settings.option("dropout")
    trunk = nn.Sequential(
        *_normed_convolution(image_input.channels, 128, 3, 1),
        *_normed_convolution(128, 128, 3, 1),
        *_normed_convolution(128, 128, 3, 1),
        nn.MaxPool2d(2),
        nn.Dropout(dropout),
        *_normed_convolution(128, 256, 3, 1),
        *_normed_convolution(256, 256, 3, 1),
        *_normed_convolution(256, 256, 3, 1),
        nn.MaxPool2d(2),
        nn.Dropout(dropout),
        *_normed_convolution(256, 512, 3, 0),
        *_normed_convolution(512, 256, 1, 0),
        *_normed_convolution(256, 128, 1, 0),
    )
    heads = [NormedLinear(128, num_classes) for _ in range(settings.heads)]
    return Network(Pixels(image_input), trunk, heads, settings.unit_descriptor)


def _normed_convolution(num_in: int, num_out: int, kernel_size: int, padding: int) -> list[nn.Module]:
    return [
        NormedConv2d(num_in, num_out, kernel_size, padding),
        nn.BatchNorm2d(num_out),
        nn.LeakyReLU(0.1, inplace=True),
    ]


RESNET18_LEAST = 8  # pixels along a side


def resnet18(settings: NetworkSettings, image_input: ImageInput, num_classes: int) -> Network:
    """A 7 x 7 convolution with stride 2 and a max-pooling, then four stages of two blocks; d = 512.

    The trunk has 11,176,512 parameters with 3 channels. As in the released code (architectures.py:157-224):
    convolutions start from He's normal draw (fan out), fc1 is torch's linear layer, fc2 has weight norm.
    """
    image_input.require_size(RESNET18_LEAST, settings.name)
    trunk = nn.Sequential(
        *_plain_convolution(image_input.channels, 64, 7, 2),
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
            *_plain_convolution(num_in, num_out, 3, stride),
            nn.ReLU(inplace=True),
            *_plain_convolution(num_out, num_out, 3, 1),
        )
        changes = stride > 1 or num_in != num_out
        self.shortcut = nn.Sequential(*_plain_convolution(num_in, num_out, 1, stride)) if changes else nn.Identity()

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return F.relu(self.shortcut(features) + self.residual(features), inplace=True)


def _plain_convolution(num_in: int, num_out: int, kernel_size: int, stride: int) -> list[nn.Module]:
    return [
        nn.Conv2d(num_in, num_out, kernel_size, stride, padding=kernel_size // 2, bias=False),
        nn.BatchNorm2d(num_out),
    ]


SMALL_LEAST = 4  # pixels along a side


def small(settings: NetworkSettings, image_input: ImageInput, num_classes: int) -> Network:
    """Stages of two 3 x 3 convolutions with batch norm and LeakyReLU(0.1); d = 4 * width from 20 pixels up.

    Halved by max-pooling, with dropout after it, until at most 4 pixels are left along a side.
    """
    image_input.require_size(SMALL_LEAST, settings.name)
    width, stride = int(settings.option("width")), int(settings.option("first_stride"))
    layers: list[nn.Module] = []
    channels, here, size = image_input.channels, width, image_input.size
    while True:
        layers += [_padded_convolution(channels, here, stride), _padded_convolution(here, here)]
        channels, size, stride = here, -(-size // stride), 1
        if size <= SMALL_LEAST:
            break
        layers += [nn.MaxPool2d(2), nn.Dropout(settings.option("dropout"))]
        size //= 2
        here = min(2 * here, 4 * width)
    heads = [nn.Linear(channels, num_classes) for _ in range(settings.heads)]
    return Network(Pixels(image_input), nn.Sequential(*layers), heads, settings.unit_descriptor)


def _padded_convolution(num_in: int, num_out: int, stride: int = 1) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(num_in, num_out, 3, stride, padding=1, bias=False),
        nn.BatchNorm2d(num_out),
        nn.LeakyReLU(0.1, inplace=True),
    )
