"""A labelling that is finished from its page: on a thread of its own, once, while answers go on being taken."""

from __future__ import annotations

import threading
import traceback
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Literal

from ..errors import FewlabelsError

State = Literal["none", "open", "running", "done", "failed"]


@dataclass(frozen=True)
class Finished:
    """What came of it. said: in words. next: what can be done now -> by which command."""

    said: str
    next: Mapping[str, str] = field(default_factory=dict)


class Finishing:
    """Does a job once, unless it failed. Anybody may ask how far it is."""

    def __init__(self, job: Callable[[], Finished] | None) -> None:
        """job: seals the labelling, on another thread; None where there is nothing to finish."""
        self._job = job
        self._state: State = "none" if job is None else "open"
        self._found, self._problem = Finished(""), ""
        self._thread = ThreadPoolExecutor(1, "fewlabels-finish")
        self._lock = threading.Lock()

    def start(self) -> dict[str, Any]:
        """Begin, where it can begin; returns at once with `describe`."""
        with self._lock:
            if self._state in ("open", "failed"):
                self._state, self._problem = "running", ""
                self._thread.submit(self._finish)
        return self.describe()

    def describe(self) -> dict[str, Any]:
        """How far it is, for JSON."""
        steps = [{"what": what, "command": command} for what, command in self._found.next.items()]
        return {"state": self._state, "said": self._found.said, "next": steps, "problem": self._problem}

    def close(self) -> None:
        """Wait until what was begun is done: half a labelling is none."""
        self._thread.shutdown(wait=True)

    def _finish(self) -> None:
        assert self._job is not None
        try:
            self._found = self._job()
            self._state = "done"
        except FewlabelsError as problem:
            self._problem, self._state = problem.what + (f"; {problem.do}" if problem.do else ""), "failed"
        except Exception as problem:  # noqa: BLE001  the page is told, and answers go on being saved
            traceback.print_exc()
            self._problem, self._state = f"{type(problem).__name__}: {problem}", "failed"
