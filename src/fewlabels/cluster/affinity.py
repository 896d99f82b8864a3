"""Stages from lists of neighbours to W: the rows of a partition, with columns that are numbered within it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import scipy.sparse as sp

from ..graph.affinity import inverse_roots
from ..graph.compiled.affinity import Power, Rows, count_lost_rows, measure_rows, write_rows
from ..graph.compiled.search import reverse_lists
from ..graph.compiled.solver import coarsen_rows, measure_groups, shape_groups
from ..graph.threads import Team
from ..graph.types import MISSING
from .edges import take_offers, write_offers
from .layout import Layout, read_layout
from .search import read_lists
from .store import Store

MOST_UNKNOWN = 8192  # of the coarse space, whose inverse is one dense matrix


class Powered(NamedTuple):
    """The lists of the last round, and how similarities become weights."""

    round: int
    power: Power


def turn_lists(store: Store, p: int, powered: Powered) -> int:
    """Write for each partition which of its rows the lists of this one name. Returns how many entries there are."""
    layout = read_layout(store)
    lists = read_lists(store, f"lists{powered.round}", p)
    with Team() as team:
        for q in range(layout.num_partitions):
            offers = reverse_lists(lists, team, base=layout.range(p)[0], targets=layout.range(q))
            write_offers(store, "edges", p, q, offers)
    return int((lists[0] != MISSING).sum())


def _prepare(store: Store, layout: Layout, p: int, powered: Powered) -> tuple[Rows, np.ndarray, int]:
    """The rows of W to be, with numbers of their own; (k,) the nodes that these stand for; the number of the first."""
    (first, last), (_, end) = layout.range(p), layout.nodes(p)
    index, similarity = read_lists(store, f"lists{powered.round}", p)
    begin, sources, values = take_offers(store, "edges", layout.num_partitions, p, last - first)
    seen = np.zeros(layout.num_nodes, bool)
    seen[first:end] = True
    seen[index[index != MISSING]] = True
    seen[sources] = True
    near = np.flatnonzero(seen)
    number = np.empty(layout.num_nodes, np.int32)
    number[near] = np.arange(near.size, dtype=np.int32)
    index = np.where(index == MISSING, MISSING, number[index]).astype(np.int32)
    rows = Rows((index, similarity), (begin, number[sources], values), powered.power)
    return rows, near, int(np.searchsorted(near, first))


def measure(store: Store, p: int, powered: Powered) -> dict[str, object]:
    """Degrees of the nodes of a partition. Returns its entries, how many rows lost all of theirs, those below 0,
    and how many nodes have how many neighbours.
    """
    layout = read_layout(store)
    first, end = layout.nodes(p)
    rows, _, _ = _prepare(store, layout, p, powered)
    with Team() as team:
        entries, degree = measure_rows(rows, team)
    lone = end - first - degree.size
    lost, negative = count_lost_rows(rows, entries), store.get(f"row-{p}")[degree < 0].tolist()
    degree = np.concatenate([degree, np.zeros(lone)])
    store.put(f"entries-{p}", entries)
    store.put(f"degree-{p}", degree)
    if not negative:
        groups = layout.groups[layout.group_cuts[p] : layout.group_cuts[p + 1] + 1]
        group_of = np.repeat(np.arange(groups.size - 1, dtype=np.int32), np.diff(groups))
        store.put(f"length-{p}", measure_groups(np.sqrt(degree), group_of, groups.size - 1))
    number, count = np.unique(np.concatenate([entries, np.zeros(lone, entries.dtype)]), return_counts=True)
    degrees = [number.tolist(), count.tolist()]
    return {"entries": int(entries.sum()), "lost": lost, "negative": negative, "degrees": degrees}


def weigh(store: Store, p: int, powered: Powered) -> dict[str, int]:
    """W's rows of a partition: pointers, columns, weights, and the nodes that columns stand for, with their degrees.

    Returns how many nodes it has, and how many others its rows lead to.
    """
    layout = read_layout(store)
    first, end = layout.nodes(p)
    rows, near, base = _prepare(store, layout, p, powered)
    degree = take(store, layout, "degree", near)
    with Team() as team:
        w = write_rows(rows, store.get(f"entries-{p}"), inverse_roots(degree), team, base=base)
    lone = end - first - w.shape[0]
    store.put(f"w-pointers-{p}", np.concatenate([w.indptr, np.repeat(w.indptr[-1:], lone)]))
    store.put(f"w-columns-{p}", w.indices)
    store.put(f"w-weights-{p}", w.data)
    store.put(f"w-near-{p}", near)
    store.put(f"w-root-{p}", np.sqrt(degree))
    return {"nodes": end - first, "others": near.size - (end - first), "entries": int(w.nnz)}


def take(store: Store, layout: Layout, name: str, nodes: np.ndarray) -> np.ndarray:
    """The entries of `name` of some nodes, ascending."""
    cuts = np.searchsorted(nodes, layout.ends)
    parts = []
    for q in range(layout.num_partitions):
        own = nodes[cuts[q] : cuts[q + 1]]
        if own.size:
            first = int(own[0])
            begin = layout.nodes(q)[0]
            parts.append(store.get(f"{name}-{q}", first - begin, int(own[-1]) + 1 - begin)[own - first])
    return np.concatenate(parts) if parts else store.get(f"{name}-0", 0, 0)


def read_w(store: Store, p: int) -> sp.csr_array:
    """(nodes, k) the rows of W of a partition; column j is the node near[j]."""
    pointers, near = store.get(f"w-pointers-{p}"), store.size(f"w-near-{p}")
    arrays = store.get(f"w-weights-{p}"), store.get(f"w-columns-{p}"), pointers
    return sp.csr_array(arrays, (pointers.size - 1, near))


def count_merged(layout: Layout) -> int:
    """How many neighbouring groups share one unknown of the coarse space: one, unless there were too many unknowns."""
    return -(-(layout.groups.size - 1) // MOST_UNKNOWN)


def read_lengths(store: Store, layout: Layout) -> np.ndarray:
    """(g,) length of the root degrees of each group."""
    return np.concatenate([store.get(f"length-{q}") for q in range(layout.num_partitions)])


def merge_lengths(length: np.ndarray, merged: int) -> np.ndarray:
    """The same of so many neighbouring groups together."""
    return length if merged == 1 else np.sqrt(np.bincount(np.arange(length.size) // merged, length**2))


def own_unknowns(layout: Layout, p: int) -> tuple[int, int]:
    """The unknowns of the coarse space (first, last) that a partition's groups have a part in."""
    merged = count_merged(layout)
    return int(layout.group_cuts[p]) // merged, -(-int(layout.group_cuts[p + 1]) // merged)


def coarsen(store: Store, p: int) -> int:
    """What a partition's nodes add to the coarse W, and the shape of these. Returns how many unknowns."""
    layout = read_layout(store)
    first, end = layout.nodes(p)
    own, merged = own_unknowns(layout, p), count_merged(layout)
    w, near = read_w(store, p), store.get(f"w-near-{p}")
    base = int(np.searchsorted(near, first))
    length, root = read_lengths(store, layout), store.get(f"w-root-{p}")
    group_of = (np.searchsorted(layout.groups, near, "right") - 1).astype(np.int32)
    shape = shape_groups(root, group_of, length)
    pointers = np.zeros(near.size + 1, np.int32)  # rows of others are empty here
    pointers[base : base + w.shape[0] + 1] = w.indptr
    pointers[base + w.shape[0] + 1 :] = w.indptr[-1]
    square = sp.csr_array((w.data, w.indices, pointers), (near.size, near.size))
    bounds = np.append(layout.groups[:-1:merged], layout.groups[-1])
    groups = np.clip(bounds - first, 0, end - first) + base
    coarse_of = (group_of // merged).astype(np.int32)
    coarse = shape if merged == 1 else shape_groups(root, coarse_of, merge_lengths(length, merged))
    store.put(f"coarse-{p}", coarsen_rows(square, coarse, groups, coarse_of, own)[slice(*own)])
    store.put(f"shape-{p}", shape[base : base + w.shape[0]])
    return own[1] - own[0]


def read_coarse(store: Store, layout: Layout) -> np.ndarray:
    """The coarse W, of what all partitions add to it."""
    size = -(-(layout.groups.size - 1) // count_merged(layout))
    whole = np.zeros((size, size))
    for p in range(layout.num_partitions):
        whole[slice(*own_unknowns(layout, p))] += store.get(f"coarse-{p}")
    return whole
