"""`fewlabels propagate`: labels for every row of a file of embeddings."""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..conventions import UNLABELED
from ..data.embeddings import read_embeddings
from ..data.labels import LabelFile, Labels, encode_labels, join_labels
from ..errors import LabelError
from ..graph import GraphSettings, propagate
from ..graph.propagation import STAGES
from ..report import report_html
from ..runs import RunWriter
from ..runs.table import PseudoLabelTable, table_kind
from .measures import certainty, class_counts, health, peak_memory_mib
from .progress import Progress


def run_propagation(
    embeddings: str | Path,
    labels: LabelFile | None,
    out: str | Path,
    folder: str | Path,
    settings: GraphSettings,
    *,
    ignore_unknown_ids: bool = False,
    quiet: bool = False,
) -> dict[str, Any]:
    """Read, propagate, write the table to `out` and a run folder beside it. Returns the results.

    labels: joined by id; None takes the label column of the embeddings.
    """
    start = time.perf_counter()
    table_kind(out)  # refuse the name before the work
    source = read_embeddings(embeddings)
    given = _given(source.ids, source.names, labels, embeddings, ignore_unknown_ids)
    writer = RunWriter(
        folder, "propagate", {"graph": asdict(settings)}, title=Path(embeddings).name, class_names=given.class_names
    )
    stages = _Stages(writer, quiet)
    found = propagate(source.values, given.codes, settings, class_names=given.class_names, on_stage=stages.start)
    stages.finish()

    result = found.pseudo_labels
    results = {
        "class_names": list(given.class_names),
        "num_rows": len(source.ids),
        "num_labeled": int((given.codes != UNLABELED).sum()),
        "class_counts": class_counts(result.label, given.codes, len(given.class_names)),
        **certainty(found, given.codes, None),
        **health(found),
        "wall_seconds": time.perf_counter() - start,
        "peak_memory_mib": peak_memory_mib(),
    }
    table = PseudoLabelTable(
        source.ids, result.label, result.certainty, given.codes != UNLABELED, result.reached, given.class_names
    )
    writer.pseudo_labels(table)
    writer.results(results)
    writer.report(report_html([folder]))
    writer.finish()
    table.write(out)
    return results


def _given(
    ids: list[str], names: list[str | None] | None, labels: LabelFile | None, source: str | Path, ignore: bool
) -> Labels:
    if labels is not None:
        return join_labels(ids, labels, ignore_unknown_ids=ignore)
    if names is None:
        raise LabelError("L16", "no labels: there is no label column", where=source, do="give a file with --labels")
    return encode_labels(names)


class _Stages:
    """Times the stages: an event each in the run folder, a step of the progress bar."""

    def __init__(self, writer: RunWriter, quiet: bool) -> None:
        self.writer, self.progress = writer, Progress(len(STAGES), "propagating", quiet=quiet)
        self.running: tuple[str, float] | None = None

    def start(self, name: str) -> None:
        self.finish()
        self.running = (name, time.perf_counter())

    def finish(self) -> None:
        """End the stage that is running. After the last one, close the bar."""
        if self.running is None:
            return
        name, since = self.running
        self.writer.event("stage", name=name, seconds=round(time.perf_counter() - since, 4))
        self.progress.step(name)
        self.running = None
        if name == STAGES[-1]:
            self.progress.close()
