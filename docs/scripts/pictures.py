"""Makes the pictures of the README.

python docs/scripts/pictures.py              # the spreading on a toy manifold
python docs/scripts/pictures.py runs/demo    # and the curves of that demo run
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from fewlabels import GraphSettings, propagate
from fewlabels.report import error_figure, gather, png, pseudo_labels_figure, spreading_figure
from fewlabels.storage import durable

IMAGES = Path(__file__).parents[1] / "images"
ARM_POINTS, ARMS, LABELS_PER_ARM = 400, 3, 2


def spirals(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Three interleaved noisy spiral arms. points: (1200, 2). labels: (1200,), -1 but for two rows of each arm."""
    rng = np.random.default_rng(seed)
    arm = np.repeat(np.arange(ARMS), ARM_POINTS)
    way = np.tile(np.sqrt(np.linspace(0.02, 1, ARM_POINTS)), ARMS)
    angle = 5.5 * way + 2 * np.pi * arm / ARMS
    points = way[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1) + rng.normal(0, 0.022, (arm.size, 2))
    labels = np.full(arm.size, -1)
    for number in range(ARMS):
        labels[rng.choice(np.flatnonzero(arm == number), LABELS_PER_ARM, replace=False)] = number
    return points, labels


def on_a_sphere(points: np.ndarray, width: float = 0.06) -> np.ndarray:
    """Points as descriptors whose cosine falls with distance: random Fourier features of a Gaussian kernel."""
    rng = np.random.default_rng(1)
    phase = points @ rng.normal(0, 1 / width, (2, 1000))
    return np.concatenate([np.cos(phase), np.sin(phase)], axis=1).astype(np.float32)


def spreading() -> None:
    points, labels = spirals()
    found = propagate(on_a_sphere(points), labels, GraphSettings(n_neighbors=10)).pseudo_labels
    durable.write_bytes(IMAGES / "spreading.png", png(spreading_figure(points, labels, found.label, found.certainty)))


def demo(run: str) -> None:
    curves = gather([run]).curves
    durable.write_bytes(IMAGES / "demo-error.png", png(error_figure(curves)))
    durable.write_bytes(IMAGES / "demo-pseudo-labels.png", png(pseudo_labels_figure(curves)))


if __name__ == "__main__":
    IMAGES.mkdir(exist_ok=True)
    spreading()
    for name in sys.argv[1:2]:
        demo(name)
