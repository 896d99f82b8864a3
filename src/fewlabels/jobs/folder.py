"""The folder of a training run before and after its steps: who writes there, and what a killed one left."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from ..errors import ConfigError
from ..runs import RunLock, RunWriter, is_begun, is_finished, read_run, refuse_used_folder
from ..storage.durable import make_folder
from ..training.checkpoint import Checkpoints
from ..training.distributed import Group
from ..training.identity import differences, listed_differences, plain

CHECKPOINTS = ".checkpoints"  # hidden: not part of what a finished run seals, and removed then


def results_before(folder: Path, asked: Mapping[str, Any] | None = None) -> dict[str, Any] | None:
    """The results of a run that is finished, and of which nothing is left that it needed on its way; else None.

    asked: what run.json has to say; raises ConfigError (C12) where it says something else.
    """
    if not is_finished(folder) or any(path.name.startswith(".") for path in folder.iterdir()):
        return None
    run = read_run(folder)
    now = plain(dict(asked or {}))
    if found := differences({key: run.facts.get(key) for key in now}, now):
        what = f"the run there is finished, and was made with other options: {listed_differences(found)}"
        raise ConfigError("C12", what, where=folder, do="choose another --out for a new run")
    return run.results


def tidied(folder: Path) -> None:
    """Take away what a run that was killed after its end left. The folder is locked."""
    RunWriter.taken_up(folder)  # which takes away temporary files
    Checkpoints(folder / CHECKPOINTS, {}).remove_all()


@contextmanager
def alone_in(folder: Path, group: Group, device: str, *, resume: bool) -> Iterator[None]:
    """The folder, made and locked by the first process; if it cannot, all fail."""

    def entered() -> None:
        if not (resume and is_begun(folder)):
            refuse_used_folder(folder)
        make_folder(folder)
        held.enter_context(RunLock(folder))

    with ExitStack() as held:
        group.by_leader(entered, device)
        yield


def command_to_go_on(folder: Path, size: int) -> list[str]:
    """What goes on from here: this command again, in as many processes, with --resume and the folder's name."""
    start = ["fewlabels"]
    if size > 1:
        here = os.environ.get("LOCAL_WORLD_SIZE", str(size))
        start = ["torchrun", "--nproc-per-node", here, "-m", "fewlabels"]
    words = [*start, *sys.argv[1:]]
    words += [] if "--out" in words else ["--out", str(folder)]
    return words + ([] if "--resume" in words else ["--resume"])
