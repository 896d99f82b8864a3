"""What a run was made with: everything but the settings that can change a result."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

REPORTED_PACKAGES = ("torch", "numpy", "scipy", "faiss-cpu", "pyarrow", "pillow", "scikit-learn")


def versions() -> dict[str, str]:
    """fewlabels and its commit, Python, the machine, and every package that can change a result."""
    found = {
        "fewlabels": _package("fewlabels"),
        "commit": commit(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": processor(),
        "cores": str(os.cpu_count()),
    }
    return found | {name: _package(name) for name in REPORTED_PACKAGES}


def _package(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def commit() -> str:
    """The git commit of the checkout that this file is in, "+" if files differ from it; "release" outside of one."""
    checkout = Path(__file__).parents[3]
    if not (checkout / ".git").exists():
        return "release"
    try:
        ask = ["git", "-C", str(checkout), "describe", "--always", "--abbrev=12", "--dirty=+", "--exclude=*"]
        return subprocess.run(ask, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return "unknown"


def processor() -> str:
    """Name of the processor, as far as the system tells."""
    listing = Path("/proc/cpuinfo")
    if listing.is_file():
        for line in listing.read_text(encoding="utf-8", errors="replace").splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                return value.strip()
    return platform.processor() or "unknown"
