"""Photos of stripes, their labels, and runs on a tiny backbone: for tests of what follows after training."""

import warnings

import numpy as np
from PIL import Image

import fewlabels

TINY = "module:tests.commands.tiny_backbone:make"
SHORT = {"backbone": TINY, "scale": 0.1, "n_neighbors": 5, "device": "cpu", "quiet": True}
NAMES = ("across", "down", "plain")


def stripes(number: int, side: int = 8) -> np.ndarray:
    """(side, side, 3) uint8: stripes across, down or none, with noise."""
    rng = np.random.default_rng(number)
    pixels = rng.integers(0, 70, (8, 8, 3)).astype(np.uint8)
    if number % 3 == 0:
        pixels[::2] += 150
    if number % 3 == 1:
        pixels[:, ::2] += 150
    return np.repeat(np.repeat(pixels, side // 8, axis=0), side // 8, axis=1)


def write_photos(folder, numbers, side=8):
    folder.mkdir(parents=True, exist_ok=True)
    for number in numbers:
        Image.fromarray(stripes(number, side)).save(folder / f"{number:03}.png")


def write_labels(path, numbers):
    path.write_text("id,label\n" + "".join(f"{number:03}.png,{NAMES[number % 3]}\n" for number in numbers))


def train_tiny(folder, out, num_labels):
    """A run on 60 photos in folder/photos, made in the working folder."""
    if not (folder / "photos").exists():
        write_photos(folder / "photos", range(60))
    write_labels(folder / f"{out}.csv", range(num_labels))
    with warnings.catch_warnings():  # of one label for each class is warned
        warnings.simplefilter("ignore", fewlabels.FewlabelsWarning)
        return fewlabels.train("photos", labels=f"{out}.csv", out=out, **SHORT)
