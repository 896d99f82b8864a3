"""The graph core on a CUDA device, in torch: the same functions, and the same answers, as fewlabels.graph.

    from fewlabels.graph import cuda
    result = cuda.propagate(descriptors, labels, GraphSettings(), device="cuda")

Descriptors may be a tensor on the device: they do not leave it. Results hold NumPy arrays, like those of the CPU.
Neighbours are those of recall="exact" on the CPU, whatever settings.recall asks for. Only more than 8,192 rows of more
than 256 numbers (wider than a code) are searched in two stages, as on the CPU, to the recall asked for.
With exact neighbours labels, distributions and certainties agree to 1e-5 where both sides compute in float64
(precision="double").
Not imported by fewlabels.graph: only who imports this module needs torch. device="cpu" runs the same code there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...errors import ConfigError
from ..label_matrix import check_labels
from ..rows import warn_of_rounding
from ..settings import GraphSettings, Refinement
from ..system import Propagation, PropagationSystem
from ..types import Graph, Neighbors, Progress, no_progress
from .graph import DTYPES, DeviceGraph, graph_of_rows, to_device
from .neighbors import search
from .rows import choose_device, comparable_rows, full_precision
from .solver import DeviceOperator

Descriptors = NDArray[np.generic] | Tensor
Labels = NDArray[np.integer] | Tensor
Device = str | torch.device | None  # None: where the tensor given is; for arrays, the first GPU


def nearest_neighbors(
    rows: NDArray[np.float32] | Tensor,
    n_neighbors: int,
    *,
    recall: float | Literal["exact"] = "exact",
    seed: int = 0,
    device: Device = None,
) -> Neighbors:
    """graph.nearest_neighbors on a device. rows: (n, d) float32 from graph.comparable_rows, array or tensor."""
    where = choose_device(device, rows)
    there = rows.to(where) if isinstance(rows, Tensor) else torch.tensor(rows, device=where)
    with full_precision(where):
        found = search(there, n_neighbors, recall=recall, seed=seed)
    return Neighbors(found.index.cpu().numpy(), found.similarity.cpu().numpy(), found.recall)


def build_graph(
    descriptors: Descriptors,
    settings: GraphSettings | None = None,
    *,
    device: Device = None,
    on_progress: Progress = no_progress,
) -> Graph:
    """graph.build_graph on a device. descriptors: (n, d) real numbers, array or tensor."""
    settings = settings or GraphSettings()
    where = choose_device(device, descriptors)
    with full_precision(where):
        rows = _make_comparable(descriptors, settings, where)
        graph = graph_of_rows(rows, settings, on_progress=on_progress).to_host()
    _warn_of_rounding(descriptors, graph.node, settings)
    return graph


def propagate(
    descriptors: Descriptors,
    labels: Labels,
    settings: GraphSettings | None = None,
    *,
    device: Device = None,
    class_names: Sequence[str] | None = None,
    on_progress: Progress = no_progress,
) -> Propagation:
    """graph.propagate on a device: spread a few labels over the nearest-neighbour graph of the descriptors.

    descriptors: (n, d) real numbers, array or tensor. labels: (n,) integers from 0 up, -1 where unlabelled.
    device: "cuda", "cuda:1", "cpu"; None: where the descriptors are if they are a tensor, else the first GPU.
    class_names, on_progress: as on the CPU. A stage is named when the host comes to it, not when the device does.

    Raises and warns as on the CPU; and ConfigError (C7) for a device that is not there, C35 for what a device does not
    do (refinements, drop_bad_rows), StorageError (G21) where its memory runs out.
    """
    settings = settings or GraphSettings()
    where = choose_device(device, descriptors)
    with full_precision(where):
        rows = _make_comparable(descriptors, settings, where)
        checked = check_labels(_to_array(labels), rows.shape[0], settings, class_names)
        graph = graph_of_rows(rows, settings, on_progress=on_progress)
        del rows
        found = _make_system(graph, graph.to_host(), settings).spread_checked(checked, None, on_progress)
    _warn_of_rounding(descriptors, found.graph.node, settings)
    return found


def spread(  # noqa: PLR0913  as graph.spread, and where
    graph: Graph,
    labels: Labels,
    settings: GraphSettings | None = None,
    *,
    device: Device = "cuda",
    class_names: Sequence[str] | None = None,
    weight: NDArray[np.float64] | None = None,
    start: NDArray[np.floating] | None = None,
    on_progress: Progress = no_progress,
) -> Propagation:
    """graph.spread on a device, over a graph built there or on the CPU; start is an earlier solution.x over it."""
    settings = settings or GraphSettings()
    where = choose_device(device)
    with full_precision(where):
        there = to_device(graph, where, DTYPES[settings.dtype(graph.affinity.shape[0])])
        system = _make_system(there, graph, settings)
        return system.spread(
            _to_array(labels), class_names=class_names, weight=weight, start=start, on_progress=on_progress
        )


def _make_system(there: DeviceGraph, on_host: Graph, settings: GraphSettings) -> PropagationSystem:
    """The propagation system of a graph whose W is on a device."""
    if settings.refinement != Refinement():
        raise ConfigError("C35", "a refinement on a device, which has none", do="use fewlabels.graph.spread")
    return PropagationSystem(on_host, settings, operator=DeviceOperator(there.affinity, settings.alpha))


def _make_comparable(descriptors: Descriptors, settings: GraphSettings, device: torch.device) -> Tensor:
    if settings.drop_bad_rows:
        raise ConfigError("C35", "drop_bad_rows on a device, which refuses such rows", do="use fewlabels.propagate")
    return comparable_rows(descriptors, settings.metric, device)


def _warn_of_rounding(descriptors: Descriptors, node: NDArray[np.int64], settings: GraphSettings) -> None:
    if isinstance(descriptors, Tensor):
        if descriptors.dtype != torch.float64:  # else nothing is copied from the device
            return
        descriptors = descriptors.cpu().numpy()
    warn_of_rounding(descriptors, node, settings)


def _to_array(labels: Labels) -> NDArray[np.integer]:
    return labels.cpu().numpy() if isinstance(labels, Tensor) else labels
