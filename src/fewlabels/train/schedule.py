"""The learning rate at each step."""

from __future__ import annotations

import math


def cosine(progress: float, stretch: float) -> float:
    """Share of the first learning rate at `progress` in [0, 1) of a phase: half a cosine, cut at 1 / stretch of it.

    With the released code's stretch of 210 / 180 the last share is 0.0495 (helpers.py:302-316).
    """
    return 0.5 * (1 + math.cos(math.pi * progress / stretch))
