"""The commands that train networks; cli.py has the others, and main.py runs them all."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ..errors import ConfigError
from .app import (
    AllowEmpty,
    Alpha,
    Delimiter,
    Encoding,
    Gamma,
    IgnoreUnknown,
    Json,
    LabelsFile,
    Mode,
    Neighbors,
    NoLabel,
    OnConflict,
    Quiet,
    RealLabel,
    SkipBadRows,
    app,
    graph_settings,
    hush,
    print_json,
    say_where,
)

if TYPE_CHECKING:
    from ..data.labels.files import LabelFile

OnBadImage = Annotated[Literal["skip", "fail"], typer.Option(help="skip: list it in rejected.csv, go on. fail: stop.")]
AcceptTruncated = Annotated[
    bool, typer.Option("--accept-truncated", help="Use JPEGs that are cut off; what is missing of them is grey.")
]
MaxPixels = Annotated[
    int, typer.Option(metavar="N", help="Most pixels of an image; one with more is not read. Memory grows with it.")
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")]
SpeedName = Literal["deterministic", "fast"]
Speed = Annotated[
    SpeedName,
    typer.Option(
        help="deterministic: the same bits again. fast: bfloat16 where the device has it, any algorithm, warm starts."
    ),
]
Resume = Annotated[
    bool, typer.Option("--resume", help="Go on with the unfinished run in --out, if there is one; begin it otherwise.")
]
AllowInexact = Annotated[
    bool, typer.Option("--allow-inexact-resume", help="Resume with other versions, threads or device: other last bits.")
]
MethodOption = Literal["supervised", "lp", "mt", "mt+lp", "pi", "te"]  # recipes/names.py
METHOD_HELP = "supervised; lp: label propagation; mt: Mean Teacher; mt+lp; pi: Pi-model; te: temporal ensembling."
OnCollapse = Annotated[
    Literal["warn", "stop"], typer.Option(help="Where training collapses: warn, or save and stop with exit status 5.")
]
Tensorboard = Annotated[bool, typer.Option("--tensorboard", help="Write event files for TensorBoard as well.")]
SaveEvery = Annotated[float, typer.Option(min=0, metavar="MINUTES", help="Between two checkpoints.")]


@app.command(short_help="Learn handwritten digits from 30 labels.", epilog="Example: fewlabels demo --seeds 5")
def demo(
    seeds: Annotated[int, typer.Option(min=1, help="Repeat with this many seeds and print mean and std.")] = 1,
    seed: Annotated[int, typer.Option(min=0, help="The (first) seed.")] = 0,
    out: Annotated[Path | None, typer.Option(help="Run folder to make; default: the next free runs/demo.")] = None,
    resume: Resume = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Learn handwritten digits from 30 labels: scikit-learn's bundled images, no download, about a minute."""
    need_training_packages()
    _resumable(out, resume, allow_inexact=False)
    quiet = quiet or not speaks()
    hush(quiet)
    folder = _folder(out, "runs/demo", resume)
    from ..commands.demo import run_demo
    from ..commands.tables import demo_table, seeds_table
    from ..commands.training import RunOptions

    results = run_demo(folder, range(seed, seed + seeds), RunOptions(resume=resume, quiet=quiet))
    if not speaks():
        return
    if as_json:
        print_json(results | {"run": str(folder)})
    else:
        print(demo_table(results) if seeds == 1 else seeds_table(results))
        say_where(folder)


@app.command(
    short_help="Train on images with few labels.",
    epilog="Example: fewlabels train photos/ --labels labels.csv --out runs/photos\n\n"
    "Example: fewlabels train photos/ --labels labels.csv --out runs/try --scale 0.1\n\n"
    "Example: fewlabels train photos/ --continue-from runs/photos --labels reviewed.csv",
)
def train(
    data: Annotated[Path, typer.Argument(help="Folder of images, or Parquet with image bytes.")],
    labels: LabelsFile = None,
    out: Annotated[Path | None, typer.Option(help="Run folder to make; default: the next free runs/<name>.")] = None,
    test: Annotated[
        Path | None,
        typer.Option(help="Labelled images (class folders, or Parquet) that only the test error is measured on."),
    ] = None,
    continue_from: Annotated[
        Path | None,
        typer.Option(help="Finished run whose network this one starts from, such as with reviewed labels."),
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
    method: Annotated[MethodOption, typer.Option(help=METHOD_HELP)] = "lp",
    network: Annotated[
        str, typer.Option(help="small, cnn13, resnet18, timm:MODEL or module:IMPORT.PATH:FUNCTION.")
    ] = "small",
    learning_rate: Annotated[
        float, typer.Option(help="At the start of each phase; lower it where training collapses.")
    ] = 0.05,
    seed: Annotated[int, typer.Option(min=0, help="Of all random draws.")] = 0,
    flip: Annotated[bool, typer.Option(help="Mirror images left-right in training; not for text or digits.")] = True,
    n_neighbors: Neighbors = 50,
    gamma: Gamma = 3.0,
    alpha: Alpha = 0.99,
    mode: Mode = "paper",
    allow_empty_classes: AllowEmpty = False,
    on_bad_image: OnBadImage = "skip",
    accept_truncated: AcceptTruncated = False,
    max_pixels: MaxPixels = 64_000_000,
    delimiter: Delimiter = ",",
    encoding: Encoding = "utf-8",
    ignore_unknown_ids: IgnoreUnknown = False,
    skip_bad_rows: SkipBadRows = False,
    on_conflict: OnConflict = "error",
    no_label: NoLabel = None,
    real_label: RealLabel = None,
    device: Device = "auto",
    speed: Speed = "deterministic",
    resume: Resume = False,
    allow_inexact: AllowInexact = False,
    save_every: SaveEvery = 1.0,
    on_collapse: OnCollapse = "warn",
    tensorboard: Tensorboard = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Train on images with few labels: a model, and labels with certainty for every image.

    Labels come from the --labels file, or else from the names of the sub-folders (unlabeled/ for none) or the label
    column. The id of an image is its path below DATA, or the id column. In Parquet the images are the column image or
    img.
    """
    need_training_packages()
    _resumable(out, resume, allow_inexact)
    quiet = quiet or not speaks()
    hush(quiet)
    folder = _folder(out, Path("runs") / (data.resolve().stem or "train"), resume, (data, test))
    words = (no_label or (), real_label or ())
    given = _given(labels, delimiter, encoding, skip_bad_rows, on_conflict, *words)  # before seconds of importing torch
    graph = graph_settings(n_neighbors, gamma, alpha, mode, allow_empty_classes)
    from ..commands.tables import training_table
    from ..commands.train import ImageSource, checked_device, run_images
    from ..commands.training import RunOptions
    from ..recipes.images import ImageOptions

    results = run_images(
        ImageSource(
            data, given, test, image_size, on_bad_image, ignore_unknown_ids, continue_from, accept_truncated, max_pixels
        ),
        ImageOptions(seed, epochs, flip, graph, method, network, scale, learning_rate),
        folder,
        RunOptions(
            checked_device(device),
            speed,
            60 * save_every,
            resume,
            allow_inexact,
            quiet,
            on_collapse=on_collapse,
            tensorboard=tensorboard,
        ),
    )
    if not speaks():
        return
    if as_json:
        print_json(results | {"run": str(folder)})
    else:
        print(training_table(results))
        say_where(folder)


def _resumable(out: Path | None, resume: bool, allow_inexact: bool) -> None:
    """With --resume, take the number of threads that the run was begun with, unless OMP_NUM_THREADS says another.

    To be called before NumPy and torch are imported: they read that variable then. Raises ConfigError (C6) without the
    folder.
    """
    if resume and out is None:
        raise ConfigError("C6", "--resume without --out", do="name the run folder to go on with")
    if not resume or out is None or allow_inexact:
        return
    for begun in (out / "run.json", *out.glob("seed-*/run.json")):
        with suppress(OSError, ValueError, KeyError, TypeError):  # what is wrong with the folder is told later
            os.environ.setdefault("OMP_NUM_THREADS", str(int(json.loads(begun.read_bytes())["threads"])))


def _folder(out: Path | None, wanted: str | Path, resume: bool, inputs: tuple[Path | None, ...] = ()) -> Path:
    """The run folder: as named, or the next free one of the wanted name.

    Raises ConfigError for one in use (C9), or in one of the inputs (C10).
    """
    from ..runs import free_name, refuse_inside, refuse_used_folder

    folder = out or free_name(wanted)
    refuse_inside(folder, inputs)
    if not resume:
        refuse_used_folder(folder)
    return folder


def _given(
    path: Path | None,
    delimiter: str,
    encoding: str,
    skip_bad_rows: bool,
    on_conflict: OnConflict,
    no_label: Sequence[str],
    real_label: Sequence[str],
) -> LabelFile | None:
    from ..data.labels.csv import LabelOptions
    from ..data.labels.files import read_labels

    options = LabelOptions(delimiter, encoding, skip_bad_rows, on_conflict, no_label, real_label)
    return read_labels(path, options) if path else None


def speaks() -> bool:
    """Whether this process speaks to the user: the first of torchrun's, or the only one. Known without torch."""
    return "WORLD_SIZE" not in os.environ or os.environ.get("RANK", "0") == "0"


def need_training_packages() -> None:
    from importlib.util import find_spec

    missing = [name for name in ("torch", "safetensors", "PIL", "sklearn") if find_spec(name) is None]
    if missing:
        raise ConfigError("C23", f"training needs {', '.join(missing)}", do="pip install 'fewlabels[train]'")
