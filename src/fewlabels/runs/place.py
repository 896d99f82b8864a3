"""What is already at the place of a run."""

from __future__ import annotations

import json
from pathlib import Path


def free_name(wanted: str | Path) -> Path:
    """`wanted`, or the first of wanted-2, wanted-3, ... that does not exist yet."""
    base, number = Path(wanted), 2
    path = base
    while path.exists():
        path = base.with_name(f"{base.name}-{number}")
        number += 1
    return path


def takes_resume(folder: Path) -> bool:
    """Whether an unfinished run is there that --resume goes on with; one of `propagate` is not."""
    try:
        begun = json.loads((folder / "run.json").read_bytes())
    except (OSError, ValueError):
        return False
    return isinstance(begun, dict) and begun.get("kind") != "propagate" and not (folder / "manifest.json").exists()
