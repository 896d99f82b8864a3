"""What a cell of labels says: words for "no label", whole numbers however they are written, several labels at once."""

from __future__ import annotations

import ast
import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from ...errors import InputWarning, LabelError, shown, warn
from ..notes import Note
from .csv import LabelOptions

# What programs write where they have nothing; as they spell it.
NO_LABEL = {
    *("nan", "NaN", "NAN", "-nan", "-NaN", "NaT", "None", "NA", "N/A", "n/a", "NULL", "Null", "null", "<NA>", "<NULL>"),
    *("(null)", "\\N", "#N/A", "#N/A N/A", "#NA", "#NULL!", "#REF!", "1.#IND", "-1.#IND", "1.#QNAN", "-1.#QNAN"),
    *("b''", 'b""', "''", '""', "[]", "{}"),
}
# What people write, and what can be a class as well: in any case of letters.
UNSURE = {
    *("?", "??", "-", "--", "---", "_", ".", "none", "na", "n.a.", "nil", "unknown", "unk", "unlabeled", "unlabelled"),
    *("not labeled", "not labelled", "no label", "no_label", "nolabel", "missing", "undefined", "unassigned", "unset"),
    *("tbd", "todo", "to do"),
}
WHOLE = re.compile(r"([+-]?(?:0|[1-9][0-9]{0,99}))(?:[.]0+|,0{1,2})?", re.ASCII)
SCIENTIFIC = re.compile(r"[+-]?[0-9]\.[0-9]+[eE][+-]?[0-9]{1,3}", re.ASCII)  # as numpy.savetxt writes whole numbers
WRAPPED = {str(2**bits - 1) for bits in (8, 16, 32, 64)}  # what -1 becomes in an unsigned number
SEPARATORS = re.compile(r"\s*[;|]\s*|\s*[,/+&\n\t]\s*")


def settle(
    labels: Sequence[str | None], source: str, options: LabelOptions, *, wrapped: str | None = None
) -> tuple[list[str | None], list[Note]]:
    """The labels with None for words that mean no label, "1" for 1.0, "True" for TRUE; and a note for each such word.

    wrapped: what -1 became in the unsigned numbers that these labels were; None where they are none, or text.
    Warns (L45) of the words, with the number of rows of each. Raises LabelError L46 for words that may mean no label or
    be a class, L44 for several labels in one cell; both name the option that settles it.
    """
    counts = Counter(label for label in labels if label is not None)
    real, no_label = set(options.real_label), set(options.no_label)
    meaning: dict[str | None, str | None] = dict.fromkeys(no_label | {None})
    meaning |= {name: name for name in real}
    open_names = [name for name in counts if name not in meaning]
    meaning |= dict.fromkeys(name for name in open_names if name.strip() in NO_LABEL)
    _refuse_unsure([name for name in open_names if name not in meaning], counts, source, wrapped)
    meaning |= _unpack_single(name for name in open_names if name not in meaning)
    _refuse_several([name for name in open_names if name not in meaning], counts, source)
    rest = [name for name in open_names if name not in meaning]
    spelled = _spell_numbers(rest) or _spell_truths(rest)
    spelled |= {name: "-1" for name in rest if _spell_whole(name) == "-1"}
    meaning |= {name: spelled.get(name, name) for name in rest}
    if {meaning[name] for name in counts} - {None} != {"-1", "1"}:  # those two alone are classes (L20)
        meaning |= {name: None for name in rest if meaning[name] == "-1"}
    return [meaning[label] for label in labels], _tell(meaning, counts, source)


def _tell(meaning: Mapping[str | None, str | None], counts: Mapping[str, int], source: str) -> list[Note]:
    """A note for each word that was there and means something else than it says, and one warning of all."""
    empty = [name for name in counts if meaning[name] is None]
    other = [name for name in counts if meaning[name] not in (None, name)]
    said = [f"{shown(name)!r} ({counts[name]:,})" for name in empty]
    if said:
        what = f"FL-L45 words that mean no label at {source}: {', '.join(said)}"
        do = f"if one is a class, say so: --real-label {shown(empty[0])!r}"
        warn(InputWarning(f"{what}; {do}"))
    if other:
        pairs = ", ".join(f"{shown(name)!r} is {meaning[name]!r} ({counts[name]:,})" for name in other[:5])
        what = f"FL-L47 numbers and truths are one class however they are written at {source}: {pairs}"
        warn(InputWarning(what))
    said_of = dict.fromkeys(empty, ("L45", "means no label"))
    said_of |= {name: ("L47", f"is {meaning[name]!r}") for name in other}
    return [
        Note(code, source, None, "", f"{name!r} in {counts[name]:,} rows {what}")
        for name, (code, what) in said_of.items()
    ]


def _refuse_unsure(names: Sequence[str], counts: Mapping[str, int], source: str, wrapped: str | None) -> None:
    unsure = [name for name in names if name.strip().casefold() in UNSURE]
    unsure += [name for name in names if name == wrapped or (name in WRAPPED and _stands_apart(name, names))]
    if unsure:
        said = ", ".join(f"{shown(name)!r} ({counts[name]:,} rows)" for name in unsure)
        why = "; 255 is what -1 becomes in uint8" if not WRAPPED.isdisjoint(unsure) else ""
        first = shown(unsure[0])
        do = f"pass --no-label {first!r} if it means none, --real-label {first!r} if it is a class"
        do += " (in Python no_label, real_label)"
        raise LabelError("L46", f"{said}: a class, or no label{why}?", where=source, do=do)


def _stands_apart(name: str, names: Sequence[str]) -> bool:
    """Whether a number such as 255 is far beyond all others, which are whole numbers from 0 up."""
    others = [WHOLE.fullmatch(other) for other in names if other != name]
    if not others or not all(others):
        return False
    return all(0 <= 2 * int(found[1]) < int(name) for found in others if found)


def _unpack_single(names: Iterable[str]) -> dict[str | None, str | None]:
    """Lists of one label, and of none, as JSON or Python write them -> the label."""
    found: dict[str | None, str | None] = {}
    for name in names:
        values = _read_list(name)
        if values is not None and len(values) <= 1:
            found[name] = values[0] if values else None
    return found


def _read_list(name: str) -> list[str] | None:
    """The labels in a list that is written as JSON or Python write it, also below `choices`; None for other cells."""
    value = _parse(name)
    value = value.get("choices") if isinstance(value, dict) else value
    if isinstance(value, (list, tuple, set)) and all(isinstance(one, (str, int)) for one in value):
        return [str(one) for one in value]
    return None


def _parse(name: str) -> Any:
    """The list, set or dict that a cell writes out; None for other cells."""
    text = name.strip()
    if len(text) > 10_000 or (text[:1], text[-1:]) not in (("[", "]"), ("{", "}"), ("(", ")")):
        return None
    for parse in (json.loads, ast.literal_eval):
        with suppress(ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            value = parse(text)
            return value if isinstance(value, (list, tuple, set, dict)) else None
    return None


def _refuse_several(names: Sequence[str], counts: Mapping[str, int], source: str) -> None:
    known = set(names)
    several = [name for name in names if _is_structure(name) or _are_known(name, known)]
    if several:
        said = ", ".join(f"{shown(name)!r} ({counts[name]:,} rows)" for name in several[:5])
        first = shown(several[0])
        do = "a row has one label: write each such row again with the one that counts, or without"
        do += f"; or pass --no-label {first!r}, or --real-label {first!r} if that is a class"
        raise LabelError("L44", f"cells with several labels, {said}", where=source, do=do)


def _is_structure(name: str) -> bool:
    """Whether a cell is several labels or something deeper, as JSON or Python write it."""
    return name.strip()[:1] in "[{(" and _parse(name) is not None


def _are_known(name: str, known: set[str]) -> bool:
    """Whether a cell is made of labels that occur alone; of `a;b` and `a|b` one such label will do."""
    pieces = SEPARATORS.split(name.strip())
    alone = [piece in known for piece in pieces if piece]
    return len(pieces) > 1 and any(alone) and (all(alone) or re.search("[;|]", name) is not None)


def _spell_numbers(names: Sequence[str]) -> dict[str, str]:
    """Whole numbers -> their plain form: all of them where all names are whole numbers, else those there in both."""
    plain = {name: number for name in names if (number := _spell_whole(name)) is not None}
    if len(plain) < len(names):
        plain = {name: number for name, number in plain.items() if number in names}
    return plain


def _spell_whole(name: str) -> str | None:
    text = name.strip()
    if found := WHOLE.fullmatch(text):
        return str(int(found[1]))
    if SCIENTIFIC.fullmatch(text) and float(text).is_integer() and abs(float(text)) < 2.0**53:
        return str(int(float(text)))
    return None


def _spell_truths(names: Sequence[str]) -> dict[str, str]:
    """true, TRUE -> "True", where all names are such."""
    truths = {name: name.strip().capitalize() for name in names}
    return truths if set(truths.values()) <= {"True", "False"} else {}
