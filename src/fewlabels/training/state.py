"""The state of a run on its way: its position, and the snapshot that a checkpoint holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import nn

from ..errors import RunError
from .checkpoint import Snapshot
from .step import Learner
from .targets import Targets


@dataclass(frozen=True)
class Position:
    """The next step to take, counted from 0 within its epoch and phase. done: steps taken in the whole run so far."""

    phase: int = 0
    epoch: int = 0
    step: int = 0
    done: int = 0


@dataclass
class State:
    """A run on its way. Only the loop changes it.

    targets: of the epoch at `position`, None before they are made. facts: what the callback on_targets
    returned. losses: (steps,) float32 of the epoch, None before it begins.
    """

    position: Position
    learner: Learner
    targets: Targets | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    losses: torch.Tensor | None = None


def make_snapshot(state: State) -> Snapshot:
    """Copy the state to main memory."""
    tensors = {f"network/{name}": value for name, value in state.learner.network.state_dict().items()}
    if state.learner.teacher is not None:
        tensors |= {f"teacher/{name}": value for name, value in state.learner.teacher.state.state_dict().items()}
    for number, parameter in enumerate(_list_parameters(state.learner)):
        found = state.learner.optimizer.state.get(parameter, {})
        tensors |= {f"optimizer/{number}/{name}": value for name, value in found.items()}
    if state.targets is not None:
        for name in ("label", "weight", "class_weight"):
            tensors[f"targets/{name}"] = torch.from_numpy(getattr(state.targets, name))
    if state.losses is not None:
        tensors["losses"] = state.losses
    copies = {name: value.detach().cpu().clone().contiguous() for name, value in tensors.items()}
    return Snapshot(copies, {"place": asdict(state.position), "facts": state.facts, "parts": sorted(copies)})


def restore(state: State, saved: Snapshot) -> None:
    """Put the snapshot into a freshly built state.

    Raises RunError: K10 where the snapshot lacks a part, K7 where a part has another shape than the network's.
    """
    if lacking := sorted(set(saved.values["parts"]) - set(saved.tensors)):
        raise RunError("K10", f"the checkpoint lacks {lacking[0]}", rows=lacking)
    _load(state.learner.network, _select_parts(saved.tensors, "network"))
    if state.learner.teacher is not None:
        _load(state.learner.teacher.state, _select_parts(saved.tensors, "teacher"))
    for number, parameter in enumerate(_list_parameters(state.learner)):
        if found := _select_parts(saved.tensors, f"optimizer/{number}"):
            state.learner.optimizer.state[parameter] = {
                name: _copy_like(parameter, value) for name, value in found.items()
            }
    if found := _select_parts(saved.tensors, "targets"):
        state.targets = Targets(found["label"].numpy(), found["weight"].numpy(), found["class_weight"].numpy())
    if "losses" in saved.tensors:
        state.losses = saved.tensors["losses"].to(state.learner.execution.device)
    state.position, state.facts = Position(**saved.values["place"]), saved.values["facts"]


def _select_parts(tensors: Mapping[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    """The tensors below a prefix, without it."""
    start = prefix + "/"
    return {name.removeprefix(start): value for name, value in tensors.items() if name.startswith(start)}


def _load(module: nn.Module, found: Mapping[str, torch.Tensor]) -> None:
    expected = module.state_dict()
    for name, value in expected.items():
        if name not in found:
            raise RunError("K7", f"the checkpoint is of another network: it has no {name}")
        if found[name].shape != value.shape:
            raise RunError("K7", f"{name} is {tuple(found[name].shape)} there and {tuple(value.shape)} here")
    module.load_state_dict(dict(found))


def _copy_like(parameter: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    """The value on the parameter's device and, if it has its shape, in its order in memory, which updates rely on."""
    if value.shape != parameter.shape:
        return value.to(parameter.device)
    return torch.empty_like(parameter, requires_grad=False).copy_(value)


def _list_parameters(learner: Learner) -> list[torch.Tensor]:
    return [value for group in learner.optimizer.param_groups for value in group["params"]]


def ensure_losses(state: State, num_steps: int) -> torch.Tensor:
    """The losses (num_steps,) of the epoch so far; zeros are put into the state where it begins."""
    if state.losses is None:
        state.losses = torch.zeros(num_steps, device=state.learner.execution.device)
    return state.losses
