"""The heads of an answer as plain arrays and values, and back: for files that hold no code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..graph.system import Propagation
from .abstain import Curve, describe_curve
from .answer import Mixture, Part
from .choice import Member
from .heads import Head, LinearHead, NearestHead

Arrays = dict[str, NDArray[Any]]


def pack_heads(parts: Sequence[Part]) -> Arrays:
    """The arrays of all heads, each under the place of its part: `0.weight`, `0.bias`; graphs have none here."""
    found: Arrays = {}
    for place, part in enumerate(parts):
        if isinstance(part.head, LinearHead):
            found |= {f"{place}.weight": part.head.weight, f"{place}.bias": part.head.bias}
        elif part.head is not None:
            found |= {f"{place}.rows": part.head.rows, f"{place}.classes": part.head.classes}
            found |= {f"{place}.power": np.array(part.head.power)}
    return found


def unpack_head(arrays: Mapping[str, NDArray[Any]], place: int, num_classes: int) -> Head:
    """The head of one part. Raises KeyError where it has none, ValueError for arrays that do not fit each other."""
    if f"{place}.weight" in arrays:
        weight, bias = arrays[f"{place}.weight"], arrays[f"{place}.bias"]
        if weight.ndim != 2 or bias.shape != (num_classes,) or weight.shape[1] != num_classes:
            raise ValueError(f"a head of shape {weight.shape} for {num_classes} classes")
        return LinearHead(weight=weight, bias=bias)
    rows, classes, power = (arrays[f"{place}.{name}"] for name in ("rows", "classes", "power"))
    if rows.ndim != 2 or classes.shape != rows.shape[:1] or not ((classes >= 0) & (classes < num_classes)).all():
        raise ValueError(f"{rows.shape} labelled rows and {classes.shape} classes")
    return NearestHead(rows=rows, classes=classes, num_classes=num_classes, power=float(power))


def describe_mixture(mixture: Mixture, class_names: Sequence[str], held_out: Curve | None = None) -> dict[str, Any]:
    """All of it but the arrays: plain values, which go into JSON and come back.

    held_out: what held-out labels say of it. Of a graph its rows are told by their SHA-256 (`rows_digest`).
    """
    graphs = [part.propagation.graph for part in mixture.parts if part.propagation is not None]
    return {
        "rows_digest": graphs[0].rows_digest if graphs else None,
        "held_out": describe_curve(held_out) if held_out is not None and held_out.num_held_out else None,
        "class_names": list(class_names),
        "members": [asdict(part.member) for part in mixture.parts],
        "needs_rows": mixture.needs_rows,
        "temperature": mixture.temperature,
        "class_scale": list(mixture.class_scale),
        "metric": mixture.metric,
        "drop_bad_rows": mixture.drop_bad_rows,
        "unit": mixture.unit,
    }


def read_members(facts: Mapping[str, Any]) -> list[Member]:
    """The members of an answer. Raises KeyError and TypeError for anything else."""
    known = {field.name for field in fields(Member)}
    return [Member(**{name: value for name, value in one.items() if name in known}) for one in facts["members"]]


def unpack_mixture(
    facts: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]], graphs: Mapping[int, Propagation] | None = None
) -> Mixture:
    """What `describe_mixture` and `pack_heads` made.

    graphs: the propagation of each graph, by the place of its part (`solve_graphs`); None: heads answer alone.
    Raises KeyError and ValueError for anything else, and where there is no head then.
    """
    parts, size = [], len(facts["class_scale"])
    for place, member in enumerate(read_members(facts)):
        if member.kind != "graph":
            parts.append(Part(member=member, head=unpack_head(arrays, place, size)))
        elif graphs is not None:
            parts.append(Part(member=member, propagation=graphs[place]))
    if not parts:
        raise ValueError("no head")
    return Mixture(
        parts=tuple(parts),
        temperature=facts["temperature"],
        class_scale=tuple(facts["class_scale"]),
        metric=facts["metric"],
        drop_bad_rows=facts["drop_bad_rows"],
        unit=facts["unit"],
    )
