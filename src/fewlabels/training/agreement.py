"""Processes of one run may be on several machines: whether all of them have the same settings, data and versions."""

from __future__ import annotations

import json
from typing import Any

import torch

from ..errors import ConfigError, RunError
from .distributed import Group
from .identity import differences, listed_differences, plain

OF_A_MACHINE = ("platform", "processor")  # which may differ: sums are averaged, and every process gets the same


def demand_same(group: Group, identity: dict[str, Any], device: torch.device | str) -> None:
    """Raise ConfigError (X6) in a process whose facts are not those of the first one, RunError (X13) in the others.

    identity: of the run; its settings, data and versions are compared.
    Without this each would train on what it has, and the averaged weights would be of no data set at all.
    """
    if group.size == 1:
        return
    mine = plain({name: identity[name] for name in ("settings", "data", "versions")})
    for name in OF_A_MACHINE:
        mine["versions"].pop(name, None)
    first = json.loads(group.text_from_leader(json.dumps(mine), device))
    found = differences(first, mine)
    if group.largest(len(found), device) == 0:
        return
    if not found:
        do = "see its message; all need the same files and the same versions"
        raise RunError("X13", "another process of this run has other settings, data or versions", do=do)
    what = f"process {group.rank} has not what the first one has: {listed_differences(found)}"
    raise ConfigError("X6", what, do="give every machine the same files, and install the same versions")
