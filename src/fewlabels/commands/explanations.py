"""Explanations with ids and class names: as values for JSON, and as text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Protocol

from ..graph import Explanation
from .tables import aligned

CLASSES = 5  # shown in text; JSON has all
LEAST_SHARE = 0.0005  # smaller ones would read 0.0 %


class Texts(Protocol):
    """Ids by row, such as an Arrow column."""

    def __getitem__(self, row: int) -> Any: ...


def record(why: Explanation, ids: Texts, class_names: Sequence[str]) -> dict[str, Any]:
    """An explanation as plain values. A class is null where no label reaches."""

    def named(code: int) -> str | None:
        return None if code < 0 else class_names[code]

    def shares(values: Iterable[float]) -> dict[str, float]:
        return {class_names[code]: float(share) for code, share in enumerate(values)}

    return {
        "id": ids[why.row].as_py(),
        "label": named(why.label),
        "certainty": why.certainty,
        "given": why.given,
        "reached": why.label >= 0,
        "class_shares": shares(why.distribution),
        "rows_with_its_embedding": why.copies,
        "rows_connected": why.component_size,
        "labels_connected": why.component_labels,
        "neighbors": [
            {
                "id": ids[edge.row].as_py(),
                "similarity": edge.similarity,
                "weight": edge.weight,
                "share": edge.share,
                "label": named(edge.label),
                "certainty": edge.certainty,
                "rows_with_its_embedding": edge.copies,
            }
            for edge in why.edges
        ],
        "resolved": why.resolved,
        "influences": [
            {"id": ids[one.row].as_py(), "label": named(one.label), "share": one.share} for one in why.influences
        ],
        "influence_of_classes": shares(why.class_shares),
    }


def text(found: dict[str, Any]) -> str:
    """An explanation for a terminal."""
    blocks = [_head(found), _neighbors(found), _influences(found)]
    return "\n\n".join(block for block in blocks if block)


def _head(found: dict[str, Any]) -> str:
    how = "given" if found["given"] else f"certainty {found['certainty']:.2f}"
    lines = [f"why {found['id']}: {found['label']}, {how}" if found["reached"] else f"why {found['id']}: no label"]
    if found["reached"]:
        lines.append(f"  class shares: {_shares(found['class_shares'])}")
    connected, labels = found["rows_connected"], found["labels_connected"]
    lines.append(f"  connected with it: {connected - 1:,} rows; labelled, itself counted: {labels:,}")
    if found["rows_with_its_embedding"] > 1:
        lines.append(f"  rows with the same embedding, itself counted: {found['rows_with_its_embedding']:,}")
    if not found["reached"]:
        lines.append(f"  no label reaches its part of {connected:,} rows: label one of them, or raise --n-neighbors")
    return "\n".join(lines)


def _shares(shares: dict[str, float]) -> str:
    ordered = sorted(shares.items(), key=lambda item: -item[1])
    shown = [f"{name} {100 * share:.1f} %" for name, share in ordered[:CLASSES] if share >= LEAST_SHARE]
    others = len(ordered) - len(shown)
    return "  ".join([*shown, f"({others} more)"] if others else shown)


def _neighbors(found: dict[str, Any]) -> str:
    if not found["neighbors"]:
        return "  it has no neighbours in the graph"
    rows = [("strongest neighbours", "similarity", "of its edges", "certainty", "label")]
    for one in found["neighbors"]:
        copies = f" (and {one['rows_with_its_embedding'] - 1} equal)" if one["rows_with_its_embedding"] > 1 else ""
        similarity = "-" if one["similarity"] is None else f"{one['similarity']:.3f}"
        share, certainty = f"{100 * one['share']:.1f} %", f"{one['certainty']:.2f}"
        rows.append((one["id"] + copies, similarity, share, certainty, one["label"] or "-"))
    return _indented(rows)


def _influences(found: dict[str, Any]) -> str:
    if not found["reached"]:
        return ""
    if not found["resolved"]:
        return "  too far from every label to tell them apart: it took the mix of its neighbours"
    rows = [("labelled rows that decided", "influence", "label")]
    rows += [(one["id"], f"{100 * one['share']:.1f} %", one["label"]) for one in found["influences"]]
    return f"{_indented(rows)}\n  all labelled rows: {_shares(found['influence_of_classes'])}"


def _indented(rows: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"  {line}" for line in aligned(rows).splitlines())
