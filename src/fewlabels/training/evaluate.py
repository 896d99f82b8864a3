"""Logits and descriptors of images by a network, in eval mode; the network is not changed."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import nn

from ..errors import NumericsError
from ..nets import Output
from .augment import Changes, augment
from .execution import Execution

# Images at a time. A CPU is quicker with what its caches hold (1.3 to 1.6 times here), a GPU with what fills it.
CPU_BATCH, GPU_BATCH = 128, 512


class Evaluation(NamedTuple):
    """logits: (n, c) float32. descriptors: (n, d) float32. Both on the network's device."""

    logits: torch.Tensor
    descriptors: torch.Tensor


@torch.no_grad()
def evaluate(
    network: nn.Module, images: torch.Tensor, execution: Execution | None = None, changes: Changes | None = None
) -> Evaluation:
    """Logits and descriptors of images, in eval mode. images: (n, h, w, c) uint8, or (n, views, d) as in loop.train.

    changes: what is done to each image first, on the network's device. The paper describes the image itself; the
    released code describes one random augmentation of it (helpers.py:64, 89-94), which only adds noise to the graph.
    With several processes each computes its share; all get the whole.
    """
    execution = execution or Execution(images.device)
    training = network.training
    network.eval()
    size = CPU_BATCH if execution.device.type == "cpu" else GPU_BATCH
    starts = range(0, images.shape[0], size)
    mine = [slice(starts[at], starts[at] + size) for at in execution.group.span(len(starts))]
    # A process without images still has to know how wide logits and descriptors are.
    parts = [_evaluate_batch(network, images, rows, execution, changes) for rows in mine or [slice(0, 1)]]
    network.train(training)
    whole = [torch.cat(part)[: None if mine else 0] for part in zip(*parts, strict=True)]
    return Evaluation(*(execution.group.gather(part) for part in whole))


def demand_finite_descriptors(found: Evaluation) -> torch.Tensor:
    """Return the descriptors. Raises NumericsError (P22), with the rows, where some are not finite."""
    bad = (~torch.isfinite(found.descriptors).all(dim=1)).nonzero()[:, 0].tolist()
    if bad:
        what = f"the network describes {len(bad)} of {len(found.descriptors)} images by NaN or infinity"
        raise NumericsError("P22", what, rows=bad, do="lower the learning rate, or look at these images")
    return found.descriptors


def _evaluate_batch(
    network: nn.Module, images: torch.Tensor, rows: slice, execution: Execution, changes: Changes | None
) -> tuple[torch.Tensor, torch.Tensor]:
    batch = images[rows].to(execution.device)
    shown = Changes() if changes is None else changes.map(lambda part: part[rows])
    with execution.autocast():
        output = Output(*network(augment(batch, shown)))
    return output.logits.float(), output.descriptor.float()


def error_percent(logits: torch.Tensor, truth: np.ndarray) -> float:
    """Share of rows whose largest logit is not the true class, in percent. Rows of truth -1 do not count."""
    known = truth >= 0
    return float(100 * (logits.argmax(dim=1).cpu().numpy() != truth)[known].mean())
