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
from ..errors import ConfigError, demand_packages, shown
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
    from ..describing.settings import Descriptors
    from ..describing.stream import Progress as Described
    from ..nets.pretrained import Backbone
    from ..review.web.opening import Tell


TEMPLATE = "a photo of a {}"
TABLES = (".npy", ".parquet", ".arrow", ".feather", ".ipc")


@dataclass(frozen=True)
class Begin:
    """What is labelled. data: a folder of photos, Parquet with image bytes, or a table or array of embeddings.

    backbone to pixel_range: how photos are described, as `fewlabels describe` does. columns: of embeddings.
    labels: a label file whose labels are the first answers. class_names: of the first classes; class_descriptors: .npy
    of a row for each, by the text side of the rows' backbone: they give a first guess without any label. A backbone of
    photos that has a text side describes the names itself, in `template`; weights: its file, instead of the hub.
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
    class_names: tuple[str, ...] = ()
    class_descriptors: Path | None = None
    template: str = TEMPLATE
    weights: Path | None = None
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
    named = _read_names(asked, opened.shape[1])
    source: dict[str, Any] = {"kind": "embeddings", "path": os.path.abspath(asked.data)}
    source |= {"columns": asdict(asked.columns), "labels": None, "by_position": False}
    ids = [str(one) for one in opened.ids.to_pylist()]
    made = opened.table.made() if opened.table is not None else {}
    return Beginning(lambda tell: _write_begun(folder, asked, source, ids, facts=made, named=named), labels)


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
    known: dict[str, Any] = {"size": asked.size, "settings": settings, "folders": asked.folders}
    photos = PhotosInput(asked.data, asked.backbone, weights=asked.weights, **known)
    opened = open_all(photos)
    ids = opened.photos.ids or []
    if labels is not None:
        demand_known(labels, ids)
        labels = match_ids(labels, ids)
    if asked.class_descriptors is None:
        named = _name_by_backbone(asked, opened.describer.backbone)
    else:
        named = _read_names(asked, opened.describer.width)
    source: dict[str, Any] = {"kind": "images", "path": os.path.abspath(asked.data), "labels": None}
    source |= {"accept_truncated": asked.accept_truncated, "max_pixels": asked.max_pixels}
    source |= {"folders": dict(asked.folders)} if asked.folders else {}
    source |= {"pixel_range": list(asked.pixel_range)} if asked.pixel_range else {}
    if opened.photos.names is not None:
        say("the photos have labels already, of folders, a file or a column: none of them is used here", quiet)

    def make(tell: Tell) -> None:
        found = describe_opened(opened, photos, quiet=quiet, on_progress=_follow(len(ids), tell))
        _write_begun(folder, asked, source, found.ids, found=found, facts=found.facts, named=named)

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
    found: Descriptors | None = None,
    facts: Mapping[str, Any] | None = None,
    named: np.ndarray | None = None,
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
        **({} if named is None else {"named": list(asked.class_names)}),
    )
    none = np.zeros(len(ids), bool)
    unlabelled = np.full(len(ids), UNLABELED)
    certainty = np.zeros(len(ids))
    if found is not None:
        writer.descriptors(found.values)
    if named is not None:
        writer.class_descriptors(named)
    if found is not None and found.rejected:
        writer.rejected(found.rejected)
    # Last: a folder without it is no labelling yet.
    writer.pseudo_labels(
        PseudoLabelTable(id=ids, label=unlabelled, certainty=certainty, given=none, reached=none, class_names=[])
    )


def _name_by_backbone(asked: Begin, backbone: Backbone) -> np.ndarray | None:
    """(k, width) descriptors of the class names by the text side of the photos' backbone; None where none are needed.

    Raises ConfigError (C153) for a backbone without a text side, and for a template without a place for the name.
    """
    names = asked.class_names
    if not names:
        return None
    if backbone.describe_names is None:
        do = "take one that has, such as open_clip:ViT-B-32/TAG, or give --class-descriptors FILE.npy"
        raise ConfigError("C153", f"class names for the backbone {backbone.name!r}, which has no text side", do=do)
    if asked.template.count("{}") != 1 or len(set(names)) < len(names):
        what = f"the names {shown(', '.join(names))} in the template {asked.template!r}"
        raise ConfigError("C153", what, do="name each class once, and mark the place of the name by {}")
    return backbone.describe_names(names, asked.template)


def _read_names(asked: Begin, width: int) -> np.ndarray | None:
    """(k, width) descriptors of the class names; None where none are given. Raises ConfigError (C153)."""
    names, file = asked.class_names, asked.class_descriptors
    if file is None:
        if names:
            do = "give their descriptors, by the text side of the rows' backbone: --class-descriptors FILE.npy"
            raise ConfigError("C153", "class names without descriptors", do=do)
        return None
    values = open_embeddings(file).read()
    if len(set(names)) < len(names) or len(names) != len(values):
        what = f"{len(values):,} class descriptors for the names {shown(', '.join(names))}"
        raise ConfigError("C153", what, where=file, do="name each class once, in the order of the rows")
    if values.shape[1] != width:
        what = f"class descriptors of {values.shape[1]:,} numbers, the rows have {width:,}"
        raise ConfigError("C153", what, where=file, do="describe both by the same backbone")
    return values


def make_classes(store: Store, names: Sequence[str]) -> None:
    """Make the classes that there are not; they are on disk when this returns."""
    missing = [name for name in names if store.classes.find_key(name) is None]
    if missing:
        client = f"names-{secrets.token_hex(8)}"  # nobody's: a person's undo takes none of them back
        store.write([Request(client, at, None, ClassChange("class", name)) for at, name in enumerate(missing)])
        store.acknowledge()


def give_answers(store: Store, ids: Sequence[str], labels: LabelFile) -> int:
    """Answer the rows of a label file that nobody has answered, and make the classes that there are not.

    They are on disk when this returns how many there were. Warns (L15) of ids that are not among the rows, as those of
    photos that could not be read. Raises what join_labels raises.
    """
    joined = join_labels(ids, match_ids(labels, ids, ignore_unknown_ids=True), ignore_unknown_ids=True)
    make_classes(store, [name for name in joined.class_names if store.classes.find(name) is None])
    keys = [store.classes.find(name) for name in joined.class_names]
    answers = [
        Answer(int(row), "label", key.key, store.mark(int(row)).version)
        for row in np.flatnonzero(joined.codes != UNLABELED)
        if (key := keys[joined.codes[row]]) is not None and store.mark(int(row)).label is None
    ]
    if answers:
        store.write([Request(f"labels-{secrets.token_hex(8)}", 0, tuple(answers))])
    store.acknowledge()
    return len(answers)
