"""The process that decodes images: whatever a file does to its decoder happens here, and to nobody else.

`decoders` starts it as `python -m fewlabels.data.images.decode_worker SECONDS BYTES PIXELS` and talks to it through its
standard input and output: a request is a few files, an answer is what became of one.
"""

from __future__ import annotations

import os
import signal
import struct
import sys
from collections.abc import Sequence
from contextlib import suppress
from enum import IntEnum
from pathlib import Path
from typing import IO, NamedTuple

from .decode import (
    FULL_RANGE,
    BadImage,
    Header,
    ImageFile,
    PixelRange,
    Resizing,
    add_jpeg_end,
    allow_pixels,
    decode,
    read_header,
    small_png,
)

if sys.platform != "win32":
    import resource

BUFFER = 1 << 16
READY = b"\n"  # the first thing it says
REQUEST = struct.Struct("<III?II?B")  # number of files; what Request says of them, in its order
PART = struct.Struct("<cQ")  # kind and number of bytes of a file or an answer
HEADER = struct.Struct("<II??4s?II")
PATH, CONTENT, NOTHING = b"p", b"c", b"n"
SQUARE, ODD_SQUARE, FACTS, SMALL, REASON = b"s", b"o", b"h", b"p", b"r"
CODE = 4  # bytes before an ODD_SQUARE that say what is odd, such as "I2  "


class Wanted(IntEnum):
    """What is wanted of a file: its header, a square of one or of three channels, or a small PNG of the whole image."""

    HEADER = 0
    GREY = 1
    COLOUR = 3
    PICTURE = 4


class Request(NamedTuple):
    """size: of the squares; or the longest side of the pictures.

    accept_truncated: decode a JPEG that is cut off as far as it goes. pixel_range: of values of more than 8 bits.
    resizing: of squares.
    """

    files: Sequence[ImageFile]
    wanted: Wanted
    size: int = 0
    accept_truncated: bool = False
    pixel_range: PixelRange = FULL_RANGE
    resizing: Resizing = Resizing()


def write_request(file: IO[bytes], request: Request) -> None:
    asked = request.wanted, request.size, request.accept_truncated, *request.pixel_range, *request.resizing
    parts = [REQUEST.pack(len(request.files), *asked)]
    for one in request.files:
        kind = NOTHING if one is None else CONTENT if isinstance(one, bytes) else PATH
        data = os.fsencode(one) if isinstance(one, str) else one or b""
        parts += [PART.pack(kind, len(data)), data]
    file.write(b"".join(parts))
    file.flush()


def read_request(file: IO[bytes]) -> Request | None:
    """The next request; None where there are no more."""
    head = file.read(REQUEST.size)
    if len(head) < REQUEST.size:
        return None
    count, wanted, size, accept_truncated, low, high, *resizing = REQUEST.unpack(head)
    files: list[ImageFile] = []
    for _ in range(count):
        kind, length = PART.unpack(file.read(PART.size))
        data = file.read(length)
        files.append(None if kind == NOTHING else data if kind == CONTENT else os.fsdecode(data))
    return Request(files, Wanted(wanted), size, accept_truncated, (low, high), Resizing(*resizing))


def read_answer(file: IO[bytes]) -> tuple[bytes, bytes] | None:
    """Kind and content of the next answer; None where the process ended before it was whole."""
    head = file.read(PART.size)
    if len(head) < PART.size:
        return None
    kind, length = PART.unpack(head)
    data = file.read(length)
    return (kind, data) if len(data) == length else None


def answer_file(file: ImageFile, request: Request, max_pixels: int) -> tuple[bytes, bytes]:
    """Kind and content: SQUARE and its pixels, ODD_SQUARE and what is odd before them, FACTS and a packed Header, SMALL
    and a PNG, or REASON and why it is a bad image.
    """
    try:
        if request.wanted != Wanted.HEADER:
            return _decode_image(file, request, max_pixels)
        found = read_header(file, max_pixels)
        deep = found.deep is not None, *(found.deep or FULL_RANGE)
        return FACTS, HEADER.pack(found.width, found.height, found.grey, found.more, found.kind.encode(), *deep)
    except BadImage as problem:
        return REASON, str(problem)[:1000].encode("utf-8", "backslashreplace")
    except MemoryError:
        return REASON, b"decoding it takes too much memory"


def _decode_image(file: ImageFile, request: Request, max_pixels: int) -> tuple[bytes, bytes]:
    try:
        return _decode(file, request, max_pixels)
    except BadImage as problem:
        if request.accept_truncated:
            with suppress(BadImage):
                return _decode(add_jpeg_end(file), request, max_pixels, oddity="I2")
        raise problem


def _decode(file: ImageFile, request: Request, max_pixels: int, oddity: str = "") -> tuple[bytes, bytes]:
    if request.wanted == Wanted.PICTURE:
        return SMALL, small_png(file, request.size, max_pixels, request.pixel_range)
    grey = request.wanted == Wanted.GREY
    found = decode(file, request.size, grey, max_pixels, request.pixel_range, request.resizing)
    oddity = oddity or found.oddity
    pixels = found.picture.tobytes()
    return (ODD_SQUARE, oddity.encode().ljust(CODE) + pixels) if oddity else (SQUARE, pixels)


def unpack_header(data: bytes) -> Header:
    """The Header of a FACTS answer."""
    width, height, grey, more, kind, is_deep, *deep = HEADER.unpack(data)
    return Header(width, height, grey, more, kind.rstrip(b"\0").decode(), (deep[0], deep[1]) if is_deep else None)


def serve(questions: IO[bytes], answers: IO[bytes], seconds: float, max_pixels: int) -> None:
    """Answer requests until there are no more. seconds: of processor time for a file; the process ends beyond it."""
    allow_pixels(max_pixels)
    answers.write(READY)
    answers.flush()
    while request := read_request(questions):
        for file in request.files:
            if sys.platform != "win32":
                signal.setitimer(signal.ITIMER_PROF, seconds)  # counts work, so a busy machine rejects nothing
            kind, data = answer_file(file, request, max_pixels)
            answers.write(PART.pack(kind, len(data)) + data)
        answers.flush()  # not each at once, which would cost as much as decoding a small image


def confine(room: int) -> None:
    """From here on `room` bytes more of memory, no core file, no file written: limits that a system does not have are
    left out.
    """
    if sys.platform == "win32":
        return
    for what in (resource.RLIMIT_CORE, resource.RLIMIT_FSIZE):
        resource.setrlimit(what, (0, 0))
    statm = Path("/proc/self/statm")
    if statm.exists():  # Linux; others do not keep to a limit of the address space
        most = int(statm.read_text().split()[0]) * resource.getpagesize() + room
        allowed = resource.getrlimit(resource.RLIMIT_AS)[1]  # `ulimit -v` may have set less
        most = most if allowed == resource.RLIM_INFINITY else min(most, allowed)
        resource.setrlimit(resource.RLIMIT_AS, (most, most))


def main() -> None:
    answers = os.fdopen(os.dup(1), "wb", BUFFER)
    os.dup2(2, 1)  # what a library prints is no answer
    confine(int(sys.argv[2]))
    serve(sys.stdin.buffer, answers, float(sys.argv[1]), int(sys.argv[3]))


if __name__ == "__main__":
    main()
