"""The page while a run is being made that it is for: what is done, how far it is, what went wrong; then the review."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Generic, Literal, Protocol, TypeVar

from fastapi import FastAPI
from fastapi.responses import JSONResponse, Response

from ...errors import FewlabelsError
from ..desk import Desk
from .app import add_page, build_api, make_api
from .requests import Receive
from .security import App, Scope, Send

PATIENCE_SECONDS = 5.0  # that a failure waits for a page to ask for it


@dataclass(frozen=True)
class Progress:
    """How far it is. done, total: photos; total 0 where that is not known. seconds: left, None where
    nothing can be told. problem: what went wrong, in words.
    """

    state: Literal["describing", "preparing", "failed"] = "preparing"
    done: int = 0
    total: int = 0
    seconds: float | None = None
    problem: str = ""


Tell = Callable[[Progress], None]


class Stopped(Exception):
    """Nobody waits for the work any longer."""


class HasDesk(Protocol):
    """What work leads to."""

    @property
    def desk(self) -> Desk: ...


T = TypeVar("T", bound=HasDesk)


class Opening(Generic[T]):
    """An app that answers how far `work` is until that leads to a desk, and from then on is the desk's."""

    def __init__(self, work: Callable[[Tell], T]) -> None:
        """work: tells how far it is. opened, failure: what it led to, or raised."""
        self._work, self._app = work, self._build()
        self._progress, self._failed_at, self._is_told, self._stop = Progress(), 0.0, False, False
        self._thread: threading.Thread | None = None
        self.opened: T | None = None
        self.failure: BaseException | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)

    def start(self) -> None:
        """Work on a thread of its own."""
        self._thread = threading.Thread(target=self._run, name="fewlabels-opening", daemon=True)
        self._thread.start()

    def work_now(self) -> None:
        """Work on this thread. Raises what the work raises."""
        self._run()
        if self.failure is not None:
            raise self.failure

    def is_over(self) -> bool:
        """Whether it failed, and a page has heard of it or none asks."""
        waited = time.monotonic() - self._failed_at > PATIENCE_SECONDS
        return self.failure is not None and (self._is_told or waited)

    def close(self) -> None:
        """Wait for the thread to end, where it has not; the next time that it tells how far it is ends it."""
        self._stop = True
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        try:
            self.opened = self._work(self._tell)
            self._app = build_api(self.opened.desk)
        except BaseException as problem:  # noqa: BLE001  kept for whoever started it
            what = problem.what if isinstance(problem, FewlabelsError) else f"{type(problem).__name__}: {problem}"
            do = problem.do if isinstance(problem, FewlabelsError) else ""
            self._progress = Progress("failed", problem=f"{what}; {do}" if do else what)
            self._failed_at, self.failure = time.monotonic(), problem

    def _tell(self, progress: Progress) -> None:
        if self._stop:
            raise Stopped
        self._progress = progress

    def _build(self) -> App:
        app: FastAPI = make_api("fewlabels, being opened")
        add_page(app)

        @app.get("/api/opening")
        async def opening() -> Response:
            self._is_told = self._progress.state == "failed"
            return JSONResponse(asdict(self._progress))

        return app
