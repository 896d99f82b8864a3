"""Going on with a run: after a kill, to the same bytes; or a new run from the weights of a finished one.

The same run: `lock_folder`, then `read_finished` or what `read_identity` and the checkpoints in CHECKPOINTS say. A new
run: `read_start`, then `reorder_classes` for its labels and `continue_from` for its task and settings.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..conventions import UNLABELED
from ..data.labels.files import Labels
from ..errors import SHOWN_ROWS, ConfigError, RunError, shown
from ..nets import ImageInput, NetworkSettings
from ..runs import RunLock, RunWriter, is_begun, is_finished, read_facts, read_run, refuse_used_folder, verify_run
from ..runs.origin import versions
from ..storage.durable import make_folder
from ..training.checkpoint import Checkpoints
from ..training.distributed import Group, count_processes
from ..training.identity import check_differences, find_differences, list_differences, to_plain
from ..training.settings import TrainSettings
from .task import Task

CHECKPOINTS = ".checkpoints"  # hidden: not part of what a finished run seals, and removed then
STUDENT, TEACHER, CONFIG = "model.safetensors", "teacher.safetensors", "model.json"


@contextmanager
def lock_folder(folder: Path, group: Group, device: str, *, resume: bool) -> Iterator[None]:
    """The first process makes the folder and holds its lock; if it cannot, all fail."""

    def entered() -> None:
        if not (resume and is_begun(folder)):
            refuse_used_folder(folder)
        make_folder(folder)
        held.enter_context(RunLock(folder))

    with ExitStack() as held:
        group.run_in_leader(entered, device)
        yield


def read_finished(folder: Path, asked: Mapping[str, Any] | None = None) -> dict[str, Any] | None:
    """The results of a run that is finished, and of which nothing is left that it needed on its way; else None.

    asked: what run.json has to say; raises ConfigError (C12) where it says something else.
    """
    if not is_finished(folder) or any(path.name.startswith(".") for path in folder.iterdir()):
        return None
    run = read_run(folder)
    now = to_plain(dict(asked or {}))
    if found := find_differences({key: run.facts.get(key) for key in now}, now):
        what = f"the run there is finished, and was made with other options: {list_differences(found)}"
        raise ConfigError("C12", what, where=folder, do="choose another --out for a new run")
    return run.results


def remove_leftovers(folder: Path) -> None:
    """Remove what a run that was killed after its end left. The folder is locked."""
    RunWriter.reopen(folder)  # which takes away temporary files
    Checkpoints(folder / CHECKPOINTS, {}).remove_all()


def read_identity(folder: Path) -> dict[str, Any]:
    """What must be the same for the run to be taken up, as run.json has it. Raises RunError (K2) where it has not."""
    facts = read_facts(folder)
    if "identity" not in facts:
        raise RunError("K2", "no identity of the run", where=folder / "run.json", do="start in another folder")
    return {"settings": facts["settings"], "speed": facts["speed"], **facts["identity"]}


def describe_machine(device: str, num_processes: int) -> dict[str, Any]:
    """What of the machine can change the last bits: versions, threads, processes and kind of device ("cpu", "cuda")."""
    return {
        "versions": {name: value for name, value in versions().items() if name not in ("commit", "cores")},
        "threads": torch.get_num_threads(),
        "world_size": num_processes,
        "device": device,
    }


def demand_same_machine(folder: Path, device: str) -> None:
    """Raise ConfigError (C12) where the run in the folder was made on another kind of machine than this: before minutes
    of reading. device: "cpu", "cuda" or "cuda:1". Nothing where there is no run.
    """
    there = Checkpoints(folder / CHECKPOINTS, {}).read_identity() or (
        read_identity(folder) if is_begun(folder) else None
    )
    if there is not None:
        now = describe_machine(torch.device(device).type, count_processes())
        check_differences({name: there.get(name) for name in now}, now, where=folder)


def command_to_go_on(folder: Path, size: int) -> list[str]:
    """What goes on from here: this command again, in as many processes, with --resume and the folder's name."""
    start = ["fewlabels"]
    if size > 1:
        here = os.environ.get("LOCAL_WORLD_SIZE", str(size))
        start = ["torchrun", "--nproc-per-node", here, "-m", "fewlabels"]
    words = [*start, *sys.argv[1:]]
    words += [] if "--out" in words else ["--out", str(folder)]
    return words + ([] if "--resume" in words else ["--resume"])


@dataclass(frozen=True, kw_only=True)
class Start:
    """Where a network starts. weights: safetensors; of the teacher where the run has one, as its error is the lower.

    class_names: of the last layer, in its order. folder, file: where the weights are from.
    """

    weights: bytes
    network: NetworkSettings
    image_input: ImageInput
    class_names: list[str]
    folder: Path
    file: str


def read_start(run: str | Path, *, teacher: bool | None = None) -> Start:
    """The network of a finished run: the averaging teacher or the network that it taught; None: the teacher, if any.

    Raises ConfigError (C88) where it has no such network, RunError (K2) for a damaged one.
    """
    folder = Path(run)
    read_run(folder)
    file = STUDENT if teacher is False or (teacher is None and not (folder / TEACHER).is_file()) else TEACHER
    if not is_finished(folder) or not (folder / file).is_file():
        what = "a run without a teacher" if teacher and (folder / STUDENT).is_file() else "a run without a network"
        do = "give a finished run of train, demo or reproduce; for several seeds, one of its runs"
        raise ConfigError("C88", what, where=folder, do="leave out teacher=True" if "teacher" in what else do)
    damaged = [problem for problem in verify_run(folder) if problem.name in (file, CONFIG)]
    if damaged:
        raise RunError("K2", f"damaged: {damaged[0].reason}", where=folder / damaged[0].name)
    config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    return Start(
        weights=(folder / file).read_bytes(),
        network=NetworkSettings(**config["network"]),
        image_input=ImageInput(**config["image_input"]),
        class_names=[str(name) for name in config["class_names"]],
        folder=folder,
        file=file,
    )


def demand_network(start: Start, network: str, usual: str) -> None:
    """Raise ConfigError (C88) where another network than the run's is asked for by name."""
    if network not in (usual, start.network.name):
        what = f"network {network!r}, and the run that is continued has {start.network.name!r}"
        raise ConfigError("C88", what, do="leave out --network, or --continue-from")


def reorder_classes(start: Start, given: Labels) -> Labels:
    """The labels with the classes of the network, in its order. Raises ConfigError (C88) for a class it has not."""
    place = {name: number for number, name in enumerate(start.class_names)}
    new = [name for name in given.class_names if name not in place]
    if new:
        many = f", and {len(new) - 1} more" if len(new) > 1 else ""
        known = ", ".join(map(shown, start.class_names[:SHOWN_ROWS])) + ", ..." * (len(start.class_names) > SHOWN_ROWS)
        what = f"the network of {start.folder.name} does not know the class {shown(new[0])!r}{many}; it knows {known}"
        do = "correct the labels, or train a new network on all of them: leave out --continue-from"
        raise ConfigError("C88", what, do=do)
    codes = np.array([place[name] for name in given.class_names] + [UNLABELED], np.int64)
    return replace(given, codes=codes[given.codes], class_names=start.class_names)


def continue_from(task: Task, settings: TrainSettings, start: Start) -> tuple[Task, TrainSettings]:
    """The task and settings of the new run: the network and its pixel scale are the old run's.

    Phases on the labelled rows alone are left out where others follow: their work is in the weights already, and
    fitting the few labels again would undo some of what all images taught.
    Raises ConfigError (C88) for images with other channels.
    """
    if task.pixels.shape[3] != start.image_input.channels:
        what = f"images with {task.pixels.shape[3]} channels, and the network takes {start.image_input.channels}"
        raise ConfigError("C88", what, do="continue with images like those it was trained on")
    phases = tuple(phase for phase in settings.phases if not phase.labeled_only) or settings.phases
    digest = hashlib.sha256(start.weights).hexdigest()
    origin = {"run": os.path.abspath(start.folder), "file": start.file, "sha256": digest}
    facts = {**task.facts, "continued_from": origin}
    task = replace(
        task, mean=start.image_input.mean, std=start.image_input.std, start_weights=start.weights, facts=facts
    )
    return task, replace(settings, network=start.network, phases=phases)


def describe_changes(start: Start, settings: TrainSettings) -> str:
    """A line that names the settings of graph and augmentation that are not as in the run before; empty for none."""
    there, now = read_facts(start.folder)["settings"], to_plain(asdict(settings))
    found = find_differences(*({part: one[part] for part in ("graph", "augment")} for one in (there, now)))
    if not found:
        return ""
    return f"not as in {start.folder.name}, unless its options are given again: {list_differences(found)}"
