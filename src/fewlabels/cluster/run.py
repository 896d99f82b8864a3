"""One propagation over a folder of files: its stages, each done once, whoever was killed meanwhile."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from shutil import rmtree
from typing import Any

from ..errors import ConfigError
from ..graph.types import Progress, no_progress
from ..storage import durable
from .engine import Engine
from .store import Journal, Store

IDENTITY = "task.json"
WITHIN = "graph-"  # how folders of graphs begin
IDS = "ids.arrow"  # of the rows, where they are no numbers


@dataclass
class Run:
    """engine: what runs the tasks. store: where their files are. facts: what stages found, for the results."""

    engine: Engine
    store: Store
    on_progress: Progress = no_progress
    facts: dict[str, Any] = field(default_factory=dict)

    def each(self, stage: str, function: Callable[..., Any], tasks: Sequence[tuple[Any, ...]]) -> list[Any]:
        """What function(*arguments) finds for each task, in their order. Tasks that are done are not done again."""
        journal = Journal(self.store, stage)
        found = journal.read()
        left = {number: task for number, task in enumerate(tasks) if number not in found}
        self.on_progress(stage, len(found) / max(1, len(tasks)))

        def on_done(number: int, value: Any) -> None:
            journal.add(number, value)
            found[number] = value
            self.on_progress(stage, len(found) / len(tasks))

        if left:
            self.engine.each(function, left, on_done)
        return [found[number] for number in range(len(tasks))]

    def once(self, stage: str, compute: Callable[[], Any]) -> Any:
        """What compute() finds here, in the process that leads; not computed again where it is known."""
        journal = Journal(self.store, stage)
        found = journal.read()
        if 0 not in found:
            self.on_progress(stage, 0.0)
            found[0] = compute()
            journal.add(0, found[0])
        return found[0]

    def within(self, name: str) -> Run:
        """A run of some stages of its own, in a folder within this one."""
        return Run(self.engine, self.store.inside(f"{WITHIN}{name}"), self.on_progress, dict(self.facts))


def find_results(run: Run, out: Path) -> dict[str, Any] | None:
    """What a run that is done has found; None for one that is not.

    Raises ConfigError (C140) where its tables are gone.
    """
    found = Journal(run.store, "results").read()
    if 0 not in found:
        return None
    results: dict[str, Any] = found[0]
    if len(list(out.glob("part-*.parquet"))) < results["cluster"]["partitions"]:
        do = "remove that folder, and give the command again"
        raise ConfigError("C140", f"the run in {run.store.folder} is done, and its tables are gone", where=out, do=do)
    return results


def finish(run: Run, results: dict[str, Any], *, keep: bool) -> dict[str, Any]:
    """Note that all is done, and remove what stages handed to each other, unless it is to be kept."""
    Journal(run.store, "results").add(0, results)
    if not keep:
        run.store.remove("*")
        for place in Path(run.store.folder).glob(f"{WITHIN}*"):
            rmtree(place, ignore_errors=True)
        (Path(run.store.folder) / IDS).unlink(missing_ok=True)
    return results


def open_run(engine: Engine, work: Path, identity: dict[str, Any], on_progress: Progress) -> Run:
    """The run in the folder `work`, begun or to be gone on with.

    identity: the settings and the state of the files. Raises ConfigError (C140) where the folder holds another task's.
    """
    durable.make_folder(work)
    known, asked = work / IDENTITY, json.loads(json.dumps(identity))
    if known.exists():
        before = json.loads(known.read_text(encoding="utf-8"))
        odd = sorted(name for name in {*before, *asked} if before.get(name) != asked.get(name))
        if odd:
            what = f"the folder of --work was begun with other {', '.join(odd)}"
            raise ConfigError("C140", what, where=work, do="name another folder, or remove this one")
    else:
        others = [path.name for path in work.iterdir() if not path.name.startswith(".")]
        if others:
            what = f"the folder of --work holds something else, such as {sorted(others)[0]}"
            raise ConfigError("C140", what, where=work, do="name an empty or a new folder that all workers see")
        durable.write_json(known, asked)
    return Run(engine, Store(str(work.absolute())), on_progress)
