"""Embeddings in files and a few labels -> tables of labels, by the workers of a cluster or out of core.

The answer has the bits of `fewlabels.graph.propagate` on one machine: the same functions work on ranges of the same
order of rows, and all sums are made group by group.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from ..choosing.settings import Auto
from ..conventions import UNLABELED
from ..data.paths import file_states
from ..data.tables.embeddings import EmbeddingSource
from ..data.tables.units import Unit, cut_units, shard_bounds
from ..graph.build import refuse_many_zeros
from ..graph.codes import draw_for_basis
from ..graph.compiled.clusters import draw_for_centres
from ..graph.compiled.recall import join_true
from ..graph.label_matrix import CheckedLabels, check_labels, drop_labels
from ..graph.neighbors import count_neighbors
from ..graph.recall import Goal, draw_sample
from ..graph.rows import check_bad
from ..graph.settings import CODES_FROM, GraphSettings
from ..graph.solver import Solution
from ..graph.system import (
    warn_of_missed,
    warn_of_unsolved,
)
from ..graph.types import Progress, no_progress
from ..storage import durable
from . import coded, labels, rows
from .auto import answer, choose_settings, with_longest_lists
from .demands import (
    Sizes,
    demand_countable,
    demand_known,
    demand_refinable,
    demand_room,
    is_small,
    plan_sizes,
)
from .engine import Engine
from .labels import Answering
from .layout import Layout, read_layout, share_out
from .neighbors import find_neighbors
from .refined import solve_and_refine
from .results import describe_health, describe_labels, describe_work
from .run import IDS, Run, find_results, finish, open_run
from .small import propagate_small
from .spread import find_nodes, label_matrix_of, weigh
from .tables import TABLE, join_tables

HASHES_AT_A_TIME = 20_000_000
STAGES = ("read", "repeats", "centres", "assign", "collect", "search", "affinity", "solve", "label")


@dataclass(frozen=True, kw_only=True)
class Task:
    """What is propagated. codes: (n,) int64, -1 where unlabelled.

    auto: settings that the labels choose, with the rest in `settings`; None: those are all given. groups: (n,) or None.
    wanted_error: that `abstain` in the results is for. keep: whether the files of the stages stay.
    """

    source: EmbeddingSource
    codes: np.ndarray
    class_names: Sequence[str]
    settings: GraphSettings
    out: Path
    auto: Auto | None = None
    groups: np.ndarray | None = None
    wanted_error: float = 0.05
    keep: bool = False


def propagate_parts(
    task: Task,
    engine: Engine,
    work: Path,
    *,
    partitions: int | None = None,
    worker_bytes: int | None = None,
    on_progress: Progress = no_progress,
) -> dict[str, Any]:
    """Write task.out/part-*.parquet, one table a partition, and return what is known of the whole.

    work: a folder that all workers see; a run that was killed goes on there. partitions: None for as many as the memory
    of a worker asks for. worker_bytes: what a worker may take; None: what the engine says.
    Raises what `propagate` raises for input that cannot be used, GraphError (G30) for what only one machine can do yet,
    and StorageError (G21) where the memory of all workers is too small. Warns as `propagate` does.
    """
    settings, (n, d) = task.settings, task.source.shape
    demand_known(task.settings, (n, d))
    checked = check_labels(task.codes, n, settings, task.class_names)
    demand_refinable((n, checked.num_classes), settings)
    sizes = plan_sizes((n, d), checked.num_classes, settings, engine, partitions, worker_bytes)
    if not is_small(n, settings):
        demand_countable(n, settings, engine)
        demand_room(sizes, engine)
    run = open_run(engine, work, _identity(task, partitions), on_progress)
    if (before := find_results(run, task.out)) is not None:
        return before
    sizes = Sizes(**run.once("sizes", lambda: asdict(sizes)))  # as they were, whoever works on it now
    units = cut_units(task.source, sizes.shard_bytes)
    counts = _read(run, task, units)
    checked = drop_labels(checked, _bad_rows(run, task, counts), settings, task.class_names)
    points = _find_points(run, task, counts)
    if is_small(sum(points), settings):
        return finish(run, propagate_small(task, checked, work), keep=task.keep)
    if task.auto is not None:
        results = _answer_chosen(run, task, task.auto, checked, points, sizes)
        return finish(run, results, keep=task.keep)
    layout = _arrange(run, task, points, sizes)
    powered = find_neighbors(run, settings, layout, sizes, d)
    run.store.remove("rows-*")
    pairs = find_nodes(run, layout, checked)
    weigh(run, settings, layout, powered)
    y = label_matrix_of(layout, checked, pairs, settings)
    health = solve_and_refine(run, settings, layout, y, checked.name_class)
    found = _label(run, task, layout, checked)
    warn_of_unsolved(Solution(np.empty((0, 0)), *health, np.empty(0)), settings)
    results = describe_labels(task, checked, found) | describe_health(run.facts, layout, health)
    _join(run, task, layout)
    return finish(run, results | describe_work(run, layout), keep=task.keep)


def _answer_chosen(
    run: Run, task: Task, auto: Auto, checked: CheckedLabels, points: list[int], sizes: Sizes
) -> dict[str, Any]:
    """The same with settings that the labels choose, on a sample, before rows are arranged for the search."""
    kept = choose_settings(run, task, auto, checked)
    task = replace(task, settings=with_longest_lists(task.settings, kept, task.source.shape[0], auto))
    layout = _arrange(run, task, points, sizes)
    found = answer(run, task, layout, sizes, checked, kept, _ask(run, task, checked))
    results = describe_labels(task, checked, found.parts) | found.results
    if found.health is not None:
        results |= describe_health(found.facts, layout, found.health)
    _join(run, task, layout)
    return results | describe_work(replace(run, facts=found.facts), layout)


def _identity(task: Task, partitions: int | None) -> dict[str, Any]:
    """What must be the same for a run to go on."""
    digest = np.flatnonzero(task.codes != UNLABELED), task.codes[task.codes != UNLABELED]
    return {
        "settings": asdict(task.settings),
        "auto": None if task.auto is None else asdict(task.auto),
        "groups": None if task.groups is None else labels.digest(np.unique(task.groups, return_inverse=True)[1]),
        "shape": list(task.source.shape),
        "files": [[str(path), *map(str, state)] for path, state in sorted(file_states(task.source.path).items())],
        "labels": [labels.digest(*digest), len(task.class_names)],
        "partitions": partitions,
        "out": str(task.out.absolute()),
    }


# -- rows


def _read(run: Run, task: Task, units: list[Unit]) -> np.ndarray:
    """(s, 3) usable, zero and bad rows of each shard."""
    run.store.put("shards", shard_bounds(units))
    inner = None
    if task.settings.metric == "inner_product":
        inner = max(run.each("measure", rows.measure, [(unit,) for unit in units])) or 1.0
    run.facts["unit"] = inner or 1.0
    lengths = task.auto is not None and inner is None  # some heads see them
    found = run.each("read", rows.read, [(run.store, unit, inner, lengths) for unit in units])
    return np.array([counts for shards in found for counts in shards])


def _rows_of_kind(run: Run, kind: int) -> np.ndarray:
    bounds = run.store.get("shards")
    parts = [np.flatnonzero(run.store.get(f"kind-{s}") == kind) + bounds[s] for s in range(bounds.size - 1)]
    return np.concatenate(parts)


def _bad_rows(run: Run, task: Task, counts: np.ndarray) -> np.ndarray:
    """Rows with NaN or infinity. Raises EmbeddingError E1 or E4 for too many of these, or of all-zero ones."""
    n = int(counts.sum())
    bad = _rows_of_kind(run, rows.BAD) if counts[:, rows.BAD].any() else np.empty(0, np.int64)
    if bad.size:
        check_bad(bad, n, drop_bad_rows=task.settings.drop_bad_rows)
    zero = _rows_of_kind(run, rows.ZERO) if counts[:, rows.ZERO].any() else np.empty(0, np.int64)
    refuse_many_zeros(zero, n, task.settings)
    run.store.put("lone", np.sort(np.concatenate([zero, bad])))
    return bad


def _find_points(run: Run, task: Task, counts: np.ndarray) -> list[int]:
    """How many rows of each shard are nodes with a direction: in paper mode each of equal rows once."""
    shards, merges = range(len(counts)), task.settings.rules.merge_duplicates
    buckets = math.ceil(counts.sum() / HASHES_AT_A_TIME) if merges else 0
    run.each("repeats", rows.find_repeats, [(run.store, len(shards), b, buckets) for b in range(buckets)])
    return list(map(int, run.each("points", rows.find_leaders, [(run.store, shard, buckets) for shard in shards])))


def _arrange(run: Run, task: Task, points: list[int], sizes: Sizes) -> Layout:
    """Rows in partitions by cluster."""
    size, shards, store = sum(points), range(len(points)), run.store
    first = np.concatenate([[0], np.cumsum(points)]).tolist()
    wide = task.source.shape[1] >= CODES_FROM
    if wide:
        _ask_by_number(run, task, points)
        run.each("basis", coded.make_basis, [(store, len(shards), size, task.settings.seed)])
    if not store.path("chosen").exists():
        store.put("chosen", draw_for_centres(size, task.settings.seed)[0])
    run.each("sample", coded.take_rows, [(store, shard, first[shard], "chosen") for shard in shards])
    make_centres = coded.make_centres if wide else rows.make_centres
    num: int = run.each("centres", make_centres, [(store, len(shards), size, task.settings.seed)])[0]
    run.each("assign", rows.assign, [(store, shard) for shard in shards])

    def cut() -> int:
        start = np.zeros(num + 1, np.int64)
        for shard in shards:
            start += store.get(f"sorted-start-{shard}")
        share_out(start, sizes.partitions, store.size("lone")).save(store)
        return num

    run.once("layout", cut)
    layout = read_layout(store)
    longest = run.each("collect", rows.collect, [(store, len(shards), p) for p in range(layout.num_partitions)])
    run.facts["longest"] = max(longest)
    for name in ("sorted-*", "raw-*", "hash-*", "again-*", "leads-*", "twins-*", "chosen-*", "drawn-*"):
        store.remove(name)
    return layout


def _ask_by_number(run: Run, task: Task, points: list[int]) -> None:
    """The sample of wide rows that recall is measured on, and its true neighbours, by numbers of points."""
    store, shards, size, seed = run.store, range(len(points)), sum(points), task.settings.seed
    first = np.concatenate([[0], np.cumsum(points)]).tolist()
    k = count_neighbors(task.settings.n_neighbors, size)
    store.put("k", np.array([k]))
    if not store.path("asked").exists():
        store.put("drawn", draw_for_basis(size, seed)[0])
        store.put("asked", draw_sample(size, seed))
    for name in ("drawn", "asked"):
        run.each(f"take-{name}", coded.take_rows, [(store, shard, first[shard], name) for shard in shards])

    def join() -> int:
        store.put("queries", coded.join_rows(store, len(shards), "asked"))
        return 0

    def keep() -> int:
        parts = [(store.get(f"truth-number-{s}"), store.get(f"truth-similarity-{s}")) for s in shards]
        truth = join_true(Goal(k, 1.0, store.get("asked")), parts)[0]
        bounds, starts = store.get("shards"), np.array(first)
        wanted = np.concatenate([store.get("asked"), truth.ravel()])
        rows_of = np.empty(wanted.size, np.int64)
        for shard in shards:
            own = (wanted >= starts[shard]) & (wanted < starts[shard + 1])
            rows_of[own] = store.get(f"leads-{shard}")[wanted[own] - starts[shard]] + bounds[shard]
        store.put("asked-row", rows_of)
        return 0

    run.once("join-asked", join)
    run.each("truth", coded.find_truth, [(store, shard, first[shard], k) for shard in shards])
    run.once("keep-truth", keep)


# -- labels


def _ask(run: Run, task: Task, checked: CheckedLabels) -> Answering:
    """What tables need to be written; ids that are no numbers go into a file."""
    first_id = None
    if task.source.table is None:
        first_id = int(task.source.ids[0].as_py())
    elif not (path := Path(run.store.folder) / IDS).exists():
        with durable.write_file(path) as file, pa.ipc.new_file(file, pa.schema([("id", pa.string())])) as writer:
            writer.write_table(pa.table({"id": task.source.ids.cast(pa.string())}))
    return Answering(checked.num_classes, task.settings, task.class_names, str(task.out.absolute()), first_id)


def _label(run: Run, task: Task, layout: Layout, checked: CheckedLabels) -> list[dict[str, Any]]:
    """Write the tables. Returns the counts of each."""
    asked, every = _ask(run, task, checked), range(layout.num_partitions)
    if task.settings.rules.divide_by_largest:
        tasks = [(run.store, p, asked) for p in every]
        asked = asked._replace(largest=max(run.each("certainty", labels.find_largest_certainty, tasks)))
    found = run.each("label", labels.write_labels, [(run.store, p, asked) for p in every])
    warn_of_missed(labels.join_missed(run.store, layout), task.source.shape[0])
    return found


def _join(run: Run, task: Task, layout: Layout) -> None:
    """All tables in one, in the order of the rows."""
    parts = [task.out / f"part-{p:05d}.parquet" for p in range(layout.num_partitions)]
    run.once("join", lambda: join_tables(run.store, parts, Path(run.store.folder) / TABLE, run.on_progress))
