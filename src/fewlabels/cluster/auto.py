"""Settings that the labels choose, over partitions: chosen on one machine's sample, answered in parts."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..choosing.abstain import describe_curve, find_threshold, measure_curve
from ..choosing.answer import Part
from ..choosing.candidates import divide_by_degree, settings_of
from ..choosing.choice import Choice, Member
from ..choosing.choose import Chosen
from ..choosing.combine import Measured
from ..choosing.cost import find_widest
from ..choosing.propagate import PRIOR_ROWS, Given, choose_on, find_head, settle
from ..choosing.rows import LENGTHS, SAME_LENGTH, Rows, mix_hashes
from ..choosing.saved import pack_heads
from ..choosing.scores import Interval
from ..choosing.settings import CHOICE_ROWS, Auto
from ..conventions import UNLABELED
from ..errors import UnreachedWarning, warn
from ..graph.blas import one_blas_thread
from ..graph.compiled.solver import Health
from ..graph.label_matrix import CheckedLabels
from ..graph.settings import GraphSettings
from ..graph.solver import Solution
from ..graph.system import warn_of_missed, warn_of_unsolved
from ..storage.arrays import write_arrays
from . import affinity, labels, mixing
from .demands import Sizes
from .labels import Answering
from .layout import Layout
from .neighbors import find_neighbors, shorten
from .refined import solve_and_refine
from .rows import BAD, USABLE
from .run import Run
from .spread import find_nodes, label_matrix_of, weigh
from .store import Store

if TYPE_CHECKING:
    from .propagate import Task

DIGEST_ROWS = 30_000_000  # more than one machine can solve a graph of again, for new rows


@dataclass(frozen=True, kw_only=True)
class Kept:
    """chosen: what the labels chose, without its heads, which are in a file. digest: SHA-256 of all comparable rows."""

    chosen: Chosen
    digest: str | None

    @property
    def graphs(self) -> list[Member]:
        return [member for member in self.chosen.choice.members if member.kind == "graph"]


@dataclass(frozen=True, kw_only=True)
class Answered:
    """results: of choosing. parts: counts of each partition. facts, health: of the graph with the largest share."""

    results: dict[str, Any]
    parts: list[dict[str, Any]]
    facts: dict[str, Any]
    health: Health | None


def choose_settings(run: Run, task: Task, auto: Auto, checked: CheckedLabels) -> Kept:
    """Choose on the seeded sample of one machine, which is brought here: at most 200,000 rows."""
    store = run.store

    def compute() -> dict[str, Any]:
        labelled = np.flatnonzero(checked.label != UNLABELED)
        usable = labelled[_read_at(store, "kind", labelled) == USABLE]
        used = _pick(store, usable, CHOICE_ROWS, auto.base.seed)
        store.put("prior-rows", _pick(store, np.empty(0, np.int64), PRIOR_ROWS, auto.base.seed))
        length = _read_at(store, "length-of", used) if _lengths_say_something(store) else None
        rows = Rows(values=_read_at(store, "raw", used), length=length)
        groups = None if task.groups is None else task.groups[usable]
        bad = np.flatnonzero(_read_at(store, "kind", used) == BAD)
        place, ones = np.searchsorted(used, usable), np.ones(usable.size)
        given = Given(place, checked.label[usable], ones, groups, checked.num_classes)
        with one_blas_thread():  # as on one machine
            chosen, _, spaces, held = choose_on(rows, bad, given, auto, run.on_progress)
            heads = [
                Part(member=one, head=None if one.kind == "graph" else find_head(one, chosen, spaces, held, auto))
                for one in chosen.choice.members
            ]
        write_arrays(Path(store.folder) / mixing.HEADS, pack_heads(heads))
        measured = replace(chosen.measured, row=used[chosen.measured.row])
        for name in ("row", "logs", "before", "classes"):
            store.put(f"measured-{name}", getattr(measured, name))
        told = {name: getattr(measured, name) for name in ("balanced_error", "calibration")}
        has_graphs = any(member.kind == "graph" for member in chosen.choice.members)
        digest = _digest_rows(store, task.source.shape) if has_graphs else None
        return {"choice": chosen.choice.to_json(), **told, "error": asdict(measured.error), "digest": digest}

    found = run.once("choose", compute)
    names = ("row", "logs", "before", "classes")
    measured = Measured(
        **{name: store.get(f"measured-{name}") for name in names},
        error=Interval(**found["error"]),
        balanced_error=found["balanced_error"],
        calibration=found["calibration"],
    )
    return Kept(chosen=Chosen(choice=Choice.from_json(found["choice"]), measured=measured), digest=found["digest"])


def with_longest_lists(settings: GraphSettings, kept: Kept, num_rows: int, auto: Auto) -> GraphSettings:
    """The settings of the one search that all chosen graphs are made from: where all rows were chosen on, the same."""
    most = [member.n_neighbors or 1 for member in kept.graphs]
    if most and num_rows <= CHOICE_ROWS:
        return replace(settings, n_neighbors=find_widest(num_rows, auto).n_neighbors)
    return replace(settings, n_neighbors=max(most)) if most else settings


# -- the sample


def _shards(store: Store) -> range:
    return range(store.size("shards") - 1)


def _pick(store: Store, always: np.ndarray, most: int, seed: int) -> np.ndarray:
    """choosing.rows.pick_rows of all shards, from their hashes."""
    bounds = store.get("shards")
    if bounds[-1] <= most:
        return np.arange(bounds[-1])
    size = max(most, always.size)
    order, numbers = np.empty(0, np.uint64), np.empty(0, np.int64)
    for shard in _shards(store):
        mixed = mix_hashes(store.get(f"hash-{shard}")[:, 0], seed)
        mixed[always[(always >= bounds[shard]) & (always < bounds[shard + 1])] - bounds[shard]] = 0
        order = np.concatenate([order, mixed])
        numbers = np.concatenate([numbers, np.arange(bounds[shard], bounds[shard + 1])])
        first = np.argsort(order, kind="stable")[:size]
        order, numbers = order[first], numbers[first]
    return np.sort(numbers)


def _read_at(store: Store, name: str, rows: np.ndarray) -> np.ndarray:
    """What the files of the shards have of some rows, ascending."""
    bounds = store.get("shards")
    cuts = np.searchsorted(rows, bounds)
    parts = [
        store.get(f"{name}-{shard}")[rows[cuts[shard] : cuts[shard + 1]] - bounds[shard]]
        for shard in _shards(store)
        if cuts[shard] < cuts[shard + 1]
    ]
    return np.concatenate(parts) if parts else store.get(f"{name}-0", 0, 0)


def _lengths_say_something(store: Store) -> bool:
    """choosing.rows.say_something of all shards."""
    if not store.path("length-of-0").exists():
        return False
    count, total, squares, least, most = 0, 0.0, 0.0, np.inf, 0.0
    for shard in _shards(store):
        length = store.get(f"length-of-{shard}").astype(np.float64)
        known = length[length > 0]
        count, total, squares = count + known.size, total + known.sum(), squares + (known**2).sum()
        least, most = min(least, known.min(initial=np.inf)), max(most, known.max(initial=0))
    if not count or least < LENGTHS[0] or most > LENGTHS[1]:
        return False
    mean = total / count
    return bool(squares / count - mean**2 > (SAME_LENGTH * mean) ** 2)


def _digest_rows(store: Store, shape: tuple[int, int]) -> str | None:
    """graph.rows.digest_rows of all shards, by which `classify` knows the rows again; None of very many."""
    if shape[0] > DIGEST_ROWS:
        return None
    digest = hashlib.sha256(str(shape).encode())
    for shard in _shards(store):
        digest.update(store.get(f"raw-{shard}").data)
    return digest.hexdigest()


# -- the answer


def answer(
    run: Run, task: Task, layout: Layout, sizes: Sizes, checked: CheckedLabels, kept: Kept, asked: Answering
) -> Answered:
    """Solve the chosen graphs, mix them with the heads, and write the tables."""
    auto, members = task.auto or Auto(), kept.chosen.choice.members
    solved, health = _solve_graphs(run, task, auto, layout, sizes, checked, kept)
    stores = tuple(solved[place].store if place in solved else None for place in range(len(members)))
    ones = (1.0,) * checked.num_classes
    how = mixing.Mixing(members, stores, task.source.shape[0], kept.chosen.choice.temperature, ones)
    every = range(layout.num_partitions)
    run.each("mix-sample", mixing.mix_sample, [(run.store, p, asked, how) for p in every])
    order = np.argsort(np.concatenate([run.store.get(f"mixed-rows-{p}") for p in every]))
    whole = [
        np.concatenate([run.store.get(f"{name}-{p}") for p in every])[order] for name in ("mixed", "mixed-reached")
    ]
    choice, measured, scale = settle(kept.chosen, whole[0], whole[1], checked, auto)
    how = how._replace(temperature=choice.temperature, class_scale=tuple(scale.tolist()))
    threshold = find_threshold(measured, task.wanted_error)
    asked = asked._replace(sure=threshold.probability if threshold.supported else 2.0)
    largest = max(solved, key=lambda place: members[place].share, default=None)
    graph = None if largest is None else solved[largest].store
    calibrated = measured.classes.size > 0
    tasks = [(run.store, p, asked, how, calibrated, graph) for p in every]
    found = run.each("label", mixing.write_mixed, tasks)
    _warn_of_missed(run.store, layout, task.source.shape[0], is_graph=graph is not None)
    sure = sum(part["sure"] for part in found)
    results = {
        "choice": choice.to_json(),
        "abstain": {"wanted": task.wanted_error, "num_rows": sure, **asdict(threshold)},
        "answer": _describe_mixture(run, task, auto, choice, measured, kept),
    }
    facts = run.facts if largest is None else solved[largest].facts
    return Answered(results=results, parts=found, facts=facts, health=None if largest is None else health[largest])


def _solve_graphs(
    run: Run, task: Task, auto: Auto, layout: Layout, sizes: Sizes, checked: CheckedLabels, kept: Kept
) -> tuple[dict[int, Run], dict[int, Health]]:
    """The chosen graphs by their places, each with a run that holds its Z."""
    pairs = find_nodes(run, layout, checked)
    if not kept.graphs:
        return {}, {}
    powered = find_neighbors(run, task.settings, layout, sizes, task.source.shape[1])
    solved, health = {}, {}
    for k in sorted({member.n_neighbors or 1 for member in kept.graphs}):
        own = run.within(str(k))
        own.each("shorten", shorten, [(own.store, p, powered, k) for p in range(layout.num_partitions)])
        weigh(own, task.settings, layout, powered)
        for place, member in enumerate(kept.chosen.choice.members):
            if member.kind != "graph" or member.n_neighbors != k:
                continue
            settings, solved[place] = settings_of(member, auto), own.within(str(place))
            weight = _weigh_labels(own.store, layout, checked, pairs) if member.by_degree else np.ones(len(pairs))
            y = label_matrix_of(layout, checked, pairs, settings, weight)
            health[place] = solve_and_refine(solved[place], settings, layout, y, checked.name_class)
            warn_of_unsolved(Solution(np.empty((0, 0)), *health[place], np.empty(0)), settings)
        for name in ("w-*", "lists*", "coarse-*", "shape-*"):
            own.store.remove(name)
    return solved, health


def _weigh_labels(store: Store, layout: Layout, checked: CheckedLabels, pairs: np.ndarray) -> np.ndarray:
    """(l,) choosing.candidates.degree_weight of the labelled rows."""
    nodes, place = np.unique(pairs[:, 1], return_inverse=True)
    root = np.sqrt(affinity.take(store, layout, "degree", nodes))[place]
    return divide_by_degree(root, checked.label[pairs[:, 0]], np.ones(len(pairs)))


def _warn_of_missed(store: Store, layout: Layout, num_rows: int, *, is_graph: bool) -> None:
    missed = labels.join_missed(store, layout)
    if is_graph:
        warn_of_missed(missed, num_rows)
    elif missed.sum():
        what = f"FL-G1 {missed.sum()} rows have no direction: no head answers them, and they have no label"
        warn(UnreachedWarning(f"{what} ({UNLABELED})"))


def _describe_mixture(
    run: Run, task: Task, auto: Auto, choice: Choice, measured: Measured, kept: Kept
) -> dict[str, Any]:
    """What choosing.saved.describe_mixture says, of an answer whose parts are in files."""
    curve = measure_curve(measured.logs, measured.classes)
    return {
        "rows_digest": kept.digest,
        "held_out": describe_curve(curve) if curve.num_held_out else None,
        "class_names": list(task.class_names),
        "members": [asdict(member) for member in choice.members],
        "needs_rows": bool(kept.graphs),
        "temperature": choice.temperature,
        "class_scale": list(choice.class_scale or (1.0,) * len(task.class_names)),
        "metric": auto.base.metric,
        "drop_bad_rows": auto.base.drop_bad_rows,
        "unit": run.facts.get("unit", 1.0),
    }
