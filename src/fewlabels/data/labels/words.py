"""What a cell of labels says: words for "no label", whole numbers however they are written, several labels at once."""

from __future__ import annotations

import ast
import json
import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from ...errors import InputWarning, LabelError, shown, warn
from ..notes import Note
from .csv import LabelOptions

# What programs write where they have nothing; as they spell it.
NO_LABEL = {
    *("nan", "NaN", "NAN", "-nan", "-NaN", "NaT", "None", "NA", "N/A", "n/a", "NULL", "Null", "null", "<NA>", "<NULL>"),
    *("(null)", "<null>", "\\N", "#N/A N/A", "#NA", "1.#IND", "-1.#IND", "1.#QNAN", "-1.#QNAN"),
    *("b''", 'b""', "''", '""', "[]", "{}", "set()"),
}
EXCEL_ERROR = re.compile(r"#[^\s,;#]+[!?]|#N/?[ADV]|#GETTING_DATA")  # as #DIV/0!, #NAME?, in other languages too
# What people write, and what can be a class as well: in any case of letters, "_" and "-" for blanks, in any brackets.
UNSURE = {
    *(
        "?",
        "??",
        "???",
        "-",
        "--",
        "---",
        "_",
        "__",
        ".",
        "..",
        "...",
        "none",
        "na",
        "n a",
        "n d",
        "nil",
        "null",
        "nan",
    ),
    *("unknown", "unk", "unlabeled", "unlabelled", "not labeled", "not labelled", "no label", "nolabel", "missing"),
    *(
        "undefined",
        "unassigned",
        "unset",
        "not set",
        "tbd",
        "todo",
        "to do",
        "to be labeled",
        "to be labelled",
        "pending",
    ),
    *(
        "unannotated",
        "not annotated",
        "untagged",
        "unclassified",
        "not available",
        "not applicable",
        "unsure",
        "not sure",
    ),
    *("skip", "skipped", "no data", "no answer"),
}
SYMBOLS = str.maketrans(dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2212", "-"))
WHOLE = re.compile(r"([+-]?(?:0|[1-9][0-9]{0,99}))(?:[.]0+|,0{1,2})?", re.ASCII)
SCIENTIFIC = re.compile(r"[+-]?[0-9]\.[0-9]+[eE][+-]?[0-9]{1,3}", re.ASCII)  # as numpy.savetxt writes whole numbers
WRAPPED = {str(2**bits - 1) for bits in (8, 16, 32, 64)}  # what -1 becomes in an unsigned number
SEPARATORS = re.compile(r"\s*[;|]\s*|\s*[,/+&\n\t]\s*")
ARRAY = re.compile(r"[-+0-9.eE]+(\s+[-+0-9.eE]+)+")  # numbers as NumPy prints them
QUOTED = re.compile(r"b'(.+)'|b\"(.+)\"|np\.(?:str_|bytes_)\(b?'(.+)'\)|np\.\w+\(([^()']+)\)")


def settle(
    labels: Sequence[str | None], source: str, options: LabelOptions, *, wrapped: str | None = None
) -> tuple[list[str | None], list[Note]]:
    """The labels with None for words that mean no label, "1" for 1.0, "True" for TRUE and "cat" for ["cat"]; and a note
    for each such word.

    wrapped: what -1 became in the unsigned numbers that these labels were; None where they are none, or text.
    Warns (L45) of the words, with the number of rows of each. Raises LabelError L46 for words that may mean no label or
    be a class, L44 for several labels in one cell; both name the option that settles it.
    """
    counts = Counter(label for label in labels if label is not None)
    real, no_label = set(options.real_label), set(options.no_label)
    meaning: dict[str | None, str | None] = dict.fromkeys(no_label | {None})
    meaning |= {name: name for name in real}
    text_of = {name: _unpack(name) for name in counts if name not in meaning}
    meaning |= {name: None for name, text in text_of.items() if text not in real and _is_nothing(text, no_label)}
    rest = {name: text for name, text in text_of.items() if name not in meaning}
    _refuse_unsure({name: text for name, text in rest.items() if text not in real}, counts, source, wrapped)
    _refuse_several(rest, counts, source)
    texts = list(dict.fromkeys(rest.values()))
    spelled = _spell_numbers(texts) or _spell_truths(texts)
    spelled |= {text: "-1" for text in texts if _spell_whole(text) == "-1"}
    meaning |= {name: spelled.get(text, text) for name, text in rest.items()}
    if {meaning[name] for name in counts} - {None} != {"-1", "1"}:  # those two alone are classes (L20)
        meaning |= {name: None for name in rest if meaning[name] == "-1"}
    return [meaning[label] for label in labels], _tell(meaning, counts, source)


def _is_nothing(text: str, no_label: set[str]) -> bool:
    word = text.strip()
    return text == "" or text in no_label or word in NO_LABEL or EXCEL_ERROR.fullmatch(word) is not None


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
        what = f"FL-L47 labels are one class however they are written at {source}: {pairs}"
        warn(InputWarning(what))
    said_of = dict.fromkeys(empty, ("L45", "means no label"))
    said_of |= {name: ("L47", f"is {meaning[name]!r}") for name in other}
    return [
        Note(code, source, None, "", f"{name!r} in {counts[name]:,} rows {what}")
        for name, (code, what) in said_of.items()
    ]


def _refuse_unsure(rest: Mapping[str, str], counts: Mapping[str, int], source: str, wrapped: str | None) -> None:
    """rest: what is left of the cells -> their texts."""
    texts = list(rest.values())
    far = {text for text in texts if text == wrapped or (text in WRAPPED and _stands_apart(text, texts))}
    below = _find_negative(texts)
    unsure = [name for name, text in rest.items() if text in far or text in below or _may_be_none(text)]
    if unsure:
        said = ", ".join(f"{shown(name)!r} ({counts[name]:,} rows)" for name in unsure)
        why = "; 255 is what -1 becomes in uint8" if far else ""
        first = shown(unsure[0])
        do = f"pass --no-label {first!r} if it means none, --real-label {first!r} if it is a class"
        do += " (in Python no_label, real_label)"
        raise LabelError("L46", f"{said}: a class, or no label{why}?", where=source, do=do)


def _may_be_none(text: str) -> bool:
    """Whether a word may mean no label: "Not_Labeled", "<unknown>", an em dash."""
    word = unicodedata.normalize("NFKC", text).translate(SYMBOLS).casefold().strip()
    return word in UNSURE or (any(map(str.isalpha, word)) and " ".join(re.findall(r"[^\W_]+", word)) in UNSURE)


def _find_negative(texts: Sequence[str]) -> set[str]:
    """Whole numbers below 0, if some are below -1, where all are whole: such as -999, or what NaN becomes in int64."""
    numbers = {text: _spell_whole(text) for text in texts}
    if any(number is None for number in numbers.values()):
        return set()
    below = {text: int(number) for text, number in numbers.items() if number is not None and int(number) < 0}
    return set(below) if below and min(below.values()) < -1 else set()


def _stands_apart(name: str, names: Sequence[str]) -> bool:
    """Whether a number such as 255 is far beyond all others, which are whole numbers from 0 up."""
    others = [WHOLE.fullmatch(other) for other in names if other != name]
    if not others or not all(others):
        return False
    return all(0 <= 2 * int(found[1]) < int(name) for found in others if found)


def _unpack(name: str) -> str:
    """The label in b'cat', np.str_('cat') and in a list of one, as JSON, Python, NumPy or a database write it; "" of an
    empty list; other cells unchanged.
    """
    if found := QUOTED.fullmatch(name.strip()):
        return str(next(filter(None, found.groups())))
    values = _read_list(name)
    return name if values is None or len(values) > 1 else "".join(values)


def _read_list(name: str) -> list[str] | None:
    """The labels in a list, also below `choices`; None for other cells."""
    value = _parse(name)
    value = value.get("choices") if isinstance(value, dict) else value
    if not isinstance(value, (list, tuple, set)):
        return None
    values = [one for one in value if one is not None and one == one]  # NaN is not
    values = [int(one) if isinstance(one, float) and one.is_integer() else one for one in values]
    return [str(one) for one in values] if all(isinstance(one, (str, int)) for one in values) else None


def _parse(name: str) -> Any:
    """The list, set or dict that a cell writes out; None for other cells."""
    text = name.strip()
    if len(text) > 10_000 or (text[:1], text[-1:]) not in (("[", "]"), ("{", "}"), ("(", ")")):
        return None
    text = re.sub(r"""(['"])\s+(?=['"])""", r"\1, ", text)  # NumPy has no commas, and Python would join the texts
    for parse in (json.loads, ast.literal_eval):
        with suppress(ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            value = parse(text)
            return value if isinstance(value, (list, tuple, set, dict)) else None
    return None if text[0] == "(" else _split_unquoted(text)


def _split_unquoted(text: str) -> list[str] | dict[str, str]:
    """[cat, dog] of DuckDB, {cat,dog} of PostgreSQL, [0. 1.] of NumPy; a dict for what is deeper."""
    inner = text[1:-1]
    if re.search(r"[\[\]{}]", inner) or (text[0] == "{" and ":" in inner):
        return {"": inner}
    pieces = inner.split() if ARRAY.fullmatch(inner.strip()) else inner.split(",")
    return [piece.strip().strip("\"'") for piece in pieces if piece.strip() and piece.strip() not in NO_LABEL]


def _refuse_several(rest: Mapping[str, str], counts: Mapping[str, int], source: str) -> None:
    known = set(rest.values())
    several = [name for name, text in rest.items() if name == text and (_is_structure(name) or _are_known(name, known))]
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
    if len(pieces) == 1:
        words = name.split()
        return len(words) > 1 and all(word in known for word in words)
    alone = [piece in known for piece in pieces if piece]
    return any(alone) and (all(alone) or re.search("[;|]", name) is not None)


def _spell_numbers(names: Sequence[str]) -> dict[str, str]:
    """Whole numbers -> their plain form: all of them where all names are whole numbers, else those there in both."""
    plain = {name: number for name in names if (number := _spell_whole(name)) is not None}
    if len(plain) < len(names):
        plain = {name: number for name, number in plain.items() if number in names}
    return plain


def _spell_whole(name: str) -> str | None:
    text = name.strip().replace("\u2212", "-")
    if found := WHOLE.fullmatch(text):
        return str(int(found[1]))
    if SCIENTIFIC.fullmatch(text) and float(text).is_integer() and abs(float(text)) < 2.0**53:
        return str(int(float(text)))
    return None


def _spell_truths(names: Sequence[str]) -> dict[str, str]:
    """true, TRUE -> "True", where all names are such."""
    truths = {name: name.strip().capitalize() for name in names}
    return truths if set(truths.values()) <= {"True", "False"} else {}
