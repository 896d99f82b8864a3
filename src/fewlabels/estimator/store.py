"""A fitted classifier as one .npz of plain arrays and a line of JSON. No pickle on either side."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from ..errors import RunError
from ..graph import Graph, Propagation, PseudoLabels, Refinement, Solution
from ..storage.arrays import DAMAGED, write_arrays
from .labels import MARKERS, CodedLabels

FORMAT = 2
READABLE = (1, 2)
RESULT = ("label", "certainty", "distribution", "class_weight", "reached")
SOLUTION = ("x", "num_steps", "residual", "converged", "row_residual")


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """What a classifier has learnt.

    rows: (n, d) comparable rows; None where the affinity was handed in. weight: (n,) of each row; None: 1 each.
    num_features: width of X. feature_names: its columns, where it was a table of named ones.
    """

    rows: NDArray[np.float32] | None
    labels: CodedLabels
    weight: NDArray[np.float64] | None
    found: Propagation
    num_features: int
    feature_names: tuple[str, ...] | None = None


def write_fitted(path: str | Path, parameters: dict[str, Any], fitted: Fitted) -> None:
    """Write what `read_fitted` reads, whole or not at all, array by array: nothing is copied."""
    labels, found = fitted.labels, fitted.found
    w, result = found.graph.affinity, found.pseudo_labels
    facts = {
        "format": FORMAT,
        "parameters": parameters,
        "classes": labels.classes.tolist(),
        "dtype": labels.classes.dtype.str if labels.classes.dtype.kind != "O" else "O",
        "marker": _to_plain(labels.marker),
        "num_tied": result.num_tied,
        "num_features": fitted.num_features,
        "feature_names": fitted.feature_names,
    }
    arrays: dict[str, NDArray[Any]] = {}
    arrays |= {"codes": labels.codes, "node": found.graph.node, "component": found.graph.component, "z": found.z}
    arrays |= {"w_data": w.data, "w_indices": w.indices, "w_indptr": w.indptr}
    arrays |= {name: getattr(result, name) for name in RESULT}
    arrays |= {name: getattr(found.solution, name) for name in SOLUTION}
    arrays |= {name: part for name, part in (("units", fitted.rows), ("weight", fitted.weight)) if part is not None}
    facts_line = np.frombuffer(json.dumps(facts, default=_to_plain).encode(), np.uint8)
    write_arrays(path, {"facts": facts_line, **arrays})


def _to_plain(value: object) -> object:
    """Turn NumPy scalars into Python's own, and pandas' missing values into None, for JSON."""
    if MARKERS["None"](value):
        return None
    if isinstance(value, Refinement):
        return asdict(value)
    return value.item() if isinstance(value, np.generic) else value


def read_fitted(path: str | Path) -> tuple[dict[str, Any], Fitted]:
    """Read the parameters, and what was learnt with them. Raises RunError (K2, K4, K6) for a file that is none."""
    try:
        with open(path, "rb") as raw, np.load(raw, allow_pickle=False) as file:  # raw: closed whatever comes
            stored = {name: file[name] for name in file.files}
        facts = json.loads(stored.pop("facts").tobytes())
        version = facts["format"]
    except FileNotFoundError as problem:
        raise RunError("K4", "no such file", where=path) from problem
    except DAMAGED as problem:
        raise RunError("K2", "not a model that `save` wrote, or a damaged one", where=path) from problem
    if version not in READABLE:
        raise RunError("K6", f"model of format {version}, this version reads {FORMAT}", where=path, do="upgrade")
    try:
        return facts["parameters"], _restore(facts, stored)
    except DAMAGED as problem:
        raise RunError("K2", f"a part is missing or damaged ({problem})", where=path) from problem


def _restore(facts: dict[str, Any], stored: dict[str, NDArray[Any]]) -> Fitted:
    rows, names = stored.get("units"), facts.get("feature_names")
    width = facts["num_features"] if rows is None else rows.shape[1]
    labels = CodedLabels(stored["codes"], np.array(facts["classes"], facts["dtype"]), facts["marker"])
    found = _restore_propagation(facts, stored)
    num_rows = {labels.codes.size, found.graph.node.size, found.pseudo_labels.label.size}
    num_rows |= set() if rows is None else {len(rows)}
    if len(num_rows) != 1 or not 0 <= found.graph.node.max() < found.graph.component.size:
        raise ValueError("parts of different models")
    found.graph.affinity.check_format(full_check=True)
    return Fitted(
        rows=rows,
        labels=labels,
        weight=stored.get("weight"),
        found=found,
        num_features=width,
        feature_names=None if names is None else tuple(names),
    )


def _restore_propagation(facts: dict[str, Any], stored: dict[str, NDArray[Any]]) -> Propagation:
    size = stored["component"].size
    affinity = sp.csr_array((stored["w_data"], stored["w_indices"], stored["w_indptr"]), (size, size))
    result = PseudoLabels(**{name: stored[name] for name in RESULT}, num_tied=facts["num_tied"])
    solution = Solution(**{name: stored[name] for name in SOLUTION})
    return Propagation(
        pseudo_labels=result,
        graph=Graph(node=stored["node"], affinity=affinity, component=stored["component"]),
        z=stored["z"],
        solution=solution,
    )
