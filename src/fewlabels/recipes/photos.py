"""Photos on a pretrained start: a head on a frozen trunk, trained by the paper's loop."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ..errors import ConfigError
from ..graph.settings import GraphSettings, Refinement
from ..nets.settings import ALIASES, NetworkSettings
from ..training.method_table import BY_NAME, BY_WORD, MethodName
from ..training.settings import AugmentSettings, Consistency, Matching, Optimization, Phase, TrainSettings
from .images import (
    BATCH_LABELED,
    BATCH_UNLABELED,
    CLIP_NORM,
    MATCHING_CONSISTENCY,
    SHORT_MATCHING,
    ImageOptions,
)
from .paper import scale_schedule

BACKBONE, NO_BACKBONE = "efficientnet-lite0", "none"
# Pretrained descriptors have purer neighbourhoods than those of a network that starts from nothing: fewer neighbours
# do best, and a prior with calibrated shares keeps large classes from running over small ones (docs/log.md).
PHOTO_GRAPH = GraphSettings(n_neighbors=20, alpha=0.98, refinement=Refinement(prior="labels", calibrate=True))
SUPERVISED_STEPS = 200
LP_STEPS = 600  # at least; more where 5 epochs are longer
FEWEST_EPOCHS, MOST_EPOCHS = 5, 40  # of a phase on all photos; each makes a graph
TUNED_STEPS, MOST_TUNED_EPOCHS = 200, 10  # of a phase that trains the trunk too: a hundred times the work of a head's
TUNED_RATE = 0.4  # times the learning rate: weights that know much are not to forget it


def choose_start(backbone: str | None, network: str | None, *, continues: bool = False) -> tuple[str, str]:
    """Backbone and network from what was asked for, None for nothing: who names a network trains it from nothing.

    continues: the network of a finished run is trained on, whatever it is.
    Raises ConfigError (C113) where both are named.
    """
    if network is not None and backbone not in (None, NO_BACKBONE):
        what = (
            f"backbone {backbone!r} and network {network!r}: a head on a pretrained backbone is trained, or a network"
        )
        raise ConfigError("C113", what, do="leave one of them out")
    if backbone is None:
        backbone = NO_BACKBONE if network is not None or continues else BACKBONE
    return ALIASES.get(backbone, backbone), network or ImageOptions.network


def choose_graph(backbone: str, named: Mapping[str, Any], before: GraphSettings | None = None) -> GraphSettings:
    """The usual settings of the graph, with a backbone or without, and those that are named instead.

    before: those of the run that is continued, which count as its usual ones.
    """
    given = {name: value for name, value in named.items() if value is not None}
    usual = before or (GraphSettings() if backbone == NO_BACKBONE else PHOTO_GRAPH)
    if given.get("mode") == "released":
        usual = replace(usual, refinement=Refinement())
    return replace(usual, **given)


def photo_settings(
    num_labeled: int,
    num_unlabeled: int,
    network: NetworkSettings,
    options: ImageOptions,
    *,
    unfrozen: int = 0,
    size: int = 0,
) -> TrainSettings:
    """Five epochs or 600 steps of a head on all photos; no phase on the labels alone where another follows.

    That phase is to give first descriptors, and those of the trunk are better than what a few labels teach a head by
    heart: 80.6 against 77.7 % with 5 labels for each class of CIFAR-10 (docs/log.md).

    network: a head, such as nets.frozen.frozen_settings gives. Rows are descriptors, so the only augmentation is to see
    the mirror image half of the time, where `network` has it: methods that match strong views have no other one.
    unfrozen: blocks of the trunk that a last phase trains too, on pixels, which are shifted, turned a little, stretched
    and mirrored; 0: no such phase. size: pixels along a side.
    Raises ConfigError C58 for a scale outside of (0, 1], C21 for a learning rate that is not a positive number.
    """
    methods, matches = BY_WORD[options.method].phases, BY_WORD[options.method].matches
    methods = tuple(method for method in methods if not BY_NAME[method].labeled_only) or methods
    phases = [_make_phase(method, num_labeled, num_unlabeled, options.learning_rate) for method in methods]
    augment = AugmentSettings(translate=0, flip=bool(network.option("mirror")))
    if unfrozen:
        phases.append(_make_tuning(phases[-1], num_labeled, num_unlabeled, unfrozen))
        augment = AugmentSettings(translate=size // 16, flip=options.flip, rotate=5, stretch=0.1)
    made = TrainSettings(
        phases=tuple(phases),
        graph=options.graph,
        augment=augment,
        network=replace(network, heads=2 if methods[0] == "mean_teacher" else 1),
        optimization=Optimization(clip_norm=CLIP_NORM),
        consistency=MATCHING_CONSISTENCY if matches else Consistency(),
        matching=replace(SHORT_MATCHING, strong=None) if matches else Matching(),
        seed=options.seed,
    )
    *before, last = scale_schedule(made, options.scale).phases
    return replace(made, phases=(*before, replace(last, epochs=options.epochs or last.epochs)))


def _make_phase(method: MethodName, num_labeled: int, num_unlabeled: int, learning_rate: float) -> Phase:
    labeled, unlabeled = min(BATCH_LABELED, num_labeled), min(BATCH_UNLABELED, num_unlabeled)
    if BY_NAME[method].labeled_only:
        return Phase(method, math.ceil(SUPERVISED_STEPS / (num_labeled // labeled)), learning_rate, labeled)
    epochs = min(MOST_EPOCHS, max(FEWEST_EPOCHS, round(LP_STEPS / (num_unlabeled // unlabeled))))
    return Phase(method, epochs, learning_rate, labeled, unlabeled)


def _make_tuning(before: Phase, num_labeled: int, num_unlabeled: int, unfrozen: int) -> Phase:
    """The phase of the same method that trains blocks of the trunk too."""
    steps = before.count_steps(num_labeled, num_unlabeled)
    epochs = min(MOST_TUNED_EPOCHS, max(2, round(TUNED_STEPS / steps)))
    return replace(before, epochs=epochs, learning_rate=TUNED_RATE * before.learning_rate, unfrozen=unfrozen)
