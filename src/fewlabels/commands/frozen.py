"""What a run on a frozen trunk trains on and saves: descriptors computed once, and the whole network at the end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from torch import nn

from ..errors import NumericsError
from ..nets.frozen import FrozenNetwork, Head
from ..nets.pretrained import Backbone
from ..nets.settings import NetworkSettings
from ..training.execution import Execution
from ..training.interrupt import Stopped, StopRequested
from .progress import Pace, Progress

GPU_BATCH = 256  # photos
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


@torch.no_grad()
def describe_pixels(
    backbone: Backbone, pixels: np.ndarray, execution: Execution, *, mirror: bool, on_step: OnStep
) -> torch.Tensor:
    """Describe photos by the trunk: (n, views, d) float32 on the execution's device, the mirror image's second.

    pixels: (n, size, size, 3) uint8. Batches have one shape, the last one filled up, so that a photo's numbers depend on
    no other photo. With several processes each computes its share; all get the whole. on_step may raise to stop.
    Raises NumericsError (P22), with the rows, where some are not finite.
    """
    trunk = backbone.trunk.to(execution.device).eval()
    batch = GPU_BATCH if execution.device.type == "cuda" else backbone.batch_size
    starts = range(0, len(pixels), batch)
    parts = []
    for at in execution.group.span(len(starts)):
        held = pixels[starts[at] : starts[at] + batch]
        full = np.zeros((batch, *pixels.shape[1:]), np.uint8)
        full[: len(held)] = held
        images = torch.from_numpy(full).to(execution.device).permute(0, 3, 1, 2)
        views = [trunk(images), *([trunk(images.flip(3))] if mirror else [])]
        parts.append(torch.stack(views, dim=1)[: len(held)].float())
        on_step(len(held))
    mine = torch.cat(parts) if parts else torch.empty(0, 2 if mirror else 1, backbone.width, device=execution.device)
    rows = execution.group.gather(mine.flatten(1)).unflatten(1, mine.shape[1:])
    bad = (~torch.isfinite(rows).flatten(1).all(dim=1)).nonzero()[:, 0].tolist()
    if bad:
        what = f"{backbone.name} describes {len(bad)} of {len(rows)} photos by NaN or infinity"
        raise NumericsError("P22", what, rows=bad, do="look at these photos")
    return rows


def join_network(backbone: Backbone, head: nn.Module, settings: NetworkSettings) -> FrozenNetwork:
    """The whole network, from photos to classes: what is saved."""
    assert isinstance(head, Head)
    return FrozenNetwork(backbone.trunk, head, mirror=bool(settings.option("mirror")))


def backbone_facts(backbone: Backbone) -> dict[str, Any]:
    """What model.json says of the pretrained part."""
    return {
        "name": backbone.name,
        "weights_digest": backbone.weights_digest,
        "source": backbone.source,
        "licence": backbone.licence,
        "preprocessing": asdict(backbone.preprocessing),
    }
