"""JSON of files that anybody may have written: read it, and hold it to a description that is data.

A description is a Kind of single value, or Maybe, Many, Named or Record of descriptions. Keys that a Record does not
know are left alone: newer versions add some.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from ..errors import RunError, shown

DEEPEST = 60  # lists and objects in each other
VERIFY = "`fewlabels verify` lists what changed"
FOREIGN = "fewlabels has not written it so: restore it from a copy, or run again"


@dataclass(frozen=True)
class Kind:
    """A single value. what: it, in words."""

    what: str
    fits: Callable[[Any], bool]


@dataclass(frozen=True)
class Maybe:
    """The same, or null."""

    of: Check


@dataclass(frozen=True)
class Many:
    """A list. size: of how many, where that is fixed."""

    of: Check
    size: int | None = None


@dataclass(frozen=True)
class Named:
    """An object with keys of any name."""

    of: Check


@dataclass(frozen=True)
class Record:
    """An object. fields: known keys. needed: those that must be there. endings: of further known keys.

    equal: groups of keys whose lists have the same length, where they are there. together: groups of keys of which all
    are there and not null, or none.
    """

    fields: Mapping[str, Check] = field(default_factory=dict)
    needed: Sequence[str] = ()
    endings: Mapping[str, Check] = field(default_factory=dict)
    equal: Sequence[Sequence[str]] = ()
    together: Sequence[Sequence[str]] = ()


Check: TypeAlias = Kind | Maybe | Many | Named | Record


class Misfit(NamedTuple):
    """The first value that is not as described. at: the way to it, dotted. came, expected: in words."""

    at: str
    came: str
    expected: str


def find_misfit(value: object, check: Check, at: str = "") -> Misfit | None:
    """The first misfit, None for none."""
    if isinstance(check, Maybe):
        return None if value is None else find_misfit(value, check.of, at)
    if isinstance(check, Kind):
        return None if check.fits(value) else Misfit(at, shown(repr(value), 60), check.what)
    if isinstance(check, Many):
        if not isinstance(value, list) or check.size not in (None, len(value)):
            return Misfit(at, shown(repr(value), 60), f"a list{'' if check.size is None else f' of {check.size}'}")
        pairs: Iterator[tuple[str, object, Check]] = (
            (f"{at}[{place}]", one, check.of) for place, one in enumerate(value)
        )
    elif not isinstance(value, dict):
        return Misfit(at, shown(repr(value), 60), "an object with keys")
    elif isinstance(check, Named):
        pairs = ((_join(at, key), one, check.of) for key, one in value.items())
    else:
        if missing := next((key for key in check.needed if key not in value), None):
            return Misfit(_join(at, missing), "missing", "a value")
        pairs = ((_join(at, key), one, known) for key, one in value.items() if (known := _known(check, key)))
    found = (find_misfit(one, inner, place) for place, one, inner in pairs)
    first = next((misfit for misfit in found if misfit is not None), None)
    return first or (_find_unequal(value, check, at) if isinstance(check, Record) else None)


def _known(check: Record, key: str) -> Check | None:
    by_ending = (one for ending, one in check.endings.items() if key.endswith(ending))
    return check.fields.get(key) or next(by_ending, None)


def _find_unequal(value: Any, check: Record, at: str) -> Misfit | None:
    for keys in check.equal:
        sizes = {key: len(value[key]) for key in keys if value.get(key) is not None}
        if len(set(sizes.values())) > 1:
            told = ", ".join(f"{key} has {size}" for key, size in sizes.items())
            return Misfit(at, told, "lists of the same length")
    for keys in check.together:
        there = [key for key in keys if value.get(key) is not None]
        if there and len(there) < len(keys):
            return Misfit(at, f"only {', '.join(there)}", f"all of {', '.join(keys)}, or none")
    return None


def _join(at: str, key: str) -> str:
    return f"{at}.{shown(key, 60)}" if at else shown(key, 60)


# Reading


def read_object(path: Path, check: Check) -> dict[str, Any]:
    """A JSON file that is as described. Raises RunError: K2 where it is no JSON, K16 where it holds something else."""
    values: dict[str, Any] = read_json(path)
    demand(values, check, path)
    return values


def read_json(path: Path) -> Any:
    """What a JSON file holds. Raises RunError (K2) where it is none."""
    try:
        text = path.read_text(encoding="utf-8")
    except ValueError as error:
        raise RunError("K2", f"damaged JSON ({error})", where=path, do=VERIFY) from error
    return parse(text, path)


def parse(text: str, where: object, noun: str = "JSON") -> Any:
    """The value of a JSON text whose numbers are finite, whose text is Unicode, and which is not nested too deep.

    Raises RunError (K2) for anything else.
    """
    try:
        value = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        reason = "nested too deep" if isinstance(error, RecursionError) else error
        raise RunError("K2", f"damaged {noun} ({reason})", where=where, do=VERIFY) from error
    if reason := _find_improper(value):
        raise RunError("K2", f"damaged {noun} ({reason})", where=where, do=VERIFY)
    return value


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON")


def _find_improper(value: object) -> str:
    """What no file of fewlabels has anywhere; empty where there is no such thing."""
    waiting: list[tuple[object, int]] = [(value, 1)]
    while waiting:
        one, depth = waiting.pop()
        if isinstance(one, dict):
            waiting += [(part, depth + 1) for pair in one.items() for part in pair]
        elif isinstance(one, list):
            waiting += [(part, depth + 1) for part in one]
        elif isinstance(one, float) and not math.isfinite(one):
            return f"{one} is no finite number"
        elif isinstance(one, str) and any("\ud800" <= character <= "\udfff" for character in one):
            return f"{shown(one, 60)!r} is no Unicode text"
        if depth > DEEPEST:
            return "nested too deep"
    return ""


def demand(value: object, check: Check, where: object) -> None:
    """Raise RunError (K16) where a value is not as described."""
    misfit = find_misfit(value, check)
    if misfit is not None:
        raise make_error(misfit, where)


def make_error(misfit: Misfit, where: object) -> RunError:
    """The error that says what is wrong with a file of a run."""
    came = "missing" if misfit.came == "missing" else misfit.came
    at = f"{misfit.at} is " if misfit.at else "it is "
    expected = "" if came == "missing" else f", expected {misfit.expected}"
    return RunError("K16", f"not what a run has there: {at}{came}{expected}", where=where, do=FOREIGN)


def demand_known(values: Mapping[str, Any], check: Record, at: str, where: object) -> None:
    """Raise RunError (K6) for settings that this version does not know: what it makes of the rest would be another."""
    if unknown := list(find_unknown(values, check, at)):
        more = f" and {len(unknown) - 1} more" if len(unknown) > 1 else ""
        what = f"the setting {unknown[0]}{more}, which this version does not know"
        raise RunError("K6", what, where=where, do="upgrade, or use the version that wrote it")


def find_unknown(values: Mapping[str, Any], check: Record, at: str) -> Iterator[str]:
    """Keys that a description does not know, dotted."""
    for key, value in values.items():
        known = check.fields.get(key)
        if known is None:
            yield _join(at, key)
        elif isinstance(known, Record):
            yield from find_unknown(value, known, _join(at, key))
        elif isinstance(known, Many) and isinstance(known.of, Record):
            for place, one in enumerate(value):
                yield from find_unknown(one, known.of, f"{_join(at, key)}[{place}]")
