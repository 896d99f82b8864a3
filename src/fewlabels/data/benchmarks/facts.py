"""The benchmark data sets of the paper: facts only, nothing is read here."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """side: height and width in pixels. num_train, num_test: images, as many of each class.

    mean, std: of the channels red, green, blue, in units of 0 to 1; what the released code normalises with.
    hub: its repository on the Hugging Face hub.
    test_names: what its test images are called; the first name found is taken.
    """

    name: str
    side: int
    num_classes: int
    num_train: int
    num_test: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    hub: str
    test_names: tuple[str, ...] = ("test",)


CIFAR10 = Benchmark(
    name="cifar10",
    side=32,
    num_classes=10,
    num_train=50_000,
    num_test=10_000,
    mean=(0.4914, 0.4822, 0.4465),
    std=(0.2470, 0.2435, 0.2616),
    hub="uoft-cs/cifar10",
)
# The statistics are those of CIFAR-10: so the released code has it (datasets.py:60-61), and says that it is a question.
CIFAR100 = replace(CIFAR10, name="cifar100", num_classes=100, hub="uoft-cs/cifar100")
MINI_IMAGENET = Benchmark(
    name="mini-imagenet",
    side=84,
    num_classes=100,
    num_train=50_000,
    num_test=10_000,
    mean=(120.396 / 255, 115.594 / 255, 104.540 / 255),
    std=(70.682 / 255, 68.276 / 255, 72.545 / 255),
    # Its `train` and `validation` have 500 and 100 images per class; its `test` are 50 from elsewhere (dataset card).
    hub="timm/mini-imagenet",
    test_names=("validation", "val", "test"),
)
BENCHMARKS = {benchmark.name: benchmark for benchmark in (CIFAR10, CIFAR100, MINI_IMAGENET)}
