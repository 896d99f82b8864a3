"""`fewlabels propagate`: labels for every row of a file of embeddings."""

from __future__ import annotations

import math
import os
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .. import durable
from ..conventions import UNLABELED
from ..data.embeddings import Columns, EmbeddingSource, open_embeddings, rows_of_ids
from ..data.label_rows import read_labels_by_position
from ..data.labels import Labels, encode_column, join_labels, read_labels
from ..data.paths import demand_unchanged, file_states
from ..errors import ConfigError, LabelError
from ..graph import Cost, GraphSettings, Propagation, estimate, explain_rows, propagate
from ..graph.threads import num_threads
from ..report import report_html
from ..runs import RunWriter, refuse_inside
from ..runs.table import PseudoLabelTable, table_kind
from .explanations import record
from .insights import Material, insights_of
from .measures import certainty, class_counts, health, peak_memory_mib
from .memory import GIB, available_bytes, demand_room, forecast
from .progress import StageProgress

MOST_EXPLAINED = 20
SECONDS_PER_NUMBER = 1e-8  # of reading embeddings
INSIGHT_SECONDS = 3.0  # a map and the labels left out one by one, whatever the size
SECONDS_PER_ROW = 4e-6  # of writing the tables and the report


@dataclass(frozen=True)
class Input:
    """What is propagated.

    labels: a file joined by id, or with by_position one that has a label for each row in their order; None takes the
    label column of the embeddings. delimiter, encoding: of a label CSV.
    explain: ids of the rows to say why they got their label, at most 20.
    """

    embeddings: Path
    labels: Path | None = None
    by_position: bool = False
    columns: Columns | None = None
    delimiter: str = ","
    encoding: str = "utf-8"
    ignore_unknown_ids: bool = False
    explain: tuple[str, ...] = ()

    def facts(self) -> dict[str, Any]:
        """How the embeddings and labels are opened again, for run.json."""
        return {
            "kind": "embeddings",
            "path": os.path.abspath(self.embeddings),
            "labels": None if self.labels is None else os.path.abspath(self.labels),
            "by_position": self.by_position,
            "columns": asdict(self.columns or Columns()),
            "delimiter": self.delimiter,
            "encoding": self.encoding,
        }


def run_propagation(
    asked: Input,
    out: Path,
    folder: Path,
    settings: GraphSettings,
    *,
    memory_limit: float | None = None,
    excel_safe: bool = False,
    quiet: bool = False,
) -> dict[str, Any]:
    """Read, propagate, write the table to `out` and a run folder beside it. Returns the results.

    memory_limit: GiB that it may take; None: what is available. excel_safe: see PseudoLabelTable.write.
    Whatever is wrong with the input is said before anything is written. `out` is written last and at once: it is there
    whole or not at all.
    Raises what the readers and `propagate` raise, StorageError (G21) where it does not fit into memory, and RunError
    (E24) where the embeddings changed meanwhile.
    """
    start = time.perf_counter()
    table_kind(out)  # refuse the names before the work
    for place in (out, folder):
        refuse_inside(place, [asked.embeddings])
    source = open_embeddings(asked.embeddings, asked.columns)
    before = file_states(source.path)
    given = _given(source, asked)
    explained = _rows_to_explain(source, asked.explain)
    cost = _fitting_cost(source, len(given.class_names), settings, memory_limit, quiet)
    stages = _Stages(cost, source.shape, len(explained), quiet)
    stages.start("read")
    values = source.read(lambda share: stages.advance("read", share))
    durable.demand_writable(out.parent)  # now, not after the work
    facts = {"title": asked.embeddings.name, "class_names": given.class_names, "source": asked.facts()}
    writer = RunWriter(folder, "propagate", {"graph": asdict(settings)}, **facts)
    stages.attach(writer)
    found = propagate(values, given.codes, settings, class_names=given.class_names, on_progress=stages.advance)
    stages.start("explain")
    explanations = explain_rows(found, given.codes, explained, settings, descriptors=values)
    stages.start("insights")
    insights = insights_of(_material(found, source, given, values, settings))
    demand_unchanged(before)
    stages.start("write")
    results = _results(found, given, cost) | {
        "wall_seconds": time.perf_counter() - start,
        "peak_memory_mib": peak_memory_mib(),
    }
    if explained:
        results["explanations"] = [record(why, source.ids, given.class_names) for why in explanations]
    table = _table(found, source, given)
    writer.pseudo_labels(table)
    writer.insights(insights)
    writer.results(results)
    writer.report(report_html([folder]))
    writer.finish()
    table.write(out, excel_safe=excel_safe)
    stages.close()
    return results


def _given(source: EmbeddingSource, asked: Input) -> Labels:
    text = {"delimiter": asked.delimiter, "encoding": asked.encoding}
    if asked.labels is not None and asked.by_position:
        return read_labels_by_position(asked.labels, source.shape[0], **text)
    if asked.labels is not None:
        return join_labels(source.ids, read_labels(asked.labels, **text), ignore_unknown_ids=asked.ignore_unknown_ids)
    if asked.by_position:
        raise ConfigError("C41", "labels by position, and no label file", do="name it with --labels")
    names = source.names()
    if names is None:
        do = "give a file with --labels"
        raise LabelError("L16", "no labels: there is no label column", where=source.path, do=do)
    return encode_column(names)


def _rows_to_explain(source: EmbeddingSource, ids: tuple[str, ...]) -> list[int]:
    """The rows of the ids, each once. Raises ConfigError C40 for too many, and for ids that the data does not have."""
    wanted = list(dict.fromkeys(ids))
    if len(wanted) > MOST_EXPLAINED:
        raise ConfigError("C40", f"{len(wanted)} rows to explain; expected at most {MOST_EXPLAINED}", do="name fewer")
    rows = rows_of_ids(wanted, source.ids)
    if (rows < 0).any():
        raise ConfigError(
            "C40",
            "an id to explain that is not in the data",
            where=source.path,
            rows=[wanted[place] for place in np.flatnonzero(rows < 0)],
            do=f"ids of the data look like {source.ids[0].as_py()!r}",
        )
    return [int(row) for row in rows]


def _fitting_cost(
    source: EmbeddingSource, num_classes: int, settings: GraphSettings, memory_limit: float | None, quiet: bool
) -> Cost:
    """The estimate, said on stderr. Raises StorageError G21 where it does not fit, ConfigError C41 for an odd limit."""
    if memory_limit is not None and not 0 < memory_limit < math.inf:
        raise ConfigError("C41", f"a memory limit of {memory_limit:g} GiB; expected a number above 0")
    cost = estimate(*source.shape, num_classes, settings, held_bytes=source.held_bytes, threads=num_threads())
    room = available_bytes() if memory_limit is None else int(memory_limit * GIB)
    demand_room(cost, room, source.path)
    if not quiet:
        print(forecast(source.shape, num_classes, cost, room), file=sys.stderr, flush=True)
    return cost


def _results(found: Propagation, given: Labels, cost: Cost) -> dict[str, Any]:
    result = found.pseudo_labels
    return {
        "class_names": list(given.class_names),
        "num_rows": int(given.codes.size),
        "num_labeled": int((given.codes != UNLABELED).sum()),
        "class_counts": class_counts(result.label, given.codes, len(given.class_names)),
        **certainty(found, given.codes, None),
        **health(found),
        "refined": None if found.refined is None else asdict(found.refined),
        "estimate": {"bytes": cost.bytes, "seconds": cost.seconds},
    }


def _material(
    found: Propagation, source: EmbeddingSource, given: Labels, values: np.ndarray, settings: GraphSettings
) -> Material:
    """For the report. There is no truth, and rows have no images: they are shown by their ids."""
    num_classes = len(given.class_names)
    return Material(found, given.codes, None, num_classes, values, settings, lambda row: str(source.ids[row]))


def _table(found: Propagation, source: EmbeddingSource, given: Labels) -> PseudoLabelTable:
    result, labelled = found.pseudo_labels, given.codes != UNLABELED
    return PseudoLabelTable(source.ids, result.label, result.certainty, labelled, result.reached, given.class_names)


class _Stages:
    """Times the stages: an event each in the run folder, a stretch of the progress bar."""

    def __init__(self, cost: Cost, shape: tuple[int, int], num_explained: int, quiet: bool) -> None:
        seconds = {
            "read": shape[0] * shape[1] * SECONDS_PER_NUMBER,
            **cost.stage_seconds,
            "explain": num_explained * cost.stage_seconds["solve"] / 4,
            "insights": INSIGHT_SECONDS,
            "write": shape[0] * SECONDS_PER_ROW,
        }
        self.progress = StageProgress(seconds, "propagating", quiet=quiet)
        self.running: tuple[str, float] | None = None
        self.waiting: list[dict[str, Any]] = []  # for the run folder
        self.writer: RunWriter | None = None

    def attach(self, writer: RunWriter) -> None:
        """From here on there is a run folder."""
        self.writer = writer
        self._end()

    def start(self, name: str) -> None:
        """`name` begins, and what ran until now has ended."""
        self._end()
        self.running = (name, time.perf_counter())
        self.progress.start(name)

    def advance(self, name: str, share: float) -> None:
        """`share` of the stage is done, from 0 to 1; what ran before it has ended."""
        if self.running is None or self.running[0] != name:
            self.start(name)
        self.progress.advance(name, share)

    def close(self) -> None:
        """All is done. The run folder may be sealed already: nothing more is written there."""
        self.progress.close()

    def _end(self) -> None:
        if self.running is not None:
            name, since = self.running
            self.waiting.append({"name": name, "seconds": round(time.perf_counter() - since, 4)})
            self.running = None
        while self.writer is not None and self.waiting:
            self.writer.event("stage", **self.waiting.pop(0))
