"""Stages from the solution of a partition to labels with certainty: one table a partition."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import scipy.sparse as sp
from scipy.sparse.csgraph import connected_components

from ..conventions import UNLABELED
from ..graph.compiled import _kernels
from ..graph.compiled.solver import BLOCK
from ..graph.pseudo_labels import PseudoLabels, certainties, distributions, pseudo_labels
from ..graph.settings import GraphSettings
from ..graph.system import find_unresolved
from ..runs.table import BINS, PseudoLabelTable
from ..storage import durable
from .affinity import read_w, take
from .layout import Layout, read_layout
from .run import IDS
from .store import Store

FillRings = Callable[[sp.csr_array, np.ndarray, np.ndarray, sp.csr_array], None]


class Answering(NamedTuple):
    """What is read off the solution. first_id: number of the first row, where ids are row numbers; None: in a file.

    largest: certainty of all rows, where certainties are divided by it; None: they are not. sure: the probability from
    which on rows are counted as sure.
    """

    num_classes: int
    settings: GraphSettings
    class_names: Sequence[str]
    out: str
    first_id: int | None
    largest: float | None = None
    sure: float = 2.0


# -- connected parts


def link_own(store: Store, p: int) -> int:
    """The connected parts of the nodes of a partition, by its own edges. Returns how many there are."""
    layout = read_layout(store)
    first, last = layout.nodes(p)
    w, base = read_w(store, p), int(np.searchsorted(store.get(f"w-near-{p}"), first))
    own = sp.csr_array(w[:, base : base + last - first])
    part = np.empty(last - first, np.int32)
    _kernels.components(own.indptr, own.indices, last - first, part)
    store.put(f"part-{p}", part.astype(np.int64) + first)
    return int(np.unique(part).size)


def link_others(store: Store, p: int) -> int:
    """Write (own part, other part) of all edges that lead to other partitions, each pair once."""
    layout = read_layout(store)
    first, last = layout.nodes(p)
    w, near, part = read_w(store, p), store.get(f"w-near-{p}"), store.get(f"part-{p}")
    other = (near < first) | (near >= last)
    number = np.zeros(near.size, np.int64)
    number[other] = take(store, layout, "part", near[other])
    foreign = other[w.indices]
    rows = np.repeat(np.arange(last - first), np.diff(w.indptr))[foreign]
    keys = np.unique(part[rows] * layout.num_nodes + number[w.indices[foreign]])
    store.put(f"links-{p}", np.stack([keys // layout.num_nodes, keys % layout.num_nodes], axis=1))
    return int(keys.size)


def join_parts(store: Store, layout: Layout) -> int:
    """Write which parts are connected over partitions: (part, component). Returns how many parts go up in others."""
    links = np.concatenate([store.get(f"links-{p}") for p in range(layout.num_partitions)])
    parts, ends = np.unique(links, return_inverse=True)
    ends = ends.reshape(-1, 2)
    graph = sp.coo_array((np.ones(len(ends), np.int8), (ends[:, 0], ends[:, 1])), (parts.size, parts.size))
    number = connected_components(graph, directed=False)[1] if parts.size else np.empty(0, np.int64)
    least = np.full(int(number.max(initial=-1)) + 1, layout.num_nodes)
    np.minimum.at(least, number, parts)
    store.put("components", np.stack([parts, least[number]], axis=1))
    return int(parts.size - least.size)


def component_of(store: Store, part: np.ndarray) -> np.ndarray:
    """The component of each part."""
    known = store.get("components")
    if not len(known):
        return part
    at = np.minimum(np.searchsorted(known[:, 0], part), len(known) - 1)
    return np.where(known[at, 0] == part, known[at, 1], part)


# -- the solution


def _solution(store: Store, p: int, num_classes: int) -> tuple[np.ndarray, np.ndarray]:
    """(m, c) float32 the solution, negatives clipped, and (m,) the largest residual of each row."""
    firsts = range(0, num_classes, BLOCK)
    x = np.concatenate([store.get(f"x-{first}-{p}") for first in firsts], axis=1)
    left = np.max([store.get(f"left-{first}-{p}") for first in firsts], axis=0)
    return np.maximum(x, 0, out=x), left


def find_far(store: Store, p: int, num_classes: int, settings: GraphSettings) -> int:
    """Which nodes the solver did not resolve, and which no label reaches. Returns how many are unresolved.

    Writes state: 0 solved, 1 unresolved, 2 not to be reached.
    """
    filled, left = _solution(store, p, num_classes)
    reachable = np.isin(component_of(store, store.get(f"part-{p}")), store.get("labelled"))
    unresolved = reachable & find_unresolved(filled, left, settings)
    state = np.where(reachable, unresolved.astype(np.uint8), np.uint8(2))
    store.put(f"state-{p}", state)
    return int(unresolved.sum())


def take_fringe(store: Store, p: int, num_classes: int) -> int:
    """The unresolved nodes of a partition: their rows of W, and what the nodes that these lead to have got."""
    layout = read_layout(store)
    w, nodes = read_w(store, p), np.flatnonzero(store.get(f"state-{p}") == 1)
    rows = w[nodes]
    used = np.unique(rows.indices)
    near = store.get(f"w-near-{p}")[used]
    filled = np.zeros((near.size, num_classes), np.float32)
    if near.size:
        for first in range(0, num_classes, BLOCK):
            x = take(store, layout, f"x-{first}", near)
            filled[:, first : first + BLOCK] = np.maximum(x, 0)
        filled[take(store, layout, "state", near) != 0] = 0
    store.put(f"fringe-rows-{p}", nodes + layout.nodes(p)[0])
    store.put(f"fringe-pointers-{p}", rows.indptr)
    store.put(f"fringe-columns-{p}", near[np.searchsorted(used, rows.indices)])
    store.put(f"fringe-weights-{p}", rows.data)
    store.put(f"fringe-near-{p}", near)
    store.put(f"fringe-filled-{p}", filled)
    return int(nodes.size)


def fill_fringe(store: Store, layout: Layout, label_matrix: sp.csr_array, fill: FillRings) -> None:
    """Fill the unresolved nodes of all partitions, ring by ring: writes filled-nodes and filled-values."""
    every = range(layout.num_partitions)
    rows = np.concatenate([store.get(f"fringe-rows-{p}") for p in every])
    nodes = np.unique(np.concatenate([rows, *(store.get(f"fringe-near-{p}") for p in every)]))
    filled = np.zeros((nodes.size, label_matrix.shape[1]), np.float32)
    entries = np.zeros(nodes.size, np.int64)
    columns, weights = [], []
    for p in every:
        filled[np.searchsorted(nodes, store.get(f"fringe-near-{p}"))] = store.get(f"fringe-filled-{p}")
        entries[np.searchsorted(nodes, store.get(f"fringe-rows-{p}"))] = np.diff(store.get(f"fringe-pointers-{p}"))
        columns.append(np.searchsorted(nodes, store.get(f"fringe-columns-{p}")))
        weights.append(store.get(f"fringe-weights-{p}"))
    pointers = np.concatenate([[0], np.cumsum(entries)])  # partitions ascend, and so do their rows
    w = sp.csr_array((np.concatenate(weights), np.concatenate(columns), pointers), (nodes.size, nodes.size))
    unresolved = np.isin(nodes, rows)
    fill(w, filled, unresolved.copy(), label_matrix[nodes].astype(np.float32))
    store.put("filled-nodes", nodes[unresolved])
    store.put("filled-values", filled[unresolved])


# -- labels


def find_given(store: Store, p: int) -> list[list[int]]:
    """The labelled rows of a partition, and their nodes."""
    layout = read_layout(store)
    known = store.get("given")[:, 0]
    rows, at = rows_of(store, layout, p)
    here = np.searchsorted(rows, known)
    found = (here < rows.size) & (rows[np.minimum(here, rows.size - 1)] == known)
    nodes = at[here[found]] + layout.nodes(p)[0]
    pairs: list[list[int]] = np.stack([known[found], nodes], axis=1).tolist()
    return pairs


def rows_of(store: Store, layout: Layout, p: int) -> tuple[np.ndarray, np.ndarray]:
    """The row numbers of a partition, ascending, and which of its nodes each is."""
    row, twins = store.get(f"row-{p}"), store.get(f"twin-{p}")
    lone = store.get("lone") if p == layout.num_partitions - 1 else np.empty(0, np.int64)
    rows = np.concatenate([row, lone, twins[:, 0]])
    at = np.concatenate([np.arange(row.size + lone.size), twins[:, 1] - layout.nodes(p)[0]])
    order = np.argsort(rows)
    return rows[order], at[order]


def read_answers(store: Store, p: int, asked: Answering) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(m, c) what each node of a partition has got in the end, and the row numbers and nodes of its rows."""
    refined = store.find(f"refined-{p}").exists()
    z = store.get(f"refined-{p}") if refined else read_nodes(store, p, asked.num_classes)
    return z, *rows_of(store, read_layout(store), p)


def read_nodes(store: Store, p: int, num_classes: int) -> np.ndarray:
    """(m, c) float32 Z of the nodes of a partition, unresolved ones filled."""
    first, last = read_layout(store).nodes(p)
    z, _ = _solution(store, p, num_classes)
    z[store.get(f"state-{p}") != 0] = 0
    nodes = store.get("filled-nodes")
    own = (nodes >= first) & (nodes < last)
    z[nodes[own] - first] = store.get("filled-values")[own]
    return z


def find_largest_certainty(store: Store, p: int, asked: Answering) -> float:
    z, _, at = read_answers(store, p, asked)
    distribution, has_mass = distributions(z[at])
    return float(np.where(has_mass, certainties(distribution), 0).max(initial=0))


def write_labels(store: Store, p: int, asked: Answering) -> dict[str, object]:
    """The table of a partition's rows, by row number. See write_part."""
    z, rows, at = read_answers(store, p, asked)
    given = find_labels(store, rows)
    result = pseudo_labels(z[at], given, asked.settings.rules, asked.largest)
    return write_part(store, p, asked, (rows, at, given), result)


def find_labels(store: Store, rows: np.ndarray) -> np.ndarray:
    """(q,) the given labels of rows, -1 for none. rows: ascending numbers."""
    known, given = store.get("given"), np.full(rows.size, UNLABELED, np.int64)
    if rows.size:
        here = np.minimum(np.searchsorted(rows, known[:, 0]), rows.size - 1)
        found = rows[here] == known[:, 0]
        given[here[found]] = known[found, 1]
    return given


def write_part(
    store: Store,
    p: int,
    asked: Answering,
    which: tuple[np.ndarray, np.ndarray, np.ndarray],
    result: PseudoLabels,
    *,
    is_calibrated: bool = False,
    graph: Store | None = None,
) -> dict[str, object]:
    """Write the table of a partition, which rows it has, and how many each connected part has that none reaches.

    which: row numbers, ascending, which nodes of the partition they are, and given labels. graph: store of the
    connected parts; None: of the same. Returns counts for the results.
    """
    rows, at, given = which
    is_given = given != UNLABELED
    probability = np.where(is_given, 1.0, np.where(result.reached, result.distribution.max(axis=1), 0.0))
    table = PseudoLabelTable(
        id=_read_ids(store, rows, asked.first_id),
        label=result.label,
        certainty=result.certainty,
        given=is_given,
        reached=result.reached,
        class_names=asked.class_names,
        probability=probability if is_calibrated else None,
    )
    durable.make_folder(asked.out)
    table.write(Path(asked.out) / f"part-{p:05d}.parquet")
    store.put(f"numbers-{p}", rows)
    missed, parts = at[~result.reached], graph or store
    component = np.zeros(missed.size, np.int64)
    if parts.find(f"part-{p}").exists():
        component = component_of(parts, parts.get(f"part-{p}"))[missed]
    store.put(f"missed-{p}", np.stack(np.unique(component, return_counts=True), axis=1))
    return _count(result, given, probability, asked)


def _count(result: PseudoLabels, given: np.ndarray, probability: np.ndarray, asked: Answering) -> dict[str, object]:
    """How many rows of each class, unreached, tied, sure, and how certain they are."""
    unlabelled = given == UNLABELED
    certain = result.certainty[unlabelled]
    spread = result.label[unlabelled & (result.label != UNLABELED)]
    sure = unlabelled & result.reached & (probability >= asked.sure)
    return {
        "rows": int(given.size),
        "classes": np.bincount(spread, minlength=asked.num_classes).tolist(),
        "missed": int((~result.reached).sum()),
        "tied": result.num_tied,
        "sure": int(sure.sum()),
        "certainty": [float(certain.sum()), int(certain.size)],
        "histogram": np.histogram(certain, np.linspace(0, 1, BINS + 1))[0].tolist(),
    }


def join_missed(store: Store, layout: Layout) -> np.ndarray:
    """The numbers of rows in each component that no label reaches."""
    found = np.concatenate([store.get(f"missed-{p}") for p in range(layout.num_partitions)])
    component, number = np.unique(found[:, 0], return_inverse=True)
    return np.bincount(number, found[:, 1], component.size).astype(np.int64)


def digest(*arrays: np.ndarray) -> str:
    """To know them again."""
    return hashlib.sha256(b"".join(array.tobytes() for array in arrays)).hexdigest()


def _read_ids(store: Store, rows: np.ndarray, first_id: int | None) -> pa.ChunkedArray:
    if first_id is not None:
        return pa.chunked_array([pa.array(rows + first_id).cast(pa.string())])
    with pa.memory_map(str(Path(store.folder) / IDS)) as source:
        ids = pa.ipc.open_file(source).read_all()["id"].take(pa.array(rows))
        return pa.chunked_array([pa.array(ids.to_pylist(), pa.string())])
