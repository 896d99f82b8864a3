"""`fewlabels label`: from photos or embeddings without any label to a labelling, and its first answers."""

from __future__ import annotations

import os
import secrets
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..conventions import UNLABELED
from ..data.images.decode import MAX_PIXELS
from ..data.labels.files import LabelFile, join_labels, read_labels
from ..data.labels.ids import demand_known, match_ids
from ..data.tables.columns import Columns
from ..data.tables.embeddings import open_embeddings
from ..errors import ConfigError, demand_packages
from ..graph import GraphSettings
from ..review.store.classes import ClassChange
from ..review.store.store import Store
from ..review.store.values import Answer, Request
from ..runs import RunWriter, is_begun, read_run, refuse_in_run, refuse_inside
from ..runs.table import PseudoLabelTable
from ..storage.folders import demand_writable
from .described import say
from .progress import Pace
from .propagate import join_given

if TYPE_CHECKING:
    from ..describing.stream import Progress as Described
    from ..review.web.opening import Tell


TABLES = (".npy", ".parquet", ".arrow", ".feather", ".ipc")


@dataclass(frozen=True)
class Begin:
    """What is labelled. data: a folder of photos, Parquet with image bytes, or a table or array of embeddings.

    backbone to pixel_range: how photos are described, as `fewlabels describe` does. columns: of embeddings.
    labels: a label file whose labels are the first answers.
    """

    data: Path
    _: KW_ONLY
    backbone: str | None = None
    size: int | None = None
    mirror: bool = False
    device: str = "auto"
    accept_truncated: bool = False
    max_pixels: int = MAX_PIXELS
    pixel_range: tuple[int, int] | None = None
    folders: Mapping[str, Any] = field(default_factory=dict)
    columns: Columns = field(default_factory=Columns)
    labels: Path | None = None
    seed: int = 0


@dataclass(frozen=True)
class Beginning:
    """A labelling that nothing speaks against. make: writes its run, and tells how far it is; None where it is there.

    labels: the first answers, where there are some.
    """

    make: Callable[[Tell], None] | None
    labels: LabelFile | None = None


def is_table_of_embeddings(path: Path) -> bool:
    """Whether a path is to be read as embeddings: by its ending; Parquet with a column of images is photos."""
    if path.suffix.lower() not in TABLES:
        return False
    if path.suffix.lower() != ".parquet":
        return True
    import pyarrow.parquet as pq

    return not {"image", "img"} & set(pq.read_schema(path).names)


def prepare_labelling(asked: Begin, folder: Path, *, quiet: bool = False) -> Beginning:
    """Look at all that can be wrong before photos are described. `make` then writes a run of kind "label" in `folder`.

    Raises ConfigError (C9, C10) for the place, before anything is read; what opening and describing raise; LabelError
    for labels of ids that there are not.
    """
    if is_begun(asked.data):
        do = f"a finished run is reviewed: {shlex.join(['fewlabels', 'review', str(asked.data)])}"
        raise ConfigError("C150", f"a run of kind {read_run(asked.data).kind!r}, no labelling", where=asked.data, do=do)
    refuse_inside(folder, [asked.data])
    refuse_in_run(folder)
    demand_writable(folder)
    labels = None if asked.labels is None else read_labels(asked.labels)
    prepare = _prepare_rows if is_table_of_embeddings(asked.data) else _prepare_photos
    return prepare(asked, folder, labels, quiet)


def _prepare_rows(asked: Begin, folder: Path, labels: LabelFile | None, quiet: bool) -> Beginning:
    opened = open_embeddings(asked.data, asked.columns)
    if opened.named.doubt is not None:
        raise opened.named.doubt
    if labels is not None:
        join_given(opened, labels)
    source: dict[str, Any] = {"kind": "embeddings", "path": os.path.abspath(asked.data)}
    source |= {"columns": asdict(asked.columns), "labels": None, "by_position": False}
    ids = [str(one) for one in opened.ids.to_pylist()]
    made = opened.table.made() if opened.table is not None else {}
    return Beginning(lambda tell: _write_begun(folder, asked, source, ids, facts=made), labels)


def _prepare_photos(asked: Begin, folder: Path, labels: LabelFile | None, quiet: bool) -> Beginning:
    demand_packages("describing photos needs", "torch", "safetensors", "PIL")
    from ..describing.settings import DescribeSettings
    from .describe import PhotosInput, describe_opened, find_device, open_all

    settings = DescribeSettings(
        mirror=asked.mirror,
        device=find_device(asked.device),
        accept_truncated=asked.accept_truncated,
        max_pixels=asked.max_pixels,
        pixel_range=asked.pixel_range,
    )
    photos = PhotosInput(asked.data, asked.backbone, size=asked.size, settings=settings, folders=asked.folders)
    opened = open_all(photos)
    ids = opened.photos.ids or []
    if labels is not None:
        demand_known(labels, ids)
        labels = match_ids(labels, ids)
    source: dict[str, Any] = {"kind": "images", "path": os.path.abspath(asked.data), "labels": None}
    source |= {"accept_truncated": asked.accept_truncated, "max_pixels": asked.max_pixels}
    source |= {"folders": dict(asked.folders)} if asked.folders else {}
    source |= {"pixel_range": list(asked.pixel_range)} if asked.pixel_range else {}
    if opened.photos.names is not None:
        say("the photos have labels already, of folders, a file or a column: none of them is used here", quiet)

    def make(tell: Tell) -> None:
        found = describe_opened(opened, photos, quiet=quiet, on_progress=_follow(len(ids), tell))
        _write_begun(folder, asked, source, found.ids, values=found.values, facts=found.facts, rejected=found.rejected)

    return Beginning(make, labels)


def _follow(total: int, tell: Tell) -> Callable[[Described], None]:
    """What tells the page how many photos are described, and how long the others will take."""
    from ..review.web.opening import Progress

    pace = Pace()
    pace.mark(0)

    def follow(described: Described) -> None:
        pace.mark(described.done)
        tell(Progress("describing", described.done, total, pace.seconds(described.done, total)))

    return follow


def _write_begun(
    folder: Path,
    asked: Begin,
    source: dict[str, Any],
    ids: Sequence[str],
    *,
    values: np.ndarray | None = None,
    facts: Mapping[str, Any] | None = None,
    rejected: Sequence[tuple[str, str]] = (),
) -> None:
    settings = GraphSettings(seed=asked.seed, drop_bad_rows=True)
    writer = RunWriter(
        folder,
        "label",
        {"graph": asdict(settings)},
        title=asked.data.resolve().name,
        source=source,
        labelling=secrets.token_hex(32),
        **({"described": dict(facts)} if facts else {}),
    )
    none = np.zeros(len(ids), bool)
    unlabelled = np.full(len(ids), UNLABELED)
    certainty = np.zeros(len(ids))
    if values is not None:
        writer.descriptors(values)
    if rejected:
        writer.rejected(rejected)
    # Last: a folder without it is no labelling yet.
    writer.pseudo_labels(
        PseudoLabelTable(id=ids, label=unlabelled, certainty=certainty, given=none, reached=none, class_names=[])
    )


def give_answers(store: Store, ids: Sequence[str], labels: LabelFile) -> int:
    """Answer the rows of a label file that nobody has answered, and make the classes that there are not.

    They are on disk when this returns how many there were. Warns (L15) of ids that are not among the rows, as those of
    photos that could not be read. Raises what join_labels raises.
    """
    joined = join_labels(ids, match_ids(labels, ids, ignore_unknown_ids=True), ignore_unknown_ids=True)
    client = f"labels-{secrets.token_hex(8)}"  # nobody's: a person's undo takes none of them back
    missing = [name for name in joined.class_names if store.classes.find(name) is None]
    store.write([Request(client, at, None, ClassChange("class", name)) for at, name in enumerate(missing)])
    keys = [store.classes.find(name) for name in joined.class_names]
    answers = [
        Answer(int(row), "label", key.key, store.mark(int(row)).version)
        for row in np.flatnonzero(joined.codes != UNLABELED)
        if (key := keys[joined.codes[row]]) is not None and store.mark(int(row)).label is None
    ]
    if answers:
        store.write([Request(client, len(missing), tuple(answers))])
    store.acknowledge()
    return len(answers)
