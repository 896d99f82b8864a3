"""What settings chosen by the labels cost beside one propagation with the paper's: seconds, processor seconds, memory.

    python -m benchmarks.choosing.cost --resume --rows 10000 50000 200000 --widths 64 128

Blobs of 40 hidden dimensions; 10 labels of each class of 10, 5 of each of 100. Every cell is measured in a process of
its own, after a call on the first rows that loads what is needed. Peak memory is that of the process, with the
interpreter and the input. Beyond: what `auto` takes more than the one propagation. Descriptors over --most-gib are left
out. The table at the end has the last measurement of each cell in the results file; --table prints it alone, and
--markdown its rows for docs/choosing.md.
"""

from __future__ import annotations

import argparse
from itertools import product
from typing import Any

import numpy as np

from benchmarks.common import cells, data
from benchmarks.common.records import Ledger, Record, print_head, print_table, read, shown
from benchmarks.common.timing import Stopwatch, report, time_calls

METHODS = ("paper", "auto")
LABELS_PER_CLASS = {10: 10, 100: 5}
WARM_UP = 1000  # rows of the call that is not measured
HEAD = (
    *("rows x numbers, classes", "one, s", "auto, s", "beyond", "one, CPU s", "auto, CPU s", "beyond", "times"),
    *("one, MiB", "auto, MiB", "times", "forecast s", "forecast MiB"),
)


def main() -> None:
    parser = cells.parser(__doc__, rows=[10_000, 50_000, 200_000, 1_000_000], classes=[10, 100])
    parser.add_argument("--widths", type=int, nargs="+", default=[64, 128, 1280], help="numbers a row")
    parser.add_argument("--most-gib", type=float, default=1.0, help="descriptors that are more are left out")
    parser.add_argument(
        "--table", action="store_true", help="print the table of what was measured, and measure nothing"
    )
    parser.set_defaults(data="hidden40", repeat=0)
    parser.add_argument("--markdown", action="store_true", help="print the rows for the page, measure nothing")
    options = parser.parse_args()
    if options.one:
        measure(options.one, cells.case_of(options), options)
        return
    ledger = Ledger("choosing_cost", options)
    if options.markdown:
        print("\n".join(markdown(read(ledger.path))))
        return
    print_head(ledger, options.threads)
    for case in () if options.table else list_cases(options):
        data.prepare(case, options.cache)
        for method in METHODS:
            cells.cell(ledger, __spec__.name, case, method, options)
    print_table(HEAD, [line(*pair) for pair in pair_cells(read(ledger.path))])


def list_cases(options: argparse.Namespace) -> list[data.Case]:
    """All sizes but those that are too large, the smaller first."""
    sizes = sorted(product(options.rows, options.widths, options.classes))
    return [
        data.Case(rows=rows, classes=classes, dimensions=width, kind=options.data)
        for rows, width, classes in sizes
        if 4 * rows * width <= options.most_gib * 2**30
    ]


def measure(method: str, case: data.Case, options: argparse.Namespace) -> None:
    """One call, and what was forecast of it."""
    rows = np.load(data.path_of(case, "rows", options.cache))
    given = pick_labels(np.load(data.path_of(case, "truth", options.cache)), case.classes)
    report(**forecast(method, case, int((given >= 0).sum()), options.threads))
    propagate(method, rows[:WARM_UP].copy(), np.where(np.arange(WARM_UP) < 2 * case.classes, given_small(case), -1))
    time_calls(lambda: propagate(method, rows, given), Stopwatch(), options, lambda _: None)


def propagate(method: str, rows: np.ndarray, given: np.ndarray) -> Any:
    """The whole call that a user makes."""
    import fewlabels as fl

    return fl.propagate(rows, given, "paper" if method == "paper" else None)


def given_small(case: data.Case) -> np.ndarray:
    """Labels for the warm-up, in turn: what they say does not matter."""
    return np.arange(WARM_UP) % case.classes


def pick_labels(truth: np.ndarray, classes: int) -> np.ndarray:
    """(n,) so many labels of each class, always the same; -1 for the other rows."""
    rng, given = np.random.default_rng(0), np.full(truth.size, -1)
    for number in range(classes):
        given[rng.choice(np.flatnonzero(truth == number), LABELS_PER_CLASS.get(classes, 5), replace=False)] = number
    return given


def forecast(method: str, case: data.Case, num_labels: int, threads: int) -> Record:
    """Seconds and MiB as `fewlabels propagate` says them before it starts."""
    from fewlabels.choosing import Auto
    from fewlabels.choosing.cost import estimate_choice
    from fewlabels.graph import GraphSettings, estimate

    held = 4 * case.rows * case.dimensions
    if method == "paper":
        cost = estimate(case.rows, case.dimensions, case.classes, GraphSettings(), held_bytes=held, threads=threads)
    else:
        shape = (case.rows, case.dimensions)
        cost = estimate_choice(shape, case.classes, num_labels, Auto(), held_bytes=held, threads=threads)
    return {"forecast_seconds": cost.seconds, "forecast_mib": cost.bytes / 2**20}


def pair_cells(records: list[Record]) -> list[tuple[Record, Record]]:
    """The last measurement with the paper's settings and the last of auto, of each cell that has both."""
    last = {(key_of(one), one["settings"]["method"]): one for one in records if one["status"] == "measured"}
    keys = sorted({key for key, _ in last})
    return [(last[key, "paper"], last[key, "auto"]) for key in keys if all((key, name) in last for name in METHODS)]


def key_of(record: Record) -> tuple[int, int, int]:
    """Width, rows and classes."""
    settings = record["settings"]
    return settings["dimensions"], settings["rows"], settings["classes"]


def line(one: Record, auto: Record) -> tuple[str, ...]:
    """A cell's row of the table."""
    width, rows, classes = key_of(one)
    seconds, work = one["seconds"], one["cpu_seconds"]
    return (
        f"{rows:,} x {width:,}, {classes}",
        shown(seconds, ".1f"),
        shown(auto["seconds"], ".1f"),
        shown(auto["seconds"] - seconds, ".1f"),
        shown(work, ".1f"),
        shown(auto["cpu_seconds"], ".1f"),
        shown(auto["cpu_seconds"] - work, ".1f"),
        shown(auto["cpu_seconds"] / work, ".1f"),
        shown(one["peak_mib"], ".0f"),
        shown(auto["peak_mib"], ".0f"),
        shown(auto["peak_mib"] / one["peak_mib"]),
        shown(auto["forecast_seconds"], ".1f"),
        shown(auto["forecast_mib"], ".0f"),
    )


def markdown(records: list[Record]) -> list[str]:
    """The table of docs/choosing.md: seconds by the clock and of all cores, and MiB."""
    rows = []
    for one, auto in pair_cells(records):
        width, size, classes = key_of(one)
        seconds = [f"{record['seconds']:.1f} ({record['cpu_seconds']:.1f})" for record in (one, auto)]
        more = [auto[name] - one[name] for name in ("seconds", "cpu_seconds")]
        memory = f"{one['peak_mib']:.0f} | {auto['peak_mib']:.0f} | {auto['peak_mib'] / one['peak_mib']:.2f}"
        case = f"{size:,} x {width:,}, {classes}"
        rows.append(f"| {case} | {' | '.join(seconds)} | {more[0]:.1f} ({more[1]:.1f}) | {memory} |")
    return rows


if __name__ == "__main__":
    main()
