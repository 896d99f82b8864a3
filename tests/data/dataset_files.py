"""Small benchmarks in every form that they come in."""

from __future__ import annotations

import pickle
import struct
from dataclasses import replace

import numpy as np

from fewlabels.data.benchmarks.facts import CIFAR10, CIFAR100, MINI_IMAGENET
from tests.data.image_files import encoded, hub_parquet

TINY10 = replace(CIFAR10, num_train=20, num_test=10)  # in five files of four images, or as it comes
TINY100 = replace(CIFAR100, num_train=200, num_test=100)
TINY_MINI = replace(MINI_IMAGENET, num_classes=3, num_train=6, num_test=3)
NAMES = {10: [f"c{code}" for code in range(10)], 100: [f"c{code:02}" for code in range(100)]}


def images(count: int, side: int = 32, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, side, side, 3), dtype=np.uint8)


def labels(benchmark) -> tuple[list[int], list[int]]:
    """Labels of training and test images, in no particular order."""
    rng = np.random.default_rng(1)
    numbers = np.arange(benchmark.num_classes)
    return (
        rng.permutation(np.repeat(numbers, benchmark.num_train // benchmark.num_classes)).tolist(),
        rng.permutation(np.repeat(numbers, benchmark.num_test // benchmark.num_classes)).tolist(),
    )


def planes(pixels: np.ndarray) -> np.ndarray:
    """As CIFAR's files hold images: (n, 3072), all of red, then green, then blue."""
    return np.ascontiguousarray(pixels.transpose(0, 3, 1, 2).reshape(len(pixels), -1))


def python2_pickle(value: object) -> bytes:
    """What Python 2 writes with protocol 2, byte strings, memo and array included, as in the published files."""
    memo = iter(range(10**6))

    def put() -> bytes:
        number = next(memo)
        return b"q" + bytes([number]) if number < 256 else b"r" + struct.pack("<I", number)

    def of(value: object) -> bytes:
        if isinstance(value, dict):
            pairs = b"".join(of(key) + of(item) for key, item in value.items())
            return b"}" + put() + b"(" + pairs + b"u"
        if isinstance(value, list):
            return b"]" + put() + b"(" + b"".join(map(of, value)) + b"e"
        if isinstance(value, str):
            return b"U" + bytes([len(value)]) + value.encode("latin-1") + put()
        if isinstance(value, int):
            return b"K" + bytes([value]) if value < 256 else b"M" + struct.pack("<H", value)
        assert isinstance(value, np.ndarray)
        rows, columns = value.shape
        kind = b"cnumpy\ndtype\n" + put() + b"U\x02u1" + put() + b"K\x00K\x01\x87" + put() + b"R" + put()
        kind += b"(K\x03U\x01|" + put() + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00t" + put() + b"b"
        start = b"cnumpy.core.multiarray\n_reconstruct\n" + put() + b"cnumpy\nndarray\n" + put()
        start += b"K\x00\x85" + put() + b"U\x01b" + put() + b"\x87" + put() + b"R" + put()
        content = value.tobytes()
        state = b"(K\x01" + of(rows) + of(columns) + b"\x86" + put() + kind
        return start + state + b"\x89T" + struct.pack("<i", len(content)) + content + put() + b"t" + put() + b"b"

    return b"\x80\x02" + of(value) + b"."


def python3_pickle(value: object) -> bytes:
    """The same by Python 3, keys as bytes, as in files that were written again."""

    def with_bytes(value: object) -> object:
        if isinstance(value, dict):
            return {key.encode(): with_bytes(item) for key, item in value.items()}
        return (
            [item.encode() if isinstance(item, str) else item for item in value] if isinstance(value, list) else value
        )

    return pickle.dumps(with_bytes(value), protocol=2)


def cifar10_python(folder, dump=python2_pickle):
    """The folder cifar-10-batches-py. Returns (pixels, truth) of the training images."""
    pixels, (train, test) = images(20), labels(TINY10)
    folder.mkdir(parents=True)
    for number in range(5):
        rows = slice(4 * number, 4 * number + 4)
        content = {
            "batch_label": f"training batch {number + 1} of 5",
            "labels": train[rows],
            "data": planes(pixels[rows]),
            "filenames": [f"x_s_{row:06}.png" for row in range(*rows.indices(20))],
        }
        (folder / f"data_batch_{number + 1}").write_bytes(dump(content))
    (folder / "test_batch").write_bytes(dump({"labels": test, "data": planes(images(10, seed=2))}))
    (folder / "batches.meta").write_bytes(dump({"num_cases_per_batch": 4, "label_names": NAMES[10], "num_vis": 3072}))
    return pixels, np.array(train)


def cifar10_binary(folder):
    pixels, (train, test) = images(20), labels(TINY10)
    folder.mkdir(parents=True)
    records = np.column_stack([np.array(train, np.uint8), planes(pixels)])
    for number in range(5):
        (folder / f"data_batch_{number + 1}.bin").write_bytes(records[4 * number : 4 * number + 4].tobytes())
    content = np.column_stack([np.array(test, np.uint8), planes(images(10, seed=2))])
    (folder / "test_batch.bin").write_bytes(content.tobytes())
    (folder / "batches.meta.txt").write_text("\n".join(NAMES[10]) + "\n\n")
    return pixels, np.array(train)


def cifar100_python(folder):
    pixels, (train, test) = images(200), labels(TINY100)
    folder.mkdir(parents=True)
    for name, part, codes in (("train", pixels, train), ("test", images(100, seed=2), test)):
        content = {"coarse_labels": [code // 5 for code in codes], "fine_labels": codes, "data": planes(part)}
        (folder / name).write_bytes(python2_pickle(content))
    (folder / "meta").write_bytes(python2_pickle({"coarse_label_names": ["x"] * 20, "fine_label_names": NAMES[100]}))
    return pixels, np.array(train)


def cifar100_binary(folder):
    pixels, (train, test) = images(200), labels(TINY100)
    folder.mkdir(parents=True)
    for name, part, codes in (("train", pixels, train), ("test", images(100, seed=2), test)):
        coarse = np.array(codes, np.uint8) // 5
        (folder / f"{name}.bin").write_bytes(
            np.column_stack([coarse, np.array(codes, np.uint8), planes(part)]).tobytes()
        )
    (folder / "fine_label_names.txt").write_text("\n".join(NAMES[100]))
    return pixels, np.array(train)


def hub_folder(folder, benchmark=TINY10, test="test"):
    """Parquet in the hub's layout, training images in two files."""
    pixels, codes = images(benchmark.num_train, benchmark.side), labels(benchmark)
    names = [f"c{code}" for code in range(benchmark.num_classes)]
    folder.mkdir(parents=True, exist_ok=True)
    half = benchmark.num_train // 2
    for number, rows in enumerate((slice(0, half), slice(half, None))):
        files = [(encoded(image), f"{number}_{at}.png") for at, image in enumerate(pixels[rows])]
        hub_parquet(folder / f"train-{number:05}-of-00002.parquet", files, codes[0][rows], names, "img")
    files = [encoded(image) for image in images(benchmark.num_test, benchmark.side, seed=2)]
    hub_parquet(folder / f"{test}-00000-of-00001.parquet", files, codes[1], names, "img")
    return pixels, np.array(codes[0])


def image_folders(folder, benchmark=TINY_MINI, test="val", names=("n01", "n02", "n03")):
    """train/<class>/*.png and another folder of test images. Returns pixels and truth in the order of the files."""
    truth = np.repeat(np.arange(len(names)), benchmark.num_train // len(names))
    pixels = images(len(truth), benchmark.side)
    for row, (image, code) in enumerate(zip(pixels, truth, strict=True)):
        path = folder / "train" / names[code] / f"image_{row:03}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded(image))
    for code, image in enumerate(images(len(names), benchmark.side, seed=2)):
        path = folder / test / names[code] / "t.png"
        path.parent.mkdir(parents=True)
        path.write_bytes(encoded(image))
    return pixels, truth
