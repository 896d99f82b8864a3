"""The table of labels that every run ends in, as Parquet or CSV."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from ..errors import ConfigError
from ..storage import durable

TABLE = "pseudo_labels.parquet"
FORMULA = "=+-@\t\r"  # a spreadsheet calculates a cell that begins with one of these
GIVEN, PROPAGATED, NONE = "given", "propagated", "none"
BINS = 20  # of certainty, in results.json
Ids: TypeAlias = Sequence[str] | pa.ChunkedArray


@dataclass(frozen=True, kw_only=True)
class PseudoLabelTable:
    """One row for every row of the input, in its order.

    id: (n,) text. label: (n,) int64, number of the class, -1 where no label reached.
    certainty: (n,) float in [0, 1]; 1 for given labels, 0 where no label reached. It orders labels by how sure the
    answer is; it is not a probability of being right.
    given: (n,) bool, True where the label came from the user. reached: (n,) bool. class_names: (c,) text.
    probability: (n,) float, of being right, fitted on labels that were held out; None where none could be.
    """

    id: Ids
    label: np.ndarray
    certainty: np.ndarray
    given: np.ndarray
    reached: np.ndarray
    class_names: Sequence[str]
    probability: np.ndarray | None = None

    def to_arrow(self) -> pa.Table:
        """Columns id, label (text, null where unreached), certainty, source (given, propagated or none), reached, and
        probability where that is known."""
        ids = self.id if isinstance(self.id, pa.ChunkedArray) else pa.array(self.id, pa.string())
        source = np.where(self.given, 0, np.where(self.reached, 1, 2))
        known = {} if self.probability is None else {"probability": pa.array(self.probability, pa.float32())}
        return pa.table(
            {
                "id": ids,
                "label": _texts(self.label, self.class_names),
                "certainty": pa.array(self.certainty, pa.float32()),
                "source": _texts(source, (GIVEN, PROPAGATED, NONE)),
                "reached": pa.array(self.reached, pa.bool_()),
                **known,
            }
        )

    def write(self, path: str | Path, *, excel_safe: bool = False) -> None:
        """Write Parquet (.parquet) or CSV (.csv), all or nothing.

        excel_safe: in CSV an id or label that a spreadsheet would take for a formula gets a `'` before it.
        Raises ConfigError for another ending, StorageError where the file cannot be written.
        """
        kind = table_kind(path)
        with durable.write_file(path) as file:
            if kind == "csv":
                table = self.to_arrow()
                pyarrow.csv.write_csv(_without_formulas(table) if excel_safe else table, file)
            else:
                pq.write_table(self.to_arrow(), file, compression="zstd", write_page_checksum=True)


def _without_formulas(table: pa.Table) -> pa.Table:
    for at, name in enumerate(("id", "label")):
        texts = table[name]
        risky = pc.match_substring_regex(texts, f"^[{re.escape(FORMULA)}]")
        table = table.set_column(at, name, pc.if_else(risky, pc.binary_join_element_wise("'", texts, ""), texts))
    return table


def _texts(code: np.ndarray, names: Sequence[str]) -> pa.Array:
    """names[code] as text, null for -1; without a Python object for each row."""
    places = pa.array(code, pa.int32(), mask=code < 0)
    return pa.DictionaryArray.from_arrays(places, pa.array(names, pa.string())).dictionary_decode()


def read_ids(folder: Path) -> list[str]:
    """The ids of a run's rows, in their order; none where it has no table of labels."""
    path = folder / TABLE
    return pq.read_table(path, columns=["id"])["id"].to_pylist() if path.is_file() else []


def table_kind(path: str | Path) -> str:
    """ "parquet" or "csv", by the ending of the name. Raises ConfigError for any other."""
    kind = Path(path).suffix.lower().lstrip(".")
    if kind not in ("parquet", "csv"):
        raise ConfigError(
            "C16", "a table of labels ends in .parquet or .csv", where=path, do="give the output such a name"
        )
    return kind
