"""A model card: what a model was made of, what it is for, and how often it is wrong, in Markdown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..nets.settings import NetworkSettings
from ..runs import read_run
from .text import NAMES

SHOWN_CLASSES = 100
FILES = {
    "onnx": "`{name}`: ONNX. Input `images`, uint8 (b, {size}, {size}, {channels}); outputs `probabilities` (b, "
    "{classes}) and `descriptor`. Metadata: class names, size, normalisation, temperature, preprocessing.",
    "folder": '`model.safetensors` and `model.json`: `fewlabels.load_model("{name}").predict("photo.jpg")` needs no '
    "more, and `fewlabels classify` takes this folder.",
    "without_trunk": '`model.safetensors` (the head alone) and `model.json`: `fewlabels.load_model("{name}")` puts it '
    "on the backbone that is installed, whose weights must have the SHA-256 below.",
}


def measure_run(folder: Any) -> dict[str, Any]:
    """What the card says of a finished run, as `measured` of an exported model.json."""
    run = read_run(folder)
    found, settings = run.results, run.settings
    errors = {name: found[name] for name in found if name.endswith("_error") and found[name] is not None}
    errors.pop("cross_validated_error", None)
    measured = {
        "title": str(run.facts.get("title", "")),
        "trained": run.facts["started"],
        "fewlabels": run.facts["versions"].get("fewlabels", ""),
        "num_rows": found["num_rows"],
        "num_labeled": found["num_labeled"],
        "num_test": found.get("num_test", 0),
        "class_counts": (found.get("class_counts") or {}).get("given", []),
        "methods": [f"{phase['epochs']} epochs of {phase['method']}" for phase in settings.get("phases", [])],
        "test_errors": errors if found.get("num_test") else {},
    }
    checked = found.get("cross_validated")
    return measured if checked is None else measured | {"cross_validated": checked}


def make_card(config: Mapping[str, Any], measured: Mapping[str, Any], name: str, kind: str) -> str:
    """The card. config: model.json. measured: see measure_run; empty where nobody knows. name: of the export.

    kind: a key of FILES.
    """
    given = config["image_input"]
    numbers = {"size": given["size"], "channels": given["channels"], "classes": len(config["class_names"])}
    how = "turned upright by their EXIF note, cut to the centred square"
    grey = " and turned grey" if given["channels"] == 1 else ""
    parts = [
        f"---\ntags: [image-classification, fewlabels]\nlibrary_name: fewlabels\nlicense: {_licence(config)[0]}\n---",
        f"# {measured.get('title') or name}",
        f"Names the class of a photo: one of {len(config['class_names'])}. Trained by fewlabels "
        f"{measured.get('fewlabels', '')} from few labels, which spread to the other photos by label propagation.",
        "## Files\n\n" + FILES[kind].format(name=name, **numbers),
        f"## Photos\n\nPhotos are {how}{grey}, and resized to {given['size']} x {given['size']} pixels (bilinear). "
        f"Mean {_numbers(given.get('mean'))} and deviation {_numbers(given.get('std'))} are taken out inside.",
        "## Data and labels\n\n" + _describe_data(config, measured),
        "## Error\n\n" + _describe_error(config, measured),
        "## Limits\n\nIt gives one of its classes to every photo, also where none fits. What it says of photos from "
        "another camera, place or time than those it was trained on was not measured.",
        "## Licence\n\n" + _licence(config)[1],
    ]
    return "\n\n".join(parts) + "\n"


def _numbers(values: Any) -> str:
    return ", ".join(f"{value:g}" for value in values or ())


def _describe_data(config: Mapping[str, Any], measured: Mapping[str, Any]) -> str:
    names = config["class_names"]
    if not measured:
        return f"Not recorded. Classes: {', '.join(names[:SHOWN_CLASSES])}."
    methods = ", then ".join(measured.get("methods", ()))
    lines = [
        f"{measured['num_rows']:,} photos, {measured['num_labeled']:,} of them labelled"
        f"{f'; {methods}' if methods else ''}; trained {measured['trained'][:10]}.",
    ]
    counts = measured.get("class_counts") or []
    if len(counts) == len(names):
        rows = [f"| {_cell(name)} | {count:,} |" for name, count in zip(names, counts, strict=True)]
        lines.append("\n".join(["| class | labels |", "|---|---|", *rows[:SHOWN_CLASSES]]))
        if len(rows) > SHOWN_CLASSES:
            lines.append(f"And {len(rows) - SHOWN_CLASSES} classes more.")
    return "\n\n".join(lines)


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())


def _describe_error(config: Mapping[str, Any], measured: Mapping[str, Any]) -> str:
    lines = []
    for name, error in measured.get("test_errors", {}).items():
        said = NAMES[name][0] if name in NAMES else name
        lines.append(f"- {said}: {error:.1f} %, on {measured['num_test']:,} photos that were not trained on.")
    checked = measured.get("cross_validated")
    if checked:
        lines.append(
            f"- cross-validated: {checked['error']:.1f} % (95 % interval {checked['low']:.1f} to {checked['high']:.1f} "
            f"%), by {checked['num_held_out']:,} given labels, each held out of the training of a head of its own. The "
            "labels are those that somebody chose to give; on other photos it may differ."
        )
    if not lines:
        lines.append("Not measured: there were no test photos, and no label could be held out.")
    temperature = config.get("temperature")
    lines.append(
        "- Probabilities are the network's softmax, not calibrated: far too sure as a rule."
        if temperature is None
        else f"- Probabilities are calibrated on the held-out labels (temperature {temperature:.3f})."
    )
    return "\n".join(lines)


def _licence(config: Mapping[str, Any]) -> tuple[str, str]:
    """Word for the front matter, and sentences."""
    backbone, network = config.get("backbone"), NetworkSettings(**config["network"])
    own = "belong to whoever trained it, as far as the photos and labels allow"
    if backbone:
        licence = backbone["licence"]
        text = (
            f"The trunk is {backbone['name']}, from {backbone['source']}; licence of its weights: {licence}. SHA-256 "
            f"of them: {backbone['weights_digest']}. The weights of the head {own}."
        )
        if backbone.get("fine_tuned"):
            text += " Its last blocks, or all of it, were trained on with the photos: the weights here are others."
        return licence.lower() if licence != "unknown" else "other", text
    if network.pretrains and network.option("pretrained"):
        known = "Apache-2.0" if network.kind.startswith("efficientnet-lite") else "see the model's own page"
        text = f"Training began from the weights of {network.name}; their licence: {known}. The changes to them {own}."
        return known.lower() if known == "Apache-2.0" else "other", text
    return "other", f"Trained from nothing: its weights {own}."
