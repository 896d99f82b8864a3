"""`fewlabels cache`: what is kept from one command to the next."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from ..describing.cache import CachedModel, list_models, remove_model
from ..errors import ConfigError
from ..storage.cache_folder import cache_folder
from .text import align


def run_cache(model: str | None = None, *, clear: bool = False) -> dict[str, Any]:
    """What is kept for a model (or those whose names begin so), or for all; removed if `clear`.

    Raises ConfigError (C97) for a model that nothing is kept for, StorageError (D1) where a file cannot be removed.
    """
    folder = cache_folder()
    models = [one for one in list_models(folder) if model is None or one.name.startswith(model)]
    if model is not None and not models:
        raise ConfigError("C97", f"nothing is kept for {model!r}", where=folder, do="`fewlabels cache` lists the names")
    for one in models if clear else ():
        remove_model(one)
    rows = [_describe(one) for one in models]
    other = sum(file.stat().st_size for file in _others(folder)) if model is None else 0
    return {"folder": str(folder), "cleared": clear, "models": rows, "other_bytes": other}


def _describe(one: CachedModel) -> dict[str, Any]:
    size = one.facts.get("preprocessing", {}).get("size")
    return {
        "name": one.name,
        "photos": one.photos,
        "bytes": one.size,
        "days_since_use": round((time.time() - one.used) / 86400, 1),
        "size": size,
        "mirror": one.facts.get("mirror"),
        "precision": one.facts.get("precision"),
        "file": str(one.path),
    }


def _others(folder: Path) -> list[Path]:
    """Such as weights."""
    known = folder / "descriptors"
    return [path for path in folder.rglob("*") if path.is_file() and not path.is_relative_to(known)]


def format_cache(found: dict[str, Any]) -> str:
    """A table of the models, for a terminal."""
    total = sum(row["bytes"] for row in found["models"])
    if found["cleared"]:
        return f"removed {_size(total)} of {len(found['models'])} models from {found['folder']}"
    lines = [f"{_size(total)} of descriptors in {found['folder']}"]
    if found["other_bytes"]:
        lines[0] += f", and {_size(found['other_bytes'])} of weights"
    if found["models"]:
        head = ("model", "photos", "size", "pixels", "mirror", "precision", "days since use")
        rows = [
            (
                row["name"],
                "-" if row["photos"] is None else f"{row['photos']:,}",
                _size(row["bytes"]),
                str(row["size"] or "-"),
                {True: "yes", False: "no", None: "damaged"}[row["mirror"]],
                row["precision"] or "-",
                f"{row['days_since_use']:.0f}",
            )
            for row in found["models"]
        ]
        lines += ["", align([head, *rows])]
    return "\n".join(lines)


def _size(count: int) -> str:
    return f"{count / 2**30:.1f} GiB" if count >= 2**30 else f"{count / 2**20:.1f} MiB"
