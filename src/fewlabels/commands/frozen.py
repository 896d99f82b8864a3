"""What a run on a frozen trunk trains on and saves: descriptors computed once, and the whole network at the end."""

from __future__ import annotations

import time
from collections.abc import Callable
from copy import deepcopy
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import torch
from torch import nn

from ..describing.cache import DescriptorCache
from ..describing.network import Describer
from ..describing.photos import digest_square
from ..describing.settings import DescribeSettings
from ..errors import ConfigError
from ..nets.frozen import FrozenNetwork, Head, join_trunk, list_blocks
from ..nets.model import TRUNK, StoredModel, load_weights
from ..nets.pretrained import Backbone, digest_weights
from ..nets.settings import NetworkSettings
from ..storage.cache_folder import cache_folder
from ..training.epoch import batch_size, count_steps
from ..training.execution import Execution
from ..training.interrupt import Stopped, StopRequested
from ..training.settings import Phase
from .progress import Pace, Progress

TUNED_BLOCKS = 6  # of EfficientNet-Lite0's 18: the last two stages and the last convolution, 80 % of its weights
TRIED = 16  # photos of a trial step

OnStep = Callable[[int], None]  # called as on_step(photos)


class FollowPhotos:
    """A bar over photos that are described; raises Stopped where a signal asked to stop. stop: None never stops."""

    def __init__(self, total: int, name: str, *, quiet: bool, stop: StopRequested | None) -> None:
        self._total, self._done, self._stop = total, 0, stop
        self._bar, self._pace = Progress(total, name, unit="photo", quiet=quiet), Pace()

    def step(self, photos: int) -> None:
        if self._stop is not None and self._stop.requested is not None:
            raise Stopped
        self._done += photos
        self._pace.mark(self._done)
        left = self._pace.seconds(self._done, self._total)
        pace = "" if left is None else f"{(self._total - self._done) / left:.0f} photos/s"
        self._bar.step(pace, photos, left)

    def close(self) -> None:
        self._bar.close()


def estimate_seconds(backbone: Backbone, device: str) -> float:
    """About how long the backbone takes for a photo on the device, by a batch of black ones."""
    describer = Describer(backbone, DescribeSettings(device=device))
    batch = [np.zeros((describer.decoded_size, describer.decoded_size, 3), np.uint8)] * describer.batch
    describer(batch)  # the first batch is slower
    began = time.perf_counter()
    describer(batch)
    return (time.perf_counter() - began) / describer.batch


def choose_blocks(backbone: Backbone, device: str) -> int:
    """How many blocks of the backbone fine-tuning trains: a few on a processor, for its time; all on a GPU.

    Raises ConfigError (C134) for a backbone without weights.
    """
    there = len(list_blocks(backbone.trunk))
    if not there:
        what = f"--fine-tune, and backbone {backbone.name!r} has no weights that could be trained"
        raise ConfigError("C134", what, do="leave it out")
    return min(TUNED_BLOCKS, there) if device == "cpu" else there


def take_trunk(backbone: Backbone, start: StoredModel) -> Backbone:
    """The backbone with the trunk of the run that is continued, which may have been fine-tuned.

    Its digest is that of its weights, so descriptors of another trunk are never taken for its own.
    """
    trunk = deepcopy(backbone.trunk)
    load_weights(trunk, start.weights, where=start.folder / start.file, prefix=TRUNK)
    digest = digest_weights(trunk.network)
    if digest == backbone.weights_digest:
        return backbone
    return replace(backbone, trunk=trunk, weights_digest=digest, fine_tuned=True)


def estimate_tuning(
    backbone: Backbone, settings: NetworkSettings, phase: Phase, labels: np.ndarray, device: str
) -> float:
    """About how many seconds an epoch takes that trains blocks of the trunk, by one step on few black photos."""
    size, where = backbone.preprocessing.size, torch.device(device)
    network = join_network(backbone, Head(settings, backbone.width, 2), settings, copied=True).to(where).train()
    network.unfreeze(phase.unfrozen)
    images = torch.zeros(TRIED, 3, size, size, device=where).to(memory_format=torch.channels_last)

    def seconds(step: Callable[[], object]) -> float:
        began = time.perf_counter()
        step()
        return (time.perf_counter() - began) / TRIED

    def learn() -> None:
        network(images).logits.sum().backward()

    learn()  # the first step is slower
    learning = seconds(learn)
    with torch.no_grad():
        looking = seconds(lambda: network(images))
    steps, batch = count_steps(phase, labels), batch_size(phase, labels)
    return steps * batch * learning + len(labels) * looking


def describe_pixels(
    backbone: Backbone, pixels: np.ndarray, execution: Execution, *, mirror: bool, on_step: OnStep
) -> torch.Tensor:
    """Describe photos by the trunk: (n, views, d) float32 on the execution's device, the mirror image's second.

    pixels: (n, size, size, 3) uint8. A photo's numbers depend on no other photo, and are kept in the cache of
    `fewlabels describe`: a run that is taken up again computes them once. With several processes each computes its
    share; all get the whole. on_step may raise to stop.
    Raises NumericsError (P30) where some are not finite.
    """
    describer = Describer(backbone, DescribeSettings(device=str(execution.device)))
    cache = DescriptorCache(cache_folder(), describer.facts(), describer.width)
    num_views = 2 if mirror else 1
    parts = [np.empty((0, num_views, backbone.width), np.float32)]
    starts = range(0, len(pixels), describer.batch)
    try:
        for at in execution.group.span(len(starts)):
            held = pixels[starts[at] : starts[at] + describer.batch]
            views = [_describe(describer, cache, view) for view in (held, held[:, :, ::-1])[:num_views]]
            parts.append(np.stack(views, axis=1))
            on_step(len(held))
    finally:
        cache.close()
    rows = torch.from_numpy(np.concatenate(parts)).to(execution.device)
    return execution.group.gather(rows.flatten(1)).reshape(-1, num_views, describer.width)


def _describe(describer: Describer, cache: DescriptorCache, pixels: np.ndarray) -> np.ndarray:
    """(k, d) float32 for k photos, those that the cache has not computed in one batch."""
    squares = [np.ascontiguousarray(square) for square in pixels]
    digests = [digest_square(square) for square in squares]
    found = [cache.get(digest) for digest in digests]
    new = [at for at, row in enumerate(found) if row is None]
    for at, row in zip(new, describer([squares[at] for at in new]), strict=True):
        cache.put(digests[at], row)
        found[at] = row
    return np.stack([row for row in found if row is not None])


def join_network(
    backbone: Backbone, head: nn.Module, settings: NetworkSettings, *, copied: bool = False
) -> FrozenNetwork:
    """The whole network, from photos to classes: what is saved. copied: its trunk is one of its own, to be trained."""
    assert isinstance(head, Head)
    return join_trunk(replace(backbone, trunk=deepcopy(backbone.trunk)) if copied else backbone, head, settings)


def head_of(network: nn.Module) -> Head:
    """The head of what is trained: a head alone, or with a trunk."""
    head = network.head if isinstance(network, FrozenNetwork) else network
    assert isinstance(head, Head)
    return head


def backbone_facts(backbone: Backbone, *, fine_tuned: bool) -> dict[str, Any]:
    """What model.json says of the pretrained part. weights_digest: before it was trained on, where it was."""
    return {
        "name": backbone.name,
        "weights_digest": backbone.weights_digest,
        "source": backbone.source,
        "licence": backbone.licence,
        "preprocessing": asdict(backbone.preprocessing),
        **({"fine_tuned": True} if fine_tuned or backbone.fine_tuned else {}),
    }
