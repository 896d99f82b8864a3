"""Run folders that fewlabels did not write, with hashes that are right: each key, event line and column changed."""

from __future__ import annotations

import io
import json
import pickle
import random
import shutil
import warnings
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from safetensors.torch import load, save

from fewlabels.cli.main import run as run_command
from fewlabels.commands import resuming
from fewlabels.errors import FewlabelsError, FewlabelsWarning
from fewlabels.nets.model import load_model, read_model
from fewlabels.recipes.images import ImageOptions, image_settings
from fewlabels.review.store.file import NAME, find_review_folder
from fewlabels.runs import is_finished, read_first_events
from fewlabels.storage import durable

WRITTEN = Path(__file__).parent.parent / "fixtures" / "version-0.1"
WRITTEN_AT = "/data/fewlabels"
KINDS = ("train", "propagate", "killed", "seeds")

RESULTS = {  # what only a run with known truth has
    "supervised_error": 20.5,
    "lp_error": 5.25,
    "pseudo_label_accuracy_first": 81.0,
    "certainty_right": 0.87,
    "certainty_wrong": 0.31,
    "certainty_ece": 0.2,
    "certainty_histogram": {"edges": [0, 0.5, 1], "all": [8, 12], "right": [4, 11], "wrong": [4, 1]},
    "notes": {"I1": 2},
}
INSIGHTS = {
    "reliability": {
        "num_rows": 10,
        "edges": [0.0, 0.5, 1.0],
        "count": [4, 6],
        "right": [0.25, 1.0],
        "certainty": [0.3, 0.9],
        "auroc": 0.875,
        "ece": 0.08,
    },
    "confusion": {"num_rows": 10, "num_wrong": 3, "counts": [[4, 2, 0], [0, 3, 1]], "pairs": [[0, 1, 2], [1, -1, 1]]},
}
GUARD = {"event": "guard", "guard": "certainty", "message": "epoch 3: certainty fell", "phase_index": 1, "epoch": 2}
RESUMED = {"when": "2026-11-30T17:46:27+00:00", "step": 7, "differences": ["threads: 1 there, 2 now"]}


def good_runs(folder: Path) -> Path:
    """Runs of each kind that all readers accept, with every part that a run may have."""
    shutil.copytree(WRITTEN, folder)
    for kind in ("train", "propagate", "killed"):
        path = folder / f"{kind}-run" / "run.json"
        path.write_text(path.read_text().replace(WRITTEN_AT, str(folder)))
    train = folder / "train-run"
    change_json(train / "results.json", lambda values: values.update(RESULTS))
    change_json(train / "insights.json", lambda values: values.update(INSIGHTS))
    lines = [json.loads(line) for line in (train / "events.jsonl").read_text().splitlines()]
    for number, event in enumerate(line for line in lines if line["event"] == "epoch"):
        event |= {"test_error": 50.0 - number, "teacher_test_error": 49.0 - number}
        if event["phase_index"]:
            event |= {"pseudo_label_accuracy": 80.0, "certainty_right": 0.5, "certainty_wrong": 0.25}
    (train / "events.jsonl").write_text("".join(json.dumps(line) + "\n" for line in [*lines, GUARD]))
    (train / "resumed.jsonl").write_text(json.dumps(RESUMED) + "\n")
    with (folder / "killed-run" / "events.jsonl").open("a") as file:
        file.write(json.dumps(lines[1]) + "\n")
    shutil.copytree(train, folder / "seeds-run" / "seed-0")
    facts = json.loads((train / "run.json").read_text())
    head = {key: facts[key] for key in ("format", "command", "started", "versions")}
    head |= {"kind": "seeds", "settings": {"recipe": "digits_lp"}, "title": "digits", "seeds": [0]}
    (folder / "seeds-run" / "run.json").write_text(json.dumps(head))
    (folder / "seeds-run" / "results.json").write_text(
        json.dumps({"seeds": [0], "table": {"supervised_error": {"values": [1.0], "mean": 1.0, "std": None}}})
    )
    for run in (train, folder / "propagate-run", folder / "seeds-run" / "seed-0", folder / "seeds-run"):
        seal(run)
    return folder


def seal(run: Path) -> None:
    """Make the manifest right for all that is there; a review beside it is of that run."""
    if run.name == "killed-run":
        return
    (run / durable.MANIFEST).unlink(missing_ok=True)
    durable.write_manifest(run)
    for path in find_review_folder(run).glob(f"{NAME}*"):
        path.unlink()


def change_json(path: Path, change: Callable[[Any], None]) -> None:
    values = json.loads(path.read_text())
    change(values)
    path.write_text(json.dumps(values))


@dataclass(frozen=True)
class Case:
    """One changed file of a run. make: the run's folder -> None, before it is sealed."""

    kind: str
    name: str
    make: Callable[[Path], None]


# Values that stand where another was: as JSON text, since not all of them are values of Python

DEEP = "[" * 100_000 + "]" * 100_000
DEEPISH = "[" * 300 + "]" * 300
ODD = (
    *("null", "true", "-1", "0", "0.5", '"text"', '""', "[]", "{}", "[null]", "[[1]]", '[{"a": 1}]', '{"a": null}'),
    *("NaN", "-Infinity", "1e999", "1e308", "-1e308", str(2**53), str(2**70), "9" * 400, "9" * 5000),
    *(r'"\ud800"', r'"a\u0000b"', '"' + "x" * 5000 + '"', '"../../etc"', DEEP, DEEPISH),
)
HOLE = "\uf8ff hole \uf8ff"


def places(values: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every key and the first and last place of every list, as the way that leads there."""
    if isinstance(values, dict):
        for key, value in values.items():
            yield (*at, key)
            yield from places(value, (*at, key))
    elif isinstance(values, list):
        for number in sorted({0, len(values) - 1} - {-1}):
            yield (*at, number)
            yield from places(values[number], (*at, number))


def changed_json(values: Any, at: tuple[Any, ...], odd: str | None) -> str:
    """JSON of the values with other text at a place; None takes the place away."""
    copy = json.loads(json.dumps(values))
    held = copy
    for key in at[:-1]:
        held = held[key]
    if odd is None:
        del held[at[-1]]
        return json.dumps(copy)
    held[at[-1]] = HOLE
    return json.dumps(copy).replace(json.dumps(HOLE), odd)


WHOLE = (
    *(text.encode() for text in (*ODD, "", "\n", "{", "{}}", "<html>", "a: 1\nb: 2\n")),
    *("{}".encode(kind) for kind in ("utf-16", "utf-8-sig", "utf-32")),
    '{"format": 1, "kind": "träin"}'.encode("latin-1"),
    bytes(100),
)


def json_cases(folder: Path, kind: str, name: str) -> Iterator[Case]:
    """A JSON file: each place of it changed, all of it, and not there."""
    values = json.loads((folder / f"{kind}-run" / name).read_text())

    def put(text: str | bytes) -> Callable[[Path], None]:
        data = text if isinstance(text, bytes) else text.encode()
        return lambda run: (run / name).write_bytes(data) and None

    for at in places(values):
        way = ".".join(map(str, at))
        for odd in (None, *ODD):
            what = "taken away" if odd is None else f"is {odd[:20]}"
            yield Case(kind, f"{name}: {way} {what}", put(changed_json(values, at, odd)))
    for number, data in enumerate(WHOLE):
        yield Case(kind, f"{name}: whole {number} {data[:20]!r}", put(data))
    yield Case(kind, f"{name}: gone", lambda run: (run / name).unlink())

    def put_folder(run: Path) -> None:
        (run / name).unlink()
        (run / name).mkdir()

    yield Case(kind, f"{name}: a folder", put_folder)


def line_cases(folder: Path, kind: str, name: str) -> Iterator[Case]:
    """A file with JSON in lines: the first line of each kind of event changed, and lines that are none."""
    lines = (folder / f"{kind}-run" / name).read_text().splitlines()
    first: dict[str, int] = {}
    for number, line in enumerate(lines):
        values = json.loads(line)
        first.setdefault(f"{values.get('event')} {values.get('phase_index')}", number)

    def put(number: int, data: bytes) -> Callable[[Path], None]:
        whole = [line.encode() for line in lines]
        whole[number] = data
        return lambda run: (run / name).write_bytes(b"\n".join(whole) + b"\n") and None

    for event, number in first.items():
        values = json.loads(lines[number])
        for at in places(values):
            for odd in (None, *ODD):
                what = "taken away" if odd is None else f"is {odd[:20]}"
                text = changed_json(values, at, odd).encode()
                yield Case(kind, f"{name}: {event} {'.'.join(map(str, at))} {what}", put(number, text))
        for at, data in enumerate(WHOLE):
            yield Case(kind, f"{name}: {event} whole {at} {data[:20]!r}", put(number, data))
    yield Case(kind, f"{name}: gone", lambda run: (run / name).unlink())


def table_cases(kind: str, name: str, columns: tuple[str, ...]) -> Iterator[Case]:
    """A Parquet table: each column changed, all of it, and not there."""

    def put(change: Callable[[pa.Table], pa.Table]) -> Callable[[Path], None]:
        def make(run: Path) -> None:
            table = change(pq.read_table(run / name))
            pq.write_table(table, run / name)

        return make

    def column(name: str, make: Callable[[int], Any]) -> Callable[[pa.Table], pa.Table]:
        def change(table: pa.Table) -> pa.Table:
            return table.set_column(table.column_names.index(name), name, make(table.num_rows))

        return change

    values = {
        "text": lambda n: pa.array(["x"] * n),
        "null": lambda n: pa.nulls(n),
        "nulls of text": lambda n: pa.array([None] * n, pa.string()),
        "-7": lambda n: pa.array([-7] * n),
        "huge": lambda n: pa.array([2**62] * n),
        "uint64": lambda n: pa.array([2**64 - 1] * n, pa.uint64()),
        "NaN": lambda n: pa.array([float("nan")] * n),
        "infinity": lambda n: pa.array([float("inf")] * n),
        "1e308": lambda n: pa.array([1e308] * n),
        "bool": lambda n: pa.array([True] * n),
        "lists": lambda n: pa.array([[1]] * n),
        "structs": lambda n: pa.array([{"a": 1}] * n),
        "bytes": lambda n: pa.array([b"\xff"] * n),
        "dictionary": lambda n: pa.array(["x"] * n).dictionary_encode(),
        "dates": lambda n: pa.array([0] * n, pa.date32()),
        "float16": lambda n: pa.array([0.5] * n, pa.float16()),
        "one null": lambda n: pa.array([None] + [0] * (n - 1)),
    }
    for one in columns:
        yield Case(kind, f"{name}: without {one}", put(lambda table, one=one: table.drop([one])))
        yield Case(
            kind,
            f"{name}: two of {one}",
            put(lambda table, one=one: table.append_column(one, table[one])),
        )
        for what, make in values.items():
            yield Case(kind, f"{name}: {one} of {what}", put(column(one, make)))
    yield Case(kind, f"{name}: no rows", put(lambda table: table.slice(0, 0)))
    yield Case(kind, f"{name}: half of its rows", put(lambda table: table.slice(0, table.num_rows // 2)))
    yield Case(kind, f"{name}: rows twice", put(lambda table: pa.concat_tables([table, table])))
    yield Case(kind, f"{name}: no columns", put(lambda table: pa.table({"a": [1]})))
    yield Case(kind, f"{name}: gone", lambda run: (run / name).unlink())
    for what, data in {"nothing": b"", "CSV": b"id,label\na,cat\n", "PAR1": b"PAR1" * 9}.items():
        yield Case(kind, f"{name}: is {what}", lambda run, data=data: (run / name).write_bytes(data) and None)


def array_cases(kind: str, name: str) -> Iterator[Case]:
    """descriptors.npy: other shapes, types and numbers, and what is none."""

    def put(change: Callable[[np.ndarray], Any]) -> Callable[[Path], None]:
        def make(run: Path) -> None:
            np.save(run / name, change(np.load(run / name)), allow_pickle=True)

        return make

    changes: dict[str, Callable[[np.ndarray], Any]] = {
        "objects": lambda values: np.array([[{"a": 1}]] * len(values), object),
        "text": lambda values: values.astype(str),
        "complex": lambda values: values.astype(complex),
        "bool": lambda values: values > 0,
        "whole numbers": lambda values: (values * 10).astype(int),
        "dates": lambda values: values.astype("datetime64[s]"),
        "records": lambda values: np.zeros(len(values), [("a", "f4"), ("b", "f4")]),
        "one axis": lambda values: values[:, 0],
        "three axes": lambda values: values[:, :, None],
        "no axis": lambda values: np.float32(3),
        "no columns": lambda values: values[:, :0],
        "fewer rows": lambda values: values[:-1],
        "no rows": lambda values: values[:0],
        "NaN": lambda values: np.where(np.arange(values.shape[1]) == 1, np.nan, values),
        "infinity": lambda values: np.full_like(values, np.inf),
        "zeros": np.zeros_like,
        "1e308": lambda values: np.full(values.shape, 1e308),
    }
    for what, change in changes.items():
        yield Case(kind, f"{name}: {what}", put(change))
    head = b"\x93NUMPY\x01\x00\x76\x00{'descr': '<f4', 'fortran_order': False, 'shape': (9999999999, 9999), }"
    contents = {
        "nothing": b"",
        "a pickle": pickle.dumps([1, 2]),
        "a shape that is not there": head.ljust(127) + b"\n" + bytes(64),
        "zeros": bytes(5000),
    }
    for what, data in contents.items():
        yield Case(kind, f"{name}: is {what}", lambda run, data=data: (run / name).write_bytes(data) and None)
    yield Case(kind, f"{name}: gone", lambda run: (run / name).unlink())


def weight_cases(kind: str, name: str) -> Iterator[Case]:
    """Weights of other names, shapes, types and numbers, and what is none."""

    def put(change: Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]]) -> Callable[[Path], None]:
        return lambda run: (run / name).write_bytes(save(change(load((run / name).read_bytes())))) and None

    changes: dict[str, Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]]] = {
        "none": lambda tensors: {},
        "one more": lambda tensors: tensors | {"more": torch.zeros(2)},
        "one less": lambda tensors: dict(list(tensors.items())[1:]),
        "of other shapes": lambda tensors: {key: torch.zeros(3, 3) for key in tensors},
        "whole numbers": lambda tensors: {key: value.to(torch.int64) for key, value in tensors.items()},
    }
    for what, change in changes.items():
        yield Case(kind, f"{name}: {what}", put(change))
    stored = io.BytesIO()
    torch.save({"a": torch.zeros(2)}, stored)
    contents = {
        "nothing": b"",
        "a pickle": stored.getvalue(),
        "a header of 4 GiB": (2**32).to_bytes(8, "little") + b"{}",
        "a header of 2^64": (2**64 - 1).to_bytes(8, "little") + b"{}",
        "no JSON": (2).to_bytes(8, "little") + b"\xff\xfe",
    }
    for what, data in contents.items():
        yield Case(kind, f"{name}: is {what}", lambda run, data=data: (run / name).write_bytes(data) and None)
    yield Case(kind, f"{name}: gone", lambda run: (run / name).unlink())


MAP = ("row", "x", "y", "label", "certainty", "given")
TILES = ("group", "class_number", "id", "label", "truth", "certainty", "score", "image")
ROWS = ("id", "label", "certainty", "source", "reached")


def all_cases(folder: Path) -> list[Case]:
    """Every case there is, in a fixed order."""
    found: list[Case] = []
    for kind, name in (
        *(("train", name) for name in ("run.json", "results.json", "insights.json", "model.json")),
        *(("propagate", name) for name in ("run.json", "results.json", "insights.json")),
        *(("killed", name) for name in ("run.json",)),
        *(("seeds", name) for name in ("run.json", "results.json")),
    ):
        found += json_cases(folder, kind, name)
    for kind, name in (
        *(("train", name) for name in ("events.jsonl", "resumed.jsonl")),
        ("propagate", "events.jsonl"),
        ("killed", "events.jsonl"),
    ):
        found += line_cases(folder, kind, name)
    for kind in ("train", "propagate"):
        for name, columns in (("map.parquet", MAP), ("gallery.parquet", TILES), ("pseudo_labels.parquet", ROWS)):
            found += table_cases(kind, name, columns)
    found += array_cases("train", "descriptors.npy")
    for name in ("model.safetensors", "teacher.safetensors"):
        found += weight_cases("train", name)
    return found


def some_cases(folder: Path, count: int) -> list[Case]:
    """A fixed draw of so many of them, as many of each file as of any other; all where there are no more."""
    files: dict[tuple[str, str], list[Case]] = {}
    for case in all_cases(folder):
        files.setdefault((case.kind, case.name.partition(":")[0]), []).append(case)
    for number, cases in enumerate(files.values()):
        random.Random(number).shuffle(cases)
    turns = zip_longest(*files.values())
    return [case for turn in turns for case in turn if case is not None][:count]


# Readers: all that reads a run, but for the work that comes after it


def continue_training(run: str) -> None:
    start = read_model(run)
    resuming.demand_network(start, "small", "small")
    settings = image_settings(4, 20, 12, ImageOptions())
    resuming.describe_changes(start, settings)


def resume(run: str) -> None:
    folder = Path(run)
    if is_finished(folder):
        resuming.read_finished(folder, {"speed": "deterministic"})
        return
    resuming.demand_same_machine(folder, "cpu")
    resuming.read_identity(folder)
    read_first_events(folder, 2)


def commands(*words: str) -> Callable[[str], None]:
    def read(run: str) -> None:
        told, said = io.StringIO(), io.StringIO()
        with redirect_stderr(told), redirect_stdout(said):
            status = run_command([word.replace("RUN", run) for word in words])
        lines = told.getvalue().splitlines()
        errors = [line for line in lines if line.startswith("error: FL-")]
        if status not in (0, 2, 3) or len(errors) != bool(status) or any("Traceback" in line for line in lines):
            raise AssertionError(f"status {status}: {told.getvalue()[:300]}")

    return read


READERS: dict[str, Callable[[str], object]] = {
    "report": commands("report", "RUN", "--out", "report.html", "--force"),
    "review": commands("review", "RUN", "--no-browser", "--quiet"),
    "export": commands("export", "RUN", "--out", "labels.csv", "--force"),
    "export --all": commands("export", "RUN", "--out", "labels.json", "--force"),
    "verify": commands("verify", "RUN"),
    "train --continue-from": continue_training,
    "load_model": lambda run: load_model(run, device="cpu"),
    "train --resume": resume,
}


def complaint(read: Callable[[str], object], run: str) -> str | None:
    """What is wrong with how a reader takes a run; None for an answer or an error of the contract."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", RuntimeWarning)
            warnings.simplefilter("ignore", FewlabelsWarning)
            read(run)
    except FewlabelsError as problem:
        line = str(problem)
        if problem.exit_status not in (2, 3) or not line.startswith("FL-") or len(line.splitlines()) != 1:
            return f"status {problem.exit_status}: {line[:200]}"
    except BaseException as problem:  # noqa: BLE001  that there is none is what is tested
        return f"{type(problem).__name__}: {str(problem)[:160]}"
    return None


def complaints(case: Case, good: Path, place: Path, readers: dict[str, Callable[[str], object]]) -> list[str]:
    """Make the folder of a case anew and have it read by all. Returns what was wrong."""
    run = place / f"{case.kind}-run"
    shutil.rmtree(run, ignore_errors=True)
    shutil.rmtree(find_review_folder(run), ignore_errors=True)
    shutil.copytree(good / run.name, run)
    case.make(run)
    seal(run)
    found = ((name, complaint(read, run.name)) for name, read in readers.items())
    return [f"{case.kind} {case.name}, {name}: {wrong}" for name, wrong in found if wrong is not None]
