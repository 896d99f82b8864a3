"""New photos get labels by the model of a run, and are called sure as its held-out labels allow."""

import csv
import io
import json
import os
import shutil
import warnings
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

import fewlabels
from fewlabels.choosing.abstain import Curve, measure_curve
from fewlabels.cli.main import run as run_command
from fewlabels.commands.classify import run_classify
from fewlabels.commands.classify_options import ClassifyOptions
from fewlabels.commands.sorting import folder_names
from fewlabels.errors import ConfigError, ImageError, InputWarning, RunError
from fewlabels.nets.model import load_model
from tests.commands.taken_along import NAMES, stripes, train_tiny, write_photos

QUIET = ClassifyOptions(device="cpu", quiet=True)
EASY = ClassifyOptions(device="cpu", quiet=True, wanted_error=0.2)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a run of 30 labels, one of 3, and 24 new photos, one of them cut in half."""
    folder = tmp_path_factory.mktemp("classify")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FEWLABELS_CACHE", str(folder / "cache"))
        patch.chdir(folder)
        train_tiny(folder, "run", 30)
        train_tiny(folder, "one-each", 3)
        write_photos(folder / "new", range(100, 124))
        broken = folder / "new" / "107.png"
        broken.write_bytes(broken.read_bytes()[:90])
        yield folder


@pytest.fixture(autouse=True)
def out(place, tmp_path):
    return tmp_path / "labels.csv"


def rows_of(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def classify(run, photos, out, options=QUIET):
    with pytest.warns(InputWarning, match="FL-I1"):
        return run_classify(Path(run), [Path(photo) for photo in photos], out, options)


def test_each_photo_of_a_folder_gets_a_row_and_the_unreadable_one_is_listed(place, out):
    results = classify("run", ["new"], out)
    rows = rows_of(out)
    assert [row["id"] for row in rows] == [f"{number}.png" for number in range(100, 124) if number != 107]
    assert list(rows[0]) == ["id", "label", "probability", "sure"]
    assert np.mean([row["label"] == NAMES[int(row["id"][:3]) % 3] for row in rows]) > 0.8
    assert [row["id"] for row in rows_of(out.with_name("labels.rejected.csv"))] == ["107.png"]
    assert (results["num_rows"], results["num_rejected"]) == (23, 1)
    assert sum(results["class_counts"].values()) == 23


def test_the_command_and_python_give_one_answer(place, out):
    classify("run", ["new"], out, EASY)
    with pytest.warns(InputWarning):
        found = fewlabels.load_model("run", device="cpu").predict("new", wanted_error=0.2)
    told = {
        id: (label, share, sure)
        for id, label, share, sure in zip(found.id, found.label, found.probability.max(axis=1), found.sure, strict=True)
        if label is not None
    }
    for row in rows_of(out):
        label, share, sure = told[row["id"]]
        assert (row["label"], row["sure"]) == (label, str(bool(sure)).lower())
        assert float(row["probability"]) == pytest.approx(share, abs=1e-15)
    assert found.calibrated


def test_an_answer_does_not_depend_on_the_photos_beside_it(place, out):
    classify("run", ["new"], out)
    alone = run_classify(Path("run"), [Path("new/100.png")], out.with_name("alone.csv"), QUIET)
    assert alone["num_rows"] == 1
    assert rows_of(out.with_name("alone.csv"))[0]["probability"] == rows_of(out)[0]["probability"]


def test_several_folders_and_files_are_told_apart_by_their_paths(place, out):
    write_photos(place / "other", range(200, 203))
    results = run_classify(Path("run"), [Path("other"), Path("new/100.png"), Path("other")], out, QUIET)
    assert [row["id"] for row in rows_of(out)] == [f"other/{number}.png" for number in (200, 201, 202)] + [
        "new/100.png"
    ]
    assert results["num_rejected"] == 0


def test_parquet_goes_in_and_comes_out(place, out):
    files = []
    for number in (300, 301, 302):
        file = io.BytesIO()
        Image.fromarray(stripes(number)).save(file, "PNG")
        files.append(file.getvalue())
    pq.write_table(pa.table({"id": ["a", "b", "c"], "image": files}), place / "photos.parquet")
    run_classify(Path("run"), [Path("photos.parquet")], out.with_suffix(".parquet"), QUIET)
    table = pq.read_table(out.with_suffix(".parquet"))
    assert table.column_names == ["id", "label", "probability", "sure"]
    assert table["label"].to_pylist() == list(NAMES)
    assert table.schema.field("sure").type == pa.bool_()


def test_a_run_that_held_nothing_out_says_so_and_calls_nothing_sure(place, out, capsys):
    results = classify("one-each", ["new"], out)
    assert not results["calibrated"]
    assert results["sure"] is None
    assert {row["sure"] for row in rows_of(out)} == {""}
    with pytest.warns(InputWarning):
        assert run_command(["classify", "one-each", "new", "--out", str(out), "--force"]) == 0
    assert "not calibrated" in capsys.readouterr().out
    with pytest.warns(InputWarning):
        assert fewlabels.load_model("one-each", device="cpu").predict("new").sure is None


def test_an_error_that_the_labels_cannot_show_makes_nothing_sure_and_the_reason_is_told(place, out, capsys):
    with pytest.warns(InputWarning):
        assert run_command(["classify", "run", "new", "--out", str(out), "--wanted-error", "0.001", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["sure"]["num_sure"] == 0
    assert "30 held-out labels cannot show an error of 0.001" in told["sure"]["reason"]
    assert {row["sure"] for row in rows_of(out)} == {"false"}


def test_the_command_says_what_it_did_and_what_comes_next(place, out, capsys):
    with pytest.warns(InputWarning):
        assert run_command(["classify", "run", "new", "--out", str(out), "--wanted-error", "0.2"]) == 0
    text = capsys.readouterr().out
    assert "23 photos classified: " in text
    assert "are sure, with a probability of" in text
    assert "fewlabels export-model run --onnx model.onnx" in text


def test_photos_of_the_run_itself_are_told_apart_from_new_ones(place, out, capsys):
    told = "Some of these photos are the run's own, which it was trained on"
    for photos, is_own in (("photos", True), ("photos/000.png", True), ("new", False)):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", InputWarning)
            words = ["classify", "run", photos, "--out", str(out), "--wanted-error", "0.2", "--force"]
            assert run_command(words) == 0
        assert (told in capsys.readouterr().out) == is_own


def test_nothing_is_overwritten_without_force(place, out):
    out.write_text("mine")
    with pytest.raises(ConfigError, match="FL-C9"):
        run_classify(Path("run"), [Path("new")], out, QUIET)
    assert out.read_text() == "mine"
    with pytest.raises(ConfigError, match="FL-C10"):
        run_classify(Path("run"), [Path("new")], Path("new/labels.csv"), QUIET)
    with pytest.raises(ConfigError, match="FL-C9 the output is in the folder of the run"):
        run_classify(Path("run"), [Path("new")], Path("run/labels.csv"), QUIET)
    with pytest.raises(ConfigError, match="FL-C16"):
        run_classify(Path("run"), [Path("new")], out.with_suffix(".txt"), QUIET)


def test_where_most_photos_are_unreadable_it_is_the_wrong_folder_and_no_table_appears(place, out, tmp_path):
    for number in range(3):
        (tmp_path / "bad").mkdir(exist_ok=True)
        (tmp_path / "bad" / f"{number}.jpg").write_bytes(b"no image")
    with pytest.raises(ImageError, match="FL-I35 3 of 3"):
        run_classify(Path("run"), [tmp_path / "bad"], out, QUIET)
    assert not out.exists()


def test_photos_are_sorted_into_folders_by_class(place, out, tmp_path):
    into = tmp_path / "sorted"
    write_photos(tmp_path / "again", [100])  # another photo of a name that is there
    options = ClassifyOptions(device="cpu", quiet=True, sort_into=into)
    results = classify("run", ["new", tmp_path / "again"], out, options)
    assert sorted(path.name for path in into.iterdir()) == sorted(NAMES)
    labels = {row["id"]: row["label"] for row in rows_of(out)}
    for id, label in labels.items():
        if not id.startswith(str(tmp_path)):
            assert (into / label / Path(id).name).read_bytes() == Path(id).read_bytes()
    assert len(list(into.rglob("100*.png"))) == 2
    assert results["sorted"] == {"into": str(into), "num_photos": 24}
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]
    with pytest.raises(ConfigError, match="FL-C9 the folder to sort into is not empty"):
        run_classify(Path("run"), [Path("new")], out.with_name("b.csv"), options)


def test_only_sure_photos_are_linked_where_that_is_asked_for(place, out, tmp_path):
    into = tmp_path / "links"
    options = ClassifyOptions(device="cpu", quiet=True, sort_into=into, links=True, only_sure=True, wanted_error=0.2)
    results = classify("run", ["new"], out, options)
    links = [path for path in into.rglob("*") if path.is_symlink()]
    assert len(links) == results["sure"]["num_sure"] > 0
    assert all(os.path.realpath(link) == str((place / "new" / link.name).resolve()) for link in links)


def test_sorting_options_that_make_no_sense_are_refused_before_anything_is_read(place, out, tmp_path):
    with pytest.raises(ConfigError, match="FL-C130 --links without --sort-into"):
        run_classify(Path("run"), [Path("new")], out, ClassifyOptions(links=True))
    sure = ClassifyOptions(device="cpu", sort_into=tmp_path / "s", only_sure=True)
    with pytest.raises(ConfigError, match="FL-C131 nobody can tell which labels are sure"):
        run_classify(Path("one-each"), [Path("new")], out, sure)
    with pytest.raises(ConfigError, match="FL-C122"):
        run_classify(Path("run"), [Path("new")], out, ClassifyOptions(wanted_error=5))
    assert not out.exists()


def test_a_sorting_that_fails_leaves_nothing_behind(place, out, tmp_path, monkeypatch):
    def fail(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shutil, "copy2", fail)
    with pytest.raises(fewlabels.FewlabelsError, match="FL-D1"):
        classify("run", ["new"], out, ClassifyOptions(device="cpu", quiet=True, sort_into=tmp_path / "sorted"))
    assert [path.name for path in tmp_path.iterdir() if "sorted" in path.name] == []
    assert len(rows_of(out)) == 23


def test_names_of_classes_become_names_of_folders_that_every_system_takes():
    found = folder_names(["cat", "Cat", "AC/DC", "..", "con", "a.", "", "é" * 200])
    assert found[:6] == ["cat", "Cat-2", "AC%2FDC", "%2E%2E", "%63on", "a%2E"]
    assert len(set(found)) == 8
    assert all(name and len(name.encode()) <= 200 for name in found)


def test_the_threshold_of_a_thinned_curve_keeps_its_counts():
    rng = np.random.default_rng(0)
    share = rng.uniform(0.34, 1, 2000)
    logs = np.log(np.stack([share, 1 - share], axis=1))
    classes = (rng.uniform(size=2000) > share).astype(np.int64)
    whole = measure_curve(logs, classes)
    thin = whole.thin(200)
    assert len(thin.kept) == 200
    assert thin.num_held_out == 2000
    one, other = whole.find_threshold(0.1), thin.find_threshold(0.1)
    assert one.probability <= other.probability <= one.probability + 0.02
    assert other.error.value <= 0.1
    assert isinstance(whole, Curve)


def test_a_forged_curve_is_refused(place, tmp_path):
    folder = tmp_path / "forged"
    folder.mkdir()
    shutil.copy("run/model.safetensors", folder)
    config = json.loads(Path("run/model.json").read_text())
    config["held_out"]["wrong"][-1] = 10**6
    (folder / "model.json").write_text(json.dumps(config))
    with pytest.raises(RunError, match="FL-K16"):
        load_model(folder, device="cpu")
