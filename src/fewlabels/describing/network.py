"""A backbone that describes squares of pixels: always in batches of one shape, so that a photo's neighbours in the
batch change no bit of its descriptor.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from copy import deepcopy
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image, features

from ..data.images.decode import Resizing
from ..errors import NumericsError
from .settings import DescribeSettings

if TYPE_CHECKING:
    from ..nets.pretrained import Backbone

GPU_BATCH = 256  # photos
DECODING = 1  # to be raised when a change of the decoding changes pixels: descriptors in the cache are then not used


class Describer:
    """A backbone, ready on its device. describer(squares) gives a row for each square.

    Equal squares give equal bytes, alone or among others: every batch has `batch` squares, the last is filled up. Other
    threads, another processor or another version of torch may give other last bits; `facts` names them.
    """

    def __init__(self, backbone: Backbone, settings: DescribeSettings) -> None:
        self.backbone, self.settings = backbone, settings
        self._device = torch.device(settings.device)
        trunk = backbone.trunk
        if settings.precision != "float32":
            trunk = deepcopy(trunk).to(getattr(torch, settings.precision))
        self._trunk = trunk.to(self._device).eval()
        self.batch = backbone.batch_size if self._device.type == "cpu" else GPU_BATCH
        self.width = backbone.width
        self.size = backbone.preprocessing.size
        self.decoded_size = max(self.size, round(self.size / backbone.preprocessing.crop))
        method = getattr(Image.Resampling, backbone.preprocessing.interpolation.upper())
        self.resizing = Resizing(draft=True, method=int(method))

    def __call__(self, squares: Sequence[np.ndarray]) -> np.ndarray:
        """(k, width) float32 for k squares, each (decoded_size, decoded_size, 3) uint8.

        Raises NumericsError (P30) where a number is not finite, as may be in half precision.
        """
        rows = [self._describe(squares[at : at + self.batch]) for at in range(0, len(squares), self.batch)]
        found = np.concatenate(rows) if rows else np.empty((0, self.width), np.float32)
        if not np.isfinite(found).all():
            what = f"{self.backbone.name} gave NaN or infinity in {self.settings.precision}"
            raise NumericsError("P30", what, do="use --precision float32")
        return found

    def _describe(self, squares: Sequence[np.ndarray]) -> np.ndarray:
        edge = (self.decoded_size - self.size) // 2
        inner = slice(edge, edge + self.size)
        pixels = np.zeros((self.batch, self.size, self.size, 3), np.uint8)
        for at, square in enumerate(squares):
            pixels[at] = square[inner, inner]
        with torch.inference_mode(), _exact(self._device):
            images = torch.from_numpy(pixels).to(self._device).permute(0, 3, 1, 2)
            rows = self._trunk(images).float()
            if self.settings.mirror:
                rows = (rows + self._trunk(images.flip(3)).float()) / 2
        found: np.ndarray = rows[: len(squares)].cpu().numpy()
        return found

    def facts(self) -> dict[str, Any]:
        """All that decides on the bytes of a descriptor besides the photo, for the table and the cache."""
        return {
            "model": self.backbone.name,
            "weights": self.backbone.weights_digest,
            "preprocessing": asdict(self.backbone.preprocessing),
            "mirror": self.settings.mirror,
            "precision": self.settings.precision,
            "decoding": {
                "version": DECODING,
                "accept_truncated": self.settings.accept_truncated,
                "max_pixels": self.settings.max_pixels,
                "pixel_range": self.settings.pixel_range and list(self.settings.pixel_range),
                "libjpeg": features.version("libjpeg_turbo"),
            },
            "machine": {
                "device": self._device_name(),
                "threads": torch.get_num_threads(),
                "torch": torch.__version__,
                "batch": self.batch,
            },
        }

    def _device_name(self) -> str:
        if self._device.type == "cuda":
            return torch.cuda.get_device_name(self._device)
        return f"cpu {torch.backends.cpu.get_cpu_capability()}" if self._device.type == "cpu" else self._device.type


def _exact(device: torch.device) -> AbstractContextManager[object]:
    """On a GPU the same kernels every time, and products of float32 in float32."""
    if device.type != "cuda":
        return nullcontext()
    return torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False)
