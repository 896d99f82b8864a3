"""`fewlabels demo`: digits from 30 labels, or photos from ten of each kind."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..errors import ConfigError
from .app import app, begin_training, choose_folder, print_run, speaks
from .options import Json, Quiet, Resume


@app.command(
    short_help="Learn handwritten digits, or photos, from a few labels.",
    epilog="Example: fewlabels demo --photos\n\nExample: fewlabels demo --seeds 5",
)
def demo(
    photos: Annotated[
        bool,
        typer.Option("--photos", help="Photos on a pretrained start, from a folder and labels to new photos' labels."),
    ] = False,
    seeds: Annotated[int, typer.Option(min=1, help="Repeat with this many seeds and print mean and std.")] = 1,
    seed: Annotated[int, typer.Option(min=0, help="The (first) seed.")] = 0,
    out: Annotated[Path | None, typer.Option(help="Run folder to make; default: the next free runs/demo.")] = None,
    resume: Resume = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Learn handwritten digits from 30 labels: scikit-learn's bundled images, no download, about a minute.

    With --photos: those of CIFAR-10 where FEWLABELS_DATA names it, else parts of the two photos that scikit-learn
    carries, written to a folder beside the run; about half a minute.
    """
    if photos and seeds > 1:
        raise ConfigError("C13", "--seeds with --photos, which runs once", do="leave one of them out")
    quiet = begin_training(out, resume=resume, allow_inexact=False, quiet=quiet)
    folder = choose_folder(out, "runs/demo-photos" if photos else "runs/demo", resume)
    if photos:
        _run_photos(folder, seed, resume=resume, quiet=quiet, as_json=as_json)
        return
    from ..commands.demo import run_demo
    from ..commands.text import format_demo, format_seeds
    from ..commands.training import RunOptions

    results = run_demo(folder, range(seed, seed + seeds), RunOptions(resume=resume, quiet=quiet))
    print_run(folder, results, format_demo if seeds == 1 else format_seeds, as_json)
    if speaks() and not as_json:
        print("next    fewlabels demo --photos")


def _run_photos(folder: Path, seed: int, *, resume: bool, quiet: bool, as_json: bool) -> None:
    from ..commands.demo_photos import run_photo_demo
    from ..commands.text import format_photo_demo
    from ..commands.training import RunOptions

    results = run_photo_demo(folder, seed, RunOptions(resume=resume, quiet=quiet))
    print_run(folder, results, format_photo_demo, as_json)
    if speaks() and not as_json:
        print(f"next    fewlabels review {folder}")
