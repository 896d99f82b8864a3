"""Stopping a run by a signal: noted when it comes, obeyed by the loop where the state can be saved."""

from __future__ import annotations

import os
import shlex
import signal
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from types import FrameType, TracebackType
from typing import Any

from ..errors import Interrupted

NAMES = ("SIGTERM", "SIGINT", "SIGUSR1", "SIGHUP")
STOPPING = "\nstopping after this step, saving; Ctrl+C again to quit now\n"
ONE_KEY_PRESS = 0.5  # seconds: a launcher hands on the SIGINT that the terminal sent to everybody


class Stopped(Exception):
    """The loop was asked to stop and has saved its state; raised in every process of a group."""


class StopRequested:
    """`with StopRequested() as stop:` SIGTERM, SIGINT, SIGUSR1 and SIGHUP only set `stop.requested`, the signal number.

    The loop looks at it where it can save. A second SIGINT raises KeyboardInterrupt at once. Signals that were ignored
    stay so (nohup). Afterwards everything is as before. Outside of the main thread, where Python takes no handlers,
    nothing is caught and `requested` stays None.

    say: called with a line of text at once when a SIGINT comes.
    """

    def __init__(self, say: Callable[[str], object] = lambda text: None) -> None:
        self._say = say
        self._noted: int | None = None
        self._launcher = os.getppid() if "TORCHELASTIC_RUN_ID" in os.environ else None
        self._last_interrupt: float | None = None
        self._before: dict[signal.Signals, Any] = {}

    @property
    def requested(self) -> int | None:
        """The first signal. A torchrun that is gone, which ends nothing by itself, counts as SIGHUP."""
        if self._noted is None and self._launcher is not None and os.getppid() != self._launcher:
            self._noted = getattr(signal, "SIGHUP", signal.SIGTERM)
        return self._noted

    def __enter__(self) -> StopRequested:
        if threading.current_thread() is threading.main_thread():
            numbers = [getattr(signal, name) for name in NAMES if hasattr(signal, name)]
            self._before = {n: signal.getsignal(n) for n in numbers if signal.getsignal(n) is not signal.SIG_IGN}
            for number in self._before:
                signal.signal(number, self._note)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for number, handler in self._before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)  # None: not installed from Python
        self._before = {}

    def _note(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT:
            now, last = time.monotonic(), self._last_interrupt
            if last is not None and now - last > ONE_KEY_PRESS:
                raise KeyboardInterrupt
            if last is None:
                self._last_interrupt = now
                self._say(STOPPING)
        if self._noted is None:
            self._noted = number


def write_to_stderr(text: str) -> None:
    """Write past Python's buffers, which a signal handler may find in the middle of a write."""
    with suppress(OSError):
        os.write(2, text.encode())


def make_interrupt_error(number: int | None, step: int | None, command: Sequence[str]) -> Interrupted:
    """The error to raise once the state is saved. command: the words of the command that resumes the run.

    number: the signal; None where another process got it. step: of the checkpoint; None where another process saved.
    """
    number = signal.SIGTERM if number is None else number
    after = "" if step is None else f" after step {step}"
    what = f"stopped by {signal.Signals(number).name}{after}; the checkpoint was saved"
    return Interrupted(number, what, do=f"go on with: {shlex.join(command)}")
