"""`fewlabels describe --column`: from texts to a table of descriptors. Neither torch nor Pillow is needed."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np

from ..describing.table import DescriptorWriter, write_descriptors
from ..describing.texts import TextDescriber, read_texts
from ..errors import EmbeddingError
from ..runs.origin import versions
from ..storage import durable
from .described import demand_place, say, write_rejected
from .memory import peak_memory_mib

TEXTS_AT_ONCE = 1000


def run_describe_texts(path: Path, out: Path, *, column: str = "text", quiet: bool = False) -> dict[str, Any]:
    """Describe the texts of a file and write the table to `out`, which is there whole or not at all.

    Texts without a word are in OUT.rejected.csv. Raises what read_texts and TextDescriber raise.
    """
    start = time.perf_counter()
    demand_place(out, [path])

    describer = TextDescriber()
    found = read_texts(path, column)
    facts = {"kind": "texts", **describer.facts(), "fewlabels": versions()["fewlabels"]}
    say(f"{len(found.ids):,} texts by {facts['model']}, {describer.width} numbers each", quiet)
    rejected: list[tuple[str, str]] = []
    durable.make_folder(out.parent)
    with write_descriptors(out, describer.width, facts, has_labels=found.labels is not None) as table:
        for begin in range(0, len(found.ids), TEXTS_AT_ONCE):
            part = slice(begin, begin + TEXTS_AT_ONCE)
            rows = describer([text or "" for text in found.texts[part]])
            labels = found.labels[part] if found.labels is not None else [None] * len(rows)
            for id, row, label in zip(found.ids[part], rows, labels, strict=True):
                _add_text(table, rejected, id, row, label)
        if 2 * len(rejected) > len(found.ids):
            what = f"{len(rejected):,} of {len(found.ids):,} texts have no words; more than half"
            raise EmbeddingError("E39", what, where=path, do="check that this is the column of texts")
    listing = write_rejected(out, rejected)
    return {
        "out": str(out),
        "num_rows": table.num_rows,
        "width": describer.width,
        "num_rejected": len(rejected),
        "rejected": None if listing is None else str(listing),
        "made": facts,
        "wall_seconds": time.perf_counter() - start,
        "peak_memory_mib": peak_memory_mib(),
    }


def _add_text(
    table: DescriptorWriter, rejected: list[tuple[str, str]], id: str, row: np.ndarray, label: str | None
) -> None:
    if row.any():
        table.add(id, row, label)
    else:
        rejected.append((id, "no words"))
