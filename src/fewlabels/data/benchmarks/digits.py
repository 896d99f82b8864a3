"""The handwritten digits that scikit-learn carries: 1,797 real images, no download."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...randomness import generator

NUM_TEST = 450
SIDE = 16


@dataclass(frozen=True)
class Digits:
    """pixels: (1347, 16, 16, 1) uint8. truth: (1347,) int64. test_pixels, test_truth: the same for 450 others.

    ids: number of each training image in scikit-learn's order, as text. class_names: "0" to "9".
    """

    pixels: np.ndarray
    truth: np.ndarray
    ids: list[str]
    test_pixels: np.ndarray
    test_truth: np.ndarray
    class_names: list[str]


def load_digits() -> Digits:
    """The digits, split once and for all into 1,347 images to train on and 450 to test on.

    The split is random, the same for every seed of a run: neighbours in the original order are often by one writer.
    Grey levels 0 to 16 are spread over 0 to 255, and the 8 x 8 pixels enlarged to 16 x 16: rotations and shifts then
    blur them less.
    """
    from PIL import Image
    from sklearn.datasets import load_digits as bundled  # over a second to import, and only the demo needs it

    grey, truth = bundled(return_X_y=True)
    small = np.round(grey.reshape(-1, 8, 8) * (255 / 16)).astype(np.uint8)
    enlarged = [Image.fromarray(image).resize((SIDE, SIDE), Image.Resampling.BICUBIC) for image in small]
    pixels = np.stack([np.asarray(image) for image in enlarged])[..., None]
    order = generator(0, "digits test split").permutation(len(pixels))
    test, train = np.sort(order[:NUM_TEST]), np.sort(order[NUM_TEST:])
    return Digits(
        pixels[train],
        truth[train].astype(np.int64),
        [str(row) for row in train],
        pixels[test],
        truth[test].astype(np.int64),
        [str(digit) for digit in range(10)],
    )
