"""Data sets of the Hugging Face hub, through its library `datasets`: fetched once, then read from its cache."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ...errors import ConfigError, ImageError, install_command, shown
from ..images.decode import ImageFile
from ..images.metadata import LABEL_COLUMNS
from ..images.sources import BATCH_ROWS, IMAGE_COLUMNS, Source
from .facts import Benchmark

HUB = "hub"


def hub_repository(source: str | os.PathLike[str], benchmark: Benchmark) -> str | None:
    """The repository that "hub" or "hub:owner/name" means for this benchmark; None for any other source."""
    word, _, repository = os.fspath(source).partition(":")
    return (repository or benchmark.hub) if word == HUB else None


def open_hub(repository: str, benchmark: Benchmark) -> tuple[Source, Source, list[Path]]:
    """(train, test, files) of a repository, the files being its copy on this machine; a folder will do for one, too.

    Raises ConfigError C56 where the library is missing or the hub cannot be reached, ImageError I33 or I42 for a
    repository without such images or splits.
    """
    parts = _fetch(repository)
    test = next((name for name in benchmark.test_names if name in parts), None)
    if "train" not in parts or test is None:
        what = f"splits {', '.join(parts)}; expected train and {' or '.join(benchmark.test_names)}"
        raise ImageError("I42", what, where=f"hub:{repository}", do="name another repository with hub:owner/name")
    chosen = parts["train"], parts[test]
    files = [Path(file["filename"]) for part in chosen for file in part.cache_files]
    return _make_source(chosen[0], repository), _make_source(chosen[1], repository), files


def _fetch(repository: str) -> dict[str, Any]:
    try:
        import datasets  # 4 s to import, and only this needs it
    except ImportError as problem:
        what = f"the package `datasets` is missing ({problem})"
        do = f"{install_command('hub')}, or download the data set and name its folder"
        raise ConfigError("C56", what, where=f"hub:{repository}", do=do) from problem
    try:
        return dict(datasets.load_dataset(repository))
    except (OSError, ValueError, RuntimeError) as problem:
        reason = shown(str(problem).splitlines()[0] if str(problem) else type(problem).__name__)
        forbidden = [name for name in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE") if os.environ.get(name)]
        state = f"; {' and '.join(forbidden)} forbids to go there" if forbidden else ""
        do = "check the name and the network, or download the data set elsewhere and name its folder"
        raise ConfigError("C56", f"cannot be fetched ({reason}){state}", where=f"hub:{repository}", do=do) from problem


def _make_source(part: Any, repository: str) -> Source:
    """One split as a source of images that are still encoded."""
    import datasets

    features = part.features
    image = next((name for name in IMAGE_COLUMNS if isinstance(features.get(name), datasets.Image)), None)
    label = next((name for name in LABEL_COLUMNS if isinstance(features.get(name), datasets.ClassLabel)), None)
    if image is None or label is None:
        what = f"no columns of images and class labels among {', '.join(features)}"
        raise ImageError("I33", what, where=f"hub:{repository}", do="name another repository with hub:owner/name")
    encoded = part.cast_column(image, datasets.Image(decode=False))
    names = list(features[label].names)
    labels = [names[code] if code is not None and code >= 0 else None for code in encoded[label]]
    ids = [str(row) for row in range(len(labels))]
    return Source(
        ids=ids,
        names=labels,
        files=lambda: _walk_files(encoded, image),
        class_names=names,
        file=lambda at: (encoded[at][image] or {}).get("bytes"),
    )


def _walk_files(encoded: Any, image: str) -> Iterator[ImageFile]:
    for batch in encoded.select_columns([image]).iter(BATCH_ROWS):
        for value in batch[image]:
            yield value and value["bytes"]
