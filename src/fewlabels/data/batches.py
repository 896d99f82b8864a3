"""Which rows make up each step of an epoch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ..randomness import generator


@dataclass(frozen=True)
class Epoch:
    """Names one epoch of one phase of one run: what its random draws depend on."""

    seed: int
    phase: int
    number: int


def labeled_batches(labeled: np.ndarray, size: int, epoch: Epoch) -> Iterator[np.ndarray]:
    """One pass over the labelled rows in random order, in batches of `size`; a smaller rest is dropped.

    labeled: (l,) row numbers. With fewer than `size` rows the one batch holds them all.
    Released code mean_teacher/helpers.py:72-73 (drop_last).
    """
    order = generator(epoch.seed, "labeled order", epoch.phase, epoch.number).permutation(labeled)
    size = min(size, len(order))
    for step in range(len(order) // size):
        yield order[step * size : (step + 1) * size]


def two_stream_batches(
    labeled: np.ndarray, unlabeled: np.ndarray, num_labeled: int, num_unlabeled: int, epoch: Epoch
) -> Iterator[np.ndarray]:
    """One pass over the unlabelled rows; a batch is `num_labeled` labelled rows, then `num_unlabeled` unlabelled ones.

    The labelled rows come from fresh random orders, one after the other; a rest of the unlabelled pass is dropped.
    With fewer than `num_unlabeled` unlabelled rows the one batch holds them all.
    Released code mean_teacher/data.py:119-164.
    """
    rng = generator(epoch.seed, "two streams", epoch.phase, epoch.number)
    order = rng.permutation(unlabeled)
    num_unlabeled = min(num_unlabeled, len(order))
    num_steps = len(order) // num_unlabeled
    passes = -(-num_steps * num_labeled // len(labeled))
    given = np.concatenate([rng.permutation(labeled) for _ in range(passes)])
    for step in range(num_steps):
        yield np.concatenate(
            [
                given[step * num_labeled : (step + 1) * num_labeled],
                order[step * num_unlabeled : (step + 1) * num_unlabeled],
            ]
        )


def num_steps(num_rows: int, size: int) -> int:
    """Batches of `size` in one pass over num_rows rows; at least one."""
    return max(1, num_rows // size)
