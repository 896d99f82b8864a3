"""Texts in tables and files -> descriptors of a static embedding that a wheel carries."""

import json
import logging
import os
import subprocess
import sys
from importlib.util import find_spec

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fewlabels import errors
from fewlabels.describing.texts import TextDescriber, read_texts
from fewlabels.errors import ConfigError, EmbeddingError
from tests.cli.typed import run

SPORT = ["the striker scored a late goal", "our team won the football match", "a tennis player served an ace"]
FOOD = ["bake the bread with butter", "a soup of onions and cheese", "roast the chicken with garlic"]
MISSING = any(find_spec(name) is None for name in ("wordllama", "tokenizers"))
installed = pytest.mark.skipif(MISSING, reason="the extra `text` is not installed")


def write_csv(path, texts=(*SPORT, *FOOD)):
    labels = {0: "sport", 3: "food"}
    lines = [f"t{at},{text},{labels.get(at, '')}" for at, text in enumerate(texts)]
    path.write_text("\n".join(["id,text,label", *lines]))
    return path


def test_kinds_of_files_give_the_same_texts_ids_and_labels(tmp_path):
    texts = [*SPORT, *FOOD]
    found = read_texts(write_csv(tmp_path / "t.csv"))
    rows = [
        {"id": id, "text": text, "label": label} for id, text, label in zip(found.ids, texts, found.labels, strict=True)
    ]
    (tmp_path / "t.jsonl").write_text("\n".join(map(json.dumps, rows)))
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "t.parquet")
    assert (list(found.texts), found.labels[0], found.labels[1]) == (texts, "sport", None)
    assert read_texts(tmp_path / "t.jsonl") == found
    assert read_texts(tmp_path / "t.parquet") == found
    (tmp_path / "t.txt").write_text("\n".join(texts))
    plain = read_texts(tmp_path / "t.txt")
    assert (plain.texts, plain.ids, plain.labels) == (texts, ["0", "1", "2", "3", "4", "5"], None)


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [
        ("t.csv", "id,body\n1,x\n", "FL-E31"),
        ("t.csv", "id,text\n1,x\n1,y\n", "FL-E21"),
        ("t.csv", 'id,text\n1,"x', "FL-E18"),
        ("t.jsonl", "{}\n", "FL-E31"),
        ("t.jsonl", "{\n", "FL-E18"),
        ("t.jsonl", "[1]\n", "FL-E31"),
        ("t.csv", "id,text\n", "FL-E8"),
        ("t.doc", "x", "FL-E32"),
        ("t.parquet", "x", "FL-E18"),
    ],
)
def test_files_without_texts_are_refused(tmp_path, name, content, code):
    (tmp_path / name).write_text(content)
    with pytest.raises(EmbeddingError, match=code):
        read_texts(tmp_path / name)


def test_a_missing_package_is_one_line(monkeypatch):
    monkeypatch.setattr(errors, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"FL-C23 texts need wordllama, .*\[text\]"):
        TextDescriber()


@installed
def test_a_text_has_the_bytes_that_it_has_alone_and_texts_of_a_kind_are_close():
    describer = TextDescriber()
    rows = describer([*SPORT, *FOOD])
    assert rows.shape == (6, 256)
    alone = np.concatenate([describer([text]) for text in (*SPORT, *FOOD)])
    assert rows.tobytes() == alone.tobytes()
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    near = unit @ unit.T
    assert min(near[0, 1], near[3, 4]) > near[:3, 3:].max() - 0.1
    assert near[:3, :3].mean() > near[:3, 3:].mean()


@installed
def test_it_is_what_the_package_itself_computes():
    code = (
        "import sys, json, wordllama; from pathlib import Path; "
        "m = wordllama.WordLlama.load(cache_dir=Path(wordllama.__file__).parent, disable_download=True); "
        "print(json.dumps(m.embed(json.loads(sys.argv[1])).tolist()))"
    )
    texts = [*SPORT, *FOOD, "word " * 5000]
    done = subprocess.run([sys.executable, "-c", code, json.dumps(texts)], capture_output=True, text=True, check=True)
    assert np.allclose(TextDescriber()(texts), np.array(json.loads(done.stdout), np.float32), atol=1e-5)


@installed
def test_the_package_is_not_imported_and_logging_stays_as_it_is(tmp_path, capsys):
    before = list(logging.getLogger().handlers)
    assert (
        run(capsys, "describe", write_csv(tmp_path / "t.csv"), "--column", "text", "--out", tmp_path / "d.parquet")[0]
        == 0
    )
    assert "wordllama" not in sys.modules
    assert logging.getLogger().handlers == before


@installed
def test_texts_become_a_table_that_propagate_labels(tmp_path, capsys):
    texts = write_csv(tmp_path / "t.csv", [*SPORT, *FOOD, ""])
    status, said, _ = run(capsys, "describe", texts, "--out", tmp_path / "d.parquet")
    assert (status, "6 texts described by wordllama" in said) == (0, True)
    assert (tmp_path / "d.rejected.csv").read_text() == "id,reason\nt6,no words\n"
    words = [
        "propagate",
        tmp_path / "d.parquet",
        "--out",
        tmp_path / "l.csv",
        "--n-neighbors",
        "3",
        "--no-report",
        "-q",
    ]
    assert run(capsys, *words)[0] == 0
    labels = [line.split(",")[1].strip('"') for line in (tmp_path / "l.csv").read_text().splitlines()[1:]]
    assert labels == ["sport"] * 3 + ["food"] * 3


@installed
def test_texts_without_words_in_most_cells_are_an_error(tmp_path, capsys):
    texts = write_csv(tmp_path / "t.csv", ["a word", "", ""])
    assert (
        run(capsys, "describe", texts, "--out", tmp_path / "d.parquet")[2]
        .splitlines()[-1]
        .startswith("error: FL-E39 2 of 3")
    )
    assert "d.parquet" not in os.listdir(tmp_path)
