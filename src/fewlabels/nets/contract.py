"""What every network gives for a batch of images, and a check of that contract on two images (docs/networks.md)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import nn

from ..errors import ConfigError, FewlabelsError
from .settings import ImageInput, NetworkSettings


class Output(NamedTuple):
    """What a network gives for b images.

    logits: (b, c) float32, scores of the classes. descriptor: (b, d) float32, the input of the last linear layer.
    consistency_logits: (b, c) float32 of a second head, where the network has one (Mean Teacher's double output).
    """

    logits: torch.Tensor
    descriptor: torch.Tensor
    consistency_logits: torch.Tensor | None = None

    @property
    def consistency(self) -> torch.Tensor:
        """Logits for the consistency loss: the second head's, or the first's where there is but one."""
        return self.logits if self.consistency_logits is None else self.consistency_logits


CONTRACT = "(logits, descriptor) or (logits, descriptor, consistency_logits)"


def check_network(
    network: nn.Module, image_input: ImageInput, num_classes: int, settings: NetworkSettings | None = None
) -> Output:
    """Run the network on two images in eval mode and in training mode, check what it gives, and leave it as it was.

    Returns its output in eval mode. network: takes pixels in [0, 255], as all networks here do; a module without heads
    is for bring_network. settings: whose heads and unit_descriptor the output must have.
    Raises ConfigError (C53): what came, and what was expected.
    """
    require_module(network)
    if has_features(network) and type(network).forward is nn.Module.forward:
        name = type(network).__name__
        do = "bring_network(module, settings, image_input, num_classes) adds heads and makes this check"
        raise ConfigError("C53", f"{name} has `features` and no `forward`, expected a network with its heads", do=do)
    output = _run_and_check(network, image_input, num_classes)
    if settings is not None:
        _require_settings(output, settings)
    _require_same_in_training(network, image_input, output)
    _require_separate(network)
    return output


def require_module(module: object) -> None:
    """Raise ConfigError (C53) where it is no torch.nn.Module."""
    if isinstance(module, type):
        raise ConfigError("C53", f"the class {module.__name__} itself, expected a torch.nn.Module", do="call the class")
    if not isinstance(module, nn.Module):
        raise ConfigError("C53", f"the module is {describe(module)}, expected a torch.nn.Module")


def has_features(module: nn.Module) -> bool:
    """Whether the module's class has a method `features`; a submodule of that name does not count."""
    return callable(getattr(type(module), "features", None))


def run_on_two_images(network: nn.Module, image_input: ImageInput, *, training: bool = False) -> object:
    """Whatever the network gives for two images, in eval mode or in training mode.

    Its modes, its buffers and torch's generators are afterwards as before. Raises ConfigError (C53) where it fails.
    """
    shape = (2, image_input.channels, image_input.size, image_input.size)
    device = next((tensor.device for tensor in network.state_dict().values()), torch.device("cpu"))
    images = torch.linspace(0, 255, 2 * image_input.channels * image_input.size**2, device=device).reshape(shape)
    drawn = torch.random.fork_rng(devices=[device] if device.type == "cuda" else [])
    with _in_mode(network, training), _keep_buffers(network), drawn, torch.no_grad():
        try:
            found: object = network(images)
        except FewlabelsError:
            raise
        except Exception as error:
            raise ConfigError(
                "C53", f"the network failed on images of shape {shape}: {type(error).__name__}: {error}"
            ) from error
    return found


@contextmanager
def _in_mode(network: nn.Module, training: bool) -> Iterator[None]:
    """Training or eval mode within; afterwards every part is in the mode it was in."""
    modes = {module: module.training for module in network.modules()}
    network.train(training)
    try:
        yield
    finally:
        for module, was in modes.items():
            module.training = was


@contextmanager
def _keep_buffers(network: nn.Module) -> Iterator[None]:
    """Running statistics may change within; afterwards they are what they were. A copy of all would be simpler, but
    not every module can be copied.
    """
    kept = [
        (module, name, buffer, None if nn.parameter.is_lazy(buffer) else buffer.detach().clone())
        for module in network.modules()
        for name, buffer in module.named_buffers(recurse=False, remove_duplicate=False)
    ]
    try:
        yield
    finally:
        with torch.no_grad():
            for module, name, buffer, values in kept:
                if values is None:  # it had no shape; what it has got, it keeps
                    continue
                if not torch.equal(buffer, values):  # an expanded one cannot be written to
                    buffer.copy_(values)
                setattr(module, name, buffer)


def _run_and_check(network: nn.Module, image_input: ImageInput, num_classes: int, *, training: bool = False) -> Output:
    """The output for two images, of the right shapes and finite."""
    output = require_output(run_on_two_images(network, image_input, training=training))
    _require_scores("logits", output.logits, num_classes)
    require_rows("descriptor", output.descriptor)
    if output.consistency_logits is not None:
        _require_scores("consistency_logits", output.consistency_logits, num_classes)
    return output


def _require_same_in_training(network: nn.Module, image_input: ImageInput, output: Output) -> None:
    """Raise ConfigError (C53) where it fails in training mode, or gives something else than in eval mode: output."""
    try:
        trained = _run_and_check(network, image_input, output.logits.shape[1], training=True)
    except ConfigError as error:
        raise ConfigError(error.code.removeprefix("FL-"), f"in training mode: {error.what}", do=error.do) from error
    came, expected = (describe(tuple(part for part in parts if part is not None)) for parts in (trained, output))
    if came != expected:
        raise ConfigError("C53", f"in training mode the network gives {came}, expected {expected} as in eval mode")


def require_output(given: object) -> Output:
    """What a network gave, as an Output. Raises ConfigError (C53) where it is not CONTRACT."""
    is_contract = isinstance(given, tuple) and len(given) in (2, 3)
    parts = (*given, None)[:3] if is_contract else ()  # type: ignore[misc]
    last_may_lack = parts and (parts[2] is None or isinstance(parts[2], torch.Tensor))
    if not last_may_lack or not all(isinstance(part, torch.Tensor) for part in parts[:2]):
        raise ConfigError("C53", f"the network gave {describe(given)}, expected a tuple of tensors {CONTRACT}")
    return Output(*parts)


def _require_scores(name: str, scores: torch.Tensor, num_classes: int) -> None:
    require_rows(name, scores)
    if scores.shape[1] != num_classes:
        raise ConfigError("C53", f"{name} is {describe(scores)}, expected (2, {num_classes}): a score for each class")


def require_rows(name: str, rows: torch.Tensor) -> None:
    """Raise ConfigError (C53) unless rows are finite float32 (2, d), a row for each of the two images."""
    if rows.dim() != 2 or rows.shape[0] != 2 or rows.shape[1] < 1 or rows.dtype != torch.float32:
        raise ConfigError("C53", f"{name} is {describe(rows)}, expected float32 of two dimensions, 2 rows of 2 images")
    if not bool(torch.isfinite(rows).all()):
        raise ConfigError(
            "C53", f"{name} has NaN or infinity for images of values in [0, 255], expected finite numbers"
        )


def _require_settings(output: Output, settings: NetworkSettings) -> None:
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


def describe(given: object) -> str:
    """What it is, for messages: dtype and shape of a tensor, length and parts of a tuple, else its type."""
    if isinstance(given, torch.Tensor):
        return f"{str(given.dtype).removeprefix('torch.')} {tuple(given.shape)}"
    if isinstance(given, tuple | list):
        return f"a {type(given).__name__} of {len(given)} ({', '.join(describe(part) for part in given[:4])})"
    return f"a {type(given).__name__}"
