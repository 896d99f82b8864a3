"""A pretrained trunk, and the head on it that is trained: "frozen:BACKBONE".

While the trunk stays as it is, training sees descriptors alone, which are computed once; then its last blocks may be
trained too, on pixels. What is saved and loaded is the whole network, trunk included.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
import torch.nn.functional as F
from torch import nn

from .contract import Output
from .efficientnet_lite import VARIANTS, make_lite
from .pretrained import Backbone, Trunk, load_backbone
from .settings import ImageInput, NetworkSettings, Preprocessing
from .timm_models import create_timm

LOGIT_SCALE = 16.0  # of unit descriptors, as in cosine classifiers: without it the softmax of a few steps stays flat
LEAST_SCALE = 1e-6


class Head(nn.Module):
    """Descriptors of a trunk -> Output: one hidden layer, which is the descriptor of the network, and linear heads.

    Inputs are (b, d) float32. Their signed square roots, scaled to length 1, have `mean` taken out and are divided by
    `scale`, which `start_from` sets.
    The roots keep a few strong features from drowning the rest (Perronnin, Sanchez and Mensink 2010).
    """

    mean: torch.Tensor
    scale: torch.Tensor

    def __init__(self, settings: NetworkSettings, num_inputs: int, num_classes: int) -> None:
        super().__init__()
        width = int(settings.option("width"))
        self.register_buffer("mean", torch.zeros(num_inputs))
        self.register_buffer("scale", torch.ones(()))
        self.hidden = nn.Linear(num_inputs, width)
        self.dropout = nn.Dropout(settings.option("dropout"))
        self.unit_descriptor = settings.unit_descriptor
        self.fc1 = nn.Linear(width, num_classes)
        self.fc2 = nn.Linear(width, num_classes) if settings.heads == 2 else None

    def forward(self, rows: torch.Tensor) -> Output:
        hidden = self.dropout(F.relu(self.hidden((_flatten(rows) - self.mean) / self.scale)))
        descriptor = F.normalize(hidden, dim=1) if self.unit_descriptor else hidden
        scaled = LOGIT_SCALE * descriptor if self.unit_descriptor else descriptor
        return Output(self.fc1(scaled), descriptor, None if self.fc2 is None else self.fc2(scaled))

    @torch.no_grad()
    def start_from(self, rows: torch.Tensor) -> None:
        """Set mean and scale, and begin the hidden layer with the principal components of rows (n, d), up and down.

        Inputs then have mean 0 and variance 1 over all features together, and rows that are alike are alike in the
        hidden layer too, before anything is trained: its first graph is that of the trunk's descriptors. Units beyond
        the components keep their random weights; all have the size that torch draws.
        """
        flat = _flatten(rows).double()
        mean = flat.mean(dim=0)
        self.mean.copy_(mean)
        self.scale.copy_((flat - mean).square().mean().sqrt().clamp(min=LEAST_SCALE))
        shown = (flat - mean) / self.scale
        count = min(self.hidden.out_features // 2, flat.shape[1])
        axes = torch.linalg.eigh(shown.T @ shown)[1][:, -count:].T
        both = torch.cat([axes, -axes])
        # torch draws weights whose products with such inputs have a mean square of 1/3.
        size = (3 * (shown @ both.T).square().mean()).sqrt().clamp(min=LEAST_SCALE)
        self.hidden.weight[: 2 * count] = both / size
        self.hidden.bias[: 2 * count] = 0


def _flatten(rows: torch.Tensor) -> torch.Tensor:
    """Signed square roots, scaled to length 1."""
    return F.normalize(rows.sign() * rows.abs().sqrt(), dim=1)


class FrozenNetwork(nn.Module):
    """Photos -> Output: a trunk in eval mode, whatever mode the network is in, and a head.

    Takes descriptors (b, d) by the trunk as well as photos (b, 3, size, size): training a head needs no more.
    mirror: the descriptor is the mean of the photo's and of its mirror image's; in training a photo is seen one way.
    """

    def __init__(self, trunk: nn.Module, head: Head, *, mirror: bool) -> None:
        super().__init__()
        self.trunk = trunk.eval().requires_grad_(False)
        self.head = head
        self.mirror = mirror

    def forward(self, images: torch.Tensor) -> Output:
        rows = images if images.dim() == 2 else self._describe(images)
        found: Output = self.head(rows)
        return found

    def _describe(self, images: torch.Tensor) -> torch.Tensor:
        rows: torch.Tensor = self.trunk(images)
        if self.mirror and not self.training:
            rows = (rows + self.trunk(images.flip(3))) / 2
        return rows

    def train(self, mode: bool = True) -> FrozenNetwork:
        super().train(mode)
        self.trunk.eval()
        return self

    def unfreeze(self, num_blocks: int) -> None:
        """Train the last blocks of the trunk as well as the head; 0: the head alone.

        The trunk stays in eval mode: running statistics of batch norms remain those that it was pretrained to.
        """
        blocks = list_blocks(self.trunk)
        first = max(0, len(blocks) - num_blocks)
        for number, block in enumerate(blocks):
            for weights in block:
                weights.requires_grad_(number >= first)


def list_blocks(trunk: nn.Module) -> list[list[nn.Parameter]]:
    """The weights of each block of a trunk, from the photo to the descriptor; first those that are in no block.

    Blocks are what stands one by one in the network's sequences, or else its parts.
    """
    network = trunk.network if isinstance(trunk, Trunk) else trunk
    while len(parts := list(network.children())) == 1 and not list(network.parameters(recurse=False)):
        network = parts[0]
    blocks = [list(network.parameters(recurse=False)), *(list(part.parameters()) for part in _open_sequences(parts))]
    return [block for block in blocks if block]


def _open_sequences(parts: Iterable[nn.Module]) -> Iterator[nn.Module]:
    for part in parts:
        if isinstance(part, nn.Sequential | nn.ModuleList):
            yield from _open_sequences(part)
        else:
            yield part


def frozen_settings(backbone: Backbone, **options: int | float | bool | None) -> NetworkSettings:
    """Settings of a head on this backbone. options: of NetworkSettings."""
    return NetworkSettings(f"frozen:{backbone.name}", **options)  # type: ignore[arg-type]


def image_input_of(backbone: Backbone) -> ImageInput:
    """What photos go into a network on this backbone: with the mean and std that it was trained with."""
    how = backbone.preprocessing
    return ImageInput(3, how.size, how.mean, how.std)


def join_trunk(backbone: Backbone, head: Head, settings: NetworkSettings) -> FrozenNetwork:
    """The whole network, from photos to classes."""
    return FrozenNetwork(backbone.trunk, head, mirror=bool(settings.option("mirror")))


def build_frozen_network(settings: NetworkSettings, image_input: ImageInput, num_classes: int) -> FrozenNetwork:
    """The whole network with fresh weights, the trunk's too: for the weights of a run, which hold both.

    Only "frozen:module:..." runs its function, which may load weights. Raises what that function raises.
    """
    how = Preprocessing(size=image_input.size, mean=tuple(image_input.mean), std=tuple(image_input.std))
    trunk = _build_trunk(settings.detail, how)
    device = next(trunk.parameters()).device
    with torch.no_grad():
        width = trunk(torch.zeros(1, 3, how.size, how.size, device=device)).shape[1]
    return FrozenNetwork(trunk, Head(settings, width, num_classes), mirror=bool(settings.option("mirror")))


def _build_trunk(name: str, how: Preprocessing) -> Trunk:
    kind, _, detail = name.partition(":")
    if name in VARIANTS:
        return Trunk(make_lite(name), how)
    if kind == "timm":
        return Trunk(create_timm(detail), how)
    return load_backbone(name, size=how.size).trunk
