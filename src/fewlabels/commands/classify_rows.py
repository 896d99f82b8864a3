"""`fewlabels classify` of a run of `propagate` or a labelling: labels of new rows by what answered in the run."""

from __future__ import annotations

import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..choosing.abstain import Curve, Threshold, is_sure, unpack_curve
from ..choosing.answer import Mixture, Part
from ..choosing.choice import Member
from ..choosing.propagate import solve_graphs
from ..choosing.saved import read_members, unpack_mixture
from ..data.tables.embeddings import EmbeddingSource, open_embeddings
from ..errors import ConfigError, EmbeddingError, FewlabelsError, InputWarning, RunError, UnreachedWarning, shown, warn
from ..graph import GraphSettings, propagate
from ..review.items import Items, open_solved
from ..runs import checks, demand_whole, is_begun, is_finished, read_facts, read_run, refuse_open_labelling
from ..runs.predictions import PredictionWriter, write_predictions
from ..runs.record import ANSWER_ARRAYS, ANSWER_FACTS
from ..storage import durable
from ..storage.arrays import read_arrays
from .classify import (
    ClassifyOptions,
    demand_links,
    demand_options,
    demand_places,
    demand_told,
    describe_threshold,
)
from .described import write_rejected
from .memory import peak_memory_mib
from .new_rows import NewRows, is_photos, is_table_of_embeddings, walk_photos, walk_table
from .sorting import sort_photos

MADE = "made by fewlabels describe"


@dataclass(frozen=True, kw_only=True)
class RowModel:
    """What a run without a network answers new rows by.

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
    """Whether it is a run of `propagate` or a labelling, which have embeddings and no network of their own."""
    return is_begun(run) and read_facts(run).get("kind") in ("propagate", "label")


def load_rows_model(run: Path) -> RowModel:
    """Open what answered in a finished run of `propagate`. A graph is solved again, on the embeddings of the run.

    Where those are gone or changed the heads of the answer answer alone, which is warned of (C123).
    Raises RunError (K2, K4, K16) for a damaged run; ConfigError (C84, C152) for one that is not finished, (C86) where
    its embeddings are gone and no head answers.
    """
    refuse_open_labelling(run)
    found = read_run(run)
    if not is_finished(run):
        raise ConfigError("C84", "a run that is not finished", where=run, do="run the command again, in a new folder")
    names = tuple(found.facts["class_names"])
    said = (found.results.get("read") or {}).get("said") or []
    made_by = next((line for line in said if isinstance(line, str) and line.startswith(MADE)), "")
    if not (run / ANSWER_FACTS).is_file():
        return _solve_given(open_solved(run), names, made_by)
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
            items = open_solved(run)
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
    """Classify new rows and write the table to `out`, which is there whole or not at all. Returns the results.

    inputs: one .npy file or table, as `propagate` reads them; photos for a labelling of photos, which are described as
    those of the labelling were. Rows that nothing answers are left out and warned of.
    Raises what load_rows_model, open_embeddings and walk_photos raise; EmbeddingError (E34) for rows of another width
    or model; ConfigError C9, C10, C16 and StorageError D1 for places, C122 and C130 for options, C124 for other inputs.
    """
    start = time.perf_counter()
    demand_options(options)
    demand_places(inputs, out, options)
    described = _find_described(run, inputs)
    table_source = None if described else _open_rows(run, inputs, options)
    model = load_rows_model(run)
    if described:
        new = walk_photos(inputs, described, device=options.device, quiet=options.quiet)
    else:
        assert table_source is not None
        _demand_same_model(table_source, model)
        new = walk_table(table_source, may_be_bad=model.mixture.drop_bad_rows, quiet=options.quiet)
    threshold = None if model.held_out is None else model.held_out.find_threshold(options.wanted_error)
    demand_links(new.photos, options)
    demand_told(threshold, run, options)
    durable.make_folder(out.parent)
    with write_predictions(out) as table:
        counts = _label(model, new, table, threshold)
    listing = write_rejected(out, new.rejected) if new.photos is not None else None
    if counts.missed:
        what = f"FL-G1 nothing answers {counts.missed:,} new rows"
        warn(UnreachedWarning(f"{what}: they are not in the table"))
    return {
        "run": str(run),
        "out": str(out),
        "by": model.by,
        "unit": "rows" if new.photos is None else "photos",
        "num_rows": int(counts.classes.sum()),
        "num_rejected": len(new.rejected),
        "num_missed": counts.missed,
        "rejected": None if listing is None else str(listing),
        "class_counts": dict(zip(model.class_names, counts.classes.tolist(), strict=True)),
        "calibrated": model.held_out is not None,
        "trained_on": False,
        "estimated": read_facts(run).get("estimated"),
        "sure": describe_threshold(threshold, counts.sure, options.wanted_error),
        "sorted": _sort(new, counts, model, options),
        "wall_seconds": time.perf_counter() - start,
        "peak_memory_mib": peak_memory_mib(),
    }


@dataclass
class _Counts:
    """What came out. classes: (c,) rows of each. chosen: id -> class and whether it is sure, of photos alone."""

    classes: NDArray[np.int64]
    chosen: dict[str, tuple[int, bool]] = field(default_factory=dict)
    sure: int = 0
    missed: int = 0


def _label(model: RowModel, new: NewRows, table: PredictionWriter, threshold: Threshold | None) -> _Counts:
    counts = _Counts(np.zeros(len(model.class_names), np.int64))
    for ids, values in new.batches:
        shares = model.answer(values)
        best, number = shares.max(axis=1), shares.argmax(axis=1)
        sure = None if threshold is None else is_sure(best, threshold)
        for at in np.flatnonzero(best > 0).tolist():
            is_known = None if sure is None else bool(sure[at])
            table.add(ids[at], model.class_names[number[at]], float(best[at]), is_known)
            if new.photos is not None:
                counts.chosen[ids[at]] = int(number[at]), bool(is_known)
        counts.classes += np.bincount(number[best > 0], minlength=counts.classes.size)
        counts.sure += 0 if sure is None else int((sure & (best > 0)).sum())
        counts.missed += int((best == 0).sum())
    return counts


def _sort(new: NewRows, counts: _Counts, model: RowModel, options: ClassifyOptions) -> dict[str, Any] | None:
    """Photos into folders by class, where that was asked."""
    if options.sort_into is None or new.photos is None:
        return None
    durable.make_folder(options.sort_into.parent)
    found = (counts.chosen.get(id, (-1, False)) for id in new.photos.ids)
    chosen = [number if sure or not options.only_sure else -1 for number, sure in found]
    count = sort_photos(new.photos, chosen, model.class_names, options.sort_into, links=options.links)
    return {"into": str(options.sort_into), "num_photos": count}


def _find_described(run: Path, inputs: Sequence[Path]) -> Mapping[str, Any] | None:
    """How the photos of a run were described, where photos are to be; None for a table."""
    described = read_facts(run).get("described")
    return None if any(is_table_of_embeddings(place) for place in inputs) else described


def _open_rows(run: Path, inputs: Sequence[Path], options: ClassifyOptions) -> EmbeddingSource:
    if options.sort_into is not None:
        raise ConfigError("C130", "--sort-into for embeddings, which are no photos", do="leave it out")
    if any(is_photos(place) for place in inputs):
        do = "describe them first, by the model of the run's embeddings, and classify that table"
        words = f"`fewlabels describe {shown(inputs[0])} --out new.parquet`"
        raise ConfigError("C124", "photos for a run of embeddings", where=inputs[0], do=f"{do}: {words}")
    if len(inputs) != 1:
        do = "give a .npy file, a table, or a folder of the parts of one"
        raise ConfigError("C124", f"{len(inputs)} inputs for the run {shown(run)}, expected one", do=do)
    return open_embeddings(inputs[0])


def _demand_same_model(source: EmbeddingSource, model: RowModel) -> None:
    own = source.table.origin() if source.table is not None else ""
    if own and model.made_by and own != model.made_by:
        what = f"rows {own}; those of the run were {model.made_by}"
        raise EmbeddingError("E34", what, where=source.path, do="describe them by the same model as the old rows")
