"""Descriptors on a plane: some rows, by t-SNE where scikit-learn is there, else by their principal components."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Literal, NamedTuple

import numpy as np

from ..conventions import UNLABELED
from ..randomness import generator

MOST_ROWS = 1500
MOST_LABELLED = 500  # of these
TSNE_FROM = 200  # rows: a plane of fewer shows as much by principal components, at once
COMPONENTS = 30  # what t-SNE sees
PERPLEXITY, ROUNDS = 30.0, 500


class Plane(NamedTuple):
    """Some rows on a plane. rows: (m,) int64 ascending. places: (m, 2) float32. method: how they got there."""

    rows: np.ndarray
    places: np.ndarray
    method: Literal["t-SNE", "PCA"]


def place_rows(descriptors: np.ndarray, labels: np.ndarray, *, by_cosine: bool) -> Plane:
    """Up to 1,500 rows on a plane, labelled ones first. The same descriptors give the same places.

    descriptors: (n, d); only the rows shown are read, and those with NaN or infinity count as zeros. labels: (n,) -1
    where unlabelled. by_cosine: whether the length of a descriptor counts for nothing.
    """
    rows = _sample(labels)
    x = np.array(descriptors[rows], np.float64)
    x[~np.isfinite(x).all(axis=1)] = 0
    if by_cosine:
        x = x / np.maximum(np.abs(x).max(axis=1, keepdims=True), np.finfo(np.float64).tiny)
        x /= np.maximum(np.linalg.norm(x, axis=1, keepdims=True), np.finfo(np.float64).tiny)
    else:
        x = x / max(float(np.abs(x).max(initial=0)), np.finfo(np.float64).tiny)
    components = find_components(x, COMPONENTS)
    first = components[:, :2]
    if len(rows) >= TSNE_FROM and first[:, 0].std() > 0 and find_spec("sklearn") is not None:
        return Plane(rows, _tsne(components), "t-SNE")
    return Plane(rows, first.astype(np.float32), "PCA")


def _sample(labels: np.ndarray) -> np.ndarray:
    if labels.size <= MOST_ROWS:
        return np.arange(labels.size)
    labelled = np.flatnonzero(labels != UNLABELED)
    draw = generator(0, "map")
    if labelled.size > MOST_LABELLED:
        labelled = draw.choice(labelled, MOST_LABELLED, replace=False)
    others = draw.choice(labels.size, MOST_ROWS, replace=False)  # a few of them may be labelled
    others = others[~np.isin(others, labelled) & (labels[others] == UNLABELED)]
    return np.sort(np.concatenate([labelled, others[: MOST_ROWS - labelled.size]]))


def find_components(x: np.ndarray, count: int) -> np.ndarray:
    """(m, max(2, min(count, d))) the first principal components of (m, d), each with its largest entry positive."""
    x = x - x.mean(axis=0)
    if x.shape[1] <= x.shape[0]:
        found = x @ np.linalg.eigh(x.T @ x)[1][:, ::-1][:, :count]
    else:
        value, vector = np.linalg.eigh(x @ x.T)
        found = (vector * np.sqrt(np.maximum(value, 0)))[:, ::-1][:, :count]
    if found.shape[1] < 2:
        found = np.concatenate([found, np.zeros((len(found), 2 - found.shape[1]))], axis=1)
    largest = found[np.abs(found).argmax(axis=0), np.arange(found.shape[1])]
    return np.asarray(found * np.where(largest < 0, -1, 1))


def _tsne(components: np.ndarray) -> np.ndarray:
    """(m, 2) float32. One thread: the sums of several would be rounded in an order of their own."""
    from sklearn.manifold import TSNE  # a second to import, and only this needs it
    from threadpoolctl import threadpool_limits

    start = (components[:, :2] / components[:, 0].std() * 1e-4).astype(np.float32)  # as scikit-learn's init="pca"
    made = TSNE(2, perplexity=PERPLEXITY, init=start, max_iter=ROUNDS, random_state=0, n_jobs=1)
    with threadpool_limits(1):
        return np.asarray(made.fit_transform(components.astype(np.float32)), np.float32)
