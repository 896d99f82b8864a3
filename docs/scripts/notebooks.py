"""Executes the notebooks of docs/notebooks/ and keeps what they print and draw.

python docs/scripts/notebooks.py                # all of them, in place
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import nbformat
from nbclient import NotebookClient
from traitlets.config import Config

from fewlabels.storage import durable

FOLDER = Path(__file__).parents[1] / "notebooks"


def executed(path: Path) -> nbformat.NotebookNode:
    """The notebook with fresh outputs, run in an empty folder. Raises CellExecutionError where a cell fails."""
    notebook = nbformat.read(path, as_version=4)
    with TemporaryDirectory() as folder:
        # By sockets in files, beside the folder it works in: over TCP, others on this machine could read along.
        sockets = Config(KernelManager={"transport": "ipc", "ip": f"{folder}/socket"})
        place = {"metadata": {"path": folder}}
        NotebookClient(notebook, timeout=280, record_timing=False, resources=place, config=sockets).execute()
    return notebook


if __name__ == "__main__":
    for path in sorted(FOLDER.glob("*.ipynb")):
        notebook = executed(path)
        notebook.metadata.pop("language_info", None)  # names the version of Python that happened to run it
        durable.write_text(path, nbformat.writes(notebook) + "\n")
