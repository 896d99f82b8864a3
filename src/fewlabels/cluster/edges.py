"""Who lists whom, from one partition to another: files of reverse neighbours."""

from __future__ import annotations

import numpy as np

from ..graph.compiled.search import Reverse
from .store import Store


def write_offers(store: Store, name: str, p: int, q: int, offers: Reverse) -> None:
    """Of the rows of partition q those that rows of p list, how many these are, which, and how similar."""
    begin, sources, values = offers
    count = np.diff(begin)
    named = np.flatnonzero(count)
    store.put(f"{name}-named-{p}-{q}", np.stack([named, count[named]], axis=1).astype(np.int32))
    store.put(f"{name}-sources-{p}-{q}", sources)
    store.put(f"{name}-values-{p}-{q}", values)


def take_offers(store: Store, name: str, num_partitions: int, q: int, size: int) -> Reverse:
    """All of them for the rows of partition q: of each row those that list it, ascending."""
    named = [store.get(f"{name}-named-{p}-{q}") for p in range(num_partitions)]
    count = np.zeros(size, np.int64)
    for rows, number in (part.T for part in named):
        count[rows] += number
    begin = np.concatenate([[0], np.cumsum(count)])
    sources, values = np.empty(begin[-1], np.int32), np.empty(begin[-1], np.float32)
    at = begin[:-1].copy()
    for p, part in enumerate(named):  # partitions ascend, and so do the rows within each
        rows, number = part.T
        ends = np.cumsum(number)
        to = np.repeat(at[rows] - (ends - number), number) + np.arange(ends[-1] if ends.size else 0)
        sources[to] = store.get(f"{name}-sources-{p}-{q}")
        values[to] = store.get(f"{name}-values-{p}-{q}")
        at[rows] += number
    return begin, sources, values
