"""Small files that unpack to gigabytes: refused before they are unpacked, within a limit of memory, by any reader."""

import json
import random
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq
import pytest

from fewlabels.data.tables.embeddings import open_embeddings
from fewlabels.data.tables.files import read_batches
from fewlabels.data.tables.ipc_sizes import measure_batches
from fewlabels.data.tables.limits import measure_texts
from fewlabels.data.tables.page_sizes import measure_pages
from fewlabels.errors import EmbeddingError, InputError
from tests.faults.lanes import SIZE, size

READ = """
import json, os, resource, sys
os.environ["OMP_NUM_THREADS"] = "1"
import pyarrow
pyarrow.set_cpu_count(1); pyarrow.set_io_thread_count(1)
from fewlabels.data.labels.by_position import read_labels_by_position
from fewlabels.data.labels.files import encode_column, read_labels
from fewlabels.data.tables.embeddings import open_embeddings
from fewlabels.errors import FewlabelsError
resource.setrlimit(resource.RLIMIT_AS, (3 << 30, resource.RLIM_INFINITY))

def embeddings(path):
    source = open_embeddings(path)
    if source.label is not None:
        source.names()
    source.read()

readers = {"embeddings": embeddings, "labels": read_labels, "positions": lambda path: read_labels_by_position(path, 5)}
try:
    readers[sys.argv[2]](sys.argv[1])
    said = "read"
except FewlabelsError as problem:
    said = str(problem)
most = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))  # ru_maxrss has the parent's
print(json.dumps([said, int(most.split()[1]) >> 10]))
"""


def read_within_three_gib(path: Path, reader: str) -> tuple[str, int]:
    """What a process with `ulimit -v` of 3 GiB says, and the most MiB that it held."""
    done = subprocess.run([sys.executable, "-c", READ, path, reader], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-800:]
    said, mib = json.loads(done.stdout)
    return said, mib


def write(path: Path, batches: list[pa.RecordBatch], codec: str = "zstd", stream: bool = False) -> Path:
    new = pa.ipc.new_stream if stream else pa.ipc.new_file
    with new(str(path), batches[0].schema, options=pa.ipc.IpcWriteOptions(compression=codec)) as writer:
        for batch in batches:
            writer.write_batch(batch)
    return path


def batch(**columns) -> pa.RecordBatch:
    return pa.record_batch({name: pa.array(values) for name, values in columns.items()})


def packed(text: str, count: int) -> pa.Array:
    return pa.DictionaryArray.from_arrays(pa.array(np.zeros(count, np.int32)), pa.array([text]))


def views(text: str, count: int) -> pa.Array:
    """Many rows that are one text, which is there once."""
    head = struct.pack("<i", len(text)) + text[:4].encode() + struct.pack("<ii", 0, 0)
    return pa.Array.from_buffers(
        pa.string_view(), count, [None, pa.py_buffer(head * count), pa.py_buffer(text.encode())]
    )


def runs(text: str, count: int) -> pa.Array:
    return pa.RunEndEncodedArray.from_arrays(pa.array([count], pa.int64()), pa.array([text]))


def texts(length: int, count: int) -> pa.Array:
    """So many texts of so many bytes, made without a Python object each."""
    offsets, letters = np.arange(count + 1, dtype=np.int64) * length, np.full(count * length, 105, np.uint8)
    return pa.Array.from_buffers(pa.large_string(), count, [None, pa.py_buffer(offsets), pa.py_buffer(letters)])


def lists(width: int, count: int) -> pa.Array:
    return pa.FixedSizeListArray.from_arrays(pa.array(np.zeros(count * width, np.float32)), width)


def with_ids(ids: pa.Array, **more: pa.Array) -> pa.RecordBatch:
    return batch(id=ids, label=["a"] * len(ids), embedding=[[1.0]] * len(ids), **more)


def rows_of_nothing() -> pa.RecordBatch:
    nothing = pa.Array.from_buffers(pa.null(), 2**31 - 1, [None])
    return pa.record_batch({"id": nothing, "label": nothing, "embedding": nothing})


def one_large_word() -> pa.Array:
    return pa.DictionaryArray.from_arrays(pa.array([0] * 5), texts(600 << 20, 1))


N = 12_000
BOMBS = {  # each unpacks to more than 512 MiB, most to 600, some to a gigabyte and more
    "texts": lambda: [with_ids(texts(50_000, N))],
    "dictionary": lambda: [with_ids(one_large_word())],
    "dictionary of another column": lambda: [with_ids(pa.array(list("abcde")), more=one_large_word())],
    "cells of a dictionary": lambda: [with_ids(packed("i" * 100_000, N))],
    "views": lambda: [with_ids(views("i" * 100_000, N))],
    "runs": lambda: [with_ids(runs("i" * 100_000, N))],
    "many batches": lambda: [with_ids(texts(10_000, 1000))] * 60,
    "rows of nothing": lambda: [rows_of_nothing()],
    "long lists": lambda: [batch(id=list("abcd"), label=["a"] * 4, embedding=lists(40_000_000, 4))],
    "many numbers": lambda: [pa.record_batch({"embedding": lists(1000, 1000)})] * 150,
}


def ipc_bomb(kind: str, folder: Path, codec: str = "zstd", stream: bool = False) -> Path:
    return write(folder / "x.arrow", BOMBS[kind](), codec, stream)


KINDS = ["dictionary of another column", "views", "rows of nothing"]
if SIZE != "suite":  # they take seconds each
    KINDS = [kind for kind in BOMBS if kind not in ("long lists", "many numbers")]


@pytest.mark.lane("F10")
@pytest.mark.parametrize("kind", KINDS)
def test_a_compressed_arrow_file_is_refused_before_it_is_unpacked(kind, tmp_path, tally):
    """ "views", "runs" and rows of nothing need no compression."""
    path = ipc_bomb(kind, tmp_path)
    found = [read_within_three_gib(path, reader) for reader in ("labels", "embeddings")]
    wrong = [(said, mib) for said, mib in found if not said.startswith("FL-E38 ") or mib > 900]
    tally(len(found), len(wrong))
    assert not wrong


@pytest.mark.lane("F10")
def test_a_stream_is_refused_as_a_file_is(tmp_path):
    said, mib = read_within_three_gib(ipc_bomb("texts", tmp_path, "lz4", stream=True), "labels")
    assert said.startswith("FL-E38 "), said
    assert mib < 900


@pytest.mark.lane("F10")
@pytest.mark.parametrize("kind", ["long lists", "many numbers"])
def test_embeddings_that_unpack_to_gigabytes_are_refused_in_little_memory(kind, tmp_path):
    said, mib = read_within_three_gib(ipc_bomb(kind, tmp_path), "embeddings")
    assert said.startswith("FL-E38 "), said
    assert mib < 500


@pytest.mark.lane("F10")
@pytest.mark.parametrize("column", ["embedding", "id", "label", "text", "bytes"] if SIZE != "suite" else ["embedding"])
def test_a_parquet_file_is_refused_before_it_is_unpacked(column, tmp_path):
    n = 2800
    columns = {"id": list(map(str, range(n))), "label": ["a"] * n, "embedding": [[1.0, 2.0]] * n}
    huge = texts(200_000, n)
    if column == "embedding":
        columns[column] = lists(50_000, n)
    else:
        columns[column] = huge.cast(pa.large_binary()) if column == "bytes" else huge
    path = tmp_path / "x.parquet"
    pq.write_table(pa.table(columns), path, compression="zstd", use_dictionary=False)
    assert path.stat().st_size < 1 << 20
    said, mib = read_within_three_gib(path, "embeddings")
    assert said.startswith("FL-E38 ") or (column in ("text", "bytes") and said == "read"), said
    assert mib < 800


@pytest.mark.parametrize("shape", [(1 << 40,), (1 << 30, 1 << 20), (1 << 62, 4)])
@pytest.mark.parametrize("reader", ["embeddings", "positions"])
def test_a_header_of_npy_that_claims_terabytes_is_refused(shape, reader, tmp_path):
    head = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}"
    head += " " * (117 - len(head)) + "\n"
    path = tmp_path / "x.npy"
    path.write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head.encode() + bytes(64))
    said, mib = read_within_three_gib(path, reader)
    assert said.startswith(("FL-E14 ", "FL-E9 ", "FL-L28 ", "FL-L23 ")), said
    assert mib < 300


@pytest.mark.parametrize("name", ["labels.csv.gz", "labels.json.gz", "x.npz"])
@pytest.mark.parametrize("reader", ["embeddings", "labels"])
def test_archives_are_never_unpacked(name, reader, tmp_path):
    import gzip

    path = tmp_path / name
    if name.endswith("gz"):
        path.write_bytes(gzip.compress(b"id,label\n" + bytes(1 << 26)))
    else:
        np.savez_compressed(path, np.zeros(1 << 26, np.uint8))
    said, mib = read_within_three_gib(path, reader)
    assert said.startswith("FL-")
    assert "archive" in said
    assert mib < 300


def test_tables_that_are_packed_well_are_read(tmp_path):
    n = 200_000
    one = batch(id=list(map(str, range(n))), label=packed("cat", n), embedding=[[1.0, 0.0, 0.0, 0.0]] * n)
    for codec in ("zstd", "lz4"):
        source = open_embeddings(write(tmp_path / "x.arrow", [one], codec))
        assert source.read().shape == (n, 4)
        assert source.names().to_pylist() == ["cat"] * n


# What is read off is what pyarrow unpacks


def every_type() -> pa.RecordBatch:
    n = 20
    return pa.record_batch(
        {
            "id": pa.array([f"row {row}" for row in range(n)]),
            "nothing": pa.nulls(n),
            "word": packed("cat", n),
            "view": pa.array(["a text of more than twelve"] * n, pa.string_view()),
            "run": runs("x", n),
            "list": pa.array([[1.0, 2.0]] * n),
            "fixed": pa.array([[1.0, 2.0]] * n, pa.list_(pa.float32(), 2)),
            "struct": pa.array([{"a": 1, "b": "x"}] * n),
            "map": pa.array([[("a", 1)]] * n, pa.map_(pa.string(), pa.int32())),
            "list view": pa.array([[1]] * n, pa.list_view(pa.int32())),
            "dense": pa.UnionArray.from_dense(
                pa.array([0] * n, pa.int8()), pa.array(range(n), pa.int32()), [pa.array(range(n))]
            ),
            "sparse": pa.UnionArray.from_sparse(pa.array([0] * n, pa.int8()), [pa.array(range(n))]),
            "bytes": pa.array([b"abcd"] * n, pa.binary(4)),
            "true": pa.array([True] * n),
            "uuid": pa.ExtensionArray.from_storage(pa.uuid(), pa.array([bytes(16)] * n, pa.binary(16))),
            "deep": pa.array([[["x"]]] * n, pa.large_list(pa.large_list(pa.large_string()))),
        }
    )


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("codec", ["zstd", "lz4"])
def test_every_column_of_every_type_is_measured(codec, stream, tmp_path):
    one = every_type()
    path = write(tmp_path / "x.arrow", [one, one.slice(3)], codec, stream)
    with pa.memory_map(str(path)) as source:
        found = measure_batches(source)
    assert [part.num_rows for part in found if not part.is_dictionary] == [20, 17]
    whole = next(part for part in found if not part.is_dictionary)
    for name, bytes_of in zip(one.schema.names, whole.of_columns(one.schema), strict=True):
        assert bytes_of == one.column(name).get_total_buffer_size() - _dictionary_bytes(one.column(name)), name


def _dictionary_bytes(column: pa.Array) -> int:
    return column.dictionary.get_total_buffer_size() if pa.types.is_dictionary(column.type) else 0


@pytest.mark.parametrize("array", [packed("abc", 5), views("a text that is long", 5), runs("xy", 5)])
def test_lengths_are_told_without_unpacking(array):
    assert measure_texts(array).to_pylist() == [len(array[0].as_py())] * 5
    assert measure_texts(array.slice(2, 2)).to_pylist() == [len(array[0].as_py())] * 2
    assert measure_texts(pa.array(["a", None, "bcd"], pa.string_view())).to_pylist() == [1, None, 3]


@pytest.mark.parametrize("version", ["1.0", "2.0"])
@pytest.mark.parametrize("codec", ["none", "zstd", "snappy"])
def test_the_pages_are_those_of_the_footer(codec, version, tmp_path):
    n = 20_000
    columns = {"id": list(map(str, range(n))), "embedding": np.random.default_rng(0).random((n, 3)).tolist()}
    path = tmp_path / "x.parquet"
    options = {"compression": codec, "data_page_version": version, "row_group_size": 7000}
    pq.write_table(pa.table(columns), path, column_encoding={"id": "DELTA_BYTE_ARRAY"}, use_dictionary=False, **options)
    found, told = measure_pages(path, ["id", "embedding"]), pq.ParquetFile(path).metadata
    for place, name in enumerate(columns):
        chunks = [told.row_group(number).column(place) for number in range(told.num_row_groups)]
        assert found[name].num_values == sum(chunk.num_values for chunk in chunks)
        headers = sum(chunk.total_uncompressed_size for chunk in chunks) - found[name].size
        assert 0 < headers < 100 * 20
        assert found[name].is_delta == (name == "id")


def test_texts_that_repeat_the_one_before_are_read_a_few_at_a_time(tmp_path):
    path = tmp_path / "x.parquet"
    text = ["x" * 60_000 + str(row) for row in range(10_000)]
    pq.write_table(
        pa.table({"id": text, "embedding": [[1.0]] * 10_000}),
        path,
        use_dictionary=False,
        column_encoding={"id": "DELTA_BYTE_ARRAY"},
    )
    said, mib = read_within_three_gib(path, "embeddings")
    assert path.stat().st_size < 1 << 20
    assert said.startswith("FL-E38 ")
    assert mib < 1500


# Damage


def damaged(data: bytes, draw: random.Random) -> bytes:
    out = bytearray(data)
    for _ in range(draw.randint(1, 4)):
        at = draw.randrange(len(out) - 300, len(out)) if draw.random() < 0.5 else draw.randrange(len(out))
        out[at] = draw.choice([0, 1, 127, 128, 255, draw.randrange(256)])
    return bytes(out[: draw.randrange(len(out))] if draw.random() < 0.05 else out)


READ_ALL = """
import sys
from pathlib import Path
import pyarrow as pa
from fewlabels.data.tables.files import read_batches, read_head
from fewlabels.data.tables.ipc_sizes import measure_batches
from fewlabels.data.tables.page_sizes import measure_pages
from fewlabels.errors import EmbeddingError
for path in sorted(Path(sys.argv[1]).iterdir()):
    print(path.name, flush=True)
    try:
        if path.suffix == ".arrow":
            with pa.memory_map(str(path)) as source:
                measure_batches(source)
        else:
            measure_pages(path, ["id", "embedding"])
    except ValueError:
        pass
    try:
        names = [name for name in read_head(path, EmbeddingError)[0].names if name in ("id", "embedding")]
        for batch in read_batches(path, names, 100, EmbeddingError):
            pass
    except EmbeddingError:
        pass
print("all")
"""


@pytest.mark.lane("F10")
@pytest.mark.parametrize("ending", ["arrow", "parquet"])
def test_damaged_tables_end_no_process_and_give_no_traceback(ending, tmp_path, tally):
    draw, count = random.Random(3), size(150, 2000, 20_000)
    good = tmp_path / f"good.{ending}"
    columns = {"id": list(map(str, range(500))), "embedding": [[1.0, 2.0]] * 500, "word": packed("cat", 500)}
    if ending == "arrow":
        write(good, [batch(**columns)] * 3)
    else:
        pq.write_table(pa.table(columns), good, compression="zstd", row_group_size=200)
    data, folder = good.read_bytes(), tmp_path / "cases"
    folder.mkdir()
    for number in range(count):
        (folder / f"{number:06}.{ending}").write_bytes(damaged(data, draw))
    done = subprocess.run([sys.executable, "-c", READ_ALL, str(folder)], capture_output=True, text=True, timeout=3000)
    lines = done.stdout.splitlines()
    tally(count, int(done.returncode != 0))
    assert (done.returncode, lines[-1:]) == (0, ["all"]), done.stderr[-600:]


@pytest.mark.lane("F10", faulty=True)
def test_a_reader_that_believes_pyarrow_is_seen_to_unpack(tmp_path):
    """The same bomb by pyarrow itself holds all of it."""
    path = ipc_bomb("texts", tmp_path)
    pool = pa.proxy_memory_pool(pa.default_memory_pool())
    with pa.memory_map(str(path)) as source:
        assert pa.ipc.open_file(source, memory_pool=pool).get_batch(0).num_rows == N
        assert pool.max_memory() > 512 << 20
    with pytest.raises(InputError, match="FL-E38"):
        next(read_batches(path, ["id"], 10, EmbeddingError))


@pytest.mark.parametrize(("most", "said"), [(330, "FL-E38"), (1 << 29, "FL-E21")])
def test_a_damaged_footer_that_claims_too_much_ends_no_process(most, said):
    """With a limit of 330 bytes, the footer of the fixture is one that claims more."""
    code = "import sys; from fewlabels.data.tables import limits; limits.most_bytes = lambda *_: int(sys.argv[2])"
    code += "; from fewlabels.data.tables.embeddings import read_embeddings; read_embeddings(sys.argv[1])"
    fixture = Path(__file__).parents[2] / "fixtures" / "damaged" / "footer.parquet"
    words = [sys.executable, "-c", code, fixture, str(most)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr  # an exception, and no signal
    assert said in done.stderr
