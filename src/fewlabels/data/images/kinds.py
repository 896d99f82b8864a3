"""Kinds of image files, told by their first bytes: what a file is called decides nothing."""

from __future__ import annotations

import re

HEAD = 512  # bytes of a file that are enough to tell its kind

# The kinds that are read, and the endings their files have. Pillow knows more than forty others; most of its security
# holes are in those.
ENDINGS_OF = {
    "PNG": (".png", ".apng"),
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif", ".jif", ".pjpeg", ".pjp", ".mpo"),
    "WEBP": (".webp",),
    "BMP": (".bmp",),
    "GIF": (".gif",),
    "TIFF": (".tif", ".tiff"),
    "PPM": (".ppm", ".pgm", ".pbm", ".pnm"),
    "AVIF": (".avif", ".avifs"),
    "HEIF": (".heic", ".heif", ".hif", ".heics", ".heifs"),
}
ENDINGS = tuple(ending for endings in ENDINGS_OF.values() for ending in endings)
READ = "JPEG, PNG, WebP, BMP, GIF, TIFF, PPM, AVIF and HEIC"
# A raw file is a TIFF inside, and the picture that is found first in it is a small preview.
RAW_ENDINGS = (
    *(".dng", ".cr2", ".cr3", ".crw", ".nef", ".nrw", ".arw", ".srf", ".sr2", ".orf", ".rw2", ".raf", ".pef", ".raw"),
    *(".rwl", ".srw", ".x3f", ".3fr", ".fff", ".iiq", ".kdc", ".dcr", ".mrw", ".erf", ".mef", ".mos"),
)

STARTS = {
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"\xff\xd8\xff": "JPEG",
    b"GIF87a": "GIF",
    b"GIF89a": "GIF",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"II+\0": "TIFF",
    b"MM\0+": "TIFF",
}
PNM = re.compile(rb"P[1-6](\s+|\s*#[^\n]*\n\s*)+\d+\s+(#[^\n]*\n\s*)*\d+\s")
AVIF_BRANDS = (b"avif", b"avis")
HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1")

# What else is often found among images, in words.
OTHER_STARTS = {
    b"%PDF": "a PDF document",
    b"%!PS": "a PostScript document",
    b"8BPS": "a Photoshop document",
    b"\0\0\0\x0cjP  ": "a JPEG 2000 image",
    b"\xff\x4f\xff\x51": "a JPEG 2000 image",
    b"\0\0\0\x0cJXL ": "a JPEG XL image",
    b"\xff\x0a": "a JPEG XL image",
    b"\x76\x2f\x31\x01": "an OpenEXR image",
    b"#?RADIANCE": "a Radiance image",
    b"SIMPLE  =": "a FITS image",
    b"qoif": "a QOI image",
    b"DDS ": "a DDS texture",
    b"\x89HDF\r\n\x1a\n": "an HDF5 file",
    b"\x93NUMPY": "a NumPy array",
    b"FUJIFILMCCD": "a camera's raw image",
    b"\0\0\x01\0": "an icon",
    b"\x1aE\xdf\xa3": "a video",
    b"PK\x03\x04": "a zip archive",
    b"\x1f\x8b": "a gzip archive",
}


def image_kind(head: bytes) -> str | None:
    """A key of ENDINGS_OF for the first HEAD bytes of a file; None where it is of no kind that is read."""
    found = next((kind for start, kind in STARTS.items() if head.startswith(start)), None)
    if found is not None:
        return found
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WEBP"
    if head[4:8] == b"ftyp":
        return _boxed_kind(head)
    if head[:2] == b"BM" and len(head) > 14 and 12 <= int.from_bytes(head[14:18], "little") <= 200:
        return "BMP"
    return "PPM" if PNM.match(head) else None


def _boxed_kind(head: bytes) -> str | None:
    """AVIF or HEIF, by the brands that its first box names; None for a video, which begins alike."""
    end = min(int.from_bytes(head[:4], "big"), len(head))
    brands = [head[8:12], *(head[at : at + 4] for at in range(16, end - 3, 4))]
    if brands[0] in AVIF_BRANDS or (brands[0] in (b"mif1", b"msf1") and any(one in AVIF_BRANDS for one in brands)):
        return "AVIF"
    return "HEIF" if brands[0] in HEIF_BRANDS else None


def other_kind(name: str, head: bytes) -> str:
    """What a file is that is not read, in words for whoever misses it."""
    if name.lower().endswith(RAW_ENDINGS):
        return "a camera's raw image; convert it to JPEG, PNG or TIFF"
    if head[4:8] == b"ftyp":
        return "a video"
    if head[128:132] == b"DICM":
        return "a DICOM image; convert it to PNG or TIFF"
    if head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
        return "SVG, HTML or XML text" if b"<svg" in head or b"<html" in head.lower() else "XML or HTML text"
    found = next((words for start, words in OTHER_STARTS.items() if head.startswith(start)), "no image")
    return f"{found}; convert it to JPEG, PNG or TIFF" if found.endswith("image") and found != "no image" else found
