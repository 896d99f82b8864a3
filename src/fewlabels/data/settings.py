"""How training images are changed at random. Values only: nothing here needs torch."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ..errors import ConfigError


@dataclass(frozen=True)
class AugmentSettings:
    """translate: largest shift in pixels along each axis, the border mirrored. flip: mirror left-right half of the time.

    rotate: largest angle in degrees. stretch: largest relative change of width and height, each drawn apart.
    erase: side in pixels of a square that is painted over with the image's mean, at a random place.
    Defaults: the paper's CIFAR augmentation (released code datasets.py:25-39).
    """

    translate: int = 4
    flip: bool = True
    rotate: float = 0.0
    stretch: float = 0.0
    erase: int = 0

    def __post_init__(self) -> None:
        if self.translate < 0 or self.erase < 0 or not 0 <= self.rotate < math.inf or not 0 <= self.stretch < 1:
            raise ConfigError(
                "C22",
                f"translate {self.translate!r}, erase {self.erase!r}, rotate {self.rotate!r}, stretch {self.stretch!r}: "
                "expected pixels and degrees from 0 up, and a share below 1",
            )
