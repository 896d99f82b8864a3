"""Embeddings in files and a few labels -> tables of labels, by the workers of a cluster or out of core.

The answer has the bits of `fewlabels.graph.propagate` on one machine: the same functions work on ranges of the same
order of rows, and all sums are made group by group.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import scipy.sparse as sp

from ..conventions import UNLABELED
from ..data.paths import file_states
from ..data.tables.embeddings import EmbeddingSource
from ..data.tables.units import Unit, cut_units, shard_bounds
from ..graph.affinity import negative_degree, warn_of_lost_rows
from ..graph.build import refuse_many_zeros
from ..graph.codes import draw_for_basis, find_among
from ..graph.compiled.affinity import Power
from ..graph.compiled.clusters import draw_for_centres, rank_clusters
from ..graph.compiled.coded import TRIES, Shape, choose_plan, rank_truth
from ..graph.compiled.codes import encode
from ..graph.compiled.recall import join_true
from ..graph.compiled.search import Points
from ..graph.compiled.solver import Health
from ..graph.label_matrix import CheckedLabels, build_label_matrix, check_labels, drop_labels
from ..graph.neighbors import count_neighbors
from ..graph.recall import Goal, Share, choose_num_probes, draw_sample, summarize
from ..graph.rows import check_bad
from ..graph.settings import CODES_FROM, GraphSettings
from ..graph.solver import Solution
from ..graph.system import (
    TWO_LEVELS_FROM,
    fill_rings,
    warn_of_contradictions,
    warn_of_missed,
    warn_of_unsolved,
)
from ..graph.threads import Team
from ..graph.types import Progress, no_progress
from ..storage import durable
from . import affinity, coded, labels, rows, search
from .demands import (
    Sizes,
    codes_tell_too_little,
    demand_clusters,
    demand_held,
    demand_known,
    demand_room,
    is_small,
    plan_sizes,
)
from .engine import Engine
from .labels import Answering
from .layout import Layout, read_layout, share_out
from .run import IDS, Run, find_results, finish, open_run
from .small import propagate_small
from .solve import solve

HASHES_AT_A_TIME = 20_000_000
STAGES = ("read", "repeats", "centres", "assign", "collect", "search", "affinity", "solve", "label")


@dataclass(frozen=True, kw_only=True)
class Task:
    """What is propagated. codes: (n,) int64, -1 where unlabelled."""

    source: EmbeddingSource
    codes: np.ndarray
    class_names: Sequence[str]
    settings: GraphSettings
    out: Path
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
    sizes = plan_sizes((n, d), checked.num_classes, settings, engine, partitions, worker_bytes)
    if not is_small(n, settings):
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
        return finish(run, propagate_small(task, checked), keep=task.keep)
    layout = _arrange(run, task, points, sizes)
    powered = _search(run, task, layout, sizes)
    _weigh(run, task, layout, powered)
    health, y = _solve(run, task, layout, checked)
    _fill(run, task, layout, y)
    results = _label(run, task, layout, checked)
    warn_of_unsolved(Solution(np.empty((0, 0)), *health, np.empty(0)), settings)
    return finish(run, results | _describe(run, task, layout, health), keep=task.keep)


def _identity(task: Task, partitions: int | None) -> dict[str, Any]:
    """What must be the same for a run to go on."""
    digest = np.flatnonzero(task.codes != UNLABELED), task.codes[task.codes != UNLABELED]
    return {
        "settings": asdict(task.settings),
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
    found = run.each("read", rows.read, [(run.store, unit, inner) for unit in units])
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


# -- neighbours


def _search_coded(run: Run, task: Task, layout: Layout, sizes: Sizes) -> affinity.Powered:
    """Codes choose candidates in the nearest clusters, more of both each time, until the recall is reached."""
    store, every = run.store, range(layout.num_partitions)
    k, recall = int(store.get("k")[0]), task.settings.search_recall
    assert recall != "exact"  # as demand_known has seen
    run.each("places", coded.find_places, [(store, p) for p in every])

    def ask() -> int:
        pairs = np.concatenate([store.get(f"asked-place-{p}") for p in every])
        place = np.empty(len(pairs), np.int64)
        place[pairs[:, 0]] = pairs[:, 1]
        count = store.size("asked")
        store.put("asked-places", place[:count])
        store.put("sample", place[:count])
        store.put("truth", place[count:].reshape(count, -1))
        store.put("sample-rows", store.get("queries"))
        return count

    run.once("ask", ask)
    run.each("candidates", coded.find_candidates, [(store, p, k) for p in every])
    sample, truth, rows_of = store.get("sample"), store.get("truth"), store.get("sample-rows")
    centres, basis = coded.get_points(store, "centre"), coded.get_basis(store)
    with Team() as team:
        queries = encode(Points(rows_of, np.arange(len(rows_of))), basis, team).queries
        rank = rank_truth(queries, centres, layout.cluster_of(truth).astype(np.int32), team)
    position = find_among(coded.join_candidates(store, layout, k), truth, layout.size)
    shape = Shape(layout.size, layout.start.size - 1, basis.points.num_points, task.source.shape[1])
    plan = choose_plan(rank, position, Goal(k, recall, sample), shape)
    for number in range(TRIES if plan is not None else 0):
        assert plan is not None  # as the line before has seen
        demand_held(plan.probes, layout, sizes)
        probing = search.Probing(k, 0, plan.probes, number, 0.0, sizes.held_rows, plan.candidates)
        reached, told = _search_round(run, layout, probing)
        if reached.mean >= recall and not any(found["missing"] for found in told):
            run.facts |= {"recall": reached.mean, "num_probes": plan.probes, "n_neighbors": k}
            return _power(task, told, number)
        plan = plan.widen(centres.num_points)
    raise codes_tell_too_little(recall)


def _search_round(run: Run, layout: Layout, probing: search.Probing) -> tuple[Share, list[Any]]:
    store, number = run.store, probing.round
    tasks = [(store, p, probing) for p in range(layout.num_partitions)]
    run.facts["rows_read"] = sum(run.each(f"search-{number}", search.search, tasks))
    told = run.each(f"exchange-{number}", search.exchange, tasks)
    for name in ("near", "offers", *([f"lists{number - 1}"] if number else [])):
        store.remove(f"{name}*")
    return summarize(np.concatenate([np.array(found["shares"]) for found in told])), told


def _power(task: Task, told: list[Any], number: int) -> affinity.Powered:
    clips = task.settings.rules.clip_negative
    largest = max(found["largest"][0 if clips else 1] for found in told)
    return affinity.Powered(number, Power(task.settings.gamma, largest, clips))


def _search(run: Run, task: Task, layout: Layout, sizes: Sizes) -> affinity.Powered:
    """Probe the clusters nearest to each row until the recall is reached, as on one machine."""
    if task.source.shape[1] >= CODES_FROM:
        return _search_coded(run, task, layout, sizes)
    store, every = run.store, range(layout.num_partitions)
    k, recall = count_neighbors(task.settings.n_neighbors, layout.size), task.settings.search_recall
    assert recall != "exact"  # as demand_known has seen

    def ask() -> int:
        sample = draw_sample(layout.size, task.settings.seed)
        store.put("sample", sample)
        store.put("queries", rows.read_rows_at(store, layout, sample))
        return int(sample.size)

    run.once("ask", ask)
    run.each("truth", search.find_truth, [(store, p, k) for p in every])
    truth = search.join_truth(store, layout, k)
    store.put("truth", truth)
    with Team() as team:
        rank = rank_clusters(store.get("centre"), store.get("queries"), layout.cluster_of(truth), team)
    done, number, reached = 0, 0, Share(0, 0)
    while reached.mean - reached.error < recall:
        enough = choose_num_probes(rank, recall, done)
        demand_clusters(enough, layout)
        probing = search.Probing(k, done, enough, number, run.facts["longest"], sizes.held_rows)
        reached, told = _search_round(run, layout, probing)
        done, number = enough, number + 1
    run.facts |= {"recall": reached.mean, "num_probes": done, "n_neighbors": k}
    return _power(task, told, number - 1)


def _weigh(run: Run, task: Task, layout: Layout, powered: affinity.Powered) -> None:
    tasks = [(run.store, p, powered) for p in range(layout.num_partitions)]
    run.each("edges", affinity.turn_lists, tasks)
    found = run.each("measure-degrees", affinity.measure, tasks)
    negative = sorted(row for part in found for row in part["negative"])
    if negative:
        raise negative_degree(negative)
    warn_of_lost_rows(sum(part["lost"] for part in found), task.settings.gamma)
    run.facts["halo"] = run.each("weigh", affinity.weigh, tasks)
    run.store.remove("edges*")
    run.store.remove("rows-*")
    if _has_two_levels(task, layout):
        run.each("coarsen", affinity.coarsen, [(run.store, p) for p in range(layout.num_partitions)])


def _has_two_levels(task: Task, layout: Layout) -> bool:
    return task.settings.mode == "paper" and layout.groups.size > TWO_LEVELS_FROM


# -- labels


def _solve(run: Run, task: Task, layout: Layout, checked: CheckedLabels) -> tuple[Health, sp.csc_array]:
    store, settings = run.store, task.settings
    given = np.flatnonzero(checked.label != UNLABELED)
    store.put("given", np.stack([given, checked.label[given]], axis=1))
    found = [np.array(part).reshape(-1, 2) for part in run.each("given", labels.find_given, _each(run, layout))]
    pairs = np.concatenate(found).astype(np.int64)
    pairs = pairs[np.argsort(pairs[:, 0])]
    known = CheckedLabels(checked.label[pairs[:, 0]], checked.num_classes)
    warn_of_contradictions(known.label, pairs[:, 1])
    y = build_label_matrix(known, pairs[:, 1], layout.num_nodes, settings.rules)
    how = {"alpha": settings.alpha, "tol": settings.tol, "max_steps": settings.step_limit}

    def compute() -> dict[str, Any]:
        def tell(share: float) -> None:
            run.on_progress("solve", share)

        health, restarts = solve(run.engine, store, layout, y, how, _has_two_levels(task, layout), tell)
        return {"health": [part.tolist() for part in health], "restarts": restarts}

    answer = run.once("solve", compute)
    run.facts["restarts"] = answer["restarts"]
    steps, residual, converged = answer["health"]
    return Health(np.array(steps), np.array(residual), np.array(converged, bool)), y


def _each(run: Run, layout: Layout, *more: Any) -> list[tuple[Any, ...]]:
    return [(run.store, p, *more) for p in range(layout.num_partitions)]


def _fill(run: Run, task: Task, layout: Layout, y: sp.csc_array) -> None:
    """Which nodes a label reaches, and those that the solver did not resolve filled from their neighbours."""
    store, c = run.store, y.shape[1]
    own = sum(run.each("parts", labels.link_own, _each(run, layout)))
    run.each("links", labels.link_others, _each(run, layout))
    run.facts["components"] = own - run.once("components", lambda: labels.join_parts(store, layout))
    nodes = np.unique(y.indices)
    reached = labels.component_of(store, affinity.take(store, layout, "part", nodes))
    store.put("labelled", np.unique(reached))
    far: int = sum(run.each("far", labels.find_far, _each(run, layout, c, task.settings)))
    run.facts["unresolved"] = far

    def fill() -> int:
        if not far:
            store.put("filled-nodes", np.empty(0, np.int64))
            store.put("filled-values", np.empty((0, c), np.float32))
            return 0
        labels.fill_fringe(store, layout, sp.csr_array(y), fill_rings)
        return far

    if far:
        run.each("fringe", labels.take_fringe, _each(run, layout, c))
    run.once("fill", fill)


def _label(run: Run, task: Task, layout: Layout, checked: CheckedLabels) -> dict[str, Any]:
    store = run.store
    first_id = None
    if task.source.table is None:
        first_id = int(task.source.ids[0].as_py())
    elif not (path := Path(store.folder) / IDS).exists():
        with durable.write_file(path) as file, pa.ipc.new_file(file, pa.schema([("id", pa.string())])) as writer:
            writer.write_table(pa.table({"id": task.source.ids.cast(pa.string())}))
    asked = Answering(checked.num_classes, task.settings, task.class_names, str(task.out.absolute()), first_id)
    if task.settings.rules.divide_by_largest:
        largest = max(run.each("certainty", labels.find_largest_certainty, _each(run, layout, asked)))
        asked = asked._replace(largest=largest)
    found = run.each("label", labels.write_labels, _each(run, layout, asked))
    missed = labels.join_missed(store, layout)
    warn_of_missed(missed, task.source.shape[0])
    total, count = np.sum([part["certainty"] for part in found], axis=0)
    return {
        "num_rows": sum(part["rows"] for part in found),
        "num_labeled": int((checked.label != UNLABELED).sum()),
        "class_names": list(task.class_names),
        "class_counts": np.sum([part["classes"] for part in found], axis=0).tolist(),
        "unreached": sum(part["missed"] for part in found),
        "tied": sum(part["tied"] for part in found),
        "certainty": float(total / count) if count else None,
    }


def _describe(run: Run, task: Task, layout: Layout, health: Health) -> dict[str, Any]:
    """How it was found, as far as one machine says it too, and what the cluster had to do."""
    halo = run.facts["halo"]
    return {
        "graph": {
            "num_nodes": layout.num_nodes,
            "num_edges": sum(part["entries"] for part in halo) // 2,
            "num_components": run.facts["components"],
            "num_clusters": layout.start.size - 1,
            **{name: run.facts[name] for name in ("n_neighbors", "recall", "num_probes")},
        },
        "solver": {
            "steps": health.steps.tolist(),
            "residual": health.residual.tolist(),
            "converged": health.converged.tolist(),
            "unresolved": run.facts["unresolved"],
        },
        "cluster": {
            "partitions": layout.num_partitions,
            "others": [part["others"] for part in halo],
            "rows_read": run.facts["rows_read"],
            "restarts": run.facts["restarts"],
            "peak_mib": run.engine.peak_mib(),
            "cpu_seconds": {name: round(spent, 2) for name, spent in run.engine.cpu_seconds.items()},
        },
    }
