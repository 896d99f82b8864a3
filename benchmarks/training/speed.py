"""Images a second of our training loop and of a plain PyTorch loop of the same network, in turn on the same machine.

    python -m benchmarks.training.speed --networks "small 16" --tasks lp --repeat 3

The plain loop (plain.py) has a DataLoader with 0 and with 2 workers; the faster of the two counts. Ours runs
deterministic, which is float32, and fast, which is bfloat16. A batch is 50 + 50 rows, with translation and flip. Each
measurement has a process of its own, the ways take turns, and medians over --repeat rounds are shown. "evaluate" is the
pass that makes descriptors.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
from pathlib import Path

from benchmarks.common.cells import run_apart
from benchmarks.common.data import CACHE
from benchmarks.common.records import Ledger, Record, cores, print_head, print_table, shown
from benchmarks.common.timing import report
from benchmarks.training import cases as training
from benchmarks.training.cases import Case

WAYS = {"plain, no worker": 0, "plain, 2 workers": 2, "deterministic": "deterministic", "fast": "fast"}
PLAIN = [way for way, kind in WAYS.items() if isinstance(kind, int)]
OURS = [way for way in WAYS if way not in PLAIN]


def main() -> None:
    options = _options()
    if options.one:
        measure(Case(options.networks[0], options.tasks[0], options.rows), options.one, options)
        return
    ledger = Ledger("train", options)
    print_head(ledger, options.threads)
    kind = training.prepare(options.rows, options.cache)
    found = {}
    for network in options.networks:
        for task in options.tasks:
            case = Case(network, task, options.rows)
            found[case] = cell(ledger, case, kind, options)
    heads = (f"images/s, {kind}", "task", *WAYS, *(f"{way} / plain" for way in OURS), "least", "")
    print_table(heads, [line(case, record) for case, record in found.items()])


def _options() -> argparse.Namespace:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    tasks = [*training.METHODS, "evaluate"]
    made.add_argument("--networks", nargs="+", choices=training.NETWORKS, default=list(training.NETWORKS))
    made.add_argument("--tasks", nargs="+", choices=tasks, default=tasks)
    made.add_argument("--rows", type=int, default=10_000, help="images there are")
    made.add_argument("--repeat", type=int, default=3, help="rounds; medians over them are shown")
    made.add_argument("--seconds", type=float, default=5, help="of steps in a measurement, after the first few")
    made.add_argument("--threads", type=int, default=int(os.environ.get("OMP_NUM_THREADS", 0)) or cores())
    made.add_argument("--limit", type=float, default=600, help="seconds that a measurement may take")
    made.add_argument("--resume", action="store_true", help="skip the cells this commit has measured on this machine")
    made.add_argument("--results", type=Path, help="JSON lines to append to; default: benchmarks/results/train.jsonl")
    made.add_argument("--cache", type=Path, default=CACHE, help="where the data are kept")
    made.add_argument("--one", choices=list(WAYS), help=argparse.SUPPRESS)  # what this process is to measure
    return made.parse_args()


def measure(case: Case, way: str, options: argparse.Namespace) -> None:
    """Measure one way once and report it."""
    kind, pixels = WAYS[way], case.pixels(options.cache)
    if isinstance(kind, int):
        from benchmarks.training import plain

        run = plain.evaluate_plain if case.task == "evaluate" else plain.train_plain
        report(seconds=options.seconds, rate=run(case, pixels, kind, options.seconds))
        return
    import torch

    from fewlabels.training.execution import Execution, keep_freed_memory

    keep_freed_memory()  # as jobs/training.py does
    execution = Execution(torch.device("cpu"), kind)  # type: ignore[arg-type]
    ours = training.evaluate_ours if case.task == "evaluate" else training.train_ours
    report(seconds=options.seconds, rate=ours(case, pixels, execution, options.seconds))


def cell(ledger: Ledger, case: Case, kind: str, options: argparse.Namespace) -> Record:
    """The record of one case, all ways in turn: from an earlier run of this commit, or measured now and written."""
    settings = {
        "network": case.network,
        "task": case.task,
        "rows": case.rows,
        "pixels": kind,
        "threads": options.threads,
        "repeat": options.repeat,
        "seconds": options.seconds,
    }
    if known := ledger.find(settings, options.limit):
        return known
    load = os.getloadavg()[0]
    rates: dict[str, list[float]] = {way: [] for way in WAYS}
    for number in range(options.repeat):
        for way in WAYS:
            print(f"... {case.network}, {case.task}, {way}, round {number + 1}", file=sys.stderr, flush=True)
            figures = run_apart(_command(case, way, options), options)
            if "rate" not in figures:
                return ledger.write(settings, {"load": load, "limit": options.limit, **figures})
            rates[way].append(figures["rate"])
    return ledger.write(settings, {"load": load, "limit": options.limit, **summary(rates)})


def _command(case: Case, way: str, options: argparse.Namespace) -> list[str]:
    numbers = {"--rows": case.rows, "--seconds": options.seconds, "--threads": options.threads}
    words = {"--networks": case.network, "--tasks": case.task, "--cache": options.cache, "--one": way}
    return [
        sys.executable,
        "-m",
        "benchmarks.training.speed",
        *(str(word) for pair in (numbers | words).items() for word in pair),
    ]


def summary(rates: dict[str, list[float]]) -> Record:
    """Medians, and their ratios to the faster plain way; "least": the worst ratio of a single round, deterministic."""
    median = {way: statistics.median(values) for way, values in rates.items()}
    best = max(median[way] for way in PLAIN)
    rounds = [max(values) for values in zip(*(rates[way] for way in PLAIN), strict=True)]
    least = min(ours / plain for ours, plain in zip(rates["deterministic"], rounds, strict=True))
    return {"rates": rates, "median": median, "ratio": {way: median[way] / best for way in OURS}, "least": least}


def line(case: Case, record: Record) -> tuple[str, ...]:
    """One case's row of the table."""
    median, ratio = record.get("median", {}), record.get("ratio", {})
    note = "" if record["status"] == "measured" else f"{record['status']}: {record['note']}"
    rates = [shown(median.get(way), ",.0f") for way in WAYS]
    return (case.network, case.task, *rates, *(shown(ratio.get(way)) for way in OURS), shown(record.get("least")), note)


if __name__ == "__main__":
    main()
