"""Seconds to find the 50 nearest other rows of every row, ours beside the peers, on the same data in one run.

    python -m benchmarks.graph.neighbors --rows 50000 200000 1000000

Seconds include building the index. What a peer's effort is (lists probed, candidates kept) is chosen on a sample to
reach the recall asked for, outside its time. Recall is measured on 500 rows against exact neighbours. faiss flat is
timed on 2,000 of the rows and scaled. Each method runs in a process of its own.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import numpy as np

from benchmarks.common import cells, data, ours
from benchmarks.common.records import Ledger, Record, print_head, print_table, shown
from benchmarks.common.timing import Stopwatch, report, time_calls
from benchmarks.graph import searches
from benchmarks.graph.searches import Search

OURS, FLAT = "fewlabels", "faiss flat"
HEAD = ("method", "seconds", "best", "first", "x ours", "recall", "effort", "peak MiB", "added", "")
WAYS: dict[str, tuple[Callable[[Search], searches.Found], tuple[str, ...]]] = {
    FLAT: (searches.flat, ("faiss",)),
    "faiss IVF-flat": (searches.ivf, ("faiss",)),
    "faiss HNSW": (searches.faiss_hnsw, ("faiss",)),
    "hnswlib": (searches.hnswlib, ("hnswlib",)),
    "usearch": (searches.usearch, ("usearch",)),
    "pynndescent": (searches.pynndescent, ("pynndescent",)),
}
METHODS = (OURS, *WAYS)


def main() -> None:
    parser = cells.parser(__doc__, rows=[50_000], classes=[10])
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS), metavar="METHOD")
    options = parser.parse_args()
    if options.one:
        measure(options.one, cells.case_of(options), options)
        return
    ledger = Ledger("neighbors", options)
    print_head(ledger, options.threads)
    for rows in options.rows:
        case = cells.case_of(options, rows)
        data.prepare(case, options.cache)
        needs = {name: needed for name, (_, needed) in WAYS.items()}
        found = {
            name: cells.cell(ledger, __spec__.name, case, name, options, needs.get(name, ()))
            for name in options.methods
        }
        best = found.get(OURS, {}).get("seconds")
        print_table((f"{rows:,} rows", *HEAD[1:]), [line(name, record, best) for name, record in found.items()])


def line(name: str, record: Record, best: float | None) -> tuple[str, ...]:
    """One method's row of the table."""
    seconds = record.get("seconds")
    return (
        name,
        shown(seconds),
        shown(record.get("best_seconds")),
        shown(record.get("first_seconds")),
        shown(seconds / best if seconds and best else None),
        shown(record.get("recall"), ".4f"),
        shown(record.get("effort"), "d"),
        shown(record.get("peak_mib"), ".0f"),
        shown(record.get("added_mib"), ".0f"),
        record.get("note", "") if record["status"] == "measured" else f"{record['status']}: {record['note']}",
    )


def measure(name: str, case: data.Case, options: argparse.Namespace) -> None:
    """Run one method and report its figures, in a process of its own."""
    blobs = data.load(case, options.cache)
    watch = Stopwatch()
    search = Search(blobs.rows, ours.K, options.recall, blobs.sample, blobs.exact, options.threads, watch)
    if name == FLAT:
        seconds, work, scaled = searches.flat_seconds(search)
        note = "scaled from a sample" if scaled else ""
        report(seconds=seconds, best_seconds=seconds, cpu_seconds=work, recall=1.0, note=note)
        return

    def ids() -> np.ndarray:
        if name == OURS:
            return ours.neighbors(search.rows, search.k, search.recall)
        return WAYS[name][0](search)[0]

    def check(found: np.ndarray) -> None:
        report(recall=data.recall(found[blobs.sample], blobs.exact))

    time_calls(ids, watch, options, check)


if __name__ == "__main__":
    main()
