"""What the network says of images, without changing it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import nn

from ..nets import Output

BATCH = 512


class Evaluation(NamedTuple):
    """logits: (n, c) float32. descriptors: (n, d) float32."""

    logits: np.ndarray
    descriptors: np.ndarray


@torch.no_grad()
def evaluate(network: nn.Module, images: torch.Tensor) -> Evaluation:
    """Logits and descriptors of clean images, in eval mode. images: (n, c, h, w) uint8 on the network's device.

    The paper describes the image itself; the released code describes one random augmentation of it
    (helpers.py:64, 89-94), which only adds noise to the graph.
    """
    training = network.training
    network.eval()
    outputs = [Output(*network(batch)) for batch in torch.split(images, BATCH)]
    network.train(training)
    return Evaluation(
        torch.cat([output.logits for output in outputs]).float().cpu().numpy(),
        torch.cat([output.descriptor for output in outputs]).float().cpu().numpy(),
    )


def error_percent(logits: np.ndarray, truth: np.ndarray) -> float:
    """Share of rows whose largest logit is not the true class, in percent. Rows of truth -1 do not count."""
    known = truth >= 0
    return float(100 * (logits.argmax(axis=1) != truth)[known].mean())
