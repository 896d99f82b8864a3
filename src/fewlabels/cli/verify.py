"""`fewlabels verify`: whether a run is as it was written."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .app import app, demand_folders


@app.command(short_help="Check that a run is as it was written.", epilog="Example: fewlabels verify runs/demo")
def verify(run: Annotated[Path, typer.Argument(help="Run folder.")]) -> None:
    """Hash every file of a run again and compare with its manifest. Exit 3 if anything changed."""
    from ..errors import RunError
    from ..runs import verify_run

    demand_folders([run])
    problems = verify_run(run)
    if problems:
        raise RunError(
            "K2",
            "not as it was written: " + "; ".join(f"{problem.name}: {problem.reason}" for problem in problems[:5]),
            where=run,
            do=f"{len(problems)} in all: restore them, or run again",
        )
    print(f"{run}: every file is as it was written")
