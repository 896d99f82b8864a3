"""E: embeddings in tables and folders of them, and paths."""

import os
import tomllib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from fewlabels.commands import propagate as propagation
from tests.faults.catalogue import Family

CASES = cases = Family()
PROJECT = Path(__file__).parents[2] / "pyproject.toml"
CLASSES = {str(row): ("ant", "bee", "cat")[row // 10] for row in range(30)}


for name, bad in (("a short row", [1.0, 2.0]), ("a missing row", None), ("a missing number", [None] + [1.0] * 7)):

    @cases.refused("E17", f"a table with {name}", place="1 such row (r17)")
    def _(work, bad=bad):
        rows = [bad if row == 17 else values for row, values in enumerate(work.rows.astype(np.float32).tolist())]
        work.table(id=[f"r{row}" for row in range(30)], embedding=pa.array(rows, pa.list_(pa.float32())))
        work.write("labels.csv", "id,label\nr0,ant\n")
        return work.propagate("rows.parquet")


for name, damage in (
    ("cut off", lambda data: data[:-100]),
    ("empty", lambda data: b""),
    ("of another kind", lambda data: b"PAR2" + data[4:-4] + b"PAR2"),
):

    @cases.refused("E18", f"a table that is {name}", place="at rows.parquet")
    def _(work, damage=damage):
        path = Path(work.table())
        path.write_bytes(damage(path.read_bytes()))
        return work.propagate("rows.parquet")


@cases.refused("E19", "a flipped byte in a column of a table of ours", code="E18", place="at ours.parquet")
def _(work):
    assert work.run(work.propagate(out="ours.parquet")).status == 0
    column = pq.read_metadata("ours.parquet").row_group(0).column(1)
    data = bytearray(Path("ours.parquet").read_bytes())
    data[column.dictionary_page_offset + column.total_compressed_size - 1] ^= 1
    Path("ours.parquet").write_bytes(data)
    return work.propagate(labels="ours.parquet", out="again.csv")


def parts(work, change=lambda part, columns: columns):
    Path("parts").mkdir()
    for part in range(3):
        rows = slice(10 * part, 10 * part + 10)
        columns = {"id": [str(row) for row in range(30)[rows]], "embedding": list(work.rows.astype(np.float32)[rows])}
        pq.write_table(pa.table(change(part, columns)), f"parts/part-{part}.parquet")


for name, change, place in (
    ("another type of numbers", lambda c: c | {"embedding": [row.astype(float) for row in c["embedding"]]}, "double"),
    ("another type of ids", lambda c: c | {"id": [int(id) for id in c["id"]]}, "int64"),
    ("no ids", lambda c: {"embedding": c["embedding"]}, "no column 'id'"),
):

    @cases.refused("E20", f"a part with {name}", place=place)
    def _(work, change=change):
        parts(work, lambda part, columns: change(columns) if part == 1 else columns)
        return work.propagate("parts")


@cases.refused("E20", "a part of another width", code="E17", place="(first 5: 20, 21, 22, 23, 24)")
def _(work):
    parts(work, lambda part, c: c | {"embedding": [row[:7] for row in c["embedding"]]} if part == 2 else c)
    return work.propagate("parts")


@cases.refused("E21", "an id in two parts", place="1 such row (3)")
def _(work):
    parts(work, lambda part, c: c | {"id": ["3", *c["id"][1:]]} if part == 2 else c)
    return work.propagate("parts")


@cases.accepted("E21", "rows in another order than labels")
def _(work):
    order = np.random.default_rng(0).permutation(30)
    work.table(id=[str(row) for row in order], embedding=list(work.rows.astype(np.float32)[order]))
    assert work.labels(work.propagate("rows.parquet")) == CLASSES


class Foreign(pa.ExtensionType):
    def __init__(self):
        super().__init__(pa.list_(pa.float32()), "somebody.elses")

    def __arrow_ext_serialize__(self):
        return b""

    @classmethod
    def __arrow_ext_deserialize__(cls, storage_type, serialized):
        raise AssertionError("code attached to a type was run")


@cases.accepted("E22", "a type that nobody here knows")
def _(work):
    storage = pa.array(work.rows.astype(np.float32).tolist(), pa.list_(pa.float32()))
    work.table(embedding=pa.ExtensionArray.from_storage(Foreign(), storage))
    assert work.labels(work.propagate("rows.parquet")) == CLASSES
    needs = tomllib.loads(PROJECT.read_text())["project"]["dependencies"]
    assert [one.split(",")[0] for one in needs if one.startswith("pyarrow")] == ["pyarrow>=18"]  # 14.0.1 at least


@cases.accepted("E23", "files of other programs beside the parts")
def _(work):
    parts(work)
    for name in ("_SUCCESS", ".part-0.parquet.crc", "part-9.parquet.tmp", ".hidden.parquet", "_x.parquet"):
        work.write(f"parts/{name}", b"x")
    assert work.labels(work.propagate("parts")) == CLASSES


@cases.refused("E24", "a file that is changed while it is read", status=3, place="at moved.npy", leaves=["o-run"])
def _(work):
    np.save("moved.npy", work.rows)
    real = propagation.propagate

    def changed(*given, **more):
        os.utime("moved.npy", ns=(1, 1))
        return real(*given, **more)

    work.monkeypatch.setattr(propagation, "propagate", changed)
    return work.propagate("moved.npy")


for path in ("file:///embeddings.npy", "s3://bucket/e.npy", "~/e.npy", "-", "//host/share/e.npy", "e\n.npy", "$(date)"):

    @cases.refused("E25", f"the path {path!r}", code="E32", place=str(Path(path)).replace("\n", "\\n"))
    def _(work, path=path):
        return [word if word != "SOURCE" else path for word in work.propagate("SOURCE")]
