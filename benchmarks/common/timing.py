"""In the process that measures one cell: seconds of the first call and of warm ones, and memory."""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

MARK = "FIGURES "  # before a line of figures; peers print to stdout too
Result = TypeVar("Result")


class Stopwatch:
    """Seconds of a call, without what was done inside `paused`: choosing a peer's settings, which is not its work.

    seconds: by the clock. work: of all cores, which others that use the machine change less.
    """

    def __init__(self) -> None:
        self.seconds = self.work = 0.0

    def time(self, call: Callable[[], Result]) -> Result:
        self.pauses = self.paused_work = 0.0
        start, work = time.perf_counter(), time.process_time()
        result = call()
        self.seconds = time.perf_counter() - start - self.pauses
        self.work = time.process_time() - work - self.paused_work
        return result

    @contextmanager
    def paused(self) -> Iterator[None]:
        start, work = time.perf_counter(), time.process_time()
        yield
        self.pauses += time.perf_counter() - start
        self.paused_work += time.process_time() - work


def report(**figures: Any) -> None:
    """Hand figures to the waiting script at once, so that a cell stopped later keeps them."""
    print(MARK + json.dumps(figures), flush=True)


def time_calls(
    call: Callable[[], Result], watch: Stopwatch, options: argparse.Namespace, check: Callable[[Result], None]
) -> Result:
    """Report the first call with its memory, `check` its result, then report up to options.repeat warm calls.

    The first call includes the imports and the compilation of its method. At least one warm call is made, further
    ones only while all of them took less than options.spend seconds.
    """
    before = _memory("VmRSS")
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")  # the peak starts here
    result = watch.time(call)
    peak = _memory("VmHWM")
    first = {"first_seconds": watch.seconds, "first_cpu_seconds": watch.work}
    report(**first, before_mib=before, peak_mib=peak, added_mib=peak - before)
    check(result)
    warm: list[float] = []
    work: list[float] = []
    while len(warm) < options.repeat and (not warm or sum(warm) < options.spend):
        del result  # or two would be in memory
        result = watch.time(call)
        warm.append(watch.seconds)
        work.append(watch.work)
        median = {"seconds": statistics.median(warm), "cpu_seconds": statistics.median(work)}
        report(**median, best_seconds=min(warm), calls=len(warm))
    return result


def _memory(name: str) -> float:
    """Resident MiB of this process, now (VmRSS) or at most (VmHWM); where there is no /proc, both are the peak.

    Not ru_maxrss where it can be helped: a process inherits it from the one that started it.
    """
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak / (2**20 if sys.platform == "darwin" else 2**10)
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(name + ":"))
