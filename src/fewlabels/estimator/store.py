"""A fitted classifier as one .npz of plain arrays and a line of JSON. No pickle on either side."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from .. import durable
from ..errors import RunError
from ..graph import Graph, Propagation, PseudoLabels, Solution
from .labels import MARKERS, CodedLabels

FORMAT = 1
Fitted = tuple[dict[str, Any], NDArray[np.float32], CodedLabels, Propagation]


def write_fitted(
    path: str | Path,
    parameters: dict[str, Any],
    units: NDArray[np.float32],
    labels: CodedLabels,
    found: Propagation,
) -> None:
    """Write everything that `read_fitted` gives back, whole or not at all."""
    w, result, solution = found.graph.affinity, found.pseudo_labels, found.solution
    facts = {
        "format": FORMAT,
        "parameters": parameters,
        "classes": labels.classes.tolist(),
        "dtype": labels.classes.dtype.str if labels.classes.dtype.kind != "O" else "O",
        "marker": _plain(labels.marker),
        "num_tied": result.num_tied,
    }
    arrays = {
        "units": units,
        "codes": labels.codes,
        "node": found.graph.node,
        "component": found.graph.component,
        "w_data": w.data,
        "w_indices": w.indices,
        "w_indptr": w.indptr,
        "z": found.z,
        "label": result.label,
        "certainty": result.certainty,
        "distribution": result.distribution,
        "class_weight": result.class_weight,
        "reached": result.reached,
        "x": solution.x,
        "num_steps": solution.num_steps,
        "residual": solution.residual,
        "converged": solution.converged,
        "row_residual": solution.row_residual,
    }
    text = json.dumps(facts, default=_plain).encode()
    buffer = io.BytesIO()
    np.savez(buffer, facts=np.frombuffer(text, np.uint8), **arrays)
    durable.write_bytes(path, buffer.getvalue())


def _plain(value: object) -> object:
    """NumPy scalars as Python's own, and pandas' missing values as None."""
    if MARKERS["None"](value):
        return None
    return value.item() if isinstance(value, np.generic) else value


def read_fitted(path: str | Path) -> Fitted:
    """Parameters, unit rows, labels and the propagation. Raises RunError (K2, K4, K6) for a file that is none."""
    try:
        with np.load(io.BytesIO(Path(path).read_bytes()), allow_pickle=False) as file:  # closed whatever comes
            stored = {name: file[name] for name in file.files}
        facts = json.loads(stored.pop("facts").tobytes())
        version = facts["format"]
    except FileNotFoundError as problem:
        raise RunError("K4", "no such file", where=path) from problem
    except (ValueError, KeyError, OSError, EOFError, AttributeError, TypeError, zipfile.BadZipFile) as problem:
        raise RunError("K2", "not a model that `save` wrote, or a damaged one", where=path) from problem
    if version != FORMAT:
        raise RunError("K6", f"model of format {version}, this version reads {FORMAT}", where=path, do="upgrade")
    try:
        return facts["parameters"], stored["units"], _labels(facts, stored), _propagation(facts, stored)
    except (KeyError, ValueError) as problem:
        raise RunError("K2", f"a part is missing or damaged ({problem})", where=path) from problem


def _labels(facts: dict[str, Any], stored: dict[str, NDArray[Any]]) -> CodedLabels:
    marker = facts["marker"]
    return CodedLabels(stored["codes"], np.array(facts["classes"], facts["dtype"]), marker)


def _propagation(facts: dict[str, Any], stored: dict[str, NDArray[Any]]) -> Propagation:
    size = stored["component"].size
    affinity = sp.csr_array((stored["w_data"], stored["w_indices"], stored["w_indptr"]), (size, size))
    result = PseudoLabels(
        **{name: stored[name] for name in ("label", "certainty", "distribution", "class_weight", "reached")},
        num_tied=facts["num_tied"],
    )
    solution = Solution(**{name: stored[name] for name in ("x", "num_steps", "residual", "converged", "row_residual")})
    return Propagation(result, Graph(stored["node"], affinity, stored["component"]), stored["z"], solution)
