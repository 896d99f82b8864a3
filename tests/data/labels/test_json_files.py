"""Label files in JSON: what pandas, Hugging Face and Label Studio write."""

from __future__ import annotations

import json
import warnings

import pandas as pd
import pytest

from fewlabels.data.labels.csv import LabelOptions
from fewlabels.data.labels.files import read_labels
from fewlabels.errors import InputWarning, LabelError

PAIRS = {"a": "cat", "b": None, "c": "dog"}


def read(tmp_path, content, name="l.json", **options):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    found = read_labels(path, LabelOptions(**options))
    return dict(zip(found.ids, found.labels, strict=True))


@pytest.mark.parametrize("orient", ["records", "columns", "index", "split", "table"])
@pytest.mark.parametrize("index", [True, False])
def test_every_form_of_pandas_is_read(tmp_path, orient, index):
    table = pd.DataFrame({"id": PAIRS.keys(), "label": PAIRS.values()})
    if index and orient != "records":
        table = table.set_index("id")
        table.index.name = "id" if orient == "table" else None
    assert read(tmp_path, table.to_json(orient=orient)) == PAIRS


@pytest.mark.parametrize("name", ["l.json", "l.jsonl", "l.ndjson", "l.txt"])
def test_lines_are_read_whatever_the_ending(tmp_path, name):
    lines = "".join(json.dumps({"id": id, "label": label}) + "\n" for id, label in PAIRS.items())
    assert read(tmp_path, lines, name) == PAIRS
    assert read(tmp_path, "\ufeff" + lines.replace("\n", "\r\n\r\n"), name) == PAIRS


def test_metadata_of_hugging_face_are_joined_by_file_name(tmp_path):
    lines = '{"file_name": "a.png", "label": 1, "text": "x"}\n{"file_name": "b.png", "label": 0}\n'
    assert read(tmp_path, lines, "metadata.jsonl") == {"a.png": "1", "b.png": "0"}
    (tmp_path / "metadata.csv").write_text("file_name,label\na.png,cat\n")
    assert read_labels(tmp_path / "metadata.csv").ids == ["a.png"]


def task(id, *choices, cancelled=False, **data):
    annotations = [
        {"id": 7, "was_cancelled": cancelled, "result": [{"type": "choices", "value": {"choices": one}}] if one else []}
        for one in choices
    ]
    return {"id": 99, "data": {"id": id} | data, "annotations": annotations, "predictions": [{"result": []}]}


@pytest.mark.parametrize("indent", [None, 1])
def test_tasks_of_label_studio_are_read_by_the_id_of_their_data(tmp_path, indent):
    tasks = [task("a", ["cat"], text="x"), task("b"), task(7, ["dog"], ["dog"]), task("d", ["cat"], cancelled=True)]
    with pytest.warns(InputWarning, match="FL-L13"):
        found = read(tmp_path, json.dumps(tasks, indent=indent))
    assert found == {"a": "cat", "b": None, "7": "dog", "d": None}


@pytest.mark.parametrize(
    ("tasks", "code", "what"),
    [
        ([task("a", ["cat", "dog"])], "L44", "cells with several labels"),
        ([task("a", ["cat"], ["dog"])], "L14", "an id with two different labels"),
        ([{"data": {"text": "a cat"}, "annotations": []}], "L31", "whose data has no id, but 'text'"),
        (
            [{"data": {"id": 1}, "annotations": [{"result": [{"type": "rectanglelabels", "value": {}}]}]}],
            "L31",
            "rectangle",
        ),
    ],
)
def test_tasks_that_say_no_one_class_are_refused(tmp_path, tasks, code, what):
    with pytest.raises(LabelError, match=f"FL-{code} .*{what}"):
        read(tmp_path, json.dumps(tasks))


def test_the_short_export_of_label_studio_is_read(tmp_path):
    records = [{"id": 1, "text": "x", "label": "cat"}, {"id": 2, "text": "y", "label": {"choices": ["dog"]}}]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert read(tmp_path, json.dumps(records)) == {"1": "cat", "2": "dog"}


@pytest.mark.parametrize(
    ("content", "code", "what"),
    [
        ("", "L11", "an empty file"),
        ("[]", "L31", "a list of labels without ids"),
        ("[{}]", "L11", "no data rows"),
        ('["cat", "dog"]', "L31", "--labels-by-position"),
        ('[{"id": "a", "label": "cat"', "L28", "no whole JSON"),
        ('{"id": "a", "label": "cat"}\n{"id": "b", "label": \n', "L28", "l.json:2"),
        ("[" * 100_000, "L28", "no whole JSON"),
        ('[{"name": "a", "class": "cat"}]', "L31", "columns 'name', 'class'; expected id and label"),
        ('[{"id": "a", "label": 2.5}]', "L22", "the label 2.5"),
        ('[{"id": 1.5, "label": "cat"}]', "L32", "the id '1.5'"),
        ('[{"id": null, "label": "cat"}]', "L32", "a row without an id"),
        ('[{"id": "a", "label": ["cat", "dog"]}]', "L44", "several labels"),
        ('{"images": [1], "categories": [2]}', "L31", "columns 'images', 'categories'"),
        (b'[{"id": "a", "label": "caf\xe9"}]', "L8", "not UTF-8"),
        ("3", "L28", "no table of labels"),
    ],
)
def test_refuses_other_json(tmp_path, content, code, what):
    with pytest.raises(LabelError, match=f"FL-{code} ") as caught:
        read(tmp_path, content)
    assert what in str(caught.value)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32", "utf-8-sig"])
@pytest.mark.parametrize("name", ["l.json", "l.jsonl"])
def test_json_shows_its_encoding_by_itself(tmp_path, encoding, name):
    (tmp_path / name).write_bytes('{"id": "\xe9", "label": "cat"}\n'.encode(encoding))
    assert read_labels(tmp_path / name).ids == ["\xe9"]


@pytest.mark.parametrize("text", ['{"a": "cat", "a": "dog"}', '[{"id": "a", "id": "b", "label": "cat"}]'])
def test_a_key_with_two_values_is_refused_where_json_would_keep_the_last(tmp_path, text):
    (tmp_path / "l.json").write_text(text)
    with pytest.raises(LabelError, match=r"FL-L28 .*the key '(a|id)' has two values"):
        read_labels(tmp_path / "l.json")


@pytest.mark.parametrize(
    "text",
    [
        '{"id": ["a", "b"], "label": ["cat"]}',
        '{"columns": ["id", "label"], "data": [["a", "cat"], ["b"]]}',
        '{"columns": ["id", "label"], "index": [0], "data": [["a", "cat"], ["b", "dog"]]}',
    ],
)
def test_columns_of_different_lengths_are_refused(tmp_path, text):
    (tmp_path / "l.json").write_text(text)
    with pytest.raises(LabelError, match="FL-L5 lists of different lengths"):
        read_labels(tmp_path / "l.json")


@pytest.mark.parametrize("text", ['[{"id": "\\ud83d", "label": "cat"}]', '[{"id": "a", "label": "\\ude00"}]'])
def test_half_of_a_pair_of_surrogates_is_refused(tmp_path, text):
    (tmp_path / "l.json").write_text(text)
    with pytest.raises(LabelError, match=r"FL-L8 half of a pair of surrogates, .*l\.json:1"):
        read_labels(tmp_path / "l.json")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("l.json", '{"ID": "a", "Label": "cat"}'),
        ("l.jsonl", '{"ID": "a", "Label": "cat"}'),
        ("l.json", '{"file_name": "a", "label": "cat"}'),
    ],
)
def test_one_record_alone_is_no_mapping(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    found = read_labels(tmp_path / name)
    assert (found.ids, found.labels) == (["a"], ["cat"])
