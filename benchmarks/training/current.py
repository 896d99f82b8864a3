"""Newer methods beside the paper's at an equal budget: CIFAR-10 without a GPU, a small network, the last epoch.

    python -m benchmarks.training.current                      # all 72 runs, 12 minutes each on a quiet core
    make evidence                                              # those that fit an hour; again for the next ones
    python -m benchmarks.training.current --data cifar100      # 36 runs more, for the order of the methods
    python -m benchmarks.training.current --short --labels 500 --splits 10      # minutes each; not the evidence

Six methods, 40, 250, 500 and 4,000 labels, released splits 10 to 12 (those of 40 and 250 labels are drawn, balanced).
The budget is work: passes of one image through the network, of which a step takes three for each image and one more
where a teacher looks (recipes/paper.py), and describing all images one each. Every method gets as many epochs as come
nearest to it. Finished runs are left alone, unfinished ones taken up; each that is finished is a line of
benchmarks/results/current.jsonl, with the error of its last epoch: the teacher's where there is one. --short takes
10,000 of the images and an eighth of the work. Constants were fixed before any run: nothing is chosen by an error.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from benchmarks.common.records import RESULTS, Record, machine, read
from benchmarks.training.evidence import shown
from benchmarks.training.evidence_runs import task
from fewlabels.commands.training import RunOptions, run_training
from fewlabels.conventions import UNLABELED
from fewlabels.data.benchmarks.datasets import Dataset, load_dataset
from fewlabels.data.benchmarks.splits import few_labels
from fewlabels.graph import GraphSettings
from fewlabels.graph.settings import Refinement
from fewlabels.nets.settings import NetworkSettings
from fewlabels.randomness import generator
from fewlabels.recipes.images import MATCHING_CONSISTENCY, SHORT_MATCHING
from fewlabels.recipes.paper import CIFAR_AUGMENT, FORWARDS
from fewlabels.runs import read_run
from fewlabels.training.method_table import BY_NAME, BY_WORD, MethodName, MethodWord
from fewlabels.training.settings import Consistency, Optimization, Phase, TrainSettings

COUNTS = {"cifar10": (40, 250, 500, 4000), "cifar100": (4000, 10_000)}
SPLITS, RATE, BATCH = (10, 11, 12), 0.05, 50
WORDS: tuple[MethodWord, ...] = ("supervised", "lp", "mt+lp", "match", "strong-lp", "match+lp")
WORK, ROWS = 4_000_000, 50_000
SHORT_WORK, SHORT_ROWS = 500_000, 10_000
SHARES = {"lp": (0.25, 0.75), "mt+lp": (0.5, 0.5)}  # of the work, for each phase


@dataclass(frozen=True)
class Cell:
    """One run. rows: training images, labelled and not. work: passes of one image through the network. data: a set."""

    word: MethodWord
    labels: int
    split: int
    rows: int = ROWS
    work: int = WORK
    data: str = "cifar10"

    @property
    def name(self) -> str:
        return f"{self.data}-{self.rows}-{self.work}/{self.labels}-{self.word}/split-{self.split}"

    def settings(self) -> TrainSettings:
        """The released protocol with fewer epochs, or FixMatch's with averages that follow faster, for so few steps."""
        names = BY_WORD[self.word].phases
        shares = SHARES.get(self.word, (1.0,))
        taught, matches = names[0] == "mean_teacher", BY_WORD[self.word].matches
        made = TrainSettings(
            phases=tuple(self._phase(name, share * self.work) for name, share in zip(names, shares, strict=True)),
            network=NetworkSettings(
                "small",
                heads=1 + taught,
                unit_descriptor=not (taught or matches),
                dropout=0.0,
                width=16,
                first_stride=2,
            ),
            graph=GraphSettings(mode="released"),
            augment=CIFAR_AUGMENT,
            consistency=Consistency(rampup_epochs=1),
            seed=self.split,
        )
        if not matches:
            return made
        return replace(
            made,
            graph=GraphSettings(refinement=Refinement(prior="labels", calibrate=True)),
            optimization=Optimization(weight_decay=5e-4, cosine_stretch=1.0),
            consistency=MATCHING_CONSISTENCY,
            matching=SHORT_MATCHING,
        )

    def _phase(self, method: MethodName, work: float) -> Phase:
        if BY_NAME[method].labeled_only:
            one = Phase(method, 1, RATE, min(2 * BATCH, self.labels))
        else:
            one = Phase(method, 1, RATE, min(BATCH, self.labels), BATCH)
        return replace(one, epochs=max(1, round(work / self.epoch_work(one))))

    def epoch_work(self, phase: Phase) -> int:
        counts = self.labels, self.rows - self.labels
        described = self.rows if BY_NAME[phase.method].propagates else 0
        return FORWARDS[phase.method] * phase.count_steps(*counts) * phase.batch_size(*counts) + described

    def spent(self) -> int:
        return sum(phase.epochs * self.epoch_work(phase) for phase in self.settings().phases)


def choose_rows(dataset: Dataset, cell: Cell) -> np.ndarray:
    """The labelled images of the split and others at random, in their order: as many as the cell has."""
    if cell.rows >= len(dataset.truth):
        return np.arange(len(dataset.truth))
    given = few_labels(dataset, cell.labels, cell.split).labels != UNLABELED
    key = generator(cell.split, "rows of a short benchmark").random(len(given))
    return np.sort(np.where(given, -1.0, key).argsort()[: cell.rows])


def train_cell(dataset: Dataset, cell: Cell, folder: Path) -> Record:
    made, rows = task(dataset, cell), choose_rows(dataset, cell)
    few = {"pixels": made.pixels[rows], "labels": made.labels[rows], "truth": dataset.truth[rows]}
    made = replace(made, **few, ids=[made.ids[row] for row in rows])
    run_training(made, cell.settings(), folder, RunOptions(resume=True))
    return read_cell(cell, folder)


def read_cell(cell: Cell, folder: Path) -> Record:
    """What the last epoch of a finished run came to."""
    run = read_run(folder)
    last, seconds = run.of("epoch")[-1], sum(epoch["seconds"] for epoch in run.of("epoch"))
    student, teacher = last["test_error"], last.get("teacher_test_error")
    return {
        "benchmark": "current",
        "data": cell.data,
        "method": cell.word,
        "labels": cell.labels,
        "split": cell.split,
        "rows": cell.rows,
        "work": cell.work,
        "spent": cell.spent(),
        "error": student if teacher is None else teacher,
        "student_error": student,
        "pseudo_label_accuracy": last.get("pseudo_label_accuracy"),
        "epochs": [phase.epochs for phase in cell.settings().phases],
        "seconds": round(seconds, 1),
        "threads": torch.get_num_threads(),
        "commit": run.facts["versions"]["commit"],
        "machine": machine(),
        "torch": run.facts["versions"]["torch"],
        "started": run.facts["started"],
    }


def list_cells(options: argparse.Namespace) -> Iterator[Cell]:
    """Split by split, so that what is there at any time compares all methods."""
    rows, work = (SHORT_ROWS, SHORT_WORK) if options.short else (ROWS, WORK)
    for split in options.splits:
        for labels in options.labels or COUNTS[options.data]:
            for word in options.methods:
                yield Cell(word, labels, split, rows, work, options.data)


def table(lines: Sequence[Record]) -> str:
    """Markdown: mean and standard deviation (n - 1) of the errors, and the paired differences that the target names."""
    newest = {(one["method"], one["labels"], one["split"]): one["error"] for one in lines}
    counts = sorted({labels for _, labels, _ in newest})
    rows = ["| | " + " | ".join(f"{count:,} labels" for count in counts) + " |", "|---" * (len(counts) + 1) + "|"]
    for word in WORDS:
        errors = [[error for key, error in newest.items() if key[:2] == (word, count)] for count in counts]
        rows.append(f"| {BY_WORD[word].title} | " + " | ".join(map(shown, errors)) + " |")
    for other in ("lp", "match"):
        pairs = [
            [error - newest[other, *key[1:]] for key, error in newest.items() if key[:2] == ("match+lp", count)]
            if all((other, *key[1:]) in newest for key in newest if key[:2] == ("match+lp", count))
            else []
            for count in counts
        ]
        rows.append(f"| the last less {BY_WORD[other].title} | " + " | ".join(map(shown, pairs)) + " |")
    return "\n".join(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/current"))
    parser.add_argument("--results", type=Path, default=RESULTS / "current.jsonl")
    parser.add_argument("--data", choices=COUNTS, default="cifar10")
    parser.add_argument("--labels", type=int, nargs="+", help="default: 40, 250, 500, 4000; CIFAR-100: 4000, 10000")
    parser.add_argument("--splits", type=int, nargs="+", default=SPLITS)
    parser.add_argument("--methods", nargs="+", choices=WORDS, default=WORDS)
    parser.add_argument("--short", action="store_true", help="10,000 images and an eighth of the work: no evidence")
    parser.add_argument("--part", default="1/1", help="which runs: 1/2 and 2/2 are half of them each")
    parser.add_argument("--until", type=float, default=float("inf"), help="seconds since 1970; then begin no new run")
    options = parser.parse_args()
    dataset = load_dataset(options.data)
    number, parts = map(int, options.part.split("/"))
    known = read(options.results)
    for cell in list(list_cells(options))[number - 1 :: parts]:
        folder = options.out / cell.name
        if not (folder / "manifest.json").exists() and time.time() > options.until:
            print(f"no time left for {cell.name}: run again")
            break
        line = train_cell(dataset, cell, folder)
        if line not in known:
            with options.results.open("a") as file:
                file.write(json.dumps(line) + "\n")
        print(f"{cell.name}: {line['error']:.2f} % in {line['seconds']:.0f} s", flush=True)
    rows = SHORT_ROWS if options.short else ROWS
    print(table([one for one in read(options.results) if (one["rows"], one["data"]) == (rows, options.data)]))


if __name__ == "__main__":
    main()
