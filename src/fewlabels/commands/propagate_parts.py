"""`fewlabels propagate` over partitions: on a Dask cluster, or on this machine in less memory than the whole takes."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from shutil import rmtree
from typing import TYPE_CHECKING, Any

from ..data.labels.files import Labels
from ..data.paths import demand_unchanged, file_states
from ..data.tables.embeddings import EmbeddingSource
from ..errors import ConfigError, GraphError, demand_packages
from ..graph import GraphSettings
from ..graph.threads import num_threads
from ..storage import durable
from .answers import Settings
from .memory import GIB, available_bytes, gib
from .progress import StageProgress

if TYPE_CHECKING:
    from ..cluster.dask_engine import DaskEngine

RESULTS = "_results.json"  # readers of a folder of Parquet files pass over such a name
# How long stages take, in parts of the whole, as 1,000,000 rows of 64 numbers did; for the bar.
PARTS = {
    "read": 4.0,
    "repeats": 2.0,
    "centres": 6.0,
    "assign": 8.0,
    "collect": 3.0,
    "truth": 3.0,
    "search-0": 45.0,
    "exchange-0": 5.0,
    "edges": 3.0,
    "measure-degrees": 4.0,
    "weigh": 5.0,
    "solve": 14.0,
    "far": 1.0,
    "label": 2.0,
}
DRIVER_BYTES = 300 * 2**20  # of the process that leads
LEAST_BYTES = 3 * DRIVER_BYTES  # with one worker


@dataclass(frozen=True)
class Resources:
    """Where it is done. client, scheduler, scheduler_file: of a Dask cluster; none of them: this machine.

    memory_limit: GiB that it may take on this machine; None: what is free. work: a folder that all workers see, for
    what stages hand to each other. partitions: None: as memory asks for.
    """

    memory_limit: float | None = None
    scheduler: str | None = None
    scheduler_file: Path | None = None
    work: Path | None = None
    partitions: int | None = None
    client: Any = None

    @property
    def are_parts(self) -> bool:
        """Whether partitions were asked for, whatever fits."""
        return bool(self.client or self.scheduler or self.scheduler_file or self.work)


def run_parts(
    source: EmbeddingSource,
    given: Labels,
    settings: Settings,
    resources: Resources,
    out: Path,
    *,
    quiet: bool = False,
) -> dict[str, Any]:
    """Write out/part-*.parquet and out/_results.json, and return the results.

    Raises ConfigError (C141) for settings that are not given, and what propagate_parts raises.
    """
    demand_packages("propagating over partitions needs", "distributed", extra="cluster")
    if not isinstance(settings, GraphSettings):
        what = "settings that the labels choose, over partitions"
        do = "give --mode paper, with --n-neighbors and --alpha where those of the paper do not fit"
        raise ConfigError("C141", what, do=do)
    if out.suffix.lower() == ".csv" or out.is_file():
        what = "labels over partitions are a folder of Parquet files"
        raise ConfigError("C141", what, where=out, do="name a folder with --out")
    from ..cluster.propagate import Task, propagate_parts
    from ..cluster.run import IDENTITY

    before = file_states(source.path)
    work = resources.work or out.with_name(f"{out.stem}-work")
    if out.is_dir() and any(out.iterdir()) and not (work / IDENTITY).exists():
        raise ConfigError("C9", "the output folder holds something", where=out, do="name a new or an empty one")
    names = list(given.class_names)
    task = Task(source=source, codes=given.codes, class_names=names, settings=settings, out=out)
    progress = StageProgress(PARTS, "propagating", quiet=quiet)
    with _open_engine(resources, work) as engine:
        if not quiet:
            print(f"{engine.num_blocks} workers at {engine.where}; files in {work}", file=sys.stderr, flush=True)
        results = propagate_parts(task, engine, work, partitions=resources.partitions, on_progress=progress.advance)
    demand_unchanged(before)
    progress.close()
    durable.write_text(out / RESULTS, json.dumps(results, indent=1) + "\n")
    return results


def can_split(shape: tuple[int, int], settings: GraphSettings) -> bool:
    """Whether partitions do what is asked, and their package is there."""
    from ..cluster.demands import demand_known

    try:
        demand_known(settings, shape)
    except GraphError:
        return False
    return find_spec("distributed") is not None


@contextmanager
def _open_engine(asked: Resources, work: Path) -> Iterator[DaskEngine]:
    from ..cluster.dask_engine import DaskEngine, local_engine, remote_engine

    if asked.scheduler and asked.scheduler_file:
        raise ConfigError("C141", "both --scheduler and --scheduler-file", do="name one of them")
    if (asked.client or asked.scheduler or asked.scheduler_file) and asked.work is None:
        do = "name a folder on a disk that all workers see (--work)"
        raise ConfigError("C141", "a cluster without a folder for its files", do=do)
    if asked.client is not None:
        with asked.client.as_current():
            yield DaskEngine(asked.client)
        return
    if asked.scheduler or asked.scheduler_file:
        path = None if asked.scheduler_file is None else str(asked.scheduler_file)
        with remote_engine(asked.scheduler, path) as engine:
            yield engine
        return
    room = available_bytes() if asked.memory_limit is None else int(asked.memory_limit * GIB)
    room = 4 * GIB if room is None else room
    num = num_threads()
    each = (room - DRIVER_BYTES) // num
    if each < 2 * DRIVER_BYTES:
        num, each = 1, room - DRIVER_BYTES
    if room < LEAST_BYTES:
        raise ConfigError("C41", f"a memory limit of {gib(room)}; partitions take {gib(LEAST_BYTES)} at least")
    scratch = work / ".workers"
    with local_engine(scratch, num, each) as engine:
        yield engine
    rmtree(scratch, ignore_errors=True)
