"""`fewlabels propagate`: from embeddings and a few labels to a table and a run folder."""

from __future__ import annotations

import math
import os
import sys
import time
from collections.abc import Mapping
from dataclasses import KW_ONLY, asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..choosing import Answer, propagate
from ..conventions import UNLABELED
from ..data.labels.by_position import read_labels_by_position
from ..data.labels.csv import LabelOptions
from ..data.labels.files import LabelFile, Labels, encode_column, join_labels, read_labels
from ..data.labels.ids import match_normal_forms
from ..data.notes import Note
from ..data.paths import demand_unchanged, file_states
from ..data.tables.columns import Columns
from ..data.tables.embeddings import EmbeddingSource, find_rows, find_unusable_rows, open_embeddings
from ..data.tables.files import label_column
from ..errors import MESSAGE_CHARACTERS, ConfigError, EmbeddingError, InputWarning, LabelError, listed, shown, warn
from ..graph import Cost, GraphSettings, Propagation
from ..graph.cost import CLUSTERS_SHARE, demand_countable
from ..graph.label_matrix import check_labels
from ..graph.threads import num_threads
from ..insights.compute import CHECK, MAP, compute_insights
from ..insights.map import MOST_ROWS
from ..insights.schema import Insights
from ..runs import RunWriter, refuse_in_run, refuse_inside
from ..runs.table import PseudoLabelTable, table_kind
from ..storage import durable
from ..storage.folders import demand_writable
from .answers import (
    Settings,
    choice_results,
    describe_asked,
    describe_chosen,
    estimate_cost,
    explain_answer,
    find_base,
    find_largest_graph,
    keep_answer,
    with_exact_search,
)
from .memory import GIB, available_bytes, demand_room, forecast, peak_memory_mib
from .progress import Pace, StageProgress, time_words
from .propagate_parts import LEAST_BYTES, Resources, can_split, run_parts
from .results import make_table, propagation_results

SECONDS_PER_NUMBER = 1e-8  # of reading embeddings
SECONDS_PER_ROW = 4e-6  # of writing the tables
MAP_SECONDS, PAGE_SECONDS = 3.0, 1.5  # of the report, of a whole map; measured on one core
SECONDS_PER_CHECKED_ROW = 6e-6  # of leaving given labels out one by one
PAGE = "report: page"
PACE_STEPS = 10_000  # of a stage, for its pace
SHARE_TO_CORRECT = 2 * CLUSTERS_SHARE  # of the search: half as much again as its clusters, by which its pace is known
WORTH_CORRECTING = 1.5  # times as long, or as short


def report_seconds(num_rows: int) -> dict[str, float]:
    """About how long each stage of the report takes."""
    return {
        f"report: {CHECK}": num_rows * SECONDS_PER_CHECKED_ROW,
        f"report: {MAP}": MAP_SECONDS * min(1.0, num_rows / MOST_ROWS),
        PAGE: PAGE_SECONDS,
    }


def describe_correction(before: float, after: float) -> str:
    """ "about 2 minutes in all, not 20 seconds: rows form fewer clusters than usual, or cores are slower or busy"."""
    why = "rows form fewer clusters than usual, or cores are slower or busy"
    why = why if after > before else "cores are faster, or rows form clearer clusters than usual"
    return f"about {time_words(after)} in all, not {time_words(before)}: {why}"


class Stages:
    """Times the stages: an event each in the run folder, a stretch of the progress bar.

    shape: of the embeddings. report: seconds of its stages, {} without one.
    """

    def __init__(
        self, cost: Cost, shape: tuple[int, int], num_explained: int, report: Mapping[str, float], quiet: bool
    ) -> None:
        seconds = {
            "read": shape[0] * shape[1] * SECONDS_PER_NUMBER,
            **cost.stage_seconds,
            "explain": num_explained * cost.stage_seconds["solve"] / 4,
            **{name: value for name, value in report.items() if name != PAGE},
            "write": shape[0] * SECONDS_PER_ROW,
            **{name: value for name, value in report.items() if name == PAGE},
        }
        self.progress = StageProgress(seconds, "propagating", quiet=quiet)
        self._pace: Pace | None = Pace()  # of the search, until it is known
        self._quiet = quiet
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

    def start_report(self, stage: str) -> None:
        """One of the stages of what the report shows (insights.py) begins."""
        self.start(f"report: {stage}")

    def advance(self, name: str, share: float) -> None:
        """`share` of the stage is done, from 0 to 1; what ran before it has ended."""
        if self.running is None or self.running[0] != name:
            self.start(name)
        if name == "neighbors":
            self._correct(share)
        self.progress.advance(name, share)

    def _correct(self, share: float) -> None:
        """Correct the forecast of the search once its clusters are made, its recall is measured and its probes chosen.

        How many clusters a row must search is known only then; where rows form none, it is most of them.
        """
        if self._pace is None or self.running is None:
            return
        self._pace.mark(round(PACE_STEPS * share))
        rest = self._pace.seconds(round(PACE_STEPS * share), PACE_STEPS)
        if rest is None or share < SHARE_TO_CORRECT:
            return
        self._pace = None
        before, after = self.progress.correct("neighbors", time.perf_counter() - self.running[1] + rest)
        if not self._quiet and max(before, after) > WORTH_CORRECTING * min(before, after):
            self.progress.make_room()
            print(f"forecast corrected: {describe_correction(before, after)}", file=sys.stderr, flush=True)

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


MOST_EXPLAINED = 20


@dataclass(frozen=True)
class Input:
    """What is propagated.

    labels: a file joined by id, or with by_position one that has a label for each row in their order; None takes the
    label column of the embeddings. reading: how the label file is read.
    explain: ids of the rows to say why they got their label, at most 20.
    report: whether the run gets a report, and the map and galleries that it shows.
    groups: column of the table of embeddings; labelled rows with the same value are held out together.
    """

    embeddings: Path
    labels: Path | None = None
    _: KW_ONLY
    by_position: bool = False
    columns: Columns | None = None
    reading: LabelOptions = field(default_factory=LabelOptions)
    ignore_unknown_ids: bool = False
    explain: tuple[str, ...] = ()
    report: bool = True
    groups: str | None = None

    def facts(self) -> dict[str, Any]:
        """How the embeddings and labels are opened again, for run.json."""
        return {
            "kind": "embeddings",
            "path": os.path.abspath(self.embeddings),
            "labels": None if self.labels is None else os.path.abspath(self.labels),
            "by_position": self.by_position,
            "columns": asdict(self.columns or Columns()),
            **self.reading.facts(),
        }


def run_propagation(
    asked: Input,
    out: Path,
    folder: Path,
    settings: Settings,
    *,
    resources: Resources | None = None,
    excel_safe: bool = False,
    quiet: bool = False,
) -> dict[str, Any]:
    """Read, propagate, write the table to `out` and a run folder beside it. Returns the results.

    settings: Auto for settings that the labels choose; GraphSettings to take these.
    resources: None: this machine, and the memory that is available. Over partitions `out` is a folder of tables, and
        there is no run folder; so it is too where given settings do not fit into the memory limit.
    excel_safe: see PseudoLabelTable.write.
    Whatever is wrong with the input is said before anything is written. `out` is written last and at once: it is there
    whole or not at all.
    Raises what the readers and `propagate` raise, StorageError (G21) where it does not fit into memory, and RunError
    (E24) where the embeddings changed meanwhile.
    """
    start = time.perf_counter()
    resources = resources or Resources()
    _demand_places(out, folder, asked, resources.are_parts)
    source = open_embeddings(asked.embeddings, asked.columns)
    before = file_states(source.path)
    given, groups = _given(source, asked), _read_groups(source, asked.groups)
    if _goes_over_parts(source, given, settings, resources, out, asked.explain):
        return run_parts(source, given, settings, resources, out, quiet=quiet)
    explained = _rows_to_explain(source, asked.explain)
    extra = report_seconds(source.shape[0]) if asked.report else {}
    cost = _fitting_cost(source, given, settings, resources.memory_limit, quiet, sum(extra.values()))
    said = _say(source, asked, quiet)
    stages = Stages(cost, source.shape, len(explained), extra, quiet)
    stages.start("read")
    base = find_base(settings)
    values = source.read(lambda share: stages.advance("read", share), keep_bad_rows=base.drop_bad_rows)
    given = _without_bad_rows(given, source, values, base)
    durable.make_folder(out.parent)
    writer = _open_writer(folder, asked, given, settings, source)
    stages.attach(writer)
    found = _propagate(values, given, settings, groups, stages)
    stages.start("explain")
    why = explain_answer(found, given.codes, explained, settings, values, source.ids, given.class_names)
    shown = _insights(found, source, given, values, base, stages) if asked.report else None
    demand_unchanged(before)
    stages.start("write")
    results = _results(found, given, cost) | {
        "read": {"said": said, **source.facts()},
        "wall_seconds": time.perf_counter() - start,
        "peak_memory_mib": peak_memory_mib(),
    }
    results |= {"explanations": why} if why else {}
    results |= {} if shown is None else {"leave_one_out": shown.values["suspicious"]}
    is_calibrated = isinstance(found, Answer) and found.measured is not None and found.measured.classes.size > 0
    table = make_table(found, given.codes, source.ids, given.class_names, is_calibrated=is_calibrated)
    _keep_choice(writer, found, settings, given)
    _write(writer, table, results, shown, stages)
    table.write(out, excel_safe=excel_safe)
    stages.close()
    return results


def _open_writer(folder: Path, asked: Input, given: Labels, settings: Settings, source: EmbeddingSource) -> RunWriter:
    """A run folder that says what was asked and how the rows were described, with the notes of the labels."""
    facts: dict[str, Any] = {"title": asked.embeddings.name, "class_names": given.class_names, "source": asked.facts()}
    if source.table is not None and (made := source.table.made()):
        facts["described"] = made
    writer = RunWriter(folder, "propagate", describe_asked(settings, asked.groups), **facts)
    writer.notes(given.left_out)
    return writer


def _propagate(
    values: np.ndarray, given: Labels, settings: Settings, groups: np.ndarray | None, stages: Stages
) -> Propagation | Answer:
    names = given.class_names
    if isinstance(settings, GraphSettings):
        return propagate(values, given.codes, settings, class_names=names, on_progress=stages.advance)
    return propagate(values, given.codes, settings, class_names=names, groups=groups, on_progress=stages.advance)


def _keep_choice(writer: RunWriter, found: Propagation | Answer, settings: Settings, given: Labels) -> None:
    """Write into the run what was chosen, and the heads that answer."""
    if isinstance(found, Answer) and not isinstance(settings, GraphSettings):
        writer.choose(describe_chosen(found, settings))
        keep_answer(writer, found, given.class_names)


def _read_groups(source: EmbeddingSource, column: str | None) -> np.ndarray | None:
    """(n,) text of the column of groups; a missing one is a group of its own. Raises ConfigError (C41) without one."""
    if column is None:
        return None
    if source.table is None or column not in source.table.names:
        do = "--groups names a column of the table of embeddings, such as patients or cameras"
        raise ConfigError("C41", f"no column {shown(column)!r} for --groups", where=source.path, do=do)
    words = label_column(source.table, column).to_pylist()
    return np.array([f"row {row}" if word is None else f"group {word}" for row, word in enumerate(words)])


def _demand_places(out: Path, folder: Path, asked: Input, parts: bool) -> None:
    """Raise where the table or the run cannot be written, or must not be: before the work, not after it."""
    if not parts:
        table_kind(out)
    for place in (out, folder):
        refuse_inside(place, [asked.embeddings, asked.labels])
        refuse_in_run(place)
        demand_writable(place)


def _write(
    writer: RunWriter, table: PseudoLabelTable, results: dict[str, Any], shown: Insights | None, stages: Stages
) -> None:
    """All files of the run folder that come at the end. shown: what its report shows; None for no report."""
    writer.pseudo_labels(table)
    writer.results(results)
    if shown is not None:
        writer.insights(shown)
        stages.progress.start(PAGE)
        writer.report(_page(writer.folder))
    writer.finish()


def _page(folder: Path) -> str:
    from ..report import report_html

    return report_html([folder])


def _given(source: EmbeddingSource, asked: Input) -> Labels:
    if asked.labels is not None and asked.by_position:
        if asked.reading.on_conflict != "error":
            raise ConfigError("C41", "labels by position have no ids, so none has two labels", do="drop --on-conflict")
        return read_labels_by_position(asked.labels, source.shape[0], asked.reading)
    if asked.labels is not None:
        return join_given(source, read_labels(asked.labels, asked.reading), asked.ignore_unknown_ids)
    if asked.by_position:
        raise ConfigError("C41", "labels by position, and no label file", do="name it with --labels")
    if source.label is None or source.table is None:
        do = "give a file with --labels, or name the column with --label-column"
        raise LabelError("L16", "no labels: there is no label column", where=source.path, do=do)
    return encode_column(source.table, source.label, asked.reading)


def join_given(source: EmbeddingSource, labels: LabelFile, ignore_unknown_ids: bool = False) -> Labels:
    """The labels of a file for the rows of the embeddings, joined by id. Raises EmbeddingError E35, LabelError."""
    _demand_same_ids(source, labels)
    labels = match_normal_forms(labels, source.ids)
    return join_labels(source.ids, labels, ignore_unknown_ids=ignore_unknown_ids)


def _say(source: EmbeddingSource, asked: Input, quiet: bool) -> list[str]:
    """The lines on stderr that tell what is used as features, ids and labels, and what is not and why."""
    labels = f"the column {source.label!r}"
    if asked.labels is not None:
        labels = f"{asked.labels.name}, {'by position' if asked.by_position else 'joined by id'}"
    said = source.describe(labels)
    if not quiet:
        print(*map(shown, said, [MESSAGE_CHARACTERS] * len(said)), sep="\n", file=sys.stderr, flush=True)
    return said


def _demand_same_ids(source: EmbeddingSource, given: LabelFile) -> None:
    """Raise EmbeddingError E35 where the ids of the rows are a guess and may not be what the labels are joined by."""
    if source.named.doubt is not None:
        raise source.named.doubt
    if not source.named.are_counted or not all(map(str.isdecimal, given.ids)):
        return
    numbers = sorted(map(int, given.ids))
    are_first = len(numbers) > 2 and numbers == list(range(1, len(numbers) + 1))
    if numbers[0] > 0 and (are_first or numbers[-1] == source.shape[0]):
        what = f"ids of labels from {numbers[0]} to {numbers[-1]}, never 0, and rows are counted from 0"
        do = "pass --number-rows-from 1 if the labels count from 1, or --number-rows-from 0 if not"
        raise EmbeddingError("E35", what, where=given.source, do=do)


def _without_bad_rows(given: Labels, source: EmbeddingSource, values: np.ndarray, settings: GraphSettings) -> Labels:
    """The labels but those of rows with NaN, infinity or missing numbers, which are noted in it; warns (E1). There are
    none unless settings.drop_bad_rows.

    Raises EmbeddingError E1 where there are no other rows, LabelError L16 or L18 where other labels do not suffice.
    """
    rows = find_unusable_rows(values) if settings.drop_bad_rows else np.empty(0, np.int64)
    if not rows.size:
        return given
    ids, codes = source.ids_of(rows), given.codes.copy()
    if rows.size == codes.size:
        raise EmbeddingError("E1", "no row without NaN, infinity or a missing number", where=source.path, rows=ids)
    codes[rows] = UNLABELED
    check_labels(codes, codes.size, settings, given.class_names)
    why = "NaN, infinity or a missing number: the row takes no part and has no label"
    notes = [
        Note("E1", str(source.path), row + 1, id, why + (f"; given: {given.class_names[code]!r}" if code >= 0 else ""))
        for row, id, code in zip(rows.tolist(), ids, given.codes[rows].tolist(), strict=True)
    ]
    what = f"FL-E1 rows with NaN, infinity or missing numbers take no part and get no label at {source.path}"
    warn(InputWarning(f"{what}; {listed(ids)}; all are in notes.csv"))
    return replace(given, codes=codes, left_out=[*given.left_out, *notes])


def _rows_to_explain(source: EmbeddingSource, ids: tuple[str, ...]) -> list[int]:
    """The rows of the ids, each once. Raises ConfigError C40 for too many, and for ids that the data does not have."""
    wanted = list(dict.fromkeys(ids))
    if len(wanted) > MOST_EXPLAINED:
        raise ConfigError("C40", f"{len(wanted)} rows to explain; expected at most {MOST_EXPLAINED}", do="name fewer")
    rows = find_rows(wanted, source.ids)
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
    source: EmbeddingSource,
    given: Labels,
    settings: Settings,
    memory_limit: float | None,
    quiet: bool,
    more: float,
) -> Cost:
    """The estimate, said on stderr with the seconds that come after it.

    Raises StorageError G21 where it does not fit, ConfigError C41 for an odd limit.
    """
    if memory_limit is not None and not 0 < memory_limit < math.inf:
        raise ConfigError("C41", f"a memory limit of {memory_limit:g} GiB; expected a number above 0")
    demand_countable(source.shape[0], find_largest_graph(source.shape[0], settings))
    counts = (len(given.class_names), int((given.codes != UNLABELED).sum()))
    cost = estimate_cost(source.shape, *counts, settings, source.held_bytes, num_threads())
    room = available_bytes() if memory_limit is None else int(memory_limit * GIB)
    demand_room(cost, room, source.path)
    if not quiet:
        most = estimate_cost(source.shape, *counts, with_exact_search(settings), 0, num_threads()).seconds
        print(forecast(source.shape, counts[0], cost, room, more, most), file=sys.stderr, flush=True)
    return cost


def _goes_over_parts(
    source: EmbeddingSource,
    given: Labels,
    settings: Settings,
    resources: Resources,
    out: Path,
    explain: tuple[str, ...],
) -> bool:
    """Whether it is done over partitions, as asked or for lack of memory. Raises ConfigError (C141) for explanations
    then: no report is written there.
    """
    parts = resources.are_parts or _goes_out_of_core(source, given, settings, resources.memory_limit, out)
    if parts and explain:
        do = "leave out --explain, or give the memory that one machine needs"
        raise ConfigError("C141", f"{len(explain)} rows to explain, over partitions", do=do)
    return parts


def _goes_out_of_core(
    source: EmbeddingSource, given: Labels, settings: Settings, memory_limit: float | None, out: Path
) -> bool:
    """Whether all needs more than a memory limit that was given, and partitions, as a folder of tables, do not."""
    if memory_limit is None or not isinstance(settings, GraphSettings) or out.suffix.lower() == ".csv":
        return False
    counts = (len(given.class_names), int((given.codes != UNLABELED).sum()))
    cost = estimate_cost(source.shape, *counts, settings, source.held_bytes, num_threads())
    return cost.bytes > memory_limit * GIB >= LEAST_BYTES and can_split(source.shape, settings)


def _results(found: Propagation | Answer, given: Labels, cost: Cost) -> dict[str, Any]:
    refined = None if isinstance(found, Answer) or found.refined is None else asdict(found.refined)
    return {
        **propagation_results(found, given.codes, given.class_names, given.left_out),
        "refined": refined,
        **choice_results(found, given.codes),
        "estimate": {"bytes": cost.bytes, "seconds": cost.seconds},
    }


def _insights(
    found: Propagation | Answer,
    source: EmbeddingSource,
    given: Labels,
    values: np.ndarray,
    settings: GraphSettings,
    stages: Stages,
) -> Insights:
    """For the report. There is no truth, and rows have no images: they are shown by their ids."""

    def describe(row: int) -> tuple[str, None]:
        return str(source.ids[row]), None

    return compute_insights(found, values, given.codes, settings, describe, on_stage=stages.start_report)
