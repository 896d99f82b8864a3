"""Pages that are made by programs: the commands, and the notebooks with what they printed."""

import base64
import importlib.util
import json
import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parent.parent.parent / "docs"
NOTEBOOKS = sorted(path.name for path in (DOCS / "notebooks").glob("*.ipynb"))


def program(name: str):
    """A script of docs/ as a module."""
    found = importlib.util.spec_from_file_location(f"docs_{name}", DOCS / "scripts" / f"{name}.py")
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


def test_the_page_of_commands_is_what_the_commands_say():
    assert (DOCS / "commands.md").read_text() == program("commands").page(), "run: python docs/scripts/commands.py"


def cells(name: str) -> list[dict]:
    return [
        cell for cell in json.loads((DOCS / "notebooks" / name).read_text())["cells"] if cell["cell_type"] == "code"
    ]


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_is_kept_as_it_ran_from_top_to_bottom_without_an_error(name):
    assert [cell["execution_count"] for cell in cells(name)] == list(range(1, len(cells(name)) + 1))
    outputs = [output for cell in cells(name) for output in cell["outputs"]]
    assert {output["output_type"] for output in outputs} == {"stream", "display_data"}
    assert {output.get("name", "stdout") for output in outputs} == {"stdout"}  # no warnings


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_pictures_in_a_notebook_are_small(name):
    pictures = [output["data"]["image/png"] for cell in cells(name) for output in cell["outputs"] if "data" in output]
    assert pictures
    assert max(len(base64.b64decode(picture)) for picture in pictures) < 300_000


def printed(cell: dict) -> list[str]:
    """The words a cell printed, without numbers, which may differ on another machine."""
    text = "".join("".join(output.get("text", "")) for output in cell["outputs"])
    return re.sub(r"\d[\d.,]*", "0", text).split()


@pytest.mark.slow
@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_runs_and_prints_what_is_kept(name):
    pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    again = program("notebooks").executed(DOCS / "notebooks" / name)
    fresh = [cell for cell in again.cells if cell.cell_type == "code"]
    assert [printed(cell) for cell in fresh] == [printed(cell) for cell in cells(name)]
