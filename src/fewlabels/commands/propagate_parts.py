"""`fewlabels propagate` over partitions: on a Dask cluster, or on this machine in less memory than the whole takes."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from shutil import rmtree
from typing import TYPE_CHECKING, Any

import numpy as np

from ..choosing import Auto
from ..choosing.choice import Choice
from ..data.labels.files import Labels
from ..data.notes import counts
from ..data.paths import demand_unchanged, file_states
from ..data.tables.embeddings import EmbeddingSource
from ..errors import ConfigError, GraphError, demand_packages
from ..graph import GraphSettings
from ..graph.threads import num_threads
from ..runs import RunWriter
from ..storage import durable
from ..storage.arrays import read_arrays
from .answers import WANTED_ERROR, Settings, describe_asked, find_graph_settings, find_largest_graph
from .memory import GIB, available_bytes, gib, peak_memory_mib
from .progress import StageProgress

if TYPE_CHECKING:
    from ..cluster.dask_engine import DaskEngine
    from ..cluster.propagate import Task

RESULTS = "_results.json"  # readers of a folder of Parquet files pass over such a name
# How long stages take, in parts of the whole, as 1,000,000 rows of 64 numbers did; for the bar.
PARTS = {
    "read": 4.0,
    "choose": 20.0,
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
    "join": 1.0,
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


@dataclass(frozen=True)
class Asked:
    """What is propagated. facts: how the embeddings are opened again, for run.json. column, groups: of --groups."""

    source: EmbeddingSource
    given: Labels
    settings: Settings
    facts: Mapping[str, Any]
    column: str | None = None
    groups: np.ndarray | None = None


def run_parts(asked: Asked, resources: Resources, out: Path, folder: Path, *, quiet: bool = False) -> dict[str, Any]:
    """Write out/part-*.parquet, out/_results.json and a run folder, and return the results.

    Raises ConfigError (C141) for an output that is no folder, and what propagate_parts raises.
    """
    demand_packages("propagating over partitions needs", "distributed", extra="cluster")
    if out.suffix.lower() == ".csv" or out.is_file():
        what = "labels over partitions are a folder of Parquet files"
        raise ConfigError("C141", what, where=out, do="name a folder with --out")
    from ..cluster.propagate import propagate_parts
    from ..cluster.run import IDENTITY

    before, begun = file_states(asked.source.path), time.perf_counter()
    work = resources.work or out.with_name(f"{out.stem}-work")
    if out.is_dir() and any(out.iterdir()) and not (work / IDENTITY).exists():
        raise ConfigError("C9", "the output folder holds something", where=out, do="name a new or an empty one")
    task, progress = _make_task(asked, out), _Stages(quiet)
    with _open_engine(resources, work) as engine:
        if not quiet:
            print(f"{engine.num_blocks} workers at {engine.where}; files in {work}", file=sys.stderr, flush=True)
        results = propagate_parts(task, engine, work, partitions=resources.partitions, on_progress=progress.advance)
    demand_unchanged(before)
    results |= {"wall_seconds": time.perf_counter() - begun, "peak_memory_mib": peak_memory_mib()}
    results |= {"notes": counts(asked.given.left_out), "read": {"said": [], **asked.source.facts()}}
    kept = keep_run(asked, results, work, folder, progress.close())
    durable.write_text(out / RESULTS, json.dumps(results, indent=1) + "\n")
    return results | {"run": str(kept)}


def _make_task(asked: Asked, out: Path) -> Task:
    from ..cluster.propagate import Task

    settings = asked.settings
    auto = settings if isinstance(settings, Auto) else None
    return Task(
        source=asked.source,
        codes=asked.given.codes,
        class_names=list(asked.given.class_names),
        settings=find_largest_graph(asked.source.shape[0], settings),
        auto=auto,
        groups=asked.groups,
        wanted_error=WANTED_ERROR,
        out=out,
    )


def keep_run(
    asked: Asked, results: dict[str, Any], work: Path, folder: Path, stages: Sequence[Mapping[str, Any]]
) -> Path:
    """The run folder of a propagation that is done, made once; another call says where it is."""
    from ..cluster.mixing import HEADS
    from ..cluster.store import Journal, Store
    from ..cluster.tables import TABLE

    journal = Journal(Store(str(work)), "run-folder")
    if (known := journal.read().get(0)) is not None:
        return Path(known)
    facts = {"title": asked.source.path.name, "class_names": list(asked.given.class_names), "source": dict(asked.facts)}
    writer = RunWriter(folder, "propagate", describe_asked(asked.settings, asked.column), **facts)
    writer.notes(asked.given.left_out)
    for stage in stages:
        writer.event("stage", **stage)
    writer.copy_pseudo_labels(work / TABLE)
    if (answer := results.get("answer")) is not None:
        writer.choose(_describe_chosen(asked.settings, results["choice"]))
        writer.answer(read_arrays(work / HEADS), answer)
    writer.results({name: value for name, value in results.items() if name != "answer"})
    from ..report import report_html

    writer.report(report_html([writer.folder]))
    writer.finish()
    journal.add(0, str(folder.absolute()))
    (work / TABLE).unlink()
    return folder


def _describe_chosen(settings: Settings, choice: Mapping[str, Any]) -> dict[str, Any]:
    """See answers.describe_chosen."""
    assert isinstance(settings, Auto)
    found = Choice.from_json(choice)
    graph = find_graph_settings(found, settings)
    names = ("members", "temperature", "prior", "class_scale")
    return {"graph": asdict(graph), "answer": {name: choice[name] for name in names}}


class _Stages:
    """The bar, and how long each stage took."""

    def __init__(self, quiet: bool) -> None:
        self._bar = StageProgress(PARTS, "propagating", quiet=quiet)
        self._took: dict[str, float] = {}
        self._running, self._since = "", time.perf_counter()

    def advance(self, stage: str, share: float) -> None:
        now = time.perf_counter()
        if self._running:
            self._took[self._running] = self._took.get(self._running, 0.0) + now - self._since
        self._running, self._since = stage, now
        self._bar.advance(stage, share)

    def close(self) -> list[dict[str, Any]]:
        """All is done. Returns the stages in their order."""
        self.advance("", 1.0)
        self._bar.close()
        return [{"name": name, "seconds": round(seconds, 4)} for name, seconds in self._took.items()]


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
