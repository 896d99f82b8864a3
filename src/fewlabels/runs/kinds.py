"""Single values in the JSON files of a run folder, and what each may be."""

from __future__ import annotations

from .checks import Kind

LARGEST = 2.0**53  # of counts; above, floats are not exact
MOST_NUMBER = 1e30  # of other numbers: pictures calculate with their squares


def _is_whole(value: object, least: int, most: float) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def _is_number(value: object, least: float, most: float) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and least <= value <= most


def _is_path(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value.encode()) <= 4096 and "\0" not in value


def _is_range(value: object) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(_is_whole(one, 0, 65535) for one in value)


def _is_distinct(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) for one in value) and len(set(value)) == len(value) > 0


TEXT = Kind("text", lambda value: isinstance(value, str))
PATH = Kind("a path", _is_path)
BOOL = Kind("true or false", lambda value: isinstance(value, bool))
COUNT = Kind("a whole number from 0 up", lambda value: _is_whole(value, 0, LARGEST))
POSITIVE = Kind("a whole number from 1 up", lambda value: _is_whole(value, 1, LARGEST))
CLASS = Kind("the number of a class, or -1", lambda value: _is_whole(value, -1, LARGEST))
SEED = Kind("a whole number from 0 up to 2^63 - 1", lambda value: _is_whole(value, 0, 2**63 - 1))
NUMBER = Kind("a finite number", lambda value: _is_number(value, -MOST_NUMBER, MOST_NUMBER))
AMOUNT = Kind("a finite number from 0 up", lambda value: _is_number(value, 0, MOST_NUMBER))
SHARE = Kind("a share from 0 to 1", lambda value: _is_number(value, 0, 1 + 1e-6))
PERCENT = Kind("a percentage", lambda value: _is_number(value, 0, 100 + 1e-4))
CLASS_NAMES = Kind("a list of distinct class names", _is_distinct)
RECALL = Kind("a number or text", lambda value: isinstance(value, str) or _is_number(value, 0, 1))
PRIOR = Kind(
    "'labels', 'uniform' or a share of each class",
    lambda value: (
        value in ("labels", "uniform") or (isinstance(value, list) and all(_is_number(one, 0, 1) for one in value))
    ),
)
RANGE = Kind("a lowest and a highest value", _is_range)
TEMPERATURE = Kind("a finite number above 0", lambda value: _is_number(value, 1e-6, MOST_NUMBER))
