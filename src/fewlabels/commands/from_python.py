"""`fewlabels.train` and `fewlabels.describe`: what the commands do, called from Python, which then imports torch."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ..data.labels.csv import LabelOptions, OnConflict
from ..data.labels.files import LabelFile, labels_from_mapping, read_groups, read_labels
from ..data.tables.embeddings import open_embeddings
from ..describing.settings import DescribeSettings, Descriptors, Precision
from ..errors import ConfigError, LabelError, demand_packages
from ..graph.settings import GraphSettings, Mode
from ..nets.model import choose_device
from ..nets.model import load_model as open_network
from ..recipes.images import LEARNING_RATE, ImageOptions
from ..recipes.photos import choose_graph, choose_start
from ..runs import Run, free_name, read_run
from ..training.method_table import BY_WORD, MethodWord
from .continued import read_graph

if TYPE_CHECKING:
    from ..data.images.squares import GivenImages
    from ..describing.stream import OnProgress
    from ..nets.model import Model
    from ..training.execution import Speed
    from .rows_model import RowModel
    from .training import RunOptions

PathLike = str | os.PathLike[str]


def train(
    data: PathLike,
    *,
    labels: PathLike | Mapping[Any, Any] | None = None,
    out: PathLike | None = None,
    test: PathLike | None = None,
    test_labels: PathLike | Mapping[str, str | None] | None = None,
    holdout: float | None = None,
    folds: int | None = None,
    groups: str | Mapping[Any, Any] | None = None,
    continue_from: PathLike | Run | None = None,
    image_size: int | None = None,
    epochs: int | None = None,
    scale: float = 1.0,
    method: MethodWord = "lp",
    network: str | None = None,
    backbone: str | None = None,
    mirror: bool = False,
    fine_tune: bool = False,
    learning_rate: float = LEARNING_RATE,
    seed: int = 0,
    flip: bool = True,
    graph: GraphSettings | None = None,
    n_neighbors: int | None = None,
    gamma: float | None = None,
    alpha: float | None = None,
    mode: Mode | None = None,
    allow_empty_classes: bool | None = None,
    on_bad_image: Literal["skip", "fail"] = "skip",
    accept_truncated: bool = False,
    max_pixels: int = 64_000_000,
    folder: Mapping[str, str] | None = None,
    pixel_range: tuple[int, int] | None = None,
    delimiter: str = ",",
    encoding: str = "utf-8",
    ignore_unknown_ids: bool = False,
    skip_bad_rows: bool = False,
    on_conflict: OnConflict = "error",
    no_label: Sequence[str] | None = None,
    real_label: Sequence[str] | None = None,
    device: str = "auto",
    speed: Speed = "deterministic",
    resume: bool = False,
    allow_inexact_resume: bool = False,
    save_every: float = 1.0,
    on_collapse: Literal["warn", "stop"] = "warn",
    tensorboard: bool = False,
    quiet: bool = False,
) -> Run:
    """Train on images with few labels: a model, and a label with certainty for every image. Returns the finished run.

    It does what the command `fewlabels train` does, with the same options, errors and run folder (docs/commands.md).

    data: folder of images, or Parquet with image bytes. The id of an image is its path below it, or the id column.
    labels: a file with the columns id and label, or a mapping from id to class name or number, None or NaN where there
        is none; None: the names of the sub-folders (unlabeled/ for none), a metadata file there, or the label column.
    out: run folder to make; None: the next free runs/NAME, named like the data.
    test: labelled images, in class folders or Parquet, that only the test error is measured on. test_labels: labels, as
        in `labels`, of images of `data` that the error is measured by and nothing is trained on. holdout: share of each
        class's given labels to do that with.
    folds: of a cross-validation over the given labels, 0 for none; None: 5 with a backbone, where it takes seconds.
        Another network trains once more for each. groups: a column of the label file, or a mapping from id to group,
        such as patients: those of one group are in one fold, as near-copies are.
    continue_from: finished run whose network this one starts from, such as with reviewed labels.
    image_size: pixels along a side; None: as the images are, or 64 if they differ.
    epochs: of the last phase; None: by size. scale: share of the schedule of every phase, such as 0.1 for a try.
    method: "supervised", "lp", "mt", "mt+lp", "pi", "te", "match", "strong-lp" or "match+lp".
    backbone: pretrained network that a head is trained on, "efficientnet-lite0" or another name of docs/networks.md;
        "none" trains a network from random weights. network: which one, by a name of docs/networks.md; "small" if None.
    mirror: describe each photo by its mirror image too: twice the time, half a point of accuracy.
    fine_tune: then train the last blocks of the backbone too, all of it on a GPU: many times the time; on CIFAR-10 a
        point or so.
    learning_rate: at the start of each phase. seed: of all random draws. flip: mirror images left-right in training.
    graph: settings of the graph; or some of them by n_neighbors, gamma, alpha, mode and allow_empty_classes.
    on_bad_image: "skip" lists it in rejected.csv, "fail" stops. accept_truncated: use JPEGs that are cut off.
    max_pixels: of an image; one with more is not read.
    folder: what sub-folders are whose names say something else, by name: "class", "unlabeled" or "skip".
    pixel_range: of images with more than 8 bits what becomes black and white; None: what occurs.
    delimiter, encoding, ignore_unknown_ids, skip_bad_rows, on_conflict: how the label file is read.
    no_label: words in the labels, wherever they are from, that mean none, besides nan, NULL and the like.
    real_label: words that are classes, though they look like none, such as "NA".
    device: "auto" (a GPU where there is one), "cpu", "cuda" or "cuda:N". speed: "deterministic" or "fast".
    resume: go on with the unfinished run in `out`, if there is one. allow_inexact_resume: with other versions, too.
    save_every: minutes between two checkpoints. on_collapse: "warn" or "stop". tensorboard: write event files.
    quiet: say nothing on the way. Progress is shown on stderr otherwise, as the command does.

    Ctrl+C saves a checkpoint and raises Interrupted: the same call with out= and resume=True goes on from there.
    Raises ConfigError, LabelError, ImageError, StorageError and NumericsError as the command tells them, such as
    ConfigError for `graph` beside one of its settings (C90), resume without out (C6), or missing packages (C23).
    """
    demand_packages("networks need", "torch", "safetensors", "PIL", "sklearn")
    _check_choices(method, epochs, speed, save_every)
    if resume and out is None:
        raise ConfigError("C6", "resume without out", do="name the run folder to go on with")
    place = free_name(Path("runs") / (Path(data).resolve().stem or "train")) if out is None else Path(out)
    reading = LabelOptions(delimiter, encoding, skip_bad_rows, on_conflict, no_label or (), real_label or ())
    given = _read_given(labels, reading)
    some = {"n_neighbors": n_neighbors, "gamma": gamma, "alpha": alpha, "mode": mode}
    pretrained, whole = choose_start(backbone, network, continues=continue_from is not None)
    some |= {"allow_empty_classes": allow_empty_classes or None}
    before = None if continue_from is None else read_graph(continue_from)
    settings = _choose_graph_settings(graph, pretrained, some, before)
    how = _make_run_options(
        place, device, speed, save_every, resume, allow_inexact_resume, on_collapse, tensorboard, quiet
    )
    from .train import ImageSource, run_images

    source = ImageSource(
        data=Path(data),
        labels=given,
        test=_to_path(test),
        test_labels=_read_given(test_labels, reading),
        holdout=holdout,
        folds=folds,
        groups=_read_groups(labels, groups, reading),
        image_size=image_size,
        on_bad_image=on_bad_image,
        ignore_unknown_ids=ignore_unknown_ids,
        continue_from=_to_path(continue_from),
        accept_truncated=accept_truncated,
        max_pixels=max_pixels,
        folders=folder or {},
        pixel_range=pixel_range,
        reading=reading,
    )
    learnt: dict[str, Any] = {"seed": seed, "epochs": epochs, "flip": flip, "scale": scale, "graph": settings}
    start: dict[str, Any] = {"network": whole, "backbone": pretrained, "mirror": mirror, "fine_tune": fine_tune}
    run_images(source, ImageOptions(method, learning_rate=learning_rate, **start, **learnt), place, how)
    return read_run(place)


def load_model(run: PathLike | Run, *, teacher: bool | None = None, device: str = "auto") -> Model | RowModel:
    """Open what a finished run answers by, for what is new: `predict` names classes. What `fewlabels classify` takes.

    run: a folder, of a run of `train`, `demo`, `reproduce` or `propagate` or of `export-model --folder`, or what
        `train` returned. teacher: the averaging teacher of a trained run; None: where it has one.
    device: "auto" (a GPU where there is one), "cpu", "cuda" or "cuda:N"; that photos are seen on.
    A Model takes images, the RowModel of a run of `propagate` embeddings, and photos where its own rows were made by
    `fewlabels describe`. A network `module:IMPORT.PATH:FUNCTION` runs the code that it names: look at model.json first
    where somebody else sent the run.
    Raises ConfigError where the run has no such network (C88), is not finished (C84) or its embeddings are gone (C86),
    the network's code is not to be had (C52, C53), the device is not there (C7) or packages are missing (C23); RunError
    for what is no run (K4), a damaged file (K2), and weights that do not fit (K7).
    """
    folder = run.folder if isinstance(run, Run) else Path(run)
    from .rows_model import is_of_rows, load_rows_model

    if is_of_rows(folder):
        if teacher:
            raise ConfigError(
                "C88", "a run of embeddings, without a network", where=folder, do="leave out teacher=True"
            )
        return load_rows_model(folder, device=device)
    return open_network(folder, teacher=teacher, device=device)


def describe(
    photos: GivenImages,
    *,
    backbone: str | None = None,
    weights: PathLike | None = None,
    size: int | None = None,
    mirror: bool = False,
    precision: Precision = "float32",
    device: str = "auto",
    cache: bool = True,
    on_bad_image: Literal["skip", "fail"] = "skip",
    accept_truncated: bool = False,
    max_pixels: int = 64_000_000,
    folder: Mapping[str, str] | None = None,
    pixel_range: tuple[int, int] | None = None,
    on_progress: OnProgress | None = None,
    quiet: bool = False,
) -> Descriptors:
    """Photos to descriptors by a pretrained network, ready for `propagate` or a classifier of your own.

    It does what the command `fewlabels describe` does, and keeps the rows in memory.

    photos: the path of a folder, of Parquet or of a photo, a list of photos' paths; or a PIL image, a uint8 array
        (h, w, 3) or (n, h, w, 3), or an iterable of such. Ids are those of `train`; of pictures they count from 0.
    backbone: a name of docs/networks.md; None: EfficientNet-Lite0. weights: a safetensors file for it.
    size: pixels along a side; None: the network's own, 160 for Lite0.
    mirror: the mean of a photo's descriptor and its mirror image's. precision: of the network's arithmetic.
    device: "auto", "cpu", "cuda", "cuda:N" or "mps".
    cache: take photos that were described before from the cache, and keep new ones.
    on_bad_image: "skip" lists it in `rejected`, "fail" stops. accept_truncated, max_pixels, folder, pixel_range: as in
        `train`; pixel_range None takes all 16 bits.
    on_progress: called with how many are done, computed, known and rejected. quiet: no progress and forecast on stderr.
    Raises ConfigError (C1, C7, C20, C23, C110-C112), ImageError (I1, I20, I30-I35) and NumericsError (P30).
    """
    demand_packages("describing photos needs", "torch", "safetensors", "PIL")
    from .describe import PhotosInput, describe_to_memory, find_device

    settings = DescribeSettings(
        mirror=mirror,
        precision=precision,
        device=find_device(device),
        accept_truncated=accept_truncated,
        max_pixels=max_pixels,
        pixel_range=pixel_range,
    )
    asked = PhotosInput(
        photos,
        backbone,
        weights=_to_path(weights),
        size=size,
        settings=settings,
        cache=cache,
        on_bad_image=on_bad_image,
        folders=folder or {},
    )
    return describe_to_memory(asked, quiet=quiet, on_progress=on_progress)


def propagate_files(
    embeddings: PathLike,
    labels: PathLike | Mapping[Any, Any],
    settings: GraphSettings | None = None,
    *,
    out: PathLike,
    work: PathLike | None = None,
    client: Any = None,
    memory_limit: float | None = None,
    partitions: int | None = None,
    quiet: bool = False,
) -> dict[str, Any]:
    """Labels for embeddings in files that need not fit into memory: on a Dask cluster, or out of core on this machine.

    It does what `fewlabels propagate --mode paper --work` does, with the bits of `propagate` (page "Beyond one
    machine"), and needs the extra "cluster".

    embeddings: .npy, Parquet or Arrow, or a folder of parts. labels: a label file, or a mapping from id to class name.
    settings: None for the paper's; they are given, not chosen.
    out: folder for one table a partition, with id, label, certainty, source and reached, and _results.json.
    work: folder that all workers see, where a run that was stopped goes on; None: beside `out`, without a client.
    client: a dask.distributed.Client, whose workers have fewlabels installed; None: workers of this machine.
    memory_limit: GiB that they may take on this machine; None: what is free. partitions: None: as memory asks for.
    quiet: no progress.
    Returns the results. Raises GraphError (G30) for what is not done over partitions yet, ConfigError (C140, C141),
    StorageError (G21, D30), and what `propagate` and the readers raise.
    """
    from .propagate import join_given
    from .propagate_parts import Resources, run_parts

    source = open_embeddings(embeddings)
    read = _read_given(labels, LabelOptions())
    if read is None:
        raise LabelError("L16", "no labels", do="give the path of a label file, or a mapping from id to class name")
    resources = Resources(
        memory_limit=memory_limit, client=client, work=None if work is None else Path(work), partitions=partitions
    )
    given = join_given(source, read)
    return run_parts(source, given, settings or GraphSettings(), resources, Path(out), quiet=quiet)


def _check_choices(method: str, epochs: int | None, speed: str, save_every: float) -> None:
    """Raise ConfigError for what the command line would not let through (C1, C13, C24)."""
    if method not in BY_WORD:
        raise ConfigError("C24", f"method is {method!r}, expected one of {', '.join(BY_WORD)}")
    if epochs is not None and (isinstance(epochs, bool) or not isinstance(epochs, int) or epochs < 1):
        raise ConfigError("C13", f"epochs is {epochs!r}, expected a whole number from 1 up")
    if speed not in ("deterministic", "fast"):
        raise ConfigError("C1", f"speed is {speed!r}, expected deterministic or fast")
    if not save_every >= 0:
        raise ConfigError("C1", f"save_every is {save_every!r}, expected minutes from 0 up")


def _make_run_options(
    folder: Path,
    device: str,
    speed: Speed,
    save_every: float,
    resume: bool,
    allow_inexact: bool,
    on_collapse: Literal["warn", "stop"],
    tensorboard: bool,
    quiet: bool,
) -> RunOptions:
    from .training import RunOptions

    return RunOptions(
        device=choose_device(device),
        speed=speed,
        save_every=60 * save_every,
        resume=resume,
        allow_inexact=allow_inexact,
        quiet=quiet,
        go_on=(f"fewlabels.train with out={folder} and resume=True",),
        on_collapse=on_collapse,
        tensorboard=tensorboard,
    )


def _to_path(given: PathLike | Run | None) -> Path | None:
    if given is None:
        return None
    return given.folder if isinstance(given, Run) else Path(given)


def _read_given(labels: PathLike | Mapping[Any, Any] | None, options: LabelOptions) -> LabelFile | None:
    if labels is None:
        return None
    if isinstance(labels, Mapping):
        return labels_from_mapping(labels, options)
    if not isinstance(labels, str | os.PathLike):
        what = f"labels as a {type(labels).__name__}"
        do = "give the path of a label file, or a mapping from id to class name, such as a Series' to_dict()"
        raise LabelError("L22", what, do=do)
    return read_labels(labels, options)


def _read_groups(
    labels: PathLike | Mapping[Any, Any] | None, groups: str | Mapping[Any, Any] | None, options: LabelOptions
) -> LabelFile | None:
    """Raises ConfigError (C135) for a column without a label file."""
    if groups is None or isinstance(groups, Mapping):
        return None if groups is None else labels_from_mapping(groups, options)
    if not isinstance(labels, str | os.PathLike):
        do = "give labels= as the path of a label file, or groups= as a mapping from id to group"
        raise ConfigError("C135", f"groups is {groups!r}, and there is no label file with such a column", do=do)
    return read_groups(labels, groups, options)


def _choose_graph_settings(
    graph: GraphSettings | None, backbone: str, some: Mapping[str, object], before: GraphSettings | None
) -> GraphSettings:
    """`graph`, or the usual settings with those that are named. Raises ConfigError (C90) where both are given."""
    named = {name: value for name, value in some.items() if value is not None}
    if graph is None:
        return choose_graph(backbone, named, before)
    if named:
        what = f"graph and {', '.join(named)}, which are settings of it"
        raise ConfigError("C90", what, do="put them into fewlabels.GraphSettings, or leave graph out")
    return graph
