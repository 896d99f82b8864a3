"""Pickles are read as data. Nothing in them runs."""

import pickle
import re
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fewlabels.data.benchmarks.plain_pickle import read_plain_pickle
from fewlabels.errors import ImageError
from tests.data.dataset_files import python2_pickle, python3_pickle

SOURCE = Path(__file__).parents[3] / "src"
VALUE = {"batch_label": "a", "labels": [1, 2, 300], "data": np.arange(6, dtype=np.uint8).reshape(2, 3)}


class Bomb:
    """Writes a file when it is unpickled."""

    def __init__(self, canary):
        self.canary = canary

    def __reduce__(self):
        return Path.write_text, (self.canary, "boom")


def refused(tmp_path, content: bytes) -> str:
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(ImageError) as caught:
        read_plain_pickle(tmp_path / "x")
    assert "/x" in str(caught.value)
    return caught.value.code


@pytest.mark.parametrize("dump", [python2_pickle, python3_pickle])
def test_plain_values_are_read(tmp_path, dump):
    (tmp_path / "x").write_bytes(dump(VALUE))
    found = read_plain_pickle(tmp_path / "x")
    assert list(found) == ["batch_label", "labels", "data"]
    assert (found["batch_label"] if dump is python3_pickle else found["batch_label"].decode()) == "a"
    assert found["labels"] == [1, 2, 300]
    np.testing.assert_array_equal(found["data"], VALUE["data"])


def test_what_python_2_wrote_is_what_pickle_itself_reads():
    found = pickle.loads(python2_pickle(VALUE), encoding="latin-1")
    np.testing.assert_array_equal(found.pop("data"), VALUE["data"])
    assert found == {"batch_label": "a", "labels": [1, 2, 300]}


def test_an_array_in_the_order_of_columns_is_read(tmp_path):
    array = np.asfortranarray(np.arange(6, dtype=np.uint8).reshape(2, 3))
    (tmp_path / "x").write_bytes(pickle.dumps({"data": array}, protocol=2))
    np.testing.assert_array_equal(read_plain_pickle(tmp_path / "x")["data"], array)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("place", ["alone", "value", "key"])
def test_a_bomb_is_refused_and_does_not_go_off(tmp_path, protocol, place):
    canary = tmp_path / "canary"
    bomb = Bomb(canary)
    value = {"alone": bomb, "value": {"labels": [0], "data": bomb}, "key": {bomb: 1}}[place]
    assert refused(tmp_path, pickle.dumps(value, protocol=protocol)) == "FL-I41"
    assert not canary.exists()
    pickle.loads(pickle.dumps(bomb, protocol=protocol))
    assert canary.exists()  # so it was one


@pytest.mark.parametrize(
    "program",
    [
        b"cos\nsystem\n(U\x04trueU\x01xtR.",
        b"(U\x04trueios\nsystem\n.",
        b"cbuiltins\neval\n(U\x011tR.",
        b"\x80\x02cnumpy\nload\n.",
        b"\x80\x02c_codecs\ndecode\n.",
        b"\x80\x02}(U\x04datac_codecs\nencode\n(U\x01aU\x06latin1tRu.",
        b"\x80\x02}(U\x04datacnumpy\ndtype\n(U\x01OK\x00K\x01tRu.",
        b"\x80\x02}(U\x04datacnumpy.core.multiarray\n_reconstruct\n(K\x01tRu.",
        b"\x80\x02U\x06encode(X\x01\x00\x00\x00aU\x06latin1tR.",
        b"\x80\x02]}b.",
        b"\x80\x02\x82\x01.",
        b"Pabc\n.",
    ],
)
def test_programs_that_do_more_than_hold_data_are_refused(tmp_path, program):
    assert refused(tmp_path, program) == "FL-I41"


def test_other_arrays_than_bytes_are_refused(tmp_path):
    for array in (np.zeros(3), np.zeros(2, object), np.array(["a"])):
        assert refused(tmp_path, pickle.dumps({"data": array}, protocol=2)) == "FL-I41"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no pickle",
        b"\x80\x02.",
        b"\x80\x02].",
        b"\x80\x02K\x01.",
        b"\x80\x02}(K\x01u.",
        b"\x80\x02h\x05.",
        b"\x80\x02e.",
    ],
)
def test_what_is_no_dict_is_named(tmp_path, content):
    assert refused(tmp_path, content) == "FL-I40"


def test_every_cut_of_a_file_is_found(tmp_path):
    content = python2_pickle(VALUE)
    for end in range(len(content)):
        assert refused(tmp_path, content[:end]) in ("FL-I40", "FL-I41")


def test_an_array_of_another_size_than_its_content_is_found(tmp_path):
    content = python2_pickle(VALUE)
    assert refused(tmp_path, content.replace(b"K\x02K\x03\x86", b"K\x02K\x04\x86")) == "FL-I40"


@given(at=st.integers(0, 400), byte=st.integers(0, 255))
def test_a_changed_byte_never_does_anything_but_change_data_or_raise_an_error_of_ours(tmp_path_factory, at, byte):
    content = bytearray(python2_pickle(VALUE))
    content[at % len(content)] = byte
    path = tmp_path_factory.mktemp("x") / "x"
    path.write_bytes(content)
    with suppress(ImageError):
        assert isinstance(read_plain_pickle(path), dict)


def test_a_file_too_large_to_be_one_of_them_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr("fewlabels.data.benchmarks.plain_pickle.LARGEST_FILE", 10)
    assert refused(tmp_path, python2_pickle(VALUE)) == "FL-I40"


def test_the_source_never_unpickles():
    for path in SOURCE.rglob("*.py"):
        ways = r"\bimport pickle\b|from pickle import|pickle\.load|Unpickler|allow_pickle ?= ?True"
        assert not re.search(ways, path.read_text()), path
