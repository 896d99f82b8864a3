"""What a column of a Parquet file unpacks to, read off its footer and the headers of its pages.

pyarrow ends the process where it describes a column of a damaged footer (26.0.1, seen as "terminate called after
throwing an instance of"), so the footer is walked here. Source: parquet.thrift of Apache Parquet, and Thrift's compact
protocol.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from ..paths import PARQUET

DELTA_BYTE_ARRAY = 7  # an encoding in which each text repeats the beginning of the one before
USUAL_HEADER, LONGEST_HEADER = 1 << 12, 1 << 24  # bytes of a page's header, with its statistics; as pyarrow has it
DEEPEST = 64
STRUCT, BOOLEAN_FIELD = 12, (1, 2)


@dataclass(frozen=True)
class PageSizes:
    """Of one column in all row groups. size: bytes of its pages without compression. num_values: of its pages.

    largest: bytes of its largest page. is_delta: whether texts share beginnings, so that a page may be longer than it.
    """

    size: int = 0
    num_values: int = 0
    largest: int = 0
    is_delta: bool = False


def footer_length(path: Path) -> int:
    """Bytes of a file's footer, as its end has them."""
    with path.open("rb") as file:
        file.seek(-8, 2)
        return int(struct.unpack("<I", file.read(4))[0])


def measure_pages(path: Path, columns: Sequence[str]) -> dict[str, PageSizes]:
    """The pages of each of these columns that is there, with those of all that is below it where it is nested.

    Raises ValueError for a footer or header that is damaged, or a page outside of the file.
    """
    wanted = {name.encode(): name for name in columns}
    found: dict[str, PageSizes] = {}
    try:
        with path.open("rb") as file:
            groups, end = _read_footer(file)
            for group in groups:
                for chunk in group.get(1, []):
                    facts = chunk.get(3, {})
                    if (name := wanted.get(facts[3][0])) is not None:
                        found[name] = _measure_chunk(file, facts, end, found.get(name, PageSizes()))
    except (struct.error, LookupError, TypeError, AttributeError, OverflowError) as problem:
        raise ValueError(f"a damaged footer ({problem})") from problem
    return found


def _read_footer(file: BinaryIO) -> tuple[list[dict[int, Any]], int]:
    """The row groups, and where the footer begins."""
    size = file.seek(0, 2)
    file.seek(-8, 2)
    length, magic = struct.unpack("<I4s", file.read(8))
    if magic != PARQUET or length > size - 12:
        raise ValueError("no footer at its end")
    file.seek(size - 8 - length)
    return _Compact(file.read(length)).struct().get(4, []), size - 8 - length


def _measure_chunk(file: BinaryIO, facts: dict[int, Any], end: int, so_far: PageSizes) -> PageSizes:
    """Add the pages of a column in one row group: from its first page, so many bytes as its footer says."""
    at = min(facts.get(11) or facts[9], facts[9])
    stop = at + facts[7]
    if not 0 <= at <= stop <= end:
        raise ValueError("pages outside of the file")
    size, count, largest, encodings = so_far.size, so_far.num_values, so_far.largest, set()
    while at < stop:
        page, length = _read_header(file, at, stop - at)
        if page[2] < 0 or page[3] < 0:
            raise ValueError("a page of less than nothing")
        data = page.get(5) or page.get(8)
        if data is not None:
            count += max(0, data[1])
            encodings.add(data[2] if 5 in page else data[4])
        size, largest = size + page[2], max(largest, page[2])
        at += length + page[3]
    return PageSizes(size, count, largest, so_far.is_delta or DELTA_BYTE_ARRAY in encodings)


def _read_header(file: BinaryIO, at: int, room: int) -> tuple[dict[int, Any], int]:
    """The header of the page there, and how long it is."""
    for most in (USUAL_HEADER, LONGEST_HEADER):
        file.seek(at)
        header = _Compact(file.read(min(most, room)))
        try:
            return header.struct(), header.at
        except (IndexError, ValueError):
            if most == LONGEST_HEADER or most >= room:
                raise
    raise AssertionError


class _Compact:
    """Thrift's compact protocol: a struct is a dictionary by the numbers of its fields."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at, self._depth = data, 0, 0

    def struct(self) -> dict[int, Any]:
        fields: dict[int, Any] = {}
        number = 0
        self._depth += 1
        if self._depth > DEEPEST:
            raise ValueError("nested too deep")
        while (head := self._byte()) != 0:
            step, kind = head >> 4, head & 15
            number = number + step if step else self._zigzag()
            fields[number] = kind == 1 if kind in BOOLEAN_FIELD else self._value(kind)
        self._depth -= 1
        return fields

    def _byte(self) -> int:
        self.at += 1
        return self.data[self.at - 1]

    def _varint(self) -> int:
        value = shift = 0
        while True:
            byte = self._byte()
            value |= (byte & 127) << shift
            if byte < 128:
                return value
            shift += 7
            if shift > 63:
                raise ValueError("a number that does not end")

    def _zigzag(self) -> int:
        value = self._varint()
        return (value >> 1) ^ -(value & 1)

    def _value(self, kind: int) -> Any:
        if kind in (4, 5, 6):
            return self._zigzag()
        if kind == 8:
            return self._bytes(self._varint())
        if kind in (9, 10):
            return self._list()
        if kind == STRUCT:
            return self.struct()
        if kind == 7:
            return self._bytes(8)
        if kind in (1, 2, 3):
            return self._byte()
        raise ValueError(f"a value of kind {kind}")

    def _bytes(self, length: int) -> bytes:
        if self.at + length > len(self.data):
            raise ValueError("text that is cut")
        self.at += length
        return self.data[self.at - length : self.at]

    def _list(self) -> list[Any]:
        head = self._byte()
        count, kind = head >> 4, head & 15
        count = self._varint() if count == 15 else count
        if count > len(self.data) - self.at:
            raise ValueError("a list that is cut")
        self._depth += 1
        if self._depth > DEEPEST:
            raise ValueError("nested too deep")
        values = [self._value(kind) for _ in range(count)]
        self._depth -= 1
        return values
