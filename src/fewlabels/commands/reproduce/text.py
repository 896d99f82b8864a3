"""Numbers of `fewlabels reproduce` as text: a table for each label count, and what to know about it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from ...recipes.paper import PROTOCOLS, petaflops
from ...recipes.published import GRADES, RERUN_SPLIT, Number
from ...report.words import Summary
from ...training.method_table import BY_WORD
from ..text import align
from .cells import OWN_RUNS, Cell, Variant
from .outcomes import Outcome, Row, read_row, select_cells

CIFAR100_OPEN = (
    "An open question: somebody who reran the released code with 4,000 labels found the student of MT + LP at 43.92 % "
    "error and the averaged teacher at 32.48 %, where the paper says 43.73 % (issue #4 of that code; its author had "
    "lost his logs). The published number may be a student's, or of another state of the code: do not expect a close "
    "match."
)
DIP = (
    "The curve to expect of the paper's schedule: at the start of the second phase the learning rate goes back to its "
    "maximum{momentum}, so the error should first rise, then fall below where it was (issue #2 of the released code)."
)


def format_tables(cells: Sequence[Cell], variant: Variant, out: Path) -> str:
    """Tables of all label counts among the cells, each with what to know about it."""
    counts = list(dict.fromkeys(cell.num_labels for cell in cells))
    each = [[read_row(cell, variant, out) for cell in select_cells(cells, count)] for count in counts]
    return "\n\n".join(_format_section(rows, variant) for rows in each)


def _format_section(rows: Sequence[Row], variant: Variant) -> str:
    cell = rows[0].cell
    head = f"{cell.benchmark.name}, {cell.num_labels} labels: test error in percent after the last epoch"
    lines = [head, *_list_departures(rows, variant), "", _format_table(rows, variant), "", *_list_notes(rows, variant)]
    return "\n".join(lines)


def _list_departures(rows: Sequence[Row], variant: Variant) -> list[str]:
    found = list(dict.fromkeys(text for one in rows for text in one.cell.departures(variant)))
    return [f"NOT THE PAPER'S PROTOCOL: {', '.join(found)}. Published numbers are for orientation."] if found else []


def _format_table(rows: Sequence[Row], variant: Variant) -> str:
    aside = " (for orientation)" if any(one.cell.departures(variant) for one in rows) else ""
    head = ["", f"paper{aside}", f"released code, rerun{aside}", "ours, student", "ours, teacher", "splits done"]
    return align([head, *(_format_cells(one) for one in rows)])


def _format_cells(row: Row) -> list[str]:
    rerun = "-"
    if row.rerun is not None:
        teacher = "" if row.rerun.teacher is None else f" (teacher {row.rerun.teacher:.2f})"
        rerun = f"{row.rerun.student:.2f}{teacher}"
    splits = ", ".join(map(str, row.splits)) or "-"
    paper = "-" if row.paper is None else str(row.paper)
    return [BY_WORD[row.cell.method].title, paper, rerun, _format_mean(row.student), _format_mean(row.teacher), splits]


def _format_mean(found: Summary) -> str:
    if found.mean is None:
        return "-"
    spread = "" if found.std is None else f" +- {found.std:.2f}"
    return f"{found.mean:.2f}{spread} (n={len(found.values)})"


def _list_notes(rows: Sequence[Row], variant: Variant) -> list[str]:
    name, methods = rows[0].cell.benchmark.name, [one.cell.method for one in rows]
    notes = [_explain_grades([one.paper for one in rows if one.paper is not None])]
    if any(one.rerun for one in rows):
        rerun = "rerun: one run of the released code by somebody else (B); compare it with our split"
        notes.append(f"{rerun} {RERUN_SPLIT}.")
    notes += _list_origins([one for row in rows for one in row.outcomes], variant)
    notes += [line for one in rows if len(BY_WORD[one.cell.method].phases) == 2 for line in _tell_curve(one, variant)]
    if name == "cifar100" and "mt+lp" in methods:
        notes.append(CIFAR100_OPEN)
    notes += [_note_top5(one.cell, one.paper_top5) for one in rows if one.paper_top5 is not None]
    return [note for note in notes if note]


def _explain_grades(numbers: Sequence[Number]) -> str:
    evidence = "; ".join(f"{grade} {GRADES[grade]}" for grade in sorted({number.grade for number in numbers}))
    return f"paper: mean +- std of its splits, and the evidence for the mean: {evidence}." if evidence else ""


def _list_origins(found: Sequence[Outcome], variant: Variant) -> list[str]:
    """What our numbers were made with."""
    if not found:
        return []
    facts = [one.facts for one in found]
    drawn = [one for one in facts if one["reproduces"]["split_origin"] == "drawn"]
    line = (
        f"ours: mode {variant.mode}, speed {_join_values(one['speed'] for one in facts)}, "
        f"device {_join_values(one['reproduces']['accelerator'] or one['device'] for one in facts)}, "
        f"commit {_join_values(one['versions']['commit'] for one in facts)}; the seed is the number of the split."
    )
    return [line, *(["Some of our splits were drawn by seed: they are not the paper's label files."] if drawn else [])]


def _join_values(values: Iterable[object]) -> str:
    return ", ".join(sorted({str(value) for value in values}))


def _tell_curve(row: Row, variant: Variant) -> list[str]:
    """What the start of the second phase is expected to do, and what it did in our runs."""
    momentum = " and the momentum is kept" if variant.mode == "released" else ""
    lines = [f"{BY_WORD[row.cell.method].title}: {DIP.format(momentum=momentum)}"]
    for one in row.outcomes:
        if one.before is not None:
            first, error = one.first
            lines.append(
                f"  split {one.split}: {one.before:.2f} at the end of phase 1; {error:.2f} after epoch {first + 1} of "
                f"phase 2. Measured: it {_describe_course(one.before, one)}."
            )
    return lines


def _describe_course(before: float, one: Outcome) -> str:
    """How the error went in the last phase, in the epochs where it was measured. before: as the phase began."""
    (worst, most), end = one.worst, one.student
    if most <= before:
        if one.first[1] < before:
            return f"fell from the first measured epoch, was never above where it began, and ended at {end:.2f}"
        return f"was never above where it began, and ended at {end:.2f}"
    rose = f"rose from {before:.2f} to {most:.2f} at epoch {worst + 1}"
    if end < before:
        return f"{rose}, then fell to {end:.2f}"
    return f"{rose} and ended at {end:.2f}, {'above' if end > before else 'no lower than'} where it began"


def _note_top5(cell: Cell, number: Number) -> str:
    return f"{BY_WORD[cell.method].title}: ours is top-1; the paper's top-5 error is {number}."


def format_list(cells: Sequence[Cell], variant: Variant, out: Path) -> str:
    """All cells of the tables: the paper's number, how much work one split is, and how many are done."""
    head = ["data set", "labels", "method", "paper", "PFLOP a split", "splits done"]
    rows = [_format_row(cell, variant, out) for cell in cells]
    grades = "; ".join(f"{grade} {text}" for grade, text in GRADES.items())
    notes = [f"paper: test error in percent, mean +- std, and the evidence for the mean: {grades}."]
    notes.append("PFLOP: of the paper's network and full schedule; lp includes supervised, mt+lp includes mt.")
    if variant.suffix:
        notes.append(f"splits done: of runs with {', '.join(variant.changes) or 'mode paper'}.")
    return align([head, *rows]) + "\n\n" + "\n".join(notes)


def _format_row(cell: Cell, variant: Variant, out: Path) -> list[str]:
    found = read_row(cell, variant, out)
    work = petaflops(cell.settings(Variant(), 0), cell.num_labels, cell.benchmark)
    done = f"{len(found.splits)} of {len(PROTOCOLS[cell.benchmark.name].splits)}"
    paper = "-" if found.paper is None else str(found.paper)
    copied = "" if cell.method in OWN_RUNS else " (copied)"
    return [cell.benchmark.name, str(cell.num_labels), cell.method, paper + copied, f"{work:.3g}", done]
