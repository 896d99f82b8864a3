"""SIGKILL in each stage of a propagation over partitions, on cores that are oversubscribed four times.

    python -m benchmarks.cluster.kills --out kills.jsonl [--times 20] [--stages search-0 solve] [--seconds 240]

Each line of the output is one run: a worker was killed, with a nanny that starts it again or without, or the process
that leads, which is then given the same command again. A run passes if it ends within 120 s with the table of a run in
which nobody was killed. Runs that are in the file already are not made again; --seconds stops between two runs.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from benchmarks.cluster.measure import CLASSES, make_rows
from fewlabels.cluster.tables import TABLE
from fewlabels.data.tables.embeddings import open_embeddings
from fewlabels.graph import GraphSettings

ROWS, WIDTH, PARTITIONS = 20_000, 16, 6
LONGEST = 120.0  # seconds
WAYS = ("worker", "worker without a nanny", "driver")
OVERSUBSCRIBED = 4  # workers for each core
WORKER_BYTES = 400 << 20


@contextmanager
def workers_without_nannies(folder: Path, count: int) -> Iterator[Any]:
    """A scheduler and workers that nobody starts again."""
    from fewlabels.cluster.dask_engine import remote_engine

    address = folder / "scheduler.json"
    dask = [sys.executable, "-m", "distributed.cli.dask_worker"]
    scheduler = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--port", "0", "--host", "127.0.0.1"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    started = [subprocess.Popen([*scheduler, "--scheduler-file", str(address), "--no-dashboard"], **quiet)]
    more = ["--scheduler-file", str(address), "--no-nanny", "--nthreads", "1", "--memory-limit", str(WORKER_BYTES)]
    try:
        while not address.exists():
            time.sleep(0.1)
        started += [subprocess.Popen([*dask, *more, "--no-dashboard"], **quiet) for _ in range(count)]
        with remote_engine(None, str(address)) as engine:
            while len(engine.client.nthreads()) < count:
                time.sleep(0.1)
            yield engine
    finally:
        for process in started:
            process.kill()
            process.wait()


def lead(folder: Path, way: str, stage: str, delay: float) -> None:
    """In a process of its own: propagate, and kill in that stage, once for the folder."""
    from fewlabels.cluster.dask_engine import local_engine
    from fewlabels.cluster.propagate import Task, propagate_parts

    labels, told, killed = np.load(folder.parent / "labels.npy"), folder / "stages", folder / "killed"
    task = Task(
        source=open_embeddings(folder.parent / "rows.npy"),
        codes=labels,
        class_names=[str(number) for number in range(CLASSES)],
        settings=GraphSettings(n_neighbors=10),
        out=folder / "out",
    )
    count = OVERSUBSCRIBED * len(os.sched_getaffinity(0))
    opened = workers_without_nannies(folder, count) if "without" in way else local_engine(folder, count, WORKER_BYTES)
    with opened as engine:

        def on_progress(name: str, share: float) -> None:
            with told.open("a") as file:
                file.write(f"{name}\n")
            if name == stage and not killed.exists():
                killed.touch()
                victim = os.getpid() if way == "driver" else sorted(engine.client.run(os.getpid).values())[-1]
                threading.Timer(delay, os.kill, (victim, signal.SIGKILL)).start()

        propagate_parts(task, engine, folder / "work", partitions=PARTITIONS, on_progress=on_progress)


def run_once(folder: Path, way: str, stage: str, delay: float) -> dict[str, Any]:
    """One run in a new folder within `folder`: seconds, and the table's hash; None where it did not end in time."""
    place = Path(tempfile.mkdtemp(dir=folder))
    command = [sys.executable, "-m", "benchmarks.cluster.kills", "--lead", str(place), way, stage, str(delay)]
    begun, status = time.monotonic(), -signal.SIGKILL
    try:
        while status == -signal.SIGKILL:  # the driver was killed: the same command again
            left = LONGEST - (time.monotonic() - begun)
            with (place / "said").open("a") as said:
                process = subprocess.Popen(command, stdout=said, stderr=said, start_new_session=True)
                status = process.wait(timeout=left)
    except subprocess.TimeoutExpired:
        status = None
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    found = place / "work" / TABLE
    digest = hashlib.sha256(str(pq.read_table(found).to_pydict()).encode()).hexdigest() if found.exists() else None
    told = list(dict.fromkeys((place / "stages").read_text().split())) if (place / "stages").exists() else []
    was_killed, seconds = (place / "killed").exists(), round(time.monotonic() - begun, 1)
    said = "" if status == 0 else (place / "said").read_text()[-600:]
    shutil.rmtree(place, ignore_errors=True)
    return {"seconds": seconds, "status": status, "digest": digest, "killed": was_killed, "stages": told, "said": said}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("kills.jsonl"))
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--stages", nargs="*", help="default: all")
    parser.add_argument("--ways", nargs="*", default=WAYS, choices=WAYS)
    parser.add_argument("--seconds", type=float, default=float("inf"))
    parser.add_argument("--lead", nargs=4, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.lead:
        lead(Path(asked.lead[0]), asked.lead[1], asked.lead[2], float(asked.lead[3]))
        return
    until = time.monotonic() + asked.seconds
    done = [json.loads(line) for line in asked.out.read_text().splitlines()] if asked.out.exists() else []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        np.save(folder / "labels.npy", make_rows(folder / "rows.npy", ROWS, WIDTH))
        whole = run_once(folder, "nobody", "none", 0.0)
        print(f"nobody killed: {whole['seconds']} s", flush=True)
        stages = asked.stages or whole["stages"]
        known = {(one["way"], one["stage"], one["time"]) for one in done}
        cases = [(way, stage, number) for number in range(asked.times) for stage in stages for way in asked.ways]
        for way, stage, number in cases:
            if (way, stage, number) in known or time.monotonic() > until:
                continue
            found = run_once(folder, way, stage, random.Random(f"{way} {stage} {number}").uniform(0, 0.4))
            passed = found["status"] == 0 and found["digest"] == whole["digest"] and found["killed"]
            line = {"way": way, "stage": stage, "time": number, "passed": passed, "seconds": found["seconds"]}
            done.append(line | {"status": found["status"], "killed": found["killed"], "said": found["said"]})
            with asked.out.open("a") as file:
                file.write(json.dumps(done[-1]) + "\n")
            print(json.dumps(line), flush=True)
    failed, longest = [one for one in done if not one["passed"]], max((one["seconds"] for one in done), default=0)
    print(f"{len(done)} runs, {len(failed)} failed, {longest} s at most")


if __name__ == "__main__":
    main()
