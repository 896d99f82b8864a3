"""What a case of the bad-input catalogue is, and the place that it works in.

A case of input that must be refused is a function that makes the input and returns what to do with it: the arguments
of a command, or a call. Of input that must be accepted it does all that itself, and asserts the right result. Either
way every command and call goes through `Workplace`, which holds the files that were there against their SHA-256.
"""

import csv
import hashlib
import os
import re
import stat
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from fewlabels.cli.main import run as run_command
from fewlabels.errors import FewlabelsError, FewlabelsWarning

STATUS = {"C": 2, "E": 2, "G": 2, "I": 2, "L": 2, "K": 3, "D": 4}  # of a code's family, unless the case says otherwise
WRITTEN_BESIDE = ("rejected.csv", ".lock")


@dataclass(frozen=True)
class Case:
    """id: in the catalogue. what: came. do: see above. code, place, status: of the error; no code: it is accepted.

    warns: codes of all warnings that must come, and of no other. leaves: names of new things that may stay.
    """

    id: str
    what: str
    do: Callable[["Workplace"], object]
    code: str = ""
    place: str = ""
    status: int = 0
    warns: frozenset[str] = frozenset()
    leaves: tuple[str, ...] = ()
    slow: bool = False


class Family(list):
    """The cases of one family; its methods are decorators."""

    def refused(self, id, what, *, code="", place="", status=None, warns=(), leaves=(), slow=False):
        code = code or id
        status = STATUS[code[0]] if status is None else status

        def add(do):
            self.append(Case(id, what, do, code, place, status, frozenset(warns), leaves, slow))
            return do

        return add

    def accepted(self, id, what, *, warns=(), slow=False):
        def add(do):
            self.append(Case(id, what, do, warns=frozenset(warns), slow=slow))
            return do

        return add


@dataclass(frozen=True)
class Outcome:
    """status: exit status. out, err: what was printed, of a call what the command would print. code: of the error."""

    status: int
    out: str
    err: str
    code: str = ""


class Workplace:
    """The current folder of a case: 30 embeddings of three kinds, of which rows 0, 10 and 20 are labelled."""

    def __init__(self, folder, capsys, monkeypatch):
        self.folder, self.capsys, self.monkeypatch = folder, capsys, monkeypatch
        rng = np.random.default_rng(0)
        self.rows = np.repeat(np.eye(3, 8), 10, axis=0) + 0.1 * rng.normal(size=(30, 8))
        np.save("embeddings.npy", self.rows.astype(np.float32))
        self.write("labels.csv", "id,label\n0,ant\n10,bee\n20,cat\n")
        # Drawing takes longer than all the rest.
        monkeypatch.setattr("fewlabels.commands.propagate._page", lambda folder: "<html></html>")
        self.codes = np.full(30, -1)
        self.codes[[0, 10, 20]] = [0, 1, 2]
        self.caught = []
        self.new = []
        self.on_end = lambda: None

    def write(self, name, content):
        path = Path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def table(self, name="rows.parquet", **columns):
        """A Parquet file; the 30 embeddings are its column `embedding` unless it has one."""
        columns = {"embedding": list(self.rows.astype(np.float32))} | columns
        pq.write_table(pa.table({key: value for key, value in columns.items() if value is not None}), name)
        return name

    def propagate(self, source="embeddings.npy", *more, labels="labels.csv", out="o.csv"):
        """The words of a command that spreads labels.csv over embeddings.npy to o.csv."""
        given = ["--labels", labels] if labels else []
        return ["propagate", str(source), *given, "--out", out, "--n-neighbors", "5", "-q", *map(str, more)]

    def train(self, *more, data="photos"):
        return ["train", str(data), "--backbone", "none", "--n-neighbors", "5", "--epochs", "1", "-q", *map(str, more)]

    def run(self, words):
        """Run a command."""
        with self._watched():
            status = run_command([str(word) for word in words])
        out, err = self.capsys.readouterr()
        line = err.splitlines()[-1] if err else ""
        return Outcome(status, out, err, line.removeprefix("error: ").split(" ", 1)[0])

    def call(self, function):
        """Call a function of the Python API; its error is told as the command would tell it."""
        with self._watched():
            try:
                return function()
            except FewlabelsError as error:
                text = f"error: {error}\n"
                return Outcome(error.exit_status, "", text, error.code)

    def labels(self, words=None, out="o.csv"):
        """id -> label of the table that the command writes; it must succeed."""
        outcome = self.run(words or self.propagate(out=out))
        assert outcome.status == 0, outcome.err
        text = {"id": pa.string(), "label": pa.string()}
        options = pa.csv.ConvertOptions(column_types=text, strings_can_be_null=False)
        parse = pa.csv.ParseOptions(newlines_in_values=True)
        table = pa.csv.read_csv(out, convert_options=options, parse_options=parse)
        return dict(zip(table["id"].to_pylist(), table["label"].to_pylist(), strict=True))

    def loud(self, words=None):
        """The words of the command without -q, so that warnings come."""
        return [word for word in words or self.propagate() if word != "-q"]

    def _watched(self):
        return _Watch(self)


class _Watch:
    """While it lasts warnings are kept, and afterwards every file that was there must be as it was."""

    def __init__(self, work):
        self.work = work

    def __enter__(self):
        self.before = tree(self.work.folder)
        self.catcher = warnings.catch_warnings(record=True)
        self.caught = self.catcher.__enter__()
        warnings.simplefilter("always")

    def __exit__(self, *error):
        self.catcher.__exit__(*error)
        self.work.caught += self.caught
        after = tree(self.work.folder)
        changed = [name for name, state in self.before.items() if after.get(name) != state]
        assert not changed, f"no longer as it was: {changed}"
        self.work.new = sorted(set(after) - set(self.before))


def tree(folder):
    """Name -> SHA-256 of everything below the folder; of what is no plain file its kind."""
    found = {}
    for root, folders, files in os.walk(os.fsencode(folder)):
        for name in folders + files:
            path = os.path.join(root, name)
            mode = os.lstat(path).st_mode
            if stat.S_ISREG(mode):
                with open(path, "rb") as file:
                    state = hashlib.file_digest(file, "sha256").hexdigest()
            else:
                state = str(stat.S_IFMT(mode))
            found[os.fsdecode(os.path.relpath(path, os.fsencode(folder)))] = state
    return found


def rows_of(table):
    """The rows of a CSV as dicts."""
    with open(table, newline="") as file:
        return list(csv.DictReader(file))


def notes(folder="o-run"):
    """The lines of notes.csv of a run, without its head; none where there is no such file."""
    path = Path(folder) / "notes.csv"
    if not path.exists():
        return []
    with path.open(newline="") as file:
        head, *lines = csv.reader(file)
    assert head == ["code", "file", "line", "id", "note"]
    return lines


def codes_of(caught):
    """The codes of the warnings, all of which must be ours."""
    strange = [str(one.message) for one in caught if not issubclass(one.category, FewlabelsWarning)]
    assert not strange
    return frozenset(re.match(r"FL-([A-Z]\d+) ", str(one.message))[1] for one in caught)


def demand(case, work, outcome):
    """The contract of an error: one line with code, place and no traceback, the exit status, and no new file."""
    assert isinstance(outcome, Outcome), f"accepted: {outcome!r}"
    assert outcome.err.startswith(f"error: FL-{case.code} "), outcome.err or outcome.out
    assert outcome.err.count("\n") == 1
    assert outcome.err.rstrip("\n").isprintable(), outcome.err
    assert "Traceback" not in outcome.err
    assert case.place in outcome.err, outcome.err
    assert outcome.status == case.status
    assert outcome.out == ""
    allowed = (*WRITTEN_BESIDE, *case.leaves)
    strange = [name for name in work.new if not any(part in allowed for part in Path(name).parts)]
    assert not strange, f"left behind: {strange}"
