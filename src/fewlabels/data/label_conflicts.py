"""An id that stands in several rows of a label file: which of them counts."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence

from ..errors import InputWarning, LabelError, listed
from .label_csv import Row
from .label_options import OnConflict
from .notes import Note

Conflicts = Mapping[str, Sequence[Row]]  # id -> its rows, in their order


def once_each(rows: Sequence[Row], source: str, on_conflict: OnConflict) -> tuple[list[Row], list[Note]]:
    """One row for each id, and a note for each row that does not count because of another label of its id.

    Warns of rows that repeat an id with the same label (L13), and of conflicts that are settled as was asked (L14).
    Raises LabelError L14 for an id with two labels unless asked otherwise, L19 for a label of blanks.
    """
    of_id: dict[str, list[Row]] = {}
    for row in rows:
        if row.label is not None and row.label.isspace():
            do = "leave the cell empty where there is no label"
            raise LabelError("L19", f"a label of blanks ({row.label!r})", where=f"{source}:{row.place}", do=do)
        of_id.setdefault(row.id, []).append(row)
    conflicts = {id: same for id, same in of_id.items() if any(row.label != same[0].label for row in same)}
    if conflicts and on_conflict == "error":
        raise _refused(conflicts, source)
    if again := sum(len(same) - 1 for id, same in of_id.items() if id not in conflicts):
        told = f"{again} {'row repeats' if again == 1 else 'rows repeat'} an id with the same label at {source}"
        warnings.warn(InputWarning(f"FL-L13 {told}"), stacklevel=3)
    kept = {id: same[0] for id, same in of_id.items()}
    takes_last = on_conflict == "last"
    kept |= {id: same[-1] if takes_last else same[0]._replace(label=None) for id, same in conflicts.items()}
    if conflicts:
        does = "the last row of each counts" if takes_last else "each stays without a label"
        told = listed([f"{id}: {', '.join(map(_said, same))}" for id, same in conflicts.items()])
        warnings.warn(InputWarning(f"FL-L14 ids with two different labels at {source}: {does}; {told}"), stacklevel=3)
    unused = [note for same in conflicts.values() for note in _unused(same, source, takes_last)]
    return list(kept.values()), unused


def _refused(conflicts: Conflicts, source: str) -> LabelError:
    """The error that names every row with another label than the first of its id, and the place of the first such."""
    pairs = [(same[0], row) for same in conflicts.values() for row in same if row.label != same[0].label]
    pairs.sort(key=lambda pair: pair[1].place)
    said = [f"{row.id}: {_said(first)}, {_said(row)}" for first, row in pairs]
    do = "keep one label for each id, or pass --on-conflict last or drop (on_conflict='last')"
    where = f"{source}:{pairs[0][1].place}"
    return LabelError("L14", "an id with two different labels", where=where, rows=said, do=do)


def _unused(rows: Sequence[Row], source: str, takes_last: bool) -> list[Note]:
    why = f"{_said(rows[-1])} counts" if takes_last else "the id has two labels, so it stays without"
    unused = rows[:-1] if takes_last else rows
    return [Note("L14", source, row.place, row.id, f"{_label(row)}: {why}") for row in unused]


def _label(row: Row) -> str:
    return "no label" if row.label is None else repr(row.label)


def _said(row: Row) -> str:
    return f"{_label(row)} in line {row.place}"
