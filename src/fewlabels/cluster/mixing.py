"""Stages of an answer that is the mean of several graphs and heads: what it says of the rows of a partition."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..choosing.answer import BLOCK, Part, mix
from ..choosing.choice import Member
from ..choosing.heads import Head
from ..choosing.rows import Rows
from ..choosing.saved import unpack_head
from ..choosing.scores import logs_of_shares, temper
from ..graph.pseudo_labels import pseudo_labels
from ..storage.arrays import read_arrays
from .labels import Answering, find_labels, read_answers, rows_of, write_part
from .layout import read_layout
from .store import Store

HEADS = "heads.npz"  # in the folder of the run


class Mixing(NamedTuple):
    """members: of the answer. solved: for each the store of its Z; None for a head. num_rows: of all partitions.

    temperature, class_scale: of their mean.
    """

    members: tuple[Member, ...]
    solved: tuple[Store | None, ...]
    num_rows: int
    temperature: float
    class_scale: tuple[float, ...]

    @property
    def lengths(self) -> bool:
        """Whether a head sees how long rows are."""
        return any(member.lengths for member in self.members if member.kind != "graph")


class _Partition:
    """What answers rows of one partition."""

    def __init__(self, store: Store, p: int, asked: Answering, mixing: Mixing) -> None:
        self.mixing = mixing
        self.z = [None if own is None else read_answers(own, p, asked)[0] for own in mixing.solved]
        self.heads: dict[int, Head] = {}
        if None in mixing.solved:
            arrays = read_arrays(Path(store.folder) / HEADS)
            self.heads = {
                place: unpack_head(arrays, place, asked.num_classes)
                for place, own in enumerate(mixing.solved)
                if own is None
            }
            self.rows = store.get(f"rows-{p}")
        self.rows_of = rows_of(store, read_layout(store), p)
        self.length = _take_lengths(store, self.rows_of[0]) if mixing.lengths else None

    def mix(self, some: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(q, c) distributions of some of the partition's rows, and which of them any member answers."""
        at, found = self.rows_of[1][some], []
        for place, member in enumerate(self.mixing.members):
            z = self.z[place]
            if z is not None:
                found.append((temper(logs_of_shares(z[at]), member.temperature), np.asarray(z[at].any(axis=1))))
            else:
                found.append(Part(member=member, head=self.heads[place]).logs(self._see(some, at), None))
        shares = [member.share for member in self.mixing.members]
        return mix(found, shares, self.mixing.temperature, np.array(self.mixing.class_scale))

    def _see(self, some: np.ndarray, at: np.ndarray) -> Rows:
        """These rows as heads see them; those without a direction are zeros."""
        values = np.zeros((some.size, self.rows.shape[1]), np.float32)
        usable = at < len(self.rows)
        values[usable] = self.rows[at[usable]]
        return Rows(values=values, length=None if self.length is None else self.length[some])


def _take_lengths(store: Store, rows: np.ndarray) -> np.ndarray:
    """(q,) float32 lengths of rows, ascending, from the files of the shards."""
    bounds = store.get("shards")
    cuts = np.searchsorted(rows, bounds)
    found = np.empty(rows.size, np.float32)
    for shard in range(bounds.size - 1):
        own = slice(cuts[shard], cuts[shard + 1])
        if own.start < own.stop:
            found[own] = store.get(f"length-of-{shard}")[rows[own] - bounds[shard]]
    return found


def mix_sample(store: Store, p: int, asked: Answering, mixing: Mixing) -> int:
    """What the answer says of the rows of a partition that the shares of the classes are matched on."""
    part = _Partition(store, p, asked, mixing)
    some = np.flatnonzero(np.isin(part.rows_of[0], store.get("prior-rows")))
    distribution, reached = part.mix(some)
    store.put(f"mixed-rows-{p}", part.rows_of[0][some])
    store.put(f"mixed-reached-{p}", reached)
    store.put(f"mixed-{p}", distribution)
    return int(some.size)


def write_mixed(
    store: Store, p: int, asked: Answering, mixing: Mixing, is_calibrated: bool, graph: Store | None
) -> dict[str, object]:
    """The table of a partition's rows. See labels.write_part. graph: of the largest share, for the connected parts."""
    part = _Partition(store, p, asked, mixing)
    rows, at = part.rows_of
    dtype = np.float64 if mixing.num_rows <= BLOCK else np.float32
    distribution, reached = np.empty((rows.size, asked.num_classes), dtype), np.empty(rows.size, bool)
    for start in range(0, rows.size, BLOCK):
        some = np.arange(start, min(start + BLOCK, rows.size))
        distribution[some], reached[some] = part.mix(some)
    distribution[~reached] = 0
    given = find_labels(store, rows)
    result = pseudo_labels(distribution, given, asked.settings.rules)
    return write_part(store, p, asked, (rows, at, given), result, is_calibrated=is_calibrated, graph=graph)
