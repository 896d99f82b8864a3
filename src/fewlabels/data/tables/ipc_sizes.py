"""What an Arrow file unpacks to, read off its messages before anything in it is decompressed.

A compressed buffer begins with the number of bytes that it unpacks to, and pyarrow allocates that many before it looks
further. So does a batch of a dictionary, whichever column it is of. Source: format/Message.fbs and format/File.fbs of
Apache Arrow, and the encoding of FlatBuffers.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import pyarrow as pa

from ..paths import ARROW_FILE

DICTIONARY, RECORDS = 2, 3  # types of messages
CONTINUES = 0xFFFFFFFF
BLOCK, PLACE, COUNT = 24, 16, 8  # bytes of a Block of the footer, of a Buffer and a FieldNode, of a prefix


@dataclass(frozen=True)
class BatchSizes:
    """num_rows: that the batch says it has. buffers: bytes that each unpacks to, 0 for one that is not compressed.

    variadic: numbers of data buffers of columns of views. is_dictionary: of values that columns refer to.
    """

    num_rows: int
    buffers: list[int]
    variadic: list[int]
    is_dictionary: bool

    @property
    def total(self) -> int:
        """Bytes that all of it unpacks to."""
        return sum(self.buffers)

    def of_columns(self, schema: pa.Schema) -> list[int]:
        """Bytes that each column unpacks to. Raises ValueError where the buffers are not those of the schema."""
        variadic = iter(self.variadic)
        counts = [_count_buffers(kind, variadic) for kind in schema.types]
        if sum(counts) != len(self.buffers):
            raise ValueError(f"a batch of {len(self.buffers)} buffers; its schema has {sum(counts)}")
        ends = [0]
        for count in counts:
            ends.append(ends[-1] + count)
        return [sum(self.buffers[start:end]) for start, end in pairwise(ends)]


def measure_batches(source: pa.MemoryMappedFile) -> list[BatchSizes]:
    """The batches of a file or stream, of records and of dictionaries, in their order; of a file those of its footer.

    Raises ValueError where a message is damaged.
    """
    source.seek(0)
    data = memoryview(source.read_buffer())
    try:
        is_file = bytes(data[: len(ARROW_FILE)]) == ARROW_FILE
        starts = _find_blocks(data) if is_file else None
        found = _read_messages(data) if starts is None else (_read_message(data, start)[0] for start in starts)
        return [sizes for sizes in found if sizes is not None]
    except (struct.error, IndexError, OverflowError) as problem:
        raise ValueError(f"a damaged message ({problem})") from problem


def _find_blocks(data: memoryview) -> list[int]:
    """Where the footer of a file says that its messages begin, those of dictionaries first."""
    end = len(data) - len(ARROW_FILE) - 4
    (size,) = struct.unpack_from("<i", data, end)
    if not 0 < size <= end:
        raise ValueError("a footer of another size than the file")
    footer = _Flat(data[end - size : end])
    starts = []
    for field in (2, 3):  # dictionaries, recordBatches
        at, count = footer.vector(footer.root, field, BLOCK)
        starts += [struct.unpack_from("<q", footer.data, at + BLOCK * number)[0] for number in range(count)]
    if any(not 0 <= start < len(data) for start in starts):
        raise ValueError("a footer that names places outside of the file")
    return starts


def _read_messages(data: memoryview) -> Iterator[BatchSizes | None]:
    at: int | None = 0
    while at is not None:
        sizes, at = _read_message(data, at)
        yield sizes


def _read_message(data: memoryview, at: int) -> tuple[BatchSizes | None, int | None]:
    """Sizes of the message there, None if it has no buffers; and where the next one begins, None at the end."""
    if at + 4 > len(data):
        return None, None
    (size,) = struct.unpack_from("<I", data, at)
    at += 4
    if size == CONTINUES:  # since Arrow 0.15; before, the size stood alone
        if at + 4 > len(data):
            return None, None
        (size,) = struct.unpack_from("<I", data, at)
        at += 4
    if size == 0:
        return None, None
    if at + size > len(data):
        raise ValueError("a message that is cut")
    flat = _Flat(data[at : at + size])
    kind, length = flat.number(flat.root, 1, "<B"), flat.number(flat.root, 3, "<q")
    if length < 0:
        raise ValueError("a message of less than nothing")
    sizes = None
    if kind in (DICTIONARY, RECORDS):
        head = flat.table(flat.root, 2)
        records = flat.table(head, 1) if kind == DICTIONARY else head
        sizes = _measure_records(flat, records, data[at + size : at + size + length], kind == DICTIONARY)
    return sizes, at + size + length


def _measure_records(flat: _Flat, records: int, body: memoryview, is_dictionary: bool) -> BatchSizes:
    at, count = flat.vector(records, 2, PLACE)
    buffers = [0] * count
    if flat.field(records, 3):  # compressed
        for number in range(count):
            start, length = struct.unpack_from("<qq", flat.data, at + PLACE * number)
            if length >= COUNT and start >= 0:
                buffers[number] = max(0, struct.unpack_from("<q", body, start)[0])  # -1: this one is not
    counts, variadic = flat.vector(records, 4, COUNT)
    views = [struct.unpack_from("<q", flat.data, counts + COUNT * number)[0] for number in range(variadic)]
    return BatchSizes(max(0, flat.number(records, 0, "<q")), buffers, views, is_dictionary)


class _Flat:
    """A FlatBuffer: tables whose fields are looked up by number. Its places are checked by `struct`."""

    def __init__(self, data: memoryview) -> None:
        self.data = data
        self.root: int = struct.unpack_from("<I", data, 0)[0]

    def field(self, table: int, number: int) -> int:
        """Where a field is; 0 where the table has none."""
        start = table - struct.unpack_from("<i", self.data, table)[0]
        if start < 0:
            raise ValueError("a table outside of its message")
        (size,) = struct.unpack_from("<H", self.data, start)
        entry = 4 + 2 * number
        offset = struct.unpack_from("<H", self.data, start + entry)[0] if entry < size else 0
        return table + offset if offset else 0

    def number(self, table: int, number: int, kind: str) -> int:
        """A number, 0 where it is left out."""
        at = self.field(table, number)
        return struct.unpack_from(kind, self.data, at)[0] if at else 0

    def table(self, table: int, number: int) -> int:
        """Where the table in a field begins. Raises ValueError without one."""
        at = self.field(table, number)
        if not at:
            raise ValueError("a message without a head")
        return at + int(struct.unpack_from("<I", self.data, at)[0])

    def vector(self, table: int, number: int, item: int) -> tuple[int, int]:
        """Where the items of a vector begin, and how many there are; (0, 0) without one."""
        at = self.field(table, number)
        if not at:
            return 0, 0
        start = at + struct.unpack_from("<I", self.data, at)[0]
        (count,) = struct.unpack_from("<I", self.data, start)
        if start + 4 + item * count > len(self.data):
            raise ValueError("a vector that is cut")
        return start + 4, count


def _count_buffers(kind: pa.DataType, variadic: Iterator[int]) -> int:
    """How many buffers a column of a type has in a batch, with those of its children. variadic: see BatchSizes."""
    if isinstance(kind, pa.BaseExtensionType):
        return _count_buffers(kind.storage_type, variadic)
    if pa.types.is_null(kind):
        return 0
    if pa.types.is_dictionary(kind):
        return 2
    if kind in (pa.string_view(), pa.binary_view()):
        return 2 + next(variadic, 0)
    if is_of_texts(kind):
        return 3
    if pa.types.is_nested(kind):
        return _count_own(kind) + sum(_count_buffers(child, variadic) for child in _children(kind))
    return 2


def is_of_texts(kind: pa.DataType) -> bool:
    """Whether a column of a type has offsets into bytes."""
    tests = (pa.types.is_string, pa.types.is_large_string, pa.types.is_binary, pa.types.is_large_binary)
    return any(test(kind) for test in tests)


def _count_own(kind: pa.DataType) -> int:
    """Buffers of a nested type without its children: validity, offsets, sizes, types."""
    if pa.types.is_run_end_encoded(kind):
        return 0
    if pa.types.is_struct(kind) or pa.types.is_fixed_size_list(kind):
        return 1
    if pa.types.is_union(kind):
        return 2 if kind.mode == "dense" else 1
    return 3 if "list_view" in str(kind).split("<")[0] else 2  # lists, maps


def _children(kind: pa.DataType) -> Sequence[pa.DataType]:
    if pa.types.is_run_end_encoded(kind):
        return (kind.run_end_type, kind.value_type)
    return [kind.field(number).type for number in range(kind.num_fields)]
