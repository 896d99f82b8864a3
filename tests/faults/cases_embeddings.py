"""E: embeddings in arrays and .npy files."""

import os
import pickle
import struct
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from fewlabels import GraphSettings, propagate
from fewlabels.data.tables.embeddings import read_embeddings
from fewlabels.estimator import LabelPropagationClassifier
from fewlabels.graph import build_graph, cuda
from fewlabels.review.engine.engine import Engine
from fewlabels.review.items import open_items
from tests.faults.catalogue import Family, notes, rows_of

CASES = cases = Family()
PROJECT = Path(__file__).parents[2] / "pyproject.toml"
CLASSES = {str(row): ("ant", "bee", "cat")[row // 10] for row in range(30)}


def spoiled(rows, value, at=17):
    rows = rows.astype(np.float32)
    rows[at, 3] = value
    return rows


def settings(k=5):
    return GraphSettings(n_neighbors=k)


for id, value in (("E1", np.nan), ("E2", np.inf), ("E2", -np.inf)):

    @cases.refused(id, f"{value} in a .npy", code="E1", place="at bad.npy; 1 such row (17)")
    def _(work, value=value):
        np.save("bad.npy", spoiled(work.rows, value))
        return work.propagate("bad.npy")

    @cases.refused(id, f"{value} in a table", code="E1", place="1 such row (r17)")
    def _(work, value=value):
        work.table(id=[f"r{row}" for row in range(30)], embedding=list(spoiled(work.rows, value)))
        work.write("labels.csv", "id,label\nr0,ant\nr10,bee\n")
        return work.propagate("rows.parquet")

    @cases.refused(id, f"{value} in an array", code="E1", place="1 such row (17)")
    def _(work, value=value):
        return lambda: propagate(spoiled(work.rows, value), work.codes, settings())


LEFT_OUT = "NaN, infinity or a missing number: the row takes no part and has no label"


def has_no_label(rows, *ids):
    """These rows, and no others, have no class, no certainty and are not reached."""
    assert [row["id"] for row in rows if row["reached"] == "false"] == list(ids)
    assert [row["id"] for row in rows if row["label"] == "" or float(row["certainty"]) == 0] == list(ids)


@cases.accepted("E1", "bad rows of a .npy that are to go without a label", warns=["E1", "G1"])
def _(work):
    rows = spoiled(work.rows, np.nan)
    rows[20, 0] = -np.inf
    np.save("bad.npy", rows)
    work.write("labels.csv", "id,label\n0,ant\n10,bee\n20,cat\n21,cat\n")
    found = work.labels(work.loud(work.propagate("bad.npy", "--drop-bad-rows", "--explain", "17")))
    assert found == CLASSES | {"17": "", "20": ""}
    has_no_label(rows_of("o.csv"), "17", "20")
    assert str(work.caught[0].message).endswith("at bad.npy; 2 such rows (17, 20); all are in notes.csv")
    why = [LEFT_OUT, f"{LEFT_OUT}; given: 'cat'"]
    assert notes() == [
        ["E1", "bad.npy", line, id, reason] for line, id, reason in zip(("18", "21"), ("17", "20"), why, strict=True)
    ]
    items = open_items("o-run")  # a review builds the same graph again
    state = work.call(lambda: Engine(items).state)
    assert np.flatnonzero(~state.reached).tolist() == [17, 20]


@cases.accepted("E1", "rows of a table with missing numbers that are to go without a label", warns=["E1", "G1"])
def _(work):
    lists = [list(map(float, row)) for row in work.rows]
    lists[3], lists[17] = None, [1.0, None, *lists[17][2:]]
    lists[27] = lists[27][:5]
    kind = pa.list_(pa.float32())
    pq.write_table(pa.table({"embedding": pa.array(lists, kind)}), "lists.parquet")
    columns = {
        f"c{at}": [None if row == 17 and at == 2 else float(value) for row, value in enumerate(column)]
        for at, column in enumerate(work.rows.T)
    }
    pq.write_table(pa.table(columns), "columns.parquet")
    work.labels(work.loud(work.propagate("lists.parquet", "--drop-bad-rows")))
    has_no_label(rows_of("o.csv"), "3", "17", "27")
    work.labels(work.loud(work.propagate("columns.parquet", "--drop-bad-rows", out="p.csv")), "p.csv")
    has_no_label(rows_of("p.csv"), "17")
    assert [line[3] for line in notes("p-run")] == ["17"]


@cases.accepted("E1", "bad rows of an array that are to go without a label", warns=["E1", "G1"])
def _(work):
    kept = np.delete(np.arange(30), [17, 18])
    for metric, dtype in (("cosine", np.float32), ("cosine", np.float64), ("inner_product", np.float32)):
        rows = spoiled(spoiled(work.rows, np.inf), np.nan, 18).astype(dtype)
        chosen = GraphSettings(n_neighbors=5, metric=metric, drop_bad_rows=True)
        found = work.call(lambda rows=rows, chosen=chosen: propagate(rows, work.codes, chosen)).pseudo_labels
        alone = propagate(rows[kept], work.codes[kept], chosen).pseudo_labels
        assert (found.label[[17, 18]].tolist(), found.certainty[[17, 18]].tolist()) == ([-1, -1], [0, 0])
        assert not found.reached[[17, 18]].any()
        np.testing.assert_array_equal(found.label[kept], alone.label)
        np.testing.assert_allclose(found.distribution[kept], alone.distribution, atol=1e-6)


@cases.accepted("E1", "more bad rows than all-zero rows would be allowed", warns=["E1", "G1"])
def _(work):
    rows = np.vstack([work.rows, np.full((12, 8), np.nan)])
    codes = np.append(work.codes, np.full(12, -1))
    found = work.call(lambda: propagate(rows, codes, GraphSettings(n_neighbors=5, drop_bad_rows=True))).pseudo_labels
    assert np.flatnonzero(found.label == -1).tolist() == list(range(30, 42))


@cases.refused(
    "E1", "the only label of a class is on a bad row", code="L18", place="class 1 ('bee') has no labelled row"
)
def _(work):
    np.save("bad.npy", spoiled(work.rows, np.nan, 10))
    return work.propagate("bad.npy", "--drop-bad-rows")


@cases.refused(
    "E1", "every row is bad", place="no row without NaN, infinity or a missing number at bad.npy; 30 such rows"
)
def _(work):
    np.save("bad.npy", np.full((30, 8), np.nan))
    return work.propagate("bad.npy", "--drop-bad-rows")


@cases.refused("E1", "every row of an array is bad", place="30 such rows")
def _(work):
    return lambda: propagate(np.full((30, 8), np.nan), work.codes, GraphSettings(n_neighbors=5, drop_bad_rows=True))


@cases.accepted("E3", "values whose squares overflow or vanish")
def _(work):
    for scale in (3e38, 1e-38):
        rows = (work.rows / np.abs(work.rows).max() * scale).astype(np.float32)
        found = work.call(lambda rows=rows: propagate(rows, work.codes, settings(12))).pseudo_labels
        assert np.isfinite(found.distribution).all()
        assert found.label.tolist() == [row // 10 for row in range(30)]


@cases.accepted("E4", "an all-zero row", warns=["G1"])
def _(work):
    rows = work.rows.copy()
    rows[17] = 0
    found = work.call(lambda: propagate(rows, work.codes, settings(12))).pseudo_labels
    assert np.flatnonzero(~found.reached).tolist() == [17]
    assert (found.label[17], found.certainty[17]) == (-1, 0)


@cases.refused("E4", "too many all-zero rows", place="12 such rows (first 5: 0, 1, 2, 3, 4)")
def _(work):
    rows = np.vstack([np.zeros((12, 8)), work.rows])
    return lambda: propagate(rows, np.append(np.full(12, -1), work.codes), settings())


@cases.accepted("E5", "all rows equal", warns=["E7", "G15"])
def _(work):
    found = work.call(lambda: propagate(np.ones((30, 8)), work.codes, settings())).pseudo_labels
    assert found.reached.all()
    np.testing.assert_allclose(found.distribution, 1 / 3, atol=1e-6)  # a vote of one each
    assert found.num_tied == 27


@cases.accepted("E6", "each row k + 5 times")
def _(work):
    rows, codes = np.repeat(work.rows, 10, axis=0), np.repeat(work.codes, 10)
    found = work.call(lambda: propagate(rows, codes, settings())).pseudo_labels
    alone = propagate(work.rows, work.codes, settings()).pseudo_labels
    assert found.reached.all() == alone.reached.all()
    assert found.label.tolist() == np.repeat(alone.label, 10).tolist()


@cases.accepted("E7", "no more rows than neighbours", warns=["E7"])
def _(work):
    found = work.call(lambda: propagate(work.rows, work.codes, settings(50))).pseudo_labels
    assert found.label.tolist() == [row // 10 for row in range(30)]


for shape in ((0, 8), (8, 0)):

    @cases.refused("E8", f"shape {shape}", place=f"shape {shape}")
    def _(work, shape=shape):
        np.save("none.npy", np.zeros(shape))
        return work.propagate("none.npy")


@cases.accepted("E8", "one row, two rows, one column, a million columns", warns=["E7"])
def _(work):
    rng = np.random.default_rng(0)
    for shape in ((1, 3), (2, 3), (5, 1), (2, 1_000_000)):
        codes = np.where(np.arange(shape[0]) == 0, 0, -1)
        rows = rng.uniform(0.1, 1, shape)
        found = work.call(lambda rows=rows, codes=codes: propagate(rows, codes, settings())).pseudo_labels
        assert found.label.tolist() == [0] * shape[0]
    work.caught = [one for one in work.caught if "FL-L17 " not in str(one.message)]


@cases.refused("E8", "more columns than there is memory for", code="G21", status=4, place="at wide.npy")
def _(work):
    header = {"descr": "<f4", "fortran_order": False, "shape": (30, 10**6)}
    with open("wide.npy", "wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        file.truncate(file.tell() + 4 * 30 * 10**6)  # a sparse file
    return work.propagate("wide.npy", "--memory-limit", "0.1")


for shape in ((30,), (30, 2, 4)):

    @cases.refused("E9", f"a file of shape {shape}", place=f"shape {shape}")
    def _(work, shape=shape):
        np.save("odd.npy", np.ones(shape))
        return work.propagate("odd.npy")

    @cases.refused("E9", f"an array of shape {shape}", place=f"shape {shape}")
    def _(work, shape=shape):
        return lambda: propagate(np.ones(shape), work.codes, settings())


@cases.refused("E9", "another width at predict", place="X has 7 features")
def _(work):
    model = LabelPropagationClassifier(12).fit(work.rows, work.codes)
    return lambda: model.predict(work.rows[:, :7])


@cases.refused("E9", "one dimension at fit", place="got 1D array instead")
def _(work):
    return lambda: LabelPropagationClassifier(5).fit(np.ones(30), work.codes)


@cases.refused("E10", "float16 that overflowed", code="E1", place="17")
def _(work):
    with np.errstate(over="ignore"):
        np.save("half.npy", spoiled(work.rows, 1e6).astype(np.float16))
    return work.propagate("half.npy")


for name, kind in (("complex", np.complex128), ("text", str)):

    @cases.refused("E10", f"numbers as {name}", place="expected real numbers")
    def _(work, kind=kind):
        np.save("odd.npy", work.rows.astype(kind))
        return work.propagate("odd.npy")


@cases.accepted("E10", "float16, int8 and bool")
def _(work):
    for kind in (np.float16, np.int8, bool):
        rows = (work.rows * 100 * (np.abs(work.rows) > 0.5)).astype(kind)
        np.save(f"{kind.__name__}.npy", rows)
        assert work.labels(work.propagate(f"{kind.__name__}.npy"), "o.csv") == CLASSES
        Path("o.csv").unlink()


@cases.accepted("E11", "differences that float32 does not have", warns=["E11"])
def _(work):
    rows = np.repeat(work.rows[::2], 2, axis=0)
    rows[1::2] *= 1 + 1e-12 * np.arange(8)
    found = work.call(lambda: propagate(rows, work.codes, settings(12))).pseudo_labels
    assert np.isfinite(found.distribution).all()
    assert "15 of 30 rows" in str(work.caught[0].message)


@cases.accepted("E11", "the same when a graph is built, or a model fitted", warns=["E11"])
def _(work):
    rows = np.repeat(work.rows[::2], 2, axis=0)
    rows[1::2] *= 1 + 1e-12 * np.arange(8)
    doors = [
        lambda: build_graph(rows, settings(12)),
        lambda: LabelPropagationClassifier(12).fit(rows, work.codes),
        lambda: cuda.build_graph(rows, settings(12), device="cpu"),
        lambda: cuda.propagate(torch.from_numpy(rows), work.codes, settings(12), device="cpu"),
    ]
    for count, door in enumerate(doors, 1):
        work.call(door)
        assert len(work.caught) == count


@cases.refused("E12", "a .npy that was cut off", code="E14", place="the file has 500 at cut.npy")
def _(work):
    work.write("cut.npy", Path("embeddings.npy").read_bytes()[:500])
    return work.propagate("cut.npy")


for name, content in (("empty", b""), ("text", b"0.1,0.2\n"), ("cut in its header", b"\x93NUMPY\x01\0v\0{'descr'")):

    @cases.refused("E12", f"a .npy that is {name}", place="at bad.npy")
    def _(work, content=content):
        work.write("bad.npy", content)
        return work.propagate("bad.npy")


class Bomb:
    def __reduce__(self):
        return (os.mkdir, ("canary",))


@cases.refused("E13", "an array of Python objects", place="an array of Python objects; expected numbers at bad.npy")
def _(work):
    np.save("bad.npy", np.array([Bomb()] * 30, object), allow_pickle=True)
    return work.propagate("bad.npy")


@cases.refused("E13", "a pickle", code="E12", place="bad.npy")
def _(work):
    work.write("bad.npy", pickle.dumps(Bomb()))
    return work.propagate("bad.npy")


@cases.refused("E14", "a header of 1.6 PiB", place="bad.npy")
def _(work):
    header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000, 225000), }"
    header += b" " * (63 - (10 + len(header)) % 64) + b"\n"
    work.write("bad.npy", b"\x93NUMPY\x01\0" + struct.pack("<H", len(header)) + header + bytes(8))
    return work.propagate("bad.npy")


@cases.accepted("E15", "every version, byte order and memory order of .npy")
def _(work):
    rows, forms = work.rows.astype(np.float32), {}
    for version in ((1, 0), (2, 0), (3, 0)):
        forms[f"{version[0]}.npy"] = (rows, version)
    forms |= {"big.npy": (rows.astype(">f4"), None), "fortran.npy": (np.asfortranarray(rows), None)}
    for name, (array, version) in forms.items():
        with open(name, "wb") as file:
            np.lib.format.write_array(file, array, version)
        found = read_embeddings(name).values
        np.testing.assert_array_equal(found, rows)
        assert work.labels(work.propagate(name, out=f"{name}.csv"), f"{name}.csv") == CLASSES
    mapped = np.load("1.npy", mmap_mode="r")
    alone = propagate(rows, work.codes, settings()).pseudo_labels.distribution
    np.testing.assert_array_equal(propagate(mapped, work.codes, settings()).pseudo_labels.distribution, alone)


@cases.refused("E16", "several arrays in an .npz", place="an .npz or zip archive; expected one array at all.npz")
def _(work):
    np.savez_compressed("all.npz", a=work.rows, b=np.zeros(10**7))  # which would unpack to a thousand times its size
    return work.propagate("all.npz")
