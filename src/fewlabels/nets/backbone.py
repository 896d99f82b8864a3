"""Networks from elsewhere: modules of one's own and backbones of timm, made into networks of fewlabels."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

import torch
from torch import nn

from ..errors import ConfigError, FewlabelsError, shown
from .contract import (
    Output,
    check_network,
    describe,
    has_features,
    require_module,
    require_output,
    require_rows,
    run_on_two_images,
)
from .networks import Network, Pixels
from .settings import ImageInput, NetworkSettings, Preprocessing
from .timm_models import create_timm, load_timm, own_preprocessing


def bring_network(module: nn.Module, settings: NetworkSettings, image_input: ImageInput, num_classes: int) -> nn.Module:
    """Make a network of fewlabels from a module of one's own, and check it on two images (check_network).

    module: takes float32 images (b, c, size, size), mean taken out and divided by std. Either its class has a method
    `features`, images -> descriptors (b, d) or feature maps (b, d, h, w), and linear heads are added; or calling it
    gives contract.CONTRACT, of two dimensions each, and it has heads of its own.
    preprocessing: an attribute of that name (Preprocessing) declares mean, std and size that take the place of the
    data's.
    Raises ConfigError (C53): what came, and what was expected.
    """
    require_module(module)
    image_input = _declared_input(module, image_input)
    pixels = Pixels(image_input, torch.contiguous_format)  # so that `view` works in the module
    network: nn.Module
    if has_features(module):
        network = _add_heads(pixels, Features(module), settings, image_input, num_classes)
    else:
        network = OwnHeads(pixels, module)
    check_network(network, image_input, num_classes, settings)
    return network


def build_module_network(settings: NetworkSettings, image_input: ImageInput, num_classes: int) -> nn.Module:
    """Build "module:IMPORT.PATH:FUNCTION": a network around what FUNCTION(image_input, num_classes) returns.

    Importing it runs its code. Raises ConfigError: C52 where there is no such function, or it fails or gives no module.
    """
    function = import_function(settings.name)
    module = _call_function(function, settings, image_input, num_classes)
    if not isinstance(module, nn.Module):
        raise ConfigError("C52", f"network {settings.name!r} gave {describe(module)}, expected a torch.nn.Module")
    return bring_network(module, settings, image_input, num_classes)


def import_function(name: str) -> object:
    """What "module:IMPORT.PATH:FUNCTION" names. Raises ConfigError (C52) where it is not to be had."""
    path, _, function = name.partition(":")[2].partition(":")
    try:
        return getattr(import_module(path), function)
    except (ImportError, AttributeError) as error:
        do = "the module must be on Python's path (PYTHONPATH)"
        raise ConfigError("C52", f"network {name!r}: {error}", do=do) from error
    except Exception as error:
        what = f"network {name!r}: importing {path} raised {type(error).__name__}: {shown(error)}"
        raise ConfigError("C52", what, do=f"`python -c 'import {path}'` shows where") from error


def _declared_input(module: nn.Module, image_input: ImageInput) -> ImageInput:
    """Images with the mean and std that the module declares, if it does. Raises ConfigError (C53) for another size."""
    declared = getattr(module, "preprocessing", None)
    if not isinstance(declared, Preprocessing):
        return image_input
    if declared.size != image_input.size:
        what = f"the module declares images of {declared.size} x {declared.size} pixels, these have {image_input.size}"
        raise ConfigError("C53", what, do=f"read them at its size: --image-size {declared.size}")
    return declared.normalise(image_input)


def _call_function(function: object, settings: NetworkSettings, image_input: ImageInput, num_classes: int) -> object:
    """What the user's function returns. Raises ConfigError (C52) where it is none, takes something else, or fails."""
    name = settings.detail.rpartition(":")[2]
    if not callable(function):
        what = f"network {settings.name!r}: {name} is {describe(function)}, expected a function"
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


def build_timm_network(settings: NetworkSettings, image_input: ImageInput, num_classes: int) -> nn.Module:
    """Build "timm:MODEL": a backbone of the timm library, pooled, with linear heads instead of its classifier.

    Pretrained weights get the pixels as they were trained with them: the model's mean and std, not the data's.
    Raises ConfigError: C52 where timm is missing or does not have such a model, C112 where its weights are not to be
    had.
    """
    if not settings.option("pretrained"):
        trunk = create_timm(settings.detail, channels=image_input.channels)
    else:
        trunk = load_timm(settings.detail, size=image_input.size, channels=image_input.channels)
        image_input = own_preprocessing(trunk).normalise(image_input)
    network = _add_heads(Pixels(image_input), trunk, settings, image_input, num_classes)
    check_network(network, image_input, num_classes, settings)
    return network


class Features(nn.Module):
    """A trunk that calls the module's method `features`."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        features: Callable[[torch.Tensor], torch.Tensor] = self.module.features  # type: ignore[assignment]
        return features(images)


class OwnHeads(nn.Module):
    """A network around a module that has heads of its own; its output is float32 also under autocast."""

    def __init__(self, pixels: Pixels, module: nn.Module) -> None:
        super().__init__()
        self.pixels = pixels
        self.module = module

    def forward(self, images: torch.Tensor) -> Output:
        logits, descriptor, second = require_output(self.module(self.pixels(images)))
        return Output(logits.float(), descriptor.float(), None if second is None else second.float())


def _add_heads(
    pixels: Pixels, trunk: nn.Module, settings: NetworkSettings, image_input: ImageInput, num_classes: int
) -> Network:
    """The trunk with linear heads on its features, whose width is found on two images."""
    features = run_on_two_images(nn.Sequential(pixels, trunk), image_input)
    if not isinstance(features, torch.Tensor):
        raise ConfigError("C53", f"the features are {describe(features)}, expected a tensor of (b, d) or (b, d, h, w)")
    if features.dim() == 4:
        features = features.mean(dim=(2, 3))
    require_rows("descriptor", features.float())
    heads = [nn.Linear(features.shape[1], num_classes) for _ in range(settings.heads)]
    return Network(pixels, trunk, heads, settings.unit_descriptor)
