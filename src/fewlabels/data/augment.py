"""Random changes to whole batches of images, on the device that holds them."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F

from .settings import AugmentSettings


def augment(images: torch.Tensor, settings: AugmentSettings, rng: np.random.Generator) -> torch.Tensor:
    """A changed copy of each image. images: (b, c, h, w) uint8 -> (b, c, h, w) float32 in [0, 255].

    Every image gets its own draw, in a fixed order from `rng`, so the result is the same on every device.
    """
    changed = images.float()
    b = images.shape[0]
    if settings.rotate or settings.stretch:
        angle = np.deg2rad(rng.uniform(-settings.rotate, settings.rotate, b))
        scale = 1 + rng.uniform(-settings.stretch, settings.stretch, (b, 2))
        changed = warp(changed, angle, scale)
    if settings.translate:
        changed = shift(changed, rng.integers(-settings.translate, settings.translate + 1, (b, 2)))
    if settings.flip:
        mirrored = torch.from_numpy(rng.random(b) < 0.5).to(images.device)
        changed = torch.where(mirrored[:, None, None, None], changed.flip(3), changed)
    return changed


def shift(images: torch.Tensor, offsets: np.ndarray) -> torch.Tensor:
    """Move image i by offsets[i] = (down, right) pixels; what comes in is mirrored, the border pixel not repeated.

    images: (b, c, h, w). offsets: (b, 2) integers, each smaller in size than the image.
    """
    down, right = torch.from_numpy(offsets).to(images.device).T[:, :, None]
    rows = _mirrored(torch.arange(images.shape[2], device=images.device) - down, images.shape[2])
    columns = _mirrored(torch.arange(images.shape[3], device=images.device) - right, images.shape[3])
    each = torch.arange(images.shape[0], device=images.device)[:, None, None]
    return images.permute(0, 2, 3, 1)[each, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def _mirrored(position: torch.Tensor, size: int) -> torch.Tensor:
    """Positions folded back into 0 .. size - 1 at the centre of the border pixels: -1 -> 1, size -> size - 2."""
    return (size - 1) - (size - 1 - position.abs()).abs()


def warp(images: torch.Tensor, angle: np.ndarray, scale: np.ndarray) -> torch.Tensor:
    """Rotate image i by angle[i] radians and stretch it by scale[i] = (height, width), about its centre, bilinearly.

    Outside of the image its border is repeated.
    """
    cos, sin = np.cos(angle), np.sin(angle)
    zero = np.zeros_like(cos)
    matrix = np.array([[cos / scale[:, 1], -sin / scale[:, 1], zero], [sin / scale[:, 0], cos / scale[:, 0], zero]])
    theta = torch.from_numpy(np.ascontiguousarray(matrix.transpose(2, 0, 1), np.float32)).to(images.device)
    grid = F.affine_grid(theta, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, padding_mode="border", align_corners=False)
