"""Strong views on a GPU: CIFAR-10 from 500 labels in five minutes a run, the real network, the last epoch.

    python -m benchmarks.gpu.matching             # match+lp, then match, on splits 10 to 12, while --minutes last
    python -m benchmarks.gpu.matching --tiny      # the same code in seconds, on the CPU, on made-up images

Aim: 8 % of error. With long budgets 4.3 to 4.8 % are published for other networks (docs/matching.md). Batches of 128
labelled and 512 unlabelled images, 80 epochs of 96 steps: 27 PFLOP, and 4 more for the descriptors of match+lp.
Runs, time limit, resuming and what comes back in $OUT (matching.jsonl and runs/) are as in reproduce.py.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import threading
import time
from dataclasses import replace
from pathlib import Path

import torch

from benchmarks.gpu.graph import ROOT, origin
from benchmarks.gpu.reproduce import made_up
from fewlabels.commands.task import Task
from fewlabels.commands.training import RunOptions, run_training
from fewlabels.data.benchmarks.datasets import Dataset, load_dataset
from fewlabels.data.benchmarks.facts import CIFAR10
from fewlabels.data.benchmarks.splits import few_labels
from fewlabels.errors import Interrupted
from fewlabels.nets.settings import NetworkSettings
from fewlabels.recipes.paper import paper_settings
from fewlabels.training.method_table import BY_WORD, MethodWord
from fewlabels.training.settings import TrainSettings

WORDS: tuple[MethodWord, ...] = ("match+lp", "match")
LABELS, SPLITS, EPOCHS, RATE, BATCH_LABELED, BATCH_UNLABELED = 500, (10, 11, 12), 80, 0.1, 128, 512


def settings(word: MethodWord, split: int) -> TrainSettings:
    """The constants of docs/matching.md, larger batches, a shorter phase, and the graph as the paper says it."""
    made = paper_settings(CIFAR10, LABELS, word, seed=split, mode="paper")
    larger = {"epochs": EPOCHS, "learning_rate": RATE, "batch_labeled": BATCH_LABELED}
    return replace(
        made, phases=tuple(replace(phase, **larger, batch_unlabeled=BATCH_UNLABELED) for phase in made.phases)
    )


def shorten(made: TrainSettings) -> TrainSettings:
    phases = tuple(replace(phase, epochs=1, batch_labeled=10, batch_unlabeled=50) for phase in made.phases)
    small = NetworkSettings("small", width=2, first_stride=2, dropout=0.0)
    return replace(made, phases=phases, network=small, graph=replace(made.graph, n_neighbors=5))


def task(dataset: Dataset, split: int, num_labels: int) -> Task:
    few = few_labels(dataset, num_labels, split)
    return Task(
        pixels=dataset.pixels,
        labels=few.labels,
        ids=dataset.ids,
        class_names=dataset.class_names,
        title=f"CIFAR-10, {num_labels} labels, split {split} ({few.origin}), strong views",
        test_pixels=dataset.test_pixels,
        test_truth=dataset.test_truth,
        truth=dataset.truth,
        mean=[255 * value for value in CIFAR10.mean],
        std=[255 * value for value in CIFAR10.std],
    )


def train_one(made: Task, wanted: TrainSettings, folder: Path, how: RunOptions, end: float) -> dict[str, object] | None:
    """Results of one run; None where the time is over, whatever it is in."""
    if time.monotonic() >= end:
        return None
    timer = threading.Timer(end - time.monotonic(), os.kill, (os.getpid(), signal.SIGTERM))
    timer.start()
    try:
        return run_training(made, wanted, folder, how)
    except Interrupted:
        return None
    finally:
        timer.cancel()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--speed", choices=["deterministic", "fast"], default="fast")
    parser.add_argument("--data", type=Path, default=ROOT / "build" / "carry" / "cifar10")
    parser.add_argument("--cache", type=Path, default=ROOT / "build" / "decoded")
    parser.add_argument("--runs", type=Path, default=ROOT / "build" / "gpu-runs" / "matching")
    parser.add_argument("--minutes", type=float, default=8.5, help="after these the run is asked to stop")
    parser.add_argument("--tiny", action="store_true", help="short runs on made-up images on the CPU; no figures")
    options = parser.parse_args()
    end = time.monotonic() + 60 * options.minutes
    signal.signal(signal.SIGTERM, lambda *_: None)  # between two runs, where nothing listens yet, it must not kill us
    dataset = made_up() if options.tiny else load_dataset("cifar10", options.data, cache=options.cache)
    device, num_labels, splits = ("cpu", 20, SPLITS[:1]) if options.tiny else (options.device, LABELS, SPLITS)
    how = RunOptions(device=device, speed=options.speed, resume=True, quiet=options.tiny)
    about, records, state = origin(torch.device(device)) | {"speed": options.speed}, [], "all done"
    for split, word in [(split, word) for split in splits for word in WORDS]:
        wanted = shorten(settings(word, split)) if options.tiny else settings(word, split)
        folder = options.runs / word / f"split-{split}"
        results = train_one(task(dataset, split, num_labels), wanted, folder, how, end)
        if results is None:
            state = f"stopped before the end of {word}, split {split}: run again"
            break
        error = results[f"{BY_WORD[word].name}_teacher_error"]
        one = {"method": word, "labels": num_labels, "split": split, "error": error, "seconds": results["wall_seconds"]}
        records.append(one)
    out = Path(os.environ.get("OUT") or ROOT / "benchmarks" / "results" / "gpu")
    out.mkdir(parents=True, exist_ok=True)
    (out / "matching.jsonl").write_text("".join(json.dumps(about | one) + "\n" for one in records))
    if options.runs.exists():
        shutil.copytree(options.runs, out / "runs", dirs_exist_ok=True)
    print(f"{about['device']}, torch {about['torch']}, commit {about['commit']}, {options.speed}; in {out}; {state}")
    for one in records:
        print(f"{one['method']:<10} split {one['split']}: {one['error']:.2f} % in {one['seconds']:.0f} s")


if __name__ == "__main__":
    main()
