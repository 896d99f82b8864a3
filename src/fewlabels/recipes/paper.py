"""The paper's experiments: full settings for each cell of its tables.

`fewlabels reproduce cifar10 --labels 500 --method mt+lp --split 10` trains with them. Lines are those of the released
code (`ahmetius/LP-DeepSSL`, commit dd3b4aa); what is not as there stands in deviations.md.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

from ..data.benchmarks.facts import Benchmark
from ..errors import ConfigError
from ..graph.settings import GraphSettings, Mode
from ..nets.settings import NetworkSettings
from ..training.method_table import BY_NAME, BY_WORD, MethodName, MethodWord
from ..training.settings import AugmentSettings, Consistency, Matching, Optimization, Phase, TrainSettings

EPOCHS = 180  # of each phase; the cosine would end at 210 (helpers.py:302-316)
N_NEIGHBORS = 50  # cli.py:87
GAMMA, ALPHA = 3, 0.99  # lp/db_semisuper.py:288, 264
ENSEMBLING_EPOCHS, ENSEMBLING_BATCH = 300, 100  # Laine and Aila, for the Pi-model and temporal ensembling


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """What the paper does on one data set.

    label_counts: of its tables. splits: the numbers of the label files it averages over (README:41).
    learning_rate: largest. batch_labeled, batch_unlabeled: in a step on both kinds; labelled ones alone fill it all.
    augment: how training images are changed.
    """

    network: Literal["cnn13", "resnet18"]
    label_counts: tuple[int, ...]
    splits: tuple[int, ...]
    learning_rate: float
    batch_labeled: int
    batch_unlabeled: int
    augment: AugmentSettings

    @property
    def batch(self) -> int:
        return self.batch_labeled + self.batch_unlabeled


# Released code mean_teacher/datasets.py:25-39: a shift by up to 4 pixels, the border mirrored, and a flip.
CIFAR_AUGMENT = AugmentSettings(translate=4, flip=True)
# Released code datasets.py:104-118: a turn, of the nearest pixel as torchvision does it unless told otherwise, a crop
# with 8 black pixels around, a flip.
MINI_IMAGENET_AUGMENT = AugmentSettings(translate=8, flip=True, rotate=10.0, pad="zeros", sampling="nearest")
PROTOCOLS = {  # learning rates: cli.py:48, helpers.py:372, helpers.py:406
    "cifar10": Protocol(
        network="cnn13",
        label_counts=(500, 1000, 2000, 4000),
        splits=tuple(range(10, 20)),
        learning_rate=0.05,
        batch_labeled=50,
        batch_unlabeled=50,
        augment=CIFAR_AUGMENT,
    ),
    "cifar100": Protocol(
        network="cnn13",
        label_counts=(4000, 10_000),
        splits=(10, 11, 12),
        learning_rate=0.2,
        batch_labeled=31,
        batch_unlabeled=97,
        augment=CIFAR_AUGMENT,
    ),
    "mini-imagenet": Protocol(
        network="resnet18",
        label_counts=(4000, 10_000),
        splits=(10, 11, 12),
        learning_rate=0.2,
        batch_labeled=31,
        batch_unlabeled=97,
        augment=MINI_IMAGENET_AUGMENT,
    ),
}


def paper_settings(
    benchmark: Benchmark, num_labels: int, method: MethodWord, *, seed: int = 0, mode: Mode = "released"
) -> TrainSettings:
    """All settings of one cell of the paper's tables; or of a newer method on the same data, network and batches.

    mode: "released", as the numbers of the paper were made, or "paper", as its text says.
    Raises ConfigError C54 for a data set that is not the paper's, C24 for a method that is no word of method_table.py.
    """
    if benchmark.name not in PROTOCOLS:
        raise ConfigError("C54", f"the paper has no {benchmark.name!r}", do=f"it has {', '.join(PROTOCOLS)}")
    if method not in BY_WORD:
        raise ConfigError("C24", f"method is {method!r}, expected one of {', '.join(BY_WORD)}")
    if method in ("pi", "te"):
        return _ensembling_settings(benchmark, num_labels, method, seed, mode)
    if BY_WORD[method].matches:
        return _matching_settings(benchmark, method, seed, mode)
    protocol, taught = PROTOCOLS[benchmark.name], method in ("mt", "mt+lp")
    return TrainSettings(
        phases=tuple(_make_phase(protocol, name) for name in BY_WORD[method].phases),
        # Unit descriptors (isL2) for LP, two heads for Mean Teacher (README:39-59, helpers.py:423-426).
        network=NetworkSettings(protocol.network, heads=2 if taught else 1, unit_descriptor=not taught),
        graph=_make_graph(mode),
        augment=protocol.augment,
        optimization=Optimization(
            optimizer="sgd", momentum=0.9, weight_decay=2e-4, schedule="cosine", cosine_stretch=210 / 180
        ),
        consistency=Consistency(weight=100.0, rampup_epochs=5, ema_decay=0.97, logit_distance=0.01),
        seed=seed,
    )


def _matching_settings(benchmark: Benchmark, method: MethodWord, seed: int, mode: Mode) -> TrainSettings:
    """A method that matches strong views, with FixMatch's constants: docs/matching.md.

    One phase of the paper's epochs, network, batches and largest learning rate, which falls to zero; no dropout, and
    descriptors as they come, as FixMatch's networks have them.
    """
    protocol = PROTOCOLS[benchmark.name]
    return TrainSettings(
        phases=tuple(_make_phase(protocol, name) for name in BY_WORD[method].phases),
        network=NetworkSettings(
            protocol.network, unit_descriptor=False, dropout=0.0 if protocol.network == "cnn13" else None
        ),
        graph=_make_graph(mode),
        augment=protocol.augment,
        optimization=Optimization(
            optimizer="sgd", momentum=0.9, weight_decay=5e-4, schedule="cosine", cosine_stretch=1.0
        ),
        consistency=Consistency(weight=1.0, rampup_epochs=0, ema_decay=0.999),
        matching=Matching(),
        seed=seed,
    )


def _make_phase(protocol: Protocol, method: MethodName) -> Phase:
    if BY_NAME[method].labeled_only:
        return Phase(method, EPOCHS, protocol.learning_rate, protocol.batch)
    return Phase(method, EPOCHS, protocol.learning_rate, protocol.batch_labeled, protocol.batch_unlabeled)


def _make_graph(mode: Mode) -> GraphSettings:
    return GraphSettings(n_neighbors=N_NEIGHBORS, gamma=GAMMA, alpha=ALPHA, mode=mode)


def _ensembling_settings(
    benchmark: Benchmark, num_labels: int, method: Literal["pi", "te"], seed: int, mode: Mode
) -> TrainSettings:
    """Laine and Aila's two methods, whose numbers the paper copies: 300 epochs of 50,000 images in batches of 100.

    Their batches mix all images; ours have as many labelled ones as theirs have on average, so that the steps are 500
    an epoch and labels weigh as much. Their other network, ZCA and noise are left out: deviations.md.
    """
    share = num_labels / benchmark.num_train
    labeled = max(1, round(ENSEMBLING_BATCH * share))
    most = 100.0 if method == "pi" or benchmark.name != "cifar10" else 30.0
    (name,) = BY_WORD[method].phases
    protocol = PROTOCOLS[benchmark.name]
    return TrainSettings(
        phases=(Phase(name, ENSEMBLING_EPOCHS, 0.003, labeled, ENSEMBLING_BATCH - labeled),),
        network=NetworkSettings(protocol.network, unit_descriptor=False),
        graph=_make_graph(mode),
        augment=replace(protocol.augment, translate=2) if benchmark.side == 32 else protocol.augment,
        optimization=Optimization(
            optimizer="adam", momentum=0.9, weight_decay=0.0, schedule="ramps", rampup_epochs=80, rampdown_epochs=50
        ),
        consistency=Consistency(weight=most * share, rampup_epochs=80, memory=0.6),
        seed=seed,
    )


def scale_schedule(settings: TrainSettings, share: float) -> TrainSettings:
    """The settings with every phase, and the ramps in it, shortened to this share: rounded, at least one epoch.

    Learning rates fall as far as before, over fewer steps. Raises ConfigError C58 for a share outside of (0, 1].
    """
    if not 0 < share <= 1:
        raise ConfigError("C58", f"scale is {share!r}, expected a share above 0 and up to 1")

    def shorten(epochs: int) -> int:
        return max(1, math.floor(epochs * share + 0.5)) if epochs else 0

    optimization = replace(
        settings.optimization,
        rampup_epochs=shorten(settings.optimization.rampup_epochs),
        rampdown_epochs=shorten(settings.optimization.rampdown_epochs),
    )
    return replace(
        settings,
        phases=tuple(replace(phase, epochs=shorten(phase.epochs)) for phase in settings.phases),
        optimization=optimization,
        consistency=replace(settings.consistency, rampup_epochs=shorten(settings.consistency.rampup_epochs)),
    )


# Of one image through the network, forward, in GFLOP (two for each multiply-add of convolutions and linear layers).
GFLOP = {"cnn13": 1.463, "resnet18": 0.592}
FORWARDS = {  # times that work, for each image of a step; a backward pass is two forward ones
    "supervised": 3,
    "lp": 3,
    "pi_model": 4,
    "temporal_ensembling": 3,
    "mean_teacher": 4,
    "mt_lp": 4,
    "match": 4,
    "strong_lp": 4,
    "match_lp": 4,
}


def petaflops(settings: TrainSettings, num_labels: int, benchmark: Benchmark) -> float:
    """PFLOP of a whole run with one of the paper's networks. Graph, augmentation and test are not counted."""
    images = 0.0
    for phase in settings.phases:
        steps = phase.epochs * phase.count_steps(num_labels, benchmark.num_train - num_labels)
        images += FORWARDS[phase.method] * steps * (phase.batch_labeled + phase.batch_unlabeled)
        images += phase.epochs * benchmark.num_train if BY_NAME[phase.method].propagates else 0
    return images * GFLOP[settings.network.kind] / 1e6
