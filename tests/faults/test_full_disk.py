"""A file system that is full or read-only, a real one: what was there stays, it is told, and once there is room all
goes on to the same bytes. (Errors at every single call are injected: commands/test_kills.py, training/test_crashes.py.)
"""

import re
import signal
import sqlite3
import sys
from contextlib import closing

import httpx2
import numpy as np
import pytest
import torch

from fewlabels.errors import StorageError
from fewlabels.review.store.file import NAME
from fewlabels.training.checkpoint import Checkpoints, Snapshot
from tests.faults.lanes import size
from tests.faults.small_disk import MIB, SmallDisk, files
from tests.review.review_process import Server
from tests.training.child_faults import WRITING
from tests.training.children import Children, remains
from tests.training.stores import IDENTITY

pytestmark = [pytest.mark.lane("F6"), pytest.mark.timeout(1200)]
JOB = {"pair": ["supervised", "lp"], "save_every": 0}
PAGE = 4096
OPTIONS = ["--n-neighbors", "5", "--no-report"]


@pytest.fixture
def disk(tmp_path):
    with SmallDisk(tmp_path / "disk") as found:
        (found.seen / "mine.txt").write_text("mine")
        yield found


def told(ended, path):
    """Whether a command ended as it should where it cannot write there. ended: exit status, and what it told."""
    status, err = ended
    return status == 4 and bool(re.search(rf"^error: FL-D1 .* at {re.escape(str(path))}", err, re.M))


# A store of checkpoints


def state(step):
    return Snapshot({"weight": torch.arange(20_000.0) + step}, {"step": step})


def saved(folder, step):
    """The error while it was saved; None where it was."""
    try:
        Checkpoints(folder, IDENTITY).save(step, state(step))
    except StorageError as error:
        return error
    return None


LEFT = {  # how the disk is filled -> how much is left on it, step by step, until there is room
    "bytes": ("fill", range(0, MIB, size(8, 1, 1) * PAGE)),
    "files": ("fill_inodes", range(100)),
}


@pytest.mark.parametrize("how", LEFT)
def test_a_store_on_a_full_disk_keeps_what_it_has_and_goes_on_once_there_is_room(disk, tally, how):
    fill, lefts = LEFT[how]
    folder, tried = disk.seen / "run", 0
    assert [saved(folder, step) for step in (1, 2)] == [None, None]
    before = files(disk.seen)
    for left in lefts:
        getattr(disk, fill)(left)
        error = saved(folder, 3)
        tried += 1
        if error is None:
            break
        assert f"FL-D1 cannot write: No space left on device at {folder}/" in str(error)
        assert error.exit_status == 4
        assert files(disk.seen) == before
    tally(tried)
    assert tried > 3
    disk.empty()
    step, found = Checkpoints(folder, IDENTITY).read_newest()
    assert (step, found.values) == (3, {"step": 3})
    assert torch.equal(found.tensors["weight"], state(3).tensors["weight"])


# Training


def undisturbed(children, folder):
    """What remains of a run in an empty folder with all the room it wants."""
    ended = children.run(folder / "whole", **JOB)
    assert ended.status == [0], ended.errors
    return remains(folder / "whole")


def trained(children, disk, **more):
    """Exit status and stderr of a run on the disk."""
    found = children.run(disk.path / "run", logs=str(disk.path.parent / "log"), **JOB, **more)
    return found.status[0], found.errors[0]


ROOM = (0, 4, 16, 1, 2, 3, 6, 8, 10, 12, 14, 18, 20, 22, 24, 26, 28)  # pages left; a run needs some 30


def test_a_run_on_a_full_disk_ends_with_status_4_and_goes_on_to_the_same_bytes(disk, tmp_path, tally):
    stopped = 0
    with Children(disk.inside) as children:
        expected = undisturbed(children, tmp_path)
        for pages in ROOM[: size(3, 100, 100)]:
            disk.fill(pages * PAGE)
            ended = trained(children, disk)
            if ended[0] != 0:
                assert told(ended, disk.path / "run"), ended
                assert not (disk.seen / "run/manifest.json").exists()
                stopped += 1
            disk.empty()
            assert trained(children, disk)[0] == 0
            assert remains(disk.seen / "run") == expected, f"{pages} pages were left"
            disk.run("rm", "-r", str(disk.path / "run"))
    tally(stopped)
    assert stopped > 2
    assert (disk.seen / "mine.txt").read_text() == "mine"


@pytest.mark.slow
def test_a_run_is_stopped_again_and_again_by_a_disk_that_grows(disk, tmp_path, tally):
    stopped = 0
    with Children(disk.inside) as children:
        expected = undisturbed(children, tmp_path)
        for pages in range(0, 1000, 6):
            disk.fill(pages * PAGE)
            ended = trained(children, disk)
            if ended[0] == 0:
                break
            assert told(ended, disk.path / "run"), ended
            stopped += 1
    print(f"stopped {stopped} times, {pages} pages were enough")
    tally(stopped)
    assert stopped > 1
    assert remains(disk.seen / "run") == expected


@pytest.mark.slow
@pytest.mark.lane("F6", faulty=True)
@pytest.mark.parametrize("fault", WRITING)
def test_a_run_that_does_not_tell_of_a_full_disk_is_noticed(disk, fault):
    with Children(disk.inside) as children:
        disk.fill(16 * PAGE)
        assert not told(trained(children, disk, fault=fault), disk.path / "run")


# fewlabels propagate


def propagated(disk, folder, out):
    """Exit status and stderr; the table and the run folder are written beside each other."""
    command = ["-m", "fewlabels", "propagate", str(folder / "rows.npy"), "--labels", str(folder / "labels.csv")]
    status, _, err = disk.run(sys.executable, *command, "--out", str(out), "--run", f"{out}-run", *OPTIONS)
    return status, err


@pytest.fixture
def rows(tmp_path):
    """A folder with rows.npy and labels.csv."""
    np.save(tmp_path / "rows.npy", np.random.default_rng(0).normal(size=(2000, 4)))
    (tmp_path / "labels.csv").write_text("id,label\n0,cat\n1,dog\n")
    return tmp_path


@pytest.mark.slow
def test_propagate_on_a_full_disk_leaves_nothing_and_what_was_there(disk, rows, tally):
    assert propagated(disk, rows, rows / "elsewhere.csv")[0] == 0
    before, tried = files(disk.seen), (0, 8, 1, 2, 3, 4, 5, 6, 10, 12)[: size(2, 10, 10)]
    for pages in tried:
        disk.fill(pages * PAGE)
        ended = propagated(disk, rows, disk.path / "o.csv")
        assert told(ended, disk.path), ended
        left = {name: data for name, data in files(disk.seen).items() if not name.startswith("o.csv-run/")}
        assert left == before, f"{pages} pages were left"
        disk.run("rm", "-rf", str(disk.path / "o.csv-run"))
    disk.empty()
    tally(len(tried))
    assert propagated(disk, rows, disk.path / "o.csv")[0] == 0
    assert (disk.seen / "o.csv").read_bytes() == (rows / "elsewhere.csv").read_bytes()


# The review page


def sent(page, seq, row):
    """The status of an answer."""
    one = {"row": row, "action": "label", "label": "cat", "version": 0}
    return page.post("/api/answers", json={"client": "tab", "seq": seq, "answers": [one]}).status_code


def answered(folder, copied):
    """The answers in a copy of the database: SQLite itself finds it only from inside."""
    copied.write_bytes((folder / NAME).read_bytes())
    with closing(sqlite3.connect(copied)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        return [seq for (seq,) in connection.execute("SELECT seq FROM events ORDER BY event")]


def test_the_review_page_on_a_full_disk_refuses_answers_and_takes_them_once_there_is_room(disk, tmp_path, tally):
    server = Server(disk.path / "run.review", inside=disk.inside)
    page = httpx2.Client(base_url=server.address, headers={"Origin": server.address}, timeout=60)
    try:
        page.get("/", params={"token": server.token})
        rows, taken, refused = iter(range(500)), [], 0
        for pages in range(5):
            disk.fill(pages * PAGE)
            statuses = {}
            for row in (next(rows) for _ in range(40)):
                statuses[row] = sent(page, row, row)
            assert set(statuses.values()) <= {200, 507}
            taken += [row for row, status in statuses.items() if status == 200]
            assert page.get("/api/rows").status_code == 200
            disk.empty()
            late = [row for row, status in statuses.items() if status == 507]
            assert [sent(page, row, row) for row in late] == [200] * len(late)
            taken += late
            refused += len(late)
            assert answered(disk.seen / "run.review", tmp_path / NAME) == taken
    finally:
        page.close()
        server.stop(signal.SIGTERM)
    tally(len(taken))
    assert refused > 10


# A disk that is read-only


@pytest.mark.slow
def test_nothing_is_written_to_a_read_only_disk_and_what_is_there_can_be_read(disk, rows):
    with Children(disk.inside) as children:
        whole = undisturbed(children, rows)
        assert trained(children, disk)[0] == 0
        before = files(disk.seen)
        disk.remount("ro")
        other = children.run(disk.path / "other", logs=str(disk.path.parent / "log"), **JOB)
    assert told((other.status[0], other.errors[0]), disk.path / "other"), other
    assert told(propagated(disk, rows, disk.path / "o.csv"), disk.path)
    with pytest.raises(RuntimeError, match=f"FL-D1 .*Read-only file system at {disk.path}"):
        Server(disk.path / "run.review", inside=disk.inside)
    run, page = str(disk.path / "run"), str(disk.path / "page.html")
    for expected, command in ((0, ["verify", run]), (4, ["report", run, "--out", page])):
        status, _, err = disk.run(sys.executable, "-m", "fewlabels", *command)
        assert status == expected, err
    assert files(disk.seen) == before
    disk.remount("rw")
    assert remains(disk.seen / "run") == whole


@pytest.mark.slow
def test_a_disk_that_becomes_read_only_in_the_middle_of_a_run_ends_it_and_it_goes_on(disk, tmp_path):
    with Children(disk.inside) as children:
        expected = undisturbed(children, tmp_path)
        assert trained(children, disk, at=["evaluation", 2, signal.SIGTERM])[0] == 143
        before = files(disk.seen)
        disk.remount("ro")
        assert told(trained(children, disk), disk.path / "run")
        assert files(disk.seen) == before
        disk.remount("rw")
        assert trained(children, disk)[0] == 0
    assert remains(disk.seen / "run") == expected
