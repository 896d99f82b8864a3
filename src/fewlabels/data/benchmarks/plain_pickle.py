"""Pickled dicts of numbers, texts and byte arrays, such as CIFAR's files, read without executing them.

A pickle is a program for a small stack machine that may call any function. This reader knows only the steps that build
plain values, and three names that it takes as words, not as functions to call: those of a NumPy array of uint8 and of
Python 2's byte strings. Whatever else a file asks for is refused.
"""

from __future__ import annotations

import math
import pickletools
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import ImageError
from ..paths import unreadable

LARGEST_FILE = 1 << 28  # bytes; the largest file of CIFAR has 155 million


class _Refused(Exception):
    """The pickle asks for something that plain values do not need; its text says for what."""


class _Cut(Exception):
    """The pickle is no whole one; its text says why."""


@dataclass
class _Array:
    """Stands for a NumPy array until its content comes."""

    value: np.ndarray | None = None


@dataclass
class _Machine:
    """stack: what was built and not yet used. marks: places in the stack. memo: what may be used again."""

    stack: list[Any] = field(default_factory=list)
    marks: list[int] = field(default_factory=list)
    memo: dict[int, Any] = field(default_factory=dict)

    def take(self, count: int) -> list[Any]:
        """The topmost `count` values, removed."""
        floor = self.marks[-1] if self.marks else 0
        if len(self.stack) - floor < count:
            raise _Cut("a value is missing")
        taken = self.stack[len(self.stack) - count :]
        del self.stack[len(self.stack) - count :]
        return taken

    def since_mark(self) -> list[Any]:
        """All values above the last mark, removed with it."""
        if not self.marks:
            raise _Cut("a mark is missing")
        floor = self.marks.pop()
        taken = self.stack[floor:]
        del self.stack[floor:]
        return taken

    def top(self, kind: type) -> Any:
        if not self.stack or not isinstance(self.stack[-1], kind):
            raise _Cut(f"no {kind.__name__} where one is needed")
        return self.stack[-1]


# The words: where an array begins, its class, its type of numbers; and how Python 3 writes bytes for protocol 2.
_NEW_ARRAY, _ARRAY, _TYPE, _BYTES = "_reconstruct", "ndarray", "dtype", "encode"
_WORDS = {
    "numpy.core.multiarray _reconstruct": _NEW_ARRAY,
    "numpy._core.multiarray _reconstruct": _NEW_ARRAY,
    "numpy ndarray": _ARRAY,
    "numpy dtype": _TYPE,
    "_codecs encode": _BYTES,
}
_UINT8 = "|u1"


@dataclass(frozen=True)
class _Word:
    """One of the words above, so that a text of the same letters is not taken for it."""

    name: str


def _push_word(machine: _Machine, name: str) -> None:
    if name not in _WORDS:
        raise _Refused(f"it names the function {name.replace(' ', '.')}")
    machine.stack.append(_Word(_WORDS[name]))


def _call(machine: _Machine, _: object) -> None:
    """What a word makes of its arguments: a new array, the type uint8, bytes."""
    word, arguments = machine.take(2)
    if not isinstance(word, _Word) or not isinstance(arguments, tuple):
        raise _Refused("it calls what is no function")
    if word.name == _NEW_ARRAY and arguments[:1] == (_Word(_ARRAY),):
        machine.stack.append(_Array())
    elif word.name == _TYPE and arguments[:1] in (("u1",), (b"u1",)):
        machine.stack.append(_Word(_UINT8))
    elif word.name == _BYTES and len(arguments) == 2 and arguments[1] in ("latin1", b"latin1"):
        machine.stack.append(_encode_latin(arguments[0]))
    else:
        raise _Refused(f"it calls {word.name} with other arguments than a uint8 array has")


def _encode_latin(text: Any) -> bytes:
    if not isinstance(text, str):
        raise _Refused("it encodes what is no text")
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError as problem:
        raise _Cut("bytes beyond 255") from problem


def _fill(machine: _Machine, _: object) -> None:
    """The array below the topmost value gets its shape and numbers; a type of numbers needs nothing more."""
    target, state = machine.take(2)
    if isinstance(target, _Word) and target.name == _UINT8:
        machine.stack.append(target)
        return
    if not isinstance(target, _Array) or not isinstance(state, tuple) or len(state) != 5:
        raise _Refused("it changes what is no array")
    _, shape, kind, by_columns, content = state
    whole = isinstance(shape, tuple) and all(type(size) is int and size >= 0 for size in shape)
    if not whole or kind != _Word(_UINT8) or not isinstance(content, bytes):
        raise _Refused("it holds an array of something else than uint8")
    count = math.prod(shape)
    if count != len(content):
        raise _Cut(f"an array of {len(content):,} bytes, {count:,} expected")
    flat = np.frombuffer(content, np.uint8)
    target.value = flat.reshape(shape, order="F" if by_columns else "C")
    machine.stack.append(target)


def _set_pairs(machine: _Machine, values: list[Any]) -> None:
    target = machine.top(dict)
    if len(values) % 2:
        raise _Cut("a key without a value")
    for key, value in zip(values[::2], values[1::2], strict=True):
        if not isinstance(key, (str, bytes, int)):
            raise _Refused("it has a key that is neither text nor a number")
        target[key] = value


def _recall(machine: _Machine, place: int) -> None:
    if place not in machine.memo:
        raise _Cut("it uses a value that is not there")
    machine.stack.append(machine.memo[place])


def _remember(machine: _Machine, place: int) -> None:
    machine.memo[place] = machine.top(object)


def _push(machine: _Machine, value: object) -> None:
    machine.stack.append(value)


def _push_made(make: Callable[[], object]) -> Callable[[_Machine, Any], None]:
    return lambda machine, _: machine.stack.append(make())


def _make_tuple(count: int) -> Callable[[_Machine, Any], None]:
    return lambda machine, _: machine.stack.append(tuple(machine.take(count)))


def _extend(machine: _Machine, values: list[Any]) -> None:
    machine.top(list).extend(values)


# What Python 2 wrote for CIFAR, and what Python 3 writes for the same values with protocols 2 and 3.
_STEPS: dict[str, Callable[[_Machine, Any], None]] = {
    "PROTO": lambda machine, _: None,
    "MARK": lambda machine, _: machine.marks.append(len(machine.stack)),
    "EMPTY_DICT": _push_made(dict),
    "EMPTY_LIST": _push_made(list),
    "EMPTY_TUPLE": _push_made(tuple),
    "NONE": _push_made(lambda: None),
    "NEWTRUE": _push_made(lambda: True),
    "NEWFALSE": _push_made(lambda: False),
    **dict.fromkeys(("BININT", "BININT1", "BININT2", "INT", "LONG1"), _push),
    # Python 2's strings: pickletools hands them out as Latin-1.
    **dict.fromkeys(("SHORT_BINSTRING", "BINSTRING"), lambda machine, text: _push(machine, _encode_latin(text))),
    **dict.fromkeys(("SHORT_BINBYTES", "BINBYTES", "BINUNICODE"), _push),
    "TUPLE": lambda machine, _: machine.stack.append(tuple(machine.since_mark())),
    "TUPLE1": _make_tuple(1),
    "TUPLE2": _make_tuple(2),
    "TUPLE3": _make_tuple(3),
    "APPEND": lambda machine, _: _extend(machine, machine.take(1)),
    "APPENDS": lambda machine, _: _extend(machine, machine.since_mark()),
    "SETITEM": lambda machine, _: _set_pairs(machine, machine.take(2)),
    "SETITEMS": lambda machine, _: _set_pairs(machine, machine.since_mark()),
    **dict.fromkeys(("BINPUT", "LONG_BINPUT"), _remember),
    **dict.fromkeys(("BINGET", "LONG_BINGET"), _recall),
    "GLOBAL": _push_word,
    "REDUCE": _call,
    "BUILD": _fill,
    "STOP": lambda machine, _: None,
}


def read_plain_pickle(path: Path) -> dict[str, Any]:
    """The dict that a pickle holds, its keys as text. Values: int, bytes, str, list, uint8 arrays. Nothing is executed.

    Raises ImageError I40 for a file that is cut off or no pickle of a dict, I41 for one that asks for anything but
    plain values; StorageError where it cannot be read.
    """
    try:
        size = path.stat().st_size
        content = path.read_bytes() if size <= LARGEST_FILE else b""
    except OSError as problem:
        raise unreadable(path, problem) from problem
    if size > LARGEST_FILE:
        raise ImageError("I40", f"{size:,} bytes; such files have at most {LARGEST_FILE:,}", where=path)
    try:
        value = _build(content)
    except _Refused as problem:
        what = f"a pickle that holds more than plain data: {problem}; it was not executed"
        do = "do not open it with other programs; fetch the data set again from its authors' page"
        raise ImageError("I41", what, where=path, do=do) from problem
    except (_Cut, ValueError, TypeError, OverflowError) as problem:  # ValueError: pickletools, where a file is cut off
        reason = str(problem).splitlines()[0] if str(problem) else type(problem).__name__
        do = "unpack or fetch it again"
        raise ImageError("I40", f"not a whole pickle ({reason})", where=path, do=do) from problem
    return {key.decode("latin-1") if isinstance(key, bytes) else str(key): _unwrap(v) for key, v in value.items()}


def _build(content: bytes) -> dict[Any, Any]:
    machine = _Machine()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of odd escapes in texts of steps that are refused below
        for opcode, argument, _ in pickletools.genops(content):
            step = _STEPS.get(opcode.name)
            if step is None:
                raise _Refused(f"it asks for the step {opcode.name}")
            step(machine, argument)
    if len(machine.stack) != 1 or not isinstance(machine.stack[0], dict):
        raise _Cut("it holds no dict")
    return machine.stack[0]


def _unwrap(value: Any) -> Any:
    return value.value if isinstance(value, _Array) else value
