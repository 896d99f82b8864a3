"""Label files in JSON and JSON Lines: records, columns, a mapping of ids, and tasks as Label Studio exports them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ...errors import LabelError, shown
from ..paths import first_bytes, unreadable
from .csv import ChooseColumns, Row, choose_columns, find_columns

ENDINGS = (".json", ".jsonl", ".ndjson")
LONGEST_JSON = 1 << 30  # bytes: it is read whole, which takes about ten times as much
RECORD_NAMES = {"id", "label", "file_name"}
Records = list[tuple[int, dict[str, Any]]]  # (line of JSON Lines, else number from 1; the record)


def is_json(file: Path) -> bool:
    """Whether a label file is JSON: by its ending, or because it begins like it."""
    if file.suffix.lower() in ENDINGS:
        return True
    head = first_bytes(file).removeprefix(b"\xef\xbb\xbf").lstrip()
    return head.startswith((b"[{", b'{"', b"[\n", b"[\r", b"[ ", b'["'))


def read_label_json(file: Path, *, by_position: bool = False, choose: ChooseColumns = choose_columns) -> list[Row]:
    """The rows of a JSON file; `place` is the line of JSON Lines, else the number of the record, from 1.

    A file of Label Studio gives a row for each annotation that was not cancelled, and one without a label for a task
    without any. by_position: ids are "" and need not be there. choose: finds the columns.
    Raises LabelError L11, L22, L28, L31, L32.
    """
    value, is_lines = _parse(file)
    if not is_lines and isinstance(value, list) and not any(isinstance(one, dict) for one in value):
        if not by_position:
            do = "pass --labels-by-position if they are those of all rows in their order"
            raise LabelError("L31", "a list of labels without ids", where=file, do=do)
        return [Row(at, "", _read_label(one, file, at)) for at, one in enumerate(value, 1)]
    records = [(at, one) for at, one in _find_records(value, file) if one]
    if not records:
        raise LabelError("L11", "no data rows", where=file, do="add records with an id and a label")
    if all("annotations" in one and "data" in one for _, one in records):
        rows = [row for at, one in records for row in _read_task(one, at, file, by_position)]
    else:
        rows = _read_plain_rows(records, file, None if by_position else choose)
    if odd := [row for row in rows if not is_unicode(row.id) or not is_unicode(row.label or "")]:
        what = "half of a pair of surrogates, such as \\ud83d, which is no character"
        raise LabelError("L8", what, where=f"{file}:{odd[0].place}", do="write the text whole")
    return rows


def is_unicode(text: str) -> bool:
    """Whether text has no half of a pair of surrogates, which JSON can spell and no file can hold."""
    return text.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in text)


def _parse(file: Path) -> tuple[Any, bool]:
    """What the file holds, and whether it is JSON Lines, of which each line has one value."""
    try:
        size = file.stat().st_size
        if size > LONGEST_JSON:
            do = "save it as CSV or Parquet"
            raise LabelError("L29", f"{size:,} bytes of JSON; up to {LONGEST_JSON:,} are read", where=file, do=do)
        content = file.read_bytes()
        text = content.decode(json.detect_encoding(content))  # UTF-8, UTF-16 or UTF-32, which JSON shows by itself
    except UnicodeError as problem:
        raise LabelError("L8", "JSON that is not UTF-8", where=file, do="save it as UTF-8") from problem
    except OSError as problem:
        raise unreadable(file, problem) from problem
    if not text.strip():
        raise LabelError("L11", "an empty file", where=file, do="add records with an id and a label")
    lines = [(at, line) for at, line in enumerate(text.split("\n"), 1) if line.strip()]
    if len(lines) == 1 or file.suffix.lower() == ".json" or lines[0][1].strip() in ("[", "{"):
        try:
            return _parse_value(text), False
        except ValueError as problem:
            if len(lines) == 1 or lines[0][1].strip() in ("[", "{"):
                raise _damage_error(file, problem) from problem
    found = []
    for at, line in lines:
        try:
            found.append((at, _parse_value(line)))
        except ValueError as problem:
            raise _damage_error(f"{file}:{at}", problem) from problem
    return found, True


def _parse_value(text: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_demand_single_keys)
    except RecursionError as problem:
        raise ValueError("nested too deep") from problem


def _demand_single_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The object; Python would keep the last of two values. Raises ValueError for a key with two."""
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found and found[key] != value:
            raise ValueError(
                f"the key {shown(key, 60)!r} has two values, {shown(found[key], 60)} and {shown(value, 60)}"
            )
        found[key] = value
    return found


def _damage_error(where: object, problem: ValueError) -> LabelError:
    return LabelError("L28", f"no whole JSON ({problem})", where=where, do="write the file again")


def _find_records(value: Any, file: Path) -> Records:
    """The records of every form that JSON tables come in. Raises LabelError L28 for anything else."""
    if isinstance(value, list) and value and isinstance(value[0], tuple):  # lines
        records = value
    elif isinstance(value, list):
        records = list(enumerate(value, 1))
    elif isinstance(value, dict) and {"columns", "data"} <= set(value) and isinstance(value["data"], list):  # "split"
        names = [str(name) for name in value["columns"]]
        index = value.get("index", range(len(value["data"])))
        _demand_same_lengths([index, value["data"]], file)
        _demand_same_lengths([names, *value["data"]], file)
        rows = zip(index, value["data"], strict=True)
        records = [(at, {"": key} | dict(zip(names, one, strict=True))) for at, (key, one) in enumerate(rows, 1)]
    elif isinstance(value, dict) and isinstance(value.get("data"), list) and "schema" in value:  # "table"
        records = list(enumerate(value["data"], 1))
    elif isinstance(value, dict) and value and all(isinstance(one, dict) for one in value.values()):
        records = _join_mappings(value)
    elif isinstance(value, dict) and value and all(isinstance(one, list) for one in value.values()):
        _demand_same_lengths(list(value.values()), file)
        rows = zip(*value.values(), strict=True)
        records = [(at, dict(zip(value, one, strict=True))) for at, one in enumerate(rows, 1)]
    elif isinstance(value, dict) and not _is_record(value, file):
        records = [(at, {"id": id, "label": label}) for at, (id, label) in enumerate(value.items(), 1)]
    else:
        records = [(1, value)]
    if not all(isinstance(one, dict) for _, one in records):
        do = 'give records such as {"id": "a", "label": "cat"}'
        raise LabelError("L28", "JSON that is no table of labels", where=file, do=do)
    return records


def _demand_same_lengths(lists: Sequence[Any], file: Path) -> None:
    """Raise LabelError L5 unless the columns of a table, or its rows, are equally long."""
    lengths = [len(one) if isinstance(one, (list, range)) else -1 for one in lists]
    if min(lengths) != max(lengths):
        at = next(at for at, length in enumerate(lengths) if length != lengths[0])
        what = f"lists of different lengths in a table: {lengths[0]} and, as number {at + 1}, {lengths[at]}"
        raise LabelError("L5", what, where=file, do="write it again with a value for each column of each row")


def _is_record(value: Mapping[str, Any], file: Path) -> bool:
    """Whether an object of plain values is the one record of a file, and no mapping of ids to labels."""
    return file.suffix.lower() in (".jsonl", ".ndjson") or not RECORD_NAMES.isdisjoint(map(str.casefold, value))


def _join_mappings(value: Mapping[str, Mapping[str, Any]]) -> Records:
    """pandas' "columns" {"label": {"0": "cat"}}, or "index" {"0": {"label": "cat"}}; the keys are the ids of either."""
    if any(name.casefold() == "label" for name in value):
        keys = list(dict.fromkeys(key for column in value.values() for key in column))
        return [(at, {"": key} | {n: column.get(key) for n, column in value.items()}) for at, key in enumerate(keys, 1)]
    return [(at, {"": key} | dict(one)) for at, (key, one) in enumerate(value.items(), 1)]


def _read_plain_rows(records: Records, file: Path, choose: ChooseColumns | None) -> list[Row]:
    """choose: None where labels go by position."""
    names = list(dict.fromkeys(name for _, one in records for name in one))
    places = choose(names, str(file), ",", ()) if choose else find_columns(names, str(file), ",", ("label",))
    found = [names[at] for at in places]
    ids = [_read_id(one.get(found[0]), file, at) for at, one in records] if choose else [""] * len(records)
    return [Row(at, id, _read_label(one.get(found[-1]), file, at)) for id, (at, one) in zip(ids, records, strict=True)]


def _read_id(value: object, file: Path, at: int) -> str:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, (str, int)) or value == "":
        what = f"the id {shown(value)!r}; expected text or a whole number"
        what = "a row without an id" if value in (None, "") else what
        raise LabelError("L32", what, where=f"{file}:{at}", do="give every row an id")
    return str(value)


def _read_label(value: Any, file: Path, at: int) -> str | None:
    if value is None or value == "" or (isinstance(value, float) and value != value):
        return None
    if isinstance(value, float) and not value.is_integer():
        do = "write labels as text or whole numbers, and null where there is none"
        raise LabelError("L22", f"the label {value!r}, no whole number", where=f"{file}:{at}", do=do)
    if isinstance(value, (dict, list)):
        return json.dumps(value, ensure_ascii=False)
    return str(int(value)) if isinstance(value, float) else str(value)


def _read_task(task: Mapping[str, Any], at: int, file: Path, by_position: bool) -> Iterator[Row]:
    """A row for each annotation of a task of Label Studio; one without a label where there is none."""
    data = task["data"] if isinstance(task["data"], dict) else {}
    id = ""
    if not by_position:
        names = list(data)
        try:
            id = _read_id(data[names[find_columns(names, f"{file}:{at}", ",", ("id",))[0]]], file, at)
        except LabelError as problem:
            do = 'give the data of each task an "id" and export again; the number of a task is none of your data'
            what = f"a task of Label Studio whose data has no id, but {', '.join(map(repr, names[:5])) or 'nothing'}"
            raise LabelError("L31", what, where=f"{file}:{at}", do=do) from problem
    labels = [_read_choice(one, file, at) for one in _find_annotations(task["annotations"])]
    given: list[str | None] = [label for label in labels if label is not None]
    yield from (Row(at, id, label) for label in given or [None])


def _find_annotations(annotations: Any) -> list[Mapping[str, Any]]:
    found = annotations if isinstance(annotations, list) else []
    return [one for one in found if isinstance(one, dict) and not one.get("was_cancelled")]


def _read_choice(annotation: Mapping[str, Any], file: Path, at: int) -> str | None:
    """The label of an annotation: its choice. Raises LabelError L31 for regions and other things than choices."""
    results = annotation.get("result")
    choices: list[str] = []
    for one in results if isinstance(results, list) else []:
        value = one.get("value") if isinstance(one, dict) else None
        if not isinstance(value, dict) or not isinstance(value.get("choices"), list):
            kind = shown(one.get("type")) if isinstance(one, dict) else type(one).__name__
            do = "export classes of whole items: Choices in the labelling configuration"
            raise LabelError("L31", f"an annotation of type {kind!r}; expected choices", where=f"{file}:{at}", do=do)
        choices += map(str, value["choices"])
    if len(choices) > 1:
        return json.dumps(choices, ensure_ascii=False)
    return choices[0] if choices else None
