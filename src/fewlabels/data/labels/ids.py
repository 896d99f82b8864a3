"""Ids of a label file beside those of the data: text that two systems may write in two ways, and paths of images."""

from __future__ import annotations

import os
import unicodedata
import urllib.parse
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ...errors import InputWarning, LabelError, listed, shown, warn
from ..notes import Note
from .files import LabelFile, unknown_id_error


def match_normal_forms(labels: LabelFile, ids: Sequence[str] | pa.ChunkedArray) -> LabelFile:
    """The labels with ids as the data has them, where the two differ in Unicode's normal form alone. Warns (I54).

    macOS writes an accented letter as two characters, most other systems as one, and both look the same.
    ids: of the data. An id stays as it is where that would make one of two: two ids of the labels, or of the data, that
    differ in nothing else.
    """
    texts = ids if isinstance(ids, pa.ChunkedArray) else pa.chunked_array([pa.array(ids, pa.string())])
    is_unknown = pc.is_null(pc.index_in(pa.array(labels.ids, pa.string()), value_set=texts))
    unknown = np.flatnonzero(is_unknown.to_numpy(zero_copy_only=False)).tolist()
    if not unknown:
        return labels
    form_of = {at: _normal_form(labels.ids[at]) for at in unknown}
    is_alike = pc.is_in(pc.utf8_normalize(texts, "NFC"), value_set=pa.array(list(form_of.values()), texts.type))
    alike: dict[str, list[str]] = defaultdict(list)
    for id in texts.filter(is_alike).to_pylist():
        alike[_normal_form(id)].append(id)
    found = {at: alike[form][0] for at, form in form_of.items() if len(alike[form]) == 1}
    taken = Counter([*found.values(), *labels.ids])
    found = {at: id for at, id in found.items() if taken[id] == 1}
    if not found:
        return labels
    rows = listed([labels.ids[at] for at in found])
    what = f"ids that differ from one of the data in Unicode's normal form alone are taken as the same: {rows}"
    warn(InputWarning(f"FL-I54 {what}"))
    why = "the same as the data has it in another normal form"
    notes = [Note("I54", labels.source, labels.lines[at], labels.ids[at], why) for at in found]
    matched = [found.get(at, id) for at, id in enumerate(labels.ids)]
    return replace(labels, ids=matched, left_out=[*labels.left_out, *notes])


def match_ids(labels: LabelFile, ids: Sequence[str], *, ignore_unknown_ids: bool = False) -> LabelFile:
    """match_normal_forms for the ids of images, which are paths.

    Raises LabelError (L15) where all ids that no image has would fit if written otherwise, unless ignore_unknown_ids.
    """
    labels, known = match_normal_forms(labels, ids), set(ids)
    left = [at for at, id in enumerate(labels.ids) if id not in known]
    if left and not ignore_unknown_ids:
        _explain_unknown(labels, left, ids)
    return labels


def demand_known(labels: LabelFile, ids: Sequence[str]) -> None:
    """Raise LabelError (L15) where an id of the labels is not among those of the data."""
    labels = match_ids(labels, ids)
    known = set(ids)
    if left := [at for at, id in enumerate(labels.ids) if id not in known]:
        raise unknown_id_error(left, labels, pa.chunked_array([pa.array(ids, pa.string())]))


def _normal_form(id: str) -> str:
    return unicodedata.normalize("NFC", id)


def _unique_by(ids: Sequence[str], form: Callable[[str], str]) -> dict[str, str]:
    """form -> id, for the forms that one id alone has."""
    forms = list(map(form, ids))
    counts = Counter(forms)
    return {one: id for one, id in zip(forms, ids, strict=True) if counts[one] == 1}


def _explain_unknown(labels: LabelFile, unknown: Sequence[int], ids: Sequence[str]) -> None:
    """Raise LabelError (L15) where one change makes an image's id of every id that no image has."""
    for what, of_label, of_image in CHANGES:
        known = _unique_by(ids, lambda id, of_image=of_image: of_image(_normal_form(id)))  # type: ignore[misc]
        would = [known.get(_normal_form(of_label(_normal_form(labels.ids[at])))) for at in unknown]
        if None not in would and len(set(would)) == len(would) and not set(would) & set(labels.ids):
            first = unknown[0]
            rows = [f"{labels.ids[at]}: {id}" for at, id in zip(unknown, would, strict=True)]
            do = f"write ids as images have them, such as {shown(would[0])!r}"
            said = f"ids of the data, {what}"
            raise LabelError("L15", said, where=labels.place(first), rows=rows, do=do)


def _same(id: str) -> str:
    return id


def _name_alone(id: str) -> str:
    return id.replace("\\", "/").rpartition("/")[2]


# What may be different, how that is taken out of a label's id, and what it is then compared with of an image's.
CHANGES: list[tuple[str, Callable[[str], str], Callable[[str], str]]] = [
    ("but with './' before them", lambda id: id.removeprefix("./"), _same),
    ("but with '\\' instead of '/'", lambda id: id.replace("\\", "/").removeprefix("./"), _same),
    ("but with a folder before them", lambda id: id.partition("/")[2], _same),
    ("but with blanks around them", str.strip, _same),
    ("but written as in an address (%20)", urllib.parse.unquote, _same),
    ("but without the ending of the file", _same, lambda id: os.path.splitext(id)[0]),
    ("but with other capital letters", str.casefold, str.casefold),
    ("but without their folder, or with another one", _name_alone, _name_alone),
]
