"""A block as a Dask actor: it asks the others for the rows that its own lead to, without the scheduler."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy.sparse as sp
from distributed import get_worker

from ..graph.compiled import instructions
from ..graph.threads import use_threads
from .blocks import Block, Blocks, Sums
from .store import Store

LONGEST_WAIT = 600.0  # seconds, for the rows of another block, before it counts as gone


class BlockActor:
    """Calls that exchange rows are coroutines on the worker's event loop; the work itself is done in threads.

    version: of the vectors; the rows of one are given out as soon as they are of it.
    """

    def __init__(self, store: Store, blocks: Blocks, b: int) -> None:
        instructions()
        self.threads = get_worker().state.nthreads
        with use_threads(self.threads):
            self.block = Block(store, blocks, b)
        self.peers: Sequence[Any] = ()
        self.version, self.changed = 0, asyncio.Condition()

    def num_groups(self) -> int:
        return int(self.block.rows.groups.size - 1)

    async def connect(self, peers: Sequence[Any]) -> None:
        """Tell every other block what it will be asked for."""
        self.peers = peers
        for q, nodes in self.block.wanted().items():
            await peers[q].subscribe(self.block.b, nodes)

    async def subscribe(self, q: int, nodes: np.ndarray) -> None:
        self.block.subscribe(q, nodes)

    def begin(self, b: sp.csc_array, scale: np.ndarray) -> int:
        with use_threads(self.threads):
            return self.block.begin(b, scale)

    def advance(self, length: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        return self.block.advance(length)

    async def turn_and_multiply(self, version: int, ratio: np.ndarray, lift: np.ndarray | None) -> np.ndarray:
        await asyncio.to_thread(self.block.turn, ratio, lift)
        await self._bring("direction", version)
        return await asyncio.to_thread(self.block.multiply)

    async def bring_x(self, version: int) -> None:
        """Before `finish`: all blocks must have their rows before one lets go of its own."""
        await asyncio.to_thread(self.block.make_halo)
        await self._bring("x", version)

    def finish(self, first_class: int) -> Sums:
        return self.block.finish(first_class)

    async def boundary(self, q: int, name: str, version: int) -> np.ndarray:
        """The rows that block q asked for, as soon as they are of this version."""
        async with self.changed:
            await self.changed.wait_for(lambda: self.version >= version)
        return self.block.boundary(q, name)

    async def _bring(self, name: str, version: int) -> None:
        async with self.changed:
            self.version = version
            self.changed.notify_all()

        async def bring(q: int) -> None:
            rows = await asyncio.wait_for(self.peers[q].boundary(self.block.b, name, version), LONGEST_WAIT)
            self.block.receive(q, name, rows)

        await asyncio.gather(*(bring(q) for q in self.block.wanted()))
