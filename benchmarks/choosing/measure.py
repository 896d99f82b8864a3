"""Right labels of few: fewlabels choosing by itself, with fixed settings, and the methods that a user would try first.

    python -m benchmarks.choosing.measure                 # all cells, the five first draws of everything first
    python -m benchmarks.choosing.measure --sets digits --per-class 5 50 --methods auto
    python -m benchmarks.choosing.tables                  # benchmarks/results/choosing.md and the chart

Sets, draws and folds: sets.py and labels.py; peers: peers.py. One line of results/choosing.jsonl for each set, number
of labels per class and draw: accuracy and balanced accuracy in percent of the rows without a label, and seconds, of
each method, with commit and processor. What the file has is not measured again, except `auto` at another commit.
Run it with one thread (OMP_NUM_THREADS=1): its seconds are of one core, and of a machine with other work on it.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from benchmarks.choosing.labels import PER_CLASS, SEEDS, draw_folds, draw_labels, enough_rows
from benchmarks.choosing.ours import auto, available
from benchmarks.choosing.peers import PEERS, SELF_TRAINING_CLASSES, SELF_TRAINING_SEEDS, Method
from benchmarks.choosing.sets import NAMES, read_set
from benchmarks.choosing.task import Ready, Task
from benchmarks.common.records import RESULTS, commit, machine, read

RECIPE = 1  # raise it where sets, draws, folds or peers change: earlier lines then count no more
METHODS: dict[str, Method] = {"auto": auto, **PEERS}
FIRST = 5  # draws measured everywhere before any others
Key = tuple[str, int, int]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", nargs="+", choices=NAMES, default=list(NAMES))
    parser.add_argument("--per-class", nargs="+", type=int, choices=PER_CLASS, default=list(PER_CLASS))
    parser.add_argument("--seeds", nargs="+", type=int, choices=SEEDS, default=list(SEEDS))
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--results", type=Path, default=RESULTS / "choosing.jsonl")
    options = parser.parse_args()
    about = {"recipe": RECIPE, "commit": commit(), "cpu": machine()["cpu"]}
    done = measured(read(options.results), str(about["commit"]))
    for seeds in ([s for s in options.seeds if s < FIRST], [s for s in options.seeds if s >= FIRST]):
        for name in options.sets:
            for line in measure_set(name, options, seeds, done):
                with options.results.open("a") as file:
                    file.write(json.dumps({**line, **about}) + "\n")


def measured(lines: Iterable[dict], now: str) -> set[tuple[Key, str]]:
    """Which methods have which cells. Ours counts where the code is today's."""
    return {
        ((line["set"], line["per_class"], line["seed"]), method)
        for line in lines
        if line["recipe"] == RECIPE
        for method in line["methods"]
        if method != "auto" or line["commit"] == now
    }


def measure_set(
    name: str, options: argparse.Namespace, seeds: list[int], done: set[tuple[Key, str]]
) -> Iterator[dict[str, object]]:
    """A line for each cell of a set that still lacks a method."""
    ready = None
    for per_class in options.per_class:
        start, count = time.perf_counter(), 0
        for seed in seeds:
            wanted = [method for method in options.methods if ((name, per_class, seed), method) not in done]
            wanted = [method for method in wanted if method != "auto" or available()]
            if not wanted:
                continue
            if ready is None:
                try:
                    ready = Ready(read_set(name))
                except FileNotFoundError as error:
                    print(f"{name} left out: {error}", file=sys.stderr, flush=True)
                    return
            if not enough_rows(ready.data, per_class):
                break
            figures = measure_draw(ready, per_class, seed, wanted)
            if figures:
                count += 1
                yield {"set": name, "per_class": per_class, "seed": seed, "methods": figures, "shape": shape(ready)}
        if count:
            print(
                f"{name}, {per_class} per class: {count} draws, {time.perf_counter() - start:.0f} s",
                file=sys.stderr,
                flush=True,
            )


def shape(ready: Ready) -> dict[str, int]:
    sizes = np.bincount(ready.data.truth)
    rows, features = ready.data.rows.shape
    return {
        "rows": rows,
        "features": features,
        "classes": sizes.size,
        "smallest": int(sizes.min()),
        "largest": int(sizes.max()),
    }


def measure_draw(ready: Ready, per_class: int, seed: int, wanted: list[str]) -> dict[str, list[float]]:
    """method -> accuracy, balanced accuracy, seconds."""
    labels = draw_labels(ready.data, per_class, seed)
    task = Task(ready, labels, draw_folds(labels[labels >= 0], seed))
    costly = seed >= SELF_TRAINING_SEEDS or ready.data.num_classes > SELF_TRAINING_CLASSES
    figures = {}
    for method in wanted:
        if method == "self-training" and costly:
            continue
        start = time.perf_counter()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of peers that do not converge; what comes of it counts
            found = METHODS[method](task)
        seconds = time.perf_counter() - start
        figures[method] = [*rates(found, ready.data.truth, labels < 0), round(seconds, 3)]
    return figures


def rates(found: np.ndarray, truth: np.ndarray, asked: np.ndarray) -> tuple[float, float]:
    """Accuracy and balanced accuracy in percent of the asked rows."""
    right, of = (found == truth)[asked], truth[asked]
    recalls = np.bincount(of, right) / np.maximum(np.bincount(of), 1)
    return round(100 * float(right.mean()), 3), round(100 * float(recalls[np.unique(of)].mean()), 3)


if __name__ == "__main__":
    main()
