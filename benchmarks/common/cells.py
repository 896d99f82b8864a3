"""The cells of a table, each measured in a process of its own, and the options that all benchmarks share."""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

from benchmarks.common import data
from benchmarks.common.records import Ledger, Record, cores
from benchmarks.common.timing import MARK

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS", "LOKY_MAX_CPU_COUNT")


def parser(description: str | None, rows: Sequence[int], classes: Sequence[int]) -> argparse.ArgumentParser:
    """The options that all benchmarks have."""
    made = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--rows", type=int, nargs="+", default=list(rows))
    made.add_argument("--classes", type=int, nargs="+", default=list(classes))
    made.add_argument("--dimensions", type=int, default=128)
    made.add_argument("--data", choices=data.KINDS, default=data.BLOBS, help="which rows")
    made.add_argument("--recall", type=float, default=0.995, help="of ours, and what approximate peers are tuned to")
    made.add_argument("--repeat", type=int, default=3, help="most warm calls; their median counts")
    made.add_argument("--spend", type=float, default=30, help="seconds of warm calls after which no other is started")
    made.add_argument("--threads", type=int, default=int(os.environ.get("OMP_NUM_THREADS", 0)) or cores())
    made.add_argument("--limit", type=float, default=1800, help="seconds that a cell may take")
    made.add_argument("--resume", action="store_true", help="skip the cells this commit has measured on this machine")
    made.add_argument("--results", type=Path, help="JSON lines to append to; default: benchmarks/results/NAME.jsonl")
    made.add_argument("--cache", type=Path, default=data.CACHE, help="where the data are kept")
    made.add_argument("--one", help=argparse.SUPPRESS)  # the method that this process is for
    return made


def case_of(options: argparse.Namespace, rows: int | None = None, classes: int | None = None) -> data.Case:
    size = rows or options.rows[0], classes or options.classes[0], options.dimensions
    return data.Case(*size, kind=options.data)


def settings_of(case: data.Case, method: str, options: argparse.Namespace) -> Record:
    """What has to be equal for two measurements to be of the same cell."""
    return {
        "method": method,
        "rows": case.rows,
        "classes": case.classes,
        "dimensions": case.dimensions,
        "seed": case.seed,
        "data": case.kind,
        "recall": options.recall,
        "threads": options.threads,
    }


def cell(
    ledger: Ledger, module: str, case: data.Case, method: str, options: argparse.Namespace, needs: Sequence[str] = ()
) -> Record:
    """The record of one cell: of an earlier run of this commit, or measured now in a process that runs `module`."""
    settings = settings_of(case, method, options)
    known = ledger.find(settings, options.limit)
    if known:
        return known
    missing = [module for module in needs if find_spec(module) is None]
    if missing:
        figures: Record = {"status": "not installed", "note": f"needs {', '.join(missing)}"}
        return ledger.write(settings, figures)
    load = os.getloadavg()[0]
    print(f"... {method}, {case.rows:,} rows, {case.classes} classes", file=sys.stderr, flush=True)
    figures = run_apart(_command(module, case, method, options), options)
    return ledger.write(settings, {"load": load, "limit": options.limit, **figures})


def _command(module: str, case: data.Case, method: str, options: argparse.Namespace) -> list[str]:
    numbers = {
        "--rows": case.rows,
        "--classes": case.classes,
        "--dimensions": case.dimensions,
        "--data": case.kind,
        "--recall": options.recall,
        "--repeat": options.repeat,
        "--spend": options.spend,
        "--threads": options.threads,
        "--cache": options.cache,
        "--one": method,
    }
    return [sys.executable, "-m", module, *(str(word) for pair in numbers.items() for word in pair)]


def run_apart(command: Sequence[str], options: argparse.Namespace) -> Record:
    """Run a command that reports figures; they come back with a status, whatever becomes of it."""
    environment = {**os.environ, **dict.fromkeys(THREADS, str(options.threads))}
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        cwd=data.ROOT,
        start_new_session=True,
    )
    stopped = False
    try:
        out, err = process.communicate(timeout=options.limit)
    except subprocess.TimeoutExpired:
        stopped = True
        _stop(process)
        out, err = process.communicate()
    except BaseException:
        _stop(process)
        raise
    figures: Record = {}
    for line in out.splitlines():
        if line.startswith(MARK):
            figures |= json.loads(line.removeprefix(MARK))
    if not stopped and process.returncode != 0:
        last = (err.strip().splitlines() or [f"ended by signal {-process.returncode}"])[-1]
        return figures | {"status": "failed", "note": last}
    if "seconds" not in figures and "first_seconds" in figures:  # no warm call asked for, or the limit came before
        first, work = figures["first_seconds"], figures["first_cpu_seconds"]
        seconds = {"seconds": first, "best_seconds": first, "cpu_seconds": work}
        return figures | seconds | {"calls": 1, "note": "first call only"}
    if "seconds" not in figures:
        return figures | {"status": "over limit", "note": f"stopped after {options.limit:g} s"}
    return figures


def _stop(process: subprocess.Popen[str]) -> None:
    """End a process and those it started: it leads a group of its own."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
