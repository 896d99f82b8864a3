"""Options of `fewlabels propagate` alone, and its examples; those that commands share are in cli.py."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ..errors import ConfigError

if TYPE_CHECKING:
    from ..graph import GraphSettings
    from ..graph.refinement import Refinement

ByPosition = Annotated[
    bool,
    typer.Option(
        "--labels-by-position", help="The label file has one label for each row, in order; also a .npy, -1 for none."
    ),
]
IdColumn = Annotated[str, typer.Option(help="Column of the ids in the table of embeddings.")]
EmbeddingColumn = Annotated[str, typer.Option(help="Column of the embeddings, as lists of numbers.")]
FeatureColumns = Annotated[
    list[str] | None,
    typer.Option("--feature-columns", metavar="NAME", help="Only these numeric columns are features: a name or f*."),
]
IgnoreColumns = Annotated[
    list[str] | None,
    typer.Option("--ignore-columns", metavar="NAME", help="Columns that are no features: a name, or a pattern as f*."),
]
NumberRowsFrom = Annotated[
    int | None,
    typer.Option("--number-rows-from", min=0, max=1, help="Ids are row numbers from 0 or 1, not a column."),
]
LabelColumn = Annotated[str, typer.Option(help="Column of the labels in that table, used without --labels.")]
Explain = Annotated[
    list[str] | None, typer.Option(metavar="ID", help="Say why this row got its label; up to 20 times.")
]
MemoryLimit = Annotated[
    float | None, typer.Option(metavar="GIB", help="Memory it may take, in GiB; default: what is free.")
]
ExcelSafe = Annotated[
    bool,
    typer.Option("--excel-safe", help="In CSV, put ' before an id or label that a spreadsheet takes for a formula."),
]
NoReport = Annotated[
    bool, typer.Option("--no-report", help="No report, and none of its map and checks: some seconds less.")
]
MetricName = Literal["cosine", "inner_product"]
PrecisionName = Literal["auto", "single", "double"]
Metric = Annotated[MetricName, typer.Option(help="What makes rows similar; inner_product: length counts too.")]
Recall = Annotated[
    str, typer.Option(help="Share of the true neighbours to find at least, or exact; auto: 0.995, exact for released.")
]
Seed = Annotated[int, typer.Option(min=0, help="Of the samples that a search which is not exact draws.")]
Precision = Annotated[PrecisionName, typer.Option(help="Of the solver; auto: double up to 2,048 rows.")]
DropBadRows = Annotated[
    bool, typer.Option("--drop-bad-rows", help="Let rows with NaN, infinity or missing numbers go without a label.")
]
Calibrate = Annotated[
    bool,
    typer.Option("--calibrate", help="Fit certainty on labels held out in turn; 5 times the work of the solver."),
]
CentreSources = Annotated[
    bool, typer.Option("--centre-sources", help="Poisson learning: better with very few labels of even classes.")
]
ClassPrior = Annotated[
    Literal["none", "labels"],
    typer.Option(help="labels: classes end as large as their shares of the given labels say."),
]


def refined(
    settings: GraphSettings,
    metric: MetricName,
    recall: str,
    seed: int,
    precision: PrecisionName,
    refinement: Refinement,
    drop_bad_rows: bool,
) -> GraphSettings:
    """The settings of `propagate`: those it shares with `train`, and its own. Raises ConfigError (C29) for a recall
    that is neither a number nor "exact"."""
    share: float | Literal["exact"] | None = None if recall == "auto" else "exact"
    if recall not in ("auto", "exact"):
        try:
            share = float(recall)
        except ValueError:
            what = f"recall is {recall!r}, expected a number from 0.5 up to below 1, exact or auto"
            raise ConfigError("C29", what) from None
    return replace(
        settings,
        metric=metric,
        recall=share,
        seed=seed,
        precision=precision,
        refinement=refinement,
        drop_bad_rows=drop_bad_rows,
    )


PROPAGATE_EXAMPLES = """Example: fewlabels propagate embeddings.npy --labels labels.csv --out labelled.parquet

Example: fewlabels propagate parts/ --id-column key --embedding-column vector --label-column class --out labelled.csv

Example: fewlabels propagate embeddings.arrow --labels labels.npy --labels-by-position --out labelled.parquet

Example: fewlabels propagate embeddings.npy --labels labels.csv --out labelled.parquet --explain 17 --explain 42

Example: fewlabels propagate embeddings.npy --labels labels.csv --out labelled.parquet --memory-limit 8

Example: fewlabels propagate embeddings.npy --labels labels.csv --out labelled.parquet --recall 0.999 --calibrate"""
