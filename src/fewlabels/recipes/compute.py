"""How much arithmetic a cell of the paper's tables takes: multiplications and additions of the network."""

from __future__ import annotations

from ..data.benchmarks.facts import Benchmark
from ..training.settings import LABELED_ONLY, Phase, TrainSettings

# Of one image through the network, forward, in GFLOP (two for each multiply-add of convolutions and linear layers).
GFLOP = {"cnn13": 1.463, "resnet18": 0.592}
FORWARDS = {  # times that work, for each image of a step; a backward pass is two forward ones
    "supervised": 3,
    "lp": 3,
    "pi_model": 4,
    "temporal_ensembling": 3,
    "mean_teacher": 4,
    "mt_lp": 4,
}
DESCRIBING = ("lp", "mt_lp")  # these look at all images before every epoch


def steps_per_epoch(phase: Phase, num_labels: int, num_images: int) -> int:
    """Steps of one pass: over the labelled images, or over the others (train/epoch.py)."""
    if phase.method in LABELED_ONLY:
        return max(1, num_labels // phase.batch_labeled)
    return max(1, (num_images - num_labels) // phase.batch_unlabeled)


def petaflops(settings: TrainSettings, num_labels: int, benchmark: Benchmark) -> float:
    """PFLOP of a whole run with one of the paper's networks. Graph, augmentation and test are not counted."""
    images = 0.0
    for phase in settings.phases:
        steps = phase.epochs * steps_per_epoch(phase, num_labels, benchmark.num_train)
        images += FORWARDS[phase.method] * steps * (phase.batch_labeled + phase.batch_unlabeled)
        images += phase.epochs * benchmark.num_train if phase.method in DESCRIBING else 0
    return images * GFLOP[settings.network.kind] / 1e6
