"""Stages from files of embeddings to partitions of comparable rows, sorted by cluster."""

from __future__ import annotations

import numpy as np

from ..choosing.rows import measure_lengths
from ..data.tables.units import Unit
from ..graph.compiled.clusters import draw_for_centres, find_centres, nearest_clusters
from ..graph.compiled.codes import encode, search_codes
from ..graph.compiled.search import Points, measure_longest
from ..graph.rows import hash_rows, measure_table, scale_table
from ..graph.threads import Team
from . import coded
from .layout import Layout, read_layout
from .store import Store

USABLE, ZERO, BAD = 0, 1, 2  # what a row is


def measure(unit: Unit) -> float:
    """The largest absolute value of the rows, by which inner products are divided."""
    return max(float(measure_table(values)[0].max(initial=0)) for _, values in unit.read())


def read(store: Store, unit: Unit, inner_unit: float | None, lengths: bool = False) -> list[list[int]]:
    """Comparable rows of some shards, their hashes, and what each is.

    inner_unit: what inner products are divided by; None: cosine. lengths: write how long rows are, too.
    Returns [usable, zero, bad] rows of each shard.
    """
    counts = []
    for shard, values in unit.read():
        largest, bad = measure_table(values)
        rows = scale_table(values, largest, bad, inner_unit)
        kind = np.where(rows.any(axis=1), USABLE, ZERO).astype(np.uint8)
        kind[bad] = BAD
        store.put(f"raw-{shard}", rows)
        store.put(f"kind-{shard}", kind)
        # 128 bits: two different rows of a billion share them with a chance of 1e-21
        store.put(f"hash-{shard}", np.stack([hash_rows(rows), hash_rows(rows[:, ::-1])], axis=1))
        if lengths:
            store.put(f"length-of-{shard}", measure_lengths(values).astype(np.float32))
        counts.append(np.bincount(kind, minlength=3).tolist())
    return counts


def find_repeats(store: Store, num_shards: int, bucket: int, num_buckets: int) -> int:
    """Rows that equal an earlier row, of one bucket of hashes: writes (again, first). Returns how many."""
    hashes, numbers = [], []
    bounds = store.get("shards")
    for shard in range(num_shards):
        found = store.get(f"hash-{shard}")
        chosen = np.flatnonzero(
            (store.get(f"kind-{shard}") == USABLE) & ((found[:, 0] >> np.uint64(40)) % num_buckets == bucket)
        )
        hashes.append(found[chosen])
        numbers.append(chosen + bounds[shard])
    key, row = np.concatenate(hashes), np.concatenate(numbers)
    order = np.lexsort((key[:, 1], key[:, 0]))  # stable: rows ascend within each key
    key, row = key[order], row[order]
    new = np.ones(row.size, bool)
    new[1:] = (key[1:] != key[:-1]).any(axis=1)
    first = row[new][np.cumsum(new) - 1]
    store.put(f"again-{bucket}", np.stack([row[~new], first[~new]], axis=1))
    return int((~new).sum())


def find_leaders(store: Store, shard: int, num_buckets: int) -> int:
    """Which rows of a shard are points, and which equal an earlier row. Returns how many are points.

    Writes leads, numbers within the shard, ascending, and twins, (t, 2): the number there and the row that it equals.
    """
    first, last = store.get("shards", shard, shard + 2).tolist()
    leads = store.get(f"kind-{shard}") == USABLE
    twins = []
    for bucket in range(num_buckets):
        again = store.get(f"again-{bucket}")
        own = again[(again[:, 0] >= first) & (again[:, 0] < last)]
        twins.append(np.stack([own[:, 0] - first, own[:, 1]], axis=1))
    pairs = np.concatenate(twins) if twins else np.empty((0, 2), np.int64)
    pairs = pairs[np.argsort(pairs[:, 0])]
    leads[pairs[:, 0]] = False
    store.put(f"leads-{shard}", np.flatnonzero(leads))
    store.put(f"twins-{shard}", pairs)
    return int(leads.sum())


def make_centres(store: Store, num_shards: int, size: int, seed: int) -> int:
    """Centres of the clusters of `size` points, from the sample. Returns how many there are."""
    _, rng = draw_for_centres(size, seed)
    sample = coded.join_rows(store, num_shards, "chosen")
    with Team() as team:
        centre = find_centres(sample, size, rng, team)
    store.put("centre", centre)
    return len(centre)


def assign(store: Store, shard: int) -> int:
    """A shard sorted by cluster: rows, row numbers, and twins of rows, each with where a cluster begins."""
    rows, num = store.get(f"raw-{shard}"), count_centres(store)
    leads, twins = store.get(f"leads-{shard}"), store.get(f"twins-{shard}")
    first = int(store.get("shards", shard, shard + 1)[0])
    members = np.concatenate([leads, twins[:, 0]])
    with Team() as team:
        if are_coded(store):
            codes = encode(Points(rows, members), coded.get_basis(store), team)
            home = search_codes(codes.queries, coded.get_points(store, "centre"), 1, team)[:, 0]
        else:
            home = nearest_clusters(Points(rows, members), store.get("centre"), 1, team)[:, 0]
    own, other = home[: leads.size], home[leads.size :]
    order, turn = np.argsort(own, kind="stable"), np.argsort(other, kind="stable")
    store.put(f"sorted-rows-{shard}", rows[leads[order]])
    store.put(f"sorted-row-{shard}", leads[order] + first)
    store.put(f"sorted-start-{shard}", _starts(own, num))
    if are_coded(store):
        store.put(f"sorted-codes-{shard}", codes.queries[order])
        store.put(f"sorted-along-{shard}", codes.along[order])
    store.put(f"sorted-twins-{shard}", twins[turn] + np.array([first, 0]))
    store.put(f"sorted-twin-start-{shard}", _starts(other, num))
    return int(members.size)


def are_coded(store: Store) -> bool:
    """Whether rows are assigned to clusters, and candidates chosen, by codes."""
    return store.path("basis-mean").exists()


def count_centres(store: Store) -> int:
    return int(store.get("centre-numbers")[0]) if are_coded(store) else store.size("centre")


def _starts(home: np.ndarray, num: int) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(np.bincount(home, minlength=num))]).astype(np.int64)


def collect(store: Store, num_shards: int, p: int) -> float:
    """The rows of a partition from all shards, in the order of clusters, then of rows. Returns the longest.

    Writes rows, row (m,) their numbers, and twin (t, 2): row numbers and places of rows that equal one of these.
    """
    layout = read_layout(store)
    first, last = layout.clusters(p)
    rows, row, home = _gather(store, num_shards, (first, last), ("rows", "row"), "start")
    order = np.argsort(home, kind="stable")
    if are_coded(store):
        codes, along, _ = _gather(store, num_shards, (first, last), ("codes", "along"), "start")
        store.put(f"codes-{p}", codes[order])
        store.put(f"along-{p}", along[order])
    rows, row = rows[order], row[order]
    twins = _gather(store, num_shards, (first, last), ("twins",), "twin-start")[0]
    by_row = np.argsort(row)
    at = by_row[np.searchsorted(row[by_row], twins[:, 1])] if twins.size else np.empty(0, np.int64)
    store.put(f"rows-{p}", rows)
    store.put(f"row-{p}", row)
    store.put(f"twin-{p}", np.stack([twins[:, 0], at + layout.range(p)[0]], axis=1))
    return measure_longest(rows)


def _gather(
    store: Store, num_shards: int, clusters: tuple[int, int], names: tuple[str, ...], starts: str
) -> tuple[np.ndarray, ...]:
    """What the sorted shards have of these clusters, shard after shard, and the cluster of each entry."""
    first, last = clusters
    found: list[list[np.ndarray]] = [[] for _ in (*names, starts)]
    for shard in range(num_shards):
        start = store.get(f"sorted-{starts}-{shard}", first, last + 1)
        for parts, name in zip(found, names, strict=False):
            parts.append(store.get(f"sorted-{name}-{shard}", int(start[0]), int(start[-1])))
        found[-1].append(np.repeat(np.arange(last - first), np.diff(start)))
    return tuple(np.concatenate(parts) for parts in found)


def read_rows_at(store: Store, layout: Layout, places: np.ndarray) -> np.ndarray:
    """(q, d) the rows at some places, ascending."""
    parts = []
    for p in range(layout.num_partitions):
        first, last = layout.range(p)
        own = places[(places >= first) & (places < last)] - first
        parts += [store.get(f"rows-{p}", place, place + 1) for place in own.tolist()]
    return np.concatenate(parts)
