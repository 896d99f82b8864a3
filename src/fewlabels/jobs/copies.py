"""Images that are there twice: with different labels, or in training and in test."""

from __future__ import annotations

import hashlib
import warnings
from collections import defaultdict

import numpy as np

from ..conventions import UNLABELED
from ..errors import InputWarning, listed
from .task import Task


def warn_of_copies(task: Task) -> None:
    """Warn (I21) of equal images with different labels, and of test images that are among the training images."""
    alike: dict[bytes, list[int]] = defaultdict(list)
    for row, digest in enumerate(_digests(task.pixels)):
        alike[digest].append(row)
    contradicting = []
    for rows in alike.values():
        given = [row for row in rows if task.labels[row] != UNLABELED] if len(rows) > 1 else []
        if len({task.labels[row] for row in given}) > 1:
            names = (f"{task.ids[row]} {task.class_names[task.labels[row]]!r}" for row in given[:3])
            contradicting.append(" and ".join(names))
    if contradicting:
        _warn(f"equal images with different labels: {listed(contradicting)}")
    if task.test_pixels is not None and (known := sum(digest in alike for digest in _digests(task.test_pixels))):
        _warn(f"{known} of {task.num_test} test images are among the training images: their error says too little")


def _digests(pixels: np.ndarray) -> list[bytes]:
    return [hashlib.blake2b(image.tobytes(), digest_size=16).digest() for image in pixels]


def _warn(what: str) -> None:
    warnings.warn(InputWarning(f"FL-I21 {what}"), stacklevel=4)
