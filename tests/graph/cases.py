"""Named inputs that the graph core must survive: name -> (descriptors, labels, number of classes, neighbours)."""

import numpy as np

from fewlabels.graph import comparable_rows


def clusters(n=90, classes=3, dimensions=6, labels_per_class=3, spread=0.35, seed=0):
    rng = np.random.default_rng(seed)
    truth = np.arange(n) % classes
    rows = rng.normal(size=(classes, dimensions))[truth] + spread * rng.normal(size=(n, dimensions))
    labels = np.full(n, -1)
    labels[: classes * labels_per_class] = truth[: classes * labels_per_class]
    return rows, labels


def island(rows, labels, size=12):
    """The same with a far group of rows that shares no direction with the others and has no label."""
    wide = np.zeros((len(rows) + size, rows.shape[1] + 2))
    wide[: len(rows), :-2] = rows
    wide[len(rows) :, -2:] = np.random.default_rng(9).uniform(0.5, 1, (size, 2))
    return wide, np.concatenate([labels, np.full(size, -1)])


def path(length):
    """Points along an arc: each row's two nearest are its two sides, so that the graph is a path."""
    angle = np.linspace(0, np.pi / 2, length)
    return np.stack([np.cos(angle), np.sin(angle)], axis=1)


def wide(n, d=300, hidden=40, seed=0):
    """Rows like a network's: many hidden dimensions, numbers from 0 up, a large mean."""
    rng = np.random.default_rng(seed)
    hidden_rows = rng.normal(size=(20, hidden))[rng.integers(20, size=n)] + 0.7 * rng.normal(size=(n, hidden))
    return comparable_rows(np.maximum(hidden_rows @ rng.normal(size=(hidden, d)), 0) + 0.3 * rng.random((n, d)))


ROWS, LABELS = clusters()
ZEROED = ROWS.copy()
ZEROED[40] = 0
ENDS = np.full(120, -1)
ENDS[[0, -1]] = [0, 1]
CONTRADICTING = LABELS.copy()
CONTRADICTING[[89, 88]] = [0, 1]
EQUAL_PAIR = ROWS.copy()
EQUAL_PAIR[88] = EQUAL_PAIR[89]
GRID = np.random.default_rng(3).integers(-2, 3, (90, 3)).astype(float)
GRID[~GRID.any(axis=1)] = 1

CASES = {
    "clusters": (ROWS, LABELS, 3, 10),
    "few neighbours": (ROWS, LABELS, 3, 2),
    "more neighbours than rows": (ROWS[:20], LABELS[:20], 3, 50),
    "one zero row": (ZEROED, LABELS, 3, 10),
    "every row twice": (np.repeat(ROWS, 2, axis=0), np.repeat(LABELS, 2), 3, 5),
    "every row k times": (np.repeat(ROWS, 5, axis=0), np.repeat(LABELS, 5), 3, 5),
    "every row k + 5 times": (np.repeat(ROWS, 10, axis=0), np.repeat(LABELS, 10), 3, 5),
    "all rows equal": (np.ones((12, 4)), np.array([0, 0, 1, 2] + [-1] * 8), 3, 5),
    "two rows": (np.eye(2) + 0.5, np.array([0, -1]), 1, 5),
    "one row": (np.ones((1, 3)), np.array([0]), 1, 5),
    "one feature": (np.linspace(-1, 1, 21)[:, None] + 0.01, np.array([0, *[-1] * 19, 1]), 2, 5),
    "one class": (ROWS, np.where(LABELS >= 0, 0, -1), 1, 10),
    "an island": (*island(ROWS, LABELS), 3, 5),
    "contradicting labels on equal rows": (EQUAL_PAIR, CONTRADICTING, 3, 10),
    "antipodes": (np.concatenate([ROWS, -ROWS]), np.concatenate([LABELS, LABELS]), 3, 10),
    "many exact ties": (GRID, LABELS, 3, 10),
    "a path with a label at each end": (path(120), ENDS, 2, 2),
    "one label against many": (ROWS, np.where(np.arange(90) < 60, np.arange(90) % 3 != 0, -1) * 1, 2, 10),
    "100 classes": (*clusters(400, 100, 20, 2, 0.2), 100, 5),
}
