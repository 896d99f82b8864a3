"""How much memory a command may take, whether it fits, and how much it took."""

from __future__ import annotations

import os
import resource
import sys
from pathlib import Path

from ..errors import StorageError
from ..graph import Cost
from .progress import time_words

GIB = 2**30


def available_bytes(root: Path = Path("/")) -> int | None:
    """Memory that is free or can be freed: the least of what the system, every control group above us and `ulimit -v`
    have left.

    root: where proc and sys are. None where the system does not say. macOS tells only how much it has in all.
    """
    rooms = [
        room
        for room in (_measure_system(root), *_measure_groups(root), _measure_address_space(root))
        if room is not None
    ]
    if rooms:
        return max(0, min(rooms))
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        return None


def demand_room(cost: Cost, room: int | None, where: object) -> None:
    """Raise StorageError (G21) where the estimate is above the room, in bytes. None: unknown, and never refused."""
    if room is not None and cost.bytes > room:
        enough = -(-cost.bytes // GIB)
        do = f"fewer rows, dimensions or --n-neighbors take less; --memory-limit {enough} tries it all the same"
        what = f"this needs about {gib(cost.bytes)} of memory, and there are {gib(room)}"
        raise StorageError("G21", what, where=where, do=do)


def forecast(
    shape: tuple[int, int],
    num_classes: int,
    cost: Cost,
    room: int | None,
    report_seconds: float = 0.0,
    most_seconds: float = 0.0,
) -> str:
    """ "1,000,000 rows x 128, 10 classes: about 2.4 GiB of 22.9 GiB free, about 2 minutes", and the report's time.

    most_seconds: where rows form no clusters, so that each is compared with most others; said where it is much more.
    """
    of = f" of {gib(room)} free" if room is not None else " of memory"
    report = f", then {time_words(report_seconds)} for the report (--no-report)" if report_seconds else ""
    size = f"{shape[0]:,} rows x {shape[1]:,}, {num_classes:,} classes"
    is_wide = most_seconds > max(2 * cost.seconds, cost.seconds + 5)
    most = f" (up to {time_words(most_seconds)} if the rows form no clusters)" if is_wide else ""
    return f"{size}: about {gib(cost.bytes)}{of}, about {time_words(cost.seconds)}{most}{report}"


def peak_memory_mib() -> float:
    """Largest resident size of this process so far, in MiB."""
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def gib(count: float) -> str:
    """Bytes as "2.4 GiB"."""
    return f"{count / GIB:.1f} GiB"


def _read_number(path: Path) -> int | None:
    """The whole number that a file of the kernel holds; None for "max" and for no such file."""
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None


def _read_field(path: Path, name: str) -> int | None:
    """The number after `name` in a file of lines such as `MemAvailable: 123 kB`."""
    try:
        lines = [line.split() for line in path.read_text().splitlines()]
    except OSError:
        return None
    return next((int(line[1]) for line in lines if len(line) > 1 and line[0].rstrip(":") == name), None)


def _measure_system(root: Path) -> int | None:
    kib = _read_field(root / "proc/meminfo", "MemAvailable")
    return None if kib is None else kib * 1024


def _measure_address_space(root: Path) -> int | None:
    """Room under the limit of `ulimit -v`, which counts what is only reserved too; None without one, or on Windows."""
    try:
        import resource
    except ImportError:
        return None
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    if limit == resource.RLIM_INFINITY:
        return None
    try:
        used = int((root / "proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    except (OSError, ValueError, IndexError):
        used = 0
    return limit - used


def _measure_groups(root: Path) -> list[int | None]:
    """Room in each control group that limits this process, of version 2 and of version 1."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return []
    rooms = []
    for line in lines:
        _, controllers, group = line.split(":", 2)
        if not controllers:
            rooms += _walk_up(root / "sys/fs/cgroup", group, ("memory.max", "memory.current", "inactive_file"))
        elif "memory" in controllers.split(","):
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
            rooms += _walk_up(root / "sys/fs/cgroup/memory", group, names)
    return rooms


def _walk_up(top: Path, group: str, names: tuple[str, str, str]) -> list[int | None]:
    """Room in a group and all groups above it. In a container the path may be one that only the host has."""
    limit_name, usage_name, cache_name = names
    parts = [part for part in group.split("/") if part not in ("", "..")]
    rooms: list[int | None] = []
    for depth in range(len(parts), -1, -1):
        folder = top.joinpath(*parts[:depth])
        limit, usage = _read_number(folder / limit_name), _read_number(folder / usage_name)
        if limit is not None and usage is not None:
            cache = _read_field(folder / "memory.stat", cache_name) or 0  # pages of files that can be dropped
            rooms.append(limit - usage + cache)
    return rooms
