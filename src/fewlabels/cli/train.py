"""`fewlabels train`: images with few labels."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import ConfigError
from . import options
from .app import app, begin_training, choose_folder, print_run, speaks, tell_changes

if TYPE_CHECKING:
    from ..data.labels.csv import LabelOptions
    from ..data.labels.files import LabelFile


@app.command(
    short_help="Train on images with few labels.",
    epilog="Example: fewlabels train photos/ --labels labels.csv --out runs/photos\n\n"
    "Example: fewlabels train photos/ --labels labels.csv --out runs/try --scale 0.1\n\n"
    "Example: fewlabels train photos/ --continue-from runs/photos --labels reviewed.csv",
)
def train(
    data: Annotated[Path, typer.Argument(help="Folder of images, or Parquet with image bytes.")],
    labels: options.LabelsFile = None,
    out: Annotated[Path | None, typer.Option(help="Run folder to make; default: the next free runs/<name>.")] = None,
    test: Annotated[
        Path | None,
        typer.Option(help="Labelled images (class folders, or Parquet) that only the test error is measured on."),
    ] = None,
    test_labels: Annotated[
        Path | None,
        typer.Option(help="Label file of photos of DATA that the error is measured by; none of it is trained on."),
    ] = None,
    holdout: Annotated[
        float | None, typer.Option(help="Share of each class's labels that the error is measured by, such as 0.2.")
    ] = None,
    folds: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Folds of a cross-validation over the given labels, 0 for none; default: 5 with a backbone, where it "
            "takes seconds. Another network trains once more for each.",
        ),
    ] = None,
    groups: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN",
            help="Column of the label file, such as patient: equal ones are in one fold, as copies are.",
        ),
    ] = None,
    continue_from: Annotated[
        Path | None,
        typer.Option(
            help="Finished run whose network this one starts from, such as with reviewed labels, more photos or a new "
            "class, for a third of the epochs. A head on a backbone does better anew, in seconds (docs/log.md)."
        ),
    ] = None,
    image_size: Annotated[
        int | None, typer.Option(min=4, help="Pixels along a side; default: as they are, or 64 if they differ.")
    ] = None,
    epochs: Annotated[
        int | None,
        typer.Option(min=1, help="Of the last phase, such as label propagation; default: by size."),
    ] = None,
    scale: Annotated[
        float, typer.Option(help="Share of the schedule of every phase, such as 0.1 for a try; the report says so.")
    ] = 1.0,
    method: options.Method = "lp",
    backbone: Annotated[
        str | None,
        typer.Option(
            help="Pretrained network that a head is trained on: efficientnet-lite0 (default) or another of "
            "docs/networks.md. none: train a network from random weights."
        ),
    ] = None,
    mirror: Annotated[
        bool, typer.Option("--mirror", help="Describe each photo by its mirror image too; twice the time.")
    ] = False,
    fine_tune: Annotated[
        bool,
        typer.Option(
            "--fine-tune",
            help="Then train the last blocks of the backbone too, all of it on a GPU: minutes to hours, which the plan "
            "tells before. On CIFAR-10 it gained a point or so (docs/log.md): measure it, with --holdout 0.2.",
        ),
    ] = False,
    network: Annotated[
        str | None,
        typer.Option(
            help="Train this one from random weights, without a backbone: small (default), cnn13, resnet18, timm:MODEL "
            "or module:IMPORT.PATH:FUNCTION."
        ),
    ] = None,
    learning_rate: Annotated[
        float, typer.Option(help="At the start of each phase; lower it where training collapses.")
    ] = 0.05,
    seed: Annotated[int, typer.Option(min=0, help="Of all random draws.")] = 0,
    flip: Annotated[bool, typer.Option(help="Mirror images left-right in training; not for text or digits.")] = True,
    n_neighbors: options.SomeNeighbors = None,
    gamma: options.Gamma = 3.0,
    alpha: options.SomeAlpha = None,
    mode: options.Mode = "paper",
    allow_empty_classes: options.AllowEmpty = False,
    on_bad_image: options.OnBadImage = "skip",
    accept_truncated: options.AcceptTruncated = False,
    max_pixels: options.MaxPixels = 64_000_000,
    folder: options.Folder = None,
    pixel_range: options.PixelRange = None,
    delimiter: options.Delimiter = ",",
    encoding: options.Encoding = "utf-8",
    ignore_unknown_ids: options.IgnoreUnknown = False,
    skip_bad_rows: options.SkipBadRows = False,
    on_conflict: options.OnConflict = "error",
    no_label: options.NoLabel = None,
    real_label: options.RealLabel = None,
    device: options.Device = "auto",
    speed: options.Speed = "deterministic",
    resume: options.Resume = False,
    allow_inexact: options.AllowInexact = False,
    save_every: options.SaveEvery = 1.0,
    on_collapse: options.OnCollapse = "warn",
    tensorboard: options.Tensorboard = False,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Train on images with few labels: a model, and labels with certainty for every image.

    Labels come from the --labels file, or else from a metadata.csv, .jsonl or .parquet among the images (columns
    file_name and label), the names of the sub-folders (unlabeled/ for none) or the label column. The id of an image is
    its path below DATA, or the id column. In Parquet the images are the column image or img.
    """
    quiet = begin_training(out, resume=resume, allow_inexact=allow_inexact, quiet=quiet)
    place = choose_folder(out, Path("runs") / (data.resolve().stem or "train"), resume, (data, test))
    reading = options.label_options(delimiter, encoding, skip_bad_rows, on_conflict, no_label, real_label)
    given = _read_labels(labels, reading)  # before seconds of importing torch
    from ..commands.continued import read_graph
    from ..recipes.photos import choose_graph, choose_start

    start, whole = choose_start(backbone, network, continues=continue_from is not None)
    named = {"n_neighbors": n_neighbors, "gamma": gamma, "alpha": alpha, "mode": mode}
    before = read_graph(continue_from) if continue_from else None
    graph = choose_graph(start, named | {"allow_empty_classes": allow_empty_classes or None}, before)
    from ..commands.text import format_training
    from ..commands.train import ImageSource, run_images
    from ..recipes.images import ImageOptions

    measured: dict[str, Any] = {"test": test, "holdout": holdout, "folds": folds}
    measured |= {"test_labels": _read_labels(test_labels, reading), "groups": _read_groups(labels, groups, reading)}
    learnt: dict[str, Any] = {"epochs": epochs, "flip": flip, "scale": scale, "mirror": mirror, "fine_tune": fine_tune}
    taken = {"resume": resume, "allow_inexact": allow_inexact, "on_collapse": on_collapse, "tensorboard": tensorboard}
    results = run_images(
        ImageSource(
            data,
            given,
            image_size=image_size,
            on_bad_image=on_bad_image,
            ignore_unknown_ids=ignore_unknown_ids,
            continue_from=continue_from,
            accept_truncated=accept_truncated,
            max_pixels=max_pixels,
            folders=parse_folders(folder),
            pixel_range=parse_pixel_range(pixel_range),
            reading=reading,
            **measured,
        ),
        ImageOptions(method, whole, backbone=start, graph=graph, learning_rate=learning_rate, seed=seed, **learnt),
        place,
        options.run_options(device, save_every, speed=speed, quiet=quiet, **taken),
    )
    print_run(place, results, format_training, as_json)
    _say_end(place, continue_from, quiet=quiet, as_json=as_json)


def _say_end(run: Path, before: Path | None, *, quiet: bool, as_json: bool) -> None:
    """What changed since the run that was continued, and the next command."""
    if before is not None and not quiet:
        tell_changes(before, run)
    if speaks() and not as_json:
        print(f"next    fewlabels classify {run} new-photos/ --out classified.csv")


def _read_labels(path: Path | None, reading: LabelOptions) -> LabelFile | None:
    from ..data.labels.files import read_labels
    from ..runs import is_begun

    if path is not None and is_begun(path):
        from ..commands.label import read_run_labels

        return read_run_labels(path, reading)
    return read_labels(path, reading) if path else None


def _read_groups(path: Path | None, column: str | None, reading: LabelOptions) -> LabelFile | None:
    """Raises ConfigError (C135) without a label file."""
    from ..data.labels.files import read_groups

    if column is None:
        return None
    if path is None:
        raise ConfigError("C135", "--groups without --labels, whose column it names", do="name the label file")
    return read_groups(path, column, reading)


def parse_folders(texts: list[str] | None) -> dict[str, str]:
    """NAME=WHAT by name. Raises ConfigError (C20) for a text without "=" ."""
    found: dict[str, str] = {}
    for text in texts or ():
        name, equals, what = text.rpartition("=")
        if not equals or not name:
            do = "write NAME=class, NAME=unlabeled or NAME=skip"
            raise ConfigError("C20", f"{text!r} says nothing of a folder", where="--folder", do=do)
        found[name.rstrip("/")] = what
    return found


def parse_pixel_range(text: str | None) -> tuple[int, int] | None:
    """LOW:HIGH as two numbers. Raises ConfigError (C20)."""
    if text is None:
        return None
    low, _, high = text.partition(":")
    if not (low.isascii() and low.isdigit() and high.isascii() and high.isdigit()):
        do = "write two whole numbers, such as 0:4095"
        raise ConfigError("C20", f"{text!r} is no LOW:HIGH", where="--pixel-range", do=do)
    return int(low), int(high)
