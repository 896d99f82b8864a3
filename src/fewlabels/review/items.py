"""The rows that a review is about: those of a finished run, with all that the graph and the page need of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ..conventions import UNLABELED
from ..data.tables.columns import Columns
from ..data.tables.embeddings import EmbeddingSource, open_embeddings
from ..data.tables.files import Table, plain_type
from ..errors import ConfigError, FewlabelsError, RunError
from ..graph import GraphSettings, Refinement
from ..runs import Run, is_finished, read_run
from ..runs.table import GIVEN

if TYPE_CHECKING:
    from ..data.images.pictures import Pictures

DESCRIPTORS = "descriptors.npy"
TABLE = "pseudo_labels.parquet"
LONGEST_TEXT = 200  # characters of a metadata cell
MOST_COLUMNS = 20


@dataclass(frozen=True, kw_only=True)
class Items:
    """The rows of a run.

    ids: n texts, unique. class_names: c. given: (n,) int64 class numbers, -1 where the user gave none.
    descriptors: (n, d). settings: of the run's graph. truth: (n,) where it is known, in simulations.
    kind: "images", which have pictures, or "rows", which have texts: column name -> n texts, "" where there is none.
    pictures: of the images, to be closed; None for rows.
    """

    ids: Sequence[str]
    class_names: Sequence[str]
    given: NDArray[np.int64]
    descriptors: NDArray[np.floating]
    settings: GraphSettings = field(default_factory=GraphSettings)
    truth: NDArray[np.int64] | None = None
    kind: Literal["images", "rows"] = "rows"
    texts: Mapping[str, Sequence[str]] = field(default_factory=dict)
    pictures: Pictures | None = None


def open_items(folder: str | Path) -> Items:
    """Read the rows of a finished run, and open its inputs again.

    Raises RunError (K4) for another folder, ConfigError (C84) for a run that is not finished or of a kind that has no
    rows, C85 for one that was made before runs could be reviewed, C86 where its inputs are no longer the same, and what
    opening them raises.
    """
    root = Path(folder)
    run = read_reviewable(root)
    inputs = run.facts.get("source")
    if not isinstance(inputs, dict):
        raise _too_old(root)
    names = [str(name) for name in run.facts["class_names"]]
    ids, given = _read_rows(root / TABLE, names)
    settings = read_graph_settings(run.settings["graph"])
    if inputs["kind"] == "embeddings":
        opened = _open_embeddings(inputs, ids, root)
        values = opened.read(keep_bad_rows=settings.drop_bad_rows)
        return Items(
            ids=ids,
            class_names=names,
            given=given,
            descriptors=values,
            settings=settings,
            kind="rows",
            texts=_read_texts(opened),
        )
    if not (root / DESCRIPTORS).is_file():
        raise _too_old(root)
    values = np.load(root / DESCRIPTORS, mmap_mode="r", allow_pickle=False)
    if len(values) != len(ids):
        raise RunError("K2", f"{len(values)} descriptors of {len(ids)} rows", where=root / DESCRIPTORS)
    from ..data.images.pictures import open_pictures

    return Items(
        ids=ids,
        class_names=names,
        given=given,
        descriptors=values,
        settings=settings,
        kind="images",
        pictures=open_pictures(inputs, ids),
    )


def read_reviewable(folder: Path) -> Run:
    """Read a run to review. Raises RunError (K4) where it is none, ConfigError (C84) where it has no labels (yet)."""
    run = read_run(folder)
    if not is_finished(folder):
        what = f"a run of kind {run.kind!r} that is not finished"
        do = "go on with it by --resume, or give a finished one"
    elif not (folder / TABLE).is_file():
        what = f"a run of kind {run.kind!r} that has no labels to review"
        do = "give a finished run of train, demo, reproduce or propagate; of several seeds, one of its runs"
    else:
        return run
    raise ConfigError("C84", what, where=folder, do=do)


def read_graph_settings(values: Mapping[str, Any]) -> GraphSettings:
    """Make GraphSettings of what run.json holds of them."""
    known = dict(values)
    refinement = known.pop("refinement", None) or {}
    return GraphSettings(**known, refinement=Refinement(**refinement))


def _too_old(root: Path) -> ConfigError:
    what = "a run that does not say where its inputs are, or has no descriptors: it is of an earlier version"
    return ConfigError("C85", what, where=root, do="run the command again with this version, and review that run")


def _read_rows(path: Path, names: Sequence[str]) -> tuple[list[str], NDArray[np.int64]]:
    """The ids, and the class numbers of given labels, (n,), -1 for none."""
    table = pq.read_table(path, columns=["id", "label", "source"])
    codes = pc.fill_null(pc.index_in(table["label"], value_set=pa.array(names, pa.string())), UNLABELED)
    is_given = pc.equal(table["source"], GIVEN).to_numpy()
    ids: list[str] = table["id"].to_pylist()
    return ids, np.where(is_given, codes.to_numpy(), UNLABELED).astype(np.int64)


def _open_embeddings(inputs: Mapping[str, Any], ids: Sequence[str], root: Path) -> EmbeddingSource:
    try:
        opened = open_embeddings(Path(inputs["path"]), Columns.of_run(inputs["columns"]))
    except FewlabelsError as problem:
        what = f"the embeddings of this run cannot be opened again: {problem.what}"
        raise ConfigError("C86", what, where=inputs["path"], do="put them back where they were") from problem
    if opened.ids.to_pylist() != list(ids):
        what = f"the embeddings are no longer those of the run {root.name}: their ids or their order changed"
        raise ConfigError("C86", what, where=inputs["path"], do="put the old file back, or propagate again")
    return opened


def _read_texts(opened: EmbeddingSource) -> dict[str, Sequence[str]]:
    """The columns that are neither id, label nor embedding, as text."""
    table = opened.table
    if table is None:
        return {}
    left_out = {opened.named.column, opened.label, *opened.number_columns}
    shown = [name for name in table.names if name not in left_out and _is_shown(table, name)]
    found: dict[str, Sequence[str]] = {}
    for name in shown[:MOST_COLUMNS]:
        cells = [_to_text(cell) for cell in table.column(name).to_pylist()]
        if any(cells):
            found[name] = cells
    return found


def _is_shown(table: Table, name: str) -> bool:
    kind = plain_type(table.schema.field(name).type)
    is_bytes = pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind)
    return not (pa.types.is_nested(kind) or is_bytes or name.startswith("__index_level_"))


def _to_text(cell: object) -> str:
    text = "" if cell is None else str(cell)
    return text if len(text) <= LONGEST_TEXT else text[: LONGEST_TEXT - 1] + "…"
