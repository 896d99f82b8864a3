"""What changes from step to step, as numbers: learning rate, consistency weight, EMA decay."""

from __future__ import annotations

import math

from .settings import Consistency, Optimization, Phase


def cosine(progress: float, stretch: float) -> float:
    """Share of the first learning rate at `progress` in [0, 1) of a phase: half a cosine, cut at 1 / stretch of it.

    With the released code's stretch of 210 / 180 the last share is 0.0495 (helpers.py:302-316).
    """
    return 0.5 * (1 + math.cos(math.pi * progress / stretch))


def ramp_up(epoch: float, length: float) -> float:
    """exp(-5 (1 - epoch / length)^2), and 1 from `length` on. Released code ramps.py:19-26; Laine and Aila."""
    return 1.0 if epoch >= length else math.exp(-5 * (1 - epoch / length) ** 2)


def ramp_down(epoch: float, epochs: int, length: float) -> float:
    """exp(-12.5 (part of the last `length` of `epochs` that is over)^2); 1 before. Laine and Aila."""
    return math.exp(-12.5 * (max(0.0, epoch - (epochs - length)) / length) ** 2) if length else 1.0


def learning_rate(phase: Phase, settings: Optimization, epoch: float) -> float:
    """At the fractional epoch, such as 3.5 in the middle of the fourth."""
    if settings.schedule == "cosine":
        return phase.learning_rate * cosine(epoch / phase.epochs, settings.cosine_stretch)
    up = ramp_up(epoch, settings.rampup_epochs)
    return phase.learning_rate * up * ramp_down(epoch, phase.epochs, settings.rampdown_epochs)


def adam_beta1(phase: Phase, settings: Optimization, epoch: float) -> float:
    """From `momentum` down to 0.5 as the learning rate ramps down; constant with a cosine. Laine and Aila."""
    if settings.schedule == "cosine":
        return settings.momentum
    down = ramp_down(epoch, phase.epochs, settings.rampdown_epochs)
    return down * settings.momentum + (1 - down) * 0.5


def consistency_weight(settings: Consistency, epoch: int) -> float:
    """At the whole epoch: 0.674, 4.076, 16.53, 44.93, 81.87, 100, ... for weight 100 and a ramp of 5 epochs.

    The released code takes whole epochs (helpers.py:319-321), so it is constant within one.
    """
    return settings.weight * ramp_up(epoch, settings.rampup_epochs)


def ema_keep(step: int, decay: float) -> float:
    """Share of the old teacher that stays in step 1, 2, ...: min(1 - 1 / (step + 1), decay). helpers.py:108-112."""
    return min(1 - 1 / (step + 1), decay)
