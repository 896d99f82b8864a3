import numpy as np
import pytest
from PIL import Image

from fewlabels.nets import pretrained
from tests.describing.fakes import tiny


@pytest.fixture(autouse=True)
def empty_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("FEWLABELS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def tiny_backbone(monkeypatch):
    """What load_backbone gives: a tiny network, of another one by the name tiny1."""

    def load(name=None, *, weights=None, size=None):
        return tiny(size or 32, seed=1 if name == "tiny1" else 0)

    monkeypatch.setattr(pretrained, "load_backbone", load)


def save_photo(path, seed, side=48, kind="PNG"):
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(small).resize((side + 8, side)).save(path, kind)


@pytest.fixture
def photos(tmp_path):
    """40 photos of two kinds of files, and one that is none."""
    folder = tmp_path / "photos"
    for seed in range(40):
        kind, ending = (("PNG", "png"), ("JPEG", "jpg"))[seed % 2]
        save_photo(folder / f"{seed:02}.{ending}", seed, kind=kind)
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 no more")
    return folder
