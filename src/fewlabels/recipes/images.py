"""Images of the user's own: settings from the size of the task."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from ..data.settings import AugmentSettings
from ..graph.settings import GraphSettings
from ..nets.settings import NetworkSettings
from ..train.settings import Phase, TrainSettings

SUPERVISED_STEPS = 400
LP_STEPS = 600
BATCH_LABELED, BATCH_UNLABELED = 50, 50  # the paper's, for CIFAR-10


@dataclass(frozen=True)
class ImageOptions:
    """What a user may choose. epochs: of the second phase; None: by size. flip: mirror left-right in training."""

    seed: int = 0
    epochs: int | None = None
    flip: bool = True
    graph: GraphSettings = field(default_factory=GraphSettings)


def images_lp(num_labeled: int, num_unlabeled: int, image_size: int, options: ImageOptions) -> TrainSettings:
    """Supervised for about 400 steps, then label propagation for about 600 (10 to 200 epochs), on a small network.

    The batch is the paper's 50 + 50, smaller where there are fewer rows. Shifts are an eighth of the image, as the
    paper's 4 of 32 pixels. More steps made it worse where labels are very few (LOG.md).
    """
    labeled, unlabeled = min(BATCH_LABELED, num_labeled), min(BATCH_UNLABELED, num_unlabeled)
    supervised_epochs = math.ceil(SUPERVISED_STEPS / (num_labeled // labeled))
    lp_epochs = options.epochs or min(200, max(10, round(LP_STEPS / (num_unlabeled // unlabeled))))
    return TrainSettings(
        phases=(
            Phase("supervised", epochs=supervised_epochs, learning_rate=0.05, batch_labeled=labeled),
            Phase("lp", epochs=lp_epochs, learning_rate=0.05, batch_labeled=labeled, batch_unlabeled=unlabeled),
        ),
        graph=options.graph,
        augment=AugmentSettings(translate=image_size // 8, flip=options.flip, rotate=5, stretch=0.1),
        network=NetworkSettings(dropout=0.3),
        seed=options.seed,
    )
