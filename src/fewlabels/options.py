"""Options of `fewlabels propagate` alone, and its examples; those that commands share are in cli.py."""

from __future__ import annotations

from typing import Annotated

import typer

ByPosition = Annotated[
    bool,
    typer.Option(
        "--labels-by-position", help="The label file has one label for each row, in order; also a .npy, -1 for none."
    ),
]
IdColumn = Annotated[str, typer.Option(help="Column of the ids in the table of embeddings.")]
EmbeddingColumn = Annotated[str, typer.Option(help="Column of the embeddings, as lists of numbers.")]
LabelColumn = Annotated[str, typer.Option(help="Column of the labels in that table, used without --labels.")]
Explain = Annotated[
    list[str] | None, typer.Option(metavar="ID", help="Say why this row got its label; up to 20 times.")
]
MemoryLimit = Annotated[
    float | None, typer.Option(metavar="GIB", help="Memory it may take, in GiB; default: what is free.")
]
PROPAGATE_EXAMPLES = """Example: fewlabels propagate embeddings.npy --labels labels.csv --out labelled.parquet

Example: fewlabels propagate parts/ --id-column key --embedding-column vector --label-column class --out labelled.csv

Example: fewlabels propagate embeddings.arrow --labels labels.npy --labels-by-position --out labelled.parquet

Example: fewlabels propagate embeddings.npy --labels labels.csv --out labelled.parquet --explain 17 --explain 42

Example: fewlabels propagate embeddings.npy --labels labels.csv --out labelled.parquet --memory-limit 8"""
