"""`fewlabels describe`, its table, and `propagate` of it."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

import fewlabels as fl
from fewlabels.data.tables.embeddings import read_embeddings
from fewlabels.describing.table import write_descriptors
from tests.cli.typed import run
from tests.describing.conftest import save_photo

pytestmark = [pytest.mark.usefixtures("tiny_backbone"), pytest.mark.filterwarnings("ignore:FL-I1 left out")]


def facts(path):
    return json.loads(pq.read_schema(path).metadata[b"fewlabels"])


def test_the_table_has_ids_embeddings_and_how_they_were_made(photos, tmp_path, capsys):
    out = tmp_path / "descriptors.parquet"
    status, said, told = run(capsys, "describe", photos, "--out", out, "--mirror")
    assert status == 0
    assert "40 photos described by tiny0, 24 numbers each" in said
    assert "1 cannot be used" in said
    assert f"fewlabels propagate {out} --labels labels.csv" in said
    assert "41 photos by tiny0 at 32 x 32 pixels, with mirror images, 24 numbers each: about a second" in told
    table = pq.read_table(out)
    assert table.column_names == ["id", "embedding"]
    assert str(table.schema.field("embedding").type) == "fixed_size_list<element: float not null>[24]"
    same = fl.describe(photos, mirror=True, quiet=True)
    assert np.array_equal(read_embeddings(out).values, same.values)
    made = facts(out)
    assert (made["model"], made["mirror"], made["precision"], made["fewlabels"]) == (
        "tiny0",
        True,
        "float32",
        fl.__version__,
    )
    assert made["preprocessing"]["size"] == 32
    assert len(made["weights"]) == 64
    rejected = (tmp_path / "descriptors.rejected.csv").read_text().splitlines()
    assert rejected[0] == "id,reason"
    assert rejected[1].startswith("broken.jpg,")


def test_json_says_the_same_for_programs(photos, tmp_path, capsys):
    status, said, _ = run(capsys, "describe", photos, "--out", tmp_path / "d.parquet", "--json", "--quiet")
    results = json.loads(said)
    assert status == 0
    assert (results["num_rows"], results["num_rejected"], results["computed"], results["known"]) == (40, 1, 40, 0)


def test_propagate_takes_the_table_with_its_labels_and_says_where_it_comes_from(tmp_path, capsys):
    for kind, shade in (("dark", 40), ("light", 200)):
        for at in range(12):
            place = kind if at < 2 else "unlabeled"
            image = np.random.default_rng(at).integers(shade - 30, shade + 30, (32, 32, 3), dtype=np.uint8)
            path = tmp_path / "photos" / place / f"{kind}{at}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(path)
    out = tmp_path / "d.parquet"
    assert run(capsys, "describe", tmp_path / "photos", "--out", out)[0] == 0
    words = ["propagate", out, "--out", tmp_path / "l.parquet", "--n-neighbors", "5", "--no-report"]
    status, _, told = run(capsys, *words)
    assert status == 0
    assert "made by fewlabels describe: tiny0, 32 pixels" in told
    labelled = pq.read_table(tmp_path / "l.parquet").to_pydict()
    right = [label in id for id, label in zip(labelled["id"], labelled["label"], strict=True)]
    assert sum(right) == 24


def test_an_output_that_exists_or_is_among_the_photos_is_refused_before_anything_is_loaded(photos, tmp_path, capsys):
    out = tmp_path / "d.parquet"
    out.write_text("mine")
    assert run(capsys, "describe", photos, "--out", out)[2].startswith("error: FL-C9 ")
    assert out.read_text() == "mine"
    assert run(capsys, "describe", photos, "--out", photos / "d.parquet")[2].startswith("error: FL-C10 ")
    assert run(capsys, "describe", photos, "--out", tmp_path / "d.csv")[2].startswith("error: FL-C16 ")
    assert run(capsys, "describe", tmp_path / "none", "--out", tmp_path / "e.parquet")[2].startswith("error: FL-I30 ")


def test_a_failure_leaves_the_table_that_was_there(photos, tmp_path, capsys):
    out = tmp_path / "d.parquet"
    out.write_text("mine")
    status, _, told = run(capsys, "describe", photos, "--out", out, "--force", "--on-bad-image", "fail")
    assert (status, told.splitlines()[-1].partition(" images")[0]) == (2, "error: FL-I1")
    assert out.read_text() == "mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cache", "d.parquet", "photos"]


def test_rows_are_written_in_groups(tmp_path, monkeypatch):
    from fewlabels.describing import table

    monkeypatch.setattr(table, "GROUP_BYTES", 160)
    values = np.random.default_rng(0).random((33, 4), np.float32)
    with write_descriptors(tmp_path / "d.parquet", 4, {"model": "x"}, has_labels=True) as writer:
        for at, row in enumerate(values):
            writer.add(f"id{at}", row, "odd" if at % 2 else None)
    assert pq.ParquetFile(tmp_path / "d.parquet").num_row_groups == 4
    found = read_embeddings(tmp_path / "d.parquet")
    assert np.array_equal(found.values, values)
    assert found.names.to_pylist()[:3] == [None, "odd", None]


def test_the_command_of_the_cache_says_where_and_clears(photos, tmp_path, capsys, empty_cache):
    assert run(capsys, "describe", photos, "--out", tmp_path / "d.parquet", "--quiet")[0] == 0
    assert str(empty_cache) in run(capsys, "cache")[1]
    assert run(capsys, "cache", "tiny0", "--clear")[1].startswith("removed ")
    assert json.loads(run(capsys, "cache", "--json")[1])["models"] == []


def test_the_forecast_and_the_pace_are_said_of_many_photos(tmp_path, capsys, monkeypatch):
    from fewlabels.commands import progress

    monkeypatch.setattr(progress, "SECONDS_TO_FIRST_LINE", 0.0)
    monkeypatch.setattr(progress, "LEAST_SECONDS", 0.0)
    for seed in range(30):
        save_photo(tmp_path / "photos" / f"{seed}.png", seed)
    _, _, told = run(capsys, "describe", tmp_path / "photos", "--out", tmp_path / "d.parquet")
    assert "30 photos by tiny0" in told
    assert "photos/s" in told
