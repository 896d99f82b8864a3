"""`fewlabels describe`: photos or texts to embeddings."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from ..errors import demand_packages
from . import options
from .app import app, hush, print_json
from .train import parse_folders, parse_pixel_range

EXAMPLES = """Example: fewlabels describe photos/ --out descriptors.parquet

Example: fewlabels describe photos/ --size 224 --mirror --out larger.parquet

Example: fewlabels describe texts.csv --column text --out texts.parquet"""
TEXT_ENDINGS = (".txt", ".csv", ".tsv", ".jsonl", ".ndjson")
PrecisionName = Literal["float32", "bfloat16", "float16"]


@app.command(short_help="Turn photos or texts into embeddings, by a pretrained network.", epilog=EXAMPLES)
def describe(
    data: Annotated[Path, typer.Argument(help="Folder of photos, a photo, Parquet with image bytes, or texts.")],
    out: Annotated[Path, typer.Option(help="Table to write, .parquet: id, embedding, and label if there are any.")],
    backbone: Annotated[
        str | None, typer.Option(help="Pretrained network: see the page on networks; default: EfficientNet-Lite0.")
    ] = None,
    weights: Annotated[Path | None, typer.Option(help="File of its weights, .safetensors, instead of its own.")] = None,
    size: Annotated[
        int | None, typer.Option(min=32, help="Pixels along a side; default: the network's own, 160 for Lite0.")
    ] = None,
    mirror: Annotated[bool, typer.Option("--mirror", help="Mean of a photo and its mirror image; twice the time.")] = (
        False
    ),
    precision: Annotated[PrecisionName, typer.Option(help="Of the network's arithmetic.")] = "float32",
    column: Annotated[
        str | None, typer.Option(help="Column of texts in a table: DATA is Parquet, CSV or JSON lines.")
    ] = None,
    no_cache: Annotated[
        bool, typer.Option("--no-cache", help="Describe all photos anew, and keep nothing (fewlabels cache).")
    ] = False,
    on_bad_image: options.OnBadImage = "skip",
    accept_truncated: options.AcceptTruncated = False,
    max_pixels: options.MaxPixels = 64_000_000,
    folder: options.Folder = None,
    pixel_range: options.PixelRange = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.")] = "auto",
    force: options.Force = False,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Turn photos or texts into embeddings that `fewlabels propagate` takes.

    Photos that were described before are taken from a cache, by their content. Ids are those that `train` uses: the
    path below DATA, or the id column. Labels are those of sub-folders, of a metadata file or of the label column, where
    there are any. Texts are described by a static embedding (the extra text), with no network and no download.
    """
    from ..runs import refuse_existing

    hush(quiet)
    refuse_existing(out, force=force)
    if column is not None or data.suffix.lower() in TEXT_ENDINGS:
        from ..commands.describe_texts import run_describe_texts

        results = run_describe_texts(data, out, column=column or "text", quiet=quiet)
        _print(results, "texts", as_json)
        return
    demand_packages("describing photos needs", "torch", "safetensors", "PIL")
    from ..commands.describe import PhotosInput, find_device, run_describe
    from ..describing.settings import DescribeSettings

    settings = DescribeSettings(
        mirror=mirror,
        precision=precision,
        device=find_device(device),
        accept_truncated=accept_truncated,
        max_pixels=max_pixels,
        pixel_range=parse_pixel_range(pixel_range),
    )
    asked = PhotosInput(
        data,
        backbone,
        weights=weights,
        size=size,
        settings=settings,
        cache=not no_cache,
        on_bad_image=on_bad_image,
        folders=parse_folders(folder),
    )
    _print(run_describe(asked, out, quiet=quiet), "photos", as_json)


def _print(results: dict[str, Any], noun: str, as_json: bool) -> None:
    if as_json:
        print_json(results)
        return
    from ..commands.text import format_description

    print(format_description(results, noun))
