"""The network of a finished run, ready to be asked about new images."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load
from torch import nn

from ..errors import RunError, shown
from ..nets import ImageInput, NetworkSettings, build_network
from .resuming import Start, read_start


@dataclass(frozen=True)
class TrainedNetwork:
    """A network with its weights, in eval mode on the CPU.

    network: (b, channels, size, size) pixels in [0, 255] -> Output. image_input: their channels and size.
    class_names: of the columns of its logits.
    """

    network: nn.Module
    image_input: ImageInput
    class_names: tuple[str, ...]


def load_network(folder: str | Path, *, teacher: bool | None = None) -> TrainedNetwork:
    """The network of a finished run of train, demo or reproduce. torch's random numbers stay as they are.

    teacher: the averaging teacher instead of the network that it taught; None: where the run has one, as its error is
    the lower. A network `module:IMPORT.PATH:FUNCTION` runs the code that it names: look at model.json first where
    somebody else sent the run.
    Raises ConfigError where the run has no such network (C88), or its code is not to be had (C52, C53); RunError for
    what is no run (K4), a damaged file (K2), and weights that do not fit the network as it is built now (K7).
    """
    start = read_start(folder, teacher=teacher)
    network = _built(start.network, start.image_input, len(start.class_names))
    _fill(network, start)
    return TrainedNetwork(network.eval(), start.image_input, tuple(start.class_names))


def _built(settings: NetworkSettings, image_input: ImageInput, num_classes: int) -> nn.Module:
    """The network with weights that are about to be replaced: none are downloaded."""
    with torch.random.fork_rng(devices=[]):
        return build_network(replace(settings, pretrained=None), image_input, num_classes)


def _fill(network: nn.Module, start: Start) -> None:
    """Give the network the weights of the run. Raises RunError (K7) where they are not its own."""
    try:
        network.load_state_dict(load(start.weights))
    except (RuntimeError, SafetensorError) as error:
        what = f"the weights do not fit the network as it is built now: {shown(error, 500)}"
        do = "use the code and the versions that the run was made with"
        raise RunError("K7", what, where=start.folder / start.file, do=do) from error
