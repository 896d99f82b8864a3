"""The commands. Each parses, calls one function, prints; main.py runs them.

Results go to stdout, progress and warnings to stderr. Nothing heavy is imported before a command runs.
"""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from . import options
from .errors import ConfigError

if TYPE_CHECKING:
    from .graph import GraphSettings

app = typer.Typer(
    name="fewlabels",
    help="Train a classifier from a handful of labels, by label propagation on nearest-neighbour graphs.",
    add_completion=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Json = Annotated[bool, typer.Option("--json", help="Print the results as JSON.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no warnings; results and errors only.")]
LabelsFile = Annotated[
    Path | None,
    typer.Option("--labels", help="CSV, Parquet or Arrow with the columns id,label; an empty label is none."),
]
Delimiter = Annotated[str, typer.Option(help="Between the cells of a label CSV.")]
Encoding = Annotated[str, typer.Option(help="Of a label CSV.")]
IgnoreUnknown = Annotated[bool, typer.Option(help="Leave out labels whose id is not in the data, instead of stopping.")]
Neighbors = Annotated[int, typer.Option(help="Neighbours of each row in the graph (the paper's k).")]
Gamma = Annotated[float, typer.Option(help="Power put on similarities.")]
Alpha = Annotated[float, typer.Option(help="How far labels travel, in (0, 1).")]
ModeName = Literal["paper", "released"]
Mode = Annotated[ModeName, typer.Option(help="paper, or released: as the authors' code does it.")]
OnBadImage = Annotated[Literal["skip", "fail"], typer.Option(help="skip: list it in rejected.csv, go on. fail: stop.")]
AllowEmpty = Annotated[bool, typer.Option(help="Accept classes without a label; they are never chosen.")]


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(f"fewlabels {version('fewlabels')}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    pass


@app.command(short_help="Learn handwritten digits from 30 labels.", epilog="Example: fewlabels demo --seeds 5")
def demo(
    seeds: Annotated[int, typer.Option(min=1, help="Repeat with this many seeds and print mean and std.")] = 1,
    seed: Annotated[int, typer.Option(min=0, help="The (first) seed.")] = 0,
    out: Annotated[Path | None, typer.Option(help="Run folder to make; default: the next free runs/demo.")] = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Learn handwritten digits from 30 labels: scikit-learn's bundled images, no download, about half a minute."""
    _need_training_packages()
    from .jobs.demo import run_demo
    from .jobs.tables import demo_table, seeds_table
    from .runs import free_name

    _hush(quiet)
    folder = out or free_name("runs/demo")
    results = run_demo(folder, range(seed, seed + seeds), quiet=quiet)
    if as_json:
        _print_json(results | {"run": str(folder)})
    else:
        print(demo_table(results) if seeds == 1 else seeds_table(results))
        _say_where(folder)


@app.command(
    short_help="Train on images with few labels.",
    epilog="Example: fewlabels train photos/ --labels labels.csv --out runs/photos",
)
def train(
    data: Annotated[Path, typer.Argument(help="Folder of images, or Parquet with image bytes.")],
    labels: LabelsFile = None,
    out: Annotated[Path | None, typer.Option(help="Run folder to make; default: the next free runs/<name>.")] = None,
    test: Annotated[
        Path | None,
        typer.Option(help="Labelled images (class folders, or Parquet) that only the test error is measured on."),
    ] = None,
    image_size: Annotated[
        int | None, typer.Option(min=4, help="Pixels along a side; default: as they are, or 64 if they differ.")
    ] = None,
    epochs: Annotated[
        int | None,
        typer.Option(min=1, help="Of label propagation, after about 400 steps on the labels alone; default: by size."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of all random draws.")] = 0,
    flip: Annotated[bool, typer.Option(help="Mirror images left-right in training; not for text or digits.")] = True,
    n_neighbors: Neighbors = 50,
    gamma: Gamma = 3.0,
    alpha: Alpha = 0.99,
    mode: Mode = "paper",
    allow_empty_classes: AllowEmpty = False,
    on_bad_image: OnBadImage = "skip",
    delimiter: Delimiter = ",",
    encoding: Encoding = "utf-8",
    ignore_unknown_ids: IgnoreUnknown = False,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Train on images with few labels: a model, and labels with certainty for every image.

    Labels come from the --labels file, or else from the names of the sub-folders (unlabeled/ for none) or the label
    column. The id of an image is its path below DATA, or the id column. In Parquet the images are the column image or
    img.
    """
    _need_training_packages()
    from .data.labels import read_labels
    from .jobs.images import ImageSource, checked_device, run_images
    from .jobs.tables import training_table
    from .recipes.images import ImageOptions
    from .runs import free_name

    _hush(quiet)
    folder = out or free_name(Path("runs") / (data.resolve().stem or "train"))
    graph = _graph_settings(n_neighbors, gamma, alpha, mode, allow_empty_classes)
    given = read_labels(labels, delimiter=delimiter, encoding=encoding) if labels else None
    results = run_images(
        ImageSource(data, given, test, image_size, on_bad_image, ignore_unknown_ids),
        ImageOptions(seed, epochs, flip, graph),
        folder,
        device=checked_device(device),
        quiet=quiet,
    )
    if as_json:
        _print_json(results | {"run": str(folder)})
    else:
        print(training_table(results))
        _say_where(folder)


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
    delimiter: Delimiter = ",",
    encoding: Encoding = "utf-8",
    ignore_unknown_ids: IgnoreUnknown = False,
    memory_limit: options.MemoryLimit = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Spread few labels over embeddings: labels with certainty for every row.

    In tables the rows are a column of lists of numbers, or one numeric column for each feature; ids are those of the
    id column, or row numbers from 0 (npy, or no such column); without --labels, labels are those of the label column.
    """
    from .data.embeddings import Columns
    from .graph import Refinement
    from .jobs.explanations import text
    from .jobs.propagation import Input, run_propagation
    from .jobs.tables import propagation_table
    from .runs import free_name

    _hush(quiet)
    if out.exists():
        raise ConfigError("C9", "the output file exists", where=out, do="nothing was changed: choose another name")
    folder = run or free_name(out.with_name(f"{out.stem}-run"))
    columns, rows = Columns(id_column, embedding_column, label_column), tuple(explain or ())
    shared = _graph_settings(n_neighbors, gamma, alpha, mode, allow_empty_classes)
    refinement = Refinement(centre_sources, "labels" if class_prior == "labels" else None, calibrate)
    results = run_propagation(
        Input(embeddings, labels, labels_by_position, columns, delimiter, encoding, ignore_unknown_ids, rows),
        out,
        folder,
        options.refined(shared, metric, recall, seed, precision, refinement),
        memory_limit=memory_limit,
        quiet=quiet,
    )
    if as_json:
        _print_json(results | {"run": str(folder), "out": str(out)})
    else:
        for found in results.get("explanations", ()):
            print(text(found) + "\n")
        print(propagation_table(results))
        print(f"\nlabels  {out}")
        _say_where(folder)


@app.command(
    short_help="Write a report again, or compare runs.", epilog="Example: fewlabels report runs/demo --out demo.html"
)
def report(
    runs: Annotated[list[Path], typer.Argument(help="One run folder, or several to compare.")],
    out: Annotated[Path, typer.Option(help="HTML file to write.")] = Path("report.html"),
) -> None:
    """Write the report of one run again, or one that compares several."""
    from . import durable
    from .report import report_html

    _need_folders(runs)
    if out.is_dir() or out.suffix.lower() not in (".html", ".htm"):
        raise ConfigError("C16", "a report is an .html file", where=out, do="give it such a name")
    if out.exists():
        raise ConfigError("C9", "the output file exists", where=out, do="nothing was changed: choose another name")
    durable.write_text(out, report_html(runs))
    print(out)


@app.command(short_help="Check that a run is as it was written.", epilog="Example: fewlabels verify runs/demo")
def verify(run: Annotated[Path, typer.Argument(help="Run folder.")]) -> None:
    """Hash every file of a run again and compare with its manifest. Exit 3 if anything changed."""
    from .errors import RunError
    from .runs import verify_run

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


def _graph_settings(
    n_neighbors: int, gamma: float, alpha: float, mode: ModeName, allow_empty_classes: bool
) -> GraphSettings:
    from .graph import GraphSettings

    return GraphSettings(
        n_neighbors=n_neighbors,
        gamma=gamma,
        alpha=alpha,
        mode=mode,
        allow_empty_classes=allow_empty_classes,
    )


def _need_folders(runs: list[Path]) -> None:
    for run in runs:
        if not run.is_dir():
            raise ConfigError("C26", "no such folder", where=run, do="give a folder that a run made")


def _need_training_packages() -> None:
    from importlib.util import find_spec

    missing = [name for name in ("torch", "safetensors", "PIL", "sklearn") if find_spec(name) is None]
    if missing:
        raise ConfigError("C23", f"training needs {', '.join(missing)}", do="pip install 'fewlabels[train]'")


def _print_json(value: Any) -> None:
    print(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False))


def _say_where(folder: Path) -> None:
    print(f"run     {folder}\nreport  {folder / 'report.html'}")


def _hush(quiet: bool) -> None:
    if quiet:
        warnings.simplefilter("ignore")
