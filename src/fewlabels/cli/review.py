"""`fewlabels review`: a page for a person's answers."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from ..errors import ConfigError, install_command
from .app import app, hush, print_json
from .options import Force, Json, Quiet

EXAMPLES = """Example: fewlabels review runs/photos

Example: fewlabels review runs/photos --no-browser --port 8765 --export reviewed.csv"""


@app.command(short_help="Label together with the graph, on a local page.", epilog=EXAMPLES)
def review(
    run: Annotated[Path, typer.Argument(help="Run folder.")],
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="0: that of the last review of this run, or a free one.")
    ] = 0,
    host: Annotated[
        str,
        typer.Option(
            help="Address to serve at. 127.0.0.1 is reached from this machine alone, 0.0.0.0 from every network that "
            "it is in (with --i-understand)."
        ),
    ] = "127.0.0.1",
    understood: Annotated[
        bool, typer.Option("--i-understand", help="Serve to other machines, unencrypted, to whoever has the address.")
    ] = False,
    browser: Annotated[bool, typer.Option(help="Open the page in a browser.")] = True,
    export: Annotated[
        Path | None, typer.Option(help="Write the labels there at the end: .csv, .parquet or .json (Label Studio).")
    ] = None,
    force: Force = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Serve a page on which a person answers what the graph would learn most from, and sees what each answer moves.

    Answers are saved one by one in RUN.review/, beside the run. Ctrl-C ends it.
    """
    need_review_packages()
    from ..commands.review import Review, describe_reviewed, format_reviewed, run_review
    from ..review.web.process import Endpoint

    hush(quiet)
    if not quiet:
        print(f"opening {run}; Ctrl-C ends the review, answers are saved as they are given", file=sys.stderr)
    say = partial(print, file=sys.stderr if as_json else sys.stdout, flush=True)
    reviewed = run_review(run, Review(Endpoint(host, port, browser=browser), understood, export, force, say))
    if as_json:
        print_json(describe_reviewed(reviewed))
    else:
        print(format_reviewed(reviewed))


def need_review_packages() -> None:
    """Raises ConfigError C81 where the packages of the page are missing."""
    try:
        import fastapi
        import uvicorn
    except ImportError as error:
        what = f"the packages of the review page are missing ({error.name})"
        raise ConfigError("C81", what, do=install_command("review")) from error
    del fastapi, uvicorn
