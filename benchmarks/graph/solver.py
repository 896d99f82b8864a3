"""Seconds of conjugate gradients on W, ours beside SciPy's column by column, and the share of the memory's speed.

    python -m benchmarks.graph.solver --rows 50000 200000 1000000 --classes 10 100

20 steps, on W with its nodes as fewlabels orders them and with W in the order of the rows. A step has to read W once
(float32 value and int32 column: 8 bytes an entry) and to pass ten times over an n x c float32 block; `of limit` is how
much of the measured copy bandwidth that is. SciPy's cg runs in float64 in the order of the rows; where c columns would
take long it runs on three and is scaled. Then the solve to 1e-6 of paper mode, with and without the preconditioner.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import numpy as np
import scipy.sparse as sp

from benchmarks.common import cells, data, ours
from benchmarks.common.ours import ALPHA, STEPS
from benchmarks.common.records import Ledger, Record, print_head, print_table, shown
from benchmarks.common.timing import Stopwatch, report

# Ap = A p: read p, write Ap. r -= a Ap, whose norm the next needs: read r and Ap, write r. x += a p and p = r + b p
# together: read x, p and r, write x and p.
PASSES = 10
ENTRY_BYTES, FLOAT_BYTES = 8, 4
MANY = 20_000_000  # n x c above which SciPy solves three columns only
COPY_BYTES, COPIES = 256 * 2**20, 5
UNREACHED = 1e-30  # a tolerance that 20 steps do not reach
CELL_ORDER, ROW_ORDER = "20 steps, nodes in fewlabels' order", "20 steps, nodes in the order of the rows"
SCIPY = "20 steps, SciPy cg, float64, class by class"
PLAIN, PRECONDITIONED = "to 1e-6, plain", "to 1e-6, preconditioned"
HEAD = ("seconds", "x ours", "of limit", "steps", "")


def main() -> None:
    parser = cells.parser(__doc__, rows=[50_000], classes=[10, 100])
    options = parser.parse_args()
    if options.one:
        measure(cells.case_of(options), options)
        return
    ledger = Ledger("solver", options)
    print_head(ledger, options.threads)
    for rows in options.rows:
        for classes in options.classes:
            case = cells.case_of(options, rows, classes)
            data.prepare(case, options.cache)
            show(case, cells.cell(ledger, __spec__.name, case, "all solvers", options))


def show(case: data.Case, record: Record) -> None:
    """Print the table of one case."""
    if record["status"] != "measured":
        print(f"\n{case.rows:,} rows, {case.classes} classes: {record['status']}: {record['note']}")
        return
    ways = record["solvers"]
    best = ways[CELL_ORDER]["seconds"]
    print_table(
        (f"{case.rows:,} rows, {case.classes} classes", *HEAD),
        [
            (
                name,
                shown(way["seconds"], ".3f"),
                shown(way["seconds"] / best if way["seconds"] and name.startswith("20") else None),
                shown(way.get("of_limit"), ".1%"),
                shown(way.get("steps"), "d"),
                way.get("note", ""),
            )
            for name, way in ways.items()
        ],
    )
    gigabytes = record["step_bytes"] / 1e9
    print(f"W: {record['entries']:,} entries; a step moves {gigabytes:.2f} GB; copy {record['copy_gb_s']:.1f} GB/s")


def measure(case: data.Case, options: argparse.Namespace) -> None:
    """Run all solvers on one case and report their figures, in a process of its own."""
    blobs = data.load(case, options.cache)
    graph = ours.graph(blobs.rows)
    w, y = graph.affinity, sources(blobs.labels, graph.node, graph.affinity.shape[0])
    in_order, in_order_y = reordered(w, graph.node), sp.csc_array(sp.csr_array(y)[graph.node])  # a node for each row
    speed = copy_speed(options.threads)
    step_bytes = ENTRY_BYTES * w.nnz + PASSES * FLOAT_BYTES * y.shape[0] * y.shape[1]

    def twenty(matrix: sp.csr_array, target: sp.csc_array, held: Any) -> Record:
        found = best_of(lambda: ours.solve(matrix, target, UNREACHED, STEPS, held), options)
        return found | {"of_limit": STEPS * step_bytes / speed / found["seconds"]}

    ways = {CELL_ORDER: twenty(w, y, graph), ROW_ORDER: twenty(in_order, in_order_y, None)}
    ways[SCIPY] = by_scipy(in_order, in_order_y)
    ways[PLAIN] = best_of(lambda: ours.solve(w, y, 1e-6, 1000, graph), options)
    ways[PRECONDITIONED] = best_of(lambda: ours.solve(w, y, 1e-6, 1000, graph, coarse=True), options)
    total = sum(way["seconds"] or 0 for way in ways.values())
    report(seconds=total, solvers=ways, entries=int(w.nnz), step_bytes=int(step_bytes), copy_gb_s=speed / 1e9)


def sources(given: np.ndarray, node: np.ndarray, num_nodes: int) -> sp.csc_array:
    """Y: (m, c) with 1 / (labelled rows of the class) where a node is labelled."""
    rows = np.flatnonzero(given >= 0)
    share = 1 / np.bincount(given[rows])[given[rows]]
    return sp.csc_array((share, (node[rows], given[rows])), (num_nodes, given.max() + 1))


def reordered(w: sp.csr_array, node: np.ndarray) -> sp.csr_array:
    """W with its rows and columns in the order of the rows of the data, int32 as before."""
    moved = w[node][:, node]
    moved.sort_indices()
    return sp.csr_array((moved.data, moved.indices.astype(np.int32), moved.indptr.astype(np.int32)), moved.shape)


def best_of(solve: Callable[[], Any], options: argparse.Namespace) -> Record:
    """The fastest of options.repeat solves, after one to warm up."""
    watch = Stopwatch()
    steps = int(solve().num_steps.max())
    seconds: list[float] = []
    while not seconds or (len(seconds) < options.repeat and sum(seconds) < options.spend):
        watch.time(solve)
        seconds.append(watch.seconds)
    return {"seconds": min(seconds), "steps": steps}


def by_scipy(w: sp.csr_array, y: sp.csc_array) -> Record:
    """SciPy's cg for one column after the other."""
    from scipy.sparse.linalg import cg

    n, c = y.shape
    system = (sp.eye_array(n) - ALPHA * w.astype(np.float64)).tocsr()
    columns = y[:, : min(c, 3) if n * c > MANY else c].toarray().T
    start = time.perf_counter()
    for column in columns:
        cg(system, column, rtol=UNREACHED, atol=0, maxiter=STEPS)
    seconds = (time.perf_counter() - start) * c / len(columns)
    note = f"scaled from {len(columns)} columns" if len(columns) < c else ""
    return {"seconds": seconds, "steps": STEPS, "note": note}


def copy_speed(threads: int) -> float:
    """Bytes read and written a second by the fastest of a few copies of 256 MiB on all threads."""
    source = np.ones(COPY_BYTES // FLOAT_BYTES, np.float32)
    target = np.zeros_like(source)
    cuts = np.linspace(0, source.size, threads + 1).astype(int)
    parts = [slice(first, last) for first, last in pairwise(cuts.tolist())]
    seconds = []
    with ThreadPoolExecutor(threads) as pool:
        for _ in range(COPIES):
            start = time.perf_counter()
            list(pool.map(lambda part: np.copyto(target[part], source[part]), parts))
            seconds.append(time.perf_counter() - start)
    return 2 * COPY_BYTES / min(seconds)


if __name__ == "__main__":
    main()
