"""Tasks and blocks on the workers of a Dask cluster, whichever it is: of this machine, of SSH, SLURM or Kubernetes.

Workers are asked for by client.nthreads(): what scheduler_info() answers may lack workers that are there.
"""

from __future__ import annotations

import os
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
from distributed import Client, KilledWorker, LocalCluster, get_worker, wait

from ..errors import FewlabelsError, StorageError
from ..graph.compiled import instructions
from ..graph.threads import use_threads
from .blocks import Blocks, Sums
from .dask_blocks import BlockActor
from .engine import Fleet, OnDone, WorkersLost, join_advanced, join_finished
from .store import Store

ONE_AT_A_TIME = threading.Lock()  # of a worker: a task uses all of its threads by itself
PATIENCE = 30.0  # seconds that a nanny may take to start a worker again
MOST_DEATHS = 10  # of workers in one task, before the task counts as what kills them
ALONE = 120.0  # seconds without any worker


def run_task(function: Callable[..., Any], arguments: tuple[Any, ...]) -> tuple[Any, float]:
    """What a stage within a worker finds, and its processor seconds. All threads of the worker work on it.

    (The nanny tells NumPy to use one.)
    """
    with ONE_AT_A_TIME, use_threads(get_worker().state.nthreads):
        instructions()
        begun = time.process_time()
        found = function(*arguments)
        return found, time.process_time() - begun


def tell_limit(dask_worker: Any) -> int | None:
    """Bytes that a worker may take."""
    limit = dask_worker.memory_manager.memory_limit
    return None if limit is None else int(limit)


def tell_peak() -> float:
    """MiB that a worker had at most."""
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


@contextmanager
def local_engine(scratch: Path, num_workers: int, worker_bytes: int) -> Iterator[DaskEngine]:
    """Workers of this machine, one thread each. scratch: a folder for what Dask keeps there.

    Variables that Dask sets for its workers (MALLOC_TRIM_THRESHOLD_) are taken out of this process's environment again.
    """
    before = set(os.environ)
    cluster = LocalCluster(
        n_workers=num_workers,
        threads_per_worker=1,
        processes=True,
        memory_limit=worker_bytes,
        dashboard_address=":0",  # a free port: the usual one may be another cluster's
        local_directory=str(scratch),
        silence_logs=50,
    )
    try:
        with cluster, Client(cluster, set_as_default=False) as client, client.as_current():
            yield DaskEngine(client)
    finally:
        for name in set(os.environ) - before:
            del os.environ[name]


@contextmanager
def remote_engine(address: str | None, scheduler_file: str | None) -> Iterator[DaskEngine]:
    """Workers of a scheduler that runs somewhere. Raises StorageError (D1) where it does not answer."""
    try:
        client = Client(address, scheduler_file=scheduler_file, set_as_default=False, timeout=30)
    except (OSError, ValueError) as problem:
        do = "check that the scheduler runs, and that this machine reaches it"
        raise StorageError(
            "D30", f"no Dask scheduler answers: {problem}", where=address or scheduler_file, do=do
        ) from problem
    with client, client.as_current():
        yield DaskEngine(client)


class DaskEngine:
    """client: the current one, of a cluster whose workers have this fewlabels installed and see the same files."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.cpu_seconds: dict[str, float] = {}
        self._wait_for_workers()

    def _wait_for_workers(self) -> None:
        until = time.monotonic() + ALONE
        while not self.client.nthreads():
            if time.monotonic() > until:
                do = "start workers, such as with dask worker ADDRESS"
                raise StorageError("D30", f"no worker of the Dask cluster for {ALONE:.0f} seconds", do=do)
            time.sleep(0.2)

    @property
    def num_blocks(self) -> int:
        return max(1, len(self.client.nthreads()))

    @property
    def where(self) -> str:
        address = str(self.client.scheduler.address)
        return f"{address}, dashboard {self.client.dashboard_link}" if find_spec("bokeh") else address

    @property
    def worker_bytes(self) -> int | None:
        limits = [limit for limit in self.client.run(tell_limit, on_error="ignore").values() if limit]
        return min(limits) if limits else None

    def peak_mib(self) -> float:
        return max(self.client.run(tell_peak, on_error="ignore").values(), default=0.0)

    def each(self, function: Callable[..., Any], tasks: dict[int, tuple[Any, ...]], on_done: OnDone) -> None:
        running = {self._submit(function, arguments): number for number, arguments in tasks.items()}
        deaths = dict.fromkeys(tasks, 0)
        try:
            while running:
                for future in self._wait_for_some(list(running)):
                    number = running.pop(future)
                    try:
                        found, seconds = future.result()
                    except KilledWorker as problem:
                        deaths[number] += 1
                        if deaths[number] == MOST_DEATHS:
                            what = f"workers died {MOST_DEATHS} times in {function.__name__}"
                            do = "they may have too little memory: use larger ones, or more partitions"
                            raise StorageError("D30", what, do=do) from problem
                        running[self._submit(function, tasks[number])] = number
                    else:
                        name = function.__name__
                        self.cpu_seconds[name] = self.cpu_seconds.get(name, 0.0) + seconds
                        on_done(number, found)
        finally:
            self.client.cancel(list(running))

    def _submit(self, function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
        key = f"{function.__name__}-{uuid.uuid4().hex[:12]}"
        return self.client.submit(run_task, function, arguments, key=key, pure=False)

    def _wait_for_some(self, futures: list[Any]) -> list[Any]:
        """Those that are done. Raises StorageError (D30) where there is nobody left to do them."""
        while True:
            try:
                return list(wait(futures, timeout=2, return_when="FIRST_COMPLETED").done)
            except TimeoutError:
                self._wait_for_workers()

    @contextmanager
    def open_fleet(self, store: Store, blocks: Blocks) -> Iterator[Fleet]:
        """One block for each worker. Where there are fewer workers than blocks, the caller cuts them again."""
        workers = sorted(self.client.nthreads())[: len(blocks.cuts) - 1]
        if len(workers) < len(blocks.cuts) - 1:
            time.sleep(1)
            raise WorkersLost("before the blocks were loaded")
        futures = [
            self.client.submit(BlockActor, store, blocks, b, actor=True, workers=[worker], pure=False)
            for b, worker in enumerate(workers)
        ]
        try:
            while not all(future.done() for future in futures):  # Dask waits for a pinned address for ever
                if set(workers) - set(self.client.nthreads()):
                    raise WorkersLost("while its block was loaded")
                time.sleep(0.05)
            fleet = _Actors(self.client, _results(futures, self.client, workers), set(workers))
            fleet.connect()
            yield fleet
        finally:
            self.client.cancel(futures)

    def wait_for(self, count: int) -> None:
        """Give nannies time to start workers again, until there are so many, but not for ever."""
        until = time.monotonic() + PATIENCE
        while len(self.client.nthreads()) < count and time.monotonic() < until:
            time.sleep(0.2)
        self._wait_for_workers()


def _results(futures: list[Any], client: Client, workers: Sequence[str]) -> list[Any]:
    try:
        return [future.result() for future in futures]
    except FewlabelsError:
        raise
    except Exception as problem:
        if set(workers) - set(client.nthreads()):
            raise WorkersLost(str(problem)) from problem
        raise


class _Actors:
    """The blocks of all workers. A call to one that is gone may never end: whether it is there is asked meanwhile."""

    def __init__(self, client: Client, actors: list[Any], workers: set[str]) -> None:
        self.client, self.actors, self.workers, self.version = client, actors, workers, 0

    def connect(self) -> None:
        self.groups = np.cumsum([0, *self._all(lambda actor, b: actor.num_groups())]).tolist()
        self._all(lambda actor, b: actor.connect(self.actors))

    def begin(self, parts: Sequence[sp.csc_array], scale: np.ndarray) -> int:
        return int(max(self._all(lambda actor, b: actor.begin(parts[b], scale))))

    def advance(self, length: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        return join_advanced(self._all(lambda actor, b: actor.advance(length)))

    def turn_and_multiply(self, ratio: np.ndarray, lift: np.ndarray | None) -> np.ndarray:
        self.version += 1
        own = [None if lift is None else lift[first:last] for first, last in pairwise(self.groups)]
        return np.concatenate(self._all(lambda actor, b: actor.turn_and_multiply(self.version, ratio, own[b])))

    def finish(self, first_class: int) -> Sums:
        self.version += 1
        self._all(lambda actor, b: actor.bring_x(self.version))
        return join_finished(self._all(lambda actor, b: actor.finish(first_class)))

    def _all(self, call: Callable[[Any, int], Any]) -> list[Any]:
        """One call to every block. Raises WorkersLost where a worker is gone."""
        try:
            return [self._wait(future) for future in [call(actor, b) for b, actor in enumerate(self.actors)]]
        except (WorkersLost, FewlabelsError):
            raise
        except Exception as problem:
            self._demand_alive(PATIENCE / 3, problem)
            raise

    def _wait(self, future: Any) -> Any:
        while True:
            try:
                return future.result(timeout=1)
            except TimeoutError:
                self._demand_alive()

    def _demand_alive(self, patience: float = 0, problem: Exception | None = None) -> None:
        until = time.monotonic() + patience
        while True:
            if self.workers - set(self.client.nthreads()):
                raise WorkersLost(str(problem)) from problem
            if time.monotonic() >= until:
                return
            time.sleep(0.1)
