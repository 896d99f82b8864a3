"""Whether the code of a network of one's own is what it was. Nothing here needs torch."""

from __future__ import annotations

import hashlib
from importlib import import_module
from pathlib import Path


def source_digest(name: str) -> str | None:
    """The start of the SHA-256, 32 hex digits, of the file that a network `module:IMPORT.PATH:FUNCTION` comes from.

    Importing it runs its code. Files that it imports in turn do not count. None for other names, and where no source
    file can be read: a built-in or compiled module, or one that cannot be imported, which build_network tells.
    """
    kind, _, detail = name.partition(":")
    path = detail.partition(":")[0]
    if kind != "module" or not path:
        return None
    try:
        file = getattr(import_module(path), "__file__", None)
        source = Path(file).read_bytes() if file is not None and file.endswith(".py") else None
    except Exception:  # noqa: BLE001  whatever the user's code raises, build_network meets it too and says so
        return None
    return None if source is None else hashlib.sha256(source).hexdigest()[:32]
