"""`fewlabels review`: open a run, its answers and its graph, and serve the page until it is stopped."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from .. import durable
from ..errors import StorageError
from ..review.desk import Desk, Run
from ..review.engine import Engine
from ..review.export import exported, kind_of
from ..review.items import Items, open_items
from ..review.server import review_app
from ..review.server_run import Door, access_to, check_host, listening, serve
from ..review.store import Store
from ..review.store_file import local_folder, open_store, review_folder, run_identity
from ..runs import RunLock, read_run

PORT = "port"  # file beside the answers: where the page was served last


@dataclass(frozen=True)
class Review:
    """understood: that others may reach the page (`--i-understand`). labels: table of labels to write at the end.

    say: is told the address, once the page is served.
    """

    door: Door
    understood: bool = False
    labels: Path | None = None
    say: Callable[[str], None] = print


@dataclass(frozen=True)
class Reviewed:
    """How a review stood when its server stopped."""

    run: Path
    answered: int
    skipped: int
    event: int
    labels: Path | None


def run_review(run: Path, asked: Review) -> Reviewed:
    """Serve the page of a run until SIGINT or SIGTERM.

    Raises ConfigError C79 for a port that is taken, C80 for a host that others can reach, C11 where another server has
    this review; what `open_items` and `open_store` raise.
    """
    check_host(asked.door, understood=asked.understood)
    kind = "" if asked.labels is None else kind_of(asked.labels)
    facts = read_run(run).facts
    folder = local_folder(review_folder(run))
    with RunLock(folder):
        store = open_store(folder, run_identity(run))
        try:
            items = open_items(run)
            engine = Engine(items, _numbers(store, items))
            shown = Run(str(facts.get("title") or run.name), str(run.absolute()))
            desk = Desk(shown, items, store, engine, partial(exported, items))
        except BaseException:
            store.close()
            raise
        try:
            _serve(desk, asked, folder)
        finally:
            desk.close()
        if asked.labels is not None:
            durable.write_bytes(asked.labels, exported(items, engine.state, store.labels(), kind, store.event))
        return Reviewed(run, store.answered, store.skipped, store.event, asked.labels)


def _numbers(store: Store, items: Items) -> dict[int, int]:
    """Row -> number of the class, -1 where an answer was taken back, for the engine."""
    number = {name: code for code, name in enumerate(items.class_names)}
    return {row: -1 if name is None else number[name] for row, name in store.answers().items()}


def _serve(desk: Desk, asked: Review, folder: Path) -> None:
    last = folder / PORT
    usual = int(last.read_text()) if last.is_file() and last.read_text().strip().isdecimal() else 0
    place = listening(replace(asked.door, usual_port=usual if usual < 65536 else 0))
    access = access_to(asked.door, place.getsockname()[1])
    with suppress(StorageError):  # the next review has another address then; nothing else is lost
        durable.write_text(last, f"{access.port}\n")
    serve(review_app(desk, access), asked.door, access, place, asked.say)


def reviewed_text(reviewed: Reviewed) -> str:
    """What to do with the answers, for the terminal."""
    out = reviewed.labels or Path("reviewed.csv")
    lines = [f"{reviewed.answered} answers, {reviewed.skipped} rows skipped; all of them are saved"]
    lines += [] if reviewed.labels else [f"write them   fewlabels export {reviewed.run} --out {out}"]
    lines += [f"go on        fewlabels train DATA --continue-from {reviewed.run} --labels {out}"]
    return "\n".join(lines)


def reviewed_json(reviewed: Reviewed) -> dict[str, Any]:
    """The same for machines."""
    return {
        "run": str(reviewed.run),
        "answered": reviewed.answered,
        "skipped": reviewed.skipped,
        "event": reviewed.event,
    }
