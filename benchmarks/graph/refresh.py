"""Seconds of a refresh inside a training loop: descriptors moved a little, the solve started from the last solution.

    python -m benchmarks.graph.refresh --rows 50000

The descriptors get noise, as much as leaves about 96 % of the neighbours (--kept). The refresh is measured against a
cold call on the same moved descriptors, in turn in one process, in paper mode, where the solver goes on to a tolerance.
"""

from __future__ import annotations

import argparse
import statistics

import numpy as np

from benchmarks.common import cells, data, ours
from benchmarks.common.records import Ledger, Record, print_head, print_table, shown
from benchmarks.common.timing import Stopwatch, report

TOLERANCES = (1e-6, 1e-3)
HEAD = ("cold, s", "refresh, s", "refresh / cold", "cold steps", "refresh steps", "same labels", "neighbours kept")
HALVINGS = 12


def main() -> None:
    parser = cells.parser(__doc__, rows=[50_000], classes=[10])
    parser.add_argument("--kept", type=float, default=0.96, help="share of the neighbours that stay")
    options = parser.parse_args()
    if options.one:
        measure(cells.case_of(options), options, float(options.one))
        return
    ledger = Ledger("refresh", options)
    print_head(ledger, options.threads)
    for rows in options.rows:
        for classes in options.classes:
            case = cells.case_of(options, rows, classes)
            data.prepare(case, options.cache)
            show(case, cells.cell(ledger, __spec__.name, case, str(options.kept), options))


def show(case: data.Case, record: Record) -> None:
    """Print the table of one case."""
    if record["status"] != "measured":
        print(f"\n{case.rows:,} rows, {case.classes} classes: {record['status']}: {record['note']}")
        return
    print_table(
        (f"{case.rows:,} rows, {case.classes} classes", *HEAD),
        [
            (
                f"solved to {one['tol']:g}",
                shown(one["cold_seconds"]),
                shown(one["refresh_seconds"]),
                shown(one["refresh_seconds"] / one["cold_seconds"]),
                str(one["cold_steps"]),
                str(one["refresh_steps"]),
                shown(one["same_labels"], ".4f"),
                shown(record["kept"], ".3f"),
            )
            for one in record["tolerances"]
        ],
    )


def measure(case: data.Case, options: argparse.Namespace, wanted: float) -> None:
    """Measure one case and report its figures, in a process of its own."""
    blobs = data.load(case, options.cache)
    moved, kept = move(blobs, wanted)
    found = [both(blobs, moved, tol, options.repeat) for tol in TOLERANCES]
    total = sum(one["cold_seconds"] + one["refresh_seconds"] for one in found)
    report(seconds=total, kept=kept, tolerances=found)


def both(blobs: data.Blobs, moved: np.ndarray, tol: float, repeat: int) -> Record:
    """Cold call and refresh in turn; medians."""
    last = ours.cold(blobs.rows, blobs.labels, tol)
    watch = Stopwatch()
    cold_seconds, refresh_seconds = [], []
    for _ in range(max(repeat, 1)):
        cold = watch.time(lambda: ours.cold(moved, blobs.labels, tol))
        cold_seconds.append(watch.seconds)
        refreshed = watch.time(lambda: ours.refreshed(moved, blobs.labels, tol, last))
        refresh_seconds.append(watch.seconds)
    return {
        "tol": tol,
        "cold_seconds": statistics.median(cold_seconds),
        "refresh_seconds": statistics.median(refresh_seconds),
        "cold_steps": int(cold.solution.num_steps.max()),
        "refresh_steps": int(refreshed.solution.num_steps.max()),
        "same_labels": float((cold.pseudo_labels.label == refreshed.pseudo_labels.label).mean()),
    }


def move(blobs: data.Blobs, wanted: float) -> tuple[np.ndarray, float]:
    """The rows with so much noise that about `wanted` of the neighbours stay, and the share that does."""
    noise = np.random.default_rng(1).standard_normal(blobs.rows.shape, np.float32)
    low, high = 0.0, 0.1
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        moved = moved_by(blobs.rows, noise, middle)
        kept = data.recall(data.exact_neighbors(moved, blobs.sample, blobs.exact.shape[1]), blobs.exact)
        if abs(kept - wanted) < 0.002:
            break
        low, high = (middle, high) if kept > wanted else (low, middle)
    return moved, kept


def moved_by(rows: np.ndarray, noise: np.ndarray, scale: float) -> np.ndarray:
    moved = rows + np.float32(scale) * noise
    return moved / np.linalg.norm(moved, axis=1, keepdims=True)


if __name__ == "__main__":
    main()
