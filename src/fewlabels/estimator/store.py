"""A fitted classifier as one .npz of plain arrays and a line of JSON. No pickle on either side."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from ..choosing import Answer, Choice, Part
from ..choosing.combine import Measured
from ..choosing.saved import pack_heads, unpack_head
from ..errors import RunError
from ..graph import Graph, Propagation, PseudoLabels, Refinement, Solution
from ..graph.settings import restore_settings
from ..storage.arrays import DAMAGED, read_arrays, write_arrays
from .labels import MARKERS, CodedLabels
from .merging import Merged

FORMAT, FORMAT_OF_ANSWERS = 2, 3  # older versions read the one, and say of the other that it is newer
READABLE = (1, 2, 3)
RESULT = ("label", "certainty", "distribution", "class_weight", "reached")
SOLUTION = ("x", "num_steps", "residual", "converged", "row_residual")
MERGED = ("first", "place", "weight")
MEASURED = ("row", "logs", "before", "classes")
Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """What a classifier has learnt.

    rows: (n, d) comparable rows; None where the affinity was handed in; under an Answer, as they were handed in.
    weight: (n,) of each row; None: 1 each. groups: (n,) numbers of those that were given. merged: the rows that an
    Answer was made of; None for a Propagation.
    num_features: width of X. feature_names: its columns, where it was a table of named ones.
    """

    rows: NDArray[Any] | None
    labels: CodedLabels
    weight: NDArray[np.float64] | None
    found: Propagation | Answer
    num_features: int
    feature_names: tuple[str, ...] | None = None
    merged: Merged | None = None
    groups: NDArray[np.int64] | None = None

    @property
    def pseudo_labels(self) -> PseudoLabels:
        """Of all n rows."""
        result = self.found.pseudo_labels
        return result if self.merged is None else self.merged.spread_out(result)

    @property
    def answered_rows(self) -> NDArray[Any] | None:
        """The rows that an Answer was made of."""
        return self.rows if self.merged is None or self.rows is None else self.rows[self.merged.first]


def write_fitted(path: str | Path, parameters: dict[str, Any], fitted: Fitted) -> None:
    """Write what `read_fitted` reads, whole or not at all, array by array: nothing is copied."""
    labels, found = fitted.labels, fitted.found
    is_answer = isinstance(found, Answer)
    facts = {
        "format": FORMAT_OF_ANSWERS if is_answer else FORMAT,
        "parameters": parameters,
        "classes": labels.classes.tolist(),
        "dtype": labels.classes.dtype.str if labels.classes.dtype.kind != "O" else "O",
        "marker": _to_plain(labels.marker),
        "num_tied": found.pseudo_labels.num_tied,
        "num_features": fitted.num_features,
        "feature_names": fitted.feature_names,
    }
    arrays: Arrays = {"codes": labels.codes}
    if isinstance(found, Answer):
        arrays |= _pack_answer(found)
        if fitted.merged is not None:
            arrays |= {f"merged.{name}": getattr(fitted.merged, name) for name in MERGED}
        facts["answer"] = _describe_answer(found)
    else:
        arrays |= _pack_propagation(found, "")
    rest = (("units", fitted.rows), ("weight", fitted.weight), ("groups", fitted.groups))
    arrays |= {name: part for name, part in rest if part is not None}
    facts_line = np.frombuffer(json.dumps(facts, default=_to_plain).encode(), np.uint8)
    write_arrays(path, {"facts": facts_line, **arrays})


def _pack_propagation(found: Propagation, prefix: str) -> Arrays:
    w, result = found.graph.affinity, found.pseudo_labels
    arrays: Arrays = {"node": found.graph.node, "component": found.graph.component, "z": found.z}
    arrays |= {"w_data": w.data, "w_indices": w.indices, "w_indptr": w.indptr}
    arrays |= {name: getattr(result, name) for name in RESULT}
    arrays |= {name: getattr(found.solution, name) for name in SOLUTION}
    return {prefix + name: array for name, array in arrays.items()}


def _pack_answer(found: Answer) -> Arrays:
    """The labels, what was held out, the heads, and the propagation of each part under its place."""
    arrays = {name: getattr(found.pseudo_labels, name) for name in RESULT}
    arrays |= {"labeled": found.labeled, "nearness": found.nearness}
    if found.measured is not None:
        arrays |= {f"measured.{name}": getattr(found.measured, name) for name in MEASURED}
    for place, part in enumerate(found.parts):
        if part.propagation is not None:
            arrays |= _pack_propagation(part.propagation, f"{place}.")
    return arrays | pack_heads(found.parts)


def _describe_answer(found: Answer) -> dict[str, Any]:
    """All of it but the arrays. graphs: for each part, of its graph what is no array; None for a head."""
    graphs = [
        None
        if part.propagation is None
        else {
            "settings": asdict(part.propagation.graph.settings or found.settings),
            "rows_digest": part.propagation.graph.rows_digest,
            "num_tied": part.propagation.pseudo_labels.num_tied,
        }
        for part in found.parts
    ]
    return {
        "choice": found.choice.to_json(),
        "settings": asdict(found.settings),
        "class_names": found.class_names,
        "unit": found.unit,
        "graphs": graphs,
    }


def _to_plain(value: object) -> object:
    """Turn NumPy scalars into Python's own, and pandas' missing values into None, for JSON."""
    if MARKERS["None"](value):
        return None
    if isinstance(value, Refinement):
        return asdict(value)
    return value.item() if isinstance(value, np.generic) else value


def read_fitted(path: str | Path) -> tuple[dict[str, Any], Fitted]:
    """Read the parameters, and what was learnt with them. Raises RunError (K2, K4, K6) for a file that is none."""
    stored = read_arrays(path)
    try:
        facts = json.loads(stored.pop("facts").tobytes())
        version = facts["format"]
    except DAMAGED as problem:
        raise RunError("K2", "not a model that `save` wrote, or a damaged one", where=path) from problem
    if version not in READABLE:
        raise RunError("K6", f"model of format {version}, this version reads {FORMAT}", where=path, do="upgrade")
    try:
        return facts["parameters"], _restore(facts, stored)
    except DAMAGED as problem:
        raise RunError("K2", f"a part is missing or damaged ({problem})", where=path) from problem


def _restore(facts: dict[str, Any], stored: Arrays) -> Fitted:
    rows, names = stored.get("units"), facts.get("feature_names")
    width = facts["num_features"] if rows is None else rows.shape[1]
    labels = CodedLabels(stored["codes"], np.array(facts["classes"], facts["dtype"]), facts["marker"])
    found: Propagation | Answer
    if facts["format"] == FORMAT_OF_ANSWERS:
        found = _restore_answer(facts, stored)
    else:
        found = _restore_propagation(facts["num_tied"], stored, "", labels.codes.size)
    merged = None
    if isinstance(found, Answer):
        merged = Merged(**{name: stored[f"merged.{name}"] for name in MERGED})
        if not -1 <= merged.place.min() <= merged.place.max() < found.pseudo_labels.label.size:
            raise ValueError("parts of different models")
    num_rows = {labels.codes.size, found.pseudo_labels.label.size if merged is None else merged.place.size}
    num_rows |= set() if rows is None else {len(rows)}
    if len(num_rows) != 1:
        raise ValueError("parts of different models")
    return Fitted(
        rows=rows,
        labels=labels,
        weight=stored.get("weight"),
        found=found,
        num_features=width,
        feature_names=None if names is None else tuple(names),
        merged=merged,
        groups=stored.get("groups"),
    )


def _restore_answer(facts: dict[str, Any], stored: Arrays) -> Answer:
    said, size = facts["answer"], stored["label"].size
    choice = Choice.from_json(said["choice"])
    parts = []
    for place, (member, graph) in enumerate(zip(choice.members, said["graphs"], strict=True)):
        if graph is None:
            parts.append(Part(member=member, head=unpack_head(stored, place, len(facts["classes"]))))
            continue
        found = _restore_propagation(graph["num_tied"], stored, f"{place}.", size)
        own = replace(found.graph, settings=restore_settings(graph["settings"]), rows_digest=graph["rows_digest"])
        parts.append(Part(member=member, propagation=replace(found, graph=own, labeled=stored["labeled"])))
    measured = None
    if "measured.row" in stored:
        measured = Measured(
            row=stored["measured.row"],
            logs=stored["measured.logs"],
            before=stored["measured.before"],
            classes=stored["measured.classes"],
            error=choice.error,
            balanced_error=choice.balanced_error,
            calibration=choice.calibration_after,
        )
    return Answer(
        pseudo_labels=PseudoLabels(**{name: stored[name] for name in RESULT}, num_tied=facts["num_tied"]),
        choice=choice,
        parts=tuple(parts),
        settings=restore_settings(said["settings"]),
        labeled=stored["labeled"],
        nearness=stored["nearness"],
        measured=measured,
        unit=said["unit"],
        class_names=None if said["class_names"] is None else tuple(said["class_names"]),
    )


def _restore_propagation(num_tied: int, stored: Arrays, prefix: str, num_rows: int) -> Propagation:
    own = {name.removeprefix(prefix): part for name, part in stored.items() if name.startswith(prefix)}
    size, node = own["component"].size, own["node"]
    if node.size != num_rows or not 0 <= node.max() < size:
        raise ValueError("parts of different models")
    affinity = sp.csr_array((own["w_data"], own["w_indices"], own["w_indptr"]), (size, size))
    affinity.check_format(full_check=True)
    return Propagation(
        pseudo_labels=PseudoLabels(**{name: own[name] for name in RESULT}, num_tied=num_tied),
        graph=Graph(node=node, affinity=affinity, component=own["component"]),
        z=own["z"],
        solution=Solution(**{name: own[name] for name in SOLUTION}),
    )
