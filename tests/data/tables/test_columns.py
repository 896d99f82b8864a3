"""Which rows and columns of a table are meant: by what the file declares and by stated rules, never by accident."""

from __future__ import annotations

import json
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest

from fewlabels.data.tables.columns import Columns
from fewlabels.data.tables.embeddings import open_embeddings
from fewlabels.errors import ConfigError, EmbeddingError, InputWarning

VALUES = np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32)
KEYS = [14, 11, 10, 13, 12, 15]
WIDE = {f"f{i}": VALUES[:, i] for i in range(3)}


def written(tmp_path, table, name="x.parquet"):
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table if isinstance(table, pa.Table) else pa.table(table), path)
    return path


def frame(**columns):
    return pd.DataFrame({"embedding": list(VALUES)} | columns)


def ids_of(path, **asked):
    return open_embeddings(path, Columns(**asked)).ids.to_pylist()


TEXT_KEYS = [str(key) for key in KEYS]
COUNTED = [str(row) for row in range(6)]


@pytest.mark.parametrize(
    ("kind", "index", "expected"),
    [
        ("shuffled", pd.Index(KEYS), TEXT_KEYS),
        ("named", pd.Index(KEYS, name="sample_id"), TEXT_KEYS),
        ("text", pd.Index([f"p{key}" for key in KEYS]), [f"p{key}" for key in KEYS]),
        ("whole floats", pd.Index(np.array(KEYS, float)), TEXT_KEYS),
        ("range from 100", pd.RangeIndex(100, 106), [str(row) for row in range(100, 106)]),
        ("range of steps", pd.RangeIndex(0, 12, 2), ["0", "2", "4", "6", "8", "10"]),
        ("range backwards", pd.RangeIndex(5, -1, -1), ["5", "4", "3", "2", "1", "0"]),
        ("range from 0", pd.RangeIndex(6), COUNTED),
    ],
)
def test_the_index_that_pandas_declares_is_the_ids(tmp_path, kind, index, expected):
    frame().set_index(index).to_parquet(tmp_path / "x.parquet")
    found = open_embeddings(tmp_path / "x.parquet")
    assert found.ids.to_pylist() == expected
    assert found.named.doubt is None
    wide = pd.DataFrame(WIDE).set_index(index)
    wide.to_parquet(tmp_path / "wide.parquet")
    found = open_embeddings(tmp_path / "wide.parquet")
    assert (found.ids.to_pylist(), found.number_columns) == (expected, ["f0", "f1", "f2"])
    np.testing.assert_array_equal(found.read(), VALUES)


def test_the_index_is_found_in_feather_too(tmp_path):
    pa.feather.write_feather(pa.Table.from_pandas(frame().set_index(pd.Index(KEYS))), str(tmp_path / "x.feather"))
    assert ids_of(tmp_path / "x.feather") == TEXT_KEYS


@pytest.mark.parametrize(
    "name", ["id", "ID", "Id", "file_name", "__index_level_0__", "Unnamed: 0", "", "index", "rowid"]
)
def test_a_column_called_so_is_the_ids_and_never_a_feature(tmp_path, name):
    found = open_embeddings(written(tmp_path, {name: KEYS} | WIDE))
    assert (found.ids.to_pylist(), found.number_columns) == (TEXT_KEYS, ["f0", "f1", "f2"])


def test_the_column_id_goes_before_a_declared_index(tmp_path):
    frame(id=list("abcdef")).set_index(pd.Index(KEYS)).to_parquet(tmp_path / "x.parquet")
    assert ids_of(tmp_path / "x.parquet") == list("abcdef")


def test_two_spellings_of_id_are_refused(tmp_path):
    path = written(tmp_path, {"ID": KEYS, "Id": KEYS} | WIDE)
    with pytest.raises(EmbeddingError, match=r"FL-E31 2 columns named id: ID, Id.*--id-column"):
        open_embeddings(path)
    assert ids_of(path, id="Id") == TEXT_KEYS


def doubtful(path):
    found = open_embeddings(path)
    assert found.ids.to_pylist() == [str(row) for row in range(found.shape[0])]
    assert found.named.doubt is not None
    assert "--number-rows-from 0" in str(found.named.doubt)
    return str(found.named.doubt)


@pytest.mark.parametrize(
    "name", ["image_id", "sampleId", "ImageID", "uuid", "key", "file_path", "filename", "id_image"]
)
def test_row_numbers_beside_a_column_that_looks_like_ids_are_a_doubt(tmp_path, name):
    path = written(tmp_path, {name: KEYS, "embedding": list(VALUES)})
    assert f"'{name}' may be the ids" in doubtful(path)
    assert ids_of(path, id=name) == TEXT_KEYS
    found = open_embeddings(path, Columns(rows_from=0))
    assert (found.ids.to_pylist(), found.named.doubt) == (COUNTED, None)


def test_a_column_that_counts_the_rows_is_no_doubt(tmp_path):
    found = open_embeddings(written(tmp_path, {"image_id": range(6), "embedding": list(VALUES)}))
    assert (found.ids.to_pylist(), found.named.doubt) == (COUNTED, None)


def test_an_index_by_its_name_beside_a_column_of_ids_is_a_doubt(tmp_path):
    path = written(tmp_path, {"Unnamed: 0": KEYS, "image_id": KEYS[::-1]} | WIDE)
    assert "'image_id' beside the index 'Unnamed: 0' may be the ids" in doubtful(path)
    assert open_embeddings(path).number_columns == ["f0", "f1", "f2"]
    assert ids_of(path, id="Unnamed: 0") == TEXT_KEYS


def test_an_index_of_two_levels_or_with_repeats_is_a_doubt(tmp_path):
    pairs = pd.MultiIndex.from_product([["a", "b"], [1, 2, 3]], names=["site", "number"])
    frame().set_index(pairs).to_parquet(tmp_path / "x.parquet")
    assert "the table's index has 2 columns: site, number" in doubtful(tmp_path / "x.parquet")
    frame().set_index(pd.Index([0, 1, 2] * 2)).to_parquet(tmp_path / "y.parquet")
    assert "ids that occur twice" in doubtful(tmp_path / "y.parquet")


def test_an_index_of_other_rows_than_the_file_has_is_a_doubt(tmp_path):
    table = pa.Table.from_pandas(frame())
    assert "an index of another number of rows" in doubtful(written(tmp_path, table.slice(2, 3)))


def test_ranges_of_parts_are_followed_where_they_do_not_overlap(tmp_path):
    for name, parts in (("counted", (0, 3)), ("apart", (10, 20)), ("again", (0, 0)), ("over", (0, 2))):
        for number, start in enumerate(parts):
            part = frame().iloc[3 * number : 3 * number + 3].set_index(pd.RangeIndex(start, start + 3))
            (tmp_path / name).mkdir(exist_ok=True)
            part.to_parquet(tmp_path / name / f"part.{number}.parquet")
    assert ids_of(tmp_path / "counted") == ids_of(tmp_path / "again") == COUNTED
    assert ids_of(tmp_path / "apart") == ["10", "11", "12", "20", "21", "22"]
    assert "overlap" in doubtful(tmp_path / "over")


@pytest.mark.parametrize(
    "metadata", [b"{", b"[]", b"null", b'{"index_columns": 3}', b'{"index_columns": [{"kind": "range"}]}']
)
def test_metadata_that_mean_nothing_are_passed_over(tmp_path, metadata):
    table = pa.table({"embedding": list(VALUES)}).replace_schema_metadata({"pandas": metadata})
    assert ids_of(written(tmp_path, table)) == COUNTED


@pytest.mark.parametrize(
    "ids",
    [
        pa.array([bytes.fromhex(f"{key:032x}") for key in KEYS], pa.uuid()),
        pa.array([f"00000000-0000-0000-0000-{key:012x}" for key in KEYS]),
        pa.array([f"00000000-0000-0000-0000-{key:012x}".encode() for key in KEYS]),
    ],
)
def test_uuids_are_ids_in_their_usual_form(tmp_path, ids):
    path = written(tmp_path, {"id": ids, "embedding": list(VALUES)})
    assert ids_of(path)[0] == "00000000-0000-0000-0000-00000000000e"


@pytest.mark.parametrize(
    "ids",
    [
        pa.array([1.5] * 6),
        pa.array([bytes([255, key]) for key in KEYS]),
        pa.array([True] * 6),
        pa.array(range(6), pa.timestamp("s")),
    ],
)
def test_what_cannot_be_an_id_is_refused_with_what_to_do(tmp_path, ids):
    with pytest.raises(EmbeddingError, match=r"FL-E21 ids of type .*write the ids as text"):
        open_embeddings(written(tmp_path, {"id": ids, "embedding": list(VALUES)}))


def left_out(path, **asked):
    return dict(open_embeddings(path, Columns(**asked)).features.left_out)


def test_truths_and_decimals_are_numbers(tmp_path):
    more = {"yes": [True, False] * 3, "price": [Decimal("1.50")] * 6, "half": VALUES[:, 0].astype(np.float16)}
    found = open_embeddings(written(tmp_path, WIDE | more))
    values = found.read()
    assert found.number_columns == ["f0", "f1", "f2", "yes", "price", "half"]
    assert values.dtype == np.float64
    assert values[:, 3].tolist() == [1, 0] * 3
    assert (values[:, 4] == 1.5).all()


def test_missing_truths_and_decimals_are_missing_numbers(tmp_path):
    path = written(tmp_path, WIDE | {"yes": [True, None] * 3})
    with pytest.raises(EmbeddingError, match="FL-E17 missing numbers"):
        open_embeddings(path).read()
    assert np.isnan(open_embeddings(path).read(keep_bad_rows=True)[1, 3])


@pytest.mark.parametrize(
    ("name", "cells", "why"),
    [
        ("note", list("abcdef"), "text, shown in review"),
        ("kind", pd.Categorical(list("ababab")), "text, shown in review"),
        ("when", pa.array(range(6), pa.timestamp("ms")), "timestamp[ms]"),
        ("tags", [["a"]] * 6, "list<element: string>"),
        ("bytes", [b"a", b"bc"] * 3, "bytes"),
        ("nothing", pa.nulls(6), "empty"),
        ("user_id", [1, 1, 2, 2, 3, 3], "called like an id"),
        ("index", KEYS[::-1], "numbers the rows"),
        ("count", range(7, 13), "numbers the rows"),
        ("__null_dask_index__", KEYS, "an index"),
        ("Unnamed: 0.1", KEYS, "an index"),
        ("level_0", KEYS, "an index"),
        ("target", [0, 1] * 3, "called like a label; --feature-columns takes it"),
        ("Class", [0, 1] * 3, "called like a label; --feature-columns takes it"),
        ("y", [0, 1] * 3, "called like a label; --feature-columns takes it"),
    ],
)
def test_what_is_no_feature_is_said_with_its_reason(tmp_path, name, cells, why):
    cells = pa.array(cells) if not isinstance(cells, pa.Array) else cells
    path = written(tmp_path, {"id": list("abcdef")} | WIDE | {name: cells})
    assert left_out(path) == {name: why}
    lines = open_embeddings(path).describe("labels.csv")
    assert lines == [
        "features: 3 numbers in each row: f0, f1, f2; ids: the column 'id'; labels: labels.csv",
        f"not used: {name} ({why})",
    ]


@pytest.mark.parametrize("name", ["a", "amount", "glycemic_index", "humid", "grid", "valid", "keys"])
def test_numbers_that_only_resemble_are_features(tmp_path, name):
    path = written(tmp_path, {"id": list("abcdef")} | WIDE | {name: [3, 3, 1, 2, 5, 5]})
    assert left_out(path) == {}


MANY = np.random.default_rng(1).normal(size=(40, 2)).astype(np.float32)
SHUFFLED = np.random.default_rng(2).permutation(40)


@pytest.mark.parametrize("cells", [SHUFFLED, SHUFFLED + 100, np.arange(1, 41), np.arange(40)[::-1]])
def test_consecutive_numbers_in_any_order_are_ids_and_no_feature_whatever_they_are_called(tmp_path, cells):
    path = written(tmp_path, {"a": MANY[:, 0], "b": MANY[:, 1], "customer_no": cells})
    assert open_embeddings(path).number_columns == ["a", "b"]
    assert "'customer_no' may be the ids" in doubtful(path)
    assert ids_of(path, id="customer_no") == [str(cell) for cell in cells]


def test_ranks_are_features(tmp_path):
    found = open_embeddings(written(tmp_path, {"a": SHUFFLED, "b": SHUFFLED[::-1]}))
    assert (found.number_columns, found.named.doubt) == (["a", "b"], None)


def test_a_column_of_unique_codes_is_a_doubt_and_one_of_texts_is_none(tmp_path):
    path = written(tmp_path, {"sample": list("abcdef"), "embedding": list(VALUES)})
    assert "'sample' may be the ids" in doubtful(path)
    path = written(tmp_path, {"text": [f"the {c}" for c in "abcdef"], "embedding": list(VALUES)})
    assert open_embeddings(path).named.doubt is None


def test_y_beside_x_is_a_coordinate(tmp_path):
    path = written(tmp_path, {"x": VALUES[:, 0], "y": VALUES[:, 1]})
    assert open_embeddings(path).number_columns == ["x", "y"]


@pytest.mark.parametrize(
    ("cells", "what"),
    [
        ([str(row.tolist()) for row in VALUES], "vectors"),
        (["0.1 0.2 0.3"] * 6, "vectors"),
        (["0.1,0.2;0.3"] * 6, "vectors"),
        (["1,5", "2,75", "", None, "1.234,5", "7"], "numbers"),
        (["1", "2.5e-3", "-3", "x", "4 %", "1'000.5"], "numbers"),
        ([bytes(64)] * 6, "bytes, 64 in each row"),
    ],
)
def test_text_that_holds_numbers_or_vectors_is_refused_with_the_option(tmp_path, cells, what):
    path = written(tmp_path, WIDE | {"packed": cells})
    with pytest.raises(EmbeddingError, match=f"FL-E37 .*{what}.*--ignore-columns 'packed'"):
        open_embeddings(path)
    assert left_out(path, ignore=["packed"]) == {"packed": "--ignore-columns"}
    assert open_embeddings(path, Columns(features=["f*"])).number_columns == ["f0", "f1", "f2"]


@pytest.mark.parametrize("kind", [pa.list_view(pa.float32()), pa.large_list_view(pa.float32())])
def test_list_views_are_refused(tmp_path, kind):
    table = pa.table(WIDE | {"vector": pa.array(VALUES.tolist(), kind)})
    with pa.ipc.new_file(tmp_path / "x.arrow", table.schema) as file:
        file.write_table(table)
    with pytest.raises(EmbeddingError, match=r"FL-E31 .*'vector' holds .*list_view"):
        open_embeddings(tmp_path / "x.arrow")


def test_features_are_chosen_by_names_and_patterns(tmp_path):
    path = written(tmp_path, {"id": KEYS, "label": [0] * 6, "target": VALUES[:, 0]} | WIDE | {"g[0]": VALUES[:, 1]})
    assert open_embeddings(path, Columns(features=["f*", "target"])).number_columns == ["target", "f0", "f1", "f2"]
    assert open_embeddings(path, Columns(features=["g[0]"])).number_columns == ["g[0]"]
    assert open_embeddings(path, Columns(features=["f0,f2"])).number_columns == ["f0", "f2"]
    found = open_embeddings(path, Columns(features=["*"], ignore=["g*", "f1"]))
    assert found.number_columns == ["target", "f0", "f2"]
    assert found.label == "label"
    np.testing.assert_array_equal(open_embeddings(path, Columns(features=["f*"])).read(), VALUES)


@pytest.mark.parametrize(
    ("asked", "code", "what"),
    [
        ({"features": ["q*"]}, "E31", "no column 'q\\*' of --feature-columns"),
        ({"ignore": ["q"]}, "E31", "no column 'q' of --ignore-columns"),
        ({"features": ["note"]}, "E10", "features of type string; expected numbers"),
        ({"features": ["f0"], "ignore": ["f*"]}, "E31", "no column is left of --feature-columns"),
    ],
)
def test_refuses_columns_that_cannot_be_features(tmp_path, asked, code, what):
    path = written(tmp_path, WIDE | {"note": list("abcdef")})
    with pytest.raises(EmbeddingError, match=f"FL-{code} {what}"):
        open_embeddings(path, Columns(**asked))


def test_columns_of_an_array_are_refused(tmp_path):
    np.save(tmp_path / "x.npy", VALUES)
    with pytest.raises(ConfigError, match="FL-C41"):
        open_embeddings(tmp_path / "x.npy", Columns(features=["f*"]))


def test_columns_beside_the_embedding_are_said_to_be_unused(tmp_path):
    path = written(tmp_path, {"id": KEYS, "Embedding": list(VALUES), "width": KEYS, "label": list("abcabc")})
    found = open_embeddings(path)
    assert found.describe("labels.csv") == [
        "features: the column 'Embedding', lists of 3; ids: the column 'id'; labels: labels.csv",
        "not used: width (beside 'Embedding'); label (the label column; labels are those of labels.csv)",
    ]


def test_a_run_of_an_earlier_version_is_opened_by_the_rules_of_its_time(tmp_path):
    pd.DataFrame(WIDE | {"target": [0] * 6, "yes": [True] * 6}).set_index(pd.Index(KEYS)).to_parquet(
        tmp_path / "x.parquet"
    )
    found = open_embeddings(
        tmp_path / "x.parquet", Columns.of_run({"id": "id", "embedding": "embedding", "label": "label"})
    )
    assert (found.ids.to_pylist(), found.number_columns) == (COUNTED, ["f0", "f1", "f2", "target"])


def test_columns_come_back_from_a_run_as_they_were_asked_for():
    from dataclasses import asdict

    asked = Columns("key", features=["f*"], ignore=["g"], rows_from=1)
    assert Columns.of_run(json.loads(json.dumps(asdict(asked)))) == asked
    assert Columns(ignore=["g*"], rows_from=0).words() == ["--number-rows-from", "0", "--ignore-columns", "g*"]


def test_parts_are_read_in_the_order_of_their_numbers(tmp_path):
    for part in range(12):
        written(tmp_path, {"embedding": [[float(part)]]}, f"part.{part}.parquet")
    assert open_embeddings(tmp_path).read().ravel().tolist() == list(range(12))


@pytest.mark.parametrize("ending", [".pq", ".parq", ".PARQUET"])
def test_other_endings_of_parquet_are_parts_too(tmp_path, ending):
    for part in range(2):
        written(tmp_path, {"embedding": [[float(part)]]}, f"part-{part:05}-c000.snappy{ending}")
    assert open_embeddings(tmp_path).shape == (2, 1)


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("sub/part.1.parquet", "parts in sub-folders at .*sub/part.1.parquet"),
        ("label=ant/part.1.parquet", "'label=ant' is no column"),
        ("a/b/c.arrow", "parts in sub-folders"),
    ],
)
@pytest.mark.parametrize("beside", [True, False])
def test_parts_in_sub_folders_are_named_and_not_skipped(tmp_path, name, what, beside):
    if beside:
        written(tmp_path, {"embedding": list(VALUES)}, "part.0.parquet")
    written(tmp_path, {"embedding": list(VALUES)}, name)
    with pytest.raises(EmbeddingError, match=f"FL-E36 .*{what}"):
        open_embeddings(tmp_path)


def test_a_delta_table_is_refused(tmp_path):
    written(tmp_path, {"embedding": list(VALUES)}, "part.0.parquet")
    (tmp_path / "_delta_log").mkdir()
    with pytest.raises(EmbeddingError, match="FL-E36 a Delta table"):
        open_embeddings(tmp_path)


def test_files_that_may_be_parts_and_are_not_read_are_told(tmp_path):
    for name in ("part.0.parquet", "part.1.parquet.bak", "part.2"):
        written(tmp_path, {"embedding": list(VALUES)}, name)
    np.save(tmp_path / "x.npy", VALUES)
    (tmp_path / "README.md").write_text("x")
    with pytest.warns(
        InputWarning, match=r"FL-E36 files that are not read .* 3 such rows \(part.1.parquet.bak, part.2, x.npy\)"
    ):
        assert open_embeddings(tmp_path).shape == (6, 3)


def test_the_usual_width_is_that_of_most_rows_and_not_of_the_first(tmp_path):
    for odd in ([], [1.0], None):
        rows = [odd, *VALUES.tolist()[1:]]
        path = written(tmp_path, {"embedding": pa.array(rows, pa.list_(pa.float32()))})
        with pytest.raises(EmbeddingError) as caught:
            open_embeddings(path).read()
        assert (caught.value.code, caught.value.rows) == ("FL-E17", ["0"])


@pytest.mark.parametrize("cells", [["x" * 300_000] * 2000, ["x" * 100_000] * 20_000])
@pytest.mark.parametrize("name", ["id", "label"])
def test_a_small_file_that_unpacks_to_gigabytes_is_refused_in_little_memory(tmp_path, cells, name):
    columns = {"id": [str(row) for row in range(len(cells))], "embedding": [[1.0]] * len(cells)}
    packed = pa.DictionaryArray.from_arrays(pa.array(np.zeros(len(cells), np.int32)), pa.array(cells[:1]))
    table = pa.table(columns | {name: packed.cast(pa.dictionary(pa.int32(), pa.string()))})
    path = tmp_path / "x.parquet"
    pq.write_table(table, path)
    usual = pa.default_memory_pool()
    pool = pa.proxy_memory_pool(usual)  # counts from here on, whatever this process held before
    pa.set_memory_pool(pool)
    try:
        with pytest.raises(EmbeddingError, match="FL-E38"):
            open_embeddings(path).names()
    finally:
        pa.set_memory_pool(usual)
    assert pool.bytes_allocated() < 64 << 20
    assert 0 < pool.max_memory() < 2 << 30


LARGE = [2**60 + 17 * row for row in KEYS]


def test_whole_numbers_that_no_float_holds_are_no_feature_and_may_be_ids(tmp_path):
    path = written(tmp_path, WIDE | {"tweet": LARGE})
    found = open_embeddings(path)
    assert found.number_columns == ["f0", "f1", "f2"]
    assert found.facts()["left_out"] == {"tweet": "whole numbers beyond 2^53, which no float holds"}
    assert "'tweet' may be the ids" in str(found.named.doubt)
    assert ids_of(path, id="tweet") == list(map(str, LARGE))
    with pytest.raises(EmbeddingError, match="FL-E10 whole numbers beyond 2"):
        open_embeddings(path, Columns(features=("f0", "tweet")))


def test_a_column_of_uuids_may_be_the_ids_whatever_it_is_called(tmp_path):
    uuids = pa.ExtensionArray.from_storage(pa.uuid(), pa.array([bytes([row] * 16) for row in range(6)], pa.binary(16)))
    found = open_embeddings(written(tmp_path, WIDE | {"u": uuids}))
    assert "'u' may be the ids" in str(found.named.doubt)


@pytest.mark.parametrize("name", ["y_true", "true_label", "class_idx", "Label_Code", "gtClass", "target_encoded"])
def test_numbers_that_are_called_like_labels_in_more_words_are_no_features(tmp_path, name):
    found = open_embeddings(written(tmp_path, WIDE | {name: [0, 1, 0, 1, 1, 0]}))
    assert found.number_columns == ["f0", "f1", "f2"]
    assert found.facts()["left_out"] == {name: "called like a label; --feature-columns takes it"}


@pytest.mark.parametrize("name", ["classy", "target_distance", "label_length", "y", "subclassed"])
def test_other_names_with_such_a_word_in_them_are_features(tmp_path, name):
    more = {"x": np.ones(6)} if name == "y" else {}
    assert name in open_embeddings(written(tmp_path, WIDE | more | {name: [0.0, 1, 0, 1, 1, 0]})).number_columns


@pytest.mark.parametrize("is_packed", [False, True])
def test_views_of_text_beside_embeddings_are_read_in_arrow_files(tmp_path, is_packed):
    texts = pa.array(["wren", None, "gull", "wren", None, "a b"], pa.string_view())
    if is_packed:
        texts = pa.DictionaryArray.from_arrays(
            pa.array([0, None, 1, 0, None, 1]), pa.array(["a", "b"], pa.string_view())
        )
    table = pa.table({"embedding": list(VALUES), "label": texts, "note": texts})
    with pa.ipc.new_file(tmp_path / "x.arrow", table.schema) as file:
        file.write(table)
    found = open_embeddings(tmp_path / "x.arrow")
    assert found.names().null_count == 2
    np.testing.assert_array_equal(found.read(), VALUES)
