"""The commands as a user types them: outputs, exit codes, one line for every error."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from fewlabels.main import run as run_command

PROPAGATE = ["propagate", "embeddings.npy", "--labels", "labels.csv", "--out"]
SO_MANY = [word for row in range(2, 23) for word in ("--explain", str(row))]
FEW = ["--epochs", "1", "--n-neighbors", "5", "--quiet"]


@pytest.fixture(autouse=True)
def workplace(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def embeddings():
    """60 rows around three centres, the first two of each labelled; rows 0 and 1 belong to one class, and so on."""
    rng = np.random.default_rng(0)
    truth = np.arange(60) // 20
    rows = rng.normal(size=(3, 16))[truth] + 0.2 * rng.normal(size=(60, 16))
    np.save("embeddings.npy", rows.astype(np.float32))
    names = np.array(["ant", "bee", "cat"])
    with open("labels.csv", "w", newline="") as file:
        csv.writer(file).writerows(
            [("id", "label"), *((row, names[truth[row]]) for row in (0, 1, 20, 21, 40, 41)), (59, "")]
        )
    return names[truth].tolist()


def photo(path, kind, size=(20, 14), seed=0):
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 60, (size[1], size[0], 3), dtype=np.uint8)
    if kind:
        pixels[::4] += 150
    else:
        pixels[:, ::4] += 150
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


@pytest.fixture
def photos(tmp_path):
    """24 images of two kinds and two sizes in one folder, one of them cut in half; four are labelled."""
    folder = tmp_path / "photos"
    for number in range(24):
        size = (20, 14) if number % 3 else (30, 30)
        photo(folder / f"{number:02}.png", number % 2, size, number)
    broken = folder / "07.png"
    broken.write_bytes(broken.read_bytes()[:200])
    (tmp_path / "labels.csv").write_text("id,label\n00.png,down\n01.png,across\n02.png,down\n03.png,across\n")
    return folder


def run(capsys, *arguments):
    """(exit status, stdout, stderr) of a command."""
    status = run_command([str(argument) for argument in arguments])
    return (status, *capsys.readouterr())


def test_propagate_labels_every_row_and_writes_a_run_folder(embeddings, capsys):
    status, out, err = run(capsys, *PROPAGATE, "out.parquet", "-q")
    assert (status, err) == (0, "")
    table = pq.read_table("out.parquet").to_pydict()
    assert table["id"] == [str(row) for row in range(60)]
    assert table["label"] == embeddings
    assert table["source"].count("given") == 6
    assert "labelled" in out
    assert "out-run/report.html" in out
    assert run(capsys, "verify", "out-run")[0] == 0
    assert set(os.listdir("out-run")) == {
        "run.json",
        "events.jsonl",
        "results.json",
        "pseudo_labels.parquet",
        "insights.json",
        "map.parquet",
        "gallery.parquet",
        "report.html",
        "manifest.json",
    }


def test_propagate_reads_parquet_with_its_own_labels_and_writes_csv_and_json(embeddings, capsys):
    rows = np.load("embeddings.npy")
    labels = [embeddings[row] if row % 10 == 0 else None for row in range(60)]
    table = {"id": [f"r{row}" for row in range(60)], "embedding": list(rows), "label": labels}
    pq.write_table(pa.table(table), "rows.parquet")
    status, out, _ = run(capsys, "propagate", "rows.parquet", "--out", "out.csv", "--json", "-q")
    assert status == 0
    assert json.loads(out)["num_labeled"] == 6
    with open("out.csv", newline="") as file:
        lines = list(csv.DictReader(file))
    assert [line["label"] for line in lines] == embeddings
    assert lines[1]["id"] == "r1"


def test_a_run_of_embeddings_tells_where_they_came_from(embeddings, tmp_path, capsys):
    assert run(capsys, *PROPAGATE, "out.parquet", "-q")[0] == 0
    assert json.loads(Path("out-run/run.json").read_text())["source"] == {
        "kind": "embeddings",
        "path": str(tmp_path / "embeddings.npy"),
        "labels": str(tmp_path / "labels.csv"),
        "by_position": False,
        "columns": {"id": "id", "embedding": "embedding", "label": "label"},
        "delimiter": ",",
        "encoding": "utf-8",
        "skip_bad_rows": False,
        "on_conflict": "error",
    }


def test_propagate_never_writes_over_a_file(embeddings, capsys):
    Path("out.csv").write_text("mine")
    status, _, err = run(capsys, *PROPAGATE, "out.csv")
    assert status == 2
    assert err.startswith("error: FL-C9 the output file exists")
    assert Path("out.csv").read_text() == "mine"
    assert run(capsys, *PROPAGATE, "out.csv", "--force")[0] == 0
    assert Path("out.csv").read_text().count("\n") == 61


def test_rows_that_no_label_reaches_are_counted_and_have_no_label(capsys):
    far = np.eye(2)[[0] * 8 + [1] * 8] + 0.001 * np.arange(16)[:, None]
    np.save("e.npy", far)
    Path("l.csv").write_text("id,label\n0,x\n1,y\n")
    with pytest.warns(UserWarning, match="FL-G1 no label reaches 8 of 16 rows"):
        status, out, _ = run(
            capsys, "propagate", "e.npy", "--labels", "l.csv", "--out", "o.csv", "--n-neighbors", 3, "--json"
        )
    assert status == 0
    assert json.loads(out)["unreached"] == 8
    with open("o.csv", newline="") as file:
        assert [(row["label"], row["reached"]) for row in csv.DictReader(file)][8:] == [("", "false")] * 8


def test_propagate_says_what_it_will_take_before_it_starts(embeddings, capsys):
    status, out, err = run(capsys, *PROPAGATE, "o.csv", "--memory-limit", "3", "--json")
    assert status == 0
    size, report = "60 rows x 16, 3 classes: about 0.2 GiB of 3.0 GiB free", "2 seconds for the report (--no-report)"
    assert err.splitlines()[0] == f"{size}, about a second, then {report}"
    assert err.splitlines()[-1] == "propagating: 100 %"
    assert json.loads(out)["estimate"]["bytes"] > 2**20


def test_what_cannot_fit_is_refused_with_numbers_and_nothing_is_written(embeddings, tmp_path, capsys):
    before = set(os.listdir())
    status, _, err = run(capsys, *PROPAGATE, "o.csv", "--memory-limit", "0.1")
    assert status == 4
    assert err.count("\n") == 1
    assert err.startswith("error: FL-G21 this needs about 0.2 GiB of memory, and there are 0.1 GiB at embeddings.npy; ")
    assert set(os.listdir()) == before


@pytest.mark.parametrize("given", ["array", "column"])
def test_labels_by_position_when_asked(embeddings, capsys, given):
    codes = np.full(60, -1)
    codes[[0, 1, 20, 21, 40, 41]] = [0, 0, 1, 1, 2, 2]
    if given == "array":
        np.save("l.npy", codes)
        names = dict(zip(["ant", "bee", "cat"], "012", strict=True))
    else:
        lines = ["" if code < 0 else ["ant", "bee", "cat"][code] for code in codes]
        Path("l.npy").write_text("\n".join(["label", *lines]) + "\n")
        Path("l.npy").rename("l.csv")
        names = {name: name for name in ("ant", "bee", "cat")}
    labels = "l.npy" if given == "array" else "l.csv"
    options = ("--labels", labels, "--labels-by-position", "--out", "o.parquet", "-q")
    assert run(capsys, "propagate", "embeddings.npy", *options)[0] == 0
    assert pq.read_table("o.parquet")["label"].to_pylist() == [names[name] for name in embeddings]


def test_arrow_files_and_columns_of_other_names(embeddings, capsys):
    rows = np.load("embeddings.npy")
    labels = [embeddings[row] if row % 10 == 0 else None for row in range(60)]
    table = pa.table({"key": [f"r{row}" for row in range(60)], "vector": list(rows), "class": labels})
    Path("parts").mkdir()
    for part in range(3):
        with pa.ipc.new_file(f"parts/{part}.arrow", table.schema) as writer:
            writer.write_table(table.slice(20 * part, 20))
    columns = ("--id-column", "key", "--embedding-column", "vector", "--label-column", "class")
    assert run(capsys, "propagate", "parts", *columns, "--out", "o.parquet", "-q")[0] == 0
    found = pq.read_table("o.parquet").to_pydict()
    assert (found["id"][7], found["label"]) == ("r7", embeddings)
    status, _, err = run(capsys, "propagate", "parts", "--out", "p.parquet", "-q", "--id-column", "name")
    assert status == 2
    assert "FL-E31 no column 'name'; found 'key' (string)" in err


def test_explain_says_what_decided_a_row(embeddings, capsys):
    asked = ("--explain", "7", "--explain", "59", "--explain", "7", "--n-neighbors", "5", "-q")
    status, out, _ = run(capsys, *PROPAGATE, "o.csv", *asked)
    assert status == 0
    assert out.startswith(f"why 7: {embeddings[7]}, certainty ")
    assert out.count("why ") == 2
    assert "labelled rows that decided" in out
    results = json.loads(run(capsys, *PROPAGATE, "p.csv", *asked, "--json")[1])
    one, other = results["explanations"]
    assert (one["id"], other["id"]) == ("7", "59")
    assert one["influences"][0]["id"] in ("0", "1")
    assert other["label"] == embeddings[59]
    assert run(capsys, "report", "p-run", "--out", "p.html")[0] == 0


def test_a_run_without_a_report_has_all_else(embeddings, capsys):
    status, out, err = run(capsys, *PROPAGATE, "o.csv", "--no-report")
    assert (status, "report" in out + err) == (0, False)
    left = {path.name for path in Path("o-run").iterdir()}
    assert left == {"run.json", "events.jsonl", "results.json", "pseudo_labels.parquet", "manifest.json"}
    assert run(capsys, "verify", "o-run")[0] == 0
    assert run(capsys, "report", "o-run", "--out", "later.html")[0] == 0


def test_the_stages_and_their_seconds_are_in_the_run_folder(embeddings, capsys):
    run(capsys, *PROPAGATE, "o.csv", "-q")
    events = [json.loads(line) for line in Path("o-run/events.jsonl").read_text().splitlines()]
    names = ["read", "neighbors", "affinity", "solve", "pseudo_labels", "explain"]
    names += ["report: given labels left out one by one", "report: map"]
    assert [event["name"] for event in events if event["event"] == "stage"] == names
    assert all(event["seconds"] >= 0 for event in events)


def test_train_learns_from_a_folder_with_a_broken_and_many_unlabelled_images(photos, capsys):
    status, out, err = run(capsys, "train", photos, "--labels", "labels.csv", "--out", "run", "--image-size", 8, *FEW)
    assert (status, err) == (0, "")
    table = pq.read_table("run/pseudo_labels.parquet").to_pydict()
    assert table["id"] == [f"{number:02}.png" for number in range(24) if number != 7]
    assert table["source"].count("given") == 4
    rejected = Path("run/rejected.csv").read_text().splitlines()
    assert rejected[0] == "id,reason"
    assert rejected[1].startswith("07.png,")
    assert "unreadable images" in out
    assert json.loads(Path("run/run.json").read_text())["source"] == {
        "kind": "images",
        "path": str(photos),
        "labels": os.path.abspath("labels.csv"),
        "delimiter": ",",
        "encoding": "utf-8",
        "skip_bad_rows": False,
        "on_conflict": "error",
        "image_size": 8,
        "accept_truncated": False,
    }
    assert run(capsys, "verify", "run") == (0, "run: every file is as it was written\n", "")


def test_train_takes_labels_from_sub_folders_and_measures_on_test_images(tmp_path, capsys):
    for number in range(12):
        kind = number % 2
        photo(tmp_path / "data" / ("across" if kind else "down") / f"{number}.png", kind, seed=number)
        photo(tmp_path / "data" / "unlabeled" / f"{number}.png", kind, seed=100 + number)
        photo(tmp_path / "test" / ("across" if kind else "down") / f"{number}.png", kind, seed=200 + number)
    options = ("--test", "test", "--out", "run", "--image-size", 8, "--json", *FEW)
    status, out, _ = run(capsys, "train", "data", *options)
    results = json.loads(out)
    assert status == 0
    assert (results["num_rows"], results["num_labeled"], results["num_test"]) == (24, 12, 12)
    assert 0 <= results["lp_error"] <= 100


def test_train_learns_by_the_method_and_on_the_network_asked_for(tmp_path, capsys):
    for number in range(12):
        photo(tmp_path / "data" / ("across" if number % 2 else "down") / f"{number}.png", number % 2, seed=number)
        photo(tmp_path / "data" / "unlabeled" / f"{number}.png", number % 2, seed=100 + number)
    options = ("--method", "mt", "--network", "resnet18", "--image-size", 32, "--out", "run", "--json", *FEW)
    status, out, _ = run(capsys, "train", "data", "--test", "data", *options)
    assert status == 0
    assert {"mean_teacher_error", "mean_teacher_teacher_error"} <= set(json.loads(out))
    assert json.loads(Path("run/model.json").read_text())["network"]["name"] == "resnet18"


def test_train_reads_parquet_of_the_hub(photos, capsys):
    good = [path for path in sorted(photos.iterdir()) if path.name != "07.png"]
    images = [{"bytes": path.read_bytes(), "path": path.name} for path in good]
    labels = [int(path.stem) % 2 if number < 6 else None for number, path in enumerate(good)]
    pq.write_table(pa.table({"image": images, "label": pa.array(labels, pa.int64())}), "photos.parquet")
    status, out, _ = run(capsys, "train", "photos.parquet", "--image-size", 8, "--json", *FEW)
    assert status == 0
    assert json.loads(out)["num_labeled"] == 6
    assert json.loads(out)["run"] == "runs/photos"


def test_report_and_verify(embeddings, capsys):
    run(capsys, *PROPAGATE, "o.csv", "--run", "r", "-q")
    assert run(capsys, "report", "r", "--out", "again.html") == (0, "again.html\n", "")
    assert Path("again.html").read_text() == Path("r/report.html").read_text()
    with open("r/results.json", "a") as file:
        file.write(" ")
    status, _, err = run(capsys, "verify", "r")
    assert status == 3
    assert "results.json" in err


BAD = [
    (["trian"], "FL-C1", "Did you mean 'train'"),
    (["propagate", "embeddings.npy", "--out", "o.csv", "--alpah", "0.9"], "FL-C1", "--alpha"),
    (["propagate", "embeddings.npy"], "FL-C1", "--out"),
    (["propagate", "embeddings.npy", "--out", "o.csv", "--alpha", "0,99"], "FL-C1", "--alpha"),
    ([*PROPAGATE, "o.csv", "--alpha", "1"], "FL-C2", "singular"),
    ([*PROPAGATE, "o.csv", "--n-neighbors", "0"], "FL-C3", "0"),
    ([*PROPAGATE, "o.txt"], "FL-C16", ".parquet or .csv"),
    (["propagate", "embeddings.npy", "--out", "o.csv"], "FL-L16", "--labels"),
    (["propagate", "nothing.npy", "--labels", "labels.csv", "--out", "o.csv"], "FL-E32", "nothing.npy"),
    (["propagate", "embeddings.npy", "--labels", "nothing.csv", "--out", "o.csv"], "FL-L30", "nothing.csv"),
    (["propagate", "embeddings.npy", "--labels", "twice.csv", "--out", "o.csv"], "FL-L14", "line 3"),
    (["propagate", "nan.npy", "--labels", "labels.csv", "--out", "o.csv", "-q"], "FL-E1", "17"),
    (
        [*PROPAGATE, "o.csv", "--explain", "7", "--explain", "60"],
        "FL-C40",
        "1 such row (60); ids of the data look like",
    ),
    ([*PROPAGATE, "o.csv", *["--explain", "0", "--explain", "1"] * 8, *SO_MANY], "FL-C40", "at most 20"),
    ([*PROPAGATE, "o.csv", "--memory-limit", "0"], "FL-C41", "0 GiB"),
    (["propagate", "embeddings.npy", "--out", "o.csv", "--labels-by-position"], "FL-C41", "--labels"),
    ([*PROPAGATE, "o.csv", "--labels-by-position"], "FL-L23", "7 labels by position for 60 rows"),
    ([*PROPAGATE, "o.csv", "--memory-limit", "0.1"], "FL-G21", "about 0.2 GiB of memory, and there are 0.1 GiB"),
    (["propagate", "labels.csv", "--labels", "labels.csv", "--out", "o.csv"], "FL-E30", "Parquet"),
    (
        [*PROPAGATE, "o.csv", "--mode", "fast"],
        "FL-C1",
        "released",
    ),
    (["train", "nowhere", "--labels", "labels.csv"], "FL-I30", "nowhere"),
    (["train", "empty", "--labels", "labels.csv"], "FL-I32", "empty"),
    (["train", "empty", "--device", "cuda:9"], "FL-C7", "cpu"),
    (["train", "empty", "--out", "empty/.."], "FL-C9", "not empty"),
    (["demo", "--seeds", "0"], "FL-C1", "--seeds"),
    (["demo", "--out", "labels.csv"], "FL-C9", "labels.csv"),
    (["report", "nowhere"], "FL-C26", "nowhere"),
    (["verify", "empty"], "FL-K4", "empty"),
]


@pytest.mark.parametrize(("arguments", "code", "fragment"), BAD, ids=[" ".join(case[0]) for case in BAD])
def test_bad_input_is_one_clear_line_and_changes_no_file(embeddings, tmp_path, capsys, arguments, code, fragment):
    Path("twice.csv").write_text("id,label\n0,ant\n0,bee\n")
    rows = np.load("embeddings.npy")
    rows[17, 3] = np.nan
    np.save("nan.npy", rows)
    (tmp_path / "empty").mkdir()
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    status, out, err = run(capsys, *arguments)
    assert status == (3 if code.startswith("FL-K") else 4 if code == "FL-G21" else 2)
    assert out == ""
    assert err.startswith(f"error: {code} ")
    assert fragment in err
    assert err.count("\n") == 1
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_every_command_has_an_example_in_its_help(capsys):
    for command in ("demo", "train", "propagate", "report", "verify"):
        status, out, _ = run(capsys, command, "--help")
        assert status == 0
        assert f"Example: fewlabels {command}" in out


def command_line(*arguments):
    command = [sys.executable, "-m", "fewlabels", *arguments]
    return subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_a_run_with_its_exit_code_and_says_how_to_go_on(tmp_path, number, status):
    process = command_line("demo", "--out", "run")
    deadline = time.monotonic() + 60
    while not (tmp_path / "run" / "events.jsonl").exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == status
    assert "Traceback" not in err
    assert f"FL-D7 stopped by {number.name} after step" in err
    assert "go on with: fewlabels demo --out run --resume" in err
    assert [path.name for path in (tmp_path / "run").glob(".*")] == [".checkpoints"]
    assert not (tmp_path / "run" / "manifest.json").exists()


def test_a_signal_once_all_is_done_ends_the_process_in_silence():
    script = (
        "import atexit, os, signal, sys, fewlabels.main as cli; sys.argv = ['fewlabels']; cli.run = lambda words: 3; "
        "atexit.register(lambda: os.kill(os.getpid(), signal.SIGTERM)); cli.main()"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (-signal.SIGTERM, "")


def test_a_warning_is_one_line_and_debug_shows_the_traceback(embeddings):
    process = command_line(*PROPAGATE, "o.csv", "--n-neighbors", "99")
    _, err = process.communicate(timeout=60)
    assert [line for line in err.splitlines() if "warning" in line] == [
        "warning: FL-E7 n_neighbors is 99, and a row has only 59 others (without all-zero and repeated ones): "
        "it gets them all"
    ]
    process = command_line("--debug", "propagate", "none.npy", "--out", "x.csv")
    assert "Traceback" in process.communicate(timeout=60)[1]


def test_without_a_command_the_help_is_shown(capsys):
    status, out, err = run(capsys)
    assert (status, err) == (0, "")
    assert "propagate" in out
    assert "Example" not in out


def test_a_report_is_never_written_over_a_file_or_under_another_name(embeddings, capsys):
    assert run(capsys, *PROPAGATE, "o.csv", "-q")[0] == 0
    for name, message in (("labels.csv", "FL-C16"), ("o-run", "FL-C16"), ("o-run/report.html", "FL-C9")):
        status, _, err = run(capsys, "report", "o-run", "--out", name)
        assert status == 2
        assert message in err
    assert Path("labels.csv").read_text().startswith("id,label")
    assert run(capsys, "report", "o-run", "--out", "o-run/report.html", "--force")[0] == 2
    assert run(capsys, "verify", "o-run")[0] == 0


def test_a_report_is_replaced_where_that_was_asked_for(embeddings, capsys):
    assert run(capsys, *PROPAGATE, "o.csv", "-q")[0] == 0
    Path("again.html").write_text("an old one")
    status, _, err = run(capsys, "report", "o-run", "--out", "again.html")
    assert status == 2
    assert "FL-C9 the output file exists at again.html; nothing was changed" in err
    assert "--force" in err
    assert Path("again.html").read_text() == "an old one"
    assert run(capsys, "report", "o-run", "--out", "again.html", "--force")[0] == 0
    assert Path("again.html").read_text() == Path("o-run/report.html").read_text()


def test_a_folder_that_is_not_there_is_no_damaged_run(capsys):
    for command in ("verify", "report"):
        status, _, err = run(capsys, command, "nowhere")
        assert status == 2
        assert err.startswith("error: FL-C26 no such folder at nowhere")


def test_a_label_file_that_is_no_text_says_so(embeddings, capsys):
    status, _, err = run(capsys, "propagate", "embeddings.npy", "--labels", "embeddings.npy", "--out", "o.csv")
    assert status == 2
    assert "FL-L28 an array of labels has no ids" in err


@pytest.mark.filterwarnings("ignore:FL-I1 ")
def test_test_images_that_cannot_count_are_said(photos, capsys):
    for number in range(4):
        photo(Path("test") / ("down", "across")[number % 2] / f"{number}.png", number % 2)
    photo(Path("test/unlabeled/x.png"), 0)
    Path("test/down/bad.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    arguments = ["train", photos, "--labels", "labels.csv", "--test", "test", "--scale", "0.02", *FEW[2:4], "--out"]
    with pytest.warns(UserWarning, match="FL-I38 1 test images cannot be read and 1 have no label: .* the other 4"):
        assert run(capsys, *arguments, "r")[0] == 0
    photo(Path("test/eagle/y.png"), 0)
    status, _, err = run(capsys, *arguments, "again")
    assert status == 2
    assert "FL-L34 test images of 1 classes that no training label has, such as 'eagle' at test" in err
