"""An older copy of the answers, whole in itself, is told from the newest: before it is opened, and while it is open."""

import os
import shutil
import sqlite3
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from fewlabels.cli.main import run as run_command
from fewlabels.errors import RunError, StorageError
from fewlabels.review.store.acknowledged import MOST_LINES, Acknowledged, Last
from fewlabels.review.store.acknowledged import NAME as ACKNOWLEDGED
from fewlabels.review.store.file import NAME, find_review_folder, open_store
from fewlabels.review.store.values import Answer, Replaced, Request, Written
from fewlabels.review.web.app import build_api
from fewlabels.storage import durable
from tests.faults.forged import good_runs
from tests.review.review_fakes import fake_desk

WRITTEN = Path(__file__).parents[2] / "fixtures" / "version-0.1"


def answer(store, seq, row=None, label="cat"):
    (outcome,) = store.write([Request("tab", seq, (Answer(seq if row is None else row, "label", label, 0),))])
    assert isinstance(outcome, Written)
    store.acknowledge()


def answered(folder, *seqs, label="cat"):
    """Answer in a review, and close it."""
    store = open_store(folder, "run")
    for seq in seqs:
        answer(store, seq, label=label)
    store.close()


def overwrite(old, new):
    """`cp old new`: the same inode."""
    Path(new).write_bytes(Path(old).read_bytes())


def rename_over(old, new):
    """`cp old x; mv x new`: another inode."""
    shutil.copy(old, f"{new}.x")
    os.replace(f"{new}.x", new)


@pytest.fixture
def review(tmp_path):
    """A folder with five answers, and `old`, a copy of the file when there were two."""
    folder = tmp_path / "run.review"
    folder.mkdir()
    answered(folder, 1, 2)
    shutil.copy(folder / NAME, tmp_path / "old")
    answered(folder, 3, 4, 5)
    return folder


@pytest.mark.parametrize("copy", [overwrite, rename_over])
def test_an_older_copy_is_refused_before_a_review_begins_and_the_newest_is_taken(review, tmp_path, copy):
    shutil.copy(review / NAME, tmp_path / "newest")
    copy(tmp_path / "old", review / NAME)
    with pytest.raises(RunError, match=r"FL-C95 .*ends at event 2, and 5 were acknowledged.* remove .*acknowledged"):
        open_store(review, "run")
    copy(tmp_path / "newest", review / NAME)
    answered(review, 6)


@pytest.mark.parametrize("spoil", [lambda path: path.unlink(), lambda path: path.write_bytes(b"")])
def test_a_file_that_is_gone_or_empty_is_no_new_review(review, spoil):
    spoil(review / NAME)
    with pytest.raises(RunError, match="FL-C95"):
        open_store(review, "run")


def test_answers_of_another_history_are_refused_whatever_their_number(review, tmp_path):
    other = tmp_path / "other.review"
    other.mkdir()
    answered(other, 1, 2, 3, 4, 5, 6, label="dog")
    overwrite(other / NAME, review / NAME)
    with pytest.raises(RunError, match=r"FL-C95 .*event 5 in it is not the one that was acknowledged"):
        open_store(review, "run")


def test_an_older_copy_is_taken_where_the_person_says_so(review, tmp_path):
    overwrite(tmp_path / "old", review / NAME)
    (review / ACKNOWLEDGED).unlink()
    answered(review, 7)
    assert Acknowledged(review).read().number == 3


def test_a_backup_of_the_whole_folder_comes_back(review, tmp_path):
    shutil.copytree(review, tmp_path / "backup")
    answered(review, 6, 7)
    shutil.rmtree(review)
    shutil.copytree(tmp_path / "backup", review)
    store = open_store(review, "run")
    assert store.event == 5
    store.close()


def test_a_review_of_version_0_1_has_no_such_file_and_gets_one(tmp_path):
    folder = tmp_path / "run.review"
    folder.mkdir()
    shutil.copy(WRITTEN / "propagate-run.review" / NAME, folder / NAME)
    with sqlite3.connect(folder / NAME) as file:
        file.execute("UPDATE review SET run = 'run'")
    file.close()
    assert Acknowledged(folder).read() is None
    store = open_store(folder, "run")
    store.acknowledge()
    store.close()
    assert Acknowledged(folder).read().number == 3
    open_store(folder, "run").close()


def test_a_kill_between_the_answers_and_their_number_leaves_a_review_that_opens(review):
    store = open_store(review, "run")
    store.write([Request("tab", 6, (Answer(6, "label", "cat", 0),))])
    store.close()  # it is not acknowledged
    assert Acknowledged(review).read().number == 5
    store = open_store(review, "run")
    assert store.event == 6
    store.acknowledge()
    store.close()
    assert Acknowledged(review).read().number == 6


CALLS = ("_create", "_open_to_append", "_write", "_fsync", "_rename", "_unlink", "_sync_folder")


@pytest.mark.parametrize("when", ["before", "after", "torn"])
def test_a_kill_at_every_call_of_the_second_file_loses_nothing_acknowledged_and_the_review_opens(tmp_path, when):
    for fatal in range(40):
        folder = tmp_path / f"{fatal}.review"
        folder.mkdir()
        heard = tmp_path / f"{fatal}.heard"
        child = os.fork()
        if not child:
            os._exit(answer_until_killed(folder, heard, fatal, when))
        survived = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        store = open_store(folder, "run")
        told = len(heard.read_bytes()) if heard.exists() else 0
        assert told <= store.event <= told + 1
        answer(store, 100)
        store.close()
        open_store(folder, "run").close()
        if survived:
            return
    raise AssertionError("it never came to its end")


def answer_until_killed(folder, heard, fatal, when):
    """Answer four times; `heard` grows by a byte for each acknowledgement. The process ends at the `fatal` call."""
    left = [fatal]

    def lethal(call):
        def called(*given):
            left[0] -= 1
            if left[0] != -1:
                return call(*given)
            if when == "torn" and call.__name__ == "_write":
                os.write(given[0], given[1][: len(given[1]) // 2])
            elif when == "after":
                call(*given)
            os._exit(9)

        return called

    for name in CALLS:
        setattr(durable, name, lethal(getattr(durable, name)))
    store = open_store(folder, "run")
    for seq in range(1, 5):
        answer(store, seq)
        with heard.open("ab") as file:
            file.write(b".")
    return 0


def test_the_file_begins_anew_before_it_is_long_and_after_a_line_that_failed(tmp_path, monkeypatch):
    monkeypatch.setattr(durable, "_fsync", lambda descriptor: None)
    file = Acknowledged(tmp_path)
    for number in range(MOST_LINES + 5):
        file.write(Last(number, "0" * 64))
    assert len(file.path.read_text().splitlines()) == 5
    with monkeypatch.context() as broken:
        broken.setattr(durable, "_write", lambda descriptor, data: os.write(descriptor, data[:9]) and no_space())
        with pytest.raises(StorageError):
            file.write(Last(20_000, "1" * 64))
    assert file.read().number == MOST_LINES + 4
    file.write(Last(20_000, "1" * 64))
    assert file.path.read_text().splitlines() == [f"20000 {'1' * 64}"]


def no_space():
    raise OSError(28, "no space")


def test_a_file_that_says_nothing_is_refused(review):
    (review / ACKNOWLEDGED).write_text("no number")
    with pytest.raises(RunError, match=r"FL-C95 .*damaged"):
        open_store(review, "run")


# While it is open


@pytest.fixture
def page(review, tmp_path):
    (review / NAME).unlink()
    (review / ACKNOWLEDGED).unlink()
    desk = fake_desk(review)
    found = TestClient(build_api(desk))
    found.folder = review
    for seq in (1, 2):
        send(found, seq).raise_for_status()
    shutil.copy(review / NAME, tmp_path / "old")
    for seq in (3, 4, 5):
        send(found, seq).raise_for_status()
    yield found
    desk.close()


def send(page, seq):
    one = {"row": seq, "action": "label", "label": "cat", "version": 0}
    return page.post("/api/answers", json={"client": "tab", "seq": seq, "answers": [one]})


@pytest.mark.parametrize("copy", [overwrite, rename_over])
@pytest.mark.parametrize(
    "request_next",
    [
        lambda page: page.get("/api/session"),
        lambda page: page.get("/api/rows"),
        lambda page: page.get("/api/history"),
        lambda page: page.get("/api/export", params={"format": "csv"}),
        lambda page: send(page, 6),
    ],
    ids=["session", "rows", "history", "export", "answer"],
)
def test_a_file_that_is_replaced_while_it_is_served_is_noticed_at_the_next_request(page, tmp_path, copy, request_next):
    copy(tmp_path / "old", page.folder / NAME)
    found = request_next(page)
    assert (found.status_code, found.json()["error"]["code"]) == (503, "FL-W13")
    again = send(page, 7)
    assert (again.status_code, again.json()["error"]["code"]) == (503, "FL-W13")
    with pytest.raises(RunError, match="FL-C95"):
        open_store(page.folder, "a run")


def test_a_request_that_is_written_without_a_look_at_the_file_is_refused_too(review, tmp_path):
    store = open_store(review, "run")
    overwrite(tmp_path / "old", review / NAME)
    for seq in (6, 7):
        with pytest.raises(Replaced, match="event 5, which was acknowledged"):
            store.write([Request("tab", seq, (Answer(seq, "label", "cat", 0),))])
    store.close()


def test_the_newest_file_put_back_in_its_place_is_taken_again(page, tmp_path):
    shutil.copy(page.folder / NAME, tmp_path / "newest")
    overwrite(tmp_path / "old", page.folder / NAME)
    assert page.get("/api/session").status_code == 503
    overwrite(tmp_path / "newest", page.folder / NAME)
    assert page.get("/api/session").json()["event"] == 5
    assert send(page, 6).json()["event"] == 6


def test_a_file_that_was_only_touched_or_copied_is_the_same(page, tmp_path):
    os.utime(page.folder / NAME, (1, 1))
    assert page.get("/api/session").status_code == 200
    with sqlite3.connect(page.folder / NAME) as file:
        file.execute("VACUUM INTO ?", (str(tmp_path / "backup"),))
    file.close()
    assert send(page, 6).json()["event"] == 6


def test_an_answer_whose_number_cannot_be_written_is_not_acknowledged_and_is_there_once_when_sent_again(
    page, monkeypatch
):
    with monkeypatch.context() as full:
        full.setattr(durable, "_write", lambda descriptor, data: no_space())
        refused = send(page, 6)
    assert (refused.status_code, refused.json()["error"]["code"]) == (507, "FL-W12")
    assert send(page, 6).json()["event"] == 6
    assert page.get("/api/history").json()["total"] == 6
    assert Acknowledged(page.folder).read().number == 6


# Export


@pytest.mark.parametrize("copy", [overwrite, rename_over])
def test_export_refuses_an_older_copy_and_a_missing_file(tmp_path, monkeypatch, capsys, copy):
    runs = good_runs(tmp_path / "runs")
    monkeypatch.chdir(runs)
    run, folder = runs / "propagate-run", find_review_folder(runs / "propagate-run")
    from fewlabels.review.store.file import identify_run

    folder.mkdir(exist_ok=True)
    store = open_store(folder, identify_run(run))
    answer(store, 1, 50, "dog")
    shutil.copy(folder / NAME, "old")
    answer(store, 2, 51, "dog")
    store.close()
    words = ["export", str(run), "--out", "labels.csv", "--force"]
    assert run_command(words) == 0
    whole = Path("labels.csv").read_bytes()
    copy("old", folder / NAME)
    assert run_command(words) == 3
    (folder / NAME).unlink()
    assert run_command(words) == 3
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert all(line.startswith("error: FL-C95 answers are missing") for line in lines)
    assert Path("labels.csv").read_bytes() == whole
