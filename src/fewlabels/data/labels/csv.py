"""A CSV file of labels as text cells, and how it is to be read. Ids stay as they are written: `007`, `1e5`, `1.0`."""

from __future__ import annotations

import codecs
import csv
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple, TextIO, get_args

from ...errors import ConfigError, LabelError
from ..notes import Note
from ..paths import first_bytes, unreadable
from ..tables.columns import INDEX_NAMES, sounds_like_id

FILE_NAMES = "file_name filename file file_path filepath path image image_path image_name img".split()  # noqa: SIM905
OnConflict = Literal["error", "last", "drop"]


@dataclass(frozen=True)
class LabelOptions:
    """How a label file is read; unless told otherwise, nothing in it is passed over.

    delimiter, encoding: of a CSV.
    skip_bad_rows: leave out rows of a CSV with more or fewer fields than its header, instead of refusing it (L5). By
        position such a row counts as one without a label, so that those after it keep their places.
    on_conflict: what an id with two labels means: an "error" (L14); the "last" row counts, also if its label is empty;
        "drop": the id has no label.
    no_label: words that mean no label, besides those that programs write, such as nan. real_label: words that are
        classes, whatever they look like: "NA", "unknown", "-1", "a;b".

    Raises ConfigError (C20) for another on_conflict, and for a word that is both.
    """

    delimiter: str = ","
    encoding: str = "utf-8"
    skip_bad_rows: bool = False
    on_conflict: OnConflict = "error"
    no_label: Sequence[str] = ()
    real_label: Sequence[str] = ()

    def __post_init__(self) -> None:
        if self.on_conflict not in get_args(OnConflict):
            do = f"pass one of {', '.join(get_args(OnConflict))}"
            raise ConfigError("C20", f"{self.on_conflict!r} is no way to treat it", where="on_conflict", do=do)
        object.__setattr__(self, "no_label", tuple(self.no_label))  # JSON has lists
        object.__setattr__(self, "real_label", tuple(self.real_label))
        if both := set(self.no_label) & set(self.real_label):
            what = f"{sorted(both)[0]!r} is no label and a class"
            raise ConfigError("C20", what, where="no_label, real_label", do="say one of the two")

    def facts(self) -> dict[str, Any]:
        """The options by name, for run.json; words only where there are any."""
        return {name: value for name, value in asdict(self).items() if value != ()}


MAX_ROW = 1 << 20  # characters of one row: a file without line ends must fail in bounded memory
SEP_LINE = re.compile(r'("?)sep=(.)\1\s*', re.IGNORECASE)
DELIMITERS = {";": "';'", "\t": "a tab", "|": "'|'", ",": "','"}


class Row(NamedTuple):
    """One row of a label file. place: 1-based line (CSV) or row (Parquet)."""

    place: int
    id: str
    label: str | None


class _Lines:
    """Lines of a text file for csv.reader, which knows neither where a row began nor when to stop reading."""

    def __init__(self, file: TextIO, path: Path) -> None:
        self._file, self._path = file, path
        self.number = 0
        self.start_row()

    def start_row(self) -> None:
        self.row, self._size = self.number + 1, 0

    def __iter__(self) -> Iterator[str]:
        while line := self._file.readline(MAX_ROW + 1):
            self.number += 1
            self._size += len(line)
            if "\0" in line:
                do = "write the file again as plain text; it may be damaged or not be a text file"
                raise LabelError("L10", "a NUL character", where=f"{self._path}:{self.number}", do=do)
            if self._size > MAX_ROW:
                raise too_long(self._path, self.row, self.number)
            yield line.removeprefix("\ufeff") if self.number == 1 else line


def too_long(path: Path, first: int, last: int) -> LabelError:
    """The error for a row that does not end: over many lines an unclosed quote, on one line a wrong file."""
    where = f"{path}:{first}"
    if last > first:
        return LabelError("L6", "a row whose quote is never closed", where=where, do='close it with "')
    what = f"a cell or row that is too long (a row may have {MAX_ROW:,} characters, a cell {csv.field_size_limit():,})"
    return LabelError("L29", what, where=where, do="check that this is the label file and that its lines end")


@dataclass(frozen=True)
class CsvRows:
    """What a label CSV holds. left_out: its rows that cannot be used, and that were to be passed over.

    num_blank: how many of the last rows have nothing in any cell, as spreadsheets leave them.
    """

    rows: list[Row] = field(default_factory=list)
    left_out: list[Note] = field(default_factory=list)
    num_blank: int = 0


def find_columns(
    header: Sequence[str], where: str, delimiter: str, wanted: tuple[str, ...], index: Sequence[str] = ()
) -> list[int]:
    """Where the wanted columns stand in the header. Where there is no id, label, ID and Label will do; for ids also the
    columns `index` of a table, file_name as Hugging Face has it, the one column that is called like files or images,
    and an index that has no name, or pandas' own; but file_name alone beside a column that is called like ids.

    Raises LabelError L9, L12, L31.
    """
    if not set(wanted) <= set(header):
        header = [cell.casefold() if cell.casefold() in wanted else cell for cell in header]
    if "id" in wanted and "id" not in header:
        files = [cell for cell in header if cell.casefold() in FILE_NAMES]
        others = [*index, *(cell for cell in header if INDEX_NAMES.fullmatch(cell) and cell != "X")]
        others = [*(files if len(files) == 1 else []), *others]
        others = ["file_name"] if any(map(sounds_like_id, header)) else ["file_name", *others]  # image_id: which?
        other = next((cell for cell in others if cell in header), None)
        header = ["id" if cell == other and at == header.index(cell) else cell for at, cell in enumerate(header)]
    for name in wanted:
        if (count := header.count(name)) > 1:
            raise LabelError("L12", f"{count} columns named {name!r}", where=where, do="rename all but one")
    if all(name in header for name in wanted):
        return [header.index(name) for name in wanted]
    for other, words in DELIMITERS.items():
        names = [cell.strip() for cell in delimiter.join(header).split(other)]
        if other != delimiter and len(names) > 1 and all(name in names for name in wanted):
            flag = "$'\\t'" if other == "\t" else repr(other)
            do = f"pass --delimiter {flag} (delimiter={other!r})"
            raise LabelError("L9", f"columns separated by {words}, not by {delimiter!r}", where=where, do=do)
    found = ", ".join(repr(name) for name in header)
    do = (
        "name the columns so in the first line, without spaces around the names; for id one column file_name, "
        "filename, file, path or image will do"
    )
    raise LabelError("L31", f"columns {found}; expected {' and '.join(wanted)}", where=where, do=do)


def choose_columns(header: Sequence[str], where: str, delimiter: str, index: Sequence[str]) -> list[int]:
    """Where the columns id and label stand in the header of a label file: see `find_columns`."""
    return find_columns(header, where, delimiter, ("id", "label"), index)


ChooseColumns = Callable[[Sequence[str], str, str, Sequence[str]], list[int]]  # as choose_columns


def read_label_csv(
    path: Path, options: LabelOptions, *, by_position: bool = False, choose: ChooseColumns = choose_columns
) -> CsvRows:
    """The rows of a CSV file whose header has the columns id and label; other columns are left out.

    An empty label cell is None. Lines with nothing but blanks and delimiters are skipped, and empty cells beyond the
    last column. by_position: the column label is enough, ids are empty, a row of empty cells has no label, and so has a
    blank line where that is the only column. A first line such as `sep=;` names the delimiter.
    choose: finds the columns.
    Raises LabelError L4-L12 and L29 with the line, StorageError where the file cannot be read.
    """
    delimiter, encoding = options.delimiter, options.encoding
    if len(delimiter) != 1 or delimiter in '"\r\n\0':
        raise LabelError("L9", f"delimiter {delimiter!r}; expected one character, such as ','", do="choose another")
    _check_encoding(path, encoding)
    try:
        with path.open(encoding=encoding, newline="") as file:
            return _read_labels_alone(file, path, options) if by_position else _read_rows(file, path, options, choose)
    except UnicodeError as problem:
        raise _encoding_error(path, encoding) from problem
    except OSError as problem:
        raise unreadable(path, problem) from problem


def _read_rows(file: TextIO, path: Path, options: LabelOptions, choose: ChooseColumns) -> CsvRows:
    records = _read_records(file, path, options.delimiter)
    line, header = next(records, (0, []))
    if not header:
        raise LabelError("L11", "an empty file", where=path, do="expected a header with the columns id,label and rows")
    id_at, label_at = choose(header, f"{path}:{line}", options.delimiter, ())
    found = CsvRows()
    for line, cells in records:
        if not any(cell.strip() for cell in cells):
            continue
        if len(cells) != len(header) and (len(cells) < len(header) or any(cells[len(header) :])):
            note = Note("L5", str(path), line, cells[id_at] if id_at < len(cells) else "", _tell_width(cells, header))
            _pass_over(found, note, options)
        elif not cells[id_at]:
            raise LabelError("L32", "a row without an id", where=f"{path}:{line}", do="give every row an id")
        else:
            found.rows.append(Row(line, cells[id_at], cells[label_at] or None))
    if not found.rows:
        what = "no data rows that can be used" if found.left_out else "no data rows, only a header"
        raise LabelError("L11", what, where=path, do="add rows with an id and a label")
    return found


def _read_labels_alone(file: TextIO, path: Path, options: LabelOptions) -> CsvRows:
    records = _read_records(file, path, options.delimiter, blank=True)
    line, header = next(records, (0, []))
    if not header:
        raise LabelError("L11", "an empty file", where=path, do="expected a header with the column label and rows")
    (label_at,) = find_columns(header, f"{path}:{line}", options.delimiter, ("label",))
    found, num_blank = CsvRows(), 0
    for line, cells in records:
        if not cells and len(header) > 1:
            continue
        is_bad = bool(cells) and len(cells) != len(header) and (len(cells) < len(header) or any(cells[len(header) :]))
        if is_bad:
            _pass_over(found, Note("L5", str(path), line, "", _tell_width(cells, header)), options)
        num_blank = 0 if any(cells) else num_blank + 1
        found.rows.append(Row(line, "", None if is_bad or not cells else cells[label_at] or None))
    return replace(found, num_blank=num_blank)


def _pass_over(found: CsvRows, note: Note, options: LabelOptions) -> None:
    """List a row with more or fewer cells; raise L4 for it, or L5, unless such rows are to be left out.

    L4: the first row, so probably all. L5: a row here or there.
    """
    if options.skip_bad_rows:
        found.left_out.append(note)
        return
    quote = f"quote cells that hold {DELIMITERS.get(options.delimiter, repr(options.delimiter))}"
    do = f"{quote}, give every column a name, or pass --skip-bad-rows (skip_bad_rows=True)"
    raise LabelError("L5" if found.rows else "L4", note.note, where=f"{note.file}:{note.line}", do=do)


def _tell_width(cells: list[str], header: list[str]) -> str:
    return f"a row with {_fields(len(cells))}, while the header has {len(header)}"


def _fields(count: int) -> str:
    return f"{count} field" if count == 1 else f"{count} fields"


def _read_records(file: TextIO, path: Path, delimiter: str, *, blank: bool = False) -> Iterator[tuple[int, list[str]]]:
    """(line where it starts, cells) of each record that is not blank; with blank=True also of those, without cells."""
    lines = _Lines(file, path)
    if declared := _declared_delimiter(file):
        if delimiter not in (",", declared):
            raise LabelError(
                "L9", f"a first line that says sep={declared}", where=f"{path}:1", do="pass that --delimiter"
            )
        delimiter, lines.number = declared, 1
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    while True:
        lines.start_row()
        try:
            cells = next(reader, None)
        except csv.Error as problem:
            if "field limit" in str(problem):
                raise too_long(path, lines.row, lines.number) from problem
            if "unexpected end" in str(problem):
                what, do = "a quote that is opened here is never closed", 'close it with ", or write "" for a quote'
            else:
                what, do = f"a wrongly quoted cell ({problem})", 'quote the whole cell, and write "" for a quote in it'
            raise LabelError("L6", what, where=f"{path}:{lines.row}", do=do) from problem
        if cells is None:
            return
        if len(cells) > 1 or (cells and cells[0].strip()):
            yield lines.row, cells
        elif blank:
            yield lines.row, []


def _declared_delimiter(file: TextIO) -> str:
    """The delimiter that a first line such as `sep=;` names for spreadsheets, and that line is passed; else ""."""
    found = SEP_LINE.fullmatch(file.readline(20).removeprefix("\ufeff"))
    if found is None:
        file.seek(0)
        return ""
    return found[2]


def _check_encoding(path: Path, encoding: str) -> None:
    """Refuse unknown encodings, and UTF-16 read as something else: without a byte order mark it looks like NULs."""
    try:
        codec = codecs.lookup(encoding).name
        "".encode(codec)
    except LookupError as problem:
        do = "choose one that Python knows, such as utf-8 or latin-1"
        raise LabelError("L8", f"unknown text encoding {encoding!r}", do=do) from problem
    head = first_bytes(path)
    marked = head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    alternating = len(head) > 3 and (not any(head[0::2]) or not any(head[1::2]))
    if head.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)) and not codec.startswith("utf-32"):
        do = "pass --encoding utf-32 (encoding='utf-32'), or save it as UTF-8"
        raise LabelError("L8", f"not {encoding} at byte 0; it looks like UTF-32", where=f"{path}:1", do=do)
    if (marked or alternating) and not codec.startswith(("utf-16", "utf-32")):
        what = f"not {encoding} at byte 0; it looks like UTF-16"
        raise LabelError(
            "L8", what, where=f"{path}:1", do="pass --encoding utf-16 (encoding='utf-16'), or save it as UTF-8"
        )


def _encoding_error(path: Path, encoding: str) -> LabelError:
    """The error that names the first byte that cannot be decoded, and its line."""
    decoder = codecs.getincrementaldecoder(encoding)()
    position, line = 0, 1
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            pending = len(decoder.getstate()[0])
            try:
                decoder.decode(chunk)
            except UnicodeDecodeError as problem:
                start = max(problem.start - pending, 0)
                position, line = position + problem.start - pending, line + chunk.count(b"\n", 0, start)
                break
            position, line = position + len(chunk), line + chunk.count(b"\n")
    head = first_bytes(path)
    if b"\0" in head or head.startswith((b"\xff\xd8", b"\x89PNG", b"\x93NUMPY")):
        what = "neither CSV nor Parquet: the file is not text"
        return LabelError("L28", what, where=path, do="give a table with the columns id and label")
    what = f"not {encoding} at byte {position:,}; it looks like Latin-1 (Windows-1252)"
    do = "pass --encoding cp1252 (encoding='cp1252') if so, or save it as UTF-8"
    return LabelError("L8", what, where=f"{path}:{line}", do=do)
