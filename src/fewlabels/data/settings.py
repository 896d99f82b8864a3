"""How training images are changed at random. Values only: nothing here needs torch."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from ..errors import ConfigError


@dataclass(frozen=True)
class AugmentSettings:
    """translate: largest shift in pixels along each axis. flip: mirror half of the images.

    rotate: largest angle in degrees. stretch: largest relative change of width and height, each drawn apart.
    pad: what comes in from outside: "reflect" mirrors the image for a shift and repeats its border for a turn,
    "zeros" is black for both. sampling: of a turn, between pixels ("bilinear") or of the nearest one.
    Defaults: the paper's CIFAR augmentation (released code datasets.py:25-39).
    """

    translate: int = 4
    flip: bool = True
    rotate: float = 0.0
    stretch: float = 0.0
    pad: Literal["reflect", "zeros"] = "reflect"
    sampling: Literal["bilinear", "nearest"] = "bilinear"

    def __post_init__(self) -> None:
        sizes = (self.translate, self.rotate)
        if not all(0 <= size < math.inf for size in sizes) or not 0 <= self.stretch < 1:
            raise ConfigError(
                "C22",
                f"translate and rotate are {sizes}, stretch is {self.stretch!r}: expected finite numbers from 0 up, "
                "and a share below 1",
            )
        if self.pad not in ("reflect", "zeros") or self.sampling not in ("bilinear", "nearest"):
            what = f"pad is {self.pad!r}, sampling is {self.sampling!r}"
            raise ConfigError("C22", f"{what}: expected 'reflect' or 'zeros', 'bilinear' or 'nearest'")
