"""New rows by the head of a run: `fewlabels classify` beside reading the same file and doing nothing with it.

    python -m benchmarks.choosing.new_rows --resume --rows 200000 1000000

Rows of 384 numbers and 100 classes by default, float32, in a .npy file and in Parquet as `fewlabels describe` writes
it. A run of `propagate` on 20,000 rows whose answer is a linear head classifies them; each cell is measured in a
process of its own. Reading goes through the file by the same reader, a few rows at a time, and adds all numbers up.
The table at the end has the last measurement of each cell in the results file; --table prints it alone, and --markdown
its rows for docs/classify.md.
"""

from __future__ import annotations

import argparse
import csv
import tempfile
from itertools import product
from pathlib import Path

import numpy as np

from benchmarks.common import cells, data
from benchmarks.common.records import Ledger, Record, print_head, print_table, read, shown
from benchmarks.common.timing import Stopwatch, report, time_calls

KINDS, METHODS = ("npy", "parquet"), ("read", "classify")
RUN_ROWS, LABELS_PER_CLASS, BATCH = 20_000, 5, 16384
HEAD = ("rows x numbers, classes, file", "reading, s", "classify, s", "times", "CPU s", "CPU s", "MiB", "MiB")


def main() -> None:
    parser = cells.parser(__doc__, rows=[200_000, 1_000_000], classes=[100])
    parser.add_argument("--table", action="store_true", help="print the table of what is there, measure nothing")
    parser.add_argument("--markdown", action="store_true", help="print the rows for the page, measure nothing")
    parser.set_defaults(data="hidden40", repeat=0, dimensions=384)
    options = parser.parse_args()
    if options.one:
        method, kind = options.one.split()
        measure(method, kind, cells.case_of(options), options)
        return
    ledger = Ledger("new_rows", options)
    if options.markdown:
        print("\n".join(markdown(read(ledger.path))))
        return
    print_head(ledger, options.threads)
    for rows, classes in () if options.table else product(sorted(options.rows), options.classes):
        case = cells.case_of(options, rows, classes)
        prepare(case, options.cache)
        for kind, method in product(KINDS, METHODS):
            cells.cell(ledger, __spec__.name, case, f"{method} {kind}", options)
    print_table(HEAD, list_lines(read(ledger.path)))


def place_of(case: data.Case, kind: str, cache: Path) -> Path:
    return cache / f"new-{case.name}.{kind}"


def run_of(case: data.Case, cache: Path) -> Path:
    return cache / f"run-{RUN_ROWS}x{case.dimensions}-c{case.classes}"


def prepare(case: data.Case, cache: Path) -> None:
    """The new rows in both kinds of file, and the run that answers them, unless they are there."""
    small = data.Case(rows=RUN_ROWS, classes=case.classes, dimensions=case.dimensions, kind=case.kind)
    cache.mkdir(parents=True, exist_ok=True)
    if not run_of(case, cache).exists():
        data.prepare(small, cache)
        make_run(small, cache)
    if not place_of(case, "npy", cache).exists():
        rng = np.random.default_rng(1)
        known = np.load(data.path_of(small, "rows", cache))
        rows = np.lib.format.open_memmap(place_of(case, "npy", cache), "w+", np.float32, (case.rows, case.dimensions))
        for first in range(0, case.rows, BATCH):
            part = rows[first : first + BATCH]
            part[:] = known[rng.integers(len(known), size=len(part))] + 0.02 * rng.normal(size=part.shape)
        rows.flush()
    if not place_of(case, "parquet", cache).exists():
        from fewlabels.describing.table import write_descriptors

        rows = np.load(place_of(case, "npy", cache), mmap_mode="r")
        with write_descriptors(place_of(case, "parquet", cache), case.dimensions, {}, has_labels=False) as table:
            for number, row in enumerate(rows):
                table.add(str(number), row)


def make_run(case: data.Case, cache: Path) -> None:
    """A run whose answer is a linear head on the labelled rows."""
    from fewlabels.choosing import Auto
    from fewlabels.commands.propagate import Input, run_propagation

    truth = np.load(data.path_of(case, "truth", cache))
    given = [row for number in range(case.classes) for row in np.flatnonzero(truth == number)[:LABELS_PER_CLASS]]
    folder = run_of(case, cache)
    labels = folder.with_suffix(".csv")
    with labels.open("w", newline="") as file:
        csv.writer(file).writerows([("id", "label"), *((row, f"class {truth[row]}") for row in given)])
    asked = Input(embeddings=data.path_of(case, "rows", cache), labels=labels, report=False)
    run_propagation(asked, folder.with_suffix(".parquet"), folder, Auto(answer="linear"), quiet=True)


def measure(method: str, kind: str, case: data.Case, options: argparse.Namespace) -> None:
    """One call, after one on the file of the run's own rows that loads what is needed."""
    place, call = place_of(case, kind, options.cache), {"read": go_through, "classify": classify}[method]
    run = run_of(case, options.cache)
    small = data.Case(rows=RUN_ROWS, classes=case.classes, dimensions=case.dimensions, kind=case.kind)
    call(run, data.path_of(small, "rows", options.cache))
    time_calls(lambda: call(run, place), Stopwatch(), options, lambda _: None)
    report(bytes=place.stat().st_size)


def go_through(run: Path, place: Path) -> float:
    """Read the file as `classify` does, and add all numbers up, so that every page is touched."""
    from fewlabels.commands.new_rows import open_new_rows

    return sum(float(values.sum(dtype=np.float64)) for _, values in open_new_rows(place, {}, "", quiet=True).batches)


def classify(run: Path, place: Path) -> int:
    """The whole command, with its table."""
    from fewlabels.commands.classify_options import ClassifyOptions
    from fewlabels.commands.classify_rows import run_classify_rows

    with tempfile.TemporaryDirectory() as folder:
        found = run_classify_rows(run, [place], Path(folder) / "found.parquet", ClassifyOptions(quiet=True))
    return int(found["num_rows"])


def list_lines(records: list[Record]) -> list[tuple[str, ...]]:
    """A line for each case and kind of file that both methods were measured on, the last measurement of each."""
    last = {(key_of(one), one["settings"]["method"]): one for one in records if one["status"] == "measured"}
    found = []
    for key, kind in product(sorted({key for key, _ in last}), KINDS):
        reading, whole = (last.get((key, f"{method} {kind}")) for method in METHODS)
        if reading is not None and whole is not None:
            found.append(line(key, kind, reading, whole))
    return found


def markdown(records: list[Record]) -> list[str]:
    """The rows of the table of docs/classify.md."""
    return [f"| {' | '.join(row)} |" for row in list_lines(records)]


def key_of(record: Record) -> tuple[int, int, int]:
    settings = record["settings"]
    return settings["rows"], settings["dimensions"], settings["classes"]


def line(key: tuple[int, int, int], kind: str, reading: Record, whole: Record) -> tuple[str, ...]:
    rows, width, classes = key
    return (
        f"{rows:,} x {width}, {classes}, {kind}",
        shown(reading["seconds"]),
        shown(whole["seconds"]),
        shown(whole["seconds"] / reading["seconds"], ".1f"),
        shown(reading["cpu_seconds"]),
        shown(whole["cpu_seconds"]),
        shown(reading["peak_mib"], ".0f"),
        shown(whole["peak_mib"], ".0f"),
    )


if __name__ == "__main__":
    main()
