"""The solver's rows of one worker, held in its memory: some partitions that follow each other, and their vectors."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp

from ..errors import GraphError
from ..graph.compiled.solver import RowBlock, Vectors
from ..graph.cost import MOST_ENTRIES
from ..graph.threads import Team
from .layout import Layout, read_layout
from .store import Store

RENUMBERED = 1 << 22  # columns at a time


class Blocks(NamedTuple):
    """Which partitions are in which block: cuts[b] to cuts[b + 1]. two_levels: with the coarse space."""

    cuts: tuple[int, ...]
    alpha: float
    two_levels: bool


class Sums(NamedTuple):
    """What comes of some classes over one block. squares, residual: (g, c) sums of x^2 and (b - Ax)^2 by group."""

    squares: np.ndarray
    residual: np.ndarray
    is_finite: bool


class Block:
    """Nodes are numbered as W's columns are, over all that the block's rows lead to, in the order of nodes.

    So own ones are consecutive, each row's entries keep their order, and sums their bits.
    """

    def __init__(self, store: Store, blocks: Blocks, b: int) -> None:
        self.store, self.layout, self.b = store, read_layout(store), b
        self.parts = range(blocks.cuts[b], blocks.cuts[b + 1])
        self.first, self.last = int(self.layout.ends[self.parts.start]), int(self.layout.ends[self.parts.stop])
        w = self._join()
        shape = None
        if blocks.two_levels:
            shape = np.concatenate([store.get(f"shape-{p}") for p in self.parts])
        self.base = int(np.searchsorted(self.near, self.first))
        cuts = self.layout.group_cuts
        groups = self.layout.groups[cuts[self.parts.start] : cuts[self.parts.stop] + 1] - self.first + self.base
        self.rows = RowBlock(w=w, alpha=blocks.alpha, groups=groups, size=self.layout.num_nodes, shape=shape)
        ends = np.searchsorted(self.near, self.layout.ends[list(blocks.cuts)]).tolist()
        self.segments = [slice(first, last) for first, last in pairwise(ends)]
        self.asked: dict[int, np.ndarray] = {}
        self.vectors: Vectors | None = None

    def _join(self) -> sp.csr_array:
        """The rows of all its partitions, with columns numbered over the whole block: read into place, never twice."""
        nears = [self.store.get(f"w-near-{p}") for p in self.parts]
        self.near = nears[0] if len(nears) == 1 else np.unique(np.concatenate(nears))
        starts = [self.store.get(f"w-pointers-{p}").astype(np.int64) for p in self.parts]
        ends = np.cumsum([0, *(start[-1] for start in starts)]).tolist()
        if ends[-1] > MOST_ENTRIES:
            what = f"{ends[-1]:,} entries of W in one worker; its kernels count {MOST_ENTRIES:,}"
            raise GraphError("G30", what, do="use more workers, or a smaller --n-neighbors")
        weights, columns = np.empty(ends[-1], np.float32), np.empty(ends[-1], np.int32)
        for p, near, first, last in zip(self.parts, nears, ends, ends[1:], strict=False):
            self.store.fill(weights[first:last], f"w-weights-{p}", 0)
            self.store.fill(columns[first:last], f"w-columns-{p}", 0)
            number = np.searchsorted(self.near, near).astype(np.int32)
            for at in range(first, last, RENUMBERED):
                some = columns[at : min(at + RENUMBERED, last)]
                some[:] = number[some]
        pointers = np.concatenate([[0], *(start[1:] + first for start, first in zip(starts, ends, strict=False))])
        return sp.csr_array((weights, columns, pointers.astype(np.int32)), (self.last - self.first, self.near.size))

    # -- what others need of it, and it of others

    def wanted(self) -> dict[int, np.ndarray]:
        """The nodes of each other block that this one's rows lead to."""
        return {q: self.near[part] for q, part in enumerate(self.segments) if q != self.b and part.stop > part.start}

    def subscribe(self, q: int, nodes: np.ndarray) -> None:
        """Block q will ask for these nodes."""
        self.asked[q] = nodes - self.first

    def boundary(self, q: int, name: str) -> np.ndarray:
        """The rows of direction or x that block q asked for."""
        assert self.vectors is not None
        if name == "direction":
            return np.asarray(self.vectors.direction[self.asked[q] + self.base])
        return np.asarray(self.vectors.x[self.asked[q]])

    def receive(self, q: int, name: str, rows: np.ndarray) -> None:
        """What block q has of them."""
        assert self.vectors is not None
        target = self.vectors.direction if name == "direction" else self.halo
        target[self.segments[q]] = rows

    # -- one block of classes

    def begin(self, b: sp.csc_array, scale: np.ndarray) -> int:
        """Vectors for b, the own rows (m, c) of the right-hand side."""
        self.team = Team()
        self.vectors = Vectors(self.rows, self.team, b, scale)
        return int(self.vectors.width)

    def advance(self, length: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        assert self.vectors is not None
        return self.vectors.advance(length)

    def turn(self, ratio: np.ndarray, lift: np.ndarray | None) -> None:
        assert self.vectors is not None
        self.vectors.turn(ratio, lift)

    def multiply(self) -> np.ndarray:
        assert self.vectors is not None
        return self.vectors.multiply()

    def make_halo(self) -> None:
        """Room for x of all nodes that W's columns name."""
        assert self.vectors is not None
        self.halo = np.empty((self.near.size, self.vectors.width), np.float32)
        self.halo[self.base : self.base + len(self.vectors.x)] = self.vectors.x

    def finish(self, first_class: int) -> Sums:
        """Write x and the largest residual of each row, one file a partition. `halo` has x of the others."""
        vectors = self.vectors
        assert vectors is not None
        vectors.measure_residual(self.halo)
        count = vectors.num_classes
        squares, residual = (vectors.sum_squares(of)[:, :count] for of in (vectors.x, vectors.residual))
        x = (vectors.x[:, :count] * vectors.scale).astype(np.float32)
        left = vectors.take_row_residual()
        for p in self.parts:
            own = slice(*(node - self.first for node in self.layout.nodes(p)))
            self.store.put(f"x-{first_class}-{p}", x[own])
            self.store.put(f"left-{first_class}-{p}", left[own])
        self.vectors = None
        del self.halo
        self.team.__exit__()
        return Sums(squares, residual, bool(np.isfinite(x).all()))


def cut_blocks(layout: Layout, count: int) -> tuple[int, ...]:
    """Partitions in so many blocks, or in fewer, about as many in each."""
    count = min(count, layout.num_partitions)
    return tuple(np.linspace(0, layout.num_partitions, count + 1).astype(int).tolist())
