"""The commands that need no network. Each parses, calls one function, prints; main.py runs them.

Results go to stdout, progress and warnings to stderr. Nothing heavy is imported before a command runs.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from ..errors import ConfigError
from . import options
from .app import (
    AllowEmpty,
    Alpha,
    Delimiter,
    Encoding,
    Force,
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


@app.command(short_help="Spread few labels over embeddings.", epilog=options.PROPAGATE_EXAMPLES)
def propagate(
    embeddings: Annotated[
        Path, typer.Argument(help="npy, Parquet, Arrow (Feather), or a folder of Parquet or Arrow parts.")
    ],
    out: Annotated[Path, typer.Option(help="Table to write, .parquet or .csv: id,label,certainty,source,reached.")],
    labels: LabelsFile = None,
    labels_by_position: options.ByPosition = False,
    run: Annotated[Path | None, typer.Option(help="Run folder to make; default: the next free <out>-run.")] = None,
    explain: options.Explain = None,
    n_neighbors: Neighbors = 50,
    gamma: Gamma = 3.0,
    alpha: Alpha = 0.99,
    mode: Mode = "paper",
    allow_empty_classes: AllowEmpty = False,
    metric: options.Metric = "cosine",
    recall: options.Recall = "auto",
    seed: options.Seed = 0,
    precision: options.Precision = "auto",
    calibrate: options.Calibrate = False,
    centre_sources: options.CentreSources = False,
    class_prior: options.ClassPrior = "none",
    id_column: options.IdColumn = "id",
    embedding_column: options.EmbeddingColumn = "embedding",
    label_column: options.LabelColumn = "label",
    feature_columns: options.FeatureColumns = None,
    ignore_columns: options.IgnoreColumns = None,
    number_rows_from: options.NumberRowsFrom = None,
    delimiter: Delimiter = ",",
    encoding: Encoding = "utf-8",
    ignore_unknown_ids: IgnoreUnknown = False,
    skip_bad_rows: SkipBadRows = False,
    on_conflict: OnConflict = "error",
    no_label: NoLabel = None,
    real_label: RealLabel = None,
    drop_bad_rows: options.DropBadRows = False,
    memory_limit: options.MemoryLimit = None,
    excel_safe: options.ExcelSafe = False,
    no_report: options.NoReport = False,
    force: Force = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Spread few labels over embeddings: labels with certainty for every row.

    In tables the rows are a column of lists of numbers, or one numeric column for each feature; ids are those of the
    column id, else the index that the file declares, else row numbers from 0; without --labels, labels are those of the
    label column. What is used as what is said at the start, and the run keeps it.
    """
    from ..commands.explanations import text
    from ..commands.propagate import Input, run_propagation
    from ..commands.tables import propagation_table
    from ..data.labels.csv import LabelOptions
    from ..data.tables.columns import Columns
    from ..graph import Refinement
    from ..runs import free_name, is_finished, refuse_existing

    hush(quiet)
    refuse_existing(out, force=force)
    usual = out.with_name(f"{out.stem}-run")
    folder = run or free_name(usual)
    if folder != usual and run is None and not quiet and not is_finished(usual):
        print(f"{usual} was left by a run that did not finish; this one is {folder}", file=sys.stderr)
    chosen = (feature_columns or (), ignore_columns or (), number_rows_from)
    columns, rows = Columns(id_column, embedding_column, label_column, *chosen), tuple(explain or ())
    reading = LabelOptions(delimiter, encoding, skip_bad_rows, on_conflict, no_label or (), real_label or ())
    shared = graph_settings(n_neighbors, gamma, alpha, mode, allow_empty_classes)
    refinement = Refinement(centre_sources, "labels" if class_prior == "labels" else None, calibrate)
    results = run_propagation(
        Input(embeddings, labels, labels_by_position, columns, reading, ignore_unknown_ids, rows, not no_report),
        out,
        folder,
        options.refined(shared, metric, recall, seed, precision, refinement, drop_bad_rows),
        memory_limit=memory_limit,
        excel_safe=excel_safe,
        quiet=quiet,
    )
    if as_json:
        print_json(results | {"run": str(folder), "out": str(out)})
    else:
        for found in results.get("explanations", ()):
            print(text(found) + "\n")
        print(propagation_table(results))
        print(f"\nlabels  {out}")
        say_where(folder)


@app.command(
    short_help="Write a report again, or compare runs.", epilog="Example: fewlabels report runs/demo --out demo.html"
)
def report(
    runs: Annotated[list[Path], typer.Argument(help="One run folder, or several to compare.")],
    out: Annotated[Path, typer.Option(help="HTML file to write.")] = Path("report.html"),
    force: Force = False,
) -> None:
    """Write the report of one run again, or one that compares several."""
    from ..report import report_html
    from ..runs import refuse_existing
    from ..storage import durable

    _need_folders(runs)
    if out.is_dir() or out.suffix.lower() not in (".html", ".htm"):
        raise ConfigError("C16", "a report is an .html file", where=out, do="give it such a name")
    refuse_existing(out, force=force)
    durable.write_text(out, report_html(runs))
    print(out)


@app.command(short_help="Check that a run is as it was written.", epilog="Example: fewlabels verify runs/demo")
def verify(run: Annotated[Path, typer.Argument(help="Run folder.")]) -> None:
    """Hash every file of a run again and compare with its manifest. Exit 3 if anything changed."""
    from ..errors import RunError
    from ..runs import verify_run

    _need_folders([run])
    problems = verify_run(run)
    if problems:
        raise RunError(
            "K2",
            "not as it was written: " + "; ".join(f"{problem.name}: {problem.reason}" for problem in problems[:5]),
            where=run,
            do=f"{len(problems)} in all: restore them, or run again",
        )
    print(f"{run}: every file is as it was written")


def _need_folders(runs: list[Path]) -> None:
    for run in runs:
        if not run.is_dir():
            raise ConfigError("C26", "no such folder", where=run, do="give a folder that a run made")
