"""`fewlabels classify` of a run of `propagate`: labels of new embeddings by what answered in the run."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..choosing.abstain import Curve, is_sure, unpack_curve
from ..choosing.answer import BLOCK, Mixture, Part
from ..choosing.choice import Member
from ..choosing.propagate import solve_graphs
from ..choosing.saved import read_members, unpack_mixture
from ..data.images.kinds import ENDINGS
from ..data.tables.embeddings import EmbeddingSource, open_embeddings
from ..data.tables.units import cut_units
from ..errors import ConfigError, EmbeddingError, FewlabelsError, InputWarning, RunError, UnreachedWarning, shown, warn
from ..graph import GraphSettings, propagate
from ..review.items import Items, open_items
from ..runs import checks, demand_whole, is_begun, is_finished, read_facts, read_run
from ..runs.predictions import write_predictions
from ..runs.record import ANSWER_ARRAYS, ANSWER_FACTS
from ..storage import durable
from ..storage.arrays import read_arrays
from .classify import ClassifyOptions, demand_options, demand_places, describe_threshold
from .memory import peak_memory_mib
from .progress import Progress

BATCH_BYTES = 16 << 20  # of new rows that are in memory at a time, as float32
MADE = "made by fewlabels describe"


@dataclass(frozen=True, kw_only=True)
class RowModel:
    """What a run of `propagate` answers new rows by.

    mixture: heads and graphs. rows: (n, d) of the run, where a graph has a part; None otherwise.
    held_out: what held-out labels say of its probabilities; None where nothing is known. by: what answers, in words.
    made_by: the model that described the rows of the run, where the table said so; else "".
    """

    mixture: Mixture
    class_names: tuple[str, ...]
    rows: NDArray[np.generic] | None
    held_out: Curve | None
    by: str
    made_by: str = ""

    def answer(self, new_rows: NDArray[np.generic]) -> NDArray[np.float64]:
        """(q, c) probabilities of (q, d) new rows; a row that nothing answers has zeros.

        Raises EmbeddingError (E34) for rows of another width.
        """
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UnreachedWarning)  # said once, of all batches
            found = self.mixture.extend(new_rows, self.rows)
        return np.where(found.reached[:, None], found.distribution, 0)


def is_of_rows(run: Path) -> bool:
    """Whether it is a run of `propagate`, which has embeddings and no network."""
    return is_begun(run) and read_facts(run).get("kind") == "propagate"


def load_rows_model(run: Path) -> RowModel:
    """Open what answered in a finished run of `propagate`. A graph is solved again, on the embeddings of the run.

    Where those are gone or changed the heads of the answer answer alone, which is warned of (C123).
    Raises RunError (K2, K4, K16) for a damaged run; ConfigError (C84) for one that is not finished, (C86) where its
    embeddings are gone and no head answers.
    """
    found = read_run(run)
    if not is_finished(run):
        raise ConfigError("C84", "a run that is not finished", where=run, do="run the command again, in a new folder")
    names = tuple(found.facts["class_names"])
    said = (found.results.get("read") or {}).get("said") or []
    made_by = next((line for line in said if isinstance(line, str) and line.startswith(MADE)), "")
    if not (run / ANSWER_FACTS).is_file():
        return _solve_given(open_items(run), names, made_by)
    demand_whole(run, (ANSWER_FACTS, ANSWER_ARRAYS))
    facts, arrays = checks.read_json(run / ANSWER_FACTS), read_arrays(run / ANSWER_ARRAYS)
    try:
        return _restore(run, facts, arrays, names, made_by)
    except (KeyError, TypeError, ValueError) as problem:
        what = f"not what a run has there: {shown(problem)}"
        raise RunError(
            "K16", what, where=run / ANSWER_FACTS, do="restore it from a copy, or propagate again"
        ) from problem


def _restore(
    run: Path, facts: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]], names: tuple[str, ...], made_by: str
) -> RowModel:
    members = read_members(facts)
    curve = None if facts.get("held_out") is None else unpack_curve(facts["held_out"])
    rows, graphs, heads = None, None, [member for member in members if member.kind != "graph"]
    if len(heads) < len(members):
        try:
            items = open_items(run)
            rows, graphs = items.descriptors, _solve_again(items, members, facts["rows_digest"])
        except FewlabelsError as problem:
            if not heads:
                raise
            what = f"FL-C123 the graph of this run cannot be asked ({problem.what}); its heads answer alone"
            warn(InputWarning(f"{what}, and nothing is known of how far their probabilities can be trusted"))
            curve = None
    answering = heads if graphs is None else members
    return RowModel(
        mixture=unpack_mixture(facts, arrays, graphs),
        class_names=names,
        rows=rows,
        held_out=curve,
        by=_name(answering),
        made_by=made_by,
    )


def _solve_again(items: Items, members: Sequence[Member], digest: str | None) -> dict[int, Any]:
    graphs = solve_graphs(items.descriptors, items.given, members, items.settings)
    if digest is not None and any(found.graph.rows_digest != digest for found in graphs.values()):
        what = "the embeddings are no longer those of the run: their numbers changed"
        raise ConfigError("C86", what, do="put the old file back, or propagate again")
    return graphs


def _solve_given(items: Items, names: tuple[str, ...], made_by: str) -> RowModel:
    """Of a run whose settings were given: one graph, and nothing is known of its error."""
    settings: GraphSettings = items.settings
    member = Member(kind="graph", n_neighbors=settings.n_neighbors, alpha=settings.alpha)
    part = Part(member=member, propagation=propagate(items.descriptors, items.given, settings, class_names=names))
    mixture = Mixture(
        parts=(part,),
        temperature=1.0,
        class_scale=(1.0,) * len(names),
        metric=settings.metric,
        drop_bad_rows=settings.drop_bad_rows,
    )
    return RowModel(
        mixture=mixture,
        class_names=names,
        rows=items.descriptors,
        held_out=None,
        by=_name([member]),
        made_by=made_by,
    )


def _name(members: Sequence[Member]) -> str:
    total = sum(member.share for member in members)
    return " + ".join(f"{100 * member.share / total:.0f} % {member.name}" for member in members)


def run_classify_rows(run: Path, inputs: Sequence[Path], out: Path, options: ClassifyOptions) -> dict[str, Any]:
    """Classify new embeddings and write the table to `out`, which is there whole or not at all. Returns the results.

    inputs: one .npy file or table, as `propagate` reads them. Rows that nothing answers are left out and warned of.
    Raises what load_rows_model and open_embeddings raise; EmbeddingError (E34) for rows of another width or model;
    ConfigError C9, C10, C16 and StorageError D1 for places, C122 and C130 for options, C124 for photos.
    """
    start = time.perf_counter()
    demand_options(options)
    demand_places(inputs, out, options)
    source = _open_rows(run, inputs, options)
    model = load_rows_model(run)
    _demand_same_model(source, model)
    threshold = None if model.held_out is None else model.held_out.find_threshold(options.wanted_error)
    durable.make_folder(out.parent)
    counts, num_sure, missed = np.zeros(len(model.class_names), np.int64), 0, 0
    with write_predictions(out) as table:
        for ids, shares in _follow(model, source, options.quiet):
            best = shares.max(axis=1)
            sure = None if threshold is None else is_sure(best, threshold)
            for at in np.flatnonzero(best > 0).tolist():
                number = int(shares[at].argmax())
                table.add(ids[at], model.class_names[number], float(best[at]), None if sure is None else bool(sure[at]))
            counts += np.bincount(shares[best > 0].argmax(axis=1), minlength=counts.size)
            num_sure += 0 if sure is None else int((sure & (best > 0)).sum())
            missed += int((best == 0).sum())
    if missed:
        what = f"FL-G1 nothing answers {missed:,} of {source.shape[0]:,} new rows"
        warn(UnreachedWarning(f"{what}: they are not in the table"))
    return {
        "run": str(run),
        "out": str(out),
        "by": model.by,
        "num_rows": int(counts.sum()),
        "num_rejected": missed,
        "rejected": None,
        "class_counts": dict(zip(model.class_names, counts.tolist(), strict=True)),
        "calibrated": model.held_out is not None,
        "trained_on": False,
        "sure": describe_threshold(threshold, num_sure, options.wanted_error),
        "sorted": None,
        "wall_seconds": time.perf_counter() - start,
        "peak_memory_mib": peak_memory_mib(),
    }


def _open_rows(run: Path, inputs: Sequence[Path], options: ClassifyOptions) -> EmbeddingSource:
    if options.sort_into is not None:
        raise ConfigError("C130", "--sort-into for embeddings, which are no photos", do="leave it out")
    if any(_is_photos(place) for place in inputs):
        do = "describe them first, by the model of the run's embeddings, and classify that table"
        words = f"`fewlabels describe {shown(inputs[0])} --out new.parquet`"
        raise ConfigError("C124", "photos for a run of embeddings", where=inputs[0], do=f"{do}: {words}")
    if len(inputs) != 1:
        do = "give a .npy file, a table, or a folder of the parts of one"
        raise ConfigError("C124", f"{len(inputs)} inputs for the run {shown(run)}, expected one", do=do)
    return open_embeddings(inputs[0])


def _is_photos(place: Path) -> bool:
    """Whether it is a photo, or a folder with some right in it."""
    if place.is_dir():
        return any(one.name.lower().endswith(ENDINGS) for one in place.iterdir())
    return place.name.lower().endswith(ENDINGS)


def _demand_same_model(source: EmbeddingSource, model: RowModel) -> None:
    own = source.table.origin() if source.table is not None else ""
    if own and model.made_by and own != model.made_by:
        what = f"rows {own}; those of the run were {model.made_by}"
        raise EmbeddingError("E34", what, where=source.path, do="describe them by the same model as the old rows")


def _follow(model: RowModel, source: EmbeddingSource, quiet: bool) -> Iterator[tuple[list[str], NDArray[np.float64]]]:
    """Ids and probabilities of some rows at a time, with a bar."""
    bar, first = Progress(source.shape[0], "classifying", unit="row", quiet=quiet), 0
    try:
        for unit in cut_units(source, min(BATCH_BYTES, 4 * source.shape[1] * BLOCK)):
            for _, values in unit.read():
                _demand_finite(source, values, first, model)
                yield source.ids.slice(first, len(values)).to_pylist(), model.answer(values)
                first += len(values)
                bar.step("", len(values))
    finally:
        bar.close()


def _demand_finite(source: EmbeddingSource, values: NDArray[np.generic], first: int, model: RowModel) -> None:
    if model.mixture.drop_bad_rows or np.isfinite(values).all():
        return
    rows = first + np.flatnonzero(~np.isfinite(values).all(axis=1))
    do = "compute these again, or leave the rows out"
    raise EmbeddingError("E1", "embeddings with NaN or infinity", where=source.path, rows=source.ids_of(rows), do=do)
