"""Descriptors that are kept: only new photos are computed, after a kill too, and nothing wrong is ever read back."""

import os
import signal
import sqlite3
import subprocess
import sys
import threading
import warnings

import numpy as np
import pytest

import fewlabels as fl
from fewlabels.commands.cache import format_cache, run_cache
from fewlabels.describing.cache import DescriptorCache, cache_key
from fewlabels.errors import ConfigError, InputWarning
from fewlabels.storage.cache_folder import cache_folder
from tests.describing.conftest import save_photo

FACTS = {"model": "tiny", "size": 32}
CHILD = [sys.executable, "-m", "tests.describing.child_describe"]


def opened(folder, width=4, **facts):
    return DescriptorCache(folder, FACTS | facts, width)


def row(number, width=4):
    return np.full(width, number, np.float32)


def filled(folder, count=100):
    cache = opened(folder)
    for at in range(count):
        cache.put(bytes([at]) * 32, row(at))
    cache.close()
    return cache.path


def counted(photos, **options):
    """(computed, known) of a description."""
    last = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InputWarning)
        found = fl.describe(photos, quiet=True, on_progress=last.append, **options)
    return found, (last[-1].computed, last[-1].known)


def test_what_was_put_is_there_again_and_nothing_else(tmp_path):
    filled(tmp_path)
    cache = opened(tmp_path)
    assert np.array_equal(cache.get(b"\x05" * 32), row(5))
    assert cache.get(b"\xff" * 32) is None
    cache.close()


def test_what_waits_to_be_written_is_known_at_once(tmp_path):
    cache = opened(tmp_path)
    cache.put(b"a" * 32, row(1))
    assert np.array_equal(cache.get(b"a" * 32), row(1))
    cache.close()


def test_whatever_changes_the_bytes_is_another_file():
    facts = {"model": "a", "weights": "1", "mirror": False, "machine": {"threads": 1}}
    others = [facts | {"mirror": True}, facts | {"weights": "2"}, facts | {"machine": {"threads": 2}}]
    assert len({cache_key(one) for one in (facts, *others)}) == 4
    assert cache_key(dict(reversed(facts.items()))) == cache_key(facts)


@pytest.mark.usefixtures("tiny_backbone")
def test_only_new_photos_are_computed_whatever_they_are_called(photos):
    first, counts = counted(photos)
    assert counts == (40, 0)
    (photos / "00.png").rename(photos / "moved.png")
    save_photo(photos / "new.png", 99)
    again, counts = counted(photos)
    assert counts == (1, 40)
    before = dict(zip(first.ids, first.values, strict=True))
    after = dict(zip(again.ids, again.values, strict=True))
    assert np.array_equal(after["moved.png"], before["00.png"])
    assert all(np.array_equal(after[id], before[id]) for id in after if id in before)


@pytest.mark.usefixtures("tiny_backbone")
def test_the_same_name_with_other_content_is_described_anew(photos):
    first, _ = counted(photos)
    save_photo(photos / "00.png", 77)
    again, counts = counted(photos)
    assert counts == (1, 39)
    assert not np.array_equal(first.values[0], again.values[0])


@pytest.mark.usefixtures("tiny_backbone")
def test_another_network_size_or_mirror_takes_nothing_from_the_cache(photos):
    counted(photos)
    for options in ({"backbone": "tiny1"}, {"size": 40}, {"mirror": True}, {"precision": "bfloat16"}):
        assert counted(photos, **options)[1] == (40, 0)
    assert counted(photos)[1] == (0, 40)


@pytest.mark.usefixtures("tiny_backbone")
def test_without_the_cache_nothing_is_kept(photos):
    counted(photos, cache=False)
    assert not cache_folder().exists()


def test_a_record_with_a_flipped_bit_is_not_read_back(tmp_path):
    path = filled(tmp_path)
    connection = sqlite3.connect(path)
    (numbers,) = connection.execute("SELECT numbers FROM descriptors WHERE digest = ?", (b"\x07" * 32,)).fetchone()
    connection.execute(
        "UPDATE descriptors SET numbers = ? WHERE digest = ?", (bytes([numbers[0] ^ 1]) + numbers[1:], b"\x07" * 32)
    )
    connection.execute("UPDATE descriptors SET numbers = ? WHERE digest = ?", (row(9).tobytes(), b"\x08" * 32))
    connection.execute("UPDATE descriptors SET numbers = ? WHERE digest = ?", (b"short", b"\x09" * 32))
    connection.commit()
    connection.close()
    cache = opened(tmp_path)
    assert [cache.get(bytes([at]) * 32) for at in (7, 8, 9)] == [None] * 3
    cache.put(b"\x07" * 32, row(7))
    cache.close()
    assert np.array_equal(opened(tmp_path).get(b"\x07" * 32), row(7))


@pytest.mark.parametrize("seed", range(12))
def test_a_damaged_file_gives_right_rows_or_none_and_is_set_aside_with_one_line(tmp_path, seed):
    path = filled(tmp_path)
    rng = np.random.default_rng(seed)
    content = bytearray(path.read_bytes())
    if seed % 3 == 0:
        content = content[: int(rng.integers(1, len(content)))]
    elif seed % 3 == 1:
        content[:64] = rng.bytes(64)
    else:
        for at in rng.integers(0, len(content), 400):
            content[at] ^= 255
    path.write_bytes(content)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        cache = opened(tmp_path)
        for at in range(100):
            found = cache.get(bytes([at]) * 32)
            assert found is None or np.array_equal(found, row(at))
        cache.put(b"new" + bytes(29), row(3))
        cache.close()
    assert {str(one.message).partition(" ")[0] for one in told} <= {"FL-D21", "FL-D22"}
    assert len(told) <= 2
    if seed % 3 == 1:
        assert [name for name in os.listdir(path.parent) if name.endswith(".damaged")]
        assert np.array_equal(opened(tmp_path).get(b"new" + bytes(29)), row(3))


def test_a_database_of_another_program_is_set_aside(tmp_path):
    path = filled(tmp_path)
    path.unlink()
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE theirs (x)")
    connection.close()
    with pytest.warns(InputWarning, match="FL-D21"):
        cache = opened(tmp_path)
    assert cache.get(b"a" * 32) is None
    cache.close()


def test_a_place_that_cannot_be_written_is_told_once_and_stops_nothing(tmp_path):
    (tmp_path / "cache").write_text("a file where a folder should be")
    with pytest.warns(InputWarning, match="FL-D22"):
        cache = opened(tmp_path / "cache")
    cache.put(b"a" * 32, row(1))
    cache.flush()
    assert cache.get(b"a" * 32) is None
    cache.close()


def test_a_disk_that_fills_up_is_told_once_and_stops_nothing(tmp_path):
    cache = opened(tmp_path)
    cache._connection.execute("PRAGMA max_page_count = 1")
    for at in range(100):
        cache.put(bytes([at]) * 32, row(at))
    with pytest.warns(InputWarning, match=r"FL-D22 .*full"):
        cache.flush()
    cache.put(b"\xff" * 32, row(1))
    cache.close()
    found = opened(tmp_path).get(b"\x00" * 32)
    assert found is None or np.array_equal(found, row(0))


def test_several_threads_and_caches_write_one_file_at_once(tmp_path):
    def fill(start):
        cache = opened(tmp_path)
        for at in range(start, start + 50):
            cache.put(bytes([at]) * 32, row(at))
            cache.flush()
        cache.close()

    threads = [threading.Thread(target=fill, args=(start,)) for start in (0, 25, 50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    cache = opened(tmp_path)
    assert all(np.array_equal(cache.get(bytes([at]) * 32), row(at)) for at in range(100))
    cache.close()


def started(photos, out):
    return subprocess.Popen(
        [*CHILD, str(photos), str(out)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )


def many(tmp_path, count=120):
    for seed in range(count):
        save_photo(tmp_path / "many" / f"{seed:03}.png", seed, side=32)
    return tmp_path / "many"


def test_after_a_kill_only_the_rest_is_computed_and_no_table_is_there(tmp_path):
    photos, out = many(tmp_path), tmp_path / "out.parquet"
    for batches in (2, 4):
        child = started(photos, out)
        for _ in range(batches):
            assert child.stdout.readline() == "batch\n"
        child.send_signal(signal.SIGKILL)
        child.communicate()
        assert not out.exists()
    child = started(photos, out)
    last = child.communicate()[0].splitlines()[-1].split()
    computed, known = int(last[1]), int(last[3])
    assert computed + known == 120
    assert known >= 8 * 4
    killed = fl_table(out)
    clean = started(photos, tmp_path / "again.parquet").communicate()[0].splitlines()[-1]
    assert clean == "computed 0 known 120"
    assert fl_table(tmp_path / "again.parquet") == killed


def fl_table(path):
    import pyarrow.parquet as pq

    return pq.read_table(path).to_pylist()


def test_two_processes_at_once_describe_the_same_folder(tmp_path):
    photos = many(tmp_path, 60)
    children = [started(photos, tmp_path / f"{name}.parquet") for name in "ab"]
    assert all(child.communicate()[0].splitlines()[-1].startswith("computed") for child in children)
    assert all(child.returncode == 0 for child in children)
    assert fl_table(tmp_path / "a.parquet") == fl_table(tmp_path / "b.parquet")


@pytest.mark.usefixtures("tiny_backbone")
def test_the_command_lists_models_and_clears_one_or_all(photos):
    assert run_cache()["models"] == []
    counted(photos)
    counted(photos, backbone="tiny1")
    found = run_cache()
    assert [(one["name"][:5], one["photos"], one["size"]) for one in found["models"]] == [
        ("tiny0", 40, 32),
        ("tiny1", 40, 32),
    ]
    assert "photos" in format_cache(found)
    with pytest.raises(ConfigError, match="FL-C97 nothing is kept for 'other'"):
        run_cache("other")
    assert "1 models" in format_cache(run_cache("tiny0", clear=True))
    assert [one["name"][:5] for one in run_cache()["models"]] == ["tiny1"]
    run_cache(clear=True)
    assert run_cache()["models"] == []
    assert os.listdir(cache_folder() / "descriptors") == []
