"""Whether something may be written where somebody wants it."""

from __future__ import annotations

from collections.abc import Iterable
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


def refuse_inside(out: str | Path, inputs: Iterable[Path | None]) -> None:
    """Raise ConfigError (C10) where `out` is one of the inputs, or is in a folder that is one: later runs would read
    it."""
    place = Path(out)
    for source in inputs:
        if source is None or not source.exists():
            continue
        if source.is_dir() and place.resolve().is_relative_to(source.resolve()):
            what, do = "the output is in the folder of the input", f"name a place outside of {source}"
        elif place.exists() and place.samefile(source):
            what, do = "the output is the input", "choose another name"
        else:
            continue
        raise ConfigError("C10", what, where=place, do=f"nothing was changed: {do}")
