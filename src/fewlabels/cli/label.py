"""`fewlabels label`: from no label at all."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from . import options
from .app import app, choose_folder, hush, print_json
from .review import need_review_packages
from .train import parse_folders, parse_pixel_range

EXAMPLES = """Example: fewlabels label photos/ --out runs/photos

Example: fewlabels label photos/ --labels some.csv --out runs/photos

Example: fewlabels label embeddings.parquet --out runs/texts

Example: fewlabels label photos/ --class-names "cat,dog" --backbone open_clip:ViT-B-32/laion2b_s34b_b79k

Example: fewlabels label images.npy --class-descriptors names.npy --class-names "cat,dog"

Example: fewlabels label runs/photos

Example: fewlabels label runs/photos --finish"""


@app.command(short_help="Label photos or embeddings from no label at all, on a local page.", epilog=EXAMPLES)
def label(
    data: Annotated[
        Path,
        typer.Argument(help="Folder of photos, Parquet with image bytes, embeddings; or a labelling to go on with."),
    ],
    out: Annotated[Path | None, typer.Option(help="Run folder to make; default: the next free runs/<name>.")] = None,
    finish: Annotated[
        bool, typer.Option("--finish", help="Spread the answers of the labelling DATA to all rows, and seal it.")
    ] = False,
    labels: Annotated[
        Path | None,
        typer.Option(help="CSV, Parquet or JSON with the columns id,label: the first answers; what is answered stays."),
    ] = None,
    class_names: Annotated[
        str | None, typer.Option(metavar="A,B", help="Names of the first classes: a first guess without any label.")
    ] = None,
    class_descriptors: Annotated[
        Path | None,
        typer.Option(help=".npy with a row for each name, by the text side of the rows' backbone."),
    ] = None,
    template: Annotated[
        str, typer.Option(help="What a backbone with a text side is asked for each name.")
    ] = "a photo of a {}",
    backbone: Annotated[
        str | None, typer.Option(help="Pretrained network that describes photos; default: EfficientNet-Lite0.")
    ] = None,
    weights: Annotated[
        Path | None, typer.Option(help="File of the weights of a timm or open_clip backbone, instead of the hub.")
    ] = None,
    size: Annotated[int | None, typer.Option(min=32, help="Pixels along a side; default: the network's own.")] = None,
    mirror: Annotated[bool, typer.Option("--mirror", help="Describe each photo by its mirror image too.")] = False,
    device: Annotated[str, typer.Option(help="That describes photos: auto, cpu, cuda, cuda:N or mps.")] = "auto",
    accept_truncated: options.AcceptTruncated = False,
    max_pixels: options.MaxPixels = 64_000_000,
    folder: options.Folder = None,
    pixel_range: options.PixelRange = None,
    id_column: options.IdColumn = "id",
    embedding_column: options.EmbeddingColumn = "embedding",
    feature_columns: options.FeatureColumns = None,
    ignore_columns: options.IgnoreColumns = None,
    number_rows_from: options.NumberRowsFrom = None,
    seed: options.Seed = 0,
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: that of the last time, or a free one.")] = 0,
    host: Annotated[str, typer.Option(help="Address to serve at, as in `fewlabels review`.")] = "127.0.0.1",
    understood: Annotated[
        bool, typer.Option("--i-understand", help="Serve to other machines, unencrypted, to whoever has the address.")
    ] = False,
    browser: Annotated[bool, typer.Option(help="Open the page in a browser.")] = True,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Open a page on which a person names the classes as they come up, once each photo is described.

    The first questions stand for most of the photos, later ones are those that help most; from the second class on all
    other photos have a label that changes with each answer. Answers are saved one by one; Ctrl-C ends it, and the same
    command with the run folder goes on. --finish, or the page, makes it a run that train, classify, export and report
    take.
    """
    need_review_packages()
    from ..runs import is_labelling

    hush(quiet)
    if finish:
        return _finish(data, quiet, as_json)
    from ..commands.begin import Begin, Beginning, prepare_labelling

    run = data
    if is_labelling(data):
        from ..data.labels.files import read_labels

        beginning = None if labels is None else Beginning(None, read_labels(labels))
    else:
        from ..data.tables.columns import Columns

        run = choose_folder(out, Path("runs") / (data.resolve().stem or "label"), False, (data,))
        photos: dict[str, Any] = {"backbone": backbone, "size": size, "mirror": mirror, "device": device}
        photos |= {"accept_truncated": accept_truncated, "pixel_range": parse_pixel_range(pixel_range)}
        photos |= {"max_pixels": max_pixels, "folders": parse_folders(folder), "weights": weights}
        photos |= {"class_names": _parse_names(class_names), "class_descriptors": class_descriptors}
        read: dict[str, Any] = {"features": feature_columns or (), "ignore": ignore_columns or ()}
        columns = Columns(id_column, embedding_column, rows_from=number_rows_from, **read)
        asked = Begin(data, columns=columns, labels=labels, template=template, seed=seed, **photos)
        beginning = prepare_labelling(asked, run, quiet=quiet)
    from ..commands.review import Review, describe_reviewed, format_reviewed, run_review
    from ..review.web.process import Endpoint

    if not quiet:
        print(f"labelling {run}; Ctrl-C ends it, answers are saved as they are given", file=sys.stderr)
    say = partial(print, file=sys.stderr if as_json else sys.stdout, flush=True)
    reviewed = run_review(run, Review(Endpoint(host, port, browser=browser), understood, say=say), beginning)
    if as_json:
        print_json(describe_reviewed(reviewed))
    else:
        print(format_reviewed(reviewed))
    return None


def _parse_names(text: str | None) -> tuple[str, ...]:
    """ "cat, dog" -> ("cat", "dog")."""
    return tuple(name for one in (text or "").split(",") if (name := " ".join(one.split())))


def _finish(run: Path, quiet: bool, as_json: bool) -> None:
    from ..commands.label import finish_labelling, format_finished

    results = finish_labelling(run, quiet=quiet)
    if as_json:
        print_json(results | {"run": str(run)})
    else:
        print(format_finished(run, results))
