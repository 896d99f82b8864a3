"""Seconds and memory from descriptors to a label for every row, ours beside the peers, on the same data in one run.

    python -m benchmarks.graph.propagate --rows 10000 50000 --classes 10 100

k = 50, gamma = 3, alpha = 0.99, 20 solver steps (paper mode: to 1e-6). Each method runs in a process of its own. The
median and the best are of warm calls; the first call, with imports and compilation, stands beside them. Peak memory is
that of the first call, with the interpreter and the input. Agreement is with the labels of the straight recipe, whose
neighbours are exact, on the rows without a given label. IVF's nprobe is chosen for it, outside its time.
scikit-learn and GraphLearning solve other systems; only the rows with SciPy are the same computation as ours.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from benchmarks.common import cells, data, ours
from benchmarks.common.records import Ledger, Record, print_head, print_table, shown
from benchmarks.common.timing import Stopwatch, report, time_calls
from benchmarks.graph.methods import METHODS, OURS, STRAIGHT, Answer
from benchmarks.graph.searches import Search

HEAD = ("method", "seconds", "best", "first", "x ours", "peak MiB", "added", "accuracy", "agrees", "recall", "")


def main() -> None:
    parser = cells.parser(__doc__, rows=[10_000, 50_000], classes=[10])
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS), metavar="METHOD")
    options = parser.parse_args()
    if options.one:
        measure(options.one, cells.case_of(options), options)
        return
    ledger = Ledger("propagate", options)
    print_head(ledger, options.threads)
    for classes in options.classes:
        slow: dict[str, int] = {}  # methods over the limit, and the rows they were: more rows are not tried
        for rows in sorted(options.rows):
            compare(cells.case_of(options, rows, classes), ledger, options, slow)


def compare(case: data.Case, ledger: Ledger, options: argparse.Namespace, slow: dict[str, int]) -> None:
    """Measure all methods on one case and print their table."""
    data.prepare(case, options.cache)
    found = {name: one_cell(name, case, ledger, options, slow) for name in METHODS if name in options.methods}
    slow |= {name: case.rows for name, record in found.items() if record["status"] == "over limit"} | slow
    best = found.get(OURS, {}).get("seconds")
    print_table(
        (f"{case.rows:,} rows, {case.classes} classes", *HEAD[1:]),
        [line(name, record, best) for name, record in found.items()],
    )


def one_cell(name: str, case: data.Case, ledger: Ledger, options: argparse.Namespace, slow: dict[str, int]) -> Record:
    method = METHODS[name]
    settings = cells.settings_of(case, name, options)
    known = ledger.find(settings, options.limit)
    if known:
        return known
    if case.rows > method.most_rows:
        return ledger.write(settings, {"status": "refused", "note": f"over {method.most_rows:,} rows: {method.why}"})
    if name in slow:
        note = f"over the limit at {slow[name]:,} rows already"
        return ledger.write(settings, {"status": "over limit", "note": note, "limit": options.limit})
    return cells.cell(ledger, __spec__.name, case, name, options, method.needs)


def line(name: str, record: Record, best: float | None) -> tuple[str, ...]:
    """One method's row of the table."""
    seconds = record.get("seconds")
    return (
        name,
        shown(seconds),
        shown(record.get("best_seconds")),
        shown(record.get("first_seconds")),
        shown(seconds / best if seconds and best else None),
        shown(record.get("peak_mib"), ".0f"),
        shown(record.get("added_mib"), ".0f"),
        shown(record.get("accuracy"), ".4f"),
        shown(record.get("agreement"), ".4f"),
        shown(record.get("recall"), ".4f"),
        record.get("note", "") if record["status"] == "measured" else f"{record['status']}: {record['note']}",
    )


def measure(name: str, case: data.Case, options: argparse.Namespace) -> None:
    """Run one method and report its figures, in a process of its own."""
    blobs = data.load(case, options.cache)
    watch = Stopwatch()
    search = Search(blobs.rows, ours.K, options.recall, blobs.sample, blobs.exact, options.threads, watch)
    exact_labels = data.path_of(case, "straight", options.cache)

    def check(answer: Answer) -> None:
        if name == STRAIGHT:
            np.save(exact_labels, answer.labels)
        report(**quality(answer, blobs, exact_labels))

    time_calls(lambda: METHODS[name].call(search, blobs.labels), watch, options, check)
    if name == OURS:  # what it finds stays inside it, so once more
        ids = ours.neighbors(blobs.rows, ours.K, options.recall)
        report(recall=data.recall(ids[blobs.sample], blobs.exact))


def quality(answer: Answer, blobs: data.Blobs, exact_labels: Path) -> Record:
    """Accuracy, agreement with the labels of the exact graph and recall, as far as they can be told."""
    asked = blobs.labels < 0
    found: Record = {"accuracy": float((answer.labels == blobs.truth)[asked].mean())}
    if exact_labels.exists():
        found["agreement"] = float((answer.labels == np.load(exact_labels))[asked].mean())
    if answer.neighbors is not None:
        found["recall"] = data.recall(answer.neighbors[blobs.sample], blobs.exact)
    return found


if __name__ == "__main__":
    main()
