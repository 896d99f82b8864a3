"""`fewlabels reproduce`: the experiments of the paper."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import ConfigError
from . import options
from .app import app, hush, need_training_packages, print_json, speaks

if TYPE_CHECKING:
    from ..commands.reproduce.cells import Variant
    from ..data.benchmarks.facts import Benchmark

ScaledMode = Annotated[options.ModeName, typer.Option(help="released: as the paper's numbers were made; or paper.")]
Network = Annotated[
    str | None,
    typer.Option(help="Instead of the paper's: small, cnn13, resnet18, lite0, timm:MODEL or module:PATH:FUNCTION."),
]
Width = Annotated[int | None, typer.Option(help="Of --network small: channels of its first stage.")]
FirstStride = Annotated[int | None, typer.Option(help="Of --network small: 2 halves the image at once.")]
EXAMPLES = """Example: fewlabels reproduce --list

Example: fewlabels reproduce cifar10 --labels 500 --method lp --scale 0.02 --network small --width 16 --first-stride 2

Example: fewlabels reproduce cifar10 --labels 500 --method mt+lp --splits 10,11,12 --data data/cifar10

Example: fewlabels reproduce cifar10 --labels 500 --method mt+lp --split 10"""


@app.command(short_help="Run an experiment of the paper beside its published number.", epilog=EXAMPLES)
def reproduce(
    dataset: Annotated[str | None, typer.Argument(help="cifar10, cifar100 or mini-imagenet.")] = None,
    num_labels: Annotated[int | None, typer.Option("--labels", min=1, help="Labelled images in all.")] = None,
    method: options.OptionalMethod = None,
    split: Annotated[
        int | None, typer.Option(min=0, help="Which images are labelled; default: 10; the paper's are 10 to 19.")
    ] = None,
    splits: Annotated[str | None, typer.Option(help="Several of them, such as 10,11,12.")] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="All label counts, or methods, that are not named; the paper's own four.")
    ] = False,
    listing: Annotated[
        bool, typer.Option("--list", help="Only show the cells, their published numbers, and what is done.")
    ] = False,
    data: Annotated[
        str | None, typer.Option(help="Folder of the images, or hub; default: $FEWLABELS_DATA/NAME.")
    ] = None,
    out: Annotated[
        Path, typer.Option(help="Folder of the run folders. What is finished there is not run again.")
    ] = Path("runs/reproduce"),
    mode: ScaledMode = "released",
    scale: Annotated[float, typer.Option(help="Share of the schedule, such as 0.05; the result says so.")] = 1.0,
    network: Network = None,
    width: Width = None,
    first_stride: FirstStride = None,
    device: options.Device = "auto",
    speed: options.Speed = "deterministic",
    allow_inexact: options.AllowInexact = False,
    save_every: options.SaveEvery = 1.0,
    on_collapse: options.OnCollapse = "warn",
    tensorboard: options.Tensorboard = False,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Run cells of the paper's tables, and print paper, released code and ours side by side.

    Each cell and split is a run folder OUT/CELL/split-NUMBER. Unfinished ones are gone on with. The images are never
    downloaded unless --data hub is given.
    """
    need_training_packages()
    from ..commands.reproduce.cells import list_cells
    from ..commands.reproduce.outcomes import describe_rows
    from ..commands.reproduce.run import Request, reproduce_from
    from ..commands.reproduce.text import format_list, format_tables

    hush(quiet)
    benchmarks = _choose_benchmarks(dataset, listing)
    variant = _make_variant(mode, scale, network, width, first_stride)
    if not listing and not everything and (num_labels is None or method is None):
        raise ConfigError("C60", "which cell?", do="name --labels and --method, or give --all or --list")
    cells = [cell for one in benchmarks for cell in list_cells(one, num_labels, method)]
    if not listing:
        how = options.run_options(
            device,
            save_every,
            speed=speed,
            resume=True,
            allow_inexact=allow_inexact,
            quiet=quiet,
            go_on=_repeat_command(),
            on_collapse=on_collapse,
            tensorboard=tensorboard,
        )
        reproduce_from(Request(cells, _parse_splits(splits, split), variant, out), data, how)
    if not speaks():
        return
    if as_json:
        print_json(describe_rows(cells, variant, out))
    else:
        print(format_list(cells, variant, out) if listing else format_tables(cells, variant, out))


def _choose_benchmarks(name: str | None, listing: bool) -> list[Benchmark]:
    from ..data.benchmarks.facts import BENCHMARKS

    if name is None and listing:
        return list(BENCHMARKS.values())
    if name not in BENCHMARKS:
        what = "no data set is named" if name is None else f"data set {name!r}"
        raise ConfigError("C54", what, do=f"the paper has {', '.join(BENCHMARKS)}")
    return [BENCHMARKS[name]]


def _make_variant(
    mode: options.ModeName, scale: float, network: str | None, width: int | None, first_stride: int | None
) -> Variant:
    from ..commands.reproduce.cells import Variant
    from ..nets import NetworkSettings

    if network is None and (width is not None or first_stride is not None):
        raise ConfigError("C62", "--width or --first-stride without --network", do="they are of --network small")
    other = None if network is None else NetworkSettings(network, width=width, first_stride=first_stride)
    return Variant(mode, scale, other)


def _repeat_command() -> tuple[str, ...]:
    """The words that go on from here, in as many threads: a shell takes the variable before the command."""
    threads = os.environ.get("OMP_NUM_THREADS")
    return (*([f"OMP_NUM_THREADS={threads}"] if threads and os.name == "posix" else []), "fewlabels", *sys.argv[1:])


def _parse_splits(splits: str | None, split: int | None) -> list[int]:
    if splits is None:
        return [10 if split is None else split]
    if split is not None:
        raise ConfigError("C60", f"--split {split} and --splits {splits!r}", do="give one of them")
    words = [word.strip() for word in splits.split(",")]
    if not all(word.isascii() and word.isdecimal() for word in words):
        raise ConfigError("C60", f"--splits {splits!r}", do="numbers with commas between them, such as 10,11,12")
    return list(dict.fromkeys(map(int, words)))
