"""The typer app of the `fewlabels` command, and the steps that its commands share: JSON, threads, run folders."""

from __future__ import annotations

import json
import os
import re
import sys
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer

from ..errors import ConfigError, demand_packages

MOST_THREADS = 4096  # that a run is believed
THREADS = re.compile("[1-9][0-9]*(,[1-9][0-9]*)*")  # of OpenMP: one number for each level of nesting

app = typer.Typer(
    name="fewlabels",
    help="Train a classifier from a handful of labels, by label propagation on nearest-neighbour graphs.",
    add_completion=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


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


def print_json(value: Any) -> None:
    print(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False))


def say_where(folder: Path) -> None:
    print(f"run     {folder}")
    if (folder / "report.html").is_file():
        print(f"report  {folder / 'report.html'}")


def print_run(
    folder: Path, results: dict[str, Any], format_results: Callable[[dict[str, Any]], str], as_json: bool
) -> None:
    """End a command that trained: its results and where the run is. Nothing in a process that does not speak."""
    if not speaks():
        return
    if as_json:
        print_json(results | {"run": str(folder)})
    else:
        print(format_results(results))
        say_where(folder)


def hush(quiet: bool) -> None:
    if quiet:
        warnings.simplefilter("ignore")


def speaks() -> bool:
    """Whether this process speaks to the user: the first of torchrun's, or the only one. Known without torch."""
    return "WORLD_SIZE" not in os.environ or os.environ.get("RANK", "0") == "0"


def need_training_packages() -> None:
    demand_packages("training needs", "torch", "safetensors", "PIL", "sklearn")


def begin_training(out: Path | None, *, resume: bool, allow_inexact: bool, quiet: bool) -> bool:
    """What `train` and `demo` do first. Returns whether to be quiet: as asked, and where another process speaks.

    Raises ConfigError: C23 for packages that are missing, C6 for --resume without --out.
    """
    need_training_packages()
    set_threads_of_run(out, resume, allow_inexact)
    quiet = quiet or not speaks()
    hush(quiet)
    return quiet


def set_threads_of_run(out: Path | None, resume: bool, allow_inexact: bool) -> None:
    """With --resume, take the number of threads that the run was begun with, unless OMP_NUM_THREADS says another.

    To be called before NumPy and torch are imported: they read that variable then. Raises ConfigError (C6) without the
    folder.
    """
    if resume and out is None:
        raise ConfigError("C6", "--resume without --out", do="name the run folder to go on with")
    if not resume or out is None or allow_inexact:
        return
    for begun in (out / "run.json", *out.glob("seed-*/run.json")):
        # what is wrong with the folder is told later
        with suppress(OSError, ValueError, KeyError, TypeError, RecursionError, OverflowError):
            if 1 <= (threads := int(json.loads(begun.read_bytes())["threads"])) <= MOST_THREADS:
                os.environ.setdefault("OMP_NUM_THREADS", str(threads))


def choose_folder(out: Path | None, wanted: str | Path, resume: bool, inputs: tuple[Path | None, ...] = ()) -> Path:
    """The run folder: as named, or the next free one of the wanted name.

    Raises ConfigError for one in use (C9), or in one of the inputs (C10).
    """
    from ..runs import free_name, refuse_inside, refuse_used_folder

    folder = out or free_name(wanted)
    refuse_inside(folder, inputs)
    if not resume:
        refuse_used_folder(folder)
    return folder


def demand_folders(runs: list[Path]) -> None:
    """Raises ConfigError (C26) for a run that is no folder."""
    for run in runs:
        if not run.is_dir():
            raise ConfigError("C26", "no such folder", where=run, do="give a folder that a run made")


def tell_changes(before: Path, after: Path) -> None:
    """Say on stderr what changed from one run to a later one, where their rows can be compared."""
    from ..commands.text import format_changes
    from ..runs import read_run
    from ..runs.changes import find_changes

    found = find_changes(read_run(before), read_run(after)) if speaks() else None
    if found is not None:
        print(format_changes(found.rows(), str(before)), file=sys.stderr)
