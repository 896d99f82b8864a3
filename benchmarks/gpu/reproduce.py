"""Cells of the paper's CIFAR-10 table on a GPU, ten minutes at a time, beside what is expected.

    python -m benchmarks.gpu.reproduce               # goes on with the first cell that is not done; call it again
    python -m benchmarks.gpu.reproduce --tiny        # the same code in seconds, on the CPU, on made-up images

The runs are folders of `fewlabels reproduce` in --runs, which is ignored by git: a machine that stays has them again.
After --minutes the run is asked to stop as a signal would; it saves itself and is gone on with by the next call. All
folders, with checkpoints, are copied to $OUT/runs, to be put back into --runs on another machine; $OUT/reproduce.jsonl
has a line for each split. --data holds CIFAR-10 as Parquet and splits/ (train-*.parquet are 4 x 22 MB, test 18 MB):
where a call may carry 64 MiB, two calls bring it. Decoded images are kept in --cache.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import sys
import threading
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "src"))  # a bare machine runs this from a checkout, with nothing installed

from benchmarks.gpu.graph import origin  # noqa: E402
from fewlabels.commands.reproduce.cells import Cell, Variant  # noqa: E402
from fewlabels.commands.reproduce.outcomes import read_outcome  # noqa: E402
from fewlabels.commands.reproduce.run import Request, reproduce  # noqa: E402
from fewlabels.commands.training import RunOptions  # noqa: E402
from fewlabels.data.benchmarks.datasets import Dataset, load_dataset  # noqa: E402
from fewlabels.data.benchmarks.facts import CIFAR10  # noqa: E402
from fewlabels.errors import Interrupted  # noqa: E402
from fewlabels.nets import NetworkSettings  # noqa: E402


@dataclass(frozen=True)
class Wanted:
    """A cell of the table on some splits; expected: test error in percent of one split, from reruns and the paper."""

    num_labels: int
    method: str
    splits: tuple[int, ...]
    expected: str


# In this order. The supervised row comes with label propagation, whose first phase it is.
ORDER = (
    Wanted(500, "lp", (10,), "32.5 +- 3"),
    Wanted(500, "supervised", (10,), "48.4 +- 2"),
    Wanted(500, "mt+lp", (10,), "24 to 29"),
    Wanted(4000, "lp", (10,), "12.7 +- 0.8"),
    Wanted(500, "lp", tuple(range(11, 20)), "mean 32.4"),
    Wanted(4000, "lp", tuple(range(11, 20)), "mean 12.7"),
    Wanted(500, "mt+lp", tuple(range(11, 20)), "mean 24.0"),
)
TINY = Variant(scale=0.012, network=NetworkSettings("small", width=2, first_stride=2))


@dataclass(frozen=True)
class Plan:
    """What is to be done: cells of this benchmark, as `variant` says, in the folder `runs`."""

    dataset: Dataset
    variant: Variant
    order: tuple[Wanted, ...]
    runs: Path

    def cell(self, wanted: Wanted) -> Cell:
        return Cell(self.dataset.benchmark, wanted.num_labels, wanted.method)


def work(plan: Plan, how: RunOptions, end: float) -> str:
    """Train until all is done or the time is over; which of the two."""
    for wanted in plan.order:
        for split in wanted.splits:
            if time.monotonic() >= end:
                return "out of time: run again"
            timer = threading.Timer(end - time.monotonic(), os.kill, (os.getpid(), signal.SIGTERM))
            timer.start()
            try:
                request = Request([plan.cell(wanted)], [split], plan.variant, plan.runs)
                reproduce(request, lambda: plan.dataset, how)
            except Interrupted:
                return f"stopped in {wanted.method}, {wanted.num_labels} labels, split {split}: run again"
            finally:
                timer.cancel()
    return "all done"


def found(plan: Plan) -> list[dict[str, object]]:
    """One record for each split that has ended, in the order of the cells."""
    records = []
    for wanted in plan.order:
        for split in wanted.splits:
            one = read_outcome(plan.cell(wanted), split, plan.variant, plan.runs)
            if one is not None:
                about = {"labels": wanted.num_labels, "method": wanted.method, "split": split}
                errors = {"student": one.student, "teacher": one.teacher, "before": one.before}
                records.append(about | {"expected": wanted.expected, **errors, "folder": one.folder.name})
    return records


def made_up() -> Dataset:
    """120 images of ten shades."""
    rng, truth, test = np.random.default_rng(0), np.repeat(np.arange(10), 12), np.arange(30) % 10
    shades = 19 * np.append(truth, test)[:, None, None, None]
    pixels = (rng.integers(0, 60, (150, 12, 12, 3)) + shades).astype(np.uint8)
    tiny = replace(CIFAR10, side=12, num_train=120, num_test=30)
    names, ids = [f"class {code}" for code in range(10)], [str(row) for row in range(120)]
    return Dataset(
        benchmark=tiny,
        pixels=pixels[:120],
        truth=truth,
        test_pixels=pixels[120:],
        test_truth=test,
        class_names=names,
        ids=ids,
    )


def table(records: list[dict[str, object]]) -> list[str]:
    lines = [f"{'method':<11} {'labels':>6} {'split':>5} {'student':>8} {'teacher':>8}  expected"]
    for one in records:
        errors = " ".join(
            f"{'-' if value is None else f'{value:.2f}':>8}" for value in (one["student"], one["teacher"])
        )
        lines.append(f"{one['method']:<11} {one['labels']:>6} {one['split']:>5} {errors}  {one['expected']}")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--speed", choices=["deterministic", "fast"], default="fast")
    parser.add_argument("--data", type=Path, default=ROOT / "build" / "carry" / "cifar10")
    parser.add_argument("--cache", type=Path, default=ROOT / "build" / "decoded")
    parser.add_argument("--runs", type=Path, default=ROOT / "build" / "gpu-runs")
    parser.add_argument("--minutes", type=float, default=8.5, help="after these the run is asked to stop")
    parser.add_argument("--cells", type=int, default=len(ORDER), help="only the first so many of the list")
    parser.add_argument("--tiny", action="store_true", help="short runs on made-up images on the CPU; no figures")
    options = parser.parse_args()
    end = time.monotonic() + 60 * options.minutes
    signal.signal(signal.SIGTERM, lambda *_: None)  # between two runs, where nothing listens yet, it must not kill us
    if options.tiny:
        order = tuple(replace(one, num_labels=20, splits=one.splits[:1]) for one in ORDER[:3])
        plan, device = Plan(made_up(), TINY, order, options.runs), "cpu"
    else:
        dataset = load_dataset("cifar10", options.data, cache=options.cache)
        plan, device = Plan(dataset, Variant(), ORDER[: options.cells], options.runs), options.device
    how = RunOptions(device=device, speed=options.speed, save_every=60, resume=True, quiet=options.tiny)
    state = work(plan, how, end)
    records, about = (
        found(plan),
        origin(torch.device(device)) | {"speed": options.speed, "variant": asdict(plan.variant)},
    )
    out = Path(os.environ.get("OUT") or ROOT / "benchmarks" / "results" / "gpu")
    out.mkdir(parents=True, exist_ok=True)
    (out / "reproduce.jsonl").write_text("".join(json.dumps(about | one) + "\n" for one in records))
    shutil.copytree(plan.runs, out / "runs", dirs_exist_ok=True)
    print(f"{about['device']}, torch {about['torch']}, commit {about['commit']}, {options.speed}; in {out}; {state}")
    print("\n".join(table(records)))


if __name__ == "__main__":
    main()
