"""Every exception and warning of fewlabels.

    FewlabelsError
    |-- InputError (also ValueError)      exit 2   what the user handed in
    |   |-- ConfigError                            settings and options
    |   |-- LabelError                             labels, label files
    |   |-- EmbeddingError                         descriptor arrays and files
    |   |-- ImageError                             images and folders of them
    |   `-- GraphError                             a graph that cannot be used
    |-- RunError                          exit 3   a run folder that is damaged or not one
    |-- StorageError (also OSError)       exit 4   disk, permission, memory
    |-- NumericsError (also ArithmeticError)  exit 5   a number that must not be there
    `-- Interrupted                       exit 128 + signal   stopped by a signal, the state saved

    FewlabelsWarning (UserWarning)
    |-- UnreachedWarning      rows that no label reaches
    |-- ConvergenceWarning    the solver stopped before its tolerance
    |-- InputWarning          input accepted, but worth a look
    |-- CheckpointWarning     a run goes on, but not from the newest checkpoint, or not exactly
    `-- CollapseWarning       training goes on, but does not look as if it learned

Each error carries a code, `FL-` and the case's name in docs/errors.md, so that it can be looked up and tested.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from shlex import quote

SHOWN_ROWS = 5
SHOWN_CHARACTERS = 200  # of one value; a message has several
MESSAGE_CHARACTERS = 2000


def shown(text: object, most: int = SHOWN_CHARACTERS) -> str:
    """One printable line for any value a user handed in: control characters escaped, long text cut."""
    line = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(text))
    return line if len(line) <= most else line[: most - 3] + "..."


def listed(rows: Sequence[object]) -> str:
    """`7 such rows (first 5: a, b, c, d, e)`: how many rows a message is about, and which to look at first."""
    first = ", ".join(shown(row) for row in rows[:SHOWN_ROWS])
    noun = "row" if len(rows) == 1 else "rows"
    head = f"first {SHOWN_ROWS}: " if len(rows) > SHOWN_ROWS else ""
    return f"{len(rows)} such {noun} ({head}{first})"


class FewlabelsError(Exception):
    """Base of all errors. One line: code, what came, where, which rows, what to do.

    case: the case in docs/errors.md, such as "L14".
    what: what came, and what was expected.
    where: file, `file:line`, option or argument.
    rows: the ids of the rows at fault; the first five are shown.
    do: what to do about it.
    """

    exit_status = 1

    def __init__(
        self, case: str, what: str, *, where: object = None, rows: Sequence[object] = (), do: str = ""
    ) -> None:
        self.code = f"FL-{case}"
        self.what, self.rows, self.do = what, list(rows), do
        place = f" at {shown(where)}" if where is not None else ""
        parts = [f"{self.code} {what}{place}"]
        if self.rows:
            parts.append(listed(self.rows))
        if do:
            parts.append(do)
        super().__init__("; ".join(parts))

    def __reduce__(self) -> tuple[object, ...]:
        """So that an error comes back whole from another process."""
        return _restore, (type(self), self.args, self.__dict__)


def _restore(kind: type[FewlabelsError], args: tuple[object, ...], state: dict[str, object]) -> FewlabelsError:
    error = kind.__new__(kind)
    error.args = args
    error.__dict__.update(state)
    return error


class InputError(FewlabelsError, ValueError):
    """Something the user handed in cannot be used."""

    exit_status = 2


class ConfigError(InputError):
    """A setting or option is unknown, out of range, or contradicts another."""


class LabelError(InputError):
    """Labels, or a file of labels, cannot be used."""


class EmbeddingError(InputError):
    """An array or file of descriptors cannot be used."""


class ImageError(InputError):
    """Images, or a folder of images, cannot be used."""


class GraphError(InputError):
    """A graph cannot be built, or one handed in cannot be used."""


class RunError(FewlabelsError):
    """A run folder is damaged, incomplete, or not a run folder."""

    exit_status = 3


class StorageError(FewlabelsError, OSError):
    """A file could not be written or read: disk full, no permission, device error."""

    exit_status = 4


class NumericsError(FewlabelsError, ArithmeticError):
    """A computation gave a number that must not be used, such as a NaN loss."""

    exit_status = 5


class Interrupted(FewlabelsError):
    """A signal asked the run to stop, and it did at a safe point. what: says what was saved. do: how to go on."""

    def __init__(self, signal: int, what: str, *, do: str = "") -> None:
        super().__init__("D7", what, do=do)
        self.exit_status = 128 + signal


class FewlabelsWarning(UserWarning):
    """Base of all warnings."""


class UnreachedWarning(FewlabelsWarning):
    """Some rows are not connected to any labelled row: they stay without a label."""


class ConvergenceWarning(FewlabelsWarning):
    """The solver stopped at its step limit, before its tolerance."""


class InputWarning(FewlabelsWarning):
    """Input that was accepted, but probably is not what was meant."""


class CheckpointWarning(FewlabelsWarning):
    """A run goes on, but not from the newest checkpoint or not to the same bytes; or an old one stays on the disk."""


class CollapseWarning(FewlabelsWarning):
    """A guard of the training saw what healthy runs do not show."""


def demand_packages(purpose: str, *names: str, extra: str = "train") -> None:
    """Raise ConfigError (C23) where packages are missing. purpose: such as "training needs"; nothing is imported.

    extra: of pyproject.toml, which brings them.
    """
    missing = [name for name in names if find_spec(name) is None]
    if missing:
        raise ConfigError("C23", f"{purpose} {', '.join(missing)}", do=install_command(extra))


def install_command(extra: str) -> str:
    """The command that installs an extra of this very fewlabels, from the clone or file that it was installed from.

    A clone's constraints.txt names versions that fit one another, such as those of torch and torchvision.
    """
    clone = Path(__file__).resolve().parents[2]
    editable = "-e " if (clone / "pyproject.toml").is_file() else ""
    place = clone if editable else _installed_from()
    if place is None:
        return f"pip install 'fewlabels[{extra}]'"
    pins = place / "constraints.txt"
    constraints = f"-c {quote(str(pins))} " if pins.is_file() else ""
    return f"pip install {constraints}{editable}{quote(f'{place}[{extra}]')}"


def _installed_from() -> Path | None:
    """The folder or wheel that pip installed this package from (PEP 610), where it was none of an index."""
    import json  # here, as these take longer to import than all the rest
    from importlib import metadata
    from urllib.parse import urlparse
    from urllib.request import url2pathname

    try:
        origin = json.loads(metadata.distribution(__package__).read_text("direct_url.json") or "{}")
    except (metadata.PackageNotFoundError, ValueError):
        return None
    url = urlparse(str(origin.get("url", "")))
    place = Path(url2pathname(url.path))
    return place if url.scheme == "file" and place.exists() else None


def warn(warning: FewlabelsWarning) -> None:
    """Issue a warning that points at the caller's own line: the first one outside of this package (and its caches)."""
    level, frame = 1, sys._getframe()
    while frame is not None and frame.f_globals.get("__name__", "").partition(".")[0] in (__package__, "functools"):
        level, frame = level + 1, frame.f_back  # type: ignore[assignment]
    warnings.warn(warning, stacklevel=level)
