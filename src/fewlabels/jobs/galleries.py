"""Rows worth looking at: the most and least certain of each class, and given labels that all others contradict."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from ..conventions import UNLABELED
from ..graph import LeaveOneOut
from ..runs.insights import CERTAIN, DOUBTFUL, SUSPICIOUS, Tile

EACH = 6  # rows of a class that are most certain, and as many that are least
MOST_TILES = 480  # of both; with more than 40 classes each has fewer
MOST_SUSPICIOUS = 24


@dataclass(frozen=True)
class Rows:
    """What propagation says of all rows. label, given, truth: (n,) int64, -1 for none; truth None: all unknown.

    certainty: (n,). id_of, image_of: the id of a row, and its thumbnail; None for a row without an image.
    """

    label: np.ndarray
    certainty: np.ndarray
    given: np.ndarray
    truth: np.ndarray | None
    num_classes: int
    id_of: Callable[[int], str]
    image_of: Callable[[int], bytes | None]

    def tile(self, group: str, row: int, number: int, *, label: int, certainty: float, score: float) -> Tile:
        truth = UNLABELED if self.truth is None else int(self.truth[row])
        return Tile(group, number, self.id_of(row), label, truth, float(certainty), float(score), self.image_of(row))


def extremes(rows: Rows) -> Iterator[Tile]:
    """Pseudo-labels of each class: the least certain first, then the most certain. Equal ones in the order of rows."""
    each = max(1, min(EACH, MOST_TILES // (2 * rows.num_classes)))
    spread = np.flatnonzero((rows.given == UNLABELED) & (rows.label != UNLABELED))
    order = spread[np.lexsort((rows.certainty[spread], rows.label[spread]))]
    ends = np.searchsorted(rows.label[order], np.arange(rows.num_classes + 1))
    for number in range(min(rows.num_classes, MOST_TILES // 2)):
        own = order[ends[number] : ends[number + 1]]
        low, high = min(each, (own.size + 1) // 2), min(each, own.size // 2)
        top = own[own.size - high :]
        top = top[np.lexsort((top, -rows.certainty[top]))]
        for group, some in ((DOUBTFUL, own[:low]), (CERTAIN, top)):
            for row in some.tolist():
                sure = rows.certainty[row]
                score = sure if group == CERTAIN else 1 - sure
                yield rows.tile(group, row, number, label=number, certainty=sure, score=score)


def suspicious(rows: Rows, found: LeaveOneOut) -> Iterator[Tile]:
    """Given labels that the others contradict, the most suspicious first: 24 at most."""
    for at in np.argsort(-found.suspicion, kind="stable")[:MOST_SUSPICIOUS].tolist():
        if found.suspicion[at] > 0:
            yield rows.tile(
                SUSPICIOUS,
                int(found.rows[at]),
                int(found.given[at]),
                label=int(found.label[at]),
                certainty=found.certainty[at],
                score=found.suspicion[at],
            )
