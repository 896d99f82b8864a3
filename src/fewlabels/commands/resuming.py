"""Going on with a run: after a kill, to the same bytes; or a new run from the weights of a finished one.

The same run: `lock_folder`, then `read_finished` or what `read_identity` and the checkpoints in CHECKPOINTS say. A new
run: `nets.model.read_model`, then `reorder_classes` for its labels and `continue_from` for its task and settings.
"""

from __future__ import annotations

import hashlib
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load, save

from ..conventions import UNLABELED
from ..data.labels.files import LabelFile, Labels
from ..data.notes import Note
from ..errors import ConfigError, InputWarning, RunError, listed, shown, warn
from ..nets.model import StoredModel
from ..recipes.paper import scale_schedule
from ..recipes.photos import NO_BACKBONE
from ..runs import RunLock, RunWriter, is_begun, is_finished, read_facts, read_run, refuse_used_folder
from ..runs.origin import versions
from ..runs.table import read_ids
from ..storage.durable import make_folder
from ..training.checkpoint import Checkpoints
from ..training.distributed import Group, count_processes
from ..training.identity import check_differences, find_differences, list_differences, to_plain
from ..training.settings import TrainSettings
from .task import Task

LAST_LAYER = re.compile(r"(^|\.)fc[12]\.")  # names of the weights that have a row for each class
CONTINUED = 1 / 3  # of the epochs of a new run: as good where most is learnt already (docs/log.md)
CHECKPOINTS = ".checkpoints"  # hidden: not part of what a finished run seals, and removed then


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
    if facts.get("identity") is None or "speed" not in facts:
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


def demand_network(start: StoredModel, network: str, usual: str) -> None:
    """Raise ConfigError (C88) where another network than the run's is asked for by name."""
    if network not in (usual, start.network.name):
        what = f"network {network!r}, and the run that is continued has {start.network.name!r}"
        raise ConfigError("C88", what, do="leave out --network, or --continue-from")


def continue_backbone(start: StoredModel, backbone: str) -> str:
    """The backbone of the run that is continued, "none" without one. Raises ConfigError (C88) for another by name."""
    there = start.network.detail if start.network.kind == "frozen" else NO_BACKBONE
    if backbone not in (there, NO_BACKBONE):
        what = f"backbone {backbone!r}, and the run that is continued has {there!r}"
        raise ConfigError("C88", what, do="leave out --backbone, or --continue-from")
    return there


def reorder_classes(start: StoredModel, given: Labels) -> Labels:
    """The labels with the classes of the network, in its order, and then those that are new."""
    known = list(start.class_names)
    names = [*known, *(name for name in given.class_names if name not in set(known))]
    place = {name: number for number, name in enumerate(names)}
    codes = np.array([place[name] for name in given.class_names] + [UNLABELED], np.int64)
    return replace(given, codes=codes[given.codes], class_names=names)


def add_classes(start: StoredModel, class_names: Sequence[str]) -> StoredModel:
    """The network with a new row of its last layer for each class that follows those it knows; the rest stays.

    New rows are zeros: they say nothing of a class until it has been trained.
    Raises ConfigError (C88) for a network whose last layer is not known by name, such as one's own.
    """
    new = list(class_names[len(start.class_names) :])
    if not new:
        return start
    weights = load(start.weights)
    last = [name for name, value in weights.items() if LAST_LAYER.search(name) and len(value) == len(start.class_names)]
    for name in last:
        # Weight norm has a direction (original1), which cannot be zero, and a length, which can.
        value, kind = weights[name], torch.ones if name.endswith("original1") else torch.zeros
        rows = kind(len(new), *value.shape[1:], dtype=value.dtype)
        weights[name] = torch.cat([value, rows])
    if not last:
        what = f"the network of {start.folder.name} does not know the class {shown(new[0])!r}, and its last layer has "
        what += "no name that is known here (fc1)"
        do = "correct the labels, or train a new network on all of them: leave out --continue-from"
        raise ConfigError("C88", what, do=do)
    return replace(start, weights=save(weights), class_names=list(class_names))


def drop_gone(labels: LabelFile, start: StoredModel, ids: Sequence[str]) -> LabelFile:
    """The labels without those of photos that the run had and that are gone since: a warning (I56), and a note of each.

    ids: of the photos that are there now. Labels of other unknown ids stay, and are told where labels are joined.
    """
    here, before = set(ids), set(read_ids(start.folder))
    gone = [at for at, id in enumerate(labels.ids) if id not in here and id in before]
    if not gone:
        return labels
    notes = [Note("I56", labels.source, labels.lines[at], labels.ids[at], "the photo is gone since") for at in gone]
    rows = listed([labels.ids[at] for at in gone])
    warn(InputWarning(f"FL-I56 photos with a label that {start.folder.name} had are gone, and left out: {rows}"))
    lost = set(gone)
    kept = [at for at in range(len(labels.ids)) if at not in lost]
    return replace(
        labels,
        ids=[labels.ids[at] for at in kept],
        labels=[labels.labels[at] for at in kept],
        lines=[labels.lines[at] for at in kept],
        left_out=[*labels.left_out, *notes],
    )


def continue_from(
    task: Task, settings: TrainSettings, start: StoredModel, epochs: int | None = None
) -> tuple[Task, TrainSettings]:
    """The task and settings of the new run: the network and its pixel scale are the old run's.

    Classes of the task that the network does not know get a new row of its last layer. Phases have a third of their
    epochs, as most is learnt already. epochs: of the last phase, where they were asked for.
    Phases on the labelled rows alone are left out where others follow: their work is in the weights already, and
    fitting the few labels again would undo some of what all images taught.
    Raises ConfigError (C88) for images with other channels.
    """
    if task.pixels.shape[3] != start.image_input.channels:
        what = f"images with {task.pixels.shape[3]} channels, and the network takes {start.image_input.channels}"
        raise ConfigError("C88", what, do="continue with images like those it was trained on")
    settings = scale_schedule(settings, CONTINUED)
    *before, last = [phase for phase in settings.phases if not phase.labeled_only] or settings.phases
    phases = (*before, replace(last, epochs=epochs or last.epochs))
    start = add_classes(start, task.class_names)
    digest = hashlib.sha256(start.weights).hexdigest()
    origin = {"run": os.path.abspath(start.folder), "file": start.file, "sha256": digest}
    facts = {**task.facts, "continued_from": origin}
    task = replace(
        task, mean=start.image_input.mean, std=start.image_input.std, start_weights=start.weights, facts=facts
    )
    return task, replace(settings, network=start.network, phases=phases)


def describe_changes(start: StoredModel, settings: TrainSettings) -> str:
    """A line that names the settings of graph and augmentation that are not as in the run before; empty for none."""
    there, now = read_facts(start.folder)["settings"], to_plain(asdict(settings))
    found = find_differences(*({part: one.get(part) for part in ("graph", "augment")} for one in (there, now)))
    if not found:
        return ""
    return f"not as in {start.folder.name}, unless its options are given again: {list_differences(found)}"
