"""`fewlabels demo`: digits from 30 labels."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .app import app, begin_training, choose_folder, print_run
from .options import Json, Quiet, Resume


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
    quiet = begin_training(out, resume=resume, allow_inexact=False, quiet=quiet)
    folder = choose_folder(out, "runs/demo", resume)
    from ..commands.demo import run_demo
    from ..commands.text import format_demo, format_seeds
    from ..commands.training import RunOptions

    results = run_demo(folder, range(seed, seed + seeds), RunOptions(resume=resume, quiet=quiet))
    print_run(folder, results, format_demo if seeds == 1 else format_seeds, as_json)
