"""Runs a command: exit codes, one line for every error and warning, no traceback unless --debug.

Exit codes: 0 done, 2 input or option, 3 damaged run folder, 4 disk, permission or memory, 5 numerics, 130 and 143 for
the signals, 141 for a closed pipe.
"""

from __future__ import annotations

import os
import signal
import sys
import traceback
import warnings
from itertools import pairwise
from types import FrameType
from typing import NoReturn

import typer

from ..errors import MESSAGE_CHARACTERS, CheckpointWarning, CollapseWarning, ConfigError, FewlabelsError, shown
from . import (
    cache,
    classify,
    demo,
    describe,
    export,
    export_model,
    label,
    propagate,
    report,
    reproduce,
    review,
    train,
    verify,
)
from .app import app

USAGE_ERROR: type[Exception] = typer.BadParameter.__mro__[1]  # typer does not name the base of its usage errors
SPIN_COUNT = "3000"  # OpenMP's own value makes steps 200 times slower while another program has a core (docs/log.md)
HOMES = (
    demo,
    describe,
    label,
    train,
    classify,
    export_model,
    reproduce,
    propagate,
    report,
    review,
    export,
    verify,
    cache,
)  # importing them gave the app its commands
COMMANDS = [home.__name__.rpartition(".")[2].replace("_", "-") for home in HOMES]  # in the order of --help
app.registered_commands.sort(
    key=lambda command: COMMANDS.index(command.callback.__name__.replace("_", "-"))  # type: ignore[union-attr]
)


def main() -> None:
    """Entry point of the `fewlabels` command."""
    signal.signal(signal.SIGTERM, _on_sigterm)
    _open_streams()
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", SPIN_COUNT)  # read when torch is loaded
    warnings.showwarning = _OncePerCode()  # type: ignore[assignment]
    status = run(sys.argv[1:])
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # an exception in Python's own last steps would only be printed
    sys.exit(status)


def _open_streams() -> None:
    """Open what the caller closed (`>&-`) on the null device: files would get these numbers, and a print would fail."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            stream = open(os.open(os.devnull, os.O_RDWR), mode, encoding="utf-8")  # noqa: SIM115 - to the end
            setattr(sys, name, stream)
            setattr(sys, f"__{name}__", stream)


class _OncePerCode:
    """Shows a warning as one line, and each code once: a loop would repeat it every epoch with other numbers.

    Of checkpoints that are passed over, and of guards, each is shown: there the numbers are the message.
    """

    def __init__(self) -> None:
        self.seen: set[str] = set()

    def __call__(self, message: Warning | str, category: type[Warning], *rest: object) -> None:
        code = str(message) if category in (CheckpointWarning, CollapseWarning) else str(message).split(" ", 1)[0]
        if code not in self.seen:
            self.seen.add(code)
            print(f"warning: {shown(message, MESSAGE_CHARACTERS)}", file=sys.stderr)


def _on_sigterm(number: int, frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)


def run(arguments: list[str]) -> int:
    """Run a command and return its exit status; print an error as one line."""
    if not arguments:
        arguments = ["--help"]
    try:
        _demand_utf8([*arguments, os.getcwd()])
        result = app(args=arguments, prog_name="fewlabels", standalone_mode=False)
        sys.stdout.flush()  # here a reader who went away is noticed
        return _tell_interrupt() if result == 130 else result if isinstance(result, int) else 0
    except FewlabelsError as error:
        return _fail(str(error), error.exit_status)
    except KeyboardInterrupt:
        return _tell_interrupt()
    except BrokenPipeError:
        return _end_without_reader()
    except SystemExit as ended:
        if isinstance(ended.__context__, BrokenPipeError):  # typer makes this of it
            return _end_without_reader()
        raise
    except OSError as error:  # what nobody expected, such as a name that is too long or too many open files
        place = f" at {shown(' '.join(arguments[:2]) if error.filename is None else error.filename)}"
        return _fail(f"FL-D10 {error.strerror or error}{place}; check the name, and limits with `ulimit -a`", 4)
    except MemoryError:
        return _fail("FL-G21 out of memory; use fewer rows, fewer classes or a smaller image size", 4)
    except USAGE_ERROR as error:
        said = " ".join(error.format_message().split())  # type: ignore[attr-defined]
        text = said.replace("Value error, ", "").rstrip(".") + _quote_value(error, arguments)  # pydantic says so
        command = next((word for word in arguments if word in COMMANDS), "")
        return _fail(f"FL-C1 {text}; see: fewlabels {command + ' ' if command else ''}--help", 2)


def _demand_utf8(names: list[str]) -> None:
    """Raise ConfigError (C1) for a name of bytes that are not UTF-8: runs, which tell it, are written in UTF-8."""
    for name in names:
        if any("\ud800" <= letter <= "\udfff" for letter in name):
            raise ConfigError("C1", f"a name that is not UTF-8: {shown(name)!r}", do="rename it")


def _end_without_reader() -> int:
    sys.stdout = sys.__stdout__
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.__stdout__.fileno())  # type: ignore[union-attr]  # else exit complains
    return 141


def _quote_value(error: Exception, arguments: list[str]) -> str:
    """What came as the value of the option at fault; nothing where that is not known or said already."""
    names = getattr(getattr(error, "param", None), "opts", ())
    values = [value for name, value in pairwise(arguments) if name in names]
    return f", not {shown(values[-1])!r}" if values and repr(values[-1]) not in str(error) else ""


def _tell_interrupt() -> int:
    return _fail("interrupted: files already written are whole; an unfinished run folder has no manifest", 130)


def _fail(line: str, status: int) -> int:
    if "--debug" in sys.argv:
        traceback.print_exc()
    print(f"error: {line}", file=sys.stderr)
    return status
