"""L: what labels say, in files and in Python."""

import gzip
import tracemalloc
import zipfile

import numpy as np

from fewlabels import GraphSettings, propagate
from fewlabels.data.labels.files import read_labels
from fewlabels.estimator import LabelPropagationClassifier
from fewlabels.graph import estimate
from fewlabels.report import report_html
from tests.faults.catalogue import Family

CASES = cases = Family()


def labelled(*cells):
    return "id,label\n" + "".join(f"{row},{cell}\n" for row, cell in zip((0, 10, 20), cells, strict=True))


@cases.refused("L16", "nothing is labelled", place="0 of 30 rows are labelled at labels.csv")
def _(work):
    work.write("labels.csv", labelled("", "", ""))
    return work.propagate()


@cases.accepted("L17", "one class only", warns=["L17"])
def _(work):
    found = work.call(
        lambda: propagate(work.rows, np.where(work.codes == 0, 0, -1), GraphSettings(n_neighbors=9))
    ).pseudo_labels
    assert set(found.label[found.reached]) == {0}
    assert set(found.certainty[found.reached]) == {1}
    work.caught = [one for one in work.caught if "FL-G1 " not in str(one.message)]  # whatever is reached


@cases.refused("L18", "a declared class without a label", place="class 3 ('dog') has no labelled row")
def _(work):
    return lambda: propagate(
        work.rows, work.codes, GraphSettings(n_neighbors=5), class_names=["ant", "bee", "cat", "dog"]
    )


@cases.accepted("L18", "a class without a label that is allowed")
def _(work):
    names = ["ant", "bee", "cat", "dog"]
    settings = GraphSettings(n_neighbors=12, allow_empty_classes=True)
    found = work.call(lambda: propagate(work.rows, work.codes, settings, class_names=names)).pseudo_labels
    assert np.isfinite(found.distribution).all()
    assert (found.distribution[found.reached, 3] == 0).all()
    assert 3 not in found.label


@cases.refused("L19", "a label of blanks", place="labels.csv:3")
def _(work):
    work.write("labels.csv", labelled("ant", "  ", "cat"))
    return work.propagate()


@cases.refused("L19", "two markers in one y", place="both")
def _(work):
    y = ["ant", None, "", "bee"] + [np.nan] * 26
    return lambda: LabelPropagationClassifier(5).fit(work.rows, y)


@cases.accepted("L20", "the classes -1 and 1", warns=["L20"])
def _(work):
    y = np.where(np.arange(30) < 15, -1, 1)
    model = work.call(lambda: LabelPropagationClassifier(5).fit(work.rows, y))
    assert model.classes_.tolist() == [-1, 1]


@cases.accepted("L20", "the classes -1 and 1 in a file", warns=["L20"])
def _(work):
    work.write("labels.csv", labelled("-1", "1", "1"))
    assert set(work.labels(work.loud()).values()) == {"-1", "1"}


@cases.accepted("L21", "classes that look alike", warns=["L21"])
def _(work):
    names = ["Cat", "cat", "cat ", "cat\xa0", "caf\xe9", "cafe\u0301"]
    work.write("labels.csv", "id,label\n" + "".join(f"{row},{name}\n" for row, name in enumerate(names)))
    found = work.labels(work.loud(work.propagate("embeddings.npy", "--n-neighbors", 25)))
    assert [found[str(row)] for row in range(6)] == names
    assert "2 such rows" in str(work.caught[0].message)


@cases.refused("L22", "a label of 2.5", place="row 3: 2.5")
def _(work):
    work.table(label=[1.0, 2.0, 2.5] + [None] * 27)
    return work.propagate("rows.parquet", labels=None)


@cases.refused("L22", "a continuous y", place="2.5")
def _(work):
    return lambda: LabelPropagationClassifier(5).fit(work.rows, [1.0, 2.5] + [-1.0] * 28)


@cases.accepted("L22", "whole floats, and True and False as text")
def _(work):
    work.table(label=[1.0 if row == 0 else 2.0 if row == 10 else 3.0 if row == 20 else None for row in range(30)])
    assert set(work.labels(work.propagate("rows.parquet", labels=None)).values()) == {"1", "2", "3"}
    work.write("labels.csv", labelled("True", "False", "1.0"))
    assert set(work.labels(out="again.csv").values()) == {"True", "False", "1.0"}


for name, y, place in (
    ("y shorter than X", [0, 1], "2 labels for 30 rows"),
    ("y of two dimensions", np.zeros((30, 2), int), "(30, 2)"),
    ("y of lists", [[0, 1]] * 30, "(30, 2)"),
    ("y of ragged lists", [[0, 1], [0]] * 15, "one label for each row"),
):

    @cases.refused("L23", name, place=place)
    def _(work, y=y):
        return lambda: LabelPropagationClassifier(5).fit(work.rows, y)


@cases.refused(
    "L23", "labels of another number than rows", place="labels have shape (2,), and there are 30 descriptors"
)
def _(work):
    return lambda: propagate(work.rows, np.zeros(2, int))


@cases.refused("L24", "more classes than memory holds", code="G21", status=4, place="there are 1.0 GiB at wide.npy")
def _(work):
    np.save("wide.npy", np.zeros((20_000, 2), np.float32))
    work.write("labels.csv", "id,label\n" + "".join(f"{row},{row}\n" for row in range(20_000)))
    assert estimate(20_000, 2, 2, GraphSettings(n_neighbors=5)).bytes < 2**29  # it is the classes
    return work.propagate("wide.npy", "--memory-limit", "1")


@cases.refused("L24", "a million classes of which one is labelled", code="L18", place="999999 other classes")
def _(work):
    codes = np.full(30, -1)
    codes[0] = 10**6
    return lambda: propagate(work.rows, codes)


@cases.accepted("L26", "labels that a spreadsheet takes for formulas")
def _(work):
    work.write("labels.csv", 'id,label\n0,=1+1\n10,@SUM(A1)\n20,"-2\t"\n')
    assert set(work.labels().values()) == {"=1+1", "@SUM(A1)", "-2\t"}
    safe = work.labels(work.propagate("embeddings.npy", "--excel-safe", out="safe.csv"), out="safe.csv")
    assert set(safe.values()) == {"'=1+1", "'@SUM(A1)", "'-2\t"}


@cases.accepted("L27", "class names that are paths, markup, long, emoji or right to left")
def _(work):
    names = ["../..", "a/b", "<script>alert(1)</script>", "x" * 10_000, "\U0001f41c", "\u05d0\u05d1"]
    work.write("labels.csv", "id,label\n" + "".join(f"{row},{name}\n" for row, name in enumerate(names)))
    found = work.labels()
    assert [found[str(row)] for row in range(6)] == names
    assert {name.split("/")[0] for name in work.new} == {"o.csv", "o-run"}
    page = report_html(["o-run"])
    assert "<script>alert" not in page
    assert "x" * 1000 not in page


@cases.refused("L28", "a gzip archive", place="a gzip archive; expected CSV, Parquet, Arrow or JSON at labels.csv")
def _(work):
    work.write("labels.csv", gzip.compress(b"id,label\n0,ant\n"))
    return work.propagate()


@cases.refused("L28", "a zip archive", place="a zip archive")
def _(work):
    with zipfile.ZipFile("labels.csv", "w") as archive:
        archive.writestr("labels.csv", "id,label\n0,ant\n")
    return work.propagate()


@cases.refused("L28", "a folder", place="a folder")
def _(work):
    work.write("folder/labels.csv", "id,label\n0,ant\n")
    return work.propagate(labels="folder")


@cases.refused("L29", "a file of one endless line", place="labels.csv:1")
def _(work):
    work.write("labels.csv", b"a" * (64 << 20))

    def read():
        tracemalloc.start()
        try:
            read_labels("labels.csv")
        finally:
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            assert peak < 16 << 20

    return read
