"""Disks that fail: a kill or an error at the n-th call that changes something, and a loss of power after any of them.

All of it sits on the functions at the top of durable.py, the only ones that change anything on disk.
"""

import os
import random
from contextlib import contextmanager
from pathlib import Path

import pytest

from fewlabels.storage import durable

CALLS = ("_create", "_open_to_append", "_write", "_fsync", "_rename", "_sync_folder", "_make", "_unlink", "_remove")


class Killed(BaseException):
    """What SIGKILL would do: nothing that changes the disk runs after it, whoever catches it."""


@contextmanager
def faulty(fault):
    """Within the block every call goes to `fault(name, number, call, *arguments)`; numbers count from 1.

    Gives the list of the calls' names so far.
    """
    names = []

    def through(name, call):
        def wrapped(*arguments):
            names.append(name)
            return fault(name, len(names), call, *arguments)

        return wrapped

    with pytest.MonkeyPatch.context() as patch:
        for name in CALLS:
            patch.setattr(durable, name, through(name, getattr(durable, name)))
        yield names


def quick(name, number, call, *arguments):
    """No fault; flushing is left out, which nobody sees who keeps the machine running."""
    return None if name == "_fsync" else call(*arguments)


def killed_at(last, *, torn=False):
    """A kill at call `last`, which is not made any more; `torn`: a write is, up to its middle."""

    def fault(name, number, call, *arguments):
        if number == last and torn and name == "_write":
            descriptor, data = arguments
            call(descriptor, data[: len(data) // 2])
        if number >= last:
            raise Killed
        return quick(name, number, call, *arguments)

    return fault


def error_at(first, number_of_error, forever):
    """An OSError at call `first`; where `forever`, at every later one that needs room, too."""

    def fault(name, number, call, *arguments):
        if number == first or (forever and number > first and name in ("_create", "_write", "_make")):
            raise OSError(number_of_error, os.strerror(number_of_error))
        return quick(name, number, call, *arguments)

    return fault


class File:
    """What was written, and how much of it is sure to be on the disk."""

    def __init__(self):
        self.data, self.synced = b"", b""

    def after_power_loss(self, rng, path):
        torn = self.data[: 512 * rng.randint(0, len(self.data) // 512)]
        outcomes = [self.data, self.synced, bytes(len(self.data)), torn]
        path.write_bytes(self.data if self.data == self.synced else rng.choice(outcomes))


class Folder:
    """Its names, and the changes of them that no flush has made sure yet."""

    def __init__(self):
        self.live, self.synced, self.pending = {}, {}, []

    def change(self, name, node, old=None):
        _apply(self.live, name, node, old)
        self.pending.append((name, node, old))

    def sync(self):
        for change in self.pending:
            _apply(self.synced, *change)
        self.pending = []

    def after_power_loss(self, rng, path):
        """Any of the pending changes may have been made, whatever their order."""
        names, share = dict(self.synced), rng.choice([0, 0.5, 1])
        for change in self.pending:
            if rng.random() < share:
                _apply(names, *change)
        path.mkdir()
        for name, node in names.items():
            node.after_power_loss(rng, path / name)


def _apply(names, name, node, old):
    """Give `node` the name (None: nobody has it any more), and take the old name away."""
    names.pop(old, None)
    names.pop(name, None)
    if node is not None:
        names[name] = node


class PowerLoss:
    """A `fault` that follows every call in memory and hands folders as a loss of power may leave them to `look`.

    base: the folder that is followed. scratch: where states are written. blind: calls that this disk forgets to obey.
    """

    def __init__(self, base: Path, scratch: Path, look, *, states: int, seed: int, blind=()):
        self.base, self.scratch, self.look, self.states, self.blind = base, scratch, look, states, blind
        self.rng, self.root, self.open, self.seen = random.Random(seed), Folder(), {}, 0

    def __call__(self, name, number, call, *arguments):
        result = quick(name, number, call, *arguments)
        if name not in self.blind:
            getattr(self, name)(result, *arguments)
        for _ in range(self.states):
            self.seen += 1
            place = self.scratch / str(self.seen)
            self.root.after_power_loss(self.rng, place)
            self.look(place)
        return result

    def _folder(self, path):
        node = self.root
        for part in path.relative_to(self.base).parts:
            node = node.live[part]
        return node

    def _create(self, descriptor, path):
        self.open[descriptor] = File()
        self._folder(path.parent).change(path.name, self.open[descriptor])

    def _write(self, count, descriptor, data):
        self.open[descriptor].data += data[:count]

    def _fsync(self, result, descriptor):
        if descriptor in self.open:  # else a folder's: see _sync_folder
            self.open[descriptor].synced = self.open[descriptor].data

    def _rename(self, result, source, target):
        parent = self._folder(source.parent)
        parent.change(target.name, parent.live[source.name], source.name)

    def _sync_folder(self, result, folder):
        if folder == self.base or self.base in folder.parents:
            self._folder(folder).sync()

    def _make(self, result, folder):
        if folder.name not in self._folder(folder.parent).live:
            self._folder(folder.parent).change(folder.name, Folder())

    def _unlink(self, result, path):
        self._folder(path.parent).change(path.name, None)

    _remove = _unlink
