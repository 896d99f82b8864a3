"""A lock that keeps a second process from writing to a run folder.

`.lock` in the folder names the process that writes there: pid, host and boot. The system's own lock on that file goes
with the process however it ends, so what a dead process left is taken over without a guess. A lock of another machine
is believed, because nobody here can tell whether its process lives.
"""

from __future__ import annotations

import json
import os
import socket
import sys
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

from ..errors import ConfigError
from . import durable

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

LOCK = ".lock"
MOST = 4096  # bytes that are read of it
RANGE = 1 << 20  # Windows locks bytes, also against reading: one beyond the text


class RunLock:
    """`with RunLock(folder):` no other process writes there. The folder must exist; `.lock` is removed afterwards.

    Raises ConfigError (C11) where another process holds it, StorageError (D1) where it cannot be made.
    """

    def __init__(self, folder: str | Path) -> None:
        self._path = Path(folder) / LOCK
        self._descriptor: int | None = None

    def __enter__(self) -> RunLock:
        with durable.storage_errors(self._path):
            self._descriptor = _acquire(self._path)
            try:
                os.ftruncate(self._descriptor, 0)
                os.lseek(self._descriptor, 0, os.SEEK_SET)
                os.write(self._descriptor, json.dumps(describe_process()).encode())
            except BaseException:
                self._release()
                raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._release()

    def _release(self) -> None:
        assert self._descriptor is not None
        if sys.platform != "win32":  # which cannot remove what is open
            self._path.unlink(missing_ok=True)
        os.close(self._descriptor)
        self._descriptor = None
        if sys.platform == "win32":
            with suppress(OSError):  # the next one has it already
                self._path.unlink(missing_ok=True)


def describe_process() -> dict[str, Any]:
    """What the lock says of its holder: pid, host, and boot, another after each start of the machine, "" if unknown."""
    boot = Path("/proc/sys/kernel/random/boot_id")
    return {
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "boot": boot.read_text().strip() if boot.is_file() else "",
    }


def _acquire(path: Path) -> int:
    """Open and lock the file, and return its descriptor. The file may still name the process that had it before."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o666)
        try:
            state = _try_lock(descriptor)
            holder = _read_holder(descriptor)
            if state == "busy" or _may_live(holder, state):
                raise ConfigError(
                    "C11",
                    f"another process writes to this run: pid {holder.get('pid')} on {holder.get('host')}",
                    where=path.parent,
                    do=f"wait until it has ended, or stop it; where its machine is gone, remove {LOCK} in the folder",
                )
            if _is_still_there(descriptor, path):
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)  # its holder removed the file between our opening and our locking: once more


def _try_lock(descriptor: int) -> Literal["ours", "busy", "unknown"]:
    """Ask the system for the lock; "unknown" where the file system has no locks (some network ones)."""
    if sys.platform == "win32":
        os.lseek(descriptor, RANGE, os.SEEK_SET)
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return "busy"
        return "ours"
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return "busy"
    except OSError:
        return "unknown"
    return "ours"


def _read_holder(descriptor: int) -> dict[str, Any]:
    """What the file says of its holder; nothing where it is empty or damaged."""
    os.lseek(descriptor, 0, os.SEEK_SET)
    try:
        found = json.loads(os.read(descriptor, MOST))
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _may_live(holder: dict[str, Any], state: str) -> bool:
    """Whether the process may still run, given that the system did not refuse the lock."""
    if not holder:
        return False
    here = describe_process()
    same_boot = holder.get("boot") == here["boot"]
    if holder.get("host") != here["host"] and not (same_boot and here["boot"]):  # containers share a boot
        return True
    return state == "unknown" and same_boot and _is_running(holder.get("pid"))


def _is_running(pid: object) -> bool:
    try:
        os.kill(int(str(pid)), 0)
    except PermissionError:
        return True  # somebody else's
    except (OSError, ValueError, OverflowError):
        return False
    return True


def _is_still_there(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.lstat())
    except FileNotFoundError:
        return False
