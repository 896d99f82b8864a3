"""The tests. Helpers are imported by their whole names, such as tests.graph.cases."""

import os
import signal
import threading
from pathlib import Path

ROOT = Path(__file__).parent.parent


def let_children_hear_signals() -> None:
    """Undo for child processes that this one was started with SIGINT or SIGHUP ignored, as in the background.

    A program inherits what its parent ignores, and not what its parent handles: so the tests handle what they were
    told to ignore, by doing nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    for number in (signal.SIGINT, getattr(signal, "SIGHUP", signal.SIGINT)):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, lambda *_: None)


def child_environment(**more: str) -> dict[str, str]:
    """The environment of a process that imports tests, from wherever it is started."""
    before = os.environ.get("PYTHONPATH")
    return os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{before}" if before else str(ROOT)} | more
