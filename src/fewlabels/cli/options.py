"""Options that several commands share, and those of `propagate`; and the settings that they make."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from ..errors import ConfigError
from ..training.method_table import MethodWord, describe_words

if TYPE_CHECKING:
    from ..choosing import Auto
    from ..commands.training import RunOptions
    from ..data.labels.csv import LabelOptions
    from ..graph import GraphSettings

# Of several commands
Json = Annotated[bool, typer.Option("--json", help="Print the results as JSON.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no warnings; results and errors only.")]
Force = Annotated[bool, typer.Option("--force", help="Replace the output file if it exists, whole or not at all.")]
LabelsFile = Annotated[
    Path | None,
    typer.Option("--labels", help="CSV, Parquet or Arrow with the columns id,label; an empty label is none."),
]
Delimiter = Annotated[str, typer.Option(help="Between the cells of a label CSV.")]
Encoding = Annotated[str, typer.Option(help="Of a label CSV.")]
IgnoreUnknown = Annotated[bool, typer.Option(help="Leave out labels whose id is not in the data, instead of stopping.")]
SkipBadRows = Annotated[
    bool,
    typer.Option("--skip-bad-rows", help="Leave out rows of the label CSV with more or fewer fields than its header."),
]
OnConflict = Annotated[
    Literal["error", "last", "drop"],
    typer.Option(help="An id with two labels: stop; its last row counts; or it has no label."),
]
NoLabel = Annotated[
    list[str] | None,
    typer.Option("--no-label", metavar="WORD", help="A word that means no label, besides nan, NULL and the like."),
]
RealLabel = Annotated[
    list[str] | None,
    typer.Option("--real-label", metavar="WORD", help="A word that is a class, though it looks like none: NA."),
]
Neighbors = Annotated[int, typer.Option(help="Neighbours of each row in the graph (the paper's k).")]
SomeNeighbors = Annotated[
    int | None,
    typer.Option(help="Neighbours of each row in the graph (the paper's k); default: 20 with a backbone, else 50."),
]
Gamma = Annotated[float, typer.Option(help="Power put on similarities.")]
Alpha = Annotated[float, typer.Option(help="How far labels travel, in (0, 1).")]
SomeAlpha = Annotated[
    float | None, typer.Option(help="How far labels travel, in (0, 1); default: 0.98 with a backbone, else 0.99.")
]
ModeName = Literal["paper", "released"]
Mode = Annotated[ModeName, typer.Option(help="paper, or released: as the authors' code does it.")]
AllowEmpty = Annotated[bool, typer.Option(help="Accept classes without a label; they are never chosen.")]

# Of `propagate`
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
Scheduler = Annotated[
    str | None, typer.Option(metavar="ADDRESS", help="Of a Dask cluster that does it, such as tcp://host:8786.")
]
SchedulerFile = Annotated[Path | None, typer.Option(help="The file in which a Dask scheduler wrote its address.")]
Work = Annotated[
    Path | None,
    typer.Option(
        help="Folder that all workers see; a run that was stopped goes on there. Without a cluster: out of core."
    ),
]
Partitions = Annotated[int | None, typer.Option(min=1, help="Of the rows; default: as the workers' memory asks for.")]
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
ChosenNeighbors = Annotated[
    int | None, typer.Option(help="Neighbours of each row in the graph. Default: chosen; 50 with paper and released.")
]
ChosenAlpha = Annotated[
    float | None,
    typer.Option(help="How far labels travel, in (0, 1). Default: chosen; 0.99 with paper and released."),
]
AutoModeName = Literal["auto", "paper", "released"]
AutoMode = Annotated[
    AutoModeName,
    typer.Option(
        help="auto: the labels choose what is not given, and what answers; paper; released: as the authors' code."
    ),
]
LabelsAre = Annotated[
    Literal["balanced", "random"] | None,
    typer.Option(
        help="balanced: the classes are about equally large in the data; random: the labelled rows were drawn like "
        "the data. Default: random where the classes have different numbers of labels, else nobody knows."
    ),
]
Groups = Annotated[
    str | None,
    typer.Option(
        metavar="COLUMN",
        help="Column of the embeddings such as patient or camera: labelled rows that share it are held out together.",
    ),
]
Calibrate = Annotated[
    bool,
    typer.Option("--calibrate", help="Fit the certainty of a graph on labels held out in turn; auto always does."),
]
CentreSources = Annotated[
    bool, typer.Option("--centre-sources", help="Poisson learning: better with very few labels of even classes.")
]
ClassPrior = Annotated[
    Literal["none", "labels", "uniform"] | None,
    typer.Option(
        help="How large the classes of a graph end: labels, as their shares of the given labels say; uniform, all "
        "alike. Default: none; auto: chosen."
    ),
]

# Of what trains: `demo`, `train`, `reproduce`
OnBadImage = Annotated[Literal["skip", "fail"], typer.Option(help="skip: list it in rejected.csv, go on. fail: stop.")]
AcceptTruncated = Annotated[
    bool, typer.Option("--accept-truncated", help="Use JPEGs that are cut off; what is missing of them is grey.")
]
MaxPixels = Annotated[
    int, typer.Option(metavar="N", help="Most pixels of an image; one with more is not read. Memory grows with it.")
]
Folder = Annotated[
    list[str] | None,
    typer.Option(
        "--folder",
        metavar="NAME=WHAT",
        help="What a sub-folder is whose name says something else: class, unlabeled or skip. May be given again.",
    ),
]
PixelRange = Annotated[
    str | None,
    typer.Option(
        metavar="LOW:HIGH",
        help="Of images with more than 8 bits: what becomes black and white, such as 0:4095. Default: what occurs.",
    ),
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")]
SpeedName = Literal["deterministic", "fast"]
Speed = Annotated[
    SpeedName,
    typer.Option(
        help="deterministic: the same bits again. fast: bfloat16 where the device has it, any algorithm, warm starts."
    ),
]
Resume = Annotated[
    bool, typer.Option("--resume", help="Go on with the unfinished run in --out, if there is one; begin it otherwise.")
]
AllowInexact = Annotated[
    bool, typer.Option("--allow-inexact-resume", help="Resume with other versions, threads or device: other last bits.")
]
Method = Annotated[MethodWord, typer.Option(help=describe_words())]
OptionalMethod = Annotated[MethodWord | None, typer.Option(help=describe_words())]
OnCollapse = Annotated[
    Literal["warn", "stop"], typer.Option(help="Where training collapses: warn, or save and stop with exit status 5.")
]
Tensorboard = Annotated[bool, typer.Option("--tensorboard", help="Write event files for TensorBoard as well.")]
SaveEvery = Annotated[float, typer.Option(min=0, metavar="MINUTES", help="Between two checkpoints.")]


def graph_settings(
    n_neighbors: int, gamma: float, alpha: float, mode: ModeName, allow_empty_classes: bool
) -> GraphSettings:
    from ..graph import GraphSettings

    return GraphSettings(
        n_neighbors=n_neighbors,
        gamma=gamma,
        alpha=alpha,
        mode=mode,
        allow_empty_classes=allow_empty_classes,
    )


@dataclass(frozen=True)
class Given:
    """Settings of `propagate` that were given; None: not, so that they are chosen."""

    n_neighbors: int | None
    alpha: float | None
    calibrate: bool
    centre_sources: bool
    class_prior: Literal["none", "labels", "uniform"] | None
    labels_are: Literal["balanced", "random"] | None
    groups: str | None

    def settle(self, base: GraphSettings, mode: AutoModeName) -> GraphSettings | Auto:
        """Auto(...) that chooses what is not given, or all settings by the paper's. base: everything else.

        Raises ConfigError (C120) for what only a choice can use.
        """
        from ..choosing import Auto
        from ..graph import Refinement

        prior = None if self.class_prior == "none" else self.class_prior
        refinement = Refinement(self.centre_sources, prior, self.calibrate)
        if mode == "auto":
            is_given = self.centre_sources or self.class_prior is not None  # whatever is chosen is calibrated
            return Auto(
                n_neighbors=self.n_neighbors,
                alpha=self.alpha,
                refinement=refinement if is_given else None,
                labels_are=self.labels_are,
                base=base,
            )
        if self.labels_are is not None or self.groups is not None:
            what = f"--labels-are and --groups with --mode {mode}, which chooses nothing"
            raise ConfigError("C120", what, do="leave them out, or use --mode auto")
        return replace(
            base,
            mode=mode,
            n_neighbors=base.n_neighbors if self.n_neighbors is None else self.n_neighbors,
            alpha=base.alpha if self.alpha is None else self.alpha,
            refinement=refinement,
        )


def label_options(
    delimiter: str,
    encoding: str,
    skip_bad_rows: bool,
    on_conflict: Literal["error", "last", "drop"],
    no_label: list[str] | None,
    real_label: list[str] | None,
) -> LabelOptions:
    """How a label file is read. Raises ConfigError (C20) for a word that is a class and none."""
    from ..data.labels.csv import LabelOptions

    return LabelOptions(delimiter, encoding, skip_bad_rows, on_conflict, no_label or (), real_label or ())


def parse_recall(recall: str) -> float | Literal["exact"] | None:
    """--recall as GraphSettings has it: None for auto. Raises ConfigError (C29) for what is neither a number nor a
    word that it knows."""
    if recall in ("auto", "exact"):
        return "exact" if recall == "exact" else None
    try:
        return float(recall)
    except ValueError:
        what = f"recall is {recall!r}, expected a number from 0.5 up to below 1, exact or auto"
        raise ConfigError("C29", what) from None


def run_options(device: str, minutes: float, **more: Any) -> RunOptions:
    """How to train. Raises ConfigError (C7) for a device that is not there. minutes: between two checkpoints."""
    from ..commands.training import RunOptions
    from ..nets.model import choose_device

    return RunOptions(device=choose_device(device), save_every=60 * minutes, **more)
