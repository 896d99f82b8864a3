"""Where a table of descriptors is written, and the listing of what could not be described."""

from __future__ import annotations

import csv
import io
import sys
from pathlib import Path
from typing import Any

from ..errors import ConfigError
from ..runs import refuse_in_run, refuse_inside
from ..storage import durable
from ..storage.folders import demand_writable

PARQUET = ".parquet"


def demand_place(out: Path, inputs: list[Any]) -> None:
    """Raise ConfigError (C9, C10, C16) or StorageError (D1) where the table cannot be written, or must not be."""
    if out.suffix.lower() != PARQUET:
        raise ConfigError("C16", "a table of descriptors ends in .parquet", where=out, do="give the output such a name")
    refuse_inside(out, [Path(one) for one in inputs])
    refuse_in_run(out)
    demand_writable(out)


def write_rejected(out: Path, rejected: list[tuple[str, str]]) -> Path | None:
    """id,reason of what was left out, beside the table; a listing of an earlier time is removed where there is none."""
    place = out.with_name(f"{out.stem}.rejected.csv")
    if not rejected:
        place.unlink(missing_ok=True)
        return None
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([("id", "reason"), *rejected])
    durable.write_text(place, text.getvalue())
    return place


def say(text: str, quiet: bool) -> None:
    if text and not quiet:
        print(text, file=sys.stderr, flush=True)
