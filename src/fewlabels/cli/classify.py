"""`fewlabels classify`: labels of new photos by a trained model, of new embeddings by a run of `propagate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..errors import demand_packages
from . import options
from .app import app, hush, print_json

EXAMPLES = """Example: fewlabels classify runs/photos new-photos/ --out classified.csv

Example: fewlabels classify runs/photos new-photos/1.jpg new-photos/2.jpg --out two.parquet --wanted-error 0.02

Example: fewlabels classify runs/photos new-photos/ --out classified.csv --sort-into sorted/ --links

Example: fewlabels classify propagated-run new.parquet --out classified.csv

Example: fewlabels classify runs/labelled new-photos/ --out classified.csv"""


@app.command(short_help="Label new photos or embeddings by a run, and say of which it is sure.", epilog=EXAMPLES)
def classify(
    run: Annotated[
        Path, typer.Argument(help="Run folder with a model, of propagate or label; or a folder of export-model.")
    ],
    photos: Annotated[
        list[Path],
        typer.Argument(
            help="Photos, folders of photos, or Parquet with image bytes; embeddings or photos for a run of propagate."
        ),
    ],
    out: Annotated[Path, typer.Option(help="Table to write, .csv or .parquet: id, label, probability, sure.")],
    wanted_error: Annotated[
        float, typer.Option(metavar="SHARE", help="Share of wrong labels among those that are sure.")
    ] = 0.05,
    sort_into: Annotated[
        Path | None, typer.Option(metavar="DIR", help="New folder for the photos, in a sub-folder for each class.")
    ] = None,
    links: Annotated[bool, typer.Option("--links", help="With --sort-into: symbolic links instead of copies.")] = False,
    only_sure: Annotated[
        bool, typer.Option("--only-sure", help="With --sort-into: leave out photos whose label is not sure.")
    ] = False,
    device: options.Device = "auto",
    force: options.Force = False,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Label new photos by the model of a run, or new embeddings by a run of propagate.

    Probabilities are calibrated, and a label is sure, by the labels that the run held out of its training; where it
    could hold none out, as with one label for each class, that is said, and nothing is called sure. Photos are read as
    in training, a few at a time; those that cannot be read are listed beside the table.

    A run of propagate answers embeddings of the same model by what answered in it: a head by itself, a graph with the
    embeddings of the run, which must be where they were. Photos are described as those of the run, where describe made
    its embeddings; a finished labelling does the same.
    """
    from ..commands.classify_options import ClassifyOptions
    from ..commands.classify_rows import run_classify_rows
    from ..commands.rows_model import is_of_rows
    from ..commands.text import format_classification

    hush(quiet)
    how = ClassifyOptions(
        wanted_error=wanted_error,
        device=device,
        sort_into=sort_into,
        links=links,
        only_sure=only_sure,
        force=force,
        quiet=quiet,
    )
    if is_of_rows(run):
        results = run_classify_rows(run, photos, out, how)
    else:
        demand_packages("classifying photos needs", "torch", "safetensors", "PIL")
        from ..commands.classify import run_classify

        results = run_classify(run, photos, out, how)
    if as_json:
        print_json(results)
    else:
        print(format_classification(results))
