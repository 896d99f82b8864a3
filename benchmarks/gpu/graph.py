"""Seconds for each stage and peak device memory of the graph core on a GPU, from descriptors on the device to labels.

    python -m benchmarks.gpu.graph                                # 50k and 200k rows, 10 and 100 classes, on "cuda"
    python -m benchmarks.gpu.graph --device cpu --rows 2000 --classes 3 --repeat 1

Bent Gaussian blobs in 128 dimensions, 40 labels per class, exact neighbours, default settings. A cell is a number of
rows and of classes: one first call, then the median of --repeat more, each stage waited for. After all cells, up to
--compare rows, the labels are held against the CPU core's. Every cell and every comparison is a JSON file in $OUT (or
benchmarks/results/gpu); one that is there from the same commit, torch, device and settings is not made again, and
after --minutes no new one is begun.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "src"))  # a bare machine runs this from a checkout, with nothing installed

from fewlabels import graph as host  # noqa: E402
from fewlabels.graph import GraphSettings, cuda  # noqa: E402

DIMENSIONS, LABELS_PER_CLASS, BLOBS_PER_CLASS = 128, 40, 4
SETTINGS = GraphSettings(recall="exact")
STAGES = ("rows", "neighbors", "affinity", "solve", "pseudo_labels")


def blobs(num_rows: int, num_classes: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(n, d) float32 rows, (n,) labels with -1, (n,) truth."""
    rng = np.random.default_rng(seed)
    blob = rng.integers(num_classes * BLOBS_PER_CLASS, size=num_rows)
    centres = rng.normal(size=(num_classes * BLOBS_PER_CLASS, 8)) * 1.5
    low = centres[blob] + rng.normal(size=(num_rows, 8))
    bent = np.tanh(low @ rng.normal(size=(8, 64))) @ rng.normal(size=(64, DIMENSIONS)) / 8
    rows = (bent + 0.3 * rng.normal(size=bent.shape)).astype(np.float32)
    truth = blob % num_classes
    labels = np.full(num_rows, -1)
    for number in range(num_classes):
        mine = np.flatnonzero(truth == number)
        labels[rng.choice(mine, min(LABELS_PER_CLASS, mine.size), replace=False)] = number
    return rows, labels, truth


def wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def timed(rows: torch.Tensor, labels: np.ndarray) -> tuple[dict[str, float], host.Propagation]:
    """Seconds of each stage, and the result."""
    marks: dict[str, float] = {}

    def mark(stage: str) -> None:
        if stage not in marks:  # when it starts; further calls say how far it is
            wait(rows.device)
            marks[stage] = time.perf_counter()

    mark("rows")
    found = cuda.propagate(rows, labels, SETTINGS, on_progress=lambda stage, share: mark(stage))
    mark("end")
    return dict(zip(STAGES, np.diff(list(marks.values())).tolist(), strict=True)), found


def agreement(num_rows: int, num_classes: int, device: torch.device) -> dict[str, object]:
    """How the CPU core's answer, with exact neighbours in double precision, differs."""
    rows, labels, _ = blobs(num_rows, num_classes)
    ours = cuda.propagate(torch.tensor(rows, device=device), labels, SETTINGS).pseudo_labels
    start = time.perf_counter()
    expected = host.propagate(rows, labels, replace(SETTINGS, precision="double")).pseudo_labels
    return {
        "equal_labels": float((ours.label == expected.label).mean()),
        "largest_certainty_difference": float(np.abs(ours.certainty - expected.certainty).max()),
        "host_seconds": time.perf_counter() - start,
    }


def measure(num_rows: int, num_classes: int, device: torch.device, repeat: int) -> dict[str, object]:
    """Seconds, memory and health of one cell."""
    rows, labels, truth = blobs(num_rows, num_classes)
    there = torch.tensor(rows, device=device)
    on_gpu = device.type == "cuda"
    first, found = timed(there, labels)
    if on_gpu:
        torch.cuda.reset_peak_memory_stats(device)
    more = [timed(there, labels)[0] for _ in range(repeat)]
    peak = torch.cuda.max_memory_allocated(device) if on_gpu else None
    return {
        "first_seconds": first,
        "seconds": {stage: float(np.median([run[stage] for run in more])) for stage in STAGES},
        "total_seconds": float(np.median([sum(run.values()) for run in more])),
        "peak_device_bytes": peak,
        "input_bytes": there.numel() * there.element_size(),
        "most_steps": int(found.solution.num_steps.max()),
        "largest_residual": float(found.solution.residual.max()),
        "accuracy": float((found.pseudo_labels.label == truth)[labels < 0].mean()),
    }


def origin(device: torch.device) -> dict[str, object]:
    """What the figures were made with."""
    ask = ["git", "-C", str(ROOT), "describe", "--always", "--abbrev=12", "--dirty=+", "--exclude=*"]
    asked = subprocess.run(ask, capture_output=True, text=True, check=False)
    on_gpu = device.type == "cuda"
    return {
        "commit": os.environ.get("COMMIT") or asked.stdout.strip() or "unknown",
        "torch": torch.__version__,
        "device": torch.cuda.get_device_name(device) if on_gpu else f"cpu: {platform.processor() or 'unknown'}",
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "settings": asdict(SETTINGS),
    }


class Cells:
    """Finished figures as files of one folder; new ones are made until the time is over."""

    def __init__(self, folder: Path, made_with: dict[str, object], seconds: float) -> None:
        self.folder, self.made_with = folder, made_with
        self.end = time.perf_counter() + seconds
        folder.mkdir(parents=True, exist_ok=True)

    def get(self, name: str, make: Callable[..., dict[str, object]], *size: object) -> dict[str, object] | None:
        """make(*size), or what an earlier run with the same means wrote of it; None where no time is left."""
        path = self.folder / f"{name}.json"
        key = {"size": [str(part) for part in size], **self.made_with}
        if path.is_file():
            known = json.loads(path.read_text())
            if all(known.get(field) == value for field, value in key.items()):
                return known | {"again": True}
        if time.perf_counter() > self.end:
            return None
        print(f"{name} ...", file=sys.stderr, flush=True)
        made = key | make(*size)
        beside = path.with_suffix(".part")  # a run that is cut off leaves whole files
        beside.write_text(json.dumps(made, indent=2) + "\n")
        beside.replace(path)
        return made


def line(num_rows: int, num_classes: int, found: dict[str, object] | None, same: dict[str, object] | None) -> str:
    head = f"{num_rows:>9,} {num_classes:>7} "
    if found is None:
        return head + " no time left: run again"
    peak = found["peak_device_bytes"]
    figures = [f"{sum(found['first_seconds'].values()):>7.3f}", f"{found['total_seconds']:>7.3f}"]
    figures += [f"{found['seconds'][stage]:>13.3f}" for stage in STAGES]
    figures += [f"{peak / 2**20:>9.0f}" if peak is not None else f"{'-':>9}"]
    figures += [f"{same['equal_labels']:>9.5f}" if same else f"{'-':>9}"]
    return head + " ".join(figures) + ("  (from before)" if found.get("again") else "")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--rows", type=int, nargs="+", default=[50_000, 200_000])
    parser.add_argument("--classes", type=int, nargs="+", default=[10, 100])
    parser.add_argument("--repeat", type=int, default=3, help="the median of this many runs after the first counts")
    parser.add_argument("--compare", type=int, default=50_000, help="most rows to hold against the CPU core")
    parser.add_argument("--minutes", type=float, default=8, help="begin nothing new after these")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    device = torch.device(options.device)
    made_with = origin(device)
    out = Path(os.environ.get("OUT") or ROOT / "benchmarks" / "results" / "gpu")
    cells = Cells(out, made_with, 60 * options.minutes)
    sizes = [(num_rows, num_classes) for num_rows in options.rows for num_classes in options.classes]
    found = {}
    for n, c in sizes:
        found[n, c] = cells.get(f"graph-{device.type}-{n}-{c}", measure, n, c, device, options.repeat)
    same = {
        (n, c): cells.get(f"agreement-{device.type}-{n}-{c}", agreement, n, c, device)
        for n, c in sizes
        if n <= options.compare
    }
    print(f"{made_with['device']}, torch {made_with['torch']}, commit {made_with['commit']}; seconds, MiB; in {out}")
    names = " ".join(f"{stage:>13}" for stage in STAGES)
    print(f"{'rows':>9} {'classes':>7} {'first':>7} {'total':>7} {names} {'peak MiB':>9} {'as on CPU':>9}")
    print("\n".join(line(n, c, found[n, c], same.get((n, c))) for n, c in sizes))


if __name__ == "__main__":
    main()
