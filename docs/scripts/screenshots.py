"""Takes the pictures of the review and the labelling page for README and docs: docs/images/review-*.png, label-*.png.

python docs/scripts/photo_run.py && python docs/scripts/screenshots.py

Run where photos/, runs/photos and truth.csv are to be. A copy of the run is reviewed, and the photos are labelled from
none on, with answers from the table. Needs Playwright and Chromium.
"""

from __future__ import annotations

import csv
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from fewlabels.storage import durable

IMAGES = Path(__file__).parents[1] / "images"
WIDE, PHONE = {"width": 1280, "height": 860}, {"width": 390, "height": 780}
OWN_COLOURS = 64
DECODED = """Promise.all([...document.images].filter(image => image.getBoundingClientRect().top < innerHeight)
  .map(image => image.decode().catch(() => null)))"""


@contextmanager
def served(*words: str, folder: Path) -> Iterator[str]:
    """The address of the page of a command that runs in the folder; ends with the block."""
    command = [sys.executable, "-m", "fewlabels", *words, "--no-browser"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=folder)
    try:
        yield next(line.strip() for line in process.stdout if "token=" in line).split()[-1]
    finally:
        process.terminate()
        process.wait()


def opened(browser: Browser, address: str, scheme: str, size: dict[str, int]) -> Page:
    """The page, filled, with all its images."""
    context = browser.new_context(color_scheme=scheme, viewport=size, reduced_motion="reduce", has_touch=size is PHONE)
    page = context.new_page()
    page.goto(address)
    page.wait_for_selector("#grid .tile")
    page.wait_for_load_state("networkidle")
    return page


def answer(page: Page, truth: dict[str, str], count: int) -> None:
    """Give the next rows of the queue their true labels, each once the graph has taken in the one before."""
    for _ in range(count):
        focus = page.locator("#grid .tile[tabindex='0']")
        row, name = focus.get_attribute("data-row"), focus.locator(".id").get_attribute("title")
        page.locator("#palette button", has_text=truth[name]).click()
        page.wait_for_selector(f"#grid .tile[data-row='{row}'] .badge.answered")
        page.wait_for_load_state("networkidle")


def look_back(page: Page) -> None:
    """Accept the selected rows, skip one, undo that; then the history of it all."""
    for key, said in (("Enter", "labelled"), ("s", "skipped"), ("u", "undone")):
        page.keyboard.press(key)
        page.wait_for_function("said => document.getElementById('live').innerText.includes(said)", arg=said)
        page.wait_for_load_state("networkidle")
    page.keyboard.press("h")
    page.wait_for_selector("#history .entry")
    page.wait_for_load_state("networkidle")


def save(page: Page, name: str) -> None:
    """With 256 colours, a third of the size."""
    page.wait_for_timeout(500)  # the figures come after the answer
    page.evaluate(DECODED)
    image = few_colours(Image.open(BytesIO(page.screenshot())).convert("RGB"))
    target = BytesIO()
    image.save(target, "PNG", optimize=True)
    durable.write_bytes(IMAGES / f"{name}.png", target.getvalue())
    print(IMAGES / f"{name}.png", f"{len(target.getvalue()) / 1000:.0f} kB")


def few_colours(image: Image.Image) -> Image.Image:
    """The page's own colours, which fill areas, as they are; the others by median cut."""
    frequent = sorted(image.getcolors(image.width * image.height), reverse=True)[:OWN_COLOURS]
    others = image.quantize(256 - OWN_COLOURS, Image.Quantize.MEDIANCUT).getpalette()[: 3 * (256 - OWN_COLOURS)]
    palette = Image.new("P", (1, 1))
    palette.putpalette([part for _, colour in frequent for part in colour] + others)
    return image.quantize(palette=palette, dither=Image.Dither.NONE)


def name_classes(page: Page, truth: dict[str, str], count: int) -> None:
    """Answer the next questions of a labelling: a class is typed where it is new, and has its key from then on."""
    known: set[str] = set()
    for _ in range(count):
        focus = page.locator("#grid .tile[tabindex='0']")
        row, name = focus.get_attribute("data-row"), truth[focus.locator(".id").get_attribute("title")]
        if name in known:
            page.locator("#palette button", has_text=name).first.click()
        else:
            page.keyboard.press("+")
            page.keyboard.type(name)
            page.keyboard.press("Enter")
        known.add(name)
        page.wait_for_selector(f"#grid .tile[data-row='{row}'] .badge.answered")
        page.wait_for_load_state("networkidle")
        page.locator("#grid .tile[tabindex='0']").focus()


def take_review(browser: Browser, address: str, truth: dict[str, str]) -> None:
    page = opened(browser, address, "light", WIDE)
    answer(page, truth, 12)
    page.keyboard.press("Shift+ArrowRight")
    page.keyboard.press("w")
    page.wait_for_selector("#why:not([hidden])")
    page.wait_for_load_state("networkidle")
    save(page, "review-light")
    look_back(page)
    save(page, "review-history")
    page = opened(browser, address, "dark", WIDE)
    answer(page, truth, 3)
    save(page, "review-dark")
    page = opened(browser, address, "light", PHONE)
    page.locator("#grid .tile").nth(1).tap()
    save(page, "review-phone")


def take_labelling(browser: Browser, address: str, truth: dict[str, str]) -> None:
    page = opened(browser, address, "light", WIDE)
    name_classes(page, truth, 24)
    page.keyboard.press("n")
    page.wait_for_load_state("networkidle")
    save(page, "label-light")


def main() -> None:
    with open("truth.csv", newline="") as table:
        truth = {row["id"]: row["label"] for row in csv.DictReader(table)}
    flags = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as folder:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=flags)
        shutil.copytree("runs/photos", Path(folder, "runs/photos"))
        with served("review", "runs/photos", folder=Path(folder)) as address:
            take_review(browser, address, truth)
        photos = str(Path("photos").absolute())
        with served("label", photos, "--out", "runs/labels", folder=Path(folder)) as address:
            take_labelling(browser, address, truth)
        browser.close()


if __name__ == "__main__":
    main()
