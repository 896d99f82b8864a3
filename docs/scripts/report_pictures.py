"""Makes the pictures of a report page for the README and docs/report.md. Needs playwright and Debian's chromium.

python docs/scripts/report_pictures.py runs/demo
"""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

from fewlabels.storage import durable

IMAGES = Path(__file__).parents[1] / "images"
# name: colour scheme, the headings from which and before which the page is shown
SHOTS = {
    "report-map": ("light", "Map of the descriptors", "How it was made"),
    "report-trust": ("dark", "Can certainty be trusted?", "Map of the descriptors"),
}
WIDTH, TALLEST = 1100, 1150


def main(run: str) -> None:
    with sync_playwright() as driver:
        args = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = driver.chromium.launch(executable_path="/usr/bin/chromium", args=args)
        for name, (scheme, first, after) in SHOTS.items():
            page = browser.new_page(viewport={"width": WIDTH, "height": 900}, color_scheme=scheme)
            page.goto((Path(run) / "report.html").absolute().as_uri())
            top, bottom = (page.get_by_role("heading", name=title).bounding_box()["y"] for title in (first, after))
            clip = {"x": 0, "y": top - 20, "width": WIDTH, "height": min(bottom - top, TALLEST)}
            shot = Image.open(io.BytesIO(page.screenshot(full_page=True, clip=clip)))
            file = io.BytesIO()
            shot.convert("RGB").quantize(256).save(file, "PNG", optimize=True)
            durable.write_bytes(IMAGES / f"{name}.png", file.getvalue())
        browser.close()


if __name__ == "__main__":
    main(sys.argv[1])
