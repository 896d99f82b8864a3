"""From embeddings to reviewed labels: the commands, the true graph and the page together."""

from __future__ import annotations

import csv
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.review.browser.browser_pages import TILE, expect, press, rows_shown, said

ROWS, BIRDS = 90, ("crow", "gull", "wren")


def command(*words: object) -> list[str]:
    return [sys.executable, "-m", "fewlabels", *map(str, words)]


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """A run over three clouds that touch, two labels each, with a text for each row."""
    folder = tmp_path_factory.mktemp("birds")
    rng = np.random.default_rng(0)
    truth = np.arange(ROWS) % 3
    points = rng.normal(size=(3, 8))[truth] + 0.5 * rng.normal(size=(ROWS, 8))
    labels = [BIRDS[truth[row]] if row < 6 else None for row in range(ROWS)]
    texts = [f"seen on {row % 28 + 1} March" for row in range(ROWS)]
    ids = [f"bird-{row:02}" for row in range(ROWS)]
    columns = {"id": ids, "embedding": points.astype(np.float32).tolist(), "label": labels, "note": texts}
    pq.write_table(pa.table(columns), folder / "birds.parquet")
    made = command("propagate", folder / "birds.parquet", "--out", folder / "labels.csv", "--run", folder / "run")
    subprocess.run([*made, "--quiet", "--n-neighbors", "8"], check=True, capture_output=True)
    return folder / "run"


@contextmanager
def reviewing(run: Path) -> Iterator[str]:
    """The address that `fewlabels review` prints; the command ends with the block."""
    process = subprocess.Popen(command("review", run, "--no-browser"), stdout=subprocess.PIPE, text=True)
    try:
        yield next(line for line in process.stdout if "token=" in line).split()[-1]
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
        process.stdout.close()


def labels_in(file: Path) -> dict[str, str]:
    with file.open(newline="") as lines:
        return {row["id"]: row["label"] for row in csv.DictReader(lines)}


def opened_at(context, address: str):
    page = context.new_page()
    page.goto(address)
    page.wait_for_selector(TILE)
    return page


def test_answers_outlive_reload_and_server_and_leave_as_csv(browser, run, tmp_path):
    context = browser.new_context(accept_downloads=True)
    with reviewing(run) as address:
        page = opened_at(context, address)
        first, second = rows_shown(page)[:2]
        expect(page.locator(TILE).first).to_contain_text("seen on")
        press(page, "2", "s")
        said(page, "1 row labelled gull, saved.")
        expect(page.locator("#moved h2")).to_contain_text(" in ")
        press(page, "w")
        expect(page.locator("#why")).to_contain_text("Labelled rows that decided it")
        page.reload()
        expect(page.locator("#given")).to_have_text("1 answer, 1 skipped")
        page.locator("#export summary").click()
        with page.expect_download() as download:
            page.get_by_role("link", name="CSV").click()
        download.value.save_as(tmp_path / "page.csv")
    assert labels_in(tmp_path / "page.csv")[f"bird-{first:02}"] == "gull"
    with reviewing(run) as address:
        page = opened_at(context, address)
        expect(page.locator("#given")).to_have_text("1 answer, 1 skipped")
        page.locator("#filters [name=source]").select_option("skipped")
        expect(page.locator(TILE)).to_have_count(1)
        assert rows_shown(page) == [second]
        press(page, "Delete")
        said(page, "1 row taken back, saved.")
    context.close()
    subprocess.run(command("export", run, "--out", tmp_path / "reviewed.csv"), check=True, capture_output=True)
    assert labels_in(tmp_path / "reviewed.csv") == labels_in(tmp_path / "page.csv")
