"""How photos are described."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from ..errors import ConfigError

if TYPE_CHECKING:
    from ..data.images.decode import PixelRange

Precision = Literal["float32", "bfloat16", "float16"]
PRECISIONS: tuple[str, ...] = get_args(Precision)


@dataclass(frozen=True, kw_only=True)
class Descriptors:
    """What became of photos.

    values: (n, d) float32, a row for each photo that could be used, in order; ids: n texts; labels: n class names, None
    for a photo without one, as folders, a metadata file or the label column say.
    rejected: (id, reason) of each photo that was left out. facts: the model, its weights and all else that decides.
    """

    values: np.ndarray
    ids: Sequence[str]
    labels: Sequence[str | None]
    rejected: Sequence[tuple[str, str]] = ()
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class DescribeSettings:
    """How photos become descriptors, whatever the network.

    mirror: the mean of the descriptors of the photo and of its mirror image; twice the time.
    precision: of the network's arithmetic; descriptors are float32 in any case. device: as torch names it.
    accept_truncated, max_pixels, pixel_range: as in read_images; pixel_range None is all 16 bits.
    Raises ConfigError (C1) for another precision.
    """

    mirror: bool = False
    precision: Precision = "float32"
    device: str = "cpu"
    accept_truncated: bool = False
    max_pixels: int = 64_000_000
    pixel_range: PixelRange | None = None

    def __post_init__(self) -> None:
        if self.precision not in PRECISIONS:
            raise ConfigError("C1", f"precision is {self.precision!r}, expected {', '.join(PRECISIONS)}")
