"""Options of `fewlabels classify`, whatever is classified: what contradicts is said before anything is read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..choosing.abstain import Threshold
from ..errors import ConfigError
from ..nets.model import WANTED_ERROR
from ..runs import refuse_existing, refuse_in_run, refuse_inside
from ..runs.table import table_kind
from ..storage.folders import demand_writable


@dataclass(frozen=True, kw_only=True)
class ClassifyOptions:
    """How photos are classified.

    wanted_error: share of wrong labels among those that are called sure. device: as choose_device takes it.
    sort_into: folder that gets the photos by class: copies, or symbolic links with `links`; with `only_sure` the sure
        ones alone. force: replace the table. quiet: say nothing on the way.
    """

    wanted_error: float = WANTED_ERROR
    device: str = "auto"
    sort_into: Path | None = None
    links: bool = False
    only_sure: bool = False
    force: bool = False
    quiet: bool = False


def demand_options(options: ClassifyOptions) -> None:
    asked = [name for name in ("links", "only_sure") if getattr(options, name)]
    if asked and options.sort_into is None:
        what = f"--{asked[0].replace('_', '-')} without --sort-into"
        raise ConfigError("C130", what, do="name the folder to sort into")
    if not 0 < options.wanted_error < 1:
        what = f"an error of {options.wanted_error!r} is asked for, expected a share between 0 and 1"
        raise ConfigError("C122", what)


def demand_places(photos: Sequence[Path], out: Path, options: ClassifyOptions) -> None:
    table_kind(out)
    refuse_existing(out, force=options.force)
    refuse_inside(out, photos)
    demand_writable(out)
    into = options.sort_into
    if into is None:
        return
    refuse_in_run(into)
    refuse_inside(into, photos)
    if into.exists() and (not into.is_dir() or any(into.iterdir())):
        do = "nothing was changed: choose another name"
        raise ConfigError("C9", "the folder to sort into is not empty", where=into, do=do)
    demand_writable(into)


def describe_threshold(threshold: Threshold | None, num_sure: int, wanted_error: float) -> dict[str, Any] | None:
    if threshold is None:
        return None
    error = threshold.error.value
    return {
        "wanted_error": wanted_error,
        "from_probability": threshold.probability if threshold.supported else None,
        "num_sure": num_sure,
        "held_out_error": None if error is None else 100 * error,
        "held_out_kept": 100 * threshold.kept,
        "reason": threshold.reason,
    }


def are_below(own: Path, photos: Sequence[Path]) -> bool:
    """Whether some of the photos are in the folder or table `own`, or that in one of them."""
    own, given = own.resolve(), [photo.resolve() for photo in photos]
    return any(photo.is_relative_to(own) or own.is_relative_to(photo) for photo in given)
