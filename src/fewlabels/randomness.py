"""Randomness by counter: every draw is a function of the seed and of what it is for, never of what was drawn before.

So a run needs no generator state to resume, and results do not depend on the number of workers.
"""

from __future__ import annotations

import zlib

import numpy as np


def generator(seed: int, purpose: str, *counters: int) -> np.random.Generator:
    """A generator of its own for each (seed, purpose, counters), such as (0, "augment", phase, epoch, step).

    Philox, so the same draws on every machine and NumPy version that keeps the stream (NEP 19 promises it for bits).
    """
    key = np.random.SeedSequence([seed, zlib.crc32(purpose.encode()), *counters])
    return np.random.Generator(np.random.Philox(key))


def torch_seed(seed: int, purpose: str, *counters: int) -> int:
    """A 63-bit seed for a torch generator, from the same counters."""
    return int(generator(seed, purpose, *counters).integers(2**63))
