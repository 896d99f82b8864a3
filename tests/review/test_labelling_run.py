"""A labelling is a kind of run: other commands take a finished one, and say what an open one needs."""

import csv
import time

import numpy as np
import pytest

from fewlabels.cli.main import run as run_command
from fewlabels.commands.export import read_answers
from fewlabels.runs import is_finished, read_facts, read_run, verify_run
from tests.commands.taken_along import NAMES, write_photos
from tests.review.labelling import label_by

pytestmark = pytest.mark.filterwarnings("ignore:FL-G24", "ignore:FL-I1")
KINDS = np.random.default_rng(0).integers(0, 3, 150)
TRUTH = [("cat", "dog", "bird")[kind] for kind in KINDS]
ANSWERS = 55  # every fifth is sampled: enough for an estimate


def write_rows(path, number):
    kinds = KINDS if number == 1 else KINDS[:40]
    points = 2 * np.eye(3)[kinds] + 0.3 * np.random.default_rng(number).normal(size=(len(kinds), 3))
    np.save(path, points.astype(np.float32))


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A finished labelling of 150 rows, 40 new rows; one of 60 photos, 24 new ones of which one is broken."""
    folder = tmp_path_factory.mktemp("labelling")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FEWLABELS_CACHE", str(folder / "cache"))
        patch.chdir(folder)
        write_rows("rows.npy", 1)
        write_rows("new.npy", 2)
        write_photos(folder / "photos", range(60), 64)
        write_photos(folder / "new", range(100, 124), 64)
        (folder / "new" / "107.png").write_bytes((folder / "new" / "107.png").read_bytes()[:90])
        photo_truth = [NAMES[number % 3] for number in range(60)]
        label_by(patch, lambda person: person.ask(ANSWERS), ("rows.npy", "--out", "of-rows"), TRUTH)
        words = ("photos", "--size", 64, "--device", "cpu", "--out", "of-photos")
        label_by(patch, lambda person: person.ask(30), words, photo_truth)
        label_by(patch, lambda person: person.ask(6), ("rows.npy", "--out", "open"), TRUTH)
        for run in ("of-rows", "of-photos"):
            assert run_command(["label", run, "--finish", "--quiet"]) == 0
        yield folder


@pytest.fixture(autouse=True)
def here(place, monkeypatch, tmp_path):
    monkeypatch.setenv("FEWLABELS_CACHE", str(place / "cache"))
    monkeypatch.chdir(place)
    return tmp_path / "found.csv"


def classify(capsys, *words):
    capsys.readouterr()
    status = run_command(["classify", *map(str, words), "--quiet"])
    return status, *capsys.readouterr()


def read_labels(path):
    with open(path, newline="") as file:
        return {row["id"]: row["label"] for row in csv.DictReader(file)}


def test_new_rows_get_labels_and_the_estimate_of_the_labelling_is_told(here, capsys):
    status, out, _ = classify(capsys, "of-rows", "new.npy", "--out", here)
    assert status == 0
    assert read_labels(here) == {str(row): TRUTH[row] for row in range(40)}
    estimated = read_facts("of-rows")["estimated"]
    assert estimated["num"] >= ANSWERS // 5
    assert f"of this labelling about {estimated['percent']:.0f} % of the labels are right (95 % interval" in out


def test_new_photos_are_described_as_those_of_the_labelling_were(here, capsys, tmp_path):
    sorted_photos = tmp_path / "sorted"
    words = ("of-photos", "new", "--device", "cpu", "--out", here, "--sort-into", sorted_photos)
    status, out, _ = classify(capsys, *words)
    assert status == 0
    expected = {f"{number:03}.png": NAMES[number % 3] for number in range(100, 124) if number != 107}
    assert read_labels(here) == expected
    assert "23 photos classified" in out
    assert "1 cannot be used" in out
    assert (tmp_path / "found.rejected.csv").read_text().splitlines()[1].startswith("107.png,")
    assert {path.name: path.parent.name for path in sorted_photos.glob("*/*")} == expected


def test_photos_are_no_input_for_a_labelling_of_embeddings(here, capsys):
    status, _, err = classify(capsys, "of-rows", "new", "--out", here)
    assert status == 2
    assert "FL-C124" in err


def test_an_open_labelling_says_how_it_is_finished(here, capsys):
    status, _, err = classify(capsys, "open", "new.npy", "--out", here)
    assert status == 2
    assert "FL-C152" in err
    assert "fewlabels label open --finish" in err
    assert not here.exists()


def test_the_report_begins_with_the_estimate_and_ends_in_the_next_command(tmp_path, capsys):
    for run, step in (("of-rows", "export of-rows --all"), ("of-photos", "train ")):
        assert run_command(["report", run, "--out", str(tmp_path / f"{run}.html")]) == 0
        page = (tmp_path / f"{run}.html").read_text()
        assert step in page
    page = (tmp_path / "of-rows.html").read_text()
    assert "answers drawn at random say so" in page
    assert "Right labels, estimated" in page


def test_too_few_sampled_answers_tell_no_percentage():
    found = read_run("of-photos").results["estimated"]
    assert found["num"] < 10
    assert found["percent"] is found["low"] is found["high"] is None


def test_the_page_seals_the_labelling_and_says_what_comes_next(monkeypatch, tmp_path, place):
    def finish(person):
        person.ask(8)
        assert person.page.get("/api/session").json()["finishing"]["state"] == "open"
        assert person.page.post("/api/finish", json={}).json()["state"] == "running"
        until = time.monotonic() + 60
        while (found := person.page.get("/api/finish").json())["state"] == "running" and time.monotonic() < until:
            time.sleep(0.1)
        seen.append(found)
        person.ask(2)

    seen, run = [], tmp_path / "run"
    assert label_by(monkeypatch, finish, (place / "rows.npy", "--out", run), TRUTH) == 0
    assert seen[0]["state"] == "done", seen
    assert [one["what"] for one in seen[0]["next"]] == ["classify", "export"]
    assert "8 answers, 150 rows" in seen[0]["said"]
    assert verify_run(run) == []
    assert run_command(["label", str(run), "--finish"]) == 2


def test_one_class_cannot_be_finished_on_the_page_and_the_run_stays_open(monkeypatch, tmp_path, place):
    def finish(person):
        person.label(0, "cat")
        person.page.post("/api/finish", json={})
        until = time.monotonic() + 60
        while (found := person.page.get("/api/finish").json())["state"] == "running" and time.monotonic() < until:
            time.sleep(0.1)
        assert found["state"] == "failed"
        assert found["problem"].startswith("1 classes with an answer")

    assert label_by(monkeypatch, finish, (place / "rows.npy", "--out", tmp_path / "run"), TRUTH) == 0
    assert not is_finished(tmp_path / "run")


def test_labels_of_a_file_are_the_first_answers_and_no_undo_takes_them_back(monkeypatch, tmp_path, place):
    def look(person):
        session = person.page.get("/api/session").json()
        seen.append((session["answered"], session["classes"], sum(session["counts"])))
        person.post("/api/undo")
        seen.append(person.page.get("/api/session").json()["answered"])
        person.label(3, "fish")

    seen, run = [], tmp_path / "run"
    (tmp_path / "some.csv").write_text("id,label\n" + "".join(f"{row},{TRUTH[row]}\n" for row in range(9)) + "20,\n")
    words = (place / "rows.npy", "--labels", tmp_path / "some.csv", "--out", run)
    assert label_by(monkeypatch, look, words) == 0
    assert seen[0] == (9, sorted(set(TRUTH[:9])), 150)
    assert seen[1] == 9
    (tmp_path / "some.csv").write_text("id,label\n3,cat\n9,dog\n")
    assert label_by(monkeypatch, look, (run, "--labels", tmp_path / "some.csv")) == 0
    assert seen[2][0] == 10
    assert read_answers(run).labels[3] == "fish"
    assert read_answers(run).labels[9] == "dog"


def test_labels_of_rows_that_there_are_not_stop_it_before_anything_is_made(monkeypatch, tmp_path, place, capsys):
    (tmp_path / "some.csv").write_text("id,label\n003.png,across\n999.png,down\n")
    words = (place / "photos", "--labels", tmp_path / "some.csv", "--out", tmp_path / "run")
    assert label_by(monkeypatch, lambda person: None, words) == 2
    assert "FL-L15" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
