"""Build a network from its settings."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from ..errors import ConfigError
from .backbone import build_module_network, build_timm_network
from .efficientnet_lite import build_lite
from .frozen import build_frozen_network
from .networks import cnn13, resnet18, small
from .settings import ImageInput, NetworkSettings

BUILDERS: dict[str, Callable[[NetworkSettings, ImageInput, int], nn.Module]] = {
    "small": small,
    "cnn13": cnn13,
    "resnet18": resnet18,
    "efficientnet-lite0": build_lite,
    "efficientnet-lite2": build_lite,
    "timm": build_timm_network,
    "module": build_module_network,
    "frozen": build_frozen_network,
}


def build_network(settings: NetworkSettings, image_input: ImageInput, num_classes: int) -> nn.Module:
    """Build a network with fresh weights, drawn from torch's generator, in memory format channels last.

    It maps (b, channels, size, size) pixels in [0, 255] to Output. Raises ConfigError where the network cannot take
    such images (C19), is not to be had (C52), or does not keep the contract of docs/networks.md (C53).
    """
    if num_classes < 1:
        raise ConfigError("C19", f"num_classes is {num_classes}, expected 1 or more")
    network = BUILDERS[settings.kind](settings, image_input, num_classes)
    if settings.kind == "module":  # the memory format of a user's weights is the user's
        return network
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def count_parameters(network: nn.Module) -> int:
    """Number of trainable parameters; running statistics of batch norm are not among them."""
    return sum(parameter.numel() for parameter in network.parameters())
