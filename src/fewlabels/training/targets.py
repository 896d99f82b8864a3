"""Targets of the rows, and label propagation, which makes them: the one way pseudo-labels reach the training."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from ..conventions import UNLABELED
from ..errors import ConvergenceWarning, UnreachedWarning
from ..graph import GraphSettings, Propagation, build_graph, propagate, spread
from .execution import Execution


@dataclass(frozen=True)
class PartialLabels:
    """The labels that a run starts from. label: (n,) int64, -1 where unlabelled. class_names: c names."""

    label: np.ndarray
    class_names: Sequence[str]


class BatchTargets(NamedTuple):
    """Targets of a batch. label: (b,) int64, -1 for none. weight: (b,) float32, of the row times that of its class."""

    label: torch.Tensor
    weight: torch.Tensor

    def select(self, rows: torch.Tensor) -> BatchTargets:
        return BatchTargets(self.label.index_select(0, rows), self.weight.index_select(0, rows))


@dataclass(frozen=True)
class Targets:
    """Targets of all rows, for one epoch.

    label: (n,) int64, -1 for none. weight: (n,) float64, 1 on labelled rows, certainty on pseudo-labelled ones, 0 where
    there is no label. class_weight: (c,) float64. propagation: that made the pseudo-labels; None without any, and where
    the targets were read from a checkpoint.
    """

    label: np.ndarray
    weight: np.ndarray
    class_weight: np.ndarray
    propagation: Propagation | None = None

    def on(self, device: torch.device) -> BatchTargets:
        """Move all rows to the device, with the class weights multiplied in."""
        per_row = np.where(self.label == UNLABELED, 0, self.weight * self.class_weight[self.label])
        return BatchTargets(
            torch.from_numpy(self.label).to(device), torch.from_numpy(per_row.astype(np.float32)).to(device)
        )

    @classmethod
    def from_labels(cls, labels: PartialLabels) -> Targets:
        """Targets of the labelled rows alone, all with weight 1."""
        known = labels.label != UNLABELED
        return cls(labels.label, known.astype(np.float64), np.ones(len(labels.class_names)))

    @classmethod
    def from_propagation(cls, propagation: Propagation) -> Targets:
        """Targets of all rows that a label reaches, weighted by certainty and by inverse class population.

        Class weights are scaled so that their mean over the rows is 1. The paper sums over all rows and the loop
        averages over a batch; the factor n / c between the two is the released code's (lp/db_semisuper.py:335-337), so
        both modes train with the same steps.
        """
        found = propagation.pseudo_labels
        mean = found.class_weight[found.label[found.reached]].mean()
        return cls(found.label, found.certainty, found.class_weight / mean, propagation)


Propagate = Callable[[torch.Tensor, PartialLabels], Targets]  # (n, d) descriptors and few labels -> targets of all rows
OnProgress = Callable[[str, float], None]  # called as on_progress(stage, fraction)


def make_propagate(settings: GraphSettings, execution: Execution, on_progress: OnProgress) -> Propagate:
    """The function a run makes its pseudo-labels with, once before every epoch.

    Of several processes the first propagates, and all get the same targets.
    """
    find = _choose_propagation(settings, execution, on_progress)

    def make(descriptors: torch.Tensor, labels: PartialLabels) -> Targets:
        with warnings.catch_warnings():  # rows out of reach now may be reached in the next epoch; they weigh nothing
            warnings.simplefilter("ignore", UnreachedWarning)
            warnings.simplefilter("ignore", ConvergenceWarning)  # of the prior; what is written at the end does warn
            return Targets.from_propagation(find(descriptors, labels))

    if execution.group.size == 1:
        return make
    return lambda descriptors, labels: _propagate_in_leader(make, execution, descriptors, labels)


def _choose_propagation(
    settings: GraphSettings, execution: Execution, on_progress: OnProgress
) -> Callable[[torch.Tensor, PartialLabels], Propagation]:
    """Deterministic runs propagate on the CPU, from scratch. Fast ones do it where the descriptors are; on the CPU in
    paper mode they start from the clusters and the solution of the epoch before: fewer steps to the same tolerance.
    """
    if execution.speed == "fast" and execution.on_gpu:
        from ..graph import cuda

        return lambda descriptors, labels: cuda.propagate(
            descriptors, labels.label, settings, class_names=labels.class_names, on_progress=on_progress
        )
    if execution.speed == "fast" and settings.mode == "paper":  # released mode starts from zero
        return _WarmStart(settings, on_progress)
    return lambda descriptors, labels: propagate(
        descriptors.cpu().numpy(), labels.label, settings, class_names=labels.class_names, on_progress=on_progress
    )


class _WarmStart:
    """Propagates from the clusters and the solution of the call before."""

    def __init__(self, settings: GraphSettings, on_progress: OnProgress) -> None:
        self.settings, self.on_progress = settings, on_progress
        self.last: Propagation | None = None

    def __call__(self, descriptors: torch.Tensor, labels: PartialLabels) -> Propagation:
        previous = None if self.last is None else self.last.graph
        graph = build_graph(descriptors.cpu().numpy(), self.settings, previous=previous, on_progress=self.on_progress)
        start = None if self.last is None else _carry_over(self.last, graph.node, graph.affinity.shape[0])
        names = labels.class_names
        self.last = spread(
            graph, labels.label, self.settings, class_names=names, start=start, on_progress=self.on_progress
        )
        return self.last


def _carry_over(last: Propagation, node: NDArray[np.int64], num_nodes: int) -> NDArray[np.floating]:
    """The last solution on new nodes: each gets that of one of its rows, and zero if it has none."""
    start = np.zeros((num_nodes, last.solution.x.shape[1]), last.solution.x.dtype)
    start[node] = last.solution.x[last.graph.node]
    return start


def _propagate_in_leader(
    make: Propagate, execution: Execution, descriptors: torch.Tensor, labels: PartialLabels
) -> Targets:
    """The first process's targets, in all of them. If it fails, all stop with an error and nobody waits in vain."""
    group, num_rows = execution.group, len(labels.label)
    found = group.run_in_leader(lambda: make(descriptors, labels), execution.device)
    targets = found or Targets(np.empty(num_rows, np.int64), np.empty(num_rows), np.empty(len(labels.class_names)))
    label, weight, class_weight = (
        group.broadcast(torch.from_numpy(np.ascontiguousarray(array)).to(execution.device)).cpu().numpy()
        for array in (targets.label, targets.weight, targets.class_weight)
    )
    return Targets(label, weight, class_weight, targets.propagation)
