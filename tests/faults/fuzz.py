"""Files that are none: changed bytes of good files, read with limits of time and memory."""

from __future__ import annotations

import random
import resource
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from fewlabels.errors import FewlabelsError, FewlabelsWarning

SECONDS = 2.0  # of computing, for one input
MEMORY = 256 << 20  # bytes more than this process had before, for one input

ODD = (b"\0", b"\xff", b'"', b"\n", b"\r", b",", b"{", b"[" * 200, b"1e999", b"-1", b"\xf0\x9f\x90\x88", b"\x7f" * 8)


class Parser(NamedTuple):
    """read: what a file goes through. files: contents of good files. name: the file is called so."""

    read: Callable[[Path], object]
    files: list[bytes]
    name: str


def _flip(rng: random.Random, data: bytearray, other: bytes) -> None:
    for _ in range(rng.choice((1, 1, 1, 4, 32))):
        at = rng.randrange(len(data))
        data[at] ^= 1 << rng.randrange(8)


def _cut(rng: random.Random, data: bytearray, other: bytes) -> None:
    del data[rng.randrange(len(data)) :]


def _insert(rng: random.Random, data: bytearray, other: bytes) -> None:
    at = rng.randrange(len(data))
    data[at:at] = rng.choice((*ODD, rng.randbytes(8)))


def _remove(rng: random.Random, data: bytearray, other: bytes) -> None:
    at = rng.randrange(len(data))
    del data[at : at + rng.choice((1, 4, 64))]


def _repeat(rng: random.Random, data: bytearray, other: bytes) -> None:
    at = rng.randrange(len(data))
    data[at:at] = bytes(data[at : at + 64]) * rng.choice((1, 50))


def _splice(rng: random.Random, data: bytearray, other: bytes) -> None:
    data[rng.randrange(len(data)) :] = other[rng.randrange(len(other)) :]


def _number(rng: random.Random, data: bytearray, other: bytes) -> None:
    """A 4- or 8-byte number at its limits, where a length or an offset may stand."""
    at, size = rng.randrange(len(data)), rng.choice((4, 8))
    value = rng.choice((0, 1, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**64 - 1)) % (1 << 8 * size)
    data[at : at + size] = value.to_bytes(size, "little")


CHANGES = (_flip, _cut, _insert, _remove, _repeat, _splice, _number)


def mutated(rng: random.Random, files: list[bytes]) -> bytes:
    """A good file, changed in one to four ways."""
    data = bytearray(rng.choice(files))
    for _ in range(rng.choice((1, 1, 2, 4))):
        if data:
            rng.choice(CHANGES)(rng, data, rng.choice(files))
    return bytes(data)


def problem_with(read: Callable[[Path], object], path: Path) -> str | None:
    """What is wrong with how the file is read; None where it is accepted, or refused as promised."""
    began, problem = time.thread_time(), None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            warnings.simplefilter("ignore", FewlabelsWarning)
            read(path)
    except FewlabelsError as error:
        if not error.code.startswith("FL-") or error.exit_status not in (2, 3, 4, 5):
            problem = f"an error without a code or status: {error}"
    except Exception as error:  # noqa: BLE001  that there is none is what is tested
        problem = f"{type(error).__name__}: {error}"
    seconds = time.thread_time() - began
    return f"{seconds:.1f} s" if problem is None and seconds > SECONDS else problem


@contextmanager
def little_memory() -> Iterator[None]:
    """Within the block, this process gets no more than MEMORY above what it has."""
    with open("/proc/self/statm") as file:
        now = int(file.read().split()[0]) * resource.getpagesize()
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (now + MEMORY, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def problems(parser: Parser, folder: Path, count: int, seed: int) -> list[str]:
    """Read so many changed files. Returns what was wrong, with the number by which the file is made again."""
    path, wrong = folder / parser.name, []
    for good in parser.files:
        path.write_bytes(good)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FewlabelsWarning)
            parser.read(path)  # what a good file needs is loaded, and it is a good one
    with little_memory():
        for number in range(count):
            path.write_bytes(mutated(random.Random(f"{seed} {number}"), parser.files))
            if found := problem_with(parser.read, path):
                wrong.append(f"{parser.name}, seed {seed}, number {number}: {found}")
    return wrong
