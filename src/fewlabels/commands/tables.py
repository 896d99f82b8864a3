"""Results -> the plain tables that commands end with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

NAMES = {
    "supervised_error": ("test error, supervised on the labels alone", "%"),
    "lp_error": ("test error, label propagation", "%"),
    "pi_model_error": ("test error, Pi-model", "%"),
    "temporal_ensembling_error": ("test error, temporal ensembling", "%"),
    "mean_teacher_error": ("test error, Mean Teacher, student", "%"),
    "mean_teacher_teacher_error": ("test error, Mean Teacher, teacher", "%"),
    "mt_lp_error": ("test error, Mean Teacher with label propagation, student", "%"),
    "mt_lp_teacher_error": ("test error, Mean Teacher with label propagation, teacher", "%"),
    "pseudo_label_accuracy_first": ("pseudo-labels right, first epoch", "%"),
    "pseudo_label_accuracy_last": ("pseudo-labels right, at the end", "%"),
    "certainty_right_first": ("certainty of right pseudo-labels, first epoch", ""),
    "certainty_wrong_first": ("certainty of wrong pseudo-labels, first epoch", ""),
    "certainty_right": ("certainty of right pseudo-labels, at the end", ""),
    "certainty_wrong": ("certainty of wrong pseudo-labels, at the end", ""),
    "certainty": ("mean certainty of the propagated labels", ""),
    "num_rows": ("rows", ""),
    "num_labeled": ("labelled", ""),
    "num_test": ("test images", ""),
    "num_rejected": ("unreadable images, left out (rejected.csv)", ""),
    "num_notes": ("odd in the input (notes.csv)", ""),
    "recall": ("nearest neighbours found (recall)", "%"),
    "unreached": ("rows that no label reaches", ""),
    "wall_seconds": ("wall time", "s"),
    "peak_memory_mib": ("peak memory", "MiB"),
}
DEMO = (
    "supervised_error",
    "lp_error",
    "pseudo_label_accuracy_first",
    "pseudo_label_accuracy_last",
    "certainty_right_first",
    "certainty_wrong_first",
    "certainty_right",
    "certainty_wrong",
    "wall_seconds",
)


def value(name: str, number: float | None) -> str:
    """A number as the tables show it: counts whole, percent and seconds with one or two places."""
    if number is None:
        return "-"
    unit = NAMES[name][1]
    text = f"{number}" if isinstance(number, int) else f"{number:.0f}" if unit == "MiB" else f"{number:.2f}"
    return f"{text} {unit}".rstrip()


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Columns as wide as their widest cell; the first to the left, the others to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = (
        "  ".join(cell.rjust(width) if column else cell.ljust(width) for column, (cell, width) in enumerate(pairs))
        for pairs in (zip(row, widths, strict=True) for row in rows)
    )
    return "\n".join(line.rstrip() for line in lines)


def of(results: dict[str, Any], names: Sequence[str]) -> str:
    """One line for each of the names that the results have a value for."""
    return aligned([(NAMES[name][0], value(name, results[name])) for name in names if results.get(name) is not None])


def demo_table(results: dict[str, Any]) -> str:
    labeled, rows, test = results["num_labeled"], results["num_rows"], results["num_test"]
    head = f"handwritten digits: {labeled} labels for {rows} images, {test} more to test on"
    return f"{head}\n\n{of(results, (*DEMO, 'peak_memory_mib'))}\n"


def training_table(results: dict[str, Any]) -> str:
    names = (
        "num_rows",
        "num_labeled",
        "num_test",
        "num_rejected",
        "num_notes",
        "unreached",
        "certainty",
        *(name for name in results if name.endswith("_error")),
    )
    return of(_with_notes(results), (*names, "wall_seconds", "peak_memory_mib")) + "\n"


def _with_notes(results: dict[str, Any]) -> dict[str, Any]:
    """The results with the number of all notes, if there are any."""
    return results | {"num_notes": sum(results.get("notes", {}).values()) or None}


def propagation_table(results: dict[str, Any]) -> str:
    names = ("num_rows", "num_labeled", "num_notes", "recall", "unreached", "certainty")
    table = of(_with_notes(results), (*names, "wall_seconds", "peak_memory_mib"))
    return "\n".join([table, "", *_checked(results.get("leave_one_out")), _about_certainty(results.get("refined"))])


def _checked(found: dict[str, int] | None) -> list[str]:
    """What the given labels say of each other; nothing where none was checked."""
    if not found or not found["num_checked"]:
        return []
    checked, against = found["num_checked"], found["num_contradicted"]
    look = ": the report shows which" if against else ""
    return [f"Of {checked:,} given labels, each left out in turn, the others contradict {against:,}{look}."]


def _about_certainty(refined: dict[str, Any] | None) -> str:
    if refined and refined["temperature"] is not None:
        return f"Certainty was fitted on {refined['num_held_out']:,} labels held out."
    return "Certainty orders the labels from doubtful to sure. It is no probability; --calibrate makes it nearly one."


def seeds_table(results: dict[str, Any]) -> str:
    """One row a measure: each seed, then mean and standard deviation (n - 1)."""
    head = ("", *(f"seed {seed}" for seed in results["seeds"]), "mean", "std")
    rows = [
        (
            NAMES[name][0] + (f" ({NAMES[name][1]})" if NAMES[name][1] else ""),
            *(_two(number) for number in entry["values"]),
            _two(entry["mean"]),
            _two(entry["std"]),
        )
        for name, entry in results["table"].items()
    ]
    return aligned([head, *rows]) + "\n"


def _two(number: float | None) -> str:
    return "-" if number is None else f"{number:.2f}"
