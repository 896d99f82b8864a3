"""The run folder. This module is its only writer and its only reader.

run.json               what was asked: command, kind, settings, versions, seed, class names, source; and when it started
events.jsonl           one line per event, in order: {"event": "epoch", ...}; flushed line by line
results.json           headline numbers and distributions, written at the end
pseudo_labels.parquet  id, label, certainty, source, reached, and probability where labels could be held out
descriptors.npy        (n, d) float32 of the final network, in the order of pseudo_labels.parquet, where one was trained
class_descriptors.npy  (k, d) float32 of the names of a labelling's first classes, where their backbone has a text side
first_descriptors.npy  the same before a head on a frozen trunk was trained: a review's graph knows no label by heart
insights.json          what a report shows beyond results.json: reliability, confusion, graph; how the map was made
map.parquet            row, x, y, label, certainty, given: some rows on a plane
gallery.parquet        rows worth looking at, with small pictures: the most and least certain, and suspicious labels
answer.npz             heads that answer, where the labels chose some; answer.json says how they are used
model.safetensors      weights, where the run trained a network; model.json says how to build it
teacher.safetensors    weights of the averaging teacher, where there was one
resumed.jsonl          one line for each time the run was taken up again: when, from which step, what was different
rejected.csv           id,reason of inputs that could not be read, where there were any
notes.csv              code,file,line,id,note of odd input that was used, or left out as was asked, where there was any
tensorboard/           event files for TensorBoard, where they were asked for
report.html            the report
manifest.json          size and SHA-256 of all of the above; written last, so a folder without one is unfinished
"""

from __future__ import annotations

import csv
import io
import json
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from shutil import copyfileobj
from typing import Any

import numpy as np
from numpy.lib import format as npy_format

from ..errors import ConfigError, RunError, shown
from ..insights.schema import GALLERY, INSIGHTS, MAP, Insights, gallery_bytes, map_bytes
from ..notebook import count_text, html_table
from ..storage import durable
from ..storage.arrays import write_arrays
from ..storage.file_systems import warn_of_network
from . import checks, kinds, schema
from .foreign import describe_folder
from .origin import versions
from .schema import FORMAT
from .table import FORMULA, PseudoLabelTable

__all__ = [
    "PseudoLabelTable",
    "Run",
    "RunWriter",
    "read_facts",
    "read_run",
    "refuse_used_folder",
    "verify_run",
]

EVENTS = "events.jsonl"
RESUMED = "resumed.jsonl"
TABLE = "pseudo_labels.parquet"
DESCRIPTORS, FIRST_DESCRIPTORS = "descriptors.npy", "first_descriptors.npy"
CLASS_DESCRIPTORS = "class_descriptors.npy"
ANSWER_ARRAYS, ANSWER_FACTS = "answer.npz", "answer.json"
READ_BACK = ("run.json", EVENTS, "results.json", RESUMED, INSIGHTS)  # by read_run


def refuse_used_folder(folder: str | Path) -> None:
    """Raise ConfigError (C9) where `folder` is a file or has anything in it that is not hidden, as a lock is: no run
    writes over another.
    """
    path = Path(folder)
    if path.exists() and not path.is_dir():
        raise ConfigError("C9", "a run needs a folder, and this is a file", where=folder, do="choose another name")
    if can_be_resumed(path):
        do = "nothing was changed: go on with it by --resume, or choose another name"
        raise ConfigError("C9", "the output folder is not empty: an unfinished run is there", where=folder, do=do)
    if path.exists() and any(not place.name.startswith(".") for place in path.iterdir()):
        raise ConfigError(
            "C9", "the output folder is not empty", where=folder, do="nothing was changed: choose another name"
        )


def can_be_resumed(folder: Path) -> bool:
    """Whether an unfinished run is there that --resume goes on with; one of `propagate` is not, nor a labelling."""
    try:
        return read_facts(folder)["kind"] not in ("propagate", "label") and not is_finished(folder)
    except (RunError, OSError):
        return False


class RunWriter:
    """Writes one run folder. Everything goes through durable.py; `finish` seals it with the manifest."""

    def __init__(self, folder: str | Path, kind: str, settings: Mapping[str, Any], **facts: Any) -> None:
        """Make the folder and write run.json.

        kind: "train", "propagate", "label" or "seeds". facts: more for run.json, such as class_names or seed; `source`
            says how the inputs are opened again: its kind (images, digits, dataset or embeddings) and absolute paths.
        Raises ConfigError where the folder exists and is not empty, StorageError where it cannot be written.
        """
        self.folder = Path(folder)
        refuse_used_folder(self.folder)
        durable.make_folder(self.folder)
        warn_of_network(self.folder)
        durable.remove_leftovers(self.folder)
        durable.write_json(
            self.folder / "run.json",
            {
                "format": FORMAT,
                "kind": kind,
                "command": ["fewlabels", *sys.argv[1:]],
                "started": _now(),
                "versions": versions(),
                "settings": dict(settings),
                **facts,
            },
        )

    @classmethod
    def reopen(cls, folder: str | Path, num_events: int | None = None) -> RunWriter:
        """The writer of a run that was left unfinished; all but its first `num_events` events are forgotten."""
        writer = cls.__new__(cls)
        writer.folder = Path(folder)
        durable.remove_leftovers(writer.folder)
        if num_events is not None:
            durable.write_text(writer.folder / EVENTS, "".join(_read_lines(writer.folder)[:num_events]))
        return writer

    def choose(self, settings: Mapping[str, Any], **known: Any) -> None:
        """Write the settings that the labels chose into run.json, beside what was asked.

        known: more that is known by now, such as the classes of a labelling.
        """
        path = self.folder / "run.json"
        facts = json.loads(path.read_text(encoding="utf-8"))
        durable.write_json(path, {**facts, **known, "settings": {**facts["settings"], **settings}})

    def answer(self, arrays: Mapping[str, np.ndarray], facts: Mapping[str, Any]) -> None:
        """Write answer.npz and answer.json: the heads of an answer, and how new rows go through them."""
        write_arrays(self.folder / ANSWER_ARRAYS, arrays)
        durable.write_json(self.folder / ANSWER_FACTS, dict(facts))

    def note_resume(self, step: int, differences: Sequence[object]) -> None:
        """Add a line to resumed.jsonl: when the run went on, from which step, and what was not as before."""
        facts = {"when": _now(), "step": step, "differences": [str(one) for one in differences]}
        durable.append_line(self.folder / RESUMED, json.dumps(facts, ensure_ascii=False))

    def event(self, event: str, **values: Any) -> None:
        """Add one line to events.jsonl."""
        line = json.dumps({"event": event, **values}, allow_nan=False, ensure_ascii=False)
        durable.append_line(self.folder / EVENTS, line)

    def pseudo_labels(self, table: PseudoLabelTable) -> None:
        """Write pseudo_labels.parquet."""
        table.write(self.folder / TABLE)

    def copy_pseudo_labels(self, table: Path) -> None:
        """The same, of a table that is in a file already."""
        with table.open("rb") as source, durable.write_file(self.folder / TABLE) as file:
            copyfileobj(source, file)

    def descriptors(self, values: np.ndarray) -> None:
        """Write descriptors.npy. values: (n, d), one for each row of pseudo_labels.parquet; kept as float32."""
        self._array(DESCRIPTORS, values)

    def class_descriptors(self, values: np.ndarray) -> None:
        """Write class_descriptors.npy. values: (k, d), one for each of the names in run.json."""
        self._array(CLASS_DESCRIPTORS, values)

    def first_descriptors(self, values: np.ndarray) -> None:
        """Write first_descriptors.npy. values: as of `descriptors`, by the head before it was trained."""
        self._array(FIRST_DESCRIPTORS, values)

    def _array(self, name: str, values: np.ndarray) -> None:
        with durable.write_file(self.folder / name) as file:
            npy_format.write_array(file, np.ascontiguousarray(values, np.float32), allow_pickle=False)

    def model(self, weights: bytes, config: Mapping[str, Any]) -> None:
        """Write model.safetensors (its bytes) and model.json (how to build the network)."""
        durable.write_bytes(self.folder / "model.safetensors", weights)
        durable.write_json(self.folder / "model.json", dict(config))

    def teacher(self, weights: bytes) -> None:
        """Write teacher.safetensors: weights of the averaging teacher, for the same model.json."""
        durable.write_bytes(self.folder / "teacher.safetensors", weights)

    def rejected(self, rejected: Sequence[tuple[str, str]]) -> None:
        """Write rejected.csv with the id and the reason of every input that could not be read."""
        self._table("rejected.csv", ("id", "reason"), rejected)

    def notes(self, notes: Sequence[tuple[str, str, int | None, str, str]]) -> None:
        """Write notes.csv, where there are any: the code, file, line (None where it has none), id and note of each."""
        if notes:
            self._table("notes.csv", ("code", "file", "line", "id", "note"), notes)

    def _table(self, name: str, head: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """Write a CSV for people to look at: a cell that a spreadsheet would calculate gets a `'` before it."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerows([head, *([_escape_formula(cell) for cell in row] for row in rows)])
        durable.write_text(self.folder / name, text.getvalue())

    def insights(self, found: Insights) -> None:
        """Write insights.json, gallery.parquet and, where there is one, map.parquet."""
        durable.write_json(self.folder / INSIGHTS, found.values)
        durable.write_bytes(self.folder / GALLERY, gallery_bytes(found.tiles))
        if found.points is not None:
            durable.write_bytes(self.folder / MAP, map_bytes(found.points))

    def results(self, results: Mapping[str, Any]) -> None:
        """Write results.json."""
        durable.write_json(self.folder / "results.json", dict(results))

    def report(self, html: str) -> None:
        """Write report.html."""
        durable.write_text(self.folder / "report.html", html)

    def finish(self) -> None:
        """Seal the folder: hash every file into manifest.json."""
        durable.write_manifest(self.folder)


@dataclass(frozen=True)
class Run:
    """A run folder, read back."""

    folder: Path
    facts: dict[str, Any]  # run.json
    events: list[dict[str, Any]]  # events.jsonl
    results: dict[str, Any]  # results.json; empty while unfinished
    resumed: list[dict[str, Any]] = field(default_factory=list)  # resumed.jsonl
    insights: dict[str, Any] = field(default_factory=dict)  # insights.json; empty for a run without

    @property
    def kind(self) -> str:
        return str(self.facts["kind"])

    @property
    def settings(self) -> dict[str, Any]:
        return dict(self.facts["settings"])

    def of(self, event: str) -> list[dict[str, Any]]:
        """The events of one kind, in order."""
        return [line for line in self.events if line["event"] == event]

    def __repr__(self) -> str:
        state = "finished" if self.results else "not finished"
        return f"Run({str(self.folder)!r}, {self.kind}, {state}, {len(self.events)} events)"

    def _repr_html_(self) -> str:
        title = str(self.facts.get("title") or self.folder.name)
        return html_table(f"Run: {title}", [*_asked(self), *_outcome(self)])


def _asked(run: Run) -> list[tuple[str, object]]:
    """What a notebook shows of how a run was made."""
    settings = run.facts.get("settings", {})
    graph, phases = settings.get("graph", {}), settings.get("phases", [])
    shown = ("n_neighbors", "gamma", "alpha", "mode")
    return [
        ("kind", run.kind),
        ("started", run.facts.get("started")),
        ("training", ", then ".join(f"{phase['epochs']} epochs of {phase['method']}" for phase in phases)),
        ("network", settings.get("network", {}).get("name")),
        ("graph", ", ".join(f"{name} {graph[name]}" for name in shown if name in graph)),
        ("seed", run.facts.get("seed")),
    ]


def _outcome(run: Run) -> list[tuple[str, object]]:
    """What a notebook shows of what came out of a run."""
    found, report = run.results, run.folder / "report.html"
    counts = found.get("class_counts")
    classes = [sum(pair) for pair in zip(counts["given"], counts["propagated"], strict=True)] if counts else []
    errors = [(f"test error, {name.removesuffix('_error')}", found[name]) for name in found if name.endswith("_error")]
    certainty, seconds = found.get("certainty"), found.get("wall_seconds")
    return [
        ("state", "finished" if is_finished(run.folder) else "unfinished"),
        ("rows", f"{found['num_rows']:,}, {found['num_labeled']:,} of them labelled" if "num_rows" in found else None),
        ("without a label", found.get("unreached") or None),
        ("classes", count_text(found.get("class_names", []), classes) if classes else None),
        ("mean certainty", None if certainty is None else f"{certainty:.3f}"),
        *((name, None if error is None else f"{error:.2f} %") for name, error in errors),
        ("time", None if seconds is None else f"{seconds:.0f} s"),
        ("folder", run.folder),
        ("report", report if report.is_file() else None),
    ]


def _escape_formula(cell: object) -> object:
    return "'" + cell if isinstance(cell, str) and cell.startswith(tuple(FORMULA)) else cell


def is_begun(folder: str | Path) -> bool:
    """Whether there is a run, finished or not."""
    return (Path(folder) / "run.json").is_file()


def is_finished(folder: str | Path) -> bool:
    """Whether a run has ended there, and is sealed."""
    return (Path(folder) / durable.MANIFEST).is_file()


def is_labelling(folder: str | Path) -> bool:
    """Whether a labelling is there, finished or not: its answers are read before it ends."""
    return name_labelling(folder) is not None


def name_labelling(folder: str | Path) -> str | None:
    """What a labelling was named by chance when it began, and its answers belong to; None for any other run."""
    try:
        facts = read_facts(folder)
    except (RunError, OSError):
        return None
    return str(facts["labelling"]) if facts["kind"] == "label" else None


def refuse_open_labelling(folder: str | Path) -> None:
    """Raise ConfigError (C152) for a labelling that is not finished, and has no labels but its answers."""
    if is_labelling(folder) and not is_finished(folder):
        finish = shlex.join(["fewlabels", "label", str(folder), "--finish"])
        do = f"finish it on its page or with {finish}, or export its answers"
        raise ConfigError("C152", "the labelling is not finished", where=folder, do=do)


def read_first_events(folder: str | Path, count: int) -> list[dict[str, Any]]:
    """The first `count` events of an unfinished run; what was written later may be torn. Raises RunError: K2 for fewer
    or damaged ones, K16 for what is no event.
    """
    lines = _read_lines(Path(folder))
    if len(lines) < count:
        raise RunError("K2", f"{len(lines)} events, {count} expected", where=Path(folder) / EVENTS)
    return _read_events(lines[:count], Path(folder) / EVENTS)


def _read_lines(folder: Path, name: str = EVENTS) -> list[str]:
    log = folder / name
    if not log.is_file():
        return []
    return list(io.StringIO(log.read_text(encoding="utf-8", errors="replace"), newline="\n"))  # at \n alone


def _read_events(lines: Sequence[str], log: Path) -> list[dict[str, Any]]:
    events = []
    for number, line in enumerate(lines, 1):
        where = f"{log}:{number}"
        values = checks.parse(line, where, "line")
        checks.demand(values, schema.EVENT, where)
        if (known := schema.EVENTS.get(values["event"])) is not None:
            checks.demand(values, known, where)
        events.append(values)
    return events


def _read_resumed(folder: Path) -> Iterator[dict[str, Any]]:
    """Lines that can be read: a note on a resume may be torn by the next kill, and no result depends on it."""
    for number, line in enumerate(_read_lines(folder, RESUMED), 1):
        where = f"{folder / RESUMED}:{number}"
        try:
            values = checks.parse(line, where)
        except RunError:
            continue
        checks.demand(values, schema.RESUME, where)
        yield values


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def read_facts(folder: str | Path) -> dict[str, Any]:
    """run.json alone, of a run finished or not. Raises RunError where it is not there or is another tool's (K4),
    damaged (K2), of another version (K6) or holds something else than fewlabels writes (K16).
    """
    root = Path(folder)
    if not is_begun(root):
        what = f"not a run folder: there is no run.json{describe_folder(root)}"
        raise RunError("K4", what, where=folder, do="give a folder that a run made")
    path = root / "run.json"
    facts: dict[str, Any] = checks.read_json(path)
    if not isinstance(facts, dict) or "format" not in facts:
        what = f"not a run of fewlabels: run.json has {_name_keys(facts)}{describe_folder(root)}"
        raise RunError("K4", what, where=folder, do="give a folder that a run made")
    checks.demand(facts, checks.Record({"format": kinds.POSITIVE}), path)
    if facts["format"] != FORMAT:
        what = f"run of format {facts['format']}, this version reads {FORMAT}"
        raise RunError("K6", what, where=folder, do=_upgrade(facts))
    checks.demand(facts, schema.FACTS, path)
    if facts["kind"] not in schema.KINDS:
        what = f"run of kind {shown(facts['kind'], 60)!r}, this version knows {', '.join(schema.KINDS)}"
        raise RunError("K6", what, where=folder, do=_upgrade(facts))
    if facts["kind"] == "label":
        checks.demand(facts, checks.Record(needed=["labelling"]), path)
    if facts["kind"] == "seeds":
        checks.demand(facts, checks.Record(needed=["seeds"]), path)
    return facts


def _name_keys(facts: object) -> str:
    if not isinstance(facts, dict):
        return f"{shown(repr(facts), 60)}, no object"
    names = ", ".join(shown(key, 30) for key in list(facts)[:5])
    return f"the keys {names}{', ...' * (len(facts) > 5)}" if facts else "no keys"


def _upgrade(facts: dict[str, Any]) -> str:
    """What to do about a run that another version wrote, which is named where the run says it."""
    versions = facts.get("versions")
    wrote = versions.get("fewlabels") if isinstance(versions, dict) else None
    return f"upgrade: fewlabels {shown(wrote, 30)} wrote it" if isinstance(wrote, str) else "upgrade"


def read_run(folder: str | Path) -> Run:
    """Read a run folder, finished or not. Raises RunError where it is not one (K4, K6), or a file of it is damaged (K2)
    or holds something else than fewlabels writes (K16); every change of a finished run counts as damage.
    """
    root = Path(folder)
    facts = read_facts(root)
    demand_whole(root, READ_BACK)
    results = _read_results(root, facts["kind"])
    insights = checks.read_object(root / INSIGHTS, schema.INSIGHTS) if (root / INSIGHTS).is_file() else {}
    if found := schema.find_contradiction(facts, results, insights):
        raise checks.make_error(found[1], root / found[0])
    return Run(
        root, facts, _read_events(_read_lines(root), root / EVENTS), results, list(_read_resumed(root)), insights
    )


def demand_whole(folder: Path, names: Sequence[str]) -> None:
    """Raise RunError (K2) where one of these files of a finished run is not as the run wrote it."""
    if is_finished(folder) and (problems := durable.verify(folder, names)):
        do = "`fewlabels verify` lists all that changed; restore it from a copy, or run again"
        where = folder / problems[0].name
        raise RunError("K2", f"not as the run wrote it: {problems[0].reason}", where=where, do=do)


def _read_results(folder: Path, kind: str) -> dict[str, Any]:
    """results.json; empty where the run is unfinished."""
    path = folder / "results.json"
    if not path.is_file():
        if is_finished(folder):
            raise RunError("K16", "a finished run without results.json", where=folder, do=checks.FOREIGN)
        return {}
    return checks.read_object(path, schema.RESULTS_OF_SEEDS if kind == "seeds" else schema.RESULTS)


def verify_run(folder: str | Path) -> list[durable.Problem]:
    """Hash every file of the run in `folder` again. An empty list means that it is as it was written.

    Raises RunError where it is no run, or an unfinished one (K4), or of another version (K6).
    """
    root = Path(folder)
    if not is_finished(root):
        read_facts(root)  # which says what it is, where it is no run
    problems = durable.verify(root)
    if not problems:
        read_facts(root)
    return problems
