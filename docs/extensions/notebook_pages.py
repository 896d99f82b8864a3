"""Notebooks as pages: their text, code and committed outputs. Nothing is executed here; tests do that."""

import base64
import hashlib
import json
from pathlib import Path

from myst_parser.sphinx_ import Parser

PICTURES = "_notebook_pictures"  # below docs/, made while building, ignored by git


def as_markdown(notebook: dict, keep_picture) -> str:
    """The notebook as one Markdown text. keep_picture: takes PNG bytes, returns the target of a link to them."""
    parts = []
    for cell in notebook["cells"]:
        text = "".join(cell["source"])
        parts.append(text if cell["cell_type"] == "markdown" else f"```python\n{text}\n```")
        parts.extend(_output(output, keep_picture) for output in cell.get("outputs", []))
    return "\n\n".join(parts)


def _output(output: dict, keep_picture) -> str:
    data = output.get("data", {})
    if "image/png" in data:
        return f"![Picture made by the code above]({keep_picture(base64.b64decode(data['image/png']))})"
    text = "".join(output.get("text", data.get("text/plain", "")))
    return f"```text\n{text.rstrip()}\n```"


class NotebookParser(Parser):
    supported = ("ipynb",)

    def parse(self, inputstring, document):
        folder = Path(document.settings.env.srcdir) / PICTURES

        def kept(picture: bytes) -> str:
            folder.mkdir(exist_ok=True)
            name = hashlib.sha256(picture).hexdigest()[:16] + ".png"
            if not (folder / name).exists():  # named by what is in it; another build may be reading it
                (folder / name).write_bytes(picture)
            return f"/{PICTURES}/{name}"

        super().parse(as_markdown(json.loads(inputstring), kept), document)


def setup(app):
    app.add_source_suffix(".ipynb", "ipynb")
    app.add_source_parser(NotebookParser)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
