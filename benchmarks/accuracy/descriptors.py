"""Descriptors of CIFAR-10 images by a small network trained here, for benchmarks/accuracy/measure.py.

    FEWLABELS_DATA=data python -m benchmarks.accuracy.descriptors

Trains the network of nets/small.py, supervised, on the labels of 5,000 training images for a few minutes, and writes
its descriptors of 10,000 other training images, whose labels it never saw, to build/descriptors/cifar10.npz:
descriptors (10000, d) float32, truth (10000,) int64, error: the network's own test error in percent.
"""

from __future__ import annotations

import argparse
import os
import time
from functools import partial
from pathlib import Path

import numpy as np
import torch

from fewlabels.data.images.read import Images, read_images
from fewlabels.data.labels.files import encode_labels
from fewlabels.nets import ImageInput, NetworkSettings, build_network
from fewlabels.training.callbacks import Callbacks, EpochReport
from fewlabels.training.evaluate import error_percent, evaluate
from fewlabels.training.loop import train
from fewlabels.training.settings import AugmentSettings, Optimization, Phase, TrainSettings
from fewlabels.training.targets import PartialLabels

CACHE = Path(__file__).parents[2] / "build" / "descriptors" / "cifar10.npz"
NUM_LABELED, NUM_DESCRIBED, SEED, WIDTH = 5_000, 10_000, 0, 16


def images_of(pattern: str) -> tuple[torch.Tensor, np.ndarray]:
    """(n, 32, 32, 3) uint8 and (n,) int64 class numbers, in the order of the files."""
    found: Images = read_images(Path(os.environ["FEWLABELS_DATA"]) / "cifar10" / pattern)
    return torch.from_numpy(found.pixels), encode_labels(found.names, class_names=found.class_names).codes


def network_for(images: torch.Tensor, purpose: str) -> torch.nn.Module:
    wide = images.double()
    mean, std = wide.mean(dim=(0, 1, 2)).tolist(), wide.std(dim=(0, 1, 2)).tolist()
    torch.manual_seed(SEED)
    return build_network(NetworkSettings(width=WIDTH), ImageInput(3, 32, mean, std), 10)


def settings(epochs: int) -> TrainSettings:
    return TrainSettings(
        phases=(Phase("supervised", epochs=epochs, learning_rate=0.1, batch_labeled=100),),
        augment=AugmentSettings(translate=4, flip=True, rotate=0, stretch=0),
        network=NetworkSettings(width=WIDTH),
        optimization=Optimization(cosine_stretch=1.05),
        seed=SEED,
    )


def tell(report: EpochReport) -> None:
    print(f"epoch {report.number}: loss {report.loss:.3f}, {report.seconds:.0f} s", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=20)
    options = parser.parse_args()
    images, truth = images_of("train-*.parquet")
    order = np.random.default_rng(SEED).permutation(len(truth))
    labeled, described = np.split(order[: NUM_LABELED + NUM_DESCRIBED], [NUM_LABELED])
    start = time.perf_counter()
    names = [str(number) for number in range(10)]
    build, labels = partial(network_for, images[labeled]), PartialLabels(truth[labeled], names)
    callbacks = Callbacks(on_epoch=tell)
    network = train(build, images[labeled], labels, settings(options.epochs), callbacks=callbacks).network
    test_images, test_truth = images_of("test-*.parquet")
    error = error_percent(evaluate(network, test_images).logits, test_truth)
    print(f"test error {error:.1f} %, trained in {time.perf_counter() - start:.0f} s")
    CACHE.parent.mkdir(parents=True, exist_ok=True)
    descriptors = evaluate(network, images[described]).descriptors.numpy()
    np.savez(CACHE, descriptors=descriptors, truth=truth[described], error=error)


if __name__ == "__main__":
    main()
