"""The body of a request: small, on time, and JSON that means one thing; and the error that refuses a request."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, NoReturn

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]

BODY_LIMIT = 64 * 1024  # bytes
BODY_SECONDS = 10.0
MAX_DEPTH = 8


class Refused(Exception):
    """A request that is not carried out.

    status: of HTTP. code: the case in docs/errors.md, such as "W9". more: further keys of the JSON body.
    """

    def __init__(self, status: int, code: str, message: str, **more: Any) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.more = status, code, message, more

    @property
    def body(self) -> dict[str, Any]:
        """The JSON of the answer."""
        return {"error": {"code": f"FL-{self.code}", "message": self.message}, **self.more}


def parse_json(body: bytes) -> Any:
    """Parse a JSON text that means one thing.

    Raises Refused (W7, 422) for text that is not UTF-8 or not JSON, for keys that occur twice, NaN and infinity (also
    1e999), half surrogate pairs, and more than MAX_DEPTH levels.
    """
    try:
        value = json.loads(
            body.decode("utf-8"), object_pairs_hook=_make_object, parse_constant=_refuse_word, parse_float=_parse_float
        )
        json.dumps(value, ensure_ascii=False).encode("utf-8")  # half a surrogate pair fails here
    except (ValueError, RecursionError) as problem:
        raise Refused(422, "W7", f"the body is no JSON that can be used: {str(problem)[:200]!r}") from problem
    if _depth(value) > MAX_DEPTH:
        raise Refused(422, "W7", f"the body has more than {MAX_DEPTH} levels")
    return value


def _make_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key occurs twice")
    return found


def _refuse_word(word: str) -> NoReturn:
    raise ValueError(f"{word} is no number")


def _parse_float(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("a number beyond what a computer holds")
    return number


def _depth(value: Any) -> int:
    if not isinstance(value, (dict, list)):
        return 0
    inner = value.values() if isinstance(value, dict) else value
    return 1 + max(map(_depth, inner), default=0)


async def read_body(announced: str | None, receive: Receive) -> bytes:
    """Receive the whole body and check it. announced: the header Content-Length, if there is one.

    Raises Refused: 413 for more than BODY_LIMIT bytes, 408 for one that is not whole after BODY_SECONDS, 422 for
    what parse_json refuses; ConnectionError where the client leaves in the middle.
    """
    if announced is not None and announced.isascii() and announced.isdecimal() and int(announced[:10]) > BODY_LIMIT:
        raise _too_large()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            body = await _receive_whole(receive)
    except TimeoutError as problem:
        raise Refused(408, "W15", f"the body was not whole after {BODY_SECONDS:.0f} s") from problem
    parse_json(body)
    return body


async def _receive_whole(receive: Receive) -> bytes:
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ConnectionError("the client left")
        body += message.get("body", b"")
        if len(body) > BODY_LIMIT:
            raise _too_large()
        if not message.get("more_body", False):
            return bytes(body)


def replay_body(body: bytes, receive: Receive) -> Receive:
    """A `receive` that gives this body at once, then what the server says further, such as that the client left."""
    parts = [body]

    async def receive_again() -> Message:
        if parts:
            return {"type": "http.request", "body": parts.pop(), "more_body": False}
        return await receive()

    return receive_again


def _too_large() -> Refused:
    return Refused(413, "W15", f"a request has at most {BODY_LIMIT} bytes; send fewer answers at a time")
