"""How far certainty can be trusted, and which classes are taken for which: only where the truth is known."""

from __future__ import annotations

from typing import Any

import numpy as np

BINS = 10
MOST_CLASSES = 100  # with a whole matrix; more have their most confused pairs only
MOST_PAIRS = 30


def auroc(certainty: np.ndarray, right: np.ndarray) -> float | None:
    """How often a right row is more certain than a wrong one, ties counting half; None if all are right or all wrong.

    certainty: (m,) float. right: (m,) bool.
    """
    wrong = np.sort(certainty[~right])
    good = certainty[right]
    if not wrong.size or not good.size:
        return None
    below, up_to = np.searchsorted(wrong, good, "left"), np.searchsorted(wrong, good, "right")
    return float((below + up_to).sum() / (2 * wrong.size * good.size))


def bin_by_certainty(certainty: np.ndarray, right: np.ndarray) -> dict[str, Any] | None:
    """Share of right rows in each of ten bins of certainty, AUROC and ECE; None for no rows.

    ECE is the mean distance of a bin's certainty from its share of right ones, weighted by its rows.
    """
    if not certainty.size:
        return None
    edges = np.linspace(0, 1, BINS + 1)
    bin_of = np.clip(np.searchsorted(edges, certainty, "right") - 1, 0, BINS - 1)
    count = np.bincount(bin_of, minlength=BINS)
    good = np.bincount(bin_of, right, BINS)
    total = np.bincount(bin_of, certainty, BINS)
    held = np.maximum(count, 1)
    return {
        "num_rows": int(certainty.size),
        "edges": edges.round(6).tolist(),
        "count": count.tolist(),
        "right": [float(share) if some else None for share, some in zip(good / held, count, strict=True)],
        "certainty": [float(share) if some else None for share, some in zip(total / held, count, strict=True)],
        "auroc": auroc(certainty, right),
        "ece": float(np.abs(good - total).sum() / certainty.size),
    }


def count_confusions(label: np.ndarray, truth: np.ndarray, num_classes: int) -> dict[str, Any] | None:
    """How often rows of each true class got which pseudo-label; None for no rows.

    label: (m,) int64, -1 for none. truth: (m,) int64 from 0 up.
    counts: num_classes rows of num_classes + 1 numbers, the last for no label; None for more than 100 classes.
    pairs: [truth, label, rows], the most frequent mistakes first, 30 at most.
    """
    if not label.size:
        return None
    said = np.where(label < 0, num_classes, label)
    code, number = np.unique(truth * (num_classes + 1) + said, return_counts=True)
    true, taken = np.divmod(code, num_classes + 1)
    counts = None
    if num_classes <= MOST_CLASSES:
        matrix = np.zeros((num_classes, num_classes + 1), np.int64)
        matrix[true, taken] = number
        counts = matrix.tolist()
    wrong = np.flatnonzero(true != taken)
    first = wrong[np.argsort(-number[wrong], kind="stable")][:MOST_PAIRS]
    pairs = [
        [int(true[at]), -1 if taken[at] == num_classes else int(taken[at]), int(number[at])] for at in first.tolist()
    ]
    return {"num_rows": int(label.size), "num_wrong": int((label != truth).sum()), "counts": counts, "pairs": pairs}
