"""`fewlabels propagate`: labels for embeddings."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from . import options
from .app import app, hush, print_json, say_where

EXAMPLES = """Example: fewlabels propagate embeddings.npy --labels labels.csv --out labelled.parquet

Example: fewlabels propagate parts/ --id-column key --embedding-column vector --label-column class --out labelled.csv

Example: fewlabels propagate embeddings.arrow --labels labels.npy --labels-by-position --out labelled.parquet

Example: fewlabels propagate embeddings.npy --labels labels.csv --out labelled.parquet --explain 17 --explain 42

Example: fewlabels propagate embeddings.npy --labels labels.csv --out labelled.parquet --memory-limit 8

Example: fewlabels propagate embeddings.npy --labels labels.csv --out labelled.parquet --mode paper --recall 0.999

Example: fewlabels propagate parts/ --labels l.csv --out labels --mode paper --scheduler tcp://h:8786 --work /shared"""


@app.command(short_help="Spread few labels over embeddings.", epilog=EXAMPLES)
def propagate(
    embeddings: Annotated[
        Path, typer.Argument(help="npy, Parquet, Arrow (Feather), or a folder of Parquet or Arrow parts.")
    ],
    out: Annotated[Path, typer.Option(help="Table to write, .parquet or .csv: id,label,certainty,source,reached.")],
    labels: options.LabelsFile = None,
    labels_by_position: options.ByPosition = False,
    run: Annotated[Path | None, typer.Option(help="Run folder to make; default: the next free <out>-run.")] = None,
    explain: options.Explain = None,
    mode: options.AutoMode = "auto",
    n_neighbors: options.ChosenNeighbors = None,
    gamma: options.Gamma = 3.0,
    alpha: options.ChosenAlpha = None,
    labels_are: options.LabelsAre = None,
    groups: options.Groups = None,
    allow_empty_classes: options.AllowEmpty = False,
    metric: options.Metric = "cosine",
    recall: options.Recall = "auto",
    seed: options.Seed = 0,
    precision: options.Precision = "auto",
    calibrate: options.Calibrate = False,
    centre_sources: options.CentreSources = False,
    class_prior: options.ClassPrior = None,
    id_column: options.IdColumn = "id",
    embedding_column: options.EmbeddingColumn = "embedding",
    label_column: options.LabelColumn = "label",
    feature_columns: options.FeatureColumns = None,
    ignore_columns: options.IgnoreColumns = None,
    number_rows_from: options.NumberRowsFrom = None,
    delimiter: options.Delimiter = ",",
    encoding: options.Encoding = "utf-8",
    ignore_unknown_ids: options.IgnoreUnknown = False,
    skip_bad_rows: options.SkipBadRows = False,
    on_conflict: options.OnConflict = "error",
    no_label: options.NoLabel = None,
    real_label: options.RealLabel = None,
    drop_bad_rows: options.DropBadRows = False,
    memory_limit: options.MemoryLimit = None,
    scheduler: options.Scheduler = None,
    scheduler_file: options.SchedulerFile = None,
    work: options.Work = None,
    partitions: options.Partitions = None,
    excel_safe: options.ExcelSafe = False,
    no_report: options.NoReport = False,
    force: options.Force = False,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Spread few labels over embeddings: labels with certainty for every row.

    The labels choose, by holding some of them out in turn: neighbours and alpha of the graph, and whether the graph, a
    classifier of single rows or their average answers. With --n-neighbors, --alpha, --centre-sources or
    --class-prior a graph answers, and what is given is fixed. --mode paper has all settings of the paper.

    In tables the rows are a column of lists of numbers, or one numeric column for each feature; ids are those of the
    column id, else the index that the file declares, else row numbers from 0; without --labels, labels are those of the
    label column. What is used as what is said at the start, and the run keeps it.
    """
    from ..commands.propagate import Input, run_propagation
    from ..commands.propagate_parts import Resources
    from ..data.tables.columns import Columns
    from ..graph import GraphSettings
    from ..runs import refuse_existing

    hush(quiet)
    if not (scheduler or scheduler_file or work):  # their output is a folder, in which they go on
        refuse_existing(out, force=force)
    folder = run or _choose_folder(out, quiet)
    left_out = [*(ignore_columns or ()), *((groups,) if groups else ())]
    columns = Columns(id_column, embedding_column, label_column, feature_columns or (), left_out, number_rows_from)
    found = options.parse_recall(recall)
    graph: dict[str, Any] = {"gamma": gamma, "metric": metric, "recall": found, "seed": seed, "precision": precision}
    base = GraphSettings(**graph, allow_empty_classes=allow_empty_classes, drop_bad_rows=drop_bad_rows)
    given = options.Given(n_neighbors, alpha, calibrate, centre_sources, class_prior, labels_are, groups)
    asked = Input(
        embeddings,
        labels,
        by_position=labels_by_position,
        columns=columns,
        reading=options.label_options(delimiter, encoding, skip_bad_rows, on_conflict, no_label, real_label),
        ignore_unknown_ids=ignore_unknown_ids,
        explain=tuple(explain or ()),
        report=not no_report,
        groups=groups,
    )
    resources = Resources(memory_limit, scheduler, scheduler_file, work, partitions)
    settings = given.settle(base, mode)
    results = run_propagation(asked, out, folder, settings, resources=resources, excel_safe=excel_safe, quiet=quiet)
    _print(results, folder, out, as_json)


def _choose_folder(out: Path, quiet: bool) -> Path:
    """The next free folder of runs beside the table; where an unfinished run has the usual one, stderr says so."""
    from ..runs import free_name, is_finished

    usual = out.with_name(f"{out.stem}-run")
    folder = free_name(usual)
    if folder != usual and not quiet and not is_finished(usual):
        do = f"{usual} can be removed, unless a run is still at work there"
        print(f"{usual} was left by a run that did not finish; this one is {folder}; {do}", file=sys.stderr)
    return folder


def _print(results: dict[str, Any], folder: Path, out: Path, as_json: bool) -> None:
    from ..commands.text import format_explanation, format_parts, format_propagation

    if "cluster" in results:
        if as_json:
            print_json(results | {"out": str(out)})
            return
        print(format_parts(results, out))
        say_where(Path(results["run"]))
        print(f"\nnext: fewlabels verify {shlex.quote(results['run'])}")
        return
    if as_json:
        print_json(results | {"run": str(folder), "out": str(out)})
        return
    for found in results.get("explanations", ()):
        print(format_explanation(found) + "\n")
    print(format_propagation(results))
    print(f"\nlabels  {out}")
    say_where(folder)
