"""`fewlabels report`: the report of a run again, or of several."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..errors import ConfigError
from .app import app, demand_folders, tell_changes
from .options import Force


@app.command(
    short_help="Write a report again, or compare runs.", epilog="Example: fewlabels report runs/demo --out demo.html"
)
def report(
    runs: Annotated[list[Path], typer.Argument(help="One run folder, or several to compare.")],
    out: Annotated[Path, typer.Option(help="HTML file to write.")] = Path("report.html"),
    force: Force = False,
) -> None:
    """Write the report of one run again, or one that compares several.

    Of two runs, such as an older and a newer one of the same photos, it says what changed: rows that are new or gone,
    labels that are others, classes.
    """
    from ..report import report_html
    from ..runs import refuse_existing
    from ..runs.record import TABLE
    from ..storage import durable

    demand_folders(runs)
    if out.is_dir() or out.suffix.lower() not in (".html", ".htm"):
        raise ConfigError("C16", "a report is an .html file", where=out, do="give it such a name")
    refuse_existing(out, force=force)
    durable.write_text(out, report_html(runs))
    print(f"report  {out}")
    first = runs[0]
    if len(runs) == 1 and (first / TABLE).is_file():
        print(f"next    fewlabels review {first}")
    if len(runs) == 2:
        tell_changes(*runs)
