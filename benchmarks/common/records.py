"""What a benchmark measured: one JSON line for each cell of its table, with the commit and the machine."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from benchmarks.common.data import ROOT

RESULTS = ROOT / "benchmarks" / "results"
PACKAGES = (
    "numpy",
    "scipy",
    "scikit-learn",
    "faiss-cpu",
    "hnswlib",
    "pynndescent",
    "numba",
    "graphlearning",
    "annoy",
    "torch",
    "pillow",
)
FINAL = ("measured", "over limit", "refused")  # --resume takes these; a failed cell is tried again
UNKNOWN = "unknown"  # the commit, outside of a clone
Record = dict[str, Any]


class Ledger:
    """The results file of one benchmark, and what an earlier run of the same commit on this machine has in it."""

    def __init__(self, benchmark: str, options: argparse.Namespace) -> None:
        self.path = options.results or RESULTS / f"{benchmark}.jsonl"
        self.common = {"benchmark": benchmark, "commit": commit(), "machine": machine(), "versions": versions()}
        known = options.resume and self.common["commit"] != UNKNOWN
        self.known = [line for line in read(self.path) if self._same_code(line)] if known else []

    def _same_code(self, record: Record) -> bool:
        return all(record[name] == self.common[name] for name in ("benchmark", "commit", "machine"))

    def find(self, settings: Record, limit: float) -> Record | None:
        """The finished cell with these settings, unless it ran over a limit shorter than the one of today."""
        for record in reversed(self.known):
            if record["settings"] == settings and record["status"] in FINAL:
                return None if record["status"] == "over limit" and record["limit"] < limit else record
        return None

    def write(self, settings: Record, figures: Record) -> Record:
        """Append one cell and give it back."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        record = {**self.common, "finished": now, "settings": settings, "status": "measured", **figures}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a") as file:
            file.write(json.dumps(record) + "\n")
        return record


def read(path: Path) -> list[Record]:
    """The records of a results file, oldest first."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def commit() -> str:
    """The last commit that touched the code, not the results, with a mark for what is not committed."""
    code = ["--", "src", "benchmarks", ":!benchmarks/results"]
    try:
        last = _git("log", "-1", "--format=%h", *code).strip()
        changes = _git("diff", "HEAD", *code)
    except (OSError, subprocess.CalledProcessError):
        return UNKNOWN
    return last + ("+" + hashlib.sha256(changes.encode()).hexdigest()[:6] if changes else "")


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True).stdout


def machine() -> Record:
    gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {"cpu": _cpu(), "cores": cores(), "memory_gib": round(gib, 1), "system": platform.system()}


def cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def versions() -> Record:
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def print_head(ledger: Ledger, threads: int) -> None:
    about = ledger.common["machine"]
    listed = ", ".join(f"{name} {version}" for name, version in ledger.common["versions"].items())
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    print(f"{about['cpu']}, {about['cores']} cores ({threads} threads used), {about['memory_gib']} GiB; load {load}")
    print(f"commit {ledger.common['commit']}; {listed}", flush=True)


def print_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Columns as wide as they need; the first to the left, the others to the right."""
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]
    print()
    for row in [head, *rows]:
        cells = [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        print("  ".join(cells).rstrip(), flush=True)


def shown(value: float | None, form: str = ".2f") -> str:
    """A figure for a table; "-" where there is none."""
    return "-" if value is None else format(value, form)
