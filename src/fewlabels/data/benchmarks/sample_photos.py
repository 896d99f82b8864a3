"""The two photos that scikit-learn carries, cut into sixteen: real pixels, no download."""

from __future__ import annotations

import numpy as np

SIDE = 213


def load_sample_photos() -> list[np.ndarray]:
    """Sixteen photos, each (213, 213, 3) uint8: parts of a temple and of a flower that overlap."""
    from sklearn.datasets import load_sample_images  # over a second to import

    return [
        image[top : top + SIDE, left : left + SIDE]
        for image in load_sample_images().images
        for top in (0, 214)
        for left in (0, 142, 284, 427)
    ]
