"""The rows that a review is about: those of a finished run, with all that the graph and the page need of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import partial
from pathlib import Path
from tokenize import TokenError
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ..conventions import UNLABELED
from ..data.tables.columns import Columns
from ..data.tables.embeddings import EmbeddingSource, open_embeddings
from ..data.tables.files import Table, plain, plain_type
from ..errors import ConfigError, FewlabelsError, RunError, shown
from ..graph import GraphSettings
from ..graph.settings import restore_settings
from ..runs import Run, checks, demand_whole, is_finished, kinds, read_run, refuse_open_labelling, schema
from ..runs.record import CLASS_DESCRIPTORS, DESCRIPTORS, FIRST_DESCRIPTORS, TABLE
from ..runs.table import GIVEN

if TYPE_CHECKING:
    from ..data.images.pictures import Pictures

LONGEST_TEXT = 200  # characters of a metadata cell
MOST_COLUMNS = 20
NEEDED = checks.Record({"settings": checks.Record(needed=["graph"])}, needed=["class_names"])  # of run.json


@dataclass(frozen=True, kw_only=True)
class Said:
    """What the run says of its rows. label: (n,) int64, -1 for none. certainty: (n,) from 0 to 1."""

    label: NDArray[np.int64]
    certainty: NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Items:
    """The rows of a run.

    ids: n texts, unique. class_names: c. given: (n,) int64 class numbers, -1 where the user gave none.
    descriptors: (n, d). settings: of the run's graph. truth: (n,) where it is known, in simulations.
    kind: "images", which have pictures, or "rows", which have texts: column name -> n texts, "" where there is none.
    pictures: of the images, to be closed; None for rows.
    said: what the run says of them; None: what the graph says.
    by_degree: whether labels count in the run's graph as choosing.choice.Member says, by the degrees of their rows.
    named: names of the first classes of a labelling that have descriptors: class_descriptors, (k, d).
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
    said: Said | None = None
    by_degree: bool = False
    named: Sequence[str] = ()
    class_descriptors: NDArray[np.floating] | None = None


def open_items(folder: str | Path) -> Items:
    """Read the rows of a finished run, or of a labelling, and open its inputs again.

    The classes and labels of a labelling are in its answers: here it has none.

    Raises RunError (K4) for another folder, ConfigError (C84) for a run that is not finished or of a kind that has no
    rows, C85 for one that was made before runs could be reviewed, C86 where its inputs are no longer the same, and what
    opening them raises.
    """
    root = Path(folder)
    run = read_reviewable(root)
    inputs = run.facts.get("source")
    if not isinstance(inputs, dict):
        raise _too_old(root)
    labelling = run.kind == "label"
    checks.demand(run.facts, checks.Record(NEEDED.fields) if labelling else NEEDED, root / "run.json")
    names = read_class_names(run)
    demand_whole(root, (TABLE, DESCRIPTORS, FIRST_DESCRIPTORS))
    ids, given, said = _read_rows(root / TABLE, None if labelling else names)
    settings = _read_settings(run, root / "run.json")
    _demand_source(inputs, root / "run.json")
    known = partial(Items, ids=ids, class_names=names, given=given, settings=settings, said=said)
    known = partial(known, by_degree=_counts_by_degree(run))
    if labelling and (named := run.facts.get("named")):
        demand_whole(root, (CLASS_DESCRIPTORS,))
        values = _read_descriptors(root / CLASS_DESCRIPTORS, len(named))
        known = partial(known, named=named, class_descriptors=values)
    if inputs["kind"] == "embeddings":
        opened = _open_embeddings(inputs, ids, root)
        values = opened.read(keep_bad_rows=settings.drop_bad_rows)
        return known(descriptors=values, kind="rows", texts=_read_texts(opened))
    if not (root / DESCRIPTORS).is_file():
        raise _too_old(root)
    first = root / FIRST_DESCRIPTORS  # of a frozen trunk: with those of the trained head no label would be doubted
    values = _read_descriptors(first if first.is_file() else root / DESCRIPTORS, len(ids))
    from ..data.images.pictures import open_pictures

    return known(descriptors=values, kind="images", pictures=open_pictures(inputs, ids))


def open_solved(folder: str | Path) -> Items:
    """`open_items` of a finished run. The given labels of a labelling are the answers that it was finished with.

    Raises what open_items raises; ConfigError (C152) for a labelling that is not finished.
    """
    root = Path(folder)
    refuse_open_labelling(root)
    items, run = open_items(root), read_run(root)
    if run.kind != "label":
        return items
    checks.demand(run.facts, NEEDED, root / "run.json")
    names = list(run.facts["class_names"])
    _, given, said = _read_rows(root / TABLE, names)
    return replace(items, class_names=names, given=given, said=said)


def read_class_names(run: Run) -> list[str]:
    """The classes that came with a run; a labelling has none."""
    return [] if run.kind == "label" else list(run.facts["class_names"])


def read_reviewable(folder: Path) -> Run:
    """Read a run to review.

    Raises RunError K4 where it is none, K2 where its labels are gone, ConfigError (C84) where it has none (yet).
    """
    run = read_run(folder)
    if run.kind == "label" and (folder / TABLE).is_file():
        return run
    if not is_finished(folder):
        what = f"a run of kind {run.kind!r} that is not finished"
        do = "go on with it by --resume, or give a finished one"
    elif not (folder / TABLE).is_file():
        demand_whole(folder, (TABLE,))  # the run may have written one
        what = f"a run of kind {run.kind!r} that has no labels to review"
        do = "give a finished run of train, demo, reproduce or propagate; of several seeds, one of its runs"
    else:
        return run
    raise ConfigError("C84", what, where=folder, do=do)


def _read_settings(run: Run, path: Path) -> GraphSettings:
    """Settings of the run's graph. Raises RunError: K6 for some of a newer version, K16 for values out of range."""
    values = run.settings["graph"]
    checks.demand_known(values, schema.GRAPH, "graph", path)
    try:
        return restore_settings(values)
    except ConfigError as problem:
        what = f"not what a run has there: settings.graph: {problem.what}"
        raise RunError("K16", what, where=path, do=checks.FOREIGN) from problem


def _counts_by_degree(run: Run) -> bool:
    """Of the graph with the largest share in the run's answer."""
    members = (run.settings.get("answer") or {}).get("members") or []
    graphs = [member for member in members if member["kind"] == "graph"]
    return bool(graphs and max(graphs, key=lambda member: member.get("share", 1.0)).get("by_degree"))


def _demand_source(inputs: Mapping[str, Any], path: Path) -> None:
    """Raise RunError: K6 for a kind of source that this version does not know, K16 for one that cannot be opened."""
    checks.demand({"source": inputs}, checks.Record({"source": checks.Record(needed=["kind"])}), path)
    kind = inputs["kind"]
    if kind not in schema.SOURCES:
        what = f"inputs of kind {shown(kind, 60)!r}, this version knows {', '.join(schema.SOURCES)}"
        raise RunError("K6", what, where=path, do="upgrade, or use the version that wrote it")
    checks.demand({"source": inputs}, checks.Record({"source": checks.Record(needed=schema.SOURCES[kind])}), path)


def read_columns(values: Mapping[str, Any], path: Path) -> Columns:
    """Names of columns as run.json holds them. Raises RunError (K6) for one that this version does not know."""
    known = checks.Record(dict.fromkeys((one.name for one in fields(Columns)), kinds.TEXT))
    checks.demand_known(values, known, "source.columns", path)
    return Columns.of_run(values)


def _read_descriptors(path: Path, num_rows: int) -> NDArray[np.floating]:
    """(n, d), not read into memory. Raises RunError: K2 for a damaged file, K16 for other shapes or types."""
    try:
        values: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError, OSError, SyntaxError, TokenError) as error:
        what = f"no array of numbers ({' '.join(shown(error).split())})"
        raise RunError("K2", what, where=path, do=checks.VERIFY) from error
    if not isinstance(values, np.ndarray) or values.dtype != np.float32 or values.ndim != 2 or not values.size:
        came = f"{values.dtype} of shape {values.shape}" if isinstance(values, np.ndarray) else "several arrays"
        what = f"not what a run has there: {came}, expected float32 of shape (rows, numbers)"
        raise RunError("K16", what, where=path, do=checks.FOREIGN)
    if len(values) != num_rows:
        raise RunError("K16", f"{len(values)} descriptors of {num_rows} rows", where=path, do=checks.FOREIGN)
    return values


def _too_old(root: Path) -> ConfigError:
    what = "a run that does not say where its inputs are, or has no descriptors: it is of an earlier version"
    return ConfigError("C85", what, where=root, do="run the command again with this version, and review that run")


def _read_rows(path: Path, names: Sequence[str] | None) -> tuple[list[str], NDArray[np.int64], Said | None]:
    """The ids, the class numbers of given labels, (n,), -1 for none, and what the run says of all rows.

    names: of classes; None for a labelling, whose labels are in its answers.

    Raises RunError: K2 for a damaged table, K16 for one with other columns, rows or labels.
    """
    try:
        table = pq.read_table(path).select(["id", "label", "source", "certainty"])
    except (pa.ArrowException, OSError, KeyError, ValueError) as error:
        what = f"damaged table ({' '.join(shown(error).split())})"
        raise RunError("K2", what, where=path, do=checks.VERIFY) from error
    for name in ("id", "label", "source"):
        if not (pa.types.is_string(table[name].type) or pa.types.is_large_string(table[name].type)):
            raise _misfit(path, f"the column {name} is of {table[name].type}, expected string")
        if table[name].null_count and name != "label":
            raise _misfit(path, f"the column {name} has nulls")
    ids: list[str] = table["id"].to_pylist()
    if len(set(ids)) != len(ids) or not ids:
        raise _misfit(path, f"{len(ids)} rows with {len(set(ids))} ids, expected one each, and a row at least")
    if names is None:
        return ids, np.full(len(ids), UNLABELED), None
    places = pc.index_in(table["label"], value_set=pa.array(names, table["label"].type))
    codes = pc.fill_null(places, UNLABELED).to_numpy()
    is_given = pc.equal(table["source"], GIVEN).to_numpy()
    if strange := int((is_given & (codes == UNLABELED)).sum()):
        raise _misfit(path, f"{strange} given labels that are none of the classes of run.json")
    said = Said(label=codes.astype(np.int64), certainty=_read_certainty(table["certainty"], path))
    return ids, np.where(is_given, codes, UNLABELED).astype(np.int64), said


def _read_certainty(column: pa.ChunkedArray, path: Path) -> NDArray[np.float64]:
    if not pa.types.is_floating(column.type) or column.null_count:
        raise _misfit(path, f"certainty is of {column.type} with {column.null_count} nulls, expected numbers")
    values: NDArray[np.float64] = column.to_numpy().astype(np.float64)
    if not ((values >= 0) & (values <= 1)).all():
        raise _misfit(path, "the column certainty has numbers outside of 0 to 1")
    return values


def _misfit(path: Path, what: str) -> RunError:
    return RunError("K16", f"not what a run has there: {what}", where=path, do=checks.FOREIGN)


def _open_embeddings(inputs: Mapping[str, Any], ids: Sequence[str], root: Path) -> EmbeddingSource:
    columns = read_columns(inputs["columns"], root / "run.json")
    try:
        opened = open_embeddings(Path(inputs["path"]), columns)
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
        cells = [cell for part in table.packed(name) for cell in _cut_texts(part)]
        if any(cells):
            found[name] = cells
    return found


def _cut_texts(part: pa.Array) -> list[str]:
    """Cells as text that is cut where it is long; one that repeats in a dictionary is held once."""
    if not pa.types.is_dictionary(part.type):
        return [_to_text(cell) for cell in plain(part).to_pylist()]
    texts = [_to_text(cell) for cell in plain(part.dictionary).to_pylist()]
    return ["" if place is None else texts[place] for place in part.indices.to_pylist()]


def _is_shown(table: Table, name: str) -> bool:
    kind = plain_type(table.schema.field(name).type)
    is_bytes = pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind)
    return not (pa.types.is_nested(kind) or is_bytes or name.startswith("__index_level_"))


def _to_text(cell: object) -> str:
    text = "" if cell is None else str(cell)
    return text if len(text) <= LONGEST_TEXT else text[: LONGEST_TEXT - 1] + "…"
