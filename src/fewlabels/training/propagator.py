"""Descriptors -> targets by propagation: on the CPU or a GPU, from scratch or from the last one, by one of many."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from ..errors import UnreachedWarning
from ..graph import GraphSettings, Propagation, build_graph, propagate, spread
from .execution import Execution
from .methods import Labels, Propagate
from .targets import Targets, propagated_targets

OnStage = Callable[[str, float], None]  # the stage of the propagation that is running, and the share that is done


def propagator(settings: GraphSettings, execution: Execution, on_stage: OnStage) -> Propagate:
    """What a run makes its targets with. Of several processes the first propagates, and all get the same targets."""
    find = _propagation(settings, execution, on_stage)

    def make(descriptors: torch.Tensor, labels: Labels) -> Targets:
        with warnings.catch_warnings():  # rows out of reach now may be reached in the next epoch; they weigh nothing
            warnings.simplefilter("ignore", UnreachedWarning)
            return propagated_targets(find(descriptors, labels))

    return make if execution.group.size == 1 else lambda *given: _by_the_first(make, execution, *given)


def _propagation(
    settings: GraphSettings, execution: Execution, on_stage: OnStage
) -> Callable[[torch.Tensor, Labels], Propagation]:
    """Deterministic runs propagate on the CPU, from scratch. Fast ones do it where the descriptors are; on the CPU in
    paper mode they start from the clusters and the solution of the epoch before: fewer steps to the same tolerance.
    """
    if execution.speed == "fast" and execution.on_gpu:
        from ..graph import cuda

        return lambda descriptors, labels: cuda.propagate(
            descriptors, labels.label, settings, class_names=labels.class_names, on_progress=on_stage
        )
    if execution.speed == "fast" and settings.mode == "paper":  # released mode starts from zero
        return _WarmStart(settings, on_stage)
    return lambda descriptors, labels: propagate(
        descriptors.cpu().numpy(), labels.label, settings, class_names=labels.class_names, on_progress=on_stage
    )


class _WarmStart:
    """Propagates from the last propagation."""

    def __init__(self, settings: GraphSettings, on_stage: OnStage) -> None:
        self.settings, self.on_stage = settings, on_stage
        self.last: Propagation | None = None

    def __call__(self, descriptors: torch.Tensor, labels: Labels) -> Propagation:
        previous = None if self.last is None else self.last.graph
        graph = build_graph(descriptors.cpu().numpy(), self.settings, previous=previous, on_progress=self.on_stage)
        start = None if self.last is None else _carried(self.last, graph.node, graph.affinity.shape[0])
        self.last = spread(
            graph,
            labels.label,
            self.settings,
            class_names=labels.class_names,
            start=start,
            on_progress=self.on_stage,
        )
        return self.last


def _carried(last: Propagation, node: NDArray[np.int64], num_nodes: int) -> NDArray[np.floating]:
    """The last solution on new nodes: each gets that of one of its rows, and zero if it has none."""
    start = np.zeros((num_nodes, last.solution.x.shape[1]), last.solution.x.dtype)
    start[node] = last.solution.x[last.graph.node]
    return start


def _by_the_first(make: Propagate, execution: Execution, descriptors: torch.Tensor, labels: Labels) -> Targets:
    """The first process's targets, in all of them. If it fails, all stop with an error and nobody waits in vain."""
    group, num_rows = execution.group, len(labels.label)
    found = group.by_leader(lambda: make(descriptors, labels), execution.device)
    targets = found or Targets(np.empty(num_rows, np.int64), np.empty(num_rows), np.empty(len(labels.class_names)))
    arrays = (targets.label, targets.weight, targets.class_weight)
    shared = [
        group.from_leader(torch.from_numpy(np.ascontiguousarray(array)).to(execution.device)).cpu().numpy()
        for array in arrays
    ]
    return Targets(shared[0], shared[1], shared[2], targets.propagation)
