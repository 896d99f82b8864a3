"""Networks from elsewhere, made to keep the contract of docs/networks.md (contract.py)."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

import torch
from torch import nn

from ..errors import ConfigError, FewlabelsError, shown
from .contract import Output, as_output, check_network, described, has_features, require_module, require_rows, tried
from .networks import Network, Pixels
from .settings import ImageInput, NetworkSettings


def bring_network(module: nn.Module, settings: NetworkSettings, image_input: ImageInput, num_classes: int) -> nn.Module:
    """A network of fewlabels around a module of one's own, checked on two images (check_network).

    module: takes float32 images (b, c, size, size), mean taken out and divided by std. Either its class has a method
    `features`, images -> descriptors (b, d) or feature maps (b, d, h, w), and linear heads are added; or calling it
    gives contract.CONTRACT, of two dimensions each, and it has heads of its own.
    Raises ConfigError (C53): what came, and what was expected.
    """
    require_module(module)
    pixels = Pixels(image_input, torch.contiguous_format)  # so that `view` works in the module
    network: nn.Module
    if has_features(module):
        network = _with_heads(pixels, Features(module), settings, image_input, num_classes)
    else:
        network = OwnHeads(pixels, module)
    check_network(network, image_input, num_classes, settings)
    return network


def module_network(settings: NetworkSettings, image_input: ImageInput, num_classes: int) -> nn.Module:
    """The module that FUNCTION(image_input, num_classes) of the settings' name makes, brought in.

    Importing it runs its code. Raises ConfigError: C52 where there is no such function, or it fails or gives no module.
    """
    path, _, name = settings.detail.partition(":")
    try:
        function = getattr(import_module(path), name)
    except (ImportError, AttributeError) as error:
        raise ConfigError(
            "C52", f"network {settings.name!r}: {error}", do="the module must be on Python's path (PYTHONPATH)"
        ) from error
    except Exception as error:
        what = f"network {settings.name!r}: importing {path} raised {type(error).__name__}: {shown(error)}"
        raise ConfigError("C52", what, do=f"`python -c 'import {path}'` shows where") from error
    module = _made(function, settings, image_input, num_classes)
    if not isinstance(module, nn.Module):
        raise ConfigError("C52", f"network {settings.name!r} gave {described(module)}, expected a torch.nn.Module")
    return bring_network(module, settings, image_input, num_classes)


def _made(function: object, settings: NetworkSettings, image_input: ImageInput, num_classes: int) -> object:
    """What the user's function gives. Raises ConfigError (C52) where it is none, takes something else, or fails."""
    name = settings.detail.rpartition(":")[2]
    if not callable(function):
        what = f"network {settings.name!r}: {name} is {described(function)}, expected a function"
        raise ConfigError("C52", f"{what} of (image_input, num_classes) that gives a torch.nn.Module")
    try:
        return function(image_input, num_classes)
    except FewlabelsError:
        raise
    except Exception as error:
        raise ConfigError(
            "C52",
            f"network {settings.name!r}: {name}({image_input}, {num_classes}) raised {type(error).__name__}: "
            f"{shown(error)}; expected a function of (image_input, num_classes) that gives a torch.nn.Module",
            do="`fewlabels --debug` shows where",
        ) from error


def timm_network(settings: NetworkSettings, image_input: ImageInput, num_classes: int) -> nn.Module:
    """A backbone of the timm library, pooled, without its classifier; linear heads are added.

    Raises ConfigError: C52 where timm is missing or does not have such a model.
    """
    try:
        import timm
    except Exception as error:  # timm needs torchvision, which fails in many ways beside another torch
        raise ConfigError(
            "C52",
            f"network {settings.name!r} needs timm, which cannot be imported: {error}",
            do="pip install 'fewlabels[timm]', with a torchvision made for the torch that is installed",
        ) from error
    try:
        trunk = timm.create_model(
            settings.detail,
            pretrained=bool(settings.option("pretrained")),
            in_chans=image_input.channels,
            num_classes=0,
        )
    except Exception as error:
        raise ConfigError(
            "C52",
            f"timm cannot make {settings.detail!r}: {error}",
            do="see timm.list_models(); pretrained weights are downloaded",
        ) from error
    network = _with_heads(Pixels(image_input), trunk, settings, image_input, num_classes)
    check_network(network, image_input, num_classes, settings)
    return network


class Features(nn.Module):
    """What `features` of a module gives, as a trunk."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        features: Callable[[torch.Tensor], torch.Tensor] = self.module.features  # type: ignore[assignment]
        return features(images)


class OwnHeads(nn.Module):
    """A module that gives contract.CONTRACT itself, in float32 also under autocast."""

    def __init__(self, pixels: Pixels, module: nn.Module) -> None:
        super().__init__()
        self.pixels = pixels
        self.module = module

    def forward(self, images: torch.Tensor) -> Output:
        logits, descriptor, second = as_output(self.module(self.pixels(images)))
        return Output(logits.float(), descriptor.float(), None if second is None else second.float())


def _with_heads(
    pixels: Pixels, trunk: nn.Module, settings: NetworkSettings, image_input: ImageInput, num_classes: int
) -> Network:
    features = tried(nn.Sequential(pixels, trunk), image_input)
    if not isinstance(features, torch.Tensor):
        raise ConfigError("C53", f"the features are {described(features)}, expected a tensor of (b, d) or (b, d, h, w)")
    if features.dim() == 4:
        features = features.mean(dim=(2, 3))
    require_rows("descriptor", features.float())
    heads = [nn.Linear(features.shape[1], num_classes) for _ in range(settings.heads)]
    return Network(pixels, trunk, heads, settings.unit_descriptor)
