"""A browser for tests of the review page: Debian's Chromium, driven by Playwright; skipped where either is absent."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from tests.review.browser.toy_review import Review, ToyItems, served


@dataclass
class Seen:
    """What happened in a page that should not: read at the end of each test."""

    errors: list[str] = field(default_factory=list)
    dialogs: list[str] = field(default_factory=list)
    elsewhere: list[str] = field(default_factory=list)


@pytest.fixture(scope="package")
def browser() -> Iterator:
    """One Chromium for the tests of this folder. While it is there an event loop runs; no test may start another."""
    api = pytest.importorskip("playwright.sync_api", reason="playwright, of the dev extra, is not installed")
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None:
        pytest.skip("no Chromium: on Debian, `apt-get install chromium`")
    flags = ["--no-sandbox"] if os.geteuid() == 0 else []
    with api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=found, args=flags)
        yield chromium
        chromium.close()


@pytest.fixture
def items() -> ToyItems:
    """What is reviewed; a test module may say otherwise."""
    return ToyItems()


@pytest.fixture
def review(tmp_path, items: ToyItems) -> Iterator[Review]:
    with served(tmp_path / "run.review", items) as review:
        yield review


@pytest.fixture
def seen() -> Iterator[Seen]:
    """Filled by the pages of `context`; a page must end without errors, dialogs and requests to elsewhere."""
    seen = Seen()
    yield seen
    assert seen == Seen()


@pytest.fixture
def context(browser, review: Review, seen: Seen) -> Iterator:
    """A browser profile of its own; `context.new_page()` is one more tab."""
    context = browser.new_context(viewport={"width": 1100, "height": 800}, reduced_motion="reduce")
    context.set_default_timeout(15_000)
    # From the start: if a test switches it on, Chromium may still let the next request of a busy page by.
    context.route("**/nothing-asks-for-this", lambda route: route.abort())
    context.on("console", lambda message: _note_console(seen, message))
    context.on("weberror", lambda error: seen.errors.append(str(error.error)))
    context.on("dialog", lambda dialog: _answer_dialog(seen, dialog))
    own = f"http://127.0.0.1:{review.access.port}/"
    context.on("request", lambda request: request.url.startswith((own, "data:")) or seen.elsewhere.append(request.url))
    yield context
    context.close()


def _answer_dialog(seen: Seen, dialog) -> None:
    if dialog.type == "beforeunload":  # the page warns of unsaved answers: leave it all the same
        return dialog.accept()
    seen.dialogs.append(dialog.message)
    return dialog.dismiss()


def _note_console(seen: Seen, message) -> None:
    # Chromium reports every refused or failed request here; tests that cause one look at what the page makes of it.
    if message.type in ("error", "warning") and not message.text.startswith("Failed to load resource"):
        seen.errors.append(message.text)


@pytest.fixture
def page(context, review: Review):
    """The review page, opened and filled."""
    from tests.review.browser.browser_pages import opened  # where playwright is absent, importing it skips

    return opened(context, review)
