"""Networks from elsewhere, and the contract that they keep (docs/networks.md)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module

import torch
from torch import nn

from ..errors import ConfigError, FewlabelsError
from .network import Network, Pixels
from .output import Output
from .settings import ImageInput, NetworkSettings

CONTRACT = "(logits, descriptor) or (logits, descriptor, consistency_logits)"


def bring_network(module: nn.Module, settings: NetworkSettings, image_input: ImageInput, num_classes: int) -> nn.Module:
    """A network of fewlabels around a module of one's own, checked on two images (check_network).

    module: takes float32 images (b, c, size, size), mean taken out and divided by std. Either its class has a method
    `features`, images -> descriptors (b, d) or feature maps (b, d, h, w), and linear heads are added; or calling it
    gives CONTRACT, of two dimensions each, and it has heads of its own.
    """
    pixels = Pixels(image_input, torch.contiguous_format)  # so that `view` works in the module
    network: nn.Module
    if callable(getattr(type(module), "features", None)):
        network = _with_heads(pixels, Features(module), settings, image_input, num_classes)
    else:
        network = OwnHeads(pixels, module)
    check_network(network, image_input, num_classes, settings)
    return network


def module_network(settings: NetworkSettings, image_input: ImageInput, num_classes: int) -> nn.Module:
    """The module that FUNCTION(image_input, num_classes) of the settings' name makes, brought in.

    Importing it runs its code. Raises ConfigError: C52 where there is no such function or it gives no module.
    """
    path, _, name = settings.detail.partition(":")
    try:
        function = getattr(import_module(path), name)
    except (ImportError, AttributeError) as error:
        raise ConfigError(
            "C52", f"network {settings.name!r}: {error}", do="the module must be on Python's path (PYTHONPATH)"
        ) from error
    module = function(image_input, num_classes)
    if not isinstance(module, nn.Module):
        raise ConfigError("C52", f"network {settings.name!r} gave {_described(module)}, expected a torch.nn.Module")
    return bring_network(module, settings, image_input, num_classes)


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
    """A module that gives CONTRACT itself, in float32 also under autocast."""

    def __init__(self, pixels: Pixels, module: nn.Module) -> None:
        super().__init__()
        self.pixels = pixels
        self.module = module

    def forward(self, images: torch.Tensor) -> Output:
        logits, descriptor, second = _as_output(self.module(self.pixels(images)))
        return Output(logits.float(), descriptor.float(), None if second is None else second.float())


def check_network(
    network: nn.Module, image_input: ImageInput, num_classes: int, settings: NetworkSettings | None = None
) -> Output:
    """What the network gives for two images, in eval mode and without changing it.

    network: takes pixels in [0, 255], as all networks here do. settings: its heads and unit_descriptor are held against
    what came. Raises ConfigError (C53): what came, and what was expected.
    """
    output = _as_output(_tried(network, image_input))
    _require_scores("logits", output.logits, num_classes)
    _require_rows("descriptor", output.descriptor)
    if output.consistency_logits is not None:
        _require_scores("consistency_logits", output.consistency_logits, num_classes)
    if settings is not None:
        _require_as_set(output, settings)
    _require_separate(network)
    return output


def _with_heads(
    pixels: Pixels, trunk: nn.Module, settings: NetworkSettings, image_input: ImageInput, num_classes: int
) -> Network:
    features = _tried(nn.Sequential(pixels, trunk), image_input)
    if not isinstance(features, torch.Tensor):
        raise ConfigError(
            "C53", f"the features are {_described(features)}, expected a tensor of (b, d) or (b, d, h, w)"
        )
    if features.dim() == 4:
        features = features.mean(dim=(2, 3))
    _require_rows("descriptor", features.float())
    heads = [nn.Linear(features.shape[1], num_classes) for _ in range(settings.heads)]
    return Network(pixels, trunk, heads, settings.unit_descriptor)


def _tried(network: nn.Module, image_input: ImageInput) -> object:
    """Whatever it gives for two images."""
    shape = (2, image_input.channels, image_input.size, image_input.size)
    device = next((tensor.device for tensor in network.state_dict().values()), torch.device("cpu"))
    images = torch.linspace(0, 255, 2 * image_input.channels * image_input.size**2, device=device).reshape(shape)
    with _evaluating(network), torch.no_grad():
        try:
            given: object = network(images)
        except FewlabelsError:
            raise
        except Exception as error:
            raise ConfigError(
                "C53", f"the network failed on images of shape {shape}: {type(error).__name__}: {error}"
            ) from error
    return given


@contextmanager
def _evaluating(network: nn.Module) -> Iterator[None]:
    """Eval mode within; afterwards every part is in the mode it was in."""
    training = {module: module.training for module in network.modules()}
    network.eval()
    try:
        yield
    finally:
        for module, was in training.items():
            module.training = was


def _as_output(given: object) -> Output:
    is_contract = isinstance(given, tuple) and len(given) in (2, 3)
    parts = (*given, None)[:3] if is_contract else ()  # type: ignore[misc]
    last_may_lack = parts and (parts[2] is None or isinstance(parts[2], torch.Tensor))
    if not last_may_lack or not all(isinstance(part, torch.Tensor) for part in parts[:2]):
        raise ConfigError("C53", f"the network gave {_described(given)}, expected a tuple of tensors {CONTRACT}")
    return Output(*parts)


def _require_scores(name: str, scores: torch.Tensor, num_classes: int) -> None:
    _require_rows(name, scores)
    if scores.shape[1] != num_classes:
        raise ConfigError("C53", f"{name} is {_described(scores)}, expected (2, {num_classes}): a score for each class")


def _require_rows(name: str, rows: torch.Tensor) -> None:
    if rows.dim() != 2 or rows.shape[0] != 2 or rows.shape[1] < 1 or rows.dtype != torch.float32:
        raise ConfigError(
            "C53", f"{name} is {_described(rows)}, expected float32 of two dimensions, 2 rows of 2 images"
        )
    if not bool(torch.isfinite(rows).all()):
        raise ConfigError(
            "C53", f"{name} has NaN or infinity for images of values in [0, 255], expected finite numbers"
        )


def _require_as_set(output: Output, settings: NetworkSettings) -> None:
    heads = 1 if output.consistency_logits is None else 2
    if heads != settings.heads:
        raise ConfigError("C53", f"the network has {heads} head(s), expected {settings.heads} as its settings say")
    lengths = output.descriptor.norm(dim=1)
    if settings.unit_descriptor and not torch.allclose(lengths, torch.ones_like(lengths), atol=1e-3):
        raise ConfigError(
            "C53",
            f"descriptors have the lengths {lengths.tolist()}, expected 1 as the settings say",
            do="set unit_descriptor=False, or scale them before the network's own linear layer",
        )


def _require_separate(network: nn.Module) -> None:
    """Tensors under two names cannot be saved: better told now than after the training."""
    places: dict[int, list[str]] = defaultdict(list)
    for name, tensor in network.state_dict().items():
        if tensor.numel():
            places[tensor.data_ptr()].append(name)
    shared = [names for names in places.values() if len(names) > 1]
    if shared:
        raise ConfigError("C53", f"{' and '.join(shared[0])} share memory, expected each tensor under one name")


def _described(given: object) -> str:
    if isinstance(given, torch.Tensor):
        return f"{str(given.dtype).removeprefix('torch.')} {tuple(given.shape)}"
    if isinstance(given, tuple | list):
        return f"a {type(given).__name__} of {len(given)} ({', '.join(_described(part) for part in given[:4])})"
    return f"a {type(given).__name__}"
