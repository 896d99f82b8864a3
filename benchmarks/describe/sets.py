"""Descriptors of CIFAR-10 and CIFAR-100 by the default backbone, for the accuracy and speed benchmarks.

    FEWLABELS_DATA=data python -m benchmarks.describe.sets

Describes the first 10,000 training images of each set, and the first 2,000 test images, with `fewlabels.describe`, and
writes build/descriptors/SET-lite0-SIZE.npz: train (10000, d) float32, train_labels (10000,) int64, test (2000, d),
test_labels (2000,), class_names, made (JSON: the model, its weights, versions). What the cache of descriptors has is
not computed again. At 160 pixels 24,000 images take about five minutes of one core. With --whole: all 50,000 training
images, in build/descriptors/SET-lite0-SIZE-whole.npz, for the speed benchmarks.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from PIL import Image

import fewlabels as fl
from fewlabels.data.images.sources import open_source
from fewlabels.data.labels.files import encode_labels

FOLDER = Path(__file__).parents[2] / "build" / "descriptors"
SETS = ("cifar10", "cifar100")
NUM_TRAIN, NUM_TEST = 10_000, 2_000
NUM_WHOLE = 50_000  # all training images: for speed


@dataclass(frozen=True)
class DescriptorSet:
    """Rows of a benchmark, described. train: (n, d) float32. train_labels: (n,) int64. test: others, likewise."""

    train: np.ndarray
    train_labels: np.ndarray
    test: np.ndarray
    test_labels: np.ndarray
    class_names: list[str]


def path_of(name: str, size: int = 160, mirror: bool = False, whole: bool = False, folder: Path = FOLDER) -> Path:
    return folder / f"{name}-lite0-{size}{'-mirror' if mirror else ''}{'-whole' if whole else ''}.npz"


def load(name: str, size: int = 160, mirror: bool = False, whole: bool = False, folder: Path = FOLDER) -> DescriptorSet:
    """A set that `make descriptors` has made. Raises FileNotFoundError."""
    with np.load(path_of(name, size, mirror, whole, folder)) as found:
        arrays = {part: found[part] for part in ("train", "train_labels", "test", "test_labels")}
        return DescriptorSet(**arrays, class_names=found["class_names"].tolist())


def describe_part(pattern: Path, count: int, size: int, mirror: bool) -> tuple[fl.Descriptors, np.ndarray, list[str]]:
    """Descriptors and class numbers of the first images of Parquet files."""
    source = open_source(pattern)
    codes = encode_labels(source.names, class_names=source.class_names)

    def pictures() -> Iterator[Image.Image]:
        for content in islice(source.files(), count):
            assert isinstance(content, bytes)
            yield Image.open(io.BytesIO(content))

    found = fl.describe(pictures(), size=size, mirror=mirror)
    return found, codes.codes[:count], list(codes.class_names)


def make(name: str, size: int, mirror: bool, whole: bool, data: Path, folder: Path) -> Path:
    count = NUM_WHOLE if whole else NUM_TRAIN
    train, train_labels, class_names = describe_part(data / name / "train-*.parquet", count, size, mirror)
    test, test_labels, _ = describe_part(data / name / "test-*.parquet", NUM_TEST, size, mirror)
    folder.mkdir(parents=True, exist_ok=True)
    path = path_of(name, size, mirror, whole, folder)
    arrays = {"train": train.values, "train_labels": train_labels, "test": test.values, "test_labels": test_labels}
    np.savez(path, **arrays, class_names=np.array(class_names), made=json.dumps(train.facts))
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", nargs="+", choices=SETS, default=SETS)
    parser.add_argument("--size", type=int, default=160)
    parser.add_argument("--mirror", action="store_true")
    parser.add_argument("--whole", action="store_true", help="all training images")
    parser.add_argument("--output", type=Path, default=FOLDER)
    options = parser.parse_args()
    for name in options.sets:
        start, work = time.perf_counter(), time.process_time()
        data = Path(os.environ["FEWLABELS_DATA"])
        path = make(name, options.size, options.mirror, options.whole, data, options.output)
        seconds, work = time.perf_counter() - start, time.process_time() - work
        count = (NUM_WHOLE if options.whole else NUM_TRAIN) + NUM_TEST
        print(f"{path}: {count:,} images in {seconds:.0f} s, {work:.0f} s of a core", flush=True)


if __name__ == "__main__":
    main()
