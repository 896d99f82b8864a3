"""Rows worth looking at, as a report shows them: by class, and given labels that all others contradict."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass

from ..runs import Run
from ..runs.insights import CERTAIN, DOUBTFUL, SUSPICIOUS, Tile, read_gallery

OPEN_CLASSES = 10  # more are folded
OPEN_ROWS = 12  # of rows without pictures
LONGEST_ID = 40


@dataclass(frozen=True)
class Shown:
    """One row. uri: its picture as a data: URI, empty for none. label: of the pseudo-label or the given label.

    note: what else there is to say: the true class where the label is wrong, what the other labels say.
    """

    id: str
    uri: str
    label: str
    certainty: str
    note: str

    @property
    def short_id(self) -> str:
        """The id, its middle left out where it is long: the end of a path tells more than its beginning."""
        return self.id if len(self.id) <= LONGEST_ID else f"{self.id[:12]}…{self.id[-(LONGEST_ID - 13) :]}"


@dataclass(frozen=True)
class ClassRows:
    """The least and the most certain pseudo-labels of a class."""

    name: str
    doubtful: list[Shown]
    certain: list[Shown]


@dataclass(frozen=True)
class Galleries:
    """open, folded: classes. suspicious: given labels, worst first. pictures: whether rows have images.

    doubtful: the least certain pseudo-labels of all classes, of those that a class shows.
    """

    open: list[ClassRows]
    folded: list[ClassRows]
    suspicious: list[Shown]
    pictures: bool
    doubtful: list[Shown]


def galleries_of(run: Run, class_names: Sequence[str]) -> Galleries | None:
    """None for a run without any. Raises RunError (K2) for a damaged table."""
    tiles = read_gallery(run.folder)
    if not tiles:
        return None
    names = [*class_names, "none"]  # number -1 is the last
    classes = [_class_rows(number, tiles, names) for number in dict.fromkeys(_numbers(tiles))]
    doubted = [_shown(tile, names) for tile in tiles if tile.group == SUSPICIOUS]
    pictures = any(tile.image is not None for tile in tiles)
    least = sorted((tile for tile in tiles if tile.group == DOUBTFUL), key=lambda tile: tile.certainty)[:OPEN_ROWS]
    doubtful = [_shown(tile, names) for tile in least]
    return Galleries(classes[:OPEN_CLASSES], classes[OPEN_CLASSES:], doubted, pictures, doubtful)


def _numbers(tiles: Sequence[Tile]) -> list[int]:
    return [tile.class_number for tile in tiles if tile.group != SUSPICIOUS]


def _class_rows(number: int, tiles: Sequence[Tile], names: Sequence[str]) -> ClassRows:
    def of(group: str) -> list[Shown]:
        return [_shown(tile, names) for tile in tiles if tile.group == group and tile.class_number == number]

    return ClassRows(names[number], of(DOUBTFUL), of(CERTAIN))


def _shown(tile: Tile, names: Sequence[str]) -> Shown:
    uri = "" if tile.image is None else "data:image/png;base64," + base64.b64encode(tile.image).decode()
    given = names[tile.class_number]
    truth = f"truly {names[tile.truth]}" if tile.truth >= 0 and tile.truth != tile.class_number else ""
    notes = [f"the others say {names[tile.label]}"] if tile.group == SUSPICIOUS else []
    return Shown(tile.id, uri, given, f"{tile.certainty:.2f}", ", ".join([*notes, *([truth] if truth else [])]))
