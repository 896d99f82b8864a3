"""`fewlabels review`: open a run, its answers and its graph, and serve the page until it is stopped."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from ..choosing.words import describe_estimated, name_member
from ..data.tables.columns import Columns
from ..errors import ConfigError, StorageError
from ..review.desk import Desk, Run
from ..review.engine.engine import Engine
from ..review.engine.estimate import Estimate
from ..review.engine.live import open_live
from ..review.export import More, export_labels, find_kind
from ..review.finishing import Finished
from ..review.items import Items, open_items, read_class_names, read_reviewable
from ..review.store.file import NAME, find_review_folder, identify_run, make_local_folder, open_store, refuse_older
from ..review.store.store import Store
from ..review.web.opening import Opening, Progress, Stopped, Tell
from ..review.web.process import Endpoint, check_host, format_address, listen, make_access, serve
from ..review.web.security import Guard
from ..runs import Run as RunFolder
from ..runs import RunLock, is_finished, is_labelling, read_run, refuse_existing
from ..storage import durable
from .begin import Beginning, give_answers, make_classes

ADDRESS = "address"  # file beside the answers: where the page is served, or was last; without its key
PLACE = re.compile(r"http://[\w.:\[\]-]{1,255}:[0-9]{1,5}/")


@dataclass(frozen=True)
class Review:
    """What is asked of a review.

    understood: that others may reach the page (`--i-understand`). export: file of labels to write at the end.
    force: replace that file if it exists. say: is told the address, once the page is served.
    """

    endpoint: Endpoint
    understood: bool = False
    export: Path | None = None
    force: bool = False
    say: Callable[[str], None] = print


@dataclass(frozen=True)
class Reviewed:
    """How a review stood when its server stopped. estimate: of the share of right labels. num_classes: by then."""

    run: Path
    answered: int
    skipped: int
    event: int
    export: Path | None
    estimate: Estimate | None = None
    num_classes: int = 0


@dataclass(frozen=True)
class _Opened:
    """A review that can be served."""

    items: Items
    store: Store
    engine: Engine
    desk: Desk


def run_review(run: Path, asked: Review, beginning: Beginning | None = None) -> Reviewed:
    """Serve the page of a run until SIGINT or SIGTERM.

    beginning: of a labelling, whose run is made first, while the page shows how far that is; None for a run that is
    there. Raises ConfigError C79 for a port that is taken, C80 for a host that others can reach, C11 where another
    server has this review, all before anything is read; what `find_kind`, `refuse_existing`, `open_items`, `open_store`
    and the beginning raise; KeyboardInterrupt where it was stopped before there was a run.
    """
    check_host(asked.endpoint, understood=asked.understood)
    kind = ""
    if asked.export is not None:
        kind = find_kind(asked.export)
        refuse_existing(asked.export, force=asked.force)
    if beginning is None:
        read_reviewable(run)
    folder = make_local_folder(find_review_folder(run))
    last_port = _parse_port(_read_last_address(folder))
    with _hold_alone(folder), listen(replace(asked.endpoint, usual_port=last_port)) as place:
        access = make_access(asked.endpoint, place.getsockname()[1])
        with suppress(StorageError):  # the next review has another address then; nothing else is lost
            durable.write_text(folder / ADDRESS, f"{format_address(asked.endpoint, access.port)}\n")
        opening = Opening(partial(_begin, run, folder, beginning))
        begin = opening.work_now if beginning is None or beginning.make is None else opening.start
        try:
            begin()
            serve(Guard(opening, access), asked.endpoint, access, place, asked.say, opening.is_over)
            opening.close()
            if isinstance(opening.failure, Stopped):
                raise KeyboardInterrupt  # that is what stopped it
            if opening.failure is not None:
                raise opening.failure
            return _end(run, asked, kind, folder, opening.opened)
        finally:
            opening.close()
            if opening.opened is not None:
                opening.opened.desk.close()


def _end(run: Path, asked: Review, kind: str, folder: Path, opened: _Opened | None) -> Reviewed:
    """How it stands when the server has stopped; the export, where that was asked."""
    assert opened is not None
    items, store, desk = opened.items, opened.store, opened.desk
    replaced = desk.find_replaced()
    desk.close()
    if asked.export is not None:
        durable.make_folder(asked.export.parent)
        more = More(store.classes.names, store.left_out())
        data = export_labels(items, opened.engine.state, store.labels(), kind, store.event, more=more)
        durable.write_bytes(asked.export, data)
    if replaced:
        raise refuse_older(folder / NAME, replaced)
    return Reviewed(
        run, store.answered, store.skipped, store.event, asked.export, desk.estimate, len(store.classes.live_names)
    )


def _begin(run: Path, folder: Path, beginning: Beginning | None, tell: Tell) -> _Opened:
    """Make the run where it is to be made, and open its review."""
    if beginning is not None and beginning.make is not None:
        beginning.make(tell)
        tell(Progress("preparing"))
    found = read_reviewable(run)
    store = open_store(folder, identify_run(run), read_class_names(found))
    with suppress(StorageError):  # it is written with the first answer then
        durable.remove_leftovers(folder)
        store.acknowledge()
    try:
        items = open_items(run)
        make_classes(store, items.named)
        if beginning is not None and beginning.labels is not None:
            give_answers(store, items.ids, beginning.labels)
        live = open_live(items.descriptors, items.settings, items.class_descriptors) if is_labelling(run) else None
        engine = Engine(items, store.numbers(), classes=store.classes, live=live)
        export = partial(export_labels, items)
        desk = Desk(_describe_run(run, found), items, store, engine, export, _choose_finish(run))
    except BaseException:
        store.close()
        raise
    return _Opened(items, store, engine, desk)


def _describe_run(run: Path, found: RunFolder) -> Run:
    """What the page shows of the run; a note on its graph is said in the terminal too."""
    labelling = found.kind == "label"
    note = "" if labelling else describe_graph(found.facts["settings"])
    if note:
        print(note, file=sys.stderr, flush=True)
    return Run(str(found.facts.get("title") or run.name), str(run.absolute()), note)


def _choose_finish(run: Path) -> Callable[[], Finished] | None:
    """What seals a labelling that is not finished; None for any other run."""
    if not is_labelling(run) or is_finished(run):
        return None
    from .label import finish_from_page

    return partial(finish_from_page, run)


def describe_graph(settings: Mapping[str, Any]) -> str:
    """That a review solves one graph where something else answered in the run; empty where it is the same.

    settings: of run.json.
    """
    members = settings.get("answer", {}).get("members", [])
    if not members or [member["kind"] for member in members] == ["graph"]:
        return ""
    graph = settings["graph"]
    words = " + ".join(f"{100 * member['share']:.0f} % {name_member(member)}" for member in members)
    named = f"n_neighbors {graph['n_neighbors']}, alpha {graph['alpha']:g}"
    return f"In this run {words} answered; the review solves its graph alone ({named}), and chooses nothing again."


@contextmanager
def _hold_alone(folder: Path) -> Iterator[None]:
    """Nobody else serves this review. Where somebody does, the error says at which address."""
    with ExitStack() as held:
        try:
            held.enter_context(RunLock(folder))
        except ConfigError as problem:
            last = _read_last_address(folder)
            page = f"its page is {last}, for the browser that opened it already; " if last else ""
            do = f"{page}the address with its key is in the terminal where it runs; {problem.do}"
            raise ConfigError("C11", problem.what, where=folder, do=do) from problem
        yield


def _read_last_address(folder: Path) -> str:
    """Where the page is, or was last, without its key; empty where that is not told."""
    file = folder / ADDRESS
    found = file.read_text(errors="replace").strip() if file.is_file() else ""
    return found if PLACE.fullmatch(found) and _parse_port(found) < 65536 else ""


def _parse_port(address: str) -> int:
    """The port in such an address; 0 in an empty one."""
    return int(address.rpartition(":")[2].rstrip("/") or 0)


def format_reviewed(reviewed: Reviewed) -> str:
    """How it stood and what to do with the answers, for the terminal."""
    out = reviewed.export or Path("reviewed.csv")
    answers = f"{reviewed.answered:,} answer{'' if reviewed.answered == 1 else 's'}"
    skipped = f"{reviewed.skipped:,} row{'' if reviewed.skipped == 1 else 's'} skipped"
    lines = [f"{answers}, {skipped}; all of them are saved"]
    if reviewed.estimate is not None and (said := describe_estimate(reviewed.estimate)):
        lines.append(said)
    if is_labelling(reviewed.run):
        return "\n".join([*lines, *_say_how_to_go_on(reviewed)])
    export = ["fewlabels", "export", str(reviewed.run), "--out", str(out)]
    lines += [] if reviewed.export else [f"write them   {shlex.join(export)}"]
    if command := _make_next_command(reviewed.run, out):
        lines.append(f"go on        {command}")
    return "\n".join(lines)


def _say_how_to_go_on(reviewed: Reviewed) -> list[str]:
    """Of a labelling: to answer more and to finish it, or what is done with a finished one."""
    from .label import describe_next

    run = str(reviewed.run)
    if is_finished(reviewed.run):
        return describe_next(reviewed.run)
    lines = [f"go on        {shlex.join(['fewlabels', 'label', run])}"]
    if reviewed.num_classes > 1:
        lines.append(f"finish it    {shlex.join(['fewlabels', 'label', run, '--finish'])}")
    return lines


def describe_estimate(found: Estimate) -> str:
    """How many labels are right, by the random sample; how many answers are missing until that can be said."""
    if not found.is_told:
        return f"about {found.until} more answers until an estimate of how many labels are right"
    return describe_estimated(found.to_json())


def _make_next_command(run: Path, labels: Path) -> str:
    """What goes on from the answers: training for images of the user's own, propagation for embeddings."""
    source = read_run(run).facts["source"]
    if source["kind"] == "images":
        words = ["train", source["path"], "--continue-from", str(run), "--labels", str(labels)]
    elif source["kind"] == "embeddings":
        words = ["propagate", source["path"], "--labels", str(labels), "--out", f"{labels.stem}-propagated.parquet"]
        words += Columns.of_run(source["columns"]).words()
    else:
        return ""
    return shlex.join(["fewlabels", *words])


def describe_reviewed(reviewed: Reviewed) -> dict[str, Any]:
    """The same for machines."""
    return {
        "run": str(reviewed.run),
        "answered": reviewed.answered,
        "skipped": reviewed.skipped,
        "event": reviewed.event,
    }
