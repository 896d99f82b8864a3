"""The tests. Helpers are imported by their whole names, such as tests.graph.cases."""

import os
from pathlib import Path

ROOT = Path(__file__).parent.parent


def child_environment(**more: str) -> dict[str, str]:
    """The environment of a process that imports tests, from wherever it is started."""
    before = os.environ.get("PYTHONPATH")
    return os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{before}" if before else str(ROOT)} | more
