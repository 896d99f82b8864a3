"""Methods as plain functions: who labels the unlabelled rows, and what is minimised."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from ..errors import UnreachedWarning
from ..graph import GraphSettings, propagate
from ..nets import Output
from .losses import weighted_cross_entropy
from .settings import MethodName
from .targets import BatchTargets, Targets, given_targets, propagated_targets

Describe = Callable[[], np.ndarray]  # () -> (n, d) descriptors of all rows by the network as it is now
Term = Callable[[Output, BatchTargets], torch.Tensor]


@dataclass(frozen=True)
class Labels:
    """The labels a run starts from. label: (n,) int64, -1 where unlabelled. class_names: c names."""

    label: np.ndarray
    class_names: Sequence[str]


@dataclass(frozen=True)
class Method:
    """Built for one phase, never stored.

    targets: called before every epoch. terms: added up to the loss.
    """

    targets: Callable[[Describe, Labels], Targets]
    terms: tuple[Term, ...] = (weighted_cross_entropy,)


def supervised(graph: GraphSettings) -> Method:
    """Labelled rows only."""
    return Method(lambda describe, labels: given_targets(labels.label, len(labels.class_names)))


def lp(graph: GraphSettings) -> Method:
    """Label propagation: before every epoch, labels spread over the graph of the network's own descriptors."""

    def targets(describe: Describe, labels: Labels) -> Targets:
        descriptors = describe()
        with warnings.catch_warnings():  # rows out of reach now may be reached in the next epoch; they weigh nothing
            warnings.simplefilter("ignore", UnreachedWarning)
            return propagated_targets(propagate(descriptors, labels.label, graph, class_names=labels.class_names))

    return Method(targets)


METHODS: dict[MethodName, Callable[[GraphSettings], Method]] = {"supervised": supervised, "lp": lp}
