"""A run's events as TensorBoard shows them. Its files are a view: what counts is events.jsonl.

A run that is taken up writes them anew from its events, so nothing is there twice and nothing that was undone stays.
They are part of the sealed run folder as every other file in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ..errors import ConfigError

FLUSHED_EVERY = 10  # seconds
SCALARS = {
    "loss": "loss",
    "learning_rate": "learning_rate",
    "consistency_weight": "consistency_weight",
    "test_error": "test_error/student",
    "teacher_test_error": "test_error/teacher",
    "pseudo_label_accuracy": "pseudo_labels/accuracy",
    "mean_certainty": "pseudo_labels/certainty",
    "certainty_right": "pseudo_labels/certainty_of_right_ones",
    "certainty_wrong": "pseudo_labels/certainty_of_wrong_ones",
    "unreached": "pseudo_labels/unreached",
}


def need_tensorboard() -> None:
    """Raises ConfigError (C66) where it is not installed."""
    if find_spec("tensorboard") is None:
        raise ConfigError("C66", "TensorBoard is not installed", do="pip install 'fewlabels[tensorboard]'")


class Board:
    """Event files in a folder; those of an earlier attempt are removed. Steps are training steps so far."""

    def __init__(self, folder: Path) -> None:
        from torch.utils.tensorboard import SummaryWriter

        for old in folder.glob("events.out.tfevents.*"):
            old.unlink()
        self._writer = SummaryWriter(str(folder), flush_secs=FLUSHED_EVERY)
        self._steps = 0

    def add(self, event: Mapping[str, Any]) -> None:
        """Show an event: the numbers of an epoch that are known, the words of a guard. Others are not shown."""
        if event["event"] == "epoch":
            self._steps += event["steps"]
            for name, tag in SCALARS.items():
                if event.get(name) is not None:
                    self._writer.add_scalar(tag, event[name], self._steps)
        if event["event"] == "guard":
            self._writer.add_text("guards", event["message"], self._steps)

    def close(self) -> None:
        """All is written to disk."""
        self._writer.close()
