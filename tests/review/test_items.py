"""A run folder -> what is reviewed; and the command that takes its labels out."""

import csv
import errno
import json
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from itertools import count

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fewlabels.cli.main import run
from fewlabels.commands.export import run_export
from fewlabels.commands.propagate import Input, run_propagation
from fewlabels.errors import ConfigError, RunError, StorageError
from fewlabels.graph import GraphSettings, Refinement
from fewlabels.graph.settings import restore_settings
from fewlabels.review.engine.engine import Engine
from fewlabels.review.items import Said, open_items
from fewlabels.review.store.file import find_review_folder, identify_run, make_local_folder, open_store
from fewlabels.review.store.values import Answer, Request
from fewlabels.storage import durable

SETTINGS = GraphSettings(n_neighbors=8)


@pytest.fixture
def folder(tmp_path):
    """A finished run of `propagate` on a Parquet table with metadata."""
    rng = np.random.default_rng(0)
    truth = np.arange(90) % 3
    rows = (rng.normal(size=(3, 5))[truth] + 0.4 * rng.normal(size=(90, 5))).astype(np.float32)
    names = ["cat", "dog", "=cow"]
    columns = {
        "id": [f"row {row}" for row in range(90)],
        "embedding": list(rows),
        "label": [names[truth[row]] if row < 6 else None for row in range(90)],
        "title": [f"title {row} " + "x" * 300 for row in range(90)],
        "year": [2000 + row if row else None for row in range(90)],
        "bytes": [b"\0"] * 90,
        "empty": [""] * 90,
    }
    pq.write_table(pa.table(columns), tmp_path / "data.parquet")
    run_propagation(Input(tmp_path / "data.parquet"), tmp_path / "out.csv", tmp_path / "run", SETTINGS, quiet=True)
    return tmp_path / "run"


def test_a_run_of_propagate_opens_with_its_embeddings_and_metadata(folder):
    items = open_items(folder)
    assert (items.kind, items.pictures, items.settings) == ("rows", None, SETTINGS)
    assert items.ids[:2] == ["row 0", "row 1"]
    names = [items.class_names[code] for code in items.given[:6]]
    assert names == ["cat", "dog", "=cow", "cat", "dog", "=cow"]
    assert (items.given[6:] == -1).all()
    assert list(items.texts) == ["title", "year"]
    assert (items.texts["year"][0], items.texts["year"][1]) == ("", "2001")
    assert len(items.texts["title"][5]) == 200
    table = pq.read_table(folder / "pseudo_labels.parquet")
    assert [items.class_names[code] for code in Engine(items, {}).state.label] == table["label"].to_pylist()


def changed(folder, **facts):
    path = folder / "run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | facts))
    (folder / "manifest.json").unlink()
    durable.write_manifest(folder)


def test_a_run_of_an_earlier_version_is_refused(folder):
    changed(folder, source=None)
    with pytest.raises(ConfigError, match="FL-C85"):
        open_items(folder)
    changed(folder, source={"kind": "images", "path": "/nowhere"})  # and no descriptors.npy
    with pytest.raises(ConfigError, match="FL-C85"):
        open_items(folder)


def test_a_run_that_is_not_finished_is_refused(folder):
    (folder / "manifest.json").unlink()
    with pytest.raises(ConfigError, match="FL-C84"):
        open_items(folder)


def test_a_finished_run_whose_labels_were_deleted_is_damaged(folder):
    (folder / "pseudo_labels.parquet").unlink()
    with pytest.raises(RunError, match=r"FL-K2 .*missing"):
        open_items(folder)


def test_a_row_keeps_what_the_run_says_until_answers_change_what_the_graph_says(folder):
    items = open_items(folder)
    before = Engine(replace(items, said=None)).state
    free = np.flatnonzero(items.given < 0)
    other = (before.label + 1) % 3  # a run that says another class of each row, and how sure it is
    items = replace(items, said=Said(label=other, certainty=np.full(len(other), 0.25)))
    engine = Engine(items)
    assert np.array_equal(engine.state.label[free], other[free])
    assert (engine.state.certainty[free] == 0.25).all()
    assert np.array_equal(np.delete(engine.state.label, free), items.given[items.given >= 0])
    row = int(free[0])
    engine.answer({row: int(before.label[row])}, 1)
    assert engine.state.label[row] == before.label[row]
    assert engine.state.certainty[row] == 1
    again = Engine(items, {row: int(before.label[row])}).state
    assert np.array_equal(again.label, engine.state.label)


def test_embeddings_that_are_gone_or_others_are_refused(folder, tmp_path):
    table = pq.read_table(tmp_path / "data.parquet")
    pq.write_table(table.take(pa.array(range(89, -1, -1))), tmp_path / "data.parquet")
    with pytest.raises(ConfigError, match=r"FL-C86 .*ids"):
        open_items(folder)
    (tmp_path / "data.parquet").unlink()
    with pytest.raises(ConfigError, match="FL-C86"):
        open_items(folder)


def test_graph_settings_come_back_from_json():
    settings = GraphSettings(n_neighbors=7, mode="paper", refinement=Refinement(prior=(0.25, 0.75), calibrate=True))
    assert restore_settings(json.loads(json.dumps(asdict(settings)))) == settings


def answered(folder):
    store = open_store(make_local_folder(find_review_folder(folder)), identify_run(folder))
    answers = (Answer(50, "label", "dog", 0), Answer(0, "label", "=cow", 0), Answer(51, "skip", None, 0))
    store.write([Request("client", 1, answers)])
    store.close()


def test_export_writes_given_and_answered_labels(folder, tmp_path):
    answered(folder)
    found = run_export(folder, tmp_path / "reviewed.csv")
    assert (found["labelled"], found["given"], found["answered"], found["event"]) == (7, 6, 2, 1)
    with (tmp_path / "reviewed.csv").open(newline="") as file:
        rows = {row["id"]: row["label"] for row in csv.DictReader(file)}
    assert len(rows) == 7
    assert (rows["row 50"], rows["row 0"], rows["row 1"]) == ("dog", "=cow", "dog")
    with pytest.raises(ConfigError, match="FL-C9"):
        run_export(folder, tmp_path / "reviewed.csv")
    with pytest.raises(ConfigError, match="FL-C16"):
        run_export(folder, tmp_path / "reviewed.xlsx")


def test_an_export_takes_the_place_of_the_last_one_whole_or_not_at_all(folder, tmp_path, monkeypatch):
    out = tmp_path / "reviewed.csv"
    run_export(folder, out)
    old = out.read_text()
    answered(folder)
    with monkeypatch.context() as broken:
        broken.setattr(durable, "_write", lambda descriptor, data: os.write(descriptor, data[:3]) and disk_full())
        with pytest.raises(StorageError, match="FL-D1"):
            run_export(folder, out, force=True)
    assert out.read_text() == old
    run_export(folder, out, force=True)
    assert "row 50,dog" in out.read_text()
    assert "row 50" not in old
    assert [path.name for path in tmp_path.glob("*.tmp")] == []


def disk_full():
    raise OSError(errno.ENOSPC, "no space")


def test_w21_an_export_while_a_person_answers_has_all_answers_up_to_its_event_and_no_other(folder, tmp_path):
    store = open_store(make_local_folder(find_review_folder(folder)), identify_run(folder))
    stop = threading.Event()

    def person():
        for event in count(1):
            store.write([Request("client", event, (Answer(10 + event % 80, "label", "dog", (event - 1) // 80),))])
            if stop.wait(0.001):
                return

    events = []
    with ThreadPoolExecutor(1) as others:
        answering = others.submit(person)
        try:
            while len(set(events)) < 10 and not answering.done():
                found = run_export(folder, tmp_path / f"{len(events)}.csv")
                events.append(found["event"])
                assert found["answered"] == min(found["event"], 80)
        finally:
            stop.set()
        answering.result()
    store.close()
    assert events == sorted(events)
    assert len(set(events)) == 10


def test_the_command_exports_a_run_that_was_never_reviewed(folder, tmp_path, capsys):
    assert run(["export", str(folder), "--out", str(tmp_path / "all.csv"), "--all", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["labelled"] == 6
    text = (tmp_path / "all.csv").read_text()
    assert text.count("\n") == 91
    assert "'=cow" in text
    assert run(["export", str(folder), "--out", str(tmp_path / "tasks.json")]) == 0
    assert "6 labels" in capsys.readouterr().out
    assert len(json.loads((tmp_path / "tasks.json").read_text())) == 90
