"""Propagation over partitions against one machine: seconds, memory and bits. See docs/cluster.md.

    python -m benchmarks.cluster.measure 200000 --workers 2 --memory 1000 --partitions 4 [--kill search-0 solve]

Both take k = 50, or --neighbors, of rows in 200 blobs of 64 numbers (seed 0). The single machine runs in a process of
its own, with as many threads as there are workers.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np

from fewlabels.data.tables.embeddings import open_embeddings
from fewlabels.graph import GraphSettings, propagate

BLOBS, CLASSES, LABELS = 200, 10, 20


def make_rows(path: Path, n: int, d: int) -> np.ndarray:
    """Write rows in blobs, block by block; returns labels, 20 a class."""
    rng = np.random.default_rng(0)
    centre = rng.normal(size=(BLOBS, d)).astype(np.float32)
    home = rng.integers(0, BLOBS, n)
    rows = np.lib.format.open_memmap(path, "w+", np.float32, (n, d))
    for at in range(0, n, 100_000):
        part = home[at : at + 100_000]
        rows[at : at + 100_000] = centre[part] + 0.9 * rng.standard_normal((part.size, d), np.float32)
    labels = np.full(n, -1)
    for number in range(CLASSES):
        labels[rng.choice(np.flatnonzero(home % CLASSES == number), LABELS, replace=False)] = number
    return labels


def single(folder: Path, neighbors: int) -> None:
    """In a process of its own: propagate, and keep Z, nodes, seconds and memory."""
    rows, labels = np.load(folder / "rows.npy"), np.load(folder / "labels.npy")
    clock, cpu = time.perf_counter(), time.process_time()
    found = propagate(rows, labels, GraphSettings(n_neighbors=neighbors))
    seconds, cpu = time.perf_counter() - clock, time.process_time() - cpu
    np.savez(folder / "single.npz", z=found.z, node=found.graph.node, label=found.pseudo_labels.label)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"seconds": round(seconds, 1), "cpu": round(cpu, 1), "peak_mib": round(peak)}))


def task_of(folder: Path, asked: argparse.Namespace) -> Any:
    """A cluster's Task of the same rows."""
    from fewlabels.cluster.propagate import Task

    return Task(
        source=open_embeddings(folder / "rows.npy"),
        codes=np.load(folder / "labels.npy"),
        class_names=[str(number) for number in range(CLASSES)],
        settings=GraphSettings(n_neighbors=asked.neighbors),
        out=folder / "out",
        keep=True,
    )


def over_partitions(folder: Path, asked: argparse.Namespace) -> dict[str, object]:
    """The same by the workers of a LocalCluster, of which --kill kills one in each of these stages."""
    from fewlabels.cluster.dask_engine import local_engine
    from fewlabels.cluster.engine import InProcess
    from fewlabels.cluster.propagate import propagate_parts

    killed: list[str] = []
    task = task_of(folder, asked)
    stages: dict[str, float] = {}
    opened: Any = local_engine(folder, asked.workers, asked.memory << 20)
    if not asked.workers:
        opened = nullcontext(InProcess())
    with opened as engine:

        def on_progress(stage: str, share: float) -> None:
            stages.setdefault(stage, time.perf_counter())
            if stage in asked.kill and stage not in killed:
                killed.append(stage)
                process = sorted(engine.client.run(os.getpid).values())[-1]
                threading.Timer(1.5, os.kill, (process, signal.SIGKILL)).start()  # in the midst of it

        clock, begun = time.perf_counter(), time.process_time()
        limit = asked.memory << 20
        found = propagate_parts(
            task, engine, folder / "work", partitions=asked.partitions, worker_bytes=limit, on_progress=on_progress
        )
        seconds, cpu = time.perf_counter() - clock, time.process_time() - begun
    spans = np.diff([*stages.values(), clock + seconds]).round(1).tolist()
    return {
        "seconds": round(seconds, 1),
        "worst_worker_mib": round(found["cluster"]["peak_mib"]),
        "partitions": found["cluster"]["partitions"],
        "rows_read": found["cluster"]["rows_read"],
        "cpu_of_this_process": round(cpu, 1),
        "cpu": found["cluster"]["cpu_seconds"],
        "restarts": found["cluster"]["restarts"],
        "recall": found["search"]["recall"],
        "stages": dict(zip(stages, spans, strict=True)),
        "killed": killed,
    }


def same_bits(folder: Path) -> bool:
    """Whether Z, row by row, and the order of nodes are the same."""
    from fewlabels.cluster.labels import Answering, read_answers
    from fewlabels.cluster.layout import read_layout
    from fewlabels.cluster.store import Store

    one, store = np.load(folder / "single.npz"), Store(str(folder / "work"))
    asked, z, node, same = Answering(CLASSES, GraphSettings(), [], "", 0), one["z"], one["node"], True
    layout = read_layout(store)
    for p in range(layout.num_partitions):
        found, rows, at = read_answers(store, p, asked)
        same &= np.array_equal(node[rows], at + layout.nodes(p)[0])
        same &= found[at].tobytes() == z[node[rows]].astype(np.float32).tobytes()
    return bool(same)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", type=int)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--neighbors", type=int, default=50)
    parser.add_argument("--workers", type=int, default=2, help="0: none, all in this process")
    parser.add_argument("--memory", type=int, default=1000, help="MiB a worker")
    parser.add_argument("--partitions", type=int)
    parser.add_argument("--kill", nargs="*", default=[], help="stages, such as search-0 and solve")
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--single", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.single is not None:
        single(asked.single, asked.neighbors)
        return
    folder = asked.folder or Path(tempfile.mkdtemp())
    np.save(folder / "labels.npy", make_rows(folder / "rows.npy", asked.rows, asked.width))
    again = [sys.executable, "-m", "benchmarks.cluster.measure", str(asked.rows), "--single", str(folder)]
    environment = os.environ | {"OMP_NUM_THREADS": str(asked.workers or 1)}
    more = ["--neighbors", str(asked.neighbors)]
    said = subprocess.run([*again, *more], env=environment, check=True, capture_output=True, text=True).stdout
    print(f"{asked.rows} x {asked.width}, one machine: {said.strip()}", flush=True)
    print(f"{asked.workers} workers: {json.dumps(over_partitions(folder, asked))}", flush=True)
    print(f"same bits: {same_bits(folder)}", flush=True)
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
