"""Folders of damaged images: each file is accepted or listed as rejected, whatever is in it, and the run goes on."""

import io
import random
import time
import warnings

import numpy as np
import pytest
from PIL import Image

from fewlabels.data.images.read import read_images
from fewlabels.errors import FewlabelsError, FewlabelsWarning
from tests.faults.fuzz import mutated
from tests.faults.lanes import size

SECONDS = 2.0  # of computing, for one image
FOLDER = 25  # damaged images in one folder, beside good ones
KINDS = {
    "rgb.jpg": ("RGB", {}),
    "grey.jpg": ("L", {}),
    "cmyk.jpg": ("CMYK", {}),
    "progressive.jpg": ("RGB", {"progressive": True}),
    "upright.jpg": ("RGB", {"exif": b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"}),
    "comment.jpg": ("RGB", {"comment": b"a comment"}),
    "rgb.png": ("RGB", {}),
    "rgba.png": ("RGBA", {}),
    "grey.png": ("L", {}),
    "palette.png": ("P", {}),
    "bit.png": ("1", {}),
    "deep.png": ("I;16", {}),
    "deep.tiff": ("I;16", {}),
    "deep.pgm": ("I;16", {}),
    "rgb.ppm": ("RGB", {}),
    "rgb.avif": ("RGB", {}),
    "palette.gif": ("P", {}),
    "grey.gif": ("L", {}),
    "rgb.bmp": ("RGB", {}),
    "lossy.webp": ("RGB", {"quality": 80}),
    "lossless.webp": ("RGBA", {"lossless": True}),
    "raw.tiff": ("RGB", {}),
    "lzw.tiff": ("RGB", {"compression": "tiff_lzw"}),
    "deflated.tiff": ("L", {"compression": "tiff_adobe_deflate"}),
}
KIND_OF = {"jpg": "jpeg", "pgm": "ppm"}
CUT = [
    name for name in KINDS if name.endswith(("jpg", "png", "bmp", "webp"))
]  # cut in half, these are damaged for sure


def seeds():
    """name -> bytes of a good image."""
    pixels = np.random.default_rng(0).integers(0, 256, (24, 24, 3), np.uint8)
    found = {}
    for name, (mode, options) in KINDS.items():
        file, kind = io.BytesIO(), KIND_OF.get(name[-3:], name.rpartition(".")[2])
        image = Image.fromarray(pixels)
        image = image.convert("L").convert("I").convert("I;16") if mode == "I;16" else image.convert(mode)
        image.save(file, kind, **options)
        found[name] = file.getvalue()
    return found


SEEDS = seeds()


def damaged(rng, name):
    return SEEDS[name][: len(SEEDS[name]) // 2] if rng.random() < 0.1 else mutated(rng, [SEEDS[name]])


def read(folder):
    found = read_images(folder, image_size=8)
    assert found.pixels.shape[:3] == (len(found.ids), 8, 8)
    return found.ids, [id for id, _ in found.rejected]


def problems(folder, seed, read=read):
    """What is wrong with how a folder of damaged images is read: errors, files of which nothing is heard, cut ones that
    are taken for whole, time.
    """
    (folder / "a").mkdir(parents=True)
    rng, wrong, cut = random.Random(seed), [], set()
    names = [f"a/{number}-{rng.choice(list(KINDS))}" for number in range(FOLDER)]
    for name in names:
        kind = name.partition("-")[2]
        data = damaged(rng, kind)
        (folder / name).write_bytes(data)
        if kind in CUT and len(data) == len(SEEDS[kind]) // 2:
            cut.add(name)
    good = [f"a/good {number}.png" for number in range(FOLDER + 1)]  # else most are damaged: the wrong folder
    for name in good:
        (folder / name).write_bytes(SEEDS["rgb.png"])
    began = time.thread_time()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            warnings.simplefilter("ignore", FewlabelsWarning)
            accepted, rejected = read(folder)
    except FewlabelsError as error:
        return [f"seed {seed}: refused as a whole: {error}"]
    except Exception as error:  # noqa: BLE001  that there is none is what is tested
        return [f"seed {seed}: {type(error).__name__}: {error}"]
    if sorted([*accepted, *rejected]) != sorted([*names, *good]):
        wrong.append(f"seed {seed}: some files are neither accepted nor rejected")
    wrong += [f"seed {seed}: {name} is cut and was accepted" for name in cut & set(accepted)]
    if time.thread_time() - began > SECONDS * FOLDER:
        wrong.append(f"seed {seed}: too slow")
    return wrong


@pytest.mark.lane("F11")
@pytest.mark.parametrize("part", range(size(1, 4, 20)))
def test_damaged_images_never_end_a_run_and_each_is_accounted_for(tmp_path, tally, part):
    folders = size(3, 10, 100)
    wrong = [one for seed in range(folders) for one in problems(tmp_path / str(seed), f"{part} {seed}")]
    tally(folders * FOLDER, len(wrong))
    assert wrong == []


@pytest.mark.lane("F11")
def test_every_seed_is_a_good_image(tmp_path):
    for name, data in SEEDS.items():
        (tmp_path / name).write_bytes(data)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FewlabelsWarning)  # of 8 bits in a file of 16
        assert sorted(read(tmp_path)[0]) == sorted(SEEDS)


# Faulty readers


def each(folder, read_one):
    """(accepted, rejected) where `read_one` raises for those to reject."""
    accepted, rejected = [], []
    for path in sorted((folder / "a").iterdir()):
        try:
            read_one(path)
            accepted.append(f"a/{path.name}")
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError, Image.DecompressionBombWarning):
            rejected.append(f"a/{path.name}")
    return accepted, rejected


def pillow_alone(folder):
    for path in (folder / "a").iterdir():
        with Image.open(path) as image:
            image.convert("RGB")
    return [], []


def left_out_in_silence(folder):
    return read(folder)[0], []


def headers_only(folder):
    def read_one(path):
        with Image.open(path) as image:
            image.verify()

    return each(folder, read_one)


def cut_ones_accepted(folder):
    def read_one(path):
        data = path.read_bytes()
        if not data.startswith((b"\xff\xd8", b"\x89PNG", b"BM", b"RIFF")):
            raise ValueError

    return each(folder, read_one)


@pytest.mark.lane("F11", faulty=True)
@pytest.mark.parametrize("faulty", [pillow_alone, left_out_in_silence, headers_only, cut_ones_accepted])
def test_a_faulty_reader_of_images_is_found(tmp_path, faulty):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert any(problems(tmp_path / str(seed), f"faulty {seed}", faulty) for seed in range(5))
