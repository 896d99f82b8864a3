"""What a training run ends with, and how it is written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from safetensors.torch import save
from torch import nn

from ..conventions import UNLABELED
from ..data.images.pictures import thumbnail
from ..graph import GraphSettings, Propagation
from ..insights.compute import Material
from ..runs import PseudoLabelTable
from .task import Task


@dataclass(frozen=True)
class Final:
    """Labels for every row by the final network, and its descriptors (n, d) float32, which they come from."""

    propagation: Propagation
    descriptors: np.ndarray

    def material(self, task: Task, settings: GraphSettings) -> Material:
        """What the report is made from."""
        return Material(
            self.propagation,
            task.labels,
            task.truth,
            len(task.class_names),
            self.descriptors,
            settings,
            lambda row: task.ids[row],
            lambda row: thumbnail(task.pixels[row]),
        )


def table_of(
    propagation: Propagation, given: np.ndarray, ids: Sequence[str], class_names: Sequence[str]
) -> PseudoLabelTable:
    """The rows of a propagation as a table. given: (n,) int64, -1 where the label is not the user's."""
    found = propagation.pseudo_labels
    return PseudoLabelTable(ids, found.label, found.certainty, given != UNLABELED, found.reached, class_names)


def weights_of(network: nn.Module) -> bytes:
    """The content of model.safetensors."""
    return save({name: tensor.cpu().contiguous() for name, tensor in network.state_dict().items()})
