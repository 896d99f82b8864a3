"""Every code block of the documentation runs, in the order of its page, in a folder of its own with small data.

What a page prints is compared with what it says it prints, where its data are the real ones.
"""

import contextlib
import io
import math
import re
import shlex
import shutil
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest
from PIL import Image

from fewlabels.cli.main import COMMANDS
from fewlabels.cli.main import run as run_command
from fewlabels.data.benchmarks import digits as bundled
from fewlabels.nets import NetworkSettings
from fewlabels.recipes.images import digits_lp
from fewlabels.training.settings import Phase

DOCS = Path(__file__).parent.parent.parent / "docs"
PAGES = sorted(path.name for path in DOCS.glob("*.md"))
RUN_ELSEWHERE = {  # in tests/test_docs.py, which looks at their results too
    "estimator.md",
    "networks.md",
}
NOT_RUN = {
    "fewlabels reproduce cifar10": "needs CIFAR-10 and hours; tests/commands/reproduce/ runs cells on small images",
    "fewlabels label": "serves a page until it is stopped; tests/review/ opens it",
    "fewlabels train photos/ --labels runs/labelled": "needs a labelling; tests/review/test_label.py makes one",
    "fewlabels classify runs/labelled": "needs a labelling; tests/review/test_labelling_run.py makes one",
    "fewlabels classify propagated-run": "needs a run of propagate; tests/cli/test_classify_rows.py makes one",
    "fewlabels review": "serves a page until it is stopped; tests/review/ opens it",
    "python -m pytest": "the tests themselves",
    "make ": "takes minutes to hours and the network; tests/test_docs.py sees that the targets exist",
    "fewlabels propagate parts/ --labels l.csv": "needs a Dask cluster; tests/cluster/test_command.py starts one",
    "torchrun": "tests/training/test_torchrun.py starts several processes",
    "#!/bin/bash": "a script for a cluster that nobody here has; the page says so",
}
PRINTS_WHAT_IT_SAYS = {"tutorial-embeddings.md", "cost.md"}
EMPTY_FOLDER = {"tutorial-embeddings.md", "tutorial-images.md"}  # they make what they need
WORDS = {"python", "sh", "text"}  # languages of fenced blocks; text is shown, not run


def blocks(page: str) -> list[tuple[str, str]]:
    """(language, text) of each fenced block that is no directive of Sphinx."""
    found = re.findall(r"^```([^\n]*)\n(.*?)^```$", (DOCS / page).read_text(), re.M | re.S)
    return [(language, text) for language, text in found if not language.startswith("{")]


def commands(text: str) -> list[str]:
    """The commands of a block, without comments. A script counts as one."""
    if text.startswith("#!"):
        return [text]
    return [command for line in text.splitlines() if (command := line.split(" #")[0].strip())]


def reason_not_to_run(command: str) -> str | None:
    return next((why for start, why in NOT_RUN.items() if command.startswith(start)), None)


@pytest.mark.parametrize("page", PAGES)
def test_every_block_says_what_language_it_is_in(page):
    assert {language for language, _ in blocks(page)} <= WORDS


def test_only_commands_that_stand_somewhere_are_excused_from_running():
    found = [line for page in PAGES for language, text in blocks(page) if language == "sh" for line in commands(text)]
    assert not [start for start in NOT_RUN if not any(line.startswith(start) for line in found)]


@pytest.mark.parametrize("page", PAGES)
def test_every_option_in_a_block_exists(page, capsys):
    for language, text in blocks(page):
        for command in commands(text) if language == "sh" else []:
            words = shlex.split(command) if command.startswith("fewlabels ") else ["", ""]
            if words[1] in COMMANDS:
                assert run_command([words[1], "--help"]) == 0
                shown = set(re.findall(r"--[\w-]+", capsys.readouterr().out))
                unknown = {word.split("=")[0] for word in words if word.startswith("--")} - shown
                assert not unknown, command


def few_digits() -> bundled.Digits:
    """Eight of each digit to train on and two to test on, of the real ones."""
    whole = bundled.load_digits()
    train = np.sort(np.concatenate([np.flatnonzero(whole.truth == digit)[:8] for digit in range(10)]))
    test = np.sort(np.concatenate([np.flatnonzero(whole.test_truth == digit)[:2] for digit in range(10)]))
    return replace(
        whole,
        pixels=whole.pixels[train],
        truth=whole.truth[train],
        ids=[whole.ids[row] for row in train],
        test_pixels=whole.test_pixels[test],
        test_truth=whole.test_truth[test],
    )


@pytest.fixture
def short(monkeypatch):
    """Training takes a second: fewer digits and steps, a narrow network."""
    digits = few_digits()
    recipe = replace(
        digits_lp(),
        phases=(Phase("supervised", 1, 0.05, 30), Phase("lp", 1, 0.05, 30, 50)),
        network=NetworkSettings(width=2),
    )
    monkeypatch.setattr("fewlabels.data.benchmarks.digits.load_digits", lambda: digits)
    monkeypatch.setattr("fewlabels.commands.demo.load_digits", lambda: digits)
    monkeypatch.setattr("fewlabels.commands.demo.digits_lp", lambda seed: replace(recipe, seed=seed))
    monkeypatch.setattr("fewlabels.recipes.images.SUPERVISED_STEPS", 2)
    monkeypatch.setattr("fewlabels.recipes.images.LP_STEPS", 2)
    monkeypatch.setattr("fewlabels.graph.cost.instructions", lambda: "avx512")  # the page on cost speaks of such cores


LABELS = {
    "photos": "id,label\ncrow/000.jpg,crow\nwren/001.jpg,wren\ncrow/002.jpg,\n",
    "embeddings": "id,label\n0,crow\n1,crow\n20,wren\n21,wren\n40,gull\n41,gull\n",
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """What the pages name, with little in it."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def fill(folder: Path) -> None:
    rng = np.random.default_rng(0)
    rows = (rng.normal(size=(3, 16))[np.arange(60) // 20] + 0.2 * rng.normal(size=(60, 16))).astype(np.float32)
    known = [("crow", "wren", "gull")[row // 20] if row % 20 < 2 else None for row in range(60)]
    np.save("embeddings.npy", rows)
    np.save("labels.npy", np.array([-1 if name is None else row // 20 for row, name in enumerate(known)]))
    table = pa.table({"embedding": pa.array(list(rows))})
    pyarrow.feather.write_feather(table, "embeddings.arrow", compression="uncompressed")
    texts = ["a goal in the last minute,sport", "bread with butter,food", "the team won the match,", "soup of onions,"]
    Path("texts.csv").write_text("\n".join(["id,text,label", *(f"{at},{text}" for at, text in enumerate(texts))]))
    Path("parts").mkdir()
    for part in range(2):
        mine = slice(30 * part, 30 * part + 30)
        columns = {"key": [f"item {row}" for row in range(60)][mine], "vector": list(rows[mine]), "class": known[mine]}
        pq.write_table(pa.table(columns), f"parts/{part}.parquet")
    for number in range(40):
        place = folder / "photos" / ("crow", "wren")[number % 2] / f"{number:03}.jpg"
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 255, (12, 12, 3), dtype=np.uint8)).save(place)

    (folder / "new-photos").mkdir()
    for number in range(3):
        Image.fromarray(rng.integers(0, 255, (15, 12, 3), dtype=np.uint8)).save(folder / "new-photos" / f"{number}.jpg")


def fill_with_cifar(folder: Path) -> None:
    """CIFAR-10 in its binary version, black: as many images as it has, for they are counted."""
    place = folder / "data" / "cifar10" / "cifar-10-batches-bin"
    place.mkdir(parents=True)
    records = np.zeros((10_000, 3073), np.uint8)
    records[:, 0] = np.arange(10_000) % 10
    for name in [*(f"data_batch_{number}.bin" for number in range(1, 6)), "test_batch.bin"]:
        records.tofile(place / name)
    (place / "batches.meta.txt").write_text("\n".join(f"class {number}" for number in range(10)) + "\n")


def run_shell(command: str, page: str) -> None:
    words = shlex.split(command)
    assert words[0] == "fewlabels", f"{command!r} is no command of ours: NOT_RUN says why such a thing is not run"
    if page not in EMPTY_FOLDER:
        of_rows = words[1] == "propagate" and page not in ("describe.md", "classify.md")  # there they are photos
        Path("labels.csv").write_text(LABELS["embeddings" if of_rows else "photos"])
    if page == "commands.md" and "--continue-from" in words:  # as if somebody had reviewed the run
        shutil.copy("labels.csv", "reviewed.csv")
    if page == "commands.md" and "--out" in words:  # its examples stand for themselves; nothing is ever written over
        taken = Path(words[words.index("--out") + 1])
        for place in (taken, taken.with_name(f"{taken.name}-run"), taken.with_name(f"{taken.stem}-run")):
            shutil.rmtree(place) if place.is_dir() else place.unlink(missing_ok=True)
    assert run_command(words[1:]) == 0, command


def alike(said: str, printed: str) -> bool:
    """The same words, and numbers that differ as they may on another machine."""
    number = r"\d[\d,]*(?:\.\d+)?"
    one, other = ([float(text.replace(",", "")) for text in re.findall(number, whole)] for whole in (said, printed))
    words = [re.sub(number, "0", whole).split() for whole in (said, printed)]
    return words[0] == words[1] and all(
        math.isclose(a, b, rel_tol=0.05, abs_tol=0.05) for a, b in zip(one, other, strict=True)
    )


@pytest.mark.usefixtures("short", "blank_pictures")
@pytest.mark.parametrize("page", [page for page in PAGES if page not in RUN_ELSEWHERE])
def test_the_blocks_of_a_page_run_in_order(page, folder, capsys, monkeypatch):
    if page not in EMPTY_FOLDER:
        fill(folder)
    if page == "datasets.md":
        fill_with_cifar(folder)
    if page == "commands.md":  # many runs; `report` of a real run is on it, and other pages draw theirs
        for home in ("demo", "training"):
            monkeypatch.setattr(f"fewlabels.commands.{home}.report_html", lambda folders: "", raising=False)
    names: dict[str, object] = {}
    printed = None
    for language, text in blocks(page):
        if language == "text" and printed is not None and page in PRINTS_WHAT_IT_SAYS:
            assert alike(text, printed), f"{page} says\n{text}\nand the block before it prints\n{printed}"
        printed = None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # data so small and training so short are warned of
            if language == "python":
                with contextlib.redirect_stdout(io.StringIO()) as output:
                    exec(compile(text, page, "exec"), names)
                printed = output.getvalue()
            for command in commands(text) if language == "sh" else []:
                if not reason_not_to_run(command):
                    run_shell(command, page)
    capsys.readouterr()
