from dataclasses import replace

import numpy as np
import pytest

from fewlabels.errors import RunError
from fewlabels.insights.schema import MapPoints, Tile, gallery_bytes, map_bytes, read_gallery, read_map

POINTS = MapPoints(
    row=np.array([3, 5]),
    x=np.array([0.5, 1], np.float32),
    y=np.array([2, -1], np.float32),
    label=np.array([1, -1]),
    certainty=np.array([1, 0], np.float32),
    given=np.array([True, False]),
)
SURE = Tile(group="certain", class_number=1, id="é,\n", label=1, truth=-1, certainty=0.9, score=0.9, image=b"\x89PNG")
TILES = [SURE, replace(SURE, group="suspicious", class_number=0, id="b", truth=0, score=0.7, image=None)]


def test_what_is_written_is_read_back(tmp_path):
    (tmp_path / "map.parquet").write_bytes(map_bytes(POINTS))
    (tmp_path / "gallery.parquet").write_bytes(gallery_bytes(TILES))
    found = read_map(tmp_path)
    for name, values in vars(POINTS).items():
        assert getattr(found, name).tolist() == values.tolist()
    assert read_gallery(tmp_path) == TILES


def test_an_empty_gallery_and_no_file_at_all_are_no_rows(tmp_path):
    assert read_gallery(tmp_path) == []
    assert read_map(tmp_path) is None
    (tmp_path / "gallery.parquet").write_bytes(gallery_bytes([]))
    assert read_gallery(tmp_path) == []


@pytest.mark.parametrize("content", [b"", b"PAR1 and no more", map_bytes(POINTS)])
def test_a_damaged_table_is_an_error_that_names_it(tmp_path, content):
    (tmp_path / "gallery.parquet").write_bytes(content)
    with pytest.raises(RunError, match=r"FL-K2 damaged table .*gallery\.parquet|gallery\.parquet.*FL-K2"):
        read_gallery(tmp_path)
