"""Parsers of files that anybody may hand in: errors of the contract, bounded time and memory; good files come back."""

import csv
import io
import json
import string
import sys
import time
import unicodedata

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from fewlabels.data.labels.csv import LabelOptions
from fewlabels.data.labels.files import read_labels
from fewlabels.data.tables.embeddings import read_embeddings
from fewlabels.data.tables.files import read_errors
from fewlabels.errors import EmbeddingError, RunError
from fewlabels.estimator import LabelPropagationClassifier
from fewlabels.runs import RunWriter, read_run
from fewlabels.storage import durable
from fewlabels.training.checkpoint import Checkpoint, Snapshot, read_checkpoint, write_checkpoint
from tests.faults.fuzz import MEMORY, Parser, problems
from tests.faults.lanes import size
from tests.faults.parsers import IDENTITY, PARSERS, SEED, npy_files
from tests.training.stores import state

pytestmark = [
    pytest.mark.lane("F10"),
    pytest.mark.skipif(sys.platform != "linux", reason="limits memory as Linux does"),
]


@pytest.fixture(autouse=True, scope="module")
def unflushed():
    """Nobody cuts the power here, and flushing takes most of the time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(durable, "_fsync", lambda descriptor: None)
        yield


@pytest.mark.parametrize("name", PARSERS)
def test_a_changed_file_is_read_or_refused_by_the_contract(tmp_path, tally, name):
    count = size(60, 20_000 // len(PARSERS) + 1, 1_000_000 // len(PARSERS) + 1)
    wrong = problems(PARSERS[name](), tmp_path, count, SEED)
    tally(count, len(wrong))
    assert wrong == []


# What the lane has found


def test_a_npy_header_that_does_not_end_is_refused(tmp_path):
    text = b"{'descr': '<f4', 'fortran_order': False, 'shape': (2, \n"
    (tmp_path / "e.npy").write_bytes(b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text)
    with pytest.raises(EmbeddingError, match="FL-E12"):
        read_embeddings(tmp_path / "e.npy")


def test_a_model_with_an_unknown_compression_is_refused(tmp_path):
    data = bytearray(PARSERS["a fitted model"]().files[0])
    data[data.index(b"PK\1\2") + 10] = 99
    (tmp_path / "m.npz").write_bytes(data)
    with pytest.raises(RunError, match="FL-K2"):
        LabelPropagationClassifier.load(tmp_path / "m.npz")


def test_a_table_that_asks_for_more_memory_than_there_is_is_damaged_and_one_that_asks_for_less_is_not(tmp_path):
    with pytest.raises(EmbeddingError, match=r"FL-E18 .*asks for 1,688,851,695,629,440 bytes"):
        raise_through_read_errors(tmp_path, "malloc of size 1688851695629440 failed")
    with pytest.raises(MemoryError):
        raise_through_read_errors(tmp_path, "malloc of size 65536 failed")


def raise_through_read_errors(folder, message):
    (folder / "e.arrow").write_bytes(b"")
    with read_errors(folder / "e.arrow", EmbeddingError):
        raise pa.ArrowMemoryError(message)


# parse(write(x)) == x

cells = st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=12)
ROUND = settings(
    max_examples=size(15, 100, 5000),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def is_seen(text):
    """Whether anybody sees it: a label of blanks and control characters is refused (L19)."""
    return any(unicodedata.category(one)[0] not in "CZ" for one in unicodedata.normalize("NFKC", text))


@ROUND
@given(st.dictionaries(cells.filter(bool), cells.filter(lambda one: is_seen(one) or not one), min_size=1, max_size=8))
def test_labels_come_back_as_they_were_written(tmp_path, rows):
    with (tmp_path / "l.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, quoting=csv.QUOTE_ALL).writerows([("id", "label"), *rows.items()])
    found = read_labels(tmp_path / "l.csv", LabelOptions(real_label=sorted(set(rows.values()))))
    assert dict(zip(found.ids, found.labels, strict=True)) == {id: name or None for id, name in rows.items()}


numbers = st.one_of(
    arrays.arrays(dtype, st.tuples(st.integers(1, 6), st.integers(1, 6)), elements={"min_value": 1, "max_value": 100})
    for dtype in (np.float32, np.float64, np.dtype(">f4"), np.int8, np.uint16)
)


@ROUND
@given(numbers)
def test_embeddings_come_back_as_they_were_written(tmp_path, values):
    np.save(tmp_path / "e.npy", values)
    pq.write_table(pa.table({"embedding": values.astype(float).tolist()}), tmp_path / "e.parquet")
    for name in ("e.npy", "e.parquet"):
        assert np.array_equal(read_embeddings(tmp_path / name).values, values)


values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats(allow_nan=False, allow_infinity=False) | cells,
    lambda one: st.lists(one, max_size=3) | st.dictionaries(cells, one, max_size=3),
    max_leaves=8,
)


@ROUND
@given(st.dictionaries(st.text(string.ascii_letters, min_size=1), values, max_size=4))
def test_what_a_checkpoint_holds_comes_back(tmp_path_factory, held):
    folder = tmp_path_factory.mktemp("c") / "step-00000003"
    write_checkpoint(folder, Checkpoint(3, IDENTITY, Snapshot(state(3).tensors, held)))
    assert read_checkpoint(folder).snapshot.values == held


@ROUND
@given(st.dictionaries(st.text(string.ascii_letters, min_size=1), values, max_size=4))
def test_what_a_run_is_told_comes_back(tmp_path_factory, told):
    writer = RunWriter(tmp_path_factory.mktemp("r") / "run", "train", {"told": told})
    results = {"num_rows": 3, "num_labeled": 1, "unreached": 0, "told": told}
    writer.results(results)
    assert (read_run(writer.folder).settings, read_run(writer.folder).results) == ({"told": told}, results)


# Faulty readers


def raw_numpy(path):
    return np.load(path, allow_pickle=False)


def trusting_csv(path):
    rows = list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"))))
    return {row["id"]: row["label"] for row in rows}


def slow(path):
    began = time.thread_time()
    while path.read_bytes() != GOOD_CSV[0] and time.thread_time() - began < 2.1:
        pass


def greedy(path):
    """Takes a length in the file for true."""
    return bytearray(2 * MEMORY if path.read_bytes()[-1:] != b"\n" else 1)


def trusting_json(path):
    return json.loads(path.read_text())["settings"]


GOOD_CSV = [b"id,label\na,cat\nb,dog\n\n"]
FAULTY = {
    "numpy alone": lambda: Parser(raw_numpy, npy_files()[:1], "rows.npy"),
    "a trusting CSV reader": lambda: Parser(trusting_csv, GOOD_CSV, "labels.csv"),
    "a slow one": lambda: Parser(slow, GOOD_CSV, "labels.csv"),
    "one that takes much memory": lambda: Parser(greedy, GOOD_CSV, "labels.csv"),
    "a trusting JSON reader": lambda: Parser(trusting_json, [b'{"settings": {"a": [1, 2, 3]}}'], "run.json"),
}


@pytest.mark.lane("F10", faulty=True)
@pytest.mark.parametrize("name", FAULTY)
def test_a_faulty_reader_is_found(tmp_path, name):
    assert problems(FAULTY[name](), tmp_path, 1 if name == "a slow one" else 60, SEED)
