"""Seconds to find the 50 nearest other rows of wide rows: ours on two instruction sets and exact, and four peers.

    python -m benchmarks.graph.wide                                                # all cases: minutes, when idle
    python -m benchmarks.graph.wide --data hidden64 --rows 20000 --dimensions 512  # one of one's own

Descriptors of photos (benchmarks/common/photos.py; first `make descriptors`) and rows of a generator with 64 hidden
dimensions, each method in a process of its own, with the threads of --threads. Seconds are by the clock and, as `CPU`,
of all cores together: the second changes less where others use the machine. Ours is the median of warm calls, with the
stages of the last; codes are compared and candidates ranked cluster by cluster in one kernel, so these two are one
stage. Ours exact is one call, and so are the peers. faiss flat and scikit-learn (brute) are exact by definition, so
their recall is not measured; beyond 20,000 rows they are searched for 5,000 of them and scaled, as their notes say.
usearch keeps as many candidates as bring it to our recall on a sample, which its time does not count.
"""

from __future__ import annotations

import argparse

import numpy as np

from benchmarks.common import cells, data, ours, photos
from benchmarks.common.data import Case
from benchmarks.common.records import Ledger, Record, print_head, print_table, shown
from benchmarks.common.timing import Stopwatch, report, time_calls
from benchmarks.graph import searches
from benchmarks.graph.searches import Search

VNNI, AVX2, EXACT = "fewlabels, avx512vnni", "fewlabels, avx2", "fewlabels, exact"
FLAT, BRUTE, USEARCH = "faiss flat", "scikit-learn brute", "usearch"
METHODS = (VNNI, AVX2, EXACT, FLAT, BRUTE, USEARCH)
NEEDS = {FLAT: ("faiss",), BRUTE: ("sklearn",), USEARCH: ("usearch",)}
SAMPLED = {FLAT: searches.flat_seconds, BRUTE: searches.brute_seconds}
INSTRUCTIONS = {VNNI: "avx512vnni", AVX2: "avx2"}
CASES = (
    Case(12_000, 10, 1280, kind="cifar10"),
    Case(12_000, 100, 1280, kind="cifar100"),
    Case(50_000, 10, 1280, kind="cifar10"),
    Case(50_000, 10, 1280, kind="mixtures"),
    *(Case(12_000, 10, dimensions, kind="hidden64") for dimensions in (128, 384, 768, 1280)),
    Case(50_000, 10, 768, kind="hidden64"),
    Case(200_000, 10, 768, kind="hidden64"),
    Case(1_000_000, 10, 128, kind="hidden64"),
)
WHOLE_UP_TO, FLAT_QUERIES = 20_000, 5_000
HEAD = ("method", "seconds", "CPU", "x best CPU", "recall", "peak MiB", "forecast", "")


def main() -> None:
    parser = cells.parser(__doc__, rows=[], classes=[10])
    parser.set_defaults(data=None, limit=300.0)
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS), metavar="METHOD")
    options = parser.parse_args()
    if options.one:
        measure(options.one, cells.case_of(options), options)
        return
    if options.rows and not options.data:
        raise SystemExit("--rows without --data: say which rows")
    ledger = Ledger("wide", options)
    print_head(ledger, options.threads)
    for case in cases_of(options):
        compare(case, ledger, options)


def cases_of(options: argparse.Namespace) -> list[Case]:
    """Those asked for by --data and --rows; without --rows, those of the list, of that data if it is given."""
    if options.rows:
        return [cells.case_of(options, rows, classes) for rows in options.rows for classes in options.classes]
    return [case for case in CASES if options.data in (None, case.kind)]


def compare(case: Case, ledger: Ledger, options: argparse.Namespace) -> None:
    """Measure all methods on one case and print their tables."""
    try:
        data.prepare(case, options.cache)
    except photos.Absent as reason:
        for name in options.methods:
            ledger.write(cells.settings_of(case, name, options), {"status": "refused", "note": str(reason)})
        print(f"\n{case.kind}, {case.rows:,} x {case.dimensions:,}: skipped: {reason}", flush=True)
        return
    found = {
        name: cells.cell(ledger, __spec__.name, case, name, options, NEEDS.get(name, ())) for name in options.methods
    }
    work = [record["cpu_seconds"] for record in found.values() if "cpu_seconds" in record]
    title = f"{case.kind}, {case.rows:,} x {case.dimensions:,}"
    print_table((title, *HEAD[1:]), [line(name, record, min(work, default=None)) for name, record in found.items()])
    stages = {name: record["stages"] for name, record in found.items() if record.get("stages")}
    if stages:
        print_stages(stages)


def line(name: str, record: Record, least: float | None) -> tuple[str, ...]:
    """One method's row of the table."""
    work = record.get("cpu_seconds")
    return (
        name,
        shown(record.get("seconds")),
        shown(work),
        shown(work / least if work and least else None),
        shown(record.get("recall"), ".4f"),
        shown(record.get("peak_mib"), ".0f"),
        shown(record.get("forecast")),
        record.get("note", "") if record["status"] == "measured" else f"{record['status']}: {record['note']}",
    )


def print_stages(found: dict[str, dict[str, list[float]]]) -> None:
    """Seconds of each stage, and CPU seconds, of the methods that have stages."""
    names = [stage for stage in ours.SEARCH_STAGES if any(stage in stages for stages in found.values())]
    nothing = [None, None]
    rows = [
        (stage, *(shown(value) for stages in found.values() for value in stages.get(stage, nothing))) for stage in names
    ]
    print_table(("stage", *(head for name in found for head in (name.split(", ")[-1], "CPU"))), rows)


def measure(name: str, case: Case, options: argparse.Namespace) -> None:
    """Run one method and report its figures, in a process of its own."""
    held = data.load(case, options.cache)
    watch = Stopwatch()
    search = Search(held.rows, ours.K, options.recall, held.sample, held.exact, options.threads, watch)
    if name in SAMPLED:
        most = case.rows if case.rows <= WHOLE_UP_TO else FLAT_QUERIES
        seconds, work, scaled = SAMPLED[name](search, most)
        note = f"scaled from {most:,} rows" if scaled else ""
        report(seconds=seconds, best_seconds=seconds, cpu_seconds=work, note=note)
        return
    if name in INSTRUCTIONS:
        if not ours.use_instructions(INSTRUCTIONS[name]):
            raise SystemExit(f"there are no kernels with {INSTRUCTIONS[name]} here")
        report(forecast=ours.forecast(case.rows, case.dimensions, options.threads))
    else:
        options.repeat = 0  # a warm call takes as long as the first

    def find() -> np.ndarray:
        stages: dict[str, list[float]] = {}
        with ours.search_stages(stages):
            found = ours.neighbors(search.rows, search.k, "exact" if name == EXACT else search.recall)
        report(stages=stages)
        return found

    def indexed() -> np.ndarray:
        return searches.usearch(search)[0]

    def check(found: np.ndarray) -> None:
        report(recall=data.recall(found[held.sample], held.exact))

    time_calls(indexed if name == USEARCH else find, watch, options, check)


if __name__ == "__main__":
    main()
