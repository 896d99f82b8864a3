"""`fewlabels export`: the labels of a run and its review."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .app import app, print_json
from .options import Force, Json

EXAMPLES = """Example: fewlabels export runs/photos --out reviewed.csv

Example: fewlabels export runs/photos --out all.parquet --all

Example: fewlabels export runs/photos --out tasks.json --images-at "/data/local-files/?d=photos/\""""


@app.command(short_help="Write a run's given and answered labels to a file.", epilog=EXAMPLES)
def export(
    run: Annotated[Path, typer.Argument(help="Run folder, reviewed or not.")],
    out: Annotated[Path, typer.Option(help="File to write: .csv, .parquet or .json (Label Studio tasks).")],
    everything: Annotated[
        bool, typer.Option("--all", help="Every row, with certainty and source; not only given and answered ones.")
    ] = False,
    excel_safe: Annotated[
        bool | None,
        typer.Option(
            "--excel-safe/--no-excel-safe",
            help="Put ' before CSV cells that a spreadsheet would run as formulas. Default: with --all only, because "
            "ids must stay as they are to be read again.",
        ),
    ] = None,
    images_at: Annotated[
        str,
        typer.Option(
            metavar="URL",
            help="What the addresses of images begin with in .json; each image's id follows, percent-encoded. "
            "Default: the id alone.",
        ),
    ] = "",
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Write the labels by id: those that were given, and those that a person answered, which count first."""
    from ..commands.export import run_export
    from ..review.export import Form

    found = run_export(run, out, Form(everything, excel_safe, images_at), force=force)
    if as_json:
        print_json(found)
    else:
        print(f"{found['labelled']} labels: {found['given']} given, {found['answered']} answered\nlabels  {out}")
