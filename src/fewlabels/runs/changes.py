"""What changed from one run to a later one: rows that are new or gone, labels that are others, classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ..errors import SHOWN_ROWS, RunError, shown
from .record import Run, demand_whole
from .table import GIVEN, TABLE


@dataclass(frozen=True, kw_only=True)
class Changes:
    """Rows are told by their ids, in the order of the run that has them.

    num_common: rows that both runs have. new, gone: ids that only the later, only the earlier run has.
    relabelled: (id, label before, label now) of common rows whose labels differ; None for no label. Of these
    corrected: as many have another given label than a given one before. newly_given: common rows whose label is given
    now and was not. no_longer_given: the other way round. new_classes, gone_classes: names.
    """

    num_common: int
    new: list[str]
    gone: list[str]
    relabelled: list[tuple[str, str | None, str | None]]
    corrected: int
    newly_given: int
    no_longer_given: int
    new_classes: list[str]
    gone_classes: list[str]

    def rows(self) -> list[list[str]]:
        """Header, then a row for each kind of change that there is: what, how many, some of them."""
        moves = [f"{shown(id)}: {_name(before)} -> {_name(now)}" for id, before, now in self.relabelled]
        found = [
            ("rows that are new", self.new, _some(self.new)),
            ("rows that are gone", self.gone, _some(self.gone)),
            (f"labels that are others, of {self.num_common:,} rows in both", moves, _some(moves)),
            ("classes that are new", self.new_classes, _some(self.new_classes)),
            ("classes that are gone", self.gone_classes, _some(self.gone_classes)),
        ]
        counts = [
            ("given labels that were corrected", self.corrected),
            ("labels that are given now and were not", self.newly_given),
            ("labels that were given and are not now", self.no_longer_given),
        ]
        made = [[what, f"{len(some):,}", said] for what, some, said in found if some]
        made += [[what, f"{count:,}", ""] for what, count in counts if count]
        return [["what", "how many", "such as"], *(made or [["nothing: the same rows with the same labels", "", ""]])]


def find_changes(before: Run, after: Run) -> Changes | None:
    """Compare the labels of two finished runs, row by row; None where one has none, or where they share no row.

    Raises RunError (K2) for a damaged table.
    """
    old, new = _read(before), _read(after)
    if old is None or new is None:
        return None
    place = pc.index_in(new["id"], value_set=old["id"])
    is_known = pc.is_valid(place)
    if not pc.any(is_known).as_py():
        return None
    now, then = new.filter(is_known), old.take(place.drop_null())
    differs = pc.invert(_equal(now["label"], then["label"]))
    moved = [now["id"], then["label"], now["label"]]
    given, was_given = (_flags(pc.equal(part["source"], GIVEN)) for part in (now, then))
    classes = [list(run.facts.get("class_names", [])) for run in (before, after)]
    return Changes(
        num_common=now.num_rows,
        new=new["id"].filter(pc.invert(is_known)).to_pylist(),
        gone=old["id"].filter(pc.invert(pc.is_in(old["id"], value_set=new["id"]))).to_pylist(),
        relabelled=list(zip(*(part.filter(differs).to_pylist() for part in moved), strict=True)),
        corrected=int((given & was_given & _flags(differs)).sum()),
        newly_given=int((given & ~was_given).sum()),
        no_longer_given=int((was_given & ~given).sum()),
        new_classes=[name for name in classes[1] if name not in classes[0]],
        gone_classes=[name for name in classes[0] if name not in classes[1]],
    )


def _read(run: Run) -> pa.Table | None:
    if not run.results or not (run.folder / TABLE).is_file():
        return None
    demand_whole(run.folder, (TABLE,))
    path = Path(run.folder) / TABLE
    try:
        return pq.read_table(path, columns=["id", "label", "source"])
    except (pa.ArrowException, OSError, KeyError) as problem:
        raise RunError("K2", f"not the table of a run: {shown(problem)}", where=path) from problem


def _equal(one: pa.ChunkedArray, other: pa.ChunkedArray) -> pa.ChunkedArray:
    """Whether both are the same, or both are none."""
    return pc.or_(pc.fill_null(pc.equal(one, other), False), pc.and_(pc.is_null(one), pc.is_null(other)))


def _flags(values: pa.ChunkedArray) -> np.ndarray:
    return np.asarray(
        values.to_numpy(zero_copy_only=False) if isinstance(values, pa.Array) else values.to_numpy(), bool
    )


def _some(texts: Sequence[str]) -> str:
    more = "; ..." if len(texts) > SHOWN_ROWS else ""
    return "; ".join(shown(text) for text in texts[:SHOWN_ROWS]) + more


def _name(label: str | None) -> str:
    return "none" if label is None else shown(label)
