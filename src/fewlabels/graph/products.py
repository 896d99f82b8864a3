"""Sparse matrix times a block of columns, on all cores."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import pairwise

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from .threads import num_threads

Float = NDArray[np.float64]
COLUMNS = 16  # of one task: a row of them is two cache lines, so that gathering rows of x stays in cache
SMALL = 2_000_000  # multiplications below which one plain product is faster


@contextmanager
def products(w: sp.csr_array) -> Iterator[Callable[[Float], Float]]:
    """A function x -> w @ x for x of shape (n, c), to be used inside the `with`.

    Same bits as SciPy's product, whatever the number of threads: each entry is summed in the order of its row.
    """
    threads = num_threads()
    edges = np.searchsorted(w.indptr, np.linspace(0, w.nnz, threads + 1)[1:-1])  # about as many entries in each part
    cuts = [0, *edges.tolist(), w.shape[0]]
    rows = [slice(first, last) for first, last in pairwise(cuts) if last > first]
    parts = [_rows(w, part) for part in rows]

    with ThreadPoolExecutor(threads) as pool:

        def product(x: Float) -> Float:
            if w.nnz * x.shape[1] < SMALL:
                return np.asarray(w @ x)
            columns = [slice(first, first + COLUMNS) for first in range(0, x.shape[1], COLUMNS)]
            blocks = [np.ascontiguousarray(x[:, block]) for block in columns]
            out = np.empty((w.shape[0], x.shape[1]))

            def one(task: tuple[int, int]) -> None:
                part, block = task
                out[rows[part], columns[block]] = parts[part] @ blocks[block]

            list(pool.map(one, [(part, block) for block in range(len(blocks)) for part in range(len(parts))]))
            return out

        yield product


def _rows(w: sp.csr_array, part: slice) -> sp.csr_array:
    """w[part] without copying its entries."""
    first, last = w.indptr[part.start], w.indptr[part.stop]
    pointers = w.indptr[part.start : part.stop + 1] - first
    return sp.csr_array((w.data[first:last], w.indices[first:last], pointers), (part.stop - part.start, w.shape[1]))
