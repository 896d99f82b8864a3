"""Writes docs/commands.md, the reference of the command line, from the commands themselves.

python docs/scripts/commands.py    # after any change to a command; a test compares the page with the app
"""

from __future__ import annotations

import re
import textwrap
from pathlib import Path
from typing import Any

import typer

from fewlabels.cli.main import COMMANDS, app
from fewlabels.storage import durable

PAGE = Path(__file__).parents[1] / "commands.md"
HEAD = """# Commands

Made from the commands' own `--help` by `docs/scripts/commands.py`; a test holds both together.

Results go to standard output, progress and warnings to standard error. Every error has [a code](errors.md) and an exit
status. `fewlabels --version` prints the version, `fewlabels --debug COMMAND` shows the traceback of an error, and
`fewlabels --install-completion` teaches your shell the words below.
"""


def page() -> str:
    """The whole page, Markdown that ends in one line feed."""
    group = typer.main.get_command(app)
    sections = [section(name, group.commands[name]) for name in COMMANDS]  # type: ignore[attr-defined]
    return "\n".join([HEAD, *sections])


def section(name: str, command: Any) -> str:
    """Heading, what it does, its examples, and a table of its arguments and options."""
    context = command.context_class(command, info_name=f"fewlabels {name}")
    told = [textwrap.fill(prose(text), 120, break_on_hyphens=False) for text in paragraphs(command.help)]
    run = "\n".join(text.removeprefix("Example: ") for text in paragraphs(command.epilog))
    records = [record for parameter in command.params if (record := parameter.get_help_record(context))]
    table = ["| argument or option | what it is |", "|---|---|", *(row(*record) for record in records)]
    return "\n\n".join([f"## fewlabels {name}", *told, f"```sh\n{run}\n```", "\n".join(table)]) + "\n"


def paragraphs(text: str) -> list[str]:
    """Each on one line."""
    return [" ".join(part.split()) for part in re.split(r"\n\s*\n", text.strip())]


def prose(text: str) -> str:
    """The same in Markdown: options as code, and no signs that would be taken for HTML or columns."""
    plain = " ".join(text.split()).replace("<", "&lt;").replace("|", "\\|")
    return re.sub(r"(?<![\w`-])(--[a-z][\w-]*)", r"`\1`", plain)


def row(words: str, told: str) -> str:
    """One row of the table; a bar inside of a cell is escaped."""
    name = " ".join(words.split()).replace("|", "\\|")
    return f"| `{name}` | {prose(told)} |"


if __name__ == "__main__":
    durable.write_bytes(PAGE, page().encode())
