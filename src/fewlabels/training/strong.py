"""Strong views of whole batches of images, on the device that holds them: RandAugment's operations, then CutOut.

Cubuk and others, 2020; DeVries and Taylor, 2017; strengths as in FixMatch (Sohn and others, 2020, table 12), uniform
between two bounds. An image gets some operations, all different; those that it got are done in the order of OPERATIONS.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F

from .settings import StrongAugment

# What the strength of each says, its bounds, and the one that changes nothing. Factors and shares; rotate in degrees.
OPERATIONS = {
    "identity": (0.0, 0.0, 0.0),
    "autocontrast": (1.0, 1.0, 0.0),  # share of the image that is replaced by its full range
    "brightness": (0.05, 0.95, 1.0),  # towards black
    "color": (0.05, 0.95, 1.0),  # towards grey
    "contrast": (0.05, 0.95, 1.0),  # towards the image's mean
    "sharpness": (0.05, 0.95, 1.0),  # towards a smoothed image
    "posterize": (4.0, 8.0, 8.0),  # bits that are kept, a whole number
    "solarize": (0.0, 1.0, 1.01),  # share of 256 from which pixels are inverted
    "rotate": (-30.0, 30.0, 0.0),
    "shear_x": (-0.3, 0.3, 0.0),
    "shear_y": (-0.3, 0.3, 0.0),
    "translate_x": (-0.3, 0.3, 0.0),
    "translate_y": (-0.3, 0.3, 0.0),
}
TONES = ("autocontrast", "brightness", "color", "contrast", "sharpness", "posterize", "solarize")
GREY = 127.0  # that the square is filled with


class StrongChanges(NamedTuple):
    """Drawn for each image. Leading dimensions, such as (steps, batch), are those of the images drawn for.

    tones: (..., 7) float32, strengths of TONES. affine: (..., 2, 3) float32 for augment.warp.
    hole: (..., 4) float32, top, bottom, left and right of the grey square, as shares of the image's sides.
    """

    tones: torch.Tensor
    affine: torch.Tensor
    hole: torch.Tensor


def draw_strong(settings: StrongAugment, rng: np.random.Generator, shape: tuple[int, ...]) -> StrongChanges:
    """Draw strong changes for each of `shape` images, on the CPU: the same for every device."""
    low, high, neutral = np.array(list(OPERATIONS.values())).T
    order = rng.random((*shape, len(OPERATIONS))).argsort(axis=-1)
    chosen = order.argsort(axis=-1) < settings.operations
    strength = np.where(chosen, rng.uniform(low, high, chosen.shape), neutral)
    of = dict(zip(OPERATIONS, np.moveaxis(strength, -1, 0), strict=True))
    of["posterize"] = np.rint(of["posterize"])
    centre = rng.random((*shape, 2))
    hole = np.stack([centre - settings.cutout / 2, centre + settings.cutout / 2], -1).reshape(*shape, 4)
    return StrongChanges(
        torch.from_numpy(np.stack([of[name] for name in TONES], -1).astype(np.float32)),
        torch.from_numpy(_make_affine(of)),
        torch.from_numpy(hole.astype(np.float32)),
    )


def _make_affine(of: dict[str, np.ndarray]) -> np.ndarray:
    """(..., 2, 3) float32: a turn, then a shear, then a shift; a whole side is 2 in the coordinates of warp."""
    angle = np.deg2rad(of["rotate"])
    cos, sin = np.cos(angle), np.sin(angle)
    x, y = of["shear_x"], of["shear_y"]
    across = (cos - sin * y, cos * x - sin, 2 * of["translate_x"])
    down = (sin + cos * y, sin * x + cos, 2 * of["translate_y"])
    return np.stack([np.stack(across, -1), np.stack(down, -1)], -2).astype(np.float32)


def change_tones(images: torch.Tensor, tones: torch.Tensor) -> torch.Tensor:
    """Tones of each image changed as drawn. images: (b, c, h, w) float32 in [0, 255]. tones: (b, 7), see OPERATIONS."""
    each = dict(zip(TONES, tones.T[:, :, None, None, None], strict=True))
    images = images.contiguous()
    low, high = images.amin(dim=(2, 3), keepdim=True), images.amax(dim=(2, 3), keepdim=True)
    full = torch.where(high > low, (images - low) * (255 / (high - low).clamp_min(1e-6)), images)
    changed = torch.lerp(images, full, each["autocontrast"]) * each["brightness"]
    grey = changed.mean(dim=1, keepdim=True)
    changed = torch.lerp(grey, changed, each["color"])
    changed = torch.lerp(grey.mean(dim=(2, 3), keepdim=True), changed, each["contrast"])
    changed = torch.lerp((_sum_around(changed) + 4 * changed) / 13, changed, each["sharpness"])  # the middle: 5 of 13
    step = torch.exp2(8 - each["posterize"])
    changed = torch.where(step > 1, (changed / step).floor() * step, changed)
    return torch.where(changed >= 256 * each["solarize"], 255 - changed, changed)


def _sum_around(images: torch.Tensor) -> torch.Tensor:
    """Sum of the 3 x 3 pixels around each; those beyond the border are the border's. By slices: pooling is slower."""
    wide = F.pad(images, (1, 1, 1, 1), mode="replicate")
    rows = wide[:, :, :-2] + wide[:, :, 1:-1] + wide[:, :, 2:]
    return rows[..., :-2] + rows[..., 1:-1] + rows[..., 2:]


def cut_out(images: torch.Tensor, hole: torch.Tensor) -> torch.Tensor:
    """Grey square over each image, as far as it lies inside. images: (b, c, h, w). hole: (b, 4), see StrongChanges."""
    height, width = images.shape[2:]
    row = (torch.arange(height, device=images.device) + 0.5) / height
    column = (torch.arange(width, device=images.device) + 0.5) / width
    top, bottom, left, right = hole.T[:, :, None]
    inside = ((row >= top) & (row < bottom))[:, :, None] & ((column >= left) & (column < right))[:, None, :]
    return torch.where(inside[:, None], GREY, images)
