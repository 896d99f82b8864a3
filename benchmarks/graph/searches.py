"""Ways to find the k nearest other rows of every row: the peers of the neighbour stage.

Each takes a `Search` and gives (n, k) ids, -1 where it found none, and the similarities of these.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.common import data
from benchmarks.common.timing import Stopwatch, report

FLAT_SAMPLE = 2000  # rows that the exact search is timed on where it is scaled
M, EF_CONSTRUCTION = 16, 100
# Lists probed, or candidates kept.
EFFORTS = (8, 12, 16, 24, 32, 40, 52, 64, 80, 100, 125, 150, 200, 250, 300, 400, 600)
TUNING_ROWS = 200
Found = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Search:
    """rows: (n, d) float32 of length 1. recall: what the approximate ones are tuned to, on `sample` and its `exact`.

    watch: paused while they are tuned, which a peer's time does not count.
    """

    rows: np.ndarray
    k: int
    recall: float
    sample: np.ndarray
    exact: np.ndarray
    threads: int
    watch: Stopwatch


def flat(search: Search) -> Found:
    """faiss, exact: all rows against all. The first found is taken for the row itself, as the released code does."""
    import faiss

    index = faiss.IndexFlatIP(search.rows.shape[1])
    index.add(search.rows)
    near, ids = index.search(search.rows, search.k + 1)
    return ids[:, 1:], near[:, 1:]


def flat_seconds(search: Search, most: int = FLAT_SAMPLE) -> tuple[float, float, bool]:
    """Seconds of `flat`, as `sampled_seconds` counts them."""
    import faiss

    index = faiss.IndexFlatIP(search.rows.shape[1])
    index.add(search.rows)
    return sampled_seconds(search, lambda queries: index.search(queries, search.k + 1), most)


def brute_seconds(search: Search, most: int = FLAT_SAMPLE) -> tuple[float, float, bool]:
    """Seconds of scikit-learn's exact search, as `sampled_seconds` counts them."""
    from sklearn.neighbors import NearestNeighbors

    index = NearestNeighbors(n_neighbors=search.k + 1, algorithm="brute").fit(search.rows)
    return sampled_seconds(search, index.kneighbors, most)


def sampled_seconds(search: Search, find: Callable[[np.ndarray], object], most: int) -> tuple[float, float, bool]:
    """Seconds of an exact search, by the clock and of all cores: timed on at most so many rows, evenly drawn, and
    scaled up to all. The bool: is it scaled?"""
    n = len(search.rows)
    queries = search.rows[np.linspace(0, n - 1, min(n, most)).astype(int)]
    search.watch.time(lambda: find(queries))
    times = n / len(queries)
    return search.watch.seconds * times, search.watch.work * times, n > len(queries)


def ivf(search: Search) -> Found:
    """faiss IVF-flat, about 4 sqrt(n) lists."""
    import faiss

    n, d = search.rows.shape
    quantizer = faiss.IndexFlatIP(d)
    lists = min(round(4 * np.sqrt(n)), n // 40)
    index = faiss.IndexIVFFlat(quantizer, d, lists, faiss.METRIC_INNER_PRODUCT)
    index.cp.max_points_per_centroid = 64  # its default of 256 takes longer for the same recall
    index.train(search.rows)
    index.add(search.rows)

    def find(queries: np.ndarray, effort: int) -> Found:
        index.nprobe = min(effort, lists)
        return _turned(index.search(queries, search.k + 1))

    return _tuned(search, find)


def faiss_hnsw(search: Search) -> Found:
    import faiss

    index = faiss.IndexHNSWFlat(search.rows.shape[1], M, faiss.METRIC_INNER_PRODUCT)
    index.hnsw.efConstruction = EF_CONSTRUCTION
    index.add(search.rows)

    def find(queries: np.ndarray, effort: int) -> Found:
        index.hnsw.efSearch = effort
        return _turned(index.search(queries, search.k + 1))

    return _tuned(search, find, [effort for effort in EFFORTS if effort > search.k])


def hnswlib(search: Search) -> Found:
    from hnswlib import Index

    index = Index("ip", search.rows.shape[1])
    index.init_index(len(search.rows), ef_construction=EF_CONSTRUCTION, M=M)
    index.set_num_threads(search.threads)
    index.add_items(search.rows)

    def find(queries: np.ndarray, effort: int) -> Found:
        index.set_ef(effort)
        ids, distance = index.knn_query(queries, search.k + 1)
        return ids.astype(np.int64), 1 - distance

    return _tuned(search, find, [effort for effort in EFFORTS if effort > search.k])


def usearch(search: Search) -> Found:
    from usearch.index import Index

    index = Index(ndim=search.rows.shape[1], metric="ip", dtype="f32", connectivity=M, expansion_add=EF_CONSTRUCTION)
    index.add(np.arange(len(search.rows), dtype=np.uint64), search.rows, threads=search.threads)

    def find(queries: np.ndarray, effort: int) -> Found:
        index.expansion_search = effort
        found = index.search(queries, search.k + 1, threads=search.threads)
        return found.keys.astype(np.int64), 1 - found.distances

    return _tuned(search, find, [effort for effort in EFFORTS if effort > search.k])


def pynndescent(search: Search) -> Found:
    """Nearest-neighbour descent with its defaults, which find about 99.9 %."""
    from pynndescent import NNDescent

    graph = NNDescent(search.rows, metric="dot", n_neighbors=search.k + 1, n_jobs=search.threads, random_state=0)
    ids, distance = graph.neighbor_graph
    return without_self(ids.astype(np.int64), 1 - distance)


def without_self(ids: np.ndarray, near: np.ndarray, own: np.ndarray | None = None) -> Found:
    """(q, k) of (q, k + 1): each row's own number dropped, or the last entry where it is not among them.

    own: (q,) the number of each row; None: 0 to q - 1.
    """
    is_self = ids == (np.arange(len(ids)) if own is None else own)[:, None]
    is_self[~is_self.any(axis=1), -1] = True
    return ids[~is_self].reshape(len(ids), -1), near[~is_self].reshape(len(ids), -1)


def _turned(found: Any) -> Found:
    """faiss gives the similarities first."""
    return found[1], found[0]


def _tuned(search: Search, find: Callable[[np.ndarray, int], Found], efforts: Sequence[int] = EFFORTS) -> Found:
    """All neighbours with the least effort that reaches the recall on a sample."""
    with search.watch.paused():
        sample, exact = search.sample[:TUNING_ROWS], search.exact[:TUNING_ROWS, : search.k]
        for effort in efforts:
            ids, near = find(search.rows[sample], effort)
            reached = data.recall(without_self(ids, near, sample)[0], exact)
            if reached >= search.recall:
                break
        report(effort=effort)
    return without_self(*find(search.rows, effort))
