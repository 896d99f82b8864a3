"""What runs tasks and holds blocks: this process here, a Dask cluster in dask_engine."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from itertools import pairwise
from typing import Any, Protocol

import numpy as np
import scipy.sparse as sp

from .blocks import Block, Blocks, Sums
from .store import Store

OnDone = Callable[[int, Any], None]


class Fleet(Protocol):
    """The blocks of all rows. Sums have a row for each group, in order."""

    def begin(self, parts: Sequence[sp.csc_array], scale: np.ndarray) -> int: ...

    def advance(self, length: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]: ...

    def turn_and_multiply(self, ratio: np.ndarray, lift: np.ndarray | None) -> np.ndarray: ...

    def finish(self, first_class: int) -> Sums: ...


class Engine(Protocol):
    """num_blocks: that a solve is shared out to. worker_bytes: of the smallest worker; None: unknown. where: it is."""

    @property
    def num_blocks(self) -> int: ...

    @property
    def cpu_seconds(self) -> dict[str, float]:
        """What the tasks of each function took so far; not the solver, whose blocks are no tasks."""
        ...

    @property
    def worker_bytes(self) -> int | None: ...

    @property
    def where(self) -> str: ...

    def each(self, function: Callable[..., Any], tasks: dict[int, tuple[Any, ...]], on_done: OnDone) -> None:
        """Run function(*arguments) for each task; on_done(number, what it found) as they end."""
        ...

    def open_fleet(self, store: Store, blocks: Blocks) -> AbstractContextManager[Fleet]:
        """Raises WorkersLost where a worker is gone before all blocks are there."""
        ...

    def wait_for(self, count: int) -> None:
        """Give workers that were lost time to come back."""
        ...

    def peak_mib(self) -> float:
        """The most memory that a worker had so far; 0 where nobody knows."""
        ...


class WorkersLost(Exception):
    """A worker that held a block is gone: the solve begins again from W's files."""


class InProcess:
    """All tasks one after the other, all blocks side by side, in this process."""

    where, worker_bytes = "this process", None

    def __init__(self, num_blocks: int = 1) -> None:
        self.num_blocks = num_blocks
        self.cpu_seconds: dict[str, float] = {}

    def each(self, function: Callable[..., Any], tasks: dict[int, tuple[Any, ...]], on_done: OnDone) -> None:
        for number, arguments in tasks.items():
            begun = time.process_time()
            found = function(*arguments)
            spent = self.cpu_seconds.get(function.__name__, 0.0) + time.process_time() - begun
            self.cpu_seconds[function.__name__] = spent
            on_done(number, found)

    @contextmanager
    def open_fleet(self, store: Store, blocks: Blocks) -> Iterator[Fleet]:
        yield _HeldHere([Block(store, blocks, b) for b in range(len(blocks.cuts) - 1)])

    def wait_for(self, count: int) -> None:
        """Nobody is ever lost."""

    def peak_mib(self) -> float:
        return 0.0


class _HeldHere:
    def __init__(self, blocks: list[Block]) -> None:
        self.blocks = blocks
        for block in blocks:
            for q, nodes in block.wanted().items():
                blocks[q].subscribe(block.b, nodes)

    def begin(self, parts: Sequence[sp.csc_array], scale: np.ndarray) -> int:
        return max(block.begin(part, scale) for block, part in zip(self.blocks, parts, strict=True))

    def advance(self, length: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        return join_advanced([block.advance(length) for block in self.blocks])

    def turn_and_multiply(self, ratio: np.ndarray, lift: np.ndarray | None) -> np.ndarray:
        for block, own in zip(self.blocks, cut_groups(lift, self.blocks), strict=True):
            block.turn(ratio, own)
        self._bring("direction")
        return np.concatenate([block.multiply() for block in self.blocks])

    def finish(self, first_class: int) -> Sums:
        for block in self.blocks:
            block.make_halo()
        self._bring("x")
        return join_finished([block.finish(first_class) for block in self.blocks])

    def _bring(self, name: str) -> None:
        for block in self.blocks:
            for q in block.wanted():
                block.receive(q, name, self.blocks[q].boundary(block.b, name))


def join_advanced(parts: Sequence[tuple[np.ndarray, np.ndarray | None]]) -> tuple[np.ndarray, np.ndarray | None]:
    """The sums of all blocks, group after group."""
    coarse = [part for _, part in parts if part is not None]
    return np.concatenate([part for part, _ in parts]), np.concatenate(coarse) if coarse else None


def join_finished(parts: Sequence[Sums]) -> Sums:
    squares, residual, is_finite = zip(*parts, strict=True)
    return Sums(np.concatenate(squares), np.concatenate(residual), all(is_finite))


def cut_groups(lift: np.ndarray | None, blocks: Sequence[Block]) -> list[np.ndarray | None]:
    """The rows of each block's own groups."""
    if lift is None:
        return [None] * len(blocks)
    ends = np.cumsum([0] + [block.rows.groups.size - 1 for block in blocks]).tolist()
    return [lift[first:last] for first, last in pairwise(ends)]
