"""`fewlabels export-model`: the model of a run as an ONNX file, or as a folder that `load_model` takes."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.torch import load, save

from ..data.benchmarks.digits import load_digits
from ..data.benchmarks.sample_photos import load_sample_photos
from ..data.images.squares import read_squares
from ..errors import ConfigError, FewlabelsError, ImageError, demand_packages
from ..nets.model import TRUNK, Model, StoredModel, is_export, make_model, read_any
from ..runs import read_facts, refuse_existing, refuse_in_run, refuse_used_folder
from ..storage import durable
from ..storage.folders import demand_writable, remove_folder, write_folder
from .model_card import make_card, measure_run
from .progress import StageProgress

MOST_COMPARED = 32  # images that ONNX and torch are both asked about


@dataclass(frozen=True, kw_only=True)
class ExportOptions:
    """What is written. onnx: a file, with its card beside it. folder: a new folder of weights, model.json and card.

    without_trunk: leave the pretrained trunk out of the folder; it is known by the hash of its weights.
    check_on: photos that ONNX is compared with torch on; None: the run's own, else ones that scikit-learn carries.
    force: replace files. quiet: say nothing on the way.
    """

    onnx: Path | None = None
    folder: Path | None = None
    without_trunk: bool = False
    check_on: Path | None = None
    force: bool = False
    quiet: bool = False


def run_export_model(run: Path, options: ExportOptions) -> dict[str, Any]:
    """Write the model of a run, or of an export. Returns what was written.

    Each file appears whole, and ONNX only once it answers as torch does.
    Raises ConfigError: C132 where nothing is asked for or the options do not fit, C9 for places in use, C23 for missing
    packages, and what load_model, read_squares and export_onnx raise; StorageError (D1).
    """
    _demand_options(run, options)
    stored = read_any(run)
    measured = stored.config.get("measured", {}) if is_export(run) else measure_run(run)
    if options.without_trunk and (stored.network.kind != "frozen" or "backbone" not in stored.config):
        raise ConfigError("C132", "--without-trunk of a model without a frozen trunk", where=run, do="leave it out")
    if options.without_trunk and stored.config["backbone"].get("fine_tuned"):
        what = "--without-trunk of a model whose trunk was fine-tuned: nobody else has its weights"
        raise ConfigError("C132", what, where=run, do="leave it out")
    results: dict[str, Any] = {"run": str(run), "onnx": None, "folder": None}
    if options.onnx is not None:
        results["onnx"] = _write_onnx(stored, measured, options)
    if options.folder is not None:
        results["folder"] = _write_folder(stored, measured, options)
    return results


def _demand_options(run: Path, options: ExportOptions) -> None:
    if options.onnx is None and options.folder is None:
        raise ConfigError("C132", "nothing to write", do="give --onnx model.onnx, or --folder DIR, or both")
    if options.without_trunk and options.folder is None:
        raise ConfigError("C132", "--without-trunk without --folder: ONNX holds the whole network", do="leave it out")
    if options.onnx is not None:
        if options.onnx.suffix.lower() != ".onnx":
            raise ConfigError("C16", "an ONNX file ends in .onnx", where=options.onnx, do="give it such a name")
        demand_packages("ONNX needs", "onnx", "onnxscript", "onnxruntime", extra="onnx")
        for place in (options.onnx, _card_of(options.onnx)):
            refuse_existing(place, force=options.force)
        demand_writable(options.onnx)
    if options.folder is not None:
        refuse_in_run(options.folder)
        if is_export(options.folder) and not options.force:
            do = "nothing was changed: choose another name, or add --force to replace it"
            raise ConfigError("C9", "an exported model is there", where=options.folder, do=do)
        if not is_export(options.folder):
            refuse_used_folder(options.folder)
        demand_writable(options.folder)


def _card_of(onnx: Path) -> Path:
    return onnx.with_suffix(".md")


def _write_onnx(stored: StoredModel, measured: dict[str, Any], options: ExportOptions) -> dict[str, Any]:
    from ..nets.export_onnx import export_onnx

    model = make_model(stored, "cpu")
    assert options.onnx is not None
    place = options.onnx
    images, said = _find_images(model, stored.folder, options.check_on)
    facts = {"fewlabels_version": measured.get("fewlabels", ""), "trained": measured.get("trained", "")}
    if backbone := stored.config.get("backbone"):
        facts |= {"backbone": backbone["name"], "backbone_licence": backbone["licence"]}
    stages = StageProgress({"converting": 10, "checking": 1, "writing": 1}, "exporting", quiet=options.quiet)
    made = export_onnx(model, images, facts, stages.start)
    stages.start("writing")
    durable.make_folder(place.parent)
    durable.write_text(_card_of(place), make_card(stored.config, measured, place.name, "onnx"))
    durable.write_bytes(place, made.data)
    stages.close()
    return {
        "file": str(place),
        "card": str(_card_of(place)),
        "bytes": len(made.data),
        "num_compared": made.num_images,
        "compared_on": said,
        "largest_difference": {"probability": made.probability, "descriptor": made.descriptor},
    }


def _find_images(model: Model, run: Path, check_on: Path | None) -> tuple[list[np.ndarray], str]:
    """Real images as the network sees them, and what they are. Raises ImageError (I32) where none can be read."""
    if check_on is not None:
        images = _read(model, check_on)
        if not images:
            raise ImageError("I32", "no image can be read", where=check_on, do="give others for --check-on")
        return images, str(check_on)
    source = {} if is_export(run) else read_facts(run).get("source") or {}
    if source.get("kind") == "images" and Path(source["path"]).exists():
        try:
            if images := _read(model, Path(source["path"])):
                return images, "photos of the run"
        except FewlabelsError:
            pass  # they are only one choice of several
    if source.get("kind") == "digits" and model.image_size == load_digits().pixels.shape[1]:
        return list(load_digits().test_pixels[:MOST_COMPARED]), "digits that the run was not trained on"
    return _read(model, load_sample_photos()), "parts of two photos that scikit-learn carries"


def _read(model: Model, images: Any) -> list[np.ndarray]:
    squares = read_squares(
        images,
        model.image_size,
        grey=model.image_input.channels == 1,
        pixel_range=model.image_input.pixel_range,
        accept_truncated=model.accept_truncated,
        max_pixels=model.max_pixels,
    )
    found = [square.pixels for square in islice(squares, 2 * MOST_COMPARED) if square.pixels is not None]
    return found[:MOST_COMPARED]


def _write_folder(stored: StoredModel, measured: dict[str, Any], options: ExportOptions) -> dict[str, Any]:
    assert options.folder is not None
    weights = _take_trunk(stored) if options.without_trunk else _whole(stored)
    config = {
        **{key: value for key, value in stored.config.items() if key != "without_trunk"},
        **({"without_trunk": True} if options.without_trunk else {}),
        "weights_sha256": sha256(weights).hexdigest(),
        "reading": stored.reading,
        "measured": measured,
    }
    kind = "without_trunk" if options.without_trunk else "folder"
    durable.make_folder(options.folder.parent)
    if options.force and is_export(options.folder):
        remove_folder(options.folder)
    with write_folder(options.folder) as place:
        durable.write_bytes(place / "model.safetensors", weights)
        durable.write_json(place / "model.json", config)
        durable.write_text(place / "README.md", make_card(config, measured, options.folder.name, kind))
    return {"folder": str(options.folder), "bytes": len(weights), "without_trunk": options.without_trunk}


def _take_trunk(stored: StoredModel) -> bytes:
    """The weights of the head alone."""
    if stored.config.get("without_trunk"):
        return stored.weights
    return save({name: tensor for name, tensor in load(stored.weights).items() if not name.startswith(TRUNK)})


def _whole(stored: StoredModel) -> bytes:
    """All weights; the trunk of this machine where the export has none."""
    if not stored.config.get("without_trunk"):
        return stored.weights
    state = make_model(stored, "cpu").network.state_dict()
    return save({name: tensor.contiguous() for name, tensor in state.items()})
