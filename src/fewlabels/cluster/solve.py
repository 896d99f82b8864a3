"""Conjugate gradients over blocks that workers hold: the steps, sums and bits of one machine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import scipy.sparse as sp

from ..errors import NumericsError
from ..graph.compiled import _kernels
from ..graph.compiled.solver import BLOCK, Finished, Health, invert_coarse, solve_parts
from . import affinity
from .blocks import Blocks, cut_blocks
from .engine import Engine, Fleet, WorkersLost
from .layout import Layout
from .store import Store

MOST_RESTARTS = 20  # each costs what was solved of up to 32 classes


@dataclass(frozen=True)
class Coarse:
    """The second level of the preconditioner: one unknown for each group, or for some neighbouring ones together.

    inverse: (u, u) float32. first: (u,) the first group of each unknown. weight: (g,) of the groups in theirs; None: of
    each group alone.
    """

    inverse: np.ndarray
    first: np.ndarray
    weight: np.ndarray | None

    @staticmethod
    def read(store: Store, layout: Layout, alpha: float) -> Coarse:
        merged, length = affinity.count_merged(layout), affinity.read_lengths(store, layout)
        inverse = invert_coarse(affinity.read_coarse(store, layout), alpha)
        first, weight = np.arange(0, length.size, merged), None
        if merged > 1:
            together = np.repeat(affinity.merge_lengths(length, merged), merged)[: length.size]
            weight = np.divide(length, together, out=np.zeros_like(length), where=together > 0)[:, None]
        return Coarse(inverse, first, weight)

    def lift(self, coarse: np.ndarray, width: int) -> np.ndarray:
        """(g, width) what the coarse solution of (g, width) sums adds to each group."""
        sums = coarse if self.weight is None else np.add.reduceat(coarse * self.weight, self.first)
        small = np.ascontiguousarray(sums, np.float32)
        lift = np.empty_like(small)
        _kernels.lift(self.inverse, small, len(lift), width, 0, len(lift), lift)
        if self.weight is None:
            return lift
        counts = np.diff(np.append(self.first, len(coarse)))
        return np.asarray(np.repeat(lift, counts, axis=0) * self.weight, np.float32)


class HeldPasses:
    """Vectors of some classes that a fleet holds, as solve_parts tells it what to do."""

    def __init__(self, fleet: Fleet, width: int, first_class: int, inverse: Coarse | None) -> None:
        self.fleet, self.width, self.first_class, self.inverse = fleet, width, first_class, inverse
        self._turned: tuple[np.ndarray, np.ndarray | None] | None = None

    def advance(self, length: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        return self.fleet.advance(length)

    def lift(self, coarse: np.ndarray) -> np.ndarray:
        assert self.inverse is not None
        return self.inverse.lift(coarse, self.width)

    def turn(self, ratio: np.ndarray, lift: np.ndarray | None) -> None:
        self._turned = ratio, lift  # sent with `multiply`, which follows

    def multiply(self) -> np.ndarray:
        assert self._turned is not None
        return self.fleet.turn_and_multiply(*self._turned)

    def finish(self) -> Finished:
        sums = self.fleet.finish(self.first_class)
        if not sums.is_finite:
            raise NumericsError("G9", f"NaN or infinity in the solution of classes from {self.first_class} on")
        nothing = np.empty((0, 0), np.float32)  # x is in the files
        return Finished(nothing, sums.squares.sum(axis=0), sums.residual.sum(axis=0), nothing[:, 0:0].ravel())


def solve(
    engine: Engine,
    store: Store,
    layout: Layout,
    label_matrix: sp.csc_array,
    how: dict[str, float],
    two_levels: bool,
    on_progress: Callable[[float], None],
) -> tuple[Health, int]:
    """Write x and left, one file for up to 32 classes and each partition. Returns the health, and restarts.

    label_matrix: (nodes, c). how: alpha, tol and max_steps.
    """
    inverse = None
    if two_levels:
        inverse = Coarse.read(store, layout, how["alpha"])
    wanted = engine.num_blocks
    for restarts in range(MOST_RESTARTS + 1):
        blocks = Blocks(cut_blocks(layout, engine.num_blocks), how["alpha"], two_levels)
        try:
            with engine.open_fleet(store, blocks) as fleet:
                return _solve(fleet, layout, blocks, label_matrix, how, inverse, on_progress), restarts
        except WorkersLost:
            if restarts == MOST_RESTARTS:
                raise
            engine.wait_for(wanted)
    raise AssertionError("the loop returns or raises")


def _solve(
    fleet: Fleet,
    layout: Layout,
    blocks: Blocks,
    y: sp.csc_array,
    how: dict[str, float],
    inverse: Coarse | None,
    on_progress: Callable[[float], None],
) -> Health:
    ends, c = layout.ends[list(blocks.cuts)].tolist(), y.shape[1]
    firsts = iter(range(0, c, BLOCK))

    @contextmanager
    def begin(b: sp.csc_array, scale: np.ndarray, start: object) -> Iterator[HeldPasses]:
        by_row = sp.csr_array(b)
        parts = [sp.csc_array(by_row[first:last]) for first, last in pairwise(ends)]
        yield HeldPasses(fleet, fleet.begin(parts, scale), next(firsts), inverse)

    health = Health(np.zeros(c, np.int64), np.zeros(c), np.ones(c, bool))
    for part, _ in solve_parts(begin, y, health, tol=how["tol"], max_steps=int(how["max_steps"])):
        on_progress(part.stop / c)
    return health
