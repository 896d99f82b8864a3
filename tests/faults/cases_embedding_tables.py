"""E: embeddings in tables and folders of them, and paths."""

import json
import os
import tomllib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from fewlabels.commands import propagate as propagation
from fewlabels.review.items import open_items
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


KEYS = np.random.default_rng(3).permutation(30)
LABELS = "id,label\n" + "".join(f"{KEYS[row]},{name}\n" for row, name in ((0, "ant"), (10, "bee"), (20, "cat")))
BY_KEY = {str(key): ("ant", "bee", "cat")[row // 10] for row, key in enumerate(KEYS)}


@cases.refused("E21", "labels joined by number beside a column of ids", code="E35", place="'image_id' may be the ids")
def _(work):
    work.table(image_id=KEYS)
    work.write("labels.csv", LABELS)
    return work.propagate("rows.parquet")


@cases.accepted("E21", "the same, settled either way")
def _(work):
    work.table(image_id=KEYS)
    work.write("labels.csv", LABELS)
    assert work.labels(work.propagate("rows.parquet", "--id-column", "image_id")) == BY_KEY
    counted = work.propagate("rows.parquet", "--number-rows-from", "0", labels="rows.csv", out="counted.csv")
    work.write("rows.csv", "id,label\n0,ant\n10,bee\n20,cat\n")
    assert work.labels(counted, "counted.csv") == CLASSES


@cases.accepted("E21", "ids in another spelling, or as the index that is declared")
def _(work):
    work.write("labels.csv", LABELS)
    metadata = {"pandas": '{"index_columns": ["__index_level_0__"]}'}
    for name in ("ID", "__index_level_0__"):
        table = pa.table({"embedding": list(work.rows.astype(np.float32)), name: KEYS})
        pq.write_table(table.replace_schema_metadata(metadata), f"{name}.parquet")
        assert work.labels(work.propagate(f"{name}.parquet", out=f"{name}.csv"), f"{name}.csv") == BY_KEY


for ids in (range(1, 31), (1, 2, 3), (11, 21, 30)):

    @cases.refused("E21", f"{len(ids)} labels that count from 1", code="E35", place="--number-rows-from 1")
    def _(work, ids=ids):
        work.write("labels.csv", "id,label\n" + "".join(f"{id},ant\n" for id in ids))
        return work.propagate()


@cases.accepted("E21", "rows that are counted from 1")
def _(work):
    work.write("labels.csv", "id,label\n1,ant\n11,bee\n21,cat\n30,cat\n")
    found = work.labels(work.propagate("embeddings.npy", "--number-rows-from", "1"))
    assert found == {str(int(row) + 1): name for row, name in CLASSES.items()}


@cases.refused("E23", "a part in a sub-folder", code="E36", place="1 such row (b/part.1.parquet)")
def _(work):
    Path("parts/b").mkdir(parents=True)
    work.table("parts/part.0.parquet")
    work.table("parts/b/part.1.parquet")
    return work.propagate("parts")


@cases.accepted("E23", "parts that are numbered without zeros in front")
def _(work):
    Path("parts").mkdir()
    for part in range(15):
        rows = list(work.rows.astype(np.float32)[2 * part : 2 * part + 2])
        pq.write_table(pa.table({"embedding": rows}), f"parts/part.{part}.parquet")
    assert work.labels(work.propagate("parts")) == CLASSES


@cases.refused("E10", "vectors in text beside numbers", code="E37", place="--ignore-columns 'vector'")
def _(work):
    vectors = [str(row.tolist()) for row in work.rows]
    work.table(embedding=None, id=range(30), vector=vectors, width=KEYS * 1.5, height=KEYS * 2.5)
    return work.propagate("rows.parquet")


@cases.refused("E14", "a table of a few kB whose ids unpack to gigabytes", code="E38", place="column 'id'")
def _(work):
    ids = pa.DictionaryArray.from_arrays(pa.array(np.zeros(30_000, np.int8)), pa.array(["i" * 300_000]))
    work.table(embedding=[[1.0]] * 30_000, id=ids)
    return work.propagate("rows.parquet")


@cases.accepted("E10", "a wide table says what it reads")
def _(work):
    columns = {f"f{at}": column for at, column in enumerate(work.rows.T)}
    more = {"Unnamed: 0": range(30), "target": [1, 2, 3] * 10, "note": ["x"] * 30}
    work.table(embedding=None, **more, **columns)
    outcome = work.run(work.loud(work.propagate("rows.parquet")))
    assert outcome.err.splitlines()[1:3] == [
        "features: 8 numbers in each row: f0, f1, f2, f3, f4 and 3 more; ids: the index in the column 'Unnamed: 0'; "
        "labels: labels.csv, joined by id",
        "not used: target (called like a label; --feature-columns takes it); note (text, shown in review)",
    ]
    assert json.loads(Path("o-run/results.json").read_text())["read"]["features"] == [f"f{at}" for at in range(8)]
    chosen = work.propagate("rows.parquet", "--feature-columns", "f[0-3]", "--ignore-columns", "f3", out="p.csv")
    assert work.labels(chosen, "p.csv") == CLASSES
    assert json.loads(Path("p-run/run.json").read_text())["source"]["columns"] == {
        "id": "id",
        "embedding": "embedding",
        "label": "label",
        "features": ["f[0-3]"],
        "ignore": ["f3"],
        "rows_from": None,
        "rules": 2,
    }
    assert open_items("p-run").descriptors.shape == (30, 3)
