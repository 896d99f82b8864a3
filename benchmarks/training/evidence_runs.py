"""The runs behind evidence.py: CIFAR-10 without a GPU, a small network, a shortened schedule, released splits.

    FEWLABELS_DATA=... python -m benchmarks.training.evidence_runs --out runs/evidence

For 500 and 4,000 labels and splits 10 to 12: supervised then LP, and Mean Teacher then MT + LP, by the released code's
rules. What is not the paper's: the network (small, width 16, first stride 2: 73,000 parameters), the phases on all rows
(6 epochs instead of 180, the ramp of the consistency weight 1 epoch instead of 5), and bfloat16. The supervised phase
is whole: 180 epochs. Finished runs are left alone, unfinished ones taken up. --part 1/2 does every second run.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from pathlib import Path

import torch

from fewlabels.commands.task import Task
from fewlabels.commands.training import RunOptions, run_training
from fewlabels.data.benchmarks.datasets import Dataset, load_dataset
from fewlabels.data.benchmarks.splits import few_labels
from fewlabels.graph import GraphSettings
from fewlabels.nets.settings import NetworkSettings
from fewlabels.recipes.paper import CIFAR_AUGMENT
from fewlabels.training.settings import Consistency, Phase, TrainSettings

TITLES = {"cifar10": "CIFAR-10", "cifar100": "CIFAR-100"}
COUNTS, SPLITS, EPOCHS, RATE = (500, 4000), (10, 11, 12), 6, 0.05


@dataclass(frozen=True)
class Cell:
    labels: int
    method: str
    split: int

    @property
    def name(self) -> str:
        return f"cifar10-{self.labels}-{self.method}/split-{self.split}"

    def settings(self) -> TrainSettings:
        """The released protocol, shortened. One seed for each split, as the released code varies both together."""
        taught = self.method == "mt_lp"
        if taught:
            first = Phase("mean_teacher", EPOCHS, RATE, 50, 50)
            second = Phase("mt_lp", EPOCHS, RATE, 50, 50)
        else:
            first, second = Phase("supervised", 180, RATE, 100), Phase("lp", EPOCHS, RATE, 50, 50)
        return TrainSettings(
            phases=(first, second),
            network=NetworkSettings(
                "small", heads=1 + taught, unit_descriptor=not taught, dropout=0.0, width=16, first_stride=2
            ),
            graph=GraphSettings(mode="released"),
            augment=CIFAR_AUGMENT,
            consistency=Consistency(rampup_epochs=1),
            seed=self.split,
        )


def cells() -> list[Cell]:
    return [Cell(count, method, split) for split in SPLITS for method in ("mt_lp", "lp") for count in COUNTS]


def task(dataset: Dataset, cell: Cell) -> Task:
    split = few_labels(dataset, cell.labels, cell.split)
    return Task(
        pixels=dataset.pixels,
        labels=split.labels,
        ids=[str(row) for row in range(len(dataset.truth))],
        class_names=dataset.class_names,
        title=f"{TITLES[dataset.benchmark.name]}, {cell.labels} labels, split {cell.split} ({split.origin}), "
        "small network, shortened",
        test_pixels=dataset.test_pixels,
        test_truth=dataset.test_truth,
        truth=dataset.truth,
        mean=[255 * value for value in dataset.benchmark.mean],
        std=[255 * value for value in dataset.benchmark.std],
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/evidence"))
    parser.add_argument("--part", default="1/1", help="which runs: 1/2 and 2/2 are half of them each")
    parser.add_argument("--until", type=float, default=float("inf"), help="seconds since 1970; then begin no new run")
    options = parser.parse_args()
    number, parts = map(int, options.part.split("/"))
    dataset = load_dataset("cifar10")
    for cell in cells()[number - 1 :: parts]:
        if not (options.out / cell.name / "manifest.json").exists() and time.time() > options.until:
            print(f"no time left for {cell.name}: run again")
            break
        how = RunOptions(speed="fast", resume=True)
        results = run_training(task(dataset, cell), cell.settings(), options.out / cell.name, how)
        errors = {name: value for name, value in results.items() if name.endswith("_error")}
        print(f"{cell.name}, {torch.get_num_threads()} threads: {errors}", flush=True)


if __name__ == "__main__":
    main()
