"""Results as text for a terminal: the tables that commands end with, and explanations."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol

from ..choosing.words import (
    describe_abstaining,
    describe_error,
    describe_estimated,
    describe_prior,
    list_candidates,
)
from ..graph import Explanation

NAMES = {
    "supervised_error": ("test error, supervised on the labels alone", "%"),
    "lp_error": ("test error, label propagation", "%"),
    "pi_model_error": ("test error, Pi-model", "%"),
    "temporal_ensembling_error": ("test error, temporal ensembling", "%"),
    "mean_teacher_error": ("test error, Mean Teacher, student", "%"),
    "mean_teacher_teacher_error": ("test error, Mean Teacher, teacher", "%"),
    "mt_lp_error": ("test error, Mean Teacher with label propagation, student", "%"),
    "mt_lp_teacher_error": ("test error, Mean Teacher with label propagation, teacher", "%"),
    "match_error": ("test error, strong-view matching, student", "%"),
    "match_teacher_error": ("test error, strong-view matching, teacher", "%"),
    "strong_lp_error": ("test error, label propagation on strong views, student", "%"),
    "strong_lp_teacher_error": ("test error, label propagation on strong views, teacher", "%"),
    "match_lp_error": ("test error, strong-view matching with label propagation, student", "%"),
    "match_lp_teacher_error": ("test error, strong-view matching with label propagation, teacher", "%"),
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


def format_number(name: str, number: float | None) -> str:
    """A number as the tables show it: counts whole, percent and seconds with one or two places."""
    if number is None:
        return "-"
    unit = NAMES[name][1]
    text = f"{number}" if isinstance(number, int) else f"{number:.0f}" if unit == "MiB" else f"{number:.2f}"
    return f"{text} {unit}".rstrip()


def format_description(results: dict[str, Any], noun: str) -> str:
    """What `describe` did, and the command that goes on from there."""
    rows, seconds = results["num_rows"], results["wall_seconds"]
    lines = [f"{rows:,} {noun} described by {results['made']['model']}, {results['width']:,} numbers each"]
    if results.get("known"):
        lines.append(f"{results['known']:,} of them were known already (fewlabels cache)")
    if results["num_rejected"]:
        lines.append(f"{results['num_rejected']:,} cannot be used: {results['rejected']}")
    done = results.get("computed", rows)
    pace = f", {done / seconds:,.0f} {noun} a second" if seconds > 0 and done else ""
    lines.append(f"wall time {seconds:.1f} s{pace}; peak memory {results['peak_memory_mib']:.0f} MiB")
    lines += ["", f"embeddings  {results['out']}"]
    lines.append(f"next        fewlabels propagate {results['out']} --labels labels.csv --out labelled.parquet")
    return "\n".join(lines)


def format_classification(results: dict[str, Any]) -> str:
    """What `classify` did, how far its probabilities can be trusted, and the command that goes on from there."""
    rows, seconds, sure = results["num_rows"], results["wall_seconds"], results["sure"]
    counts = sorted(results["class_counts"].items(), key=lambda one: -one[1])
    most = ", ".join(f"{count:,} {name}" for name, count in counts[:CLASSES] if count)
    is_rows = "by" in results  # embeddings, by a run of propagate
    unit = "rows" if is_rows and not results.get("described_by") else "photos"
    lines = [f"{rows:,} {unit} classified: {most}{', ...' if len(counts) > CLASSES else ''}"]
    if is_rows:
        lines.append(f"answered by {results['by']}")
    if results.get("described_by"):
        lines.append(f"rows {results['described_by']}, as those of the run")
    if results["num_rejected"]:
        why = "are answered by nothing and left out"
        why = f"cannot be used: {results['rejected']}" if results["rejected"] else why
        lines.append(f"{results['num_rejected']:,} {why}")
    if not results["calibrated"]:
        why = "nothing is known of its error" if is_rows else "no label could be held out"
        more = "" if is_rows else " They are far too sure as a rule."
        lines.append(f"Probabilities are not calibrated: {why}.{more}")
    if sure is not None:
        lines.append(_describe_sure(sure, rows, unit))
    if said := describe_estimated(results.get("estimated") or {}):
        lines.append(f"of this labelling {said}")
    if results["trained_on"]:
        what = "Some of these photos are the run's own, which it was trained on: it knows given labels by heart"
        lines.append(f"{what}, and of the others more may be wrong than that says.")
    pace = f", {rows / seconds:,.0f} {unit} a second" if seconds > 0 else ""
    lines.append(f"wall time {seconds:.1f} s{pace}; peak memory {results['peak_memory_mib']:.0f} MiB")
    lines += ["", f"labels  {results['out']}"]
    if results["sorted"]:
        lines.append(f"sorted  {results['sorted']['into']}: {results['sorted']['num_photos']:,} photos")
    to_go_on = f"review {results['run']}" if is_rows else f"export-model {results['run']} --onnx model.onnx"
    lines.append(f"next    fewlabels {to_go_on}")
    return "\n".join(lines)


def format_export(results: dict[str, Any]) -> str:
    """What `export-model` wrote, and what can be done with it."""
    lines, onnx, folder = [], results["onnx"], results["folder"]
    if onnx:
        most = max(onnx["largest_difference"].values())
        lines += [
            f"onnx    {onnx['file']} ({onnx['bytes'] / 1e6:.1f} MB)",
            f"card    {onnx['card']}",
            f"checked onnxruntime and torch differ by {most:.1e} at most, on {onnx['num_compared']} images: "
            f"{onnx['compared_on']}",
        ]
    if folder:
        trunk = ", without the trunk" if folder["without_trunk"] else ""
        lines += [
            f"folder  {folder['folder']} ({folder['bytes'] / 1e6:.1f} MB of weights{trunk})",
            f"next    fewlabels classify {folder['folder']} photos/ --out labels.csv",
        ]
    return "\n".join(lines)


def _describe_sure(sure: dict[str, Any], rows: int, unit: str) -> str:
    wanted = f"{100 * sure['wanted_error']:g} %"
    if sure["from_probability"] is None:
        return f"None is called sure: {sure['reason']}. Ask for less by --wanted-error, or label more {unit}."
    share = 100 * sure["num_sure"] / max(1, rows)
    return (
        f"{sure['num_sure']:,} ({share:.0f} %) are sure, with a probability of {sure['from_probability']:.3f} and "
        f"more: at most {wanted} of them wrong, as far as the held-out labels tell ({sure['held_out_error']:.1f} %) "
        f"of {unit} that the model has not seen."
    )


def align(rows: Sequence[Sequence[str]]) -> str:
    """Columns as wide as their widest cell; the first to the left, the others to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = (
        "  ".join(cell.rjust(width) if column else cell.ljust(width) for column, (cell, width) in enumerate(pairs))
        for pairs in (zip(row, widths, strict=True) for row in rows)
    )
    return "\n".join(line.rstrip() for line in lines)


def format_lines(results: dict[str, Any], names: Sequence[str]) -> str:
    """One line for each of the names that the results have a value for."""
    known = [name for name in names if results.get(name) is not None]
    return align([(NAMES[name][0], format_number(name, results[name])) for name in known])


def format_demo(results: dict[str, Any]) -> str:
    labeled, rows, test = results["num_labeled"], results["num_rows"], results["num_test"]
    head = f"handwritten digits: {labeled} labels for {rows} images, {test} more to test on"
    return f"{head}\n\n{format_lines(results, (*DEMO, 'peak_memory_mib'))}\n"


def format_photo_demo(results: dict[str, Any]) -> str:
    """What was learnt from the photos, and how many new ones it names rightly."""
    new, data = results["new"], results["data"]
    lines = [
        f"{results['num_rows']} photos, {results['num_labeled']} of them labelled: {results['photos']}.",
        "",
        format_training(results),
        f"{results['new_right']} of {new['num_rows']} new photos got the right label ({new['out']}).",
        f"Photos and labels are in {data}: the same by hand is",
        f"  fewlabels train {data}/photos --labels {data}/labels.csv --out runs/mine",
        f"  fewlabels classify runs/mine {data}/new --out mine.csv",
        "",
    ]
    return "\n".join(lines)


def format_training(results: dict[str, Any]) -> str:
    names = (
        "num_rows",
        "num_labeled",
        "num_test",
        "num_rejected",
        "num_notes",
        "unreached",
        "certainty",
        *(name for name in results if name.endswith("_error") and name in NAMES),
    )
    table = format_lines(_count_notes(results), (*names, "wall_seconds", "peak_memory_mib"))
    return "\n".join([table, "", *_describe_cross_validated(results.get("cross_validated"), results)]).rstrip() + "\n"


def format_changes(rows: Sequence[Sequence[str]], since: str) -> str:
    """What changed since a run, a line for each kind. rows: as Changes.rows gives them."""
    lines = [f"{count:>9}  {what}" + (f": {some}" if some else "") for what, count, some in rows[1:]]
    return "\n".join([f"since {since}:", *lines])


def _describe_cross_validated(found: dict[str, Any] | None, results: dict[str, Any]) -> list[str]:
    """What heads that had not seen them said of the given labels; nothing where none could be held out."""
    if not found:
        return []
    span = f"95 % interval {found['low']:.0f} to {found['high']:.0f} %"
    words = f"{found['num_held_out']:,} given labels, each held out once"
    lines = [f"Cross-validated error: {found['error']:.1f} % ({span}), by {words}."]
    wrong = [
        (wrong / held, f"{name} {wrong} of {held}")
        for name, held, wrong in zip(results["class_names"], found["class_held_out"], found["class_wrong"], strict=True)
        if wrong
    ]
    if wrong:
        worst = ", ".join(text for _, text in sorted(wrong, key=lambda one: -one[0])[:CLASSES])
        lines.append(f"Most often wrong: {worst}. The report shows which; more labels of these classes help most.")
    return lines


def _count_notes(results: dict[str, Any]) -> dict[str, Any]:
    """The results with the number of all notes, if there are any."""
    return results | {"num_notes": sum(results.get("notes", {}).values()) or None}


def format_propagation(results: dict[str, Any]) -> str:
    names = ("num_rows", "num_labeled", "num_notes", "recall", "unreached", "certainty")
    table = format_lines(_count_notes(results), (*names, "wall_seconds", "peak_memory_mib"))
    checked = _describe_checked(results.get("leave_one_out"))
    choice = results.get("choice")
    if choice is not None:
        look = [line for line in checked if results["leave_one_out"]["num_contradicted"]]
        return "\n".join([table, "", *_describe_choice(choice, results.get("abstain")), *look])
    return "\n".join([table, "", *checked, _describe_certainty(results.get("refined"))])


def format_parts(results: dict[str, Any], out: Path) -> str:
    """What a propagation over partitions says at its end."""
    table = format_lines(results, ("num_rows", "num_labeled", "unreached", "certainty"))
    parts, peak = results["cluster"]["partitions"], results["cluster"].get("peak_mib", 0)
    memory = f", {peak:,.0f} MiB in the largest worker" if peak else ""
    chosen = "\n".join(_describe_choice(results["choice"], results.get("abstain"))) if "choice" in results else ""
    said = [table, *([chosen] if chosen else []), f"{parts} partition{'s' * (parts != 1)}{memory}\nlabels  {out}"]
    return "\n\n".join(said)


def _describe_choice(choice: dict[str, Any], abstain: dict[str, Any] | None) -> list[str]:
    """What answers and why, the candidates, the error of the answer, and what to leave to a person."""
    candidates = list_candidates(choice)
    table = ["", _indent(candidates), ""] if candidates else []
    said = [describe_error(choice), describe_prior(choice), describe_abstaining(abstain) if abstain else ""]
    return [f"Answer: {choice['reason']}.", *table, *(line for line in said if line)]


def _describe_checked(found: dict[str, int] | None) -> list[str]:
    """What the given labels say of each other; nothing where none was checked."""
    if not found or not found["num_checked"]:
        return []
    checked, against = found["num_checked"], found["num_contradicted"]
    look = ": the report shows which" if against else ""
    return [f"Of {checked:,} given labels, each left out in turn, the others contradict {against:,}{look}."]


def _describe_certainty(refined: dict[str, Any] | None) -> str:
    if refined and refined["temperature"] is not None:
        return f"Certainty was fitted on {refined['num_held_out']:,} labels held out."
    return "Certainty orders the labels from doubtful to sure. It is no probability; --calibrate makes it nearly one."


def format_seeds(results: dict[str, Any]) -> str:
    """One row a measure: each seed, then mean and standard deviation (n - 1)."""
    head = ("", *(f"seed {seed}" for seed in results["seeds"]), "mean", "std")
    rows = [
        (
            NAMES[name][0] + (f" ({NAMES[name][1]})" if NAMES[name][1] else ""),
            *(_format_two(number) for number in entry["values"]),
            _format_two(entry["mean"]),
            _format_two(entry["std"]),
        )
        for name, entry in results["table"].items()
    ]
    return align([head, *rows]) + "\n"


def _format_two(number: float | None) -> str:
    return "-" if number is None else f"{number:.2f}"


CLASSES = 5  # shown in text; JSON has all
LEAST_SHARE = 0.0005  # smaller ones would read 0.0 %


class Texts(Protocol):
    """Ids by row, such as an Arrow column."""

    def __getitem__(self, row: int) -> Any: ...


def describe_explanation(why: Explanation, ids: Texts, class_names: Sequence[str]) -> dict[str, Any]:
    """An explanation with ids and class names, for JSON. A class is null where no label reaches."""

    def name_of(code: int) -> str | None:
        return None if code < 0 else class_names[code]

    def shares(values: Iterable[float]) -> dict[str, float]:
        return {class_names[code]: float(share) for code, share in enumerate(values)}

    return {
        "id": ids[why.row].as_py(),
        "label": name_of(why.label),
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
                "label": name_of(edge.label),
                "certainty": edge.certainty,
                "rows_with_its_embedding": edge.copies,
            }
            for edge in why.edges
        ],
        "resolved": why.resolved,
        "influences": [
            {"id": ids[one.row].as_py(), "label": name_of(one.label), "share": one.share} for one in why.influences
        ],
        "influence_of_classes": shares(why.class_shares),
    }


def format_explanation(found: dict[str, Any]) -> str:
    """An explanation for a terminal."""
    if "nearest_labelled" in found:
        return "\n\n".join([_format_head(found), _format_nearest(found)])
    blocks = [_format_head(found), _format_neighbors(found), _format_influences(found)]
    return "\n\n".join(block for block in blocks if block)


def _format_nearest(found: dict[str, Any]) -> str:
    rows = [("most similar labelled rows", "similarity", "label")]
    rows += [(one["id"], f"{one['similarity']:.3f}", one["label"]) for one in found["nearest_labelled"]]
    return _indent(rows)


def _format_head(found: dict[str, Any]) -> str:
    how = "given" if found["given"] else f"certainty {found['certainty']:.2f}"
    lines = [f"why {found['id']}: {found['label']}, {how}" if found["reached"] else f"why {found['id']}: no label"]
    if found.get("explained_by"):
        lines.append(f"  explained by {found['explained_by']}")
    if found["reached"]:
        lines.append(f"  class shares: {_format_shares(found['class_shares'])}")
    return "\n".join([*lines, *_format_connected(found)])


def _format_connected(found: dict[str, Any]) -> list[str]:
    """How much of the graph hangs together with the row; nothing where no graph answers."""
    if "rows_connected" not in found:
        return []
    connected, labels = found["rows_connected"], found["labels_connected"]
    lines = [f"  connected with it: {connected - 1:,} rows; labelled, itself counted: {labels:,}"]
    if found["rows_with_its_embedding"] > 1:
        lines.append(f"  rows with the same embedding, itself counted: {found['rows_with_its_embedding']:,}")
    if not found["reached"]:
        lines.append(f"  no label reaches its part of {connected:,} rows: label one of them, or raise --n-neighbors")
    return lines


def _format_shares(shares: dict[str, float]) -> str:
    ordered = sorted(shares.items(), key=lambda item: -item[1])
    most = [f"{name} {100 * share:.1f} %" for name, share in ordered[:CLASSES] if share >= LEAST_SHARE]
    others = len(ordered) - len(most)
    return "  ".join([*most, f"({others} more)"] if others else most)


def _format_neighbors(found: dict[str, Any]) -> str:
    if not found["neighbors"]:
        return "  it has no neighbours in the graph"
    rows = [("strongest neighbours", "similarity", "of its edges", "certainty", "label")]
    for one in found["neighbors"]:
        copies = f" (and {one['rows_with_its_embedding'] - 1} equal)" if one["rows_with_its_embedding"] > 1 else ""
        similarity = "-" if one["similarity"] is None else f"{one['similarity']:.3f}"
        share, certainty = f"{100 * one['share']:.1f} %", f"{one['certainty']:.2f}"
        rows.append((one["id"] + copies, similarity, share, certainty, one["label"] or "-"))
    return _indent(rows)


def _format_influences(found: dict[str, Any]) -> str:
    if not found["reached"]:
        return ""
    if not found["resolved"]:
        return "  too far from every label to tell them apart: it took the mix of its neighbours"
    rows = [("labelled rows that decided", "influence", "label")]
    rows += [(one["id"], f"{100 * one['share']:.1f} %", one["label"]) for one in found["influences"]]
    return f"{_indent(rows)}\n  all labelled rows: {_format_shares(found['influence_of_classes'])}"


def _indent(rows: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"  {line}" for line in align(rows).splitlines())
