"""How the rows are shared out: shards as they come, partitions by cluster as they are worked on."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from .store import Store

MOST_ROWS = 2**31 - 1  # the kernels number rows in 32 bits


@dataclass(frozen=True)
class Layout:
    """start: (m + 1,) int64, first place of each cluster. cuts: (P + 1,) int64, first cluster of each partition.

    lone: rows without a direction; they are nodes without edges, and stand after all others, in the last partition.
    """

    start: np.ndarray
    cuts: np.ndarray
    lone: int

    @property
    def size(self) -> int:
        """Nodes that have neighbours."""
        return int(self.start[-1])

    @property
    def num_nodes(self) -> int:
        return self.size + self.lone

    @property
    def num_partitions(self) -> int:
        return self.cuts.size - 1

    @property
    def places(self) -> np.ndarray:
        """(P + 1,) first place of each partition, and the end of those with neighbours."""
        return np.asarray(self.start[self.cuts])

    @property
    def ends(self) -> np.ndarray:
        """(P + 1,) the same of all nodes."""
        ends = self.places.copy()
        ends[-1] = self.num_nodes
        return ends

    @property
    def groups(self) -> np.ndarray:
        """(g + 1,) first node of each group that sums are made of: the clusters, and the lone nodes."""
        return np.append(self.start, self.num_nodes) if self.lone else self.start

    @property
    def group_cuts(self) -> np.ndarray:
        """(P + 1,) first group of each partition."""
        cuts = self.cuts.copy()
        cuts[-1] = self.groups.size - 1
        return cuts

    def range(self, p: int) -> tuple[int, int]:
        """The places of a partition, without lone nodes."""
        return int(self.places[p]), int(self.places[p + 1])

    def nodes(self, p: int) -> tuple[int, int]:
        """The nodes of a partition, with them."""
        return int(self.ends[p]), int(self.ends[p + 1])

    def clusters(self, p: int) -> tuple[int, int]:
        return int(self.cuts[p]), int(self.cuts[p + 1])

    def cluster_of(self, places: np.ndarray) -> np.ndarray:
        return np.searchsorted(self.start, places, "right") - 1

    def save(self, store: Store) -> None:
        store.put("layout-start", self.start)
        store.put("layout-cuts", np.append(self.cuts, self.lone))


def read_layout(store: Store) -> Layout:
    cuts = store.get("layout-cuts")
    return Layout(store.get("layout-start"), cuts[:-1], int(cuts[-1]))


def share_out(start: np.ndarray, partitions: int, lone: int) -> Layout:
    """Partitions of whole clusters, about as many rows in each; fewer of them where there are too few clusters."""
    cuts = np.searchsorted(start, np.linspace(0, start[-1], partitions + 1))
    cuts[0], cuts[-1] = 0, start.size - 1
    kept = [0]
    for cut in cuts[1:].tolist():
        if start[cut] > start[kept[-1]]:
            kept.append(cut)
    kept[-1] = start.size - 1
    return Layout(start, np.array(kept, np.int64), lone)


def read_places(store: Store, layout: Layout, name: str, first: int, last: int) -> np.ndarray:
    """The entries of `name` of the places first to last, from the files of their partitions."""
    parts = []
    for p, (begin, end) in enumerate(pairwise(layout.places.tolist())):
        a, b = max(first, begin), min(last, end)
        if a < b:
            parts.append(store.get(f"{name}-{p}", a - begin, b - begin))
    return np.concatenate(parts) if parts else store.get(f"{name}-0", 0, 0)


def fill_places(store: Store, layout: Layout, name: str, first: int, target: np.ndarray) -> None:
    """The same into the rows of `target`, as many as it has, without a copy."""
    last = first + len(target)
    for p, (begin, end) in enumerate(pairwise(layout.places.tolist())):
        a, b = max(first, begin), min(last, end)
        if a < b:
            store.fill(target[a - first : b - first], f"{name}-{p}", a - begin)
