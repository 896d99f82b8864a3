"""Photos a second of one core, stage by stage, beside a plain PyTorch loop in the same run.

    python -m benchmarks.describe.speed --photos 60

Makes 12-megapixel JPEGs (4000 x 3000, quality 90, about 4 MB each) in build/describe, once. Seconds are those of
processors, children included, so that other work on the machine disturbs little.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps

import fewlabels as fl
from benchmarks.common.data import ROOT
from fewlabels.data.images.decode import Resizing, decode
from fewlabels.describing.cache import DescriptorCache
from fewlabels.describing.network import Describer
from fewlabels.describing.settings import DescribeSettings
from fewlabels.describing.table import write_descriptors
from fewlabels.nets.pretrained import load_backbone

WIDTH, HEIGHT = 4000, 3000


def make_photos(folder: Path, count: int) -> list[Path]:
    """Large JPEGs with as much detail as cameras give: smooth shapes, edges, and noise."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{at:04}.jpg" for at in range(count)]
    for at, path in enumerate(paths):
        if not path.exists():
            rng = np.random.default_rng(at)
            shapes = Image.fromarray(rng.integers(0, 256, (12, 16, 3), dtype=np.uint8))
            large = np.asarray(shapes.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC), np.int16)
            noise = np.tile(rng.normal(0, 9, (300, 400, 1)).astype(np.int16), (HEIGHT // 300, WIDTH // 400, 1))
            Image.fromarray((large + noise).clip(0, 255).astype(np.uint8)).save(path, quality=90)
    return paths


def plain_loop(paths: list[Path], size: int) -> np.ndarray:
    """What one writes down first: open, decode, resize, a batch, the network."""
    backbone = load_backbone(size=size)
    rows = []
    for start in range(0, len(paths), 32):
        squares = []
        for path in paths[start : start + 32]:
            with Image.open(path) as image:
                picture = ImageOps.exif_transpose(image).convert("RGB")
            squares.append(np.asarray(ImageOps.fit(picture, (size, size), Image.Resampling.BICUBIC)))
        with torch.inference_mode():
            rows.append(backbone.trunk(torch.from_numpy(np.stack(squares)).permute(0, 3, 1, 2)).numpy())
    return np.concatenate(rows)


def processor_seconds(work: Callable[[], object]) -> float:
    before = os.times()
    work()
    after = os.times()
    return sum(after[:4]) - sum(before[:4])


def tell(name: str, count: int, work: Callable[[], object]) -> None:
    start = time.perf_counter()
    seconds = processor_seconds(work)
    wall = time.perf_counter() - start
    print(f"{name:<44} {count / max(seconds, 0.01):>8,.1f} a second of a core, {wall:.2f} s of the clock", flush=True)


def measure_stages(contents: list[bytes], describer: Describer, size: int) -> None:
    """Hashing, decoding whole and in part, and the network, each alone; then the cache and the table."""
    count, method = len(contents), describer.resizing.method

    def decode_all(is_draft: bool) -> list[np.ndarray]:
        resizing = Resizing(is_draft, method)
        return [np.asarray(decode(content, size, False, resizing=resizing).picture) for content in contents]

    kept: dict[bool, list[np.ndarray]] = {}
    tell("hash", count, lambda: [hashlib.sha256(content).digest() for content in contents])
    tell("decode all of it, cut and resize", count, lambda: kept.update({False: decode_all(False)}))
    tell("decode a part of it, cut and resize", count, lambda: kept.update({True: decode_all(True)}))
    describer(kept[True][:1])
    tell("network", count, lambda: describer(kept[True]))
    rows, exact = describer(kept[True]), describer(kept[False])
    near = (rows * exact).sum(1) / np.linalg.norm(rows, axis=1) / np.linalg.norm(exact, axis=1)
    print(f"cosine of the descriptors, whole and part: least {near.min():.4f}, mean {near.mean():.4f}")
    measure_writing(np.tile(rows, (20, 1)), describer)


def measure_writing(rows: np.ndarray, describer: Describer) -> None:
    """What keeping so many descriptors takes: in the cache, out of it, and in a table."""
    digests = [at.to_bytes(32, "big") for at in range(len(rows))]
    with tempfile.TemporaryDirectory() as folder:
        cache = DescriptorCache(Path(folder), describer.facts(), describer.width)

        def keep() -> None:
            for digest, row in zip(digests, rows, strict=True):
                cache.put(digest, row)
            cache.flush()

        def write() -> None:
            with write_descriptors(Path(folder) / "d.parquet", describer.width, {}, has_labels=False) as table:
                for at, row in enumerate(rows):
                    table.add(str(at), row)

        tell("keep in the cache", len(rows), keep)
        tell("take from the cache", len(rows), lambda: [cache.get(digest) for digest in digests])
        cache.close()
        tell("write the table", len(rows), write)


def measure_whole(paths: list[Path], size: int) -> None:
    """From files to descriptors, ours beside a plain PyTorch loop."""
    ways: dict[str, Callable[[list[Path]], object]] = {
        "fewlabels.describe": lambda some: fl.describe(some, size=size, cache=False, quiet=True),
        "a plain PyTorch loop": lambda some: plain_loop(some, size),
    }
    for name, way in ways.items():
        beginning = processor_seconds(lambda way=way: way(paths[:1]))  # loads the network, starts processes
        seconds = processor_seconds(lambda way=way: way(paths)) - beginning
        pace = f"{(len(paths) - 1) / seconds:>8,.1f}" if seconds > beginning / 2 else "too few photos to tell:"
        print(f"{name + ', end to end':<44} {pace} a second of a core, after {beginning:.1f} s to begin", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=int, default=60)
    parser.add_argument("--size", type=int, default=160)
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "describe")
    options = parser.parse_args()
    paths, size, count = make_photos(options.folder, options.photos), options.size, options.photos
    contents = [path.read_bytes() for path in paths]
    print(f"{count} JPEGs of {WIDTH} x {HEIGHT}, {sum(map(len, contents)) / count / 1e6:.1f} MB each, {size} px")
    measure_stages(contents, Describer(load_backbone(size=size), DescribeSettings()), size)
    measure_whole(paths, size)


if __name__ == "__main__":
    main()
