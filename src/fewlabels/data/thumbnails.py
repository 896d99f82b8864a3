"""Small PNG pictures of images held as arrays, for pages that show a few of them."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

LONGEST = 64  # pixels
COLOURS = 128  # a palette halves a photo, and a thumbnail looks the same


def thumbnail(pixels: np.ndarray, longest: int = LONGEST) -> bytes:
    """PNG of an image whose longer side is at most `longest`; smaller ones stay as they are. Same pixels, same bytes.

    pixels: (h, w, 1) or (h, w, 3) uint8.
    """
    grey = pixels.shape[2] == 1
    image = Image.fromarray(np.ascontiguousarray(pixels[..., 0] if grey else pixels))
    image.thumbnail((longest, longest), Image.Resampling.BOX)
    kept = image if grey else image.quantize(COLOURS)
    file = io.BytesIO()
    kept.save(file, "PNG", optimize=True)
    return file.getvalue()
