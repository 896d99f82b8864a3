"""The report in headless Chromium: no error, no request, axe finds nothing, it fits a phone, and prints whole."""

import os
import shutil

import numpy as np
import pytest

from fewlabels.data.images.pictures import thumbnail
from fewlabels.report import report_html

IMAGE = thumbnail(np.zeros((8, 8, 1), np.uint8))
OPEN = "document.querySelectorAll('details').forEach(one => one.open = true)"


@pytest.fixture(scope="module")
def browser():
    """One Chromium for the tests of this file. While it is there an event loop runs."""
    api = pytest.importorskip("playwright.sync_api", reason="playwright, of the dev extra, is not installed")
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None:
        pytest.skip("no Chromium: on Debian, `apt-get install chromium`")
    root = hasattr(os, "geteuid") and os.geteuid() == 0
    with api.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=found, args=["--no-sandbox"] if root else [])
        yield chromium
        chromium.close()


@pytest.fixture
def pages(make_run, insights, tmp_path):
    """Name -> file: a run with pictures, one with rows of ids alone and long names, repeats, runs that differ."""
    many = tuple(f"class {number}" for number in range(30))
    made = {
        "pictures": [make_run(insights=insights(image=IMAGE))],
        "rows": [make_run("rows", insights=insights(("i" * 200, "b", "c", "d"), None), class_names=("w" * 90, "wren"))],
        "classes": [make_run("classes", insights=insights(image=IMAGE), class_names=many, finished=False)],
        "repeats": [make_run("a"), make_run("b", seed=1)],
        "others": [make_run("c" * 60), make_run("d", alpha=0.5, epochs=6)],
    }
    files = {name: tmp_path / f"{name}.html" for name in made}
    for name, folders in made.items():
        files[name].write_text(report_html(folders), encoding="utf-8")
    return files


@pytest.fixture
def printed(browser, make_run, insights, tmp_path):
    """The report of a run with pictures, in a page of its own."""
    file = tmp_path / "report.html"
    file.write_text(report_html([make_run(insights=insights(image=IMAGE))]), encoding="utf-8")
    page = browser.new_page()
    page.goto(file.as_uri())
    yield page
    page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_and_nothing_is_wider_than_the_screen(browser, pages, scheme):
    axe = pytest.importorskip(
        "axe_playwright_python.sync_playwright", reason="axe-playwright-python, of the dev extra, is not installed"
    )
    found, wide = {}, {}
    for name, file in pages.items():
        page = browser.new_page(color_scheme=scheme)
        page.goto(file.as_uri())
        page.evaluate(OPEN)
        for width in (1280, 390):
            page.set_viewport_size({"width": width, "height": 800})
            violations = axe.Axe().run(page).response["violations"]
            found[name, width] = [f"{one['id']}: {node['html'][:150]}" for one in violations for node in one["nodes"]]
            wide[name, width] = page.evaluate("document.documentElement.scrollWidth") > width
        page.close()
    assert found == {at: [] for at in found}
    assert not any(wide.values()), wide


def test_folded_parts_are_printed_open(printed):
    # The height of what is folded, where it is laid out at all; a table that prints has its rows.
    shown = """[...document.querySelectorAll('details > :not(summary)')].map(
        one => one.checkVisibility({contentVisibilityAuto: true}) && one.getBoundingClientRect().height > 20)"""
    assert printed.locator("details[open]").count() == 0
    assert not any(printed.evaluate(shown))
    printed.emulate_media(media="print")
    printed.wait_for_function(f"{shown}.every(Boolean)")  # on a busy machine the media arrive a moment later
    assert len(printed.evaluate(shown)) >= 6
    assert all(printed.evaluate(shown))


def test_print_is_light_whatever_the_screen_is(printed):
    printed.emulate_media(media="print", color_scheme="dark")
    assert printed.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert printed.evaluate("getComputedStyle(document.querySelector('h2')).color") == "rgb(0, 0, 0)"
    looks = "[...document.images].map(one => getComputedStyle(one).filter)"
    assert set(printed.evaluate(looks)) == {"none"}


def test_page_breaks_cut_no_picture_and_no_row(printed):
    printed.emulate_media(media="print")
    for what in (".picture", ".tiles li", ".cards div", "tr"):
        breaks = printed.eval_on_selector_all(what, "all => all.map(one => getComputedStyle(one).breakInside)")
        assert set(breaks) == {"avoid"}, what
    tallest = printed.eval_on_selector_all(".picture", "all => Math.max(...all.map(one => one.offsetHeight))")
    assert tallest < 267 / 25.4 * 96  # what A4 leaves between its margins, in CSS pixels
    assert printed.pdf(format="A4").startswith(b"%PDF")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_in_a_browser_it_opens_without_an_error_or_a_request_and_fits_a_phone(
    make_run, insights, browser, tmp_path, scheme
):
    long = ("x" * 300 + ".png", "b", "c", '"><img src=x onerror=alert(1)>')
    file = tmp_path / "report.html"
    file.write_text(report_html([make_run(class_names=("w" * 90, "wren"), insights=insights(long, IMAGE))]))
    page = browser.new_page(viewport={"width": 390, "height": 800}, color_scheme=scheme)
    said, asked = [], []
    page.on("console", lambda message: said.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(file.as_uri())
    page.eval_on_selector_all("details", "all => all.forEach(one => one.open = true)")
    assert said == []
    assert [url for url in asked if not url.startswith("data:")] == [file.as_uri()]
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert page.evaluate("[...document.images].every(one => one.complete && one.naturalWidth > 0)")
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(20, 23, 28)"
    assert dark == (scheme == "dark")
    page.close()
