"""The page is there while photos are described: it says how far that is, then the review takes over, or what failed."""

import threading
import time
from types import SimpleNamespace

import pytest
from starlette.testclient import TestClient

import fewlabels.commands.review as review_job
from fewlabels.cli.main import run as run_command
from fewlabels.errors import ImageError
from fewlabels.review.web.opening import Opening, Progress, Stopped
from fewlabels.review.web.security import Guard
from fewlabels.runs import is_begun
from tests.commands.taken_along import TINY, write_photos


class Work:
    """Described step by step, as the test says; then the desk is there, or an error."""

    def __init__(self, desk):
        self.desk, self.steps, self.failure = desk, threading.Semaphore(0), None

    def __call__(self, tell):
        for done in range(3):
            tell(Progress("describing", done, 3, 60.0))
            assert self.steps.acquire(timeout=20)
        if self.failure is not None:
            raise self.failure
        return SimpleNamespace(desk=self.desk)


@pytest.fixture
def work(desk):
    return Work(desk)


@pytest.fixture
def opening(work):
    opening = Opening(work)
    opening.start()
    yield opening
    for _ in range(3):
        work.steps.release()
    opening.close()


@pytest.fixture
def tab(opening, access):
    home = f"http://127.0.0.1:{access.port}"
    client = TestClient(Guard(opening, access), base_url=home, headers={"Origin": home})
    client.get("/", params={"token": access.token}, follow_redirects=False)
    return client


def wait_for(tab, **expected):
    until = time.monotonic() + 20
    while not (now := tab.get("/api/opening").json()).items() >= expected.items():
        assert time.monotonic() < until, now
        time.sleep(0.01)
    return now


def test_the_page_is_there_at_once_and_says_how_far_it_is(tab, work):
    assert "<title>Review" in tab.get("/").text
    assert tab.get("/static/opening.js").status_code == 200
    assert wait_for(tab, done=0) == {"state": "describing", "done": 0, "total": 3, "seconds": 60.0, "problem": ""}
    assert tab.get("/api/session").status_code == 404
    work.steps.release()
    wait_for(tab, done=1)


def test_the_review_takes_over_when_the_work_is_done(tab, work, opening):
    for _ in range(3):
        work.steps.release()
    wait_for(tab, state="ready")
    assert tab.get("/api/session").json()["rows"] == tab.get("/api/rows").json()["total"]
    assert not opening.is_over()


def test_what_failed_is_told_to_the_page_and_then_it_is_over(tab, work, opening):
    work.failure = ImageError("I35", "3 of 4 images cannot be used", do="check the folder")
    for _ in range(3):
        work.steps.release()
    assert wait_for(tab, state="failed")["problem"] == "3 of 4 images cannot be used; check the folder"
    assert opening.is_over()
    assert opening.failure is work.failure


def test_a_failure_waits_for_a_page_a_moment_only(work, monkeypatch):
    monkeypatch.setattr("fewlabels.review.web.opening.PATIENCE_SECONDS", 0.05)
    opening, work.failure = Opening(work), ImageError("I35", "none")
    for _ in range(3):
        work.steps.release()
    with pytest.raises(ImageError):
        opening.work_now()
    time.sleep(0.06)
    assert opening.is_over()


def test_nobody_waits_any_longer_and_the_work_ends_at_its_next_step(work):
    opening = Opening(work)
    opening.start()
    threading.Timer(0.05, work.steps.release).start()
    opening.close()
    assert isinstance(opening.failure, Stopped)
    assert opening.opened is None


@pytest.fixture
def label(monkeypatch, tmp_path):
    """label(serve) runs `fewlabels label` on ten photos with `serve(page)` in the place of the server."""
    monkeypatch.setenv("FEWLABELS_CACHE", str(tmp_path / "cache"))
    write_photos(tmp_path / "photos", range(10))

    def call(do):
        def serve(app, door, access, place, say, is_over):
            port = place.getsockname()[1]
            place.close()
            home = f"http://127.0.0.1:{port}"
            page = TestClient(app, base_url=home, headers={"Origin": home})
            page.get("/", params={"token": access.token}, follow_redirects=False)
            do(page)

        monkeypatch.setattr(review_job, "serve", serve)
        words = ["label", str(tmp_path / "photos"), "--backbone", TINY, "--out", str(tmp_path / "run"), "--quiet"]
        return run_command([*words, "--no-browser"])

    return call


def test_a_failure_on_the_way_is_told_in_the_terminal_too(label, tmp_path, capsys):
    for photo in (tmp_path / "photos").iterdir():
        photo.write_bytes(b"\x89PNG no more")
    seen = []
    assert label(lambda page: seen.append(wait_for(page, state="failed")["problem"])) == 2
    assert "10 of 10 images cannot be used" in seen[0]
    assert "FL-I35 10 of 10 images cannot be used" in capsys.readouterr().err
    assert not is_begun(tmp_path / "run")


def test_stopped_on_the_way_it_is_interrupted_and_no_run_is_there(label, monkeypatch, tmp_path):
    held = threading.Event()

    def follow(total, tell):
        return lambda done: (held.wait(20), tell(Progress()))

    monkeypatch.setattr("fewlabels.commands.begin._follow", follow)
    threading.Timer(0.2, held.set).start()
    assert label(lambda page: wait_for(page, state="preparing")) == 130
    assert not is_begun(tmp_path / "run")
