"""Latency of one answer in `fewlabels review`: labels solved again, and the queue's scores.

    python -m benchmarks.review.answers

Blobs in 128 dimensions (accuracy_data.py), 10 classes, 5 labels of each, k = 50. The person answers the first row of
the queue, again and again. Each size is a JSON line in results/answers.jsonl, in milliseconds: p50 and p99 by the
clock; p50 of the processor time, which other programs on the machine hardly touch; and that against the processor time
of a cold solve of the same graph in the same run.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np

from benchmarks.accuracy.sets import blobs
from benchmarks.common.records import Ledger, print_head, print_table
from fewlabels.data.benchmarks.splits import draw_split
from fewlabels.graph import GraphSettings
from fewlabels.graph.label_matrix import CheckedLabels, build_label_matrix
from fewlabels.graph.system import PropagationSystem
from fewlabels.graph.threads import num_threads
from fewlabels.review.engine.engine import Engine
from fewlabels.review.engine.state import RowQuery
from fewlabels.review.items import Items

SIZES, CLASSES, PER_CLASS, COLD = (50_000, 200_000), 10, 5, 5


def cell(num_rows: int, num_answers: int) -> dict[str, float]:
    data = blobs(np.full(CLASSES, num_rows // CLASSES))
    given = draw_split(data.truth, PER_CLASS, np.random.default_rng(0))
    settings = GraphSettings()
    ids, names = [str(row) for row in range(num_rows)], [str(c) for c in range(CLASSES)]
    start = time.perf_counter()
    items = Items(ids=ids, class_names=names, given=given, descriptors=data.rows, settings=settings)
    engine = Engine(items, {})
    opened, seconds, work, page = time.perf_counter() - start, [], [], []
    for number in range(1, num_answers + 1):
        start = time.perf_counter()
        row = int(engine.select(RowQuery(), 0, 60)[0][0])
        page.append(time.perf_counter() - start)
        start = time.process_time()
        seconds.append(engine.answer({row: int(data.truth[row])}, number).seconds)
        work.append(time.process_time() - start)
    cold = _cold(engine, settings)
    p50, p99 = (1000 * float(np.percentile(seconds, q)) for q in (50, 99))
    return {
        "open_seconds": round(opened, 2),
        "p50_ms": round(p50, 1),
        "p99_ms": round(p99, 1),
        "cpu_p50_ms": round(1000 * float(np.median(work)), 1),
        "page_ms": round(1000 * float(np.median(page)), 1),
        "cold_cpu_ms": round(1000 * cold, 1),
        "ratio": round(float(np.median(work)) / cold, 2),
    }


def _cold(engine: Engine, settings: GraphSettings) -> float:
    """Median processor seconds of solving all classes from nothing."""
    graph, found = engine.graph, []
    labels = CheckedLabels(engine.labels, CLASSES)
    y = build_label_matrix(labels, graph.node, graph.affinity.shape[0], settings.rules)
    system = PropagationSystem(graph, settings)
    _ = system.operator  # prepared once, as in a review
    for _ in range(COLD):
        start = time.process_time()
        system.solve(y)
        found.append(time.process_time() - start)
    return float(np.median(found))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path)
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--answers", type=int, default=100)
    options = parser.parse_args()
    ledger, rows = Ledger("answers", options), []
    print_head(ledger, num_threads())
    for size in options.sizes:
        asked = {"rows": size, "classes": CLASSES, "answers": options.answers, "threads": num_threads()}
        found = ledger.find(asked, 0) or ledger.write(asked, cell(size, options.answers))
        names = ("open_seconds", "p50_ms", "p99_ms", "cpu_p50_ms", "page_ms", "cold_cpu_ms", "ratio")
        rows.append([f"{size:,}", *(str(found[name]) for name in names)])
    print_table(["rows", "open s", "p50", "p99", "CPU p50", "page", "cold CPU", "CPU / cold"], rows)


if __name__ == "__main__":
    main()
