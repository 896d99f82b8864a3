"""Folds over the labelled rows: the same whatever the order of the rows, with copies never on two sides."""

from __future__ import annotations

import hashlib

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components

LEAVE_ONE_OUT_UP_TO = 40  # labelled rows; beyond, folds
MOST_FOLDS = 10
LARGEST_CHAIN = 0.1  # share of the labelled rows that may hang together as near-copies before they are no sign of any
NEAR_COPY = 0.05  # of the usual distance (1 - similarity) to a row's tenth neighbour


def group_copies(
    rows: NDArray[np.float32], usual: float, groups: NDArray[np.generic] | None = None
) -> NDArray[np.int64]:
    """(l,) number of the group of each labelled row; rows of one group stay in one fold.

    rows: (l, d) comparable rows. usual: median of 1 - similarity of all rows to their tenth neighbour.
    groups: (l,) that the user gave, such as patients or cameras; equal ones stay together too.
    Equal rows are one group. Rows much nearer to each other than `usual` are near-copies, such as a burst of photos;
    where they would chain more than a tenth of the labels together, the descriptors are just narrow, and only equal
    rows count.
    """
    equal = np.unique(rows + np.float32(0), axis=0, return_inverse=True)[1].reshape(-1)
    given = [equal] if groups is None else [equal, np.unique(groups, return_inverse=True)[1].reshape(-1)]
    exact = _join(given, len(rows))
    near = _find_near(rows, 1 - NEAR_COPY * usual)
    joined = _join([*given, near], len(rows))
    before, after = np.bincount(exact).max(), np.bincount(joined).max()
    return exact if after > max(before, LARGEST_CHAIN * len(rows), 2) else joined


def _find_near(rows: NDArray[np.float32], least: float) -> NDArray[np.int64]:
    """(l,) number of the part in which rows hang together by similarities of at least `least`."""
    length = np.sqrt(np.einsum("ld,ld->l", rows, rows))
    unit = rows / np.maximum(length, np.float32(1e-30))[:, None]
    left, right = [], []
    for start in range(0, len(unit), 1024):
        one, other = np.nonzero(unit[start : start + 1024] @ unit.T >= least)
        left.append(one + start)
        right.append(other)
    at = (np.concatenate(left), np.concatenate(right))
    edges = sp.coo_array((np.ones(at[0].size, np.int8), at), (len(rows), len(rows)))
    return np.asarray(connected_components(edges, directed=False)[1].astype(np.int64))


def _join(partitions: list[NDArray[np.int64]], size: int) -> NDArray[np.int64]:
    """The finest partition in which rows that are together in any of these are together."""
    everyone, edges = np.arange(size), sp.coo_array((size, size), dtype=np.int8)
    for part in partitions:
        first = np.full(part.max() + 1, -1)
        first[part[::-1]] = everyone[::-1]
        edges = edges + sp.coo_array((np.ones(size, np.int8), (everyone, first[part])), (size, size))
    return np.asarray(connected_components(edges, directed=False)[1].astype(np.int64))


def digest_each(rows: NDArray[np.float32]) -> list[str]:
    """SHA-256 of each row's content; -0 counts as 0."""
    return [hashlib.sha256((row + np.float32(0)).tobytes()).hexdigest() for row in rows]


def deal_folds(
    rows: NDArray[np.float32], classes: NDArray[np.int64], group: NDArray[np.int64], most_folds: int = MOST_FOLDS
) -> NDArray[np.int64]:
    """(l,) the fold of each labelled row, by class in turn; groups stay whole.

    rows: (l, d) comparable rows, from whose content alone the order comes, so that neither the order in which they
    stand nor threads change a fold. group: (l,) of `group_copies`. Up to 40 rows each group is a fold of its own.
    """
    digest = digest_each(rows)
    order = sorted(range(len(rows)), key=lambda row: (int(classes[row]), digest[row]))
    leader: dict[int, int] = {}
    for row in order:
        leader.setdefault(int(group[row]), row)
    count = len(leader) if len(rows) <= LEAVE_ONE_OUT_UP_TO else min(most_folds, len(leader))
    turn = {number: place % max(count, 1) for place, number in enumerate(leader)}
    return np.array([turn[int(number)] for number in group], np.int64)
