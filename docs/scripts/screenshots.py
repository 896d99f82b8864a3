"""Takes the pictures of the review page for README and docs: docs/images/review-*.png.

python docs/scripts/screenshots.py runs/photos truth.csv

A copy of the run is reviewed, with answers from the table (id,label). Needs Playwright and Chromium.
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
def reviewed(run: Path) -> Iterator[str]:
    """The address of a review of a copy of the run; ends with the block."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / run.name
        shutil.copytree(run, copy)
        command = [sys.executable, "-m", "fewlabels", "review", str(copy), "--no-browser"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
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
    durable.write_bytes(IMAGES / f"review-{name}.png", target.getvalue())
    print(IMAGES / f"review-{name}.png", f"{len(target.getvalue()) / 1000:.0f} kB")


def few_colours(image: Image.Image) -> Image.Image:
    """The page's own colours, which fill areas, as they are; the others by median cut."""
    frequent = sorted(image.getcolors(image.width * image.height), reverse=True)[:OWN_COLOURS]
    others = image.quantize(256 - OWN_COLOURS, Image.Quantize.MEDIANCUT).getpalette()[: 3 * (256 - OWN_COLOURS)]
    palette = Image.new("P", (1, 1))
    palette.putpalette([part for _, colour in frequent for part in colour] + others)
    return image.quantize(palette=palette, dither=Image.Dither.NONE)


def main(run: Path, table: Path) -> None:
    truth = {row["id"]: row["label"] for row in csv.DictReader(table.open(newline=""))}
    flags = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright, reviewed(run) as address:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=flags)
        page = opened(browser, address, "light", WIDE)
        answer(page, truth, 12)
        page.keyboard.press("Shift+ArrowRight")
        page.keyboard.press("w")
        page.wait_for_selector("#why:not([hidden])")
        page.wait_for_load_state("networkidle")
        save(page, "light")
        look_back(page)
        save(page, "history")
        page = opened(browser, address, "dark", WIDE)
        answer(page, truth, 3)
        save(page, "dark")
        page = opened(browser, address, "light", PHONE)
        page.locator("#grid .tile").nth(1).tap()
        save(page, "phone")
        browser.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
