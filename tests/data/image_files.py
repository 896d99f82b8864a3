"""Small real image files for the tests, good and bad."""

from __future__ import annotations

import io
import json
import struct
import zlib

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image


def noise(height: int = 32, width: int = 32, channels: int = 3, seed: int = 0) -> np.ndarray:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8)
    return pixels[:, :, 0] if channels == 1 else pixels


def encoded(image: Image.Image | np.ndarray, kind: str = "PNG", **options) -> bytes:
    file = io.BytesIO()
    (Image.fromarray(image) if isinstance(image, np.ndarray) else image).save(file, kind, **options)
    return file.getvalue()


def cut_in_half(kind: str = "JPEG") -> bytes:
    """An image whose header is whole and whose pixels end in the middle."""
    content = encoded(noise(64, 64), kind)
    return content[: len(content) // 2]


def solid(color, mode: str = "RGB", size: tuple[int, int] = (8, 8)) -> Image.Image:
    return Image.new(mode, size, color)


def png_claiming(width: int, height: int) -> bytes:
    """A few bytes that claim to be a huge grey image."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    )


def folder(root, files: dict[str, bytes]):
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return root


def hub_parquet(
    path, images: pa.Array | list, label=None, class_names=None, column="image", label_column="label", **more
):
    """A Parquet file as the Hugging Face hub writes them."""
    columns = {column: images if isinstance(images, pa.Array) else structs(images), **more}
    features: dict = {column: {"_type": "Image"}}
    if label is not None:
        columns[label_column] = label
        if class_names is not None:
            features[label_column] = {"names": class_names, "_type": "ClassLabel"}
    metadata = {b"huggingface": json.dumps({"info": {"features": features}}).encode()}
    pq.write_table(pa.table(columns).replace_schema_metadata(metadata), path)
    return path


def structs(images: list) -> pa.Array:
    """bytes, or (bytes, path), or None for each image."""
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    rows = [i if isinstance(i, tuple) else (i, None) for i in images]
    return pa.array([None if r == (None, None) else {"bytes": r[0], "path": r[1]} for r in rows], kind)
