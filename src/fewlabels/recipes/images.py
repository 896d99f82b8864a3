"""Images of the user's own: settings from the size of the task."""

from __future__ import annotations

import math
from dataclasses import KW_ONLY, dataclass, field, replace

from ..graph.settings import GraphSettings
from ..nets.settings import NetworkSettings
from ..training.method_table import BY_NAME, BY_WORD, MethodName, MethodWord
from ..training.settings import AugmentSettings, Consistency, Matching, Optimization, Phase, TrainSettings
from .paper import scale_schedule

SUPERVISED_STEPS = 400
LP_STEPS = 600  # of each phase on all images
BATCH_LABELED, BATCH_UNLABELED = 50, 50  # the paper's, for CIFAR-10
SMALL_DROPOUT = 0.3
LEARNING_RATE = 0.05  # at the start of each phase, as the released code's for CIFAR-10 (cli.py:48)
# FixMatch's weight of 1 from the start. Averages follow in 100 steps instead of 1,000: a run has but 600.
MATCHING_CONSISTENCY = Consistency(weight=1.0, rampup_epochs=0, ema_decay=0.99)
SHORT_MATCHING = Matching(memory=0.99)
CLIP_NORM = 2.0  # a healthy step has a norm of 0.4 to 2; without it some runs lose all they learnt (docs/log.md)


@dataclass(frozen=True)
class ImageOptions:
    """What a user may choose about a run on images of their own.

    method: a word of training/method_table.py.
    network: a name of docs/networks.md, of a network that is trained as a whole.
    backbone: a name of docs/networks.md, of a pretrained network that stays as it is: a head on it is trained, and
        `network` does not count. "none": the network is trained from random weights.
    mirror: describe a photo by its mirror image too, with a backbone.
    fine_tune: train the last blocks of the backbone too, once the head is trained; on a GPU all of it.
    epochs: of the last phase; None: by the number of images. flip: mirror images left and right in training.
    scale: share of the epochs of every phase, unless `epochs` names them, as in recipes/paper.py.
    learning_rate: at the start of each phase.
    """

    method: MethodWord = "lp"
    network: str = "small"
    _: KW_ONLY
    backbone: str = "none"
    mirror: bool = False
    fine_tune: bool = False
    seed: int = 0
    epochs: int | None = None
    flip: bool = True
    graph: GraphSettings = field(default_factory=GraphSettings)
    scale: float = 1.0
    learning_rate: float = LEARNING_RATE


def image_settings(num_labeled: int, num_unlabeled: int, image_size: int, options: ImageOptions) -> TrainSettings:
    """Phases of about 400 steps on the labels alone, or 600 (10 to 200 epochs) on all images, on a small network.

    The batch is the paper's 50 + 50, smaller where there are fewer rows. Shifts are an eighth of the image, as the
    paper's 4 of 32 pixels. Gradients are clipped, which the paper does not. More steps made it worse where labels are
    very few (docs/log.md). Methods other than LP have the paper's constants and are not tuned to such short runs.
    Raises ConfigError C58 for a scale outside of (0, 1], C21 for a learning rate that is not a positive number.
    """
    methods, matches = BY_WORD[options.method].phases, BY_WORD[options.method].matches
    taught = methods[0] == "mean_teacher"  # as in the paper: two heads, and descriptors as they come
    made = TrainSettings(
        phases=tuple(_make_phase(method, num_labeled, num_unlabeled, options.learning_rate) for method in methods),
        graph=options.graph,
        augment=AugmentSettings(translate=image_size // 8, flip=options.flip, rotate=5, stretch=0.1),
        network=NetworkSettings(
            options.network,
            heads=2 if taught else 1,
            unit_descriptor=not (taught or matches),
            dropout=SMALL_DROPOUT if options.network == "small" else None,
        ),
        optimization=Optimization(clip_norm=CLIP_NORM),
        consistency=_make_consistency(options.method, num_labeled / (num_labeled + num_unlabeled)),
        matching=SHORT_MATCHING if matches else Matching(),
        seed=options.seed,
    )
    made = scale_schedule(made, options.scale)
    *before, last = made.phases
    return replace(made, phases=(*before, replace(last, epochs=options.epochs or last.epochs)))


def _make_phase(method: MethodName, num_labeled: int, num_unlabeled: int, learning_rate: float) -> Phase:
    labeled, unlabeled = min(BATCH_LABELED, num_labeled), min(BATCH_UNLABELED, num_unlabeled)
    if BY_NAME[method].labeled_only:
        return Phase(method, math.ceil(SUPERVISED_STEPS / (num_labeled // labeled)), learning_rate, labeled)
    epochs = min(200, max(10, round(LP_STEPS / (num_unlabeled // unlabeled))))
    return Phase(method, epochs, learning_rate, labeled, unlabeled)


def _make_consistency(method: MethodWord, share: float) -> Consistency:
    """Laine and Aila's two methods weigh the teacher by the share of labelled images; matching counts it whole."""
    if BY_WORD[method].matches:
        return MATCHING_CONSISTENCY
    most = {"pi": 100.0, "te": 30.0}
    return Consistency(weight=most[method] * share) if method in most else Consistency()


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
