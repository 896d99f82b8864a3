"""What of this machine must be as it was for a run to be taken up to the same bytes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from ..errors import RunError
from ..runs import is_begun, read_facts
from ..runs.origin import versions
from ..training.checkpoint import Checkpoints
from ..training.distributed import processes
from ..training.identity import allowed_differences
from .folder import CHECKPOINTS


def machine_facts(device: str, num_processes: int) -> dict[str, Any]:
    """Versions, threads, processes and kind of device ("cpu", "cuda")."""
    return {
        "versions": {name: value for name, value in versions().items() if name not in ("commit", "cores")},
        "threads": torch.get_num_threads(),
        "world_size": num_processes,
        "device": device,
    }


def begun_with(folder: Path) -> dict[str, Any]:
    """What must be the same for the run to be taken up, as run.json has it. Raises RunError (K2) where it has not."""
    facts = read_facts(folder)
    if "identity" not in facts:
        raise RunError("K2", "no identity of the run", where=folder / "run.json", do="start in another folder")
    return {"settings": facts["settings"], "speed": facts["speed"], **facts["identity"]}


def demand_same_machine(folder: Path, device: str) -> None:
    """Before anything is read: raise ConfigError (C12) where the run in the folder was made otherwise than it would be
    gone on with. device: "cpu", "cuda" or "cuda:1". Nothing where there is no run.
    """
    there = Checkpoints(folder / CHECKPOINTS, {}).made_with() or (begun_with(folder) if is_begun(folder) else None)
    if there is not None:
        now = machine_facts(torch.device(device).type, processes())
        allowed_differences({name: there.get(name) for name in now}, now, where=folder)
