"""Small data whose classes are known."""

import numpy as np


def make_blobs(num_rows=300, num_classes=3, width=8, spread=0.35, seed=0, shares=None):
    """Rows around one direction a class, and their classes."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(num_classes, width))
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    classes = rng.choice(num_classes, num_rows, p=shares)
    rows = centres[classes] + spread * rng.normal(size=(num_rows, width))
    return rows.astype(np.float32), classes


def make_rings(num_rows=400, seed=0):
    """Two interlocked half circles in 12 numbers: a graph follows them, a linear head cannot."""
    rng = np.random.default_rng(seed)
    classes = np.arange(num_rows) % 2
    angle = rng.uniform(0, np.pi, num_rows)
    flat = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    flat[classes == 1] = np.array([1.0, 0.5]) - flat[classes == 1]
    rows = np.zeros((num_rows, 12))
    rows[:, :2] = flat + 0.05 * rng.normal(size=(num_rows, 2))
    rows[:, 2] = 1.0
    return rows.astype(np.float32), classes


def keep_labels(classes, per_class, seed=0):
    """The labels of per_class random rows of each class, -1 elsewhere."""
    rng, labels = np.random.default_rng(seed), np.full(classes.size, -1)
    for number in np.unique(classes):
        rows = rng.permutation(np.flatnonzero(classes == number))[:per_class]
        labels[rows] = number
    return labels
