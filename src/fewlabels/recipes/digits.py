"""The demo: scikit-learn's handwritten digits from three labels per class."""

from __future__ import annotations

from ..data.settings import AugmentSettings
from ..graph.settings import GraphSettings
from ..nets.settings import NetworkSettings
from ..training.settings import Optimization, Phase, TrainSettings
from .images import CLIP_NORM

LABELS_PER_CLASS = 3


def digits_lp(seed: int = 0) -> TrainSettings:
    """Supervised on 30 labels, then label propagation. `fewlabels demo --seeds 5`"""
    return TrainSettings(
        phases=(
            Phase("supervised", epochs=200, learning_rate=0.05, batch_labeled=30),
            Phase("lp", epochs=30, learning_rate=0.1, batch_labeled=30, batch_unlabeled=70),
        ),
        graph=GraphSettings(n_neighbors=10),
        augment=AugmentSettings(translate=2, flip=False, rotate=25, stretch=0.3),
        network=NetworkSettings(width=24, dropout=0.2),
        optimization=Optimization(clip_norm=CLIP_NORM),
        seed=seed,
    )
