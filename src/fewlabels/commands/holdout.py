"""Labels that a run does not train on, to measure it by: a share of the given ones, or those of another file.

Their photos stay among the unlabelled ones, as all photos do that somebody wants labels for.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ..conventions import UNLABELED
from ..data.labels.files import LabelFile, join_labels
from ..data.labels.ids import match_ids
from ..errors import ConfigError, LabelError
from ..randomness import generator
from .task import Task


def hold_out_share(task: Task, share: float, seed: int) -> Task:
    """The task without the labels of a share of each class's photos, drawn by the seed; they are its test labels.

    Each class keeps a label. Raises ConfigError (C114) for a share that is not between 0 and 1, LabelError (L60) where
    no class has two labels.
    """
    if not 0 < share < 1:
        raise ConfigError("C114", f"holdout is {share!r}, expected a share between 0 and 1", do="such as 0.2")
    rng = generator(seed, "holdout")
    hidden: list[int] = []
    for number in range(len(task.class_names)):
        own = rng.permutation(np.flatnonzero(task.labels == number))
        hidden += own[: min(round(share * own.size), own.size - 1)].tolist()
    if not hidden:
        do = "label more photos, or measure with --test-labels"
        raise LabelError("L60", f"no label can be held out: {share:g} of each class is less than one", do=do)
    rows = np.sort(np.array(hidden, np.int64))
    labels = task.labels.copy()
    labels[rows] = UNLABELED
    return _test_on(replace(task, labels=labels), rows, task.labels[rows])


def test_on_file(task: Task, given: LabelFile, *, ignore_unknown_ids: bool) -> Task:
    """The task with the labels of a file to measure by. A photo that is labelled for training does not count there.

    Raises LabelError: L15 and more as label files do, L34 for a class that no training label has, L60 where no photo is
    left to measure on.
    """
    named = match_ids(given, task.ids, ignore_unknown_ids=ignore_unknown_ids)
    truth = join_labels(task.ids, named, class_names=task.class_names, ignore_unknown_ids=ignore_unknown_ids).codes
    rows = np.flatnonzero((truth != UNLABELED) & (task.labels == UNLABELED))
    if not rows.size:
        what = "every photo with a test label is labelled for training too"
        raise LabelError("L60", what, where=given.source, do="give labels of other photos")
    return _test_on(task, rows, truth[rows])


def _test_on(task: Task, rows: NDArray[np.int64], codes: NDArray[np.int64]) -> Task:
    truth = np.full(len(task.labels), UNLABELED)
    truth[rows] = codes
    return replace(task, truth=truth, test_rows=rows, test_truth=codes)
