"""A run's identity, to resume it: settings and data must be the same, versions and hardware unless that is waived."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ..errors import CheckpointWarning, ConfigError, shown, warn

SOFT = ("versions", "threads", "world_size", "device", "code")  # may differ where the user allows it
SHOWN_DIFFERENCES = 20
ABSENT = "nothing"


@dataclass(frozen=True)
class Difference:
    """One fact that is not the same. key: dotted, such as settings.graph.alpha. there, now: JSON texts."""

    key: str
    there: str
    now: str

    @property
    def soft(self) -> bool:
        return self.key.split(".")[0] in SOFT

    def __str__(self) -> str:
        return f"{self.key}: {shown(self.there)} there, {shown(self.now)} now"


def to_plain(identity: dict[str, Any]) -> dict[str, Any]:
    """The identity as JSON gives it back: tuples become lists. Raises ValueError for NaN, TypeError for objects."""
    facts: dict[str, Any] = json.loads(json.dumps(identity, allow_nan=False))
    return facts


def run_id(identity: dict[str, Any]) -> str:
    """16 hexadecimal digits that all checkpoints of one run share: a hash of the facts that may never differ."""
    strict = {key: value for key, value in identity.items() if key not in SOFT}
    return hashlib.sha256(json.dumps(strict, sort_keys=True).encode()).hexdigest()[:16]


def find_differences(there: dict[str, Any], now: dict[str, Any]) -> tuple[Difference, ...]:
    """Every fact that is not the same, in the order of `now`; then those that only `there` has."""
    old, new = dict(walk_leaves(there)), dict(walk_leaves(now))
    keys = [*new, *(key for key in old if key not in new)]
    found = (Difference(key, old.get(key, ABSENT), new.get(key, ABSENT)) for key in keys)
    return tuple(one for one in found if one.there != one.now)


def walk_leaves(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """(dotted key, JSON text) of each value in nested dicts and lists. The text tells 1, 1.0 and true apart."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    empty = True
    for name, part in inside:
        empty = False
        yield from walk_leaves(part, f"{key}.{name}" if key else str(name))
    if empty:
        yield key, json.dumps(value)


def check_differences(
    there: dict[str, Any], now: dict[str, Any], *, allow_inexact: bool = False, where: object = None
) -> tuple[Difference, ...]:
    """Refuse to resume a run that was made with something else; return the differences that are allowed.

    Those are of the `SOFT` facts and need `allow_inexact`; they are warned of. Raises ConfigError (C12) with all
    differences where one of them is not allowed.
    """
    found = find_differences(there, now)
    text = list_differences(found)
    if any(not one.soft for one in found):
        raise ConfigError(
            "C12",
            f"the checkpoint is of a run with other settings or data: {text}",
            where=where,
            do="go on with what it was made with, or start a new run in another folder",
        )
    if found and not allow_inexact:
        raise ConfigError(
            "C12",
            f"the run cannot go on to the same bytes: {text}",
            where=where,
            do="go on where it was made (OMP_NUM_THREADS sets the threads), or add --allow-inexact-resume "
            "(allow_inexact=True), which is written into the run",
        )
    if found:
        warn(CheckpointWarning(f"FL-C12 the run goes on, but not to the same bytes: {text}"))
    return found


def list_differences(found: tuple[Difference, ...]) -> str:
    """One line for messages: the first 20 differences, and how many more there are."""
    more = len(found) - SHOWN_DIFFERENCES
    return ", ".join(map(str, found[:SHOWN_DIFFERENCES])) + (f", and {more} more" if more > 0 else "")
