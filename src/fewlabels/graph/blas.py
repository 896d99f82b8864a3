"""BLAS on one thread, while this package shares work out among threads of its own.

OpenBLAS's threads wait by spinning, so that small products take up to twice the processor time and no less on the
clock; and the way it splits a product changes the last bits with the number of threads.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from threading import Lock
from typing import NamedTuple

# What OpenBLAS's functions are called in the wheels of NumPy and SciPy, and in those of distributions.
NAMES = [f"{prefix}openblas_{{}}_num_threads{suffix}" for prefix in ("scipy_", "") for suffix in ("64_", "_64", "")]


class Library(NamedTuple):
    """One OpenBLAS of this process: how many threads it has, and how it is told another number."""

    get: Callable[[], int]
    set: Callable[[int], None]


class _Within:
    """How many are inside `one_blas_thread`, in all threads, and what the libraries had before the first."""

    lock = Lock()
    count = 0
    before: tuple[int, ...] = ()


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Within it OpenBLAS uses one thread in this process, whoever calls it; the last to leave restores what was.

    Another BLAS (MKL, Accelerate) is left as it is: the answer is the same but for its last bits.
    """
    libraries = find_libraries()
    with _Within.lock:
        if _Within.count == 0:
            _Within.before = tuple(library.get() for library in libraries)
            for library in libraries:
                library.set(1)
        _Within.count += 1
    try:
        yield
    finally:
        with _Within.lock:
            _Within.count -= 1
            if _Within.count == 0:
                for library, threads in zip(libraries, _Within.before, strict=True):
                    library.set(threads)


@cache
def find_libraries() -> tuple[Library, ...]:
    """Every OpenBLAS that NumPy and SciPy brought into this process."""
    import scipy.linalg  # loads SciPy's own  # noqa: F401

    found = []
    for place in _list_files():
        try:
            loaded = ctypes.CDLL(place)
        except OSError:
            continue
        for name in NAMES:
            if hasattr(loaded, name.format("set")):
                give, take = getattr(loaded, name.format("get")), getattr(loaded, name.format("set"))
                give.restype, take.argtypes, take.restype = ctypes.c_int, [ctypes.c_int], None
                found.append(Library(give, take))
                break
    return tuple(found)


def _list_files() -> list[str]:
    """Files of loaded libraries (Linux), or beside the packages, that have BLAS in their name."""
    maps = Path("/proc/self/maps")
    if maps.exists():
        lines = (line.split(maxsplit=5) for line in maps.read_text(errors="replace").splitlines())
        places = {Path(parts[5].strip()) for parts in lines if len(parts) == 6}
    else:
        homes = [Path(sys.modules[name].__path__[0]) for name in ("numpy", "scipy")]
        folders = [folder for home in homes for folder in (home / ".dylibs", home.with_name(f"{home.name}.libs"))]
        places = {place for folder in folders if folder.is_dir() for place in folder.iterdir()}
    return sorted(str(place) for place in places if "openblas" in place.name.lower())
