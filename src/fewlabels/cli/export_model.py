"""`fewlabels export-model`: a trained model to take along."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from ..errors import demand_packages
from . import options
from .app import app, hush, print_json

EXAMPLES = """Example: fewlabels export-model runs/photos --onnx model.onnx

Example: fewlabels export-model runs/photos --folder birds/

Example: fewlabels export-model runs/photos --folder birds-head/ --without-trunk"""


@app.command(short_help="Write the model of a run as ONNX, or as a folder to take along.", epilog=EXAMPLES)
def export_model(
    run: Annotated[Path, typer.Argument(help="Run folder with a model, or a folder that this command made.")],
    onnx: Annotated[
        Path | None, typer.Option(help="ONNX file to write, .onnx: uint8 photos to probabilities and descriptors.")
    ] = None,
    folder: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="New folder for model.safetensors, model.json and the model card."),
    ] = None,
    without_trunk: Annotated[
        bool, typer.Option("--without-trunk", help="With --folder: the head alone; the trunk is known by its hash.")
    ] = False,
    check_on: Annotated[
        Path | None,
        typer.Option(
            metavar="PHOTOS", help="Photos to compare ONNX with torch on; default: the run's, or a package's."
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a file or an export that exists.")] = False,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Write the model of a run to files that need nothing else of it, with a model card beside them.

    An ONNX file appears only once onnxruntime answers as torch does, within 1e-4. Class names, size, normalisation,
    temperature and preprocessing are in its metadata. A folder is what `fewlabels classify` and
    `fewlabels.load_model` take.
    """
    demand_packages("exporting a model needs", "torch", "safetensors", "PIL")
    from ..commands.export_model import ExportOptions, run_export_model
    from ..commands.text import format_export

    hush(quiet)
    places: dict[str, Any] = {"onnx": onnx, "folder": folder, "check_on": check_on}
    how = ExportOptions(without_trunk=without_trunk, force=force, quiet=quiet, **places)
    results = run_export_model(run, how)
    if as_json:
        print_json(results)
    else:
        print(format_export(results))
