"""Where things are kept that can be computed or fetched again: one folder for all of fewlabels."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """The folder for what can be made again; it need not exist yet, and may be removed at any time.

    $FEWLABELS_CACHE where it is set, else fewlabels/ in $XDG_CACHE_HOME, else ~/.cache/fewlabels. A relative
    $XDG_CACHE_HOME does not count (XDG base directory specification); a relative $FEWLABELS_CACHE is one from here.
    """
    own = os.environ.get("FEWLABELS_CACHE")
    if own:
        return Path(own).expanduser().absolute()
    shared = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return (shared if shared.is_absolute() else Path.home() / ".cache") / "fewlabels"
