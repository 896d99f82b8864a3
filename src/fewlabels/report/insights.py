"""The insights of a run folder -> the values that a report shows of them. No HTML, no pictures."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..insights.schema import CERTAIN, DOUBTFUL, SUSPICIOUS, WRONG, MapPoints, Tile, read_gallery, read_map
from ..runs import Run

MOST_PAIRS = 12
OPEN_CLASSES = 10  # more are folded
OPEN_ROWS = 12  # of rows without pictures
LONGEST_ID, LONGEST_BELOW = 40, 22  # letters of an id: in a table, below a picture
COARSE = 48  # pixels: smaller pictures are shown with sharp edges


@dataclass(frozen=True, kw_only=True)
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
                span = f"{100 * self.edges[place]:.0f} to {100 * self.edges[place + 1]:.0f} %"
                rows.append([span, f"{count:,}", f"{100 * certainty:.0f} %", f"{100 * right:.1f} %"])
        return rows


@dataclass(frozen=True)
class Confusion:
    """Which classes were taken for which.

    counts: for each true class the rows that got each class, and last, none; None for too many classes.
    pairs: header, then true class, pseudo-label, rows: the most frequent mistakes first.
    """

    counts: list[list[int]] | None
    num_rows: int
    num_wrong: int
    pairs: list[list[str]]
    of: str = "pseudo"

    @property
    def words(self) -> str:
        """Whose mistakes they are: such as "of 2,000 test images, 300 are wrong"."""
        are = {
            "test": "test images are taken for another class",
            "held_out": "given labels, each held out once, are contradicted",
        }.get(self.of, "pseudo-labels whose truth is known are wrong")
        return f"{self.num_wrong:,} of {self.num_rows:,} {are}."

    def class_rows(self, class_names: Sequence[str]) -> list[list[str]]:
        """Header, then each class with its rows and the share of them that is wrong, the worst first."""
        if self.counts is None:
            return []
        found = []
        for number, (name, row) in enumerate(zip(class_names, self.counts, strict=False)):
            if total := sum(row):
                found.append((1 - row[number] / total, name, total))
        found.sort(key=lambda one: -one[0])
        return [["true class", "rows", "wrong"], *([name, f"{n:,}", f"{100 * bad:.1f} %"] for bad, name, n in found)]


@dataclass(frozen=True)
class MapOfRows:
    """Rows on a plane. method: t-SNE or PCA. num_rows: that the run has."""

    method: str
    num_rows: int
    points: MapPoints


@dataclass(frozen=True, kw_only=True)
class Insights:
    """Parts that a run does not have are None or empty."""

    reliability: Reliability | None = None
    held_out: Reliability | None = None  # of given labels, by probability
    confusion: Confusion | None = None
    degrees: dict[str, list[int]] | None = None
    components: dict[str, Any] | None = None
    suspicious: dict[str, int] | None = None
    map: MapOfRows | None = None


def read_insights(run: Run, class_names: Sequence[str]) -> Insights:
    """What the run folder holds of them. Raises RunError (K2) for a damaged table."""
    values = run.insights
    if not values:
        return Insights()
    points = read_map(run.folder, len(class_names))
    shown = values.get("map")
    return Insights(
        reliability=Reliability(**values["reliability"]) if values.get("reliability") else None,
        held_out=Reliability(**values["held_out"]) if values.get("held_out") else None,
        confusion=_read_confusion(values["confusion"], class_names) if values.get("confusion") else None,
        degrees=values.get("degrees"),
        components=values.get("components"),
        suspicious=values.get("suspicious"),
        map=MapOfRows(shown["method"], shown["num_rows"], points) if shown and points is not None else None,
    )


def _read_confusion(values: dict[str, Any], class_names: Sequence[str]) -> Confusion:
    named = [*class_names, "no label"]  # number -1 is the last
    pairs = [[named[true], named[said], f"{count:,}"] for true, said, count in values["pairs"][:MOST_PAIRS]]
    header = ["true class", "taken for", "rows"] if "of" in values else ["true class", "pseudo-label", "rows"]
    of = values.get("of", "pseudo")
    return Confusion(values["counts"], values["num_rows"], values["num_wrong"], [header, *pairs] if pairs else [], of)


def make_component_rows(components: dict[str, Any] | None) -> list[tuple[str, str]]:
    """Connected components as (what, value)."""
    if not components:
        return []
    rows = [("rows of the largest components", ", ".join(f"{size:,}" for size in components["largest"]))]
    if components["num_without_label"]:
        where = f"{components['num_without_label']:,}, with {components['rows_without_label']:,} rows"
        rows.append(("components without a label", where))
    return rows


def make_degree_rows(degrees: dict[str, list[int]] | None) -> list[list[str]]:
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


@dataclass(frozen=True)
class TileText:
    """A tile in words. uri: its picture as a data: URI, empty for none. label: of the pseudo-label or the given label.

    note: what else there is to say: the true class where the label is wrong, what the other labels say.
    is_coarse: the picture is small, and made larger its pixels are to be seen.
    """

    id: str
    uri: str
    label: str
    certainty: str
    note: str

    is_coarse: bool = False

    @property
    def short_id(self) -> str:
        """The id as a table has it."""
        return cut_middle(self.id, LONGEST_ID)

    @property
    def caption(self) -> str:
        """The id as it stands below a picture."""
        return cut_middle(self.id, LONGEST_BELOW)


def cut_middle(text: str, longest: int) -> str:
    """The text, its middle left out where it is longer: the end of a path tells more than its beginning."""
    begin = longest * 3 // 10
    return text if len(text) <= longest else f"{text[:begin]}…{text[-(longest - begin - 1) :]}"


@dataclass(frozen=True)
class ClassRows:
    """The least and the most certain pseudo-labels of a class."""

    name: str
    doubtful: list[TileText]
    certain: list[TileText]


@dataclass(frozen=True, kw_only=True)
class Galleries:
    """Rows worth looking at.

    open, folded: classes. suspicious: given labels, worst first.
    wrong: test images, the surest first. pictures: whether rows have images.
    doubtful: the least certain pseudo-labels of all classes, of those that a class shows.
    """

    open: list[ClassRows]
    folded: list[ClassRows]
    suspicious: list[TileText]
    wrong: list[TileText]
    pictures: bool
    doubtful: list[TileText]


def read_galleries(run: Run, class_names: Sequence[str]) -> Galleries | None:
    """The galleries of a run, None for one without any. Raises RunError (K2) for a damaged table."""
    tiles = read_gallery(run.folder, len(class_names))
    if not tiles:
        return None
    names = [*class_names, "none"]  # number -1 is the last
    numbers = dict.fromkeys(tile.class_number for tile in tiles if tile.group in (CERTAIN, DOUBTFUL))
    classes = [_describe_class(number, tiles, names) for number in numbers]
    least = sorted((tile for tile in tiles if tile.group == DOUBTFUL), key=lambda tile: tile.certainty)[:OPEN_ROWS]
    return Galleries(
        open=classes[:OPEN_CLASSES],
        folded=classes[OPEN_CLASSES:],
        suspicious=[_describe(tile, names) for tile in tiles if tile.group == SUSPICIOUS],
        wrong=[_describe(tile, names) for tile in tiles if tile.group == WRONG],
        pictures=any(tile.image is not None for tile in tiles),
        doubtful=[_describe(tile, names) for tile in least],
    )


def _describe_class(number: int, tiles: Sequence[Tile], names: Sequence[str]) -> ClassRows:
    def of(group: str) -> list[TileText]:
        return [_describe(tile, names) for tile in tiles if tile.group == group and tile.class_number == number]

    return ClassRows(names[number], of(DOUBTFUL), of(CERTAIN))


def _describe(tile: Tile, names: Sequence[str]) -> TileText:
    uri = "" if tile.image is None else to_uri(tile.image)
    given = names[tile.class_number]
    truth = f"truly {names[tile.truth]}" if tile.truth >= 0 and tile.truth != tile.class_number else ""
    notes = [f"the others say {names[tile.label]}"] if tile.group == SUSPICIOUS else []
    note = ", ".join([*notes, *([truth] if truth else [])])
    is_coarse = tile.image is not None and _is_coarse(tile.image)
    return TileText(tile.id, uri, given, f"{100 * tile.certainty:.0f} %", note, is_coarse)


def _is_coarse(png: bytes) -> bool:
    """Whether neither side of a PNG, as its header tells them, has COARSE pixels."""
    return max(int.from_bytes(png[16:20]), int.from_bytes(png[20:24])) < COARSE


def to_uri(png: bytes) -> str:
    """A PNG as a data: URI, for a page that asks for no other file."""
    return "data:image/png;base64," + base64.b64encode(png).decode()
