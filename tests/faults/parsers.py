"""Parsers of files that anybody may hand in, each with good files to change."""

import io
import pickle
import random
import tempfile
import warnings
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from fewlabels.data.benchmarks.plain_pickle import read_plain_pickle
from fewlabels.data.labels.files import read_labels
from fewlabels.data.tables.embeddings import read_embeddings
from fewlabels.errors import FewlabelsWarning
from fewlabels.estimator import LabelPropagationClassifier
from fewlabels.runs import RunWriter, read_run
from fewlabels.storage import durable
from fewlabels.training.checkpoint import STATE, TENSORS, Checkpoint, read_checkpoint, write_checkpoint
from fewlabels.training.identity import to_plain
from tests.faults.fuzz import Parser
from tests.training.stores import IDENTITY as GIVEN
from tests.training.stores import reseal, state

SEED = 0
IDENTITY = to_plain(GIVEN)


def written(write):
    """The bytes that `write(path)` writes."""
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder) / "file")
        return (Path(folder) / "file").read_bytes()


def npy(array):
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def parquet(**columns):
    return written(lambda path: pq.write_table(pa.table(columns), path))


def arrow(**columns):
    table, file = pa.table(columns), io.BytesIO()
    with pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table)
    return file.getvalue()


def csv_files():
    """Of a grammar: tokens that mean something in some dialect, in any order, most behind a header."""
    rng, files = random.Random(SEED), [b"id,label\na,cat\nb,\nc,dog\n", 'id,x,label\r\n"a ""b""",1,"é\n2"\r\n'.encode()]
    tokens = ['"', '""', ",", ";", "\t", "\n", "\r\n", "a", "NA", "-1", " ", "ü", "0" * 70, "id", "label"]
    while len(files) < 40:
        text = "id,label\n" + "".join(rng.choice(tokens) for _ in range(rng.randint(1, 30)))
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", FewlabelsWarning)
                read_labels(_put(text.encode()))
        except ValueError:
            continue
        files.append(text.encode())
    return files


def _put(data, folder=[]):  # noqa: B006  one folder for all
    if not folder:
        folder.append(tempfile.TemporaryDirectory())
    path = Path(folder[0].name) / "labels.csv"
    path.write_bytes(data)
    return path


ROWS = np.random.default_rng(0).normal(size=(20, 4))
LISTS = [row.tolist() for row in ROWS]
IDS = [f"row {number}" for number in range(20)]


def npy_files():
    kinds = [ROWS.astype(kind) for kind in ("<f4", ">f8", "f2", "i1", "u8")]
    return [*map(npy, kinds), npy(np.asfortranarray(ROWS))]


def table_files():
    columns = {f"x{number}": ROWS[:, number] for number in range(4)}
    lists = {"id": IDS, "embedding": LISTS, "label": ["cat", None] * 10}
    return [parquet(**lists), parquet(id=IDS, **columns), parquet(**columns)]


def arrow_files():
    return [arrow(id=IDS, embedding=LISTS), arrow(embedding=pa.array(LISTS, pa.list_(pa.float32(), 4)))]


def label_tables():
    return [parquet(id=IDS, label=["cat", None, "dog", "7"] * 5), parquet(id=list(range(20)), label=[1, 2] * 10)]


def cifar_files():
    batch = {"data": np.arange(60, dtype=np.uint8).reshape(5, 12), "labels": [0, 1, 2, 3, 4], "batch_label": "one"}
    plain = {b"filenames": [b"a.png", b"b.png"], b"fine_labels": [3, 4]}
    return [pickle.dumps(value, 2) for value in (batch, plain)]


def checkpoint_file(name):
    """(reader of a folder with that file, its good bytes)."""
    folder = Path(tempfile.mkdtemp()) / "step-00000020"
    write_checkpoint(folder, Checkpoint(20, IDENTITY, state(20)))
    good = {path.name: path.read_bytes() for path in folder.iterdir()}

    def read(path):
        for other, data in good.items():
            (folder / other).write_bytes(path.read_bytes() if other == name else data)
        if name != durable.MANIFEST:
            reseal(folder)
        return read_checkpoint(folder)

    return Parser(read, [good[name]], name)


def run_file(name):
    folder = Path(tempfile.mkdtemp()) / "run"
    writer = RunWriter(folder, "train", {"a": 1}, class_names=["cat", "dog"])
    epoch = {"phase_index": 0, "epoch": 0, "steps": 3, "test_error": 3.5, "teacher_test_error": None}
    writer.event("epoch", loss=0.5, phase="lp", **epoch)
    writer.results({"num_rows": 3, "num_labeled": 1, "unreached": 0, "lp_error": 3.5})
    good = (folder / name).read_bytes()

    def read(path):
        (folder / name).write_bytes(path.read_bytes())
        return read_run(folder)

    return Parser(read, [good], name)


def manifest():
    folder = Path(tempfile.mkdtemp())
    (folder / "a").write_text("aaa")
    durable.write_manifest(folder)
    good = (folder / durable.MANIFEST).read_bytes()

    def read(path):
        (folder / durable.MANIFEST).write_bytes(path.read_bytes())
        return durable.verify(folder)

    return Parser(read, [good], durable.MANIFEST)


def model():
    fitted = LabelPropagationClassifier(n_neighbors=3).fit(ROWS, LABELS)
    return Parser(LabelPropagationClassifier.load, [written(fitted.save)], "model.npz")


LABELS = np.array([0, 1] + [-1] * 18)

PARSERS = {
    "labels as CSV": lambda: Parser(read_labels, csv_files(), "labels.csv"),
    "labels as Parquet": lambda: Parser(read_labels, label_tables(), "labels.parquet"),
    "embeddings as npy": lambda: Parser(read_embeddings, npy_files(), "rows.npy"),
    "embeddings as Parquet": lambda: Parser(read_embeddings, table_files(), "rows.parquet"),
    "embeddings as Arrow": lambda: Parser(read_embeddings, arrow_files(), "rows.arrow"),
    "a pickle of CIFAR": lambda: Parser(read_plain_pickle, cifar_files(), "data_batch_1"),
    "a manifest": manifest,
    "a checkpoint's manifest": lambda: checkpoint_file(durable.MANIFEST),
    "a checkpoint's state": lambda: checkpoint_file(STATE),
    "a checkpoint's tensors": lambda: checkpoint_file(TENSORS),
    "run.json": lambda: run_file("run.json"),
    "events.jsonl": lambda: run_file("events.jsonl"),
    "results.json": lambda: run_file("results.json"),
    "a fitted model": model,
}
