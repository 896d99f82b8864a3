"""The insights of a run folder -> the values that a report shows of them. No HTML, no pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..runs import Run
from ..runs.insights import MapPoints, read_map

MOST_PAIRS = 12


@dataclass(frozen=True)
class Reliability:
    """Bins of certainty: edges (b + 1), and for each the rows, their share of right ones and mean certainty, 0 to 1.

    None where a bin is empty. auroc: None where all are right or all are wrong. ece: 0 to 1.
    """

    num_rows: int
    edges: list[float]
    count: list[int]
    right: list[float | None]
    certainty: list[float | None]
    auroc: float | None
    ece: float

    @property
    def table(self) -> list[list[str]]:
        """Header, then a row for each bin that has rows."""
        rows = [["certainty", "rows", "mean certainty", "right"]]
        for place, (count, right, certainty) in enumerate(zip(self.count, self.right, self.certainty, strict=True)):
            if right is not None and certainty is not None:
                span = f"{self.edges[place]:.1f} to {self.edges[place + 1]:.1f}"
                rows.append([span, f"{count:,}", f"{certainty:.2f}", f"{100 * right:.1f} %"])
        return rows


@dataclass(frozen=True)
class Confusion:
    """counts: for each true class the rows that got each class, and last, none; None for too many classes.

    pairs: header, then true class, pseudo-label, rows: the most frequent mistakes first.
    """

    counts: list[list[int]] | None
    num_rows: int
    num_wrong: int
    pairs: list[list[str]]


@dataclass(frozen=True)
class MapOfRows:
    """Rows on a plane. method: t-SNE or PCA. num_rows: that the run has."""

    method: str
    num_rows: int
    points: MapPoints


@dataclass(frozen=True)
class Insights:
    """Parts that a run does not have are None or empty."""

    reliability: Reliability | None = None
    confusion: Confusion | None = None
    degrees: dict[str, list[int]] | None = None
    components: dict[str, Any] | None = None
    suspicious: dict[str, int] | None = None
    map: MapOfRows | None = None


def insights_of(run: Run, class_names: Sequence[str]) -> Insights:
    """What the run folder holds of them. Raises RunError (K2) for a damaged table."""
    values = run.insights
    if not values:
        return Insights()
    points = read_map(run.folder)
    shown = values.get("map")
    return Insights(
        reliability=Reliability(**values["reliability"]) if values.get("reliability") else None,
        confusion=_confusion(values["confusion"], class_names) if values.get("confusion") else None,
        degrees=values.get("degrees"),
        components=values.get("components"),
        suspicious=values.get("suspicious"),
        map=MapOfRows(shown["method"], shown["num_rows"], points) if shown and points is not None else None,
    )


def _confusion(values: dict[str, Any], class_names: Sequence[str]) -> Confusion:
    named = [*class_names, "no label"]  # number -1 is the last
    pairs = [[named[true], named[said], f"{count:,}"] for true, said, count in values["pairs"][:MOST_PAIRS]]
    header = ["true class", "pseudo-label", "rows"]
    return Confusion(values["counts"], values["num_rows"], values["num_wrong"], [header, *pairs] if pairs else [])


def component_rows(components: dict[str, Any] | None) -> list[tuple[str, str]]:
    """Connected components as (what, value)."""
    if not components:
        return []
    rows = [("rows of the largest components", ", ".join(f"{size:,}" for size in components["largest"]))]
    if components["num_without_label"]:
        where = f"{components['num_without_label']:,}, with {components['rows_without_label']:,} rows"
        rows.append(("components without a label", where))
    return rows


def degree_rows(degrees: dict[str, list[int]] | None) -> list[list[str]]:
    """Header, then nodes by their number of edges; empty ranges at both ends are left out."""
    if not degrees:
        return []
    edges, counts = degrees["edges"], degrees["counts"]
    held = [place for place, count in enumerate(counts) if count]
    rows = [["edges of a node", "nodes"]]
    for place in range(held[0], held[-1] + 1) if held else ():
        low, high = edges[place], edges[place + 1] - 1
        rows.append([str(low) if low >= high else f"{low:,} to {high:,}", f"{counts[place]:,}"])
    return rows
