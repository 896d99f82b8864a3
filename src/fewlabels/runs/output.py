"""Where something may be written: a free name, and what is refused."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from ..errors import ConfigError
from .record import is_begun


def free_name(wanted: str | Path) -> Path:
    """`wanted`, or the first of wanted-2, wanted-3, ... that does not exist yet."""
    base, number = Path(wanted), 2
    path = base
    while path.exists():
        path = base.with_name(f"{base.name}-{number}")
        number += 1
    return path


def refuse_existing(out: str | Path, *, force: bool = False) -> None:
    """Raise ConfigError (C9) where `out` is in the folder of a run, where it is a folder, and without force where it
    exists."""
    place = Path(out)
    refuse_in_run(place)
    if place.is_dir():
        what, do = "the output is a folder", "name a file"
    elif place.exists() and not force:
        what, do = "the output file exists", "choose another name, or add --force to replace it"
    else:
        return
    raise ConfigError("C9", what, where=place, do=f"nothing was changed: {do}")


def refuse_in_run(out: str | Path) -> None:
    """Raise ConfigError (C9) where `out` is below the folder of a run, whose manifest would no longer be true."""
    run = next((folder for folder in Path(out).absolute().parents if is_begun(folder)), None)
    if run is not None:
        do = "nothing was changed: choose a place outside of it"
        raise ConfigError("C9", f"the output is in the folder of the run {run.name}", where=out, do=do)


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
