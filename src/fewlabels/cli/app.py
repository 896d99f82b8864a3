"""The app, and what its commands share."""

from __future__ import annotations

import json
import os
import re
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from ..errors import ConfigError

if TYPE_CHECKING:
    from ..graph import GraphSettings

THREADS = re.compile("[1-9][0-9]*(,[1-9][0-9]*)*")  # of OpenMP: one number for each level of nesting

app = typer.Typer(
    name="fewlabels",
    help="Train a classifier from a handful of labels, by label propagation on nearest-neighbour graphs.",
    add_completion=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Json = Annotated[bool, typer.Option("--json", help="Print the results as JSON.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no warnings; results and errors only.")]
Force = Annotated[bool, typer.Option("--force", help="Replace the output file if it exists, whole or not at all.")]
LabelsFile = Annotated[
    Path | None,
    typer.Option("--labels", help="CSV, Parquet or Arrow with the columns id,label; an empty label is none."),
]
Delimiter = Annotated[str, typer.Option(help="Between the cells of a label CSV.")]
Encoding = Annotated[str, typer.Option(help="Of a label CSV.")]
IgnoreUnknown = Annotated[bool, typer.Option(help="Leave out labels whose id is not in the data, instead of stopping.")]
SkipBadRows = Annotated[
    bool,
    typer.Option("--skip-bad-rows", help="Leave out rows of the label CSV with more or fewer fields than its header."),
]
OnConflict = Annotated[
    Literal["error", "last", "drop"],
    typer.Option(help="An id with two labels: stop; its last row counts; or it has no label."),
]
NoLabel = Annotated[
    list[str] | None,
    typer.Option("--no-label", metavar="WORD", help="A word that means no label, besides nan, NULL and the like."),
]
RealLabel = Annotated[
    list[str] | None,
    typer.Option("--real-label", metavar="WORD", help="A word that is a class, though it looks like none: NA."),
]
Neighbors = Annotated[int, typer.Option(help="Neighbours of each row in the graph (the paper's k).")]
Gamma = Annotated[float, typer.Option(help="Power put on similarities.")]
Alpha = Annotated[float, typer.Option(help="How far labels travel, in (0, 1).")]
ModeName = Literal["paper", "released"]
Mode = Annotated[ModeName, typer.Option(help="paper, or released: as the authors' code does it.")]
AllowEmpty = Annotated[bool, typer.Option(help="Accept classes without a label; they are never chosen.")]


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(f"fewlabels {version('fewlabels')}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    threads = os.environ.get("OMP_NUM_THREADS", "")
    if threads and not THREADS.fullmatch(threads):  # which every library would take for something else
        what = f"OMP_NUM_THREADS is {threads!r}, expected a whole number from 1 up"
        raise ConfigError("C14", what, do="correct it, or unset it")


def graph_settings(
    n_neighbors: int, gamma: float, alpha: float, mode: ModeName, allow_empty_classes: bool
) -> GraphSettings:
    from ..graph import GraphSettings

    return GraphSettings(
        n_neighbors=n_neighbors,
        gamma=gamma,
        alpha=alpha,
        mode=mode,
        allow_empty_classes=allow_empty_classes,
    )


def print_json(value: Any) -> None:
    print(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False))


def say_where(folder: Path) -> None:
    print(f"run     {folder}")
    if (folder / "report.html").is_file():
        print(f"report  {folder / 'report.html'}")


def hush(quiet: bool) -> None:
    if quiet:
        warnings.simplefilter("ignore")
