"""The two photos that scikit-learn carries, in parts: real pixels, no download."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

SIDE = 213
SAMPLE_NAMES = ("temple", "flower")


def load_sample_photos() -> list[np.ndarray]:
    """Sixteen photos, each (213, 213, 3) uint8: parts of a temple and of a flower that overlap."""
    return [
        image[top : top + SIDE, left : left + SIDE]
        for image in _load_both()
        for top in (0, 214)
        for left in (0, 142, 284, 427)
    ]


def cut_sample_photos(
    each: int, across: tuple[float, float], rng: np.random.Generator
) -> list[tuple[str, NDArray[np.uint8]]]:
    """`each` squares of either photo at random places, 100 to 200 pixels wide, with the name of what it shows.

    across: share of the photo's width that they are cut from, so that others can be of parts that these do not show.
    """
    found = []
    for name, image in zip(SAMPLE_NAMES, _load_both(), strict=True):
        height, width = image.shape[:2]
        left, right = (round(width * share) for share in across)
        for side in rng.integers(100, 201, each).tolist():
            at, top = int(rng.integers(left, right - side + 1)), int(rng.integers(0, height - side + 1))
            found.append((name, image[top : top + side, at : at + side]))
    return found


def _load_both() -> list[NDArray[np.uint8]]:
    from sklearn.datasets import load_sample_images  # over a second to import

    images: list[NDArray[np.uint8]] = load_sample_images().images
    return images
