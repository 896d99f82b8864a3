"""BLAS on one thread, while this package shares work out among threads of its own.

OpenBLAS's threads wait by spinning, so that small products take up to twice the processor time and no less on the
clock; and the way it splits a product changes the last bits with the number of threads.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from threadpoolctl import ThreadpoolController


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Within it BLAS uses one thread; afterwards as many as before.

    OpenBLAS has one number for the whole process. Of several threads that ask at once the first decides, until it
    leaves (threadpoolctl); the others' answers are then the same but for their last bits. So are those of a BLAS that
    threadpoolctl does not know, such as Accelerate.
    """
    with find_libraries().limit(limits=1):
        yield


@cache
def find_libraries() -> ThreadpoolController:
    """Every BLAS that NumPy and SciPy brought into this process."""
    import scipy.linalg  # loads SciPy's own  # noqa: F401
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController().select(user_api="blas")
