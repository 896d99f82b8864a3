"""How photos are described."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from ..data.images.decode import MAX_PIXELS, PixelRange
from ..errors import ConfigError

Precision = Literal["float32", "bfloat16", "float16"]
PRECISIONS: tuple[str, ...] = get_args(Precision)


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
    max_pixels: int = MAX_PIXELS
    pixel_range: PixelRange | None = None

    def __post_init__(self) -> None:
        if self.precision not in PRECISIONS:
            raise ConfigError("C1", f"precision is {self.precision!r}, expected {', '.join(PRECISIONS)}")
