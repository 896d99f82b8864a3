"""L: label files, as text and as tables of rows."""

from fewlabels.data.labels.csv import LabelOptions
from fewlabels.data.labels.files import read_labels
from tests.faults.catalogue import Family, notes, rows_of

CASES = cases = Family()
CLASSES = {str(row): ("ant", "bee", "cat")[row // 10] for row in range(30)}
IDS = [f"{row:023}" for row in range(30)]


def labelled(*cells):
    return "id,label\n" + "".join(f"{row},{cell}\n" for row, cell in zip((0, 10, 20), cells, strict=True))


@cases.accepted("L1", "words for no label", warns=["L45"])
def _(work):
    words = ("NA", "None", "null", "nan", "NaN", "<NA>", "N/A", "#N/A", "\\N", "-1", "-1.0", "b''", "NULL", "")
    marked = "".join(f"{row},{word}\n" for row, word in zip((*range(1, 10), *range(11, 16)), words, strict=True))
    work.write("labels.csv", labelled("ant", "bee", "cat") + marked)
    assert work.labels(work.loud()) == CLASSES
    told = str(work.caught[0].message)
    assert all(f"{word!r} (1)" in told for word in words if word)
    assert [line[0] for line in notes()] == ["L45"] * 13


@cases.accepted("L1", "classes named NA, None, null and nan")
def _(work):
    work.write("labels.csv", "id,label\n0,NA\n1,None\n10,null\n20,nan\n21,\n")
    real = [word for name in ("NA", "None", "null", "nan") for word in ("--real-label", name)]
    found = work.labels(work.propagate("embeddings.npy", *real))
    assert set(found.values()) == {"NA", "None", "null", "nan"}
    assert [found[id] for id in ("0", "1", "10", "20", "21")] == ["NA", "None", "null", "nan", "nan"]


for word in ("unknown", "Unlabeled", "?", "-", "none"):

    @cases.refused(
        "L1", f"{word!r}, which may be a class or mean no label", code="L46", place=f"--no-label '{word}' if it means"
    )
    def _(work, word=word):
        work.write("labels.csv", labelled("ant", "bee", "cat") + f"1,{word}\n2,{word}\n")
        return work.propagate()

    @cases.accepted("L1", f"{word!r} that is settled")
    def _(work, word=word):
        work.write("labels.csv", labelled("ant", "bee", "cat") + f"1,{word}\n2,{word}\n")
        assert work.labels(work.propagate("embeddings.npy", "--no-label", word)) == CLASSES
        found = work.labels(work.propagate("embeddings.npy", "--real-label", word, out="real.csv"), "real.csv")
        assert found["1"] == word


@cases.refused("L1", "a word that is both", code="C20", place="'x' is no label and a class")
def _(work):
    return work.propagate("embeddings.npy", "--no-label", "x", "--real-label", "x")


for several in (
    "ant;bee",
    "ant|dog",
    '"[""ant"", ""bee""]"',
    "\"['ant', 'bee']\"",
    '"{""choices"": [""ant"", ""bee""]}"',
):

    @cases.refused("L19", f"several labels in one cell, {several}", code="L44", place="a row has one label")
    def _(work, several=several):
        work.write("labels.csv", labelled("ant", "bee", "cat") + f"1,{several}\n")
        return work.propagate()


@cases.accepted("L19", "lists of one label or none")
def _(work):
    work.write("labels.csv", 'id,label\n0,"[""ant""]"\n10,"[\'bee\']"\n20,"{""choices"": [""cat""]}"\n21,[]\n')
    assert work.labels() == CLASSES


@cases.accepted("L22", "1 and 1.0 are one class", warns=["L47"])
def _(work):
    work.write("labels.csv", "id,label\n0,1.0\n1,1\n10,2\n20,3.00\n")
    assert set(work.labels(work.loud()).values()) == {"1", "2", "3"}


for name, text in (
    ("records", '[{"id": 0, "label": "ant"}, {"id": 10, "label": "bee"}, {"id": 20.0, "label": "cat"}, {"id": 2}]'),
    ("lines", '{"id": "0", "label": "ant"}\n{"id": "10", "label": "bee"}\n\n{"id": "20", "label": "cat"}\n'),
    ("columns", '{"id": ["0", "10", "20"], "label": ["ant", "bee", "cat"]}'),
    ("pandas' columns", '{"label": {"0": "ant", "10": "bee", "20": "cat"}}'),
    ("pandas' split", '{"columns": ["label"], "index": [0, 10, 20], "data": [["ant"], ["bee"], ["cat"]]}'),
    ("a mapping", '{"0": "ant", "10": "bee", "20": "cat"}'),
    (
        "file names",
        '{"file_name": "0", "label": "ant"}\n{"file_name": "10", "label": "bee"}\n{"file_name": "20", "label": "cat"}',
    ),
):

    @cases.accepted("L28", f"JSON: {name}")
    def _(work, text=text):
        work.write("labels.json", text)
        assert work.labels(work.propagate(labels="labels.json")) == CLASSES


@cases.accepted("L2", "ids with leading zeros, exponents and points")
def _(work):
    ids = ["007", "7", "1e5", "100000", "1.0", "1", *map(str, range(50, 74))]
    work.table(id=ids)
    work.write("labels.csv", "id,label\n007,ant\n1e5,bee\n1.0,cat\n")
    found = read_labels("labels.csv")
    assert found.ids == ["007", "1e5", "1.0"]
    table = work.labels(work.propagate("rows.parquet"))
    assert list(table) == ids
    assert [table[id] for id in found.ids] == ["ant", "bee", "cat"]


@cases.accepted("L3", "ids of 23 digits")
def _(work):
    work.table(id=IDS)
    work.write("labels.csv", f"id,label\n{IDS[0]},ant\n{IDS[10]},bee\n{IDS[20]},cat\n")
    table = work.labels(work.propagate("rows.parquet"))
    assert list(table) == IDS
    assert table[IDS[10]] == "bee"


@cases.refused(
    "L4", "every row has one more field", place="a row with 3 fields, while the header has 2 at labels.csv:2"
)
def _(work):
    work.write("labels.csv", "id,label\n0,ant,x\n10,bee,y\n")
    return work.propagate()


for row, fields in (("10,bee,x", "3 fields"), ("10", "1 field")):

    @cases.refused("L5", f"one row has {fields}", place=f"a row with {fields}, while the header has 2 at labels.csv:3")
    def _(work, row=row):
        work.write("labels.csv", f"id,label\n0,ant\n{row}\n20,cat\n")
        return work.propagate()


@cases.accepted("L5", "rows of another width that are to be skipped", warns=["L5"])
def _(work):
    work.write("labels.csv", "id,label\n0,bee,x\n0,ant\n10,bee\n20\n20,cat\n")
    found = work.labels(work.loud([*work.propagate(), "--skip-bad-rows"]))
    assert [found[id] for id in ("0", "10", "20")] == ["ant", "bee", "cat"]
    assert str(work.caught[0].message).endswith("labels.csv: 2 such rows (line 2 with id '0', line 5 with id '20')")
    reasons = [f"a row with {fields}, while the header has 2" for fields in ("3 fields", "1 field")]
    assert notes() == [
        ["L5", "labels.csv", line, id, why] for line, id, why in zip("25", ("0", "20"), reasons, strict=True)
    ]


@cases.accepted("L5", "a skipped row of labels by position keeps its place", warns=["G1", "L5"])
def _(work):
    lines = ["x,label", *("r,ant" if row == 0 else "r,bee" if row == 10 else "r," for row in range(30))]
    lines[21] = "r,cat,cat"
    work.write("labels.csv", "\n".join(lines))
    words = work.propagate("embeddings.npy", "--labels-by-position", "--skip-bad-rows")
    found = work.labels(work.loud(words))
    assert (len(found), found["0"], found["10"]) == (30, "ant", "bee")
    assert [line[:4] for line in notes()] == [["L5", "labels.csv", "22", ""]]


@cases.refused("L5", "every row is to be skipped", code="L11", place="no data rows that can be used at labels.csv")
def _(work):
    work.write("labels.csv", "id,label\n0\n10\n")
    return work.loud([*work.propagate(), "--skip-bad-rows"])


@cases.refused("L6", "a quote that is never closed", place="labels.csv:3")
def _(work):
    work.write("labels.csv", 'id,label\n0,ant\n10,"bee\n20,cat\n')
    return work.propagate()


@cases.accepted("L6", "a line end inside quotes")
def _(work):
    work.write("labels.csv", 'id,label\n0,"a\nt"\n10,bee\n20,cat\n')
    assert work.labels()["0"] == "a\nt"


for name, text in (
    ("CR", "id,label\r0,ant\r10,bee\r20,cat"),
    ("mixed", "id,label\r\n0,ant\n10,bee\r20,cat\r\n"),
):

    @cases.accepted("L6", f"{name} line ends")
    def _(work, text=text):
        work.write("labels.csv", text)
        assert set(work.labels().values()) == {"ant", "bee", "cat"}


@cases.accepted("L7", "a byte order mark")
def _(work):
    work.write("labels.csv", "\ufeff" + labelled("ant", "bee", "cat"))
    assert work.labels()["0"] == "ant"


@cases.refused(
    "L8", "UTF-16", place="not utf-8 at byte 0; it looks like UTF-16 at labels.csv:1; pass --encoding utf-16"
)
def _(work):
    work.write("labels.csv", labelled("ant", "bee", "cat").encode("utf-16"))
    return work.propagate()


@cases.refused("L8", "Latin-1", place="not utf-8 at byte 19; it looks like Latin-1 (Windows-1252) at labels.csv:3")
def _(work):
    work.write("labels.csv", labelled("ant", "b\xe9e", "cat").encode("latin-1"))
    return work.propagate()


@cases.accepted("L8", "Latin-1 that was named")
def _(work):
    work.write("labels.csv", labelled("ant", "b\xe9e", "cat").encode("latin-1"))
    assert work.labels(work.propagate("embeddings.npy", "--encoding", "latin-1"))["10"] == "b\xe9e"


for mark, words in ((";", "';'"), ("\t", "a tab")):

    @cases.refused("L9", f"cells between {words}", place=f"columns separated by {words}, not by ',' at labels.csv:1")
    def _(work, mark=mark):
        work.write("labels.csv", labelled("ant", "bee", "cat").replace(",", mark))
        return work.propagate()


@cases.accepted("L9", "a semicolon that was named")
def _(work):
    work.write("labels.csv", labelled("ant", "bee", "cat").replace(",", ";"))
    assert work.labels(work.propagate("embeddings.npy", "--delimiter", ";"))["0"] == "ant"


@cases.refused("L10", "a NUL character", place="labels.csv:3")
def _(work):
    work.write("labels.csv", "id,label\n0,ant\n10,b\0e\n")
    return work.propagate()


@cases.refused("L10", "control characters in what is shown", code="L14", place=r"'\x1b[31m\u202ebee' in line 3")
def _(work):
    work.write("labels.csv", "id,label\n0,ant\n10,\x1b[31m\u202ebee\n10,cat\n")
    return work.propagate()


for name, text, what in (
    ("0 bytes", "", "an empty file"),
    ("only a header", "id,label\n", "no data rows"),
    ("only blank lines", "\n\n  \n", "an empty file"),
):

    @cases.refused("L11", name, place=f"{what}")
    def _(work, text=text):
        work.write("labels.csv", text)
        return work.propagate()


@cases.accepted("L11", "blank lines between rows")
def _(work):
    work.write("labels.csv", "id,label\n\n0,ant\n  \n10,bee\n20,cat\n\n")
    assert work.labels()["20"] == "cat"


@cases.refused("L12", "two columns of one name", place="2 columns named 'label' at labels.csv:1")
def _(work):
    work.write("labels.csv", "id,label,label\n0,ant,bee\n")
    return work.propagate()


@cases.accepted("L13", "an id twice with one label", warns=["L13"])
def _(work):
    work.write("labels.csv", labelled("ant", "bee", "cat") + "0,ant\n0,ant\n")
    assert work.labels(work.loud())["0"] == "ant"
    assert "2 rows repeat an id with the same label" in str(work.caught[0].message)


@cases.refused("L14", "an id with two labels", place="labels.csv:5; 1 such row (0: 'ant' in line 2, 'bee' in line 5)")
def _(work):
    work.write("labels.csv", labelled("ant", "bee", "cat") + "0,bee\n")
    return work.propagate()


for rule, label, counts in (
    ("last", "bee", "the last row of each counts"),
    ("drop", None, "each stays without a label"),
):

    @cases.accepted("L14", f"an id with two labels: {rule}", warns=["L14"])
    def _(work, rule=rule, label=label, counts=counts):
        work.write("labels.csv", labelled("ant", "bee", "cat") + "1,ant\n2,ant\n1,bee\n")
        words = work.loud([*work.propagate(), "--on-conflict", rule])
        work.labels(words)
        given = {row["id"]: row["label"] for row in rows_of("o.csv") if row["source"] == "given"}
        assert given == {"0": "ant", "10": "bee", "20": "cat", "2": "ant"} | ({"1": label} if label else {})
        told = f"{counts}; 1 such row (1: 'ant' in line 5, 'bee' in line 7)"
        assert told in str(work.caught[0].message)
        why = "'bee' in line 7 counts" if rule == "last" else "the id has two labels, so it stays without"
        lost = [("5", "'ant'"), ("7", "'bee'")][: 1 if rule == "last" else 2]
        assert notes() == [["L14", "labels.csv", line, "1", f"{name}: {why}"] for line, name in lost]


@cases.accepted("L14", "the last row has no label", warns=["L14"])
def _(work):
    work.table("labels.parquet", id=["0", "10", "20", "0"], label=["ant", "bee", "cat", None], embedding=None)
    found = work.call(lambda: read_labels("labels.parquet", LabelOptions(on_conflict="last")))
    assert (found.ids, found.labels, found.lines) == (["0", "10", "20"], [None, "bee", "cat"], [4, 2, 3])
    assert found.left_out == [("L14", "labels.parquet", 1, "0", "'ant': no label in line 4 counts")]


@cases.refused("L14", "a rule that is none", code="C20", place="'first' is no way to treat it at on_conflict")
def _(work):
    return lambda: LabelOptions(on_conflict="first")


@cases.refused("L14", "a rule for labels by position", code="C41", place="drop --on-conflict")
def _(work):
    return work.propagate("embeddings.npy", "--labels-by-position", "--on-conflict", "last")


@cases.refused("L15", "an id that the data does not have", place="labels.csv:5; 1 such row (007)")
def _(work):
    work.write("labels.csv", labelled("ant", "bee", "cat") + "007,ant\n")
    return work.propagate()


@cases.accepted("L15", "an unknown id that is to be left out")
def _(work):
    work.write("labels.csv", labelled("ant", "bee", "cat") + "007,ant\n")
    assert "007" not in work.labels(work.propagate("embeddings.npy", "--ignore-unknown-ids"))
    assert notes() == [["L15", "labels.csv", "5", "007", "an id that is not in the data"]]
