"""Whether a file may be written where somebody wants it."""

from __future__ import annotations

from pathlib import Path

from ..errors import ConfigError
from .record import is_begun


def refuse_existing(out: str | Path, *, force: bool = False) -> None:
    """Raise ConfigError (C9) where `out` exists; with force only where it is a folder, or belongs to a run."""
    place = Path(out)
    if not place.exists():
        return
    if place.is_dir():
        what, do = "the output is a folder", "name a file"
    elif is_begun(place.parent):
        what, do = "the output is a file of a run", "choose another name"
    elif force:
        return
    else:
        what, do = "the output file exists", "choose another name, or add --force to replace it"
    raise ConfigError("C9", what, where=place, do=f"nothing was changed: {do}")
