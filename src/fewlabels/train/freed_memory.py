"""What the C library does with memory that is freed."""

from __future__ import annotations

import ctypes
import os

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # malloc.h of glibc
LARGEST = 32 << 20  # bytes; glibc takes no more. Larger blocks come from the system each time.
KEPT = 1 << 30  # bytes


def keep_freed_memory() -> bool:
    """Let this process keep up to 1 GiB of what it frees, for good; whether that was done.

    Every step takes the same large tensors and frees them. Given back to the system, they come as fresh pages, which
    the system has to clear: about a twentieth of a step on a CPU. Nothing is done without glibc, or where the
    environment says how memory is to be handled.
    """
    if "GLIBC_TUNABLES" in os.environ or any(name.startswith("MALLOC_") for name in os.environ):
        return False
    try:
        tune = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # another C library
        return False
    # The second alone would have every block of 128 KiB taken from the system.
    return bool(tune(M_MMAP_THRESHOLD, LARGEST)) and bool(tune(M_TRIM_THRESHOLD, KEPT))
