"""What runs and classes are called in reports and pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePath

LONGEST_NAME = 14  # in a chart
LONGEST_LINE = 40  # in a legend, where names that differ would be cut to the same


def distinct_names(paths: Sequence[PurePath]) -> list[str]:
    """As few trailing parts of each path as make different paths different, the same number of parts for all.

    The same path given twice has the same name twice.
    """
    names: list[str] = []
    for count in range(1, 1 + max((len(path.parts) for path in paths), default=0)):
        names = [type(path)(*path.parts[-count:]).as_posix() for path in paths]
        if len(set(names)) == len(set(paths)):
            break
    return names


def short(name: str) -> str:
    """A name as charts show it: printable, cut, never read as a formula."""
    return _begin(_plain(name), LONGEST_NAME)


def short_names(names: Sequence[str]) -> list[str]:
    """Names as a legend shows them: those that differ still do. Where that would be too long they are numbered."""
    plain, wanted = [_plain(name) for name in names], len(set(names))
    for length in range(LONGEST_NAME, LONGEST_LINE + 1):
        for cut in (_begin, _end):
            found = [cut(name, length) for name in plain]
            if len(set(found)) == wanted:
                return found
    return [f"{place}: {short(name)}" for place, name in enumerate(names, 1)]


def _plain(name: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in name).replace("$", r"\$")


def _begin(name: str, length: int) -> str:
    return name if len(name) <= length else name[: length - 1] + "…"


def _end(name: str, length: int) -> str:
    return name if len(name) <= length else "…" + name[1 - length :]
