"""Random changes to whole batches of images, or of descriptors of their views, on the device that holds them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from .settings import AugmentSettings
from .strong import StrongChanges, change_tones, cut_out


@dataclass(frozen=True)
class Changes:
    """Random changes that were drawn for each image; None for a kind that never happens.

    Leading dimensions, such as (steps, batch), are those of the images drawn for.
    affine: (..., 2, 3) float32, from positions in the changed image to positions in the original, both in [-1, 1].
    offset: (..., 2) int64, pixels moved down and right. mirrored: (...) bool, left and right exchanged.
    pad, sampling: as in AugmentSettings, the same for all. strong: what comes after all that.
    """

    affine: torch.Tensor | None = None
    offset: torch.Tensor | None = None
    mirrored: torch.Tensor | None = None
    pad: str = "reflect"
    sampling: str = "bilinear"
    strong: StrongChanges | None = None

    def tensors(self) -> list[torch.Tensor]:
        mine = [part for part in (self.affine, self.offset, self.mirrored) if part is not None]
        return mine if self.strong is None else [*mine, *self.strong]

    def map(self, change: Callable[[torch.Tensor], torch.Tensor]) -> Changes:
        """The same with each tensor replaced by `change` of it."""
        affine, offset, mirrored = (
            None if value is None else change(value) for value in (self.affine, self.offset, self.mirrored)
        )
        strong = None if self.strong is None else StrongChanges(*map(change, self.strong))
        return Changes(affine, offset, mirrored, self.pad, self.sampling, strong)

    def to(self, device: torch.device) -> Changes:
        return self.map(lambda part: part.to(device))

    def select(self, index: torch.Tensor) -> Changes:
        """The changes at one index of the first dimension. index: (1,) int64 on the same device."""
        return self.map(lambda part: part.index_select(0, index)[0])


def draw_changes(settings: AugmentSettings, rng: np.random.Generator, shape: tuple[int, ...]) -> Changes:
    """Draw changes for each of `shape` images, such as (steps, batch), on the CPU: the same for every device."""
    affine = offset = mirrored = None
    if settings.rotate or settings.stretch:
        angle = np.deg2rad(rng.uniform(-settings.rotate, settings.rotate, shape))
        scale = 1 + rng.uniform(-settings.stretch, settings.stretch, (*shape, 2))
        affine = torch.from_numpy(make_affine(angle, scale))
    if settings.translate:
        offset = torch.from_numpy(rng.integers(-settings.translate, settings.translate + 1, (*shape, 2)))
    if settings.flip:
        mirrored = torch.from_numpy(rng.random(shape) < 0.5)
    return Changes(affine, offset, mirrored, settings.pad, settings.sampling)


def augment(images: torch.Tensor, changes: Changes) -> torch.Tensor:
    """Apply the changes to a copy of each image.

    images: (b, h, w, c) uint8 -> (b, c, h, w) float32 in [0, 255], channels last; or (b, views, d) float32, descriptors
    by a trunk that is not trained -> (b, d), see `pick_view`.
    changes: of b images, on the device of the images.
    """
    if images.dim() == 3:
        return pick_view(images, changes.mirrored)
    changed = images
    if changes.affine is not None:
        pixels = images.permute(0, 3, 1, 2).float()
        changed = warp(pixels, changes.affine, changes.pad, changes.sampling).permute(0, 2, 3, 1)
    if changes.offset is not None:
        changed = shift(changed, changes.offset, changes.pad, changes.mirrored)
    elif changes.mirrored is not None:
        changed = torch.where(changes.mirrored[:, None, None, None], changed.flip(2), changed)
    seen = changed.permute(0, 3, 1, 2).float()
    return seen if changes.strong is None else change_strongly(seen, changes.strong, changes.pad)


def change_strongly(images: torch.Tensor, strong: StrongChanges, pad: str) -> torch.Tensor:
    """The strong view of each image: other tones, turned, sheared and moved, a square cut out. (b, c, h, w) float32."""
    turned = warp(change_tones(images, strong.tones), strong.affine, pad)
    return cut_out(turned, strong.hole).contiguous(memory_format=torch.channels_last)


def pick_view(rows: torch.Tensor, mirrored: torch.Tensor | None) -> torch.Tensor:
    """One view of each image: the last, its mirror image, where mirrored (b,), else the first; None: their mean.

    rows: (b, views, d) descriptors of an image, and of its mirror image where there are two views -> (b, d).
    """
    if mirrored is None:
        return rows.mean(dim=1)
    return torch.where(mirrored[:, None], rows[:, -1], rows[:, 0])


def shift(
    images: torch.Tensor, offset: torch.Tensor, pad: str = "reflect", mirrored: torch.Tensor | None = None
) -> torch.Tensor:
    """Move image i by offset[i] = (down, right) pixels, then exchange its left and right where mirrored[i].

    pad: what comes in: the image mirrored, its border pixel not repeated ("reflect"), or zeros.
    images: (b, h, w, c). offset: (b, 2) integers, each smaller in size than the image. mirrored: (b,) bool.
    Released code mean_teacher/data.py:26-70.
    """
    count, height, width, channels = images.shape
    down, right = offset.T[:, :, None]
    columns = torch.arange(width, device=images.device)[None]
    if mirrored is not None:
        columns = torch.where(mirrored[:, None], width - 1 - columns, columns)
    rows, columns = torch.arange(height, device=images.device) - down, columns - right
    row, column = _fold_back(rows, height), _fold_back(columns, width)
    each = torch.arange(count, device=images.device)[:, None, None]
    pixel = (each * height + row[:, :, None]) * width + column[:, None, :]
    # One list of pixels is a third of the time of images[each, row, column], which looks up three.
    moved = images.reshape(-1, channels).index_select(0, pixel.view(-1)).view(images.shape)
    if pad == "zeros":
        moved = moved * ((rows == row)[:, :, None] & (columns == column)[:, None, :])[..., None]
    return moved


def _fold_back(position: torch.Tensor, size: int) -> torch.Tensor:
    """Positions folded back into 0 .. size - 1 at the centre of the border pixels: -1 -> 1, size -> size - 2."""
    return (size - 1) - (size - 1 - position.abs()).abs()


def make_affine(angle: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """(..., 2, 3) float32 matrices for `warp`: a turn by angle radians, and a stretch by scale (..., 2) = (height,
    width), about the centre.
    """
    cos, sin = np.cos(angle), np.sin(angle)
    height, width = scale[..., 0], scale[..., 1]
    zero = np.zeros_like(cos)
    rows = (np.stack([cos / width, -sin / width, zero], -1), np.stack([sin / height, cos / height, zero], -1))
    return np.stack(rows, -2).astype(np.float32)


def warp(images: torch.Tensor, affine: torch.Tensor, pad: str = "reflect", sampling: str = "bilinear") -> torch.Tensor:
    """Look up image i at affine[i] of every position; a position outside of it becomes its border, or zero for "zeros".

    sampling: "bilinear" or "nearest". images: (b, c, h, w) float32. affine: (b, 2, 3) float32.
    """
    grid = F.affine_grid(affine, list(images.shape), align_corners=False)
    outside = "zeros" if pad == "zeros" else "border"
    return F.grid_sample(images, grid, mode=sampling, padding_mode=outside, align_corners=False)
