"""JSON as a request may send it: nothing that two readers could understand differently."""

from __future__ import annotations

import json
import math
from typing import Any, NoReturn

from .refusals import Refused

MAX_DEPTH = 8


def parsed(body: bytes) -> Any:
    """The value of a JSON text. Raises Refused (W7, 422) for text that is not UTF-8 or not JSON, for keys that occur
    twice, NaN and infinity (also 1e999), half surrogate pairs, and more than 8 levels.
    """
    try:
        value = json.loads(
            body.decode("utf-8"), object_pairs_hook=_object, parse_constant=_no_number, parse_float=_finite
        )
        json.dumps(value, ensure_ascii=False).encode("utf-8")  # half a surrogate pair fails here
    except (ValueError, RecursionError) as problem:
        raise Refused(422, "W7", f"the body is no JSON that can be used: {str(problem)[:200]!r}") from problem
    if _depth(value) > MAX_DEPTH:
        raise Refused(422, "W7", f"the body has more than {MAX_DEPTH} levels")
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key occurs twice")
    return found


def _no_number(word: str) -> NoReturn:
    raise ValueError(f"{word} is no number")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("a number beyond what a computer holds")
    return number


def _depth(value: Any) -> int:
    if not isinstance(value, (dict, list)):
        return 0
    inner = value.values() if isinstance(value, dict) else value
    return 1 + max(map(_depth, inner), default=0)
