"""While photos are described the page shows how far that is, and goes over to the first question by itself."""

import threading
from types import SimpleNamespace

import pytest
import uvicorn
from axe_playwright_python.sync_playwright import Axe

from fewlabels.errors import ImageError
from fewlabels.review.desk import Desk, Run
from fewlabels.review.store.file import make_local_folder, open_store
from fewlabels.review.web.opening import Opening, Progress
from fewlabels.review.web.process import Endpoint, listen, make_access
from fewlabels.review.web.security import Guard
from tests.review.browser.browser_pages import expect
from tests.review.browser.toy_review import ToyEngine, ToyItems, export_labels


class Work:
    """Waits for `go` between the steps; fails where `failure` is set."""

    def __init__(self, folder):
        self.folder, self.go, self.failure = folder, threading.Semaphore(0), None

    def __call__(self, tell):
        for progress in (Progress("describing", 300, 1200, 130.0), Progress("preparing")):
            tell(progress)
            assert self.go.acquire(timeout=30)
        if self.failure is not None:
            raise self.failure
        items = ToyItems()
        store = open_store(make_local_folder(self.folder), "a run", items.class_names)
        return SimpleNamespace(desk=Desk(Run("a run", str(self.folder)), items, store, ToyEngine(items), export_labels))


@pytest.fixture
def work(tmp_path):
    return Work(tmp_path / "run.review")


@pytest.fixture
def review(work):
    """What `context` needs to know of it."""
    place = listen(Endpoint(browser=False))
    access = make_access(Endpoint(), place.getsockname()[1])
    opening = Opening(work)
    config = uvicorn.Config(
        Guard(opening, access), lifespan="off", log_config=None, ws="none", timeout_graceful_shutdown=1
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [place]})
    opening.start()
    thread.start()
    yield SimpleNamespace(access=access, address=f"http://127.0.0.1:{access.port}/?token={access.token}")
    work.go.release()
    work.go.release()
    server.should_exit = True
    thread.join()
    opening.close()
    if opening.opened is not None:
        opening.opened.desk.close()
    place.close()


@pytest.fixture
def page(context, review):
    page = context.new_page()
    page.goto(review.address)
    return page


def test_the_count_and_the_time_left_are_shown_then_the_first_question_comes(page, work):
    expect(page.locator("#opening")).to_contain_text("300 of 1,200 photos described, about 2 minutes left")
    bar = page.get_by_role("progressbar", name="Getting ready")
    expect(bar).to_have_attribute("value", "300")
    expect(page.locator("#live")).to_contain_text("300 of 1,200 photos")
    expect(page.locator("#grid")).to_be_hidden()
    work.go.release()
    expect(page.locator("#opening")).to_contain_text("Looking for what is alike")
    work.go.release()
    expect(page.locator("#grid .tile").first).to_be_visible(timeout=15_000)
    expect(page.locator("#opening")).to_be_hidden()
    page.keyboard.press("1")
    expect(page.locator("#given")).to_contain_text("1 answer")


def test_what_went_wrong_is_said_on_the_page(page, work):
    work.failure = ImageError("I35", "3 of 4 images cannot be used", do="check the folder")
    work.go.release()
    work.go.release()
    expect(page.get_by_role("alert")).to_contain_text("3 of 4 images cannot be used; check the folder")


def test_it_passes_axe_and_fits_a_phone(page):
    expect(page.locator("#opening")).to_contain_text("300 of 1,200")
    page.set_viewport_size({"width": 360, "height": 640})
    found = Axe().run(page).response["violations"]
    assert [(one["id"], [node["html"][:200] for node in one["nodes"]]) for one in found] == []
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
