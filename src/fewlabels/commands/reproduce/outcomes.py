"""Run folders of `fewlabels reproduce` -> numbers beside those of the paper. No text, no torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ...errors import RunError
from ...recipes.published import PAPER, PAPER_TOP5, RERUNS, Number, Rerun
from ...report.words import Summary, summarize
from ...runs import Run, is_finished, read_run
from ...training.identity import find_differences, to_plain
from ...training.method_table import BY_WORD
from .cells import Cell, Variant


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a cell ended on one split. Errors in percent, of the last epoch of its last phase, never the best.

    cell: whose run it was; label propagation's first phase is "supervised". finished: whether all of that run is over.
    before: error when the phase before ended; None without one. first: (epoch, error) where it was measured first in
    the last phase; worst: where it was largest. facts: run.json.
    """

    cell: Cell
    split: int
    student: float
    teacher: float | None
    finished: bool
    before: float | None
    first: tuple[int, float]
    worst: tuple[int, float]
    folder: Path
    facts: dict[str, Any]


def split_folder(out: Path, cell: Cell, variant: Variant, split: int) -> Path:
    return cell.folder(out, variant) / f"split-{split}"


def read_outcome(cell: Cell, split: int, variant: Variant, out: Path) -> Outcome | None:
    """From the cell's own run, or from one that trained its phases first; None while there is none."""
    for source, phase in cell.sources():
        run = _read_run(source, split, variant, out)
        found = None if run is None else _read_end(run, source, phase, split, variant)
        if found is not None:
            return found
    return None


def read_outcomes(cell: Cell, variant: Variant, out: Path) -> list[Outcome]:
    """Of all splits that are done, in their order."""
    places = [place for source, _ in cell.sources() for place in source.folder(out, variant).glob("split-*")]
    splits = sorted({int(place.name[6:]) for place in places if place.name[6:].isdecimal()})
    found = [read_outcome(cell, split, variant, out) for split in splits]
    return [one for one in found if one is not None]


def _read_run(cell: Cell, split: int, variant: Variant, out: Path) -> Run | None:
    """The run if it is there, can be read, and was made with today's settings."""
    folder = split_folder(out, cell, variant, split)
    try:
        run = read_run(folder)
    except RunError:  # not begun, or cut off in the middle of a line
        return None
    return None if find_differences(run.settings, to_plain(cell.settings(variant, split).facts())) else run


def _read_end(run: Run, cell: Cell, phase: int, split: int, variant: Variant) -> Outcome | None:
    epochs = run.of("epoch")
    last = cell.settings(variant, split).phases[phase].epochs - 1
    mine = [one for one in epochs if one["phase_index"] == phase and one["test_error"] is not None]
    if not mine or mine[-1]["epoch"] != last:
        return None
    earlier = [one["test_error"] for one in epochs if one["phase_index"] == phase - 1]
    errors = [(one["epoch"], one["test_error"]) for one in mine]
    return Outcome(
        cell=cell,
        split=split,
        student=mine[-1]["test_error"],
        teacher=mine[-1]["teacher_test_error"],
        finished=is_finished(run.folder),
        before=earlier[-1] if earlier else None,
        first=errors[0],
        worst=max(errors, key=lambda one: one[1]),
        folder=run.folder,
        facts=run.facts,
    )


@dataclass(frozen=True, kw_only=True)
class Row:
    """One method: what is published, and what we found so far, over the splits."""

    cell: Cell
    paper: Number | None
    paper_top5: Number | None
    rerun: Rerun | None
    student: Summary
    teacher: Summary
    outcomes: list[Outcome]

    @property
    def splits(self) -> list[int]:
        return [one.split for one in self.outcomes]


def read_row(cell: Cell, variant: Variant, out: Path) -> Row:
    name, count, method = cell.benchmark.name, cell.num_labels, cell.method
    found = read_outcomes(cell, variant, out)
    return Row(
        cell=cell,
        paper=PAPER.get((name, count, method)),
        paper_top5=PAPER_TOP5.get((count, method)) if name == "mini-imagenet" else None,
        rerun=RERUNS.get((name, count, method)),
        student=summarize([one.student for one in found]),
        teacher=summarize([one.teacher for one in found]),
        outcomes=found,
    )


def select_cells(cells: Sequence[Cell], num_labels: int) -> list[Cell]:
    """The cells of one label count, and those that they train on the way, in the order of the paper's rows."""
    asked = [cell for cell in cells if cell.num_labels == num_labels]
    candidates = [Cell(asked[0].benchmark, num_labels, method) for method in BY_WORD]
    return [one for one in candidates if any(source in asked for source, _ in one.sources())]


def describe_row(row: Row, variant: Variant) -> dict[str, Any]:
    """Plain values of a row."""
    return {
        "dataset": row.cell.benchmark.name,
        "num_labels": row.cell.num_labels,
        "method": row.cell.method,
        "paper": None if row.paper is None else asdict(row.paper),
        "paper_top5": None if row.paper_top5 is None else asdict(row.paper_top5),
        "rerun": None if row.rerun is None else asdict(row.rerun),
        "student": _describe_summary(row.student),
        "teacher": _describe_summary(row.teacher),
        "splits": row.splits,
        "departures": row.cell.departures(variant),
        "runs": [str(one.folder) for one in row.outcomes],
        "curves": [
            {"split": one.split, "before": one.before, "first": one.first, "worst": one.worst, "last": one.student}
            for one in row.outcomes
        ],
    }


def _describe_summary(found: Summary) -> dict[str, Any] | None:
    return None if found.mean is None else asdict(found)


def describe_rows(cells: Sequence[Cell], variant: Variant, out: Path) -> list[dict[str, Any]]:
    """Of the cells, and of those that they train on the way."""
    counts = dict.fromkeys(cell.num_labels for cell in cells)
    return [
        describe_row(read_row(cell, variant, out), variant) for count in counts for cell in select_cells(cells, count)
    ]
