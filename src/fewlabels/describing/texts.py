"""Texts -> descriptors by a static embedding: the mean of the vectors of a text's tokens; nothing is downloaded."""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from ..data.labels.csv import MAX_ROW
from ..data.paths import PARQUET, first_bytes, local_path, unreadable
from ..data.tables.files import id_texts, is_text, label_column, open_table, plain_type
from ..errors import EmbeddingError, InputError, demand_packages, listed

MODEL = "l2_supercat_256"  # the table of vectors that the wheel of wordllama has: 32,000 tokens x 256
BLOCK = 4096  # tokens whose vectors are in memory at a time
ENDINGS = (".txt", ".csv", ".tsv", ".jsonl", ".ndjson")  # with .parquet and --column, what holds texts


@dataclass(frozen=True)
class Texts:
    """n texts, None where a cell is empty; their ids; their labels, None as a whole where there are none."""

    texts: Sequence[str | None]
    ids: Sequence[str]
    labels: Sequence[str | None] | None = None


def read_texts(path: Path, column: str = "text", *, id_column: str = "id", label_column: str = "label") -> Texts:
    """The texts of a Parquet or Arrow file (a column), a CSV or TSV with a header, JSON lines, or a .txt (its lines).

    ids: of the id column, else row numbers from 0; labels: of the label column, where there is one.
    Raises EmbeddingError: E31 where there is no such column, E21 for ids that repeat, E32 for other files.
    """
    source = local_path(path, EmbeddingError, "E32")
    ending = source.suffix.lower()
    if first_bytes(source).startswith(PARQUET) or ending in (".parquet", ".arrow", ".feather"):
        return _read_table(source, column, id_column, label_column)
    try:
        with source.open(encoding="utf-8-sig", newline="" if ending in (".csv", ".tsv") else None) as file:
            if ending == ".txt":
                lines = [line.rstrip("\n") or None for line in file]
                return _demand_rows(Texts(lines, list(map(str, range(len(lines))))), source)
            rows: Iterator[Any] = (
                csv.DictReader(file, delimiter="\t" if ending == ".tsv" else ",", strict=True)
                if ending in (".csv", ".tsv")
                else (json.loads(line) for line in file if line.strip())
            )
            if ending not in ENDINGS:
                what = "no table of texts; expected .parquet, .csv, .tsv, .jsonl or .txt"
                raise EmbeddingError("E32", what, where=source, do="save it as one of them")
            return _of_rows(rows, source, (column, id_column, label_column))
    except OSError as problem:
        raise unreadable(source, problem) from problem
    except (ValueError, csv.Error, RecursionError) as problem:
        if isinstance(problem, InputError):
            raise
        what = f"not a whole {ending.lstrip('.')} file in UTF-8 ({problem})"
        raise EmbeddingError("E18", what, where=source, do="write the file again") from problem


def _read_table(path: Path, column: str, id_column: str, label: str) -> Texts:
    table = open_table([path], EmbeddingError)
    if column not in table.names or not is_text(plain_type(table.schema.field(column).type)):
        raise _no_column(column, table.names, path)
    ids = id_texts(table, id_column) if id_column in table.names else list(map(str, range(table.num_rows)))
    labels = label_column(table, label).to_pylist() if label in table.names else None
    return _demand_rows(Texts(table.column(column).to_pylist(), ids, labels), path)


def _of_rows(rows: Iterator[Any], path: Path, names: tuple[str, str, str]) -> Texts:
    column, id_column, label = names
    texts: list[str | None] = []
    ids: list[str] = []
    labels: list[str | None] = []
    for at, row in enumerate(rows):
        if not isinstance(row, dict) or column not in row:
            raise _no_column(column, list(row) if isinstance(row, dict) else [], path)
        text, given = row[column], row.get(label)
        if len(str(text)) > MAX_ROW:
            raise EmbeddingError("E38", f"a text of more than {MAX_ROW:,} characters", where=path, rows=[at])
        texts.append(None if text is None else str(text))
        ids.append(str(row.get(id_column, at)))
        labels.append(None if given in (None, "") else str(given))
    if len(set(ids)) < len(ids):
        seen: set[str] = set()
        again = [id for id in ids if id in seen or seen.add(id)]  # type: ignore[func-returns-value]
        raise EmbeddingError("E21", "ids that repeat", where=path, rows=again, do="give each text its own id")
    return _demand_rows(Texts(texts, ids, labels if any(labels) else None), path)


def _demand_rows(found: Texts, path: Path) -> Texts:
    if not found.ids:
        raise EmbeddingError("E8", "no texts", where=path, do="name the file that holds them")
    return found


def _no_column(column: str, names: Sequence[str], path: Path) -> EmbeddingError:
    do = "name the column of the texts with --column"
    return EmbeddingError("E31", f"no column {column!r} of texts; found {listed(names)}", where=path, do=do)


class TextDescriber:
    """The static embedding that the package wordllama carries (extra `text`): read from its files, nothing is fetched.

    A descriptor depends on the text and the weights alone. Raises ConfigError (C23) where the package is missing.
    """

    def __init__(self) -> None:
        demand_packages("texts need", "wordllama", "tokenizers", "safetensors", extra="text")
        from safetensors.numpy import load_file
        from tokenizers import Tokenizer

        root = Path(next(iter(find_spec("wordllama").submodule_search_locations)))  # type: ignore[union-attr, arg-type]
        # Not imported: the package sets up logging for the whole process, and looks for its own tokenizer in a folder
        # that is called otherwise.
        weights = root / "weights" / f"{MODEL}.safetensors"
        self._vectors = load_file(weights)["embedding.weight"]
        self._tokenizer = Tokenizer.from_file(str(root / "tokenizers" / "l2_supercat_tokenizer_config.json"))
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        self.width: int = self._vectors.shape[1]
        self._digest = hashlib.sha256(weights.read_bytes()).hexdigest()

    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        """(n, width) float32: the mean of the vectors of each text's tokens, in order; zeros where there is none."""
        found = np.zeros((len(texts), self.width), np.float32)
        for at, code in enumerate(self._tokenizer.encode_batch(list(texts), add_special_tokens=False)):
            if code.ids:
                found[at] = self._mean(np.clip(np.array(code.ids), 0, len(self._vectors) - 1))
        return found

    def _mean(self, tokens: np.ndarray) -> np.ndarray:
        total = np.zeros(self.width, np.float64)
        for start in range(0, len(tokens), BLOCK):
            total += self._vectors[tokens[start : start + BLOCK]].astype(np.float64).sum(axis=0)
        return total / len(tokens)

    def facts(self) -> dict[str, Any]:
        """How the rows are made, for the table."""
        version = metadata.version("wordllama")
        return {
            "model": f"wordllama {MODEL}",
            "weights": self._digest,
            "source": f"wordllama {version}",
            "licence": "MIT",
        }
