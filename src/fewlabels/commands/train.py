"""`fewlabels train`: from images and a few labels to a run folder."""

from __future__ import annotations

import hashlib
import os
import sys
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import KW_ONLY, asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..conventions import UNLABELED
from ..data.images.decode import FULL_RANGE, MAX_PIXELS
from ..data.images.read import Images, read_images
from ..data.labels.csv import LabelOptions
from ..data.labels.files import LabelFile, Labels, encode_labels, join_labels
from ..data.labels.ids import demand_known, match_ids
from ..data.notes import Note
from ..errors import SHOWN_ROWS, ConfigError, ImageError, InputWarning, LabelError, listed, shown, warn
from ..nets.frozen import frozen_settings
from ..nets.model import StoredModel, read_model
from ..nets.pretrained import Backbone, load_backbone
from ..recipes.images import ImageOptions, image_settings
from ..recipes.photos import NO_BACKBONE, photo_settings
from ..runs import refuse_in_run, refuse_inside, refuse_used_folder
from ..storage.folders import demand_writable
from ..training.epoch import count_steps
from ..training.settings import TrainSettings
from .frozen import choose_blocks, estimate_seconds, estimate_tuning, take_trunk
from .holdout import hold_out_share, test_on_file
from .progress import time_words, track_progress
from .resuming import (
    continue_backbone,
    continue_from,
    demand_network,
    demand_same_machine,
    describe_changes,
    drop_gone,
    read_finished,
    reorder_classes,
)
from .task import Task
from .training import RunOptions, run_training


@dataclass(frozen=True)
class ImageSource:
    """What to read, and how.

    labels: joined to the images by id; None takes sub-folder names, or the label column.
    test: labelled images that only the test error is measured on. test_labels: of images of `data`, that it is measured
        by. holdout: share of the given labels that it is measured by.
    folds: of the cross-validation over the given labels; 0 for none; None: 5 with a backbone, else none.
    groups: of images by id, such as patients: those of one group are in one fold.
    continue_from: finished run whose network the new one starts from.
    accept_truncated: use JPEGs that are cut off; what is missing of them is grey.
    max_pixels: of an image; larger ones are not read.
    folders, pixel_range: as in read_images.
    reading: how labels among the images are read, or the label column; a label file has its own.
    """

    data: Path
    labels: LabelFile | None = None
    _: KW_ONLY
    test: Path | None = None
    test_labels: LabelFile | None = None
    holdout: float | None = None
    folds: int | None = None
    groups: LabelFile | None = None
    image_size: int | None = None
    on_bad_image: str = "skip"
    ignore_unknown_ids: bool = False
    continue_from: Path | None = None
    accept_truncated: bool = False
    max_pixels: int = MAX_PIXELS
    folders: Mapping[str, str] = field(default_factory=dict)
    pixel_range: tuple[int, int] | None = None
    reading: LabelOptions = field(default_factory=LabelOptions)

    def facts(self) -> dict[str, Any]:
        """How the images and labels are opened again, for run.json."""
        return {
            "kind": "images",
            "path": os.path.abspath(self.data),
            "labels": None if self.labels is None else self.labels.address(),
            **(self.labels.options if self.labels is not None else self.reading).facts(),
            "image_size": self.image_size,
            "accept_truncated": self.accept_truncated,
            "max_pixels": self.max_pixels,
            **({"folders": dict(self.folders)} if self.folders else {}),
            **({"pixel_range": list(self.pixel_range)} if self.pixel_range else {}),
        }

    def asked(self) -> dict[str, Any]:
        """All that decides on the result, as it was asked for."""
        places = {"test": self.test, "continue_from": self.continue_from}
        return {
            **self.facts(),
            **{name: None if place is None else os.path.abspath(place) for name, place in places.items()},
            **({"test_labels": self.test_labels.address()} if self.test_labels is not None else {}),
            **({"holdout": self.holdout} if self.holdout is not None else {}),
            **({"folds": self.folds} if self.folds is not None else {}),
            **({"groups": self.groups.address()} if self.groups is not None else {}),
            "on_bad_image": self.on_bad_image,
            "ignore_unknown_ids": self.ignore_unknown_ids,
        }

    def read(self, path: Path, name: str, *, size: int | None, quiet: bool, is_test: bool = False) -> Images:
        follow = track_progress(f"reading {name}", quiet=quiet)
        return read_images(
            path,
            image_size=size,
            on_bad_image=self.on_bad_image,
            accept_truncated=self.accept_truncated,
            max_pixels=self.max_pixels,
            folder_labels=is_test or self.labels is None,
            folders={name: what for name, what in self.folders.items() if not is_test or (path / name).is_dir()},
            pixel_range=self.pixel_range,
            reading=self.reading,
            progress=follow,
        )


def run_images(
    source: ImageSource, options: ImageOptions, folder: str | Path, how: RunOptions | None = None
) -> dict[str, Any]:
    """Read, train, propagate, write the run folder. Returns the results."""
    how = how or RunOptions()
    quiet = how.quiet
    _demand_one_test(source)
    _demand_folds(source, options)
    image_settings(1, 1, 8, options)  # what is out of range is told before minutes of reading
    asked = {"options": asdict(options) | {"source": source.asked()}, "speed": how.speed}
    if how.resume and (done := read_finished(Path(folder), asked)) is not None:
        _say(f"{folder} is finished: nothing is read or trained again", quiet)
        return done
    _demand_place(source, Path(folder), how)
    start = None if source.continue_from is None else read_model(source.continue_from)
    if start is not None:
        source, options = _follow(start, source, options)
    backbone = _load_backbone(start, source, options)
    if backbone is not None:
        source = replace(source, image_size=backbone.preprocessing.size)
    images = source.read(source.data, "images", size=source.image_size, quiet=quiet)
    source = replace(source, labels=source.labels or images.labels, pixel_range=images.pixel_range)
    if start is not None and source.labels is not None:
        here = [*images.ids, *(name for name, _ in images.rejected)]
        source = replace(source, labels=drop_gone(source.labels, start, here))
    given = _given(images, source)
    if start is not None:
        given = reorder_classes(start, given)
    _demand_unlabelled(given, source)
    if images.rejected:
        warn(_left_out(images, given))
    task = replace(_make_task(images, given, backbone), title=_title(source, options))
    task = replace(task, facts={"source": source.facts(), "options": asked["options"]})
    task = _with_test(task, source, quiet=quiet)
    warn_of_copies(task)
    task = _hold_out(task, source, options.seed)
    task = replace(task, num_folds=source.folds, groups=_find_groups(task, source))
    settings = _make_settings(task, options, how.device)
    if start is not None:
        task, settings = continue_from(task, settings, start, options.epochs)
        _say(describe_changes(start, settings), quiet)
    if not quiet:
        _say(describe_plan(task, settings, how.device), quiet)
    return run_training(task, settings, folder, how)


def _follow(start: StoredModel, source: ImageSource, options: ImageOptions) -> tuple[ImageSource, ImageOptions]:
    """Source and options of a run that starts from a finished one's network. Raises ConfigError (C88) for another's."""
    demand_network(start, options.network, ImageOptions.network)
    pixel_range = source.pixel_range or start.image_input.pixel_range or FULL_RANGE
    source = replace(source, image_size=source.image_size or start.image_input.size, pixel_range=pixel_range)
    return source, replace(options, backbone=continue_backbone(start, options.backbone))


def _load_backbone(start: StoredModel | None, source: ImageSource, options: ImageOptions) -> Backbone | None:
    """The backbone, with the trunk of the run that is continued: before any image is read, so that what is missing is
    told at once. Raises ConfigError (C134) where there is none to fine-tune.
    """
    if options.backbone == NO_BACKBONE:
        if options.fine_tune:
            what = "--fine-tune without a backbone: the network is trained as a whole in any case"
            raise ConfigError("C134", what, do="leave it out, or train on a backbone: --backbone efficientnet-lite0")
        return None
    backbone = load_backbone(options.backbone, size=source.image_size)
    return backbone if start is None else take_trunk(backbone, start)


def _make_task(images: Images, given: Labels, backbone: Backbone | None) -> Task:
    return Task(
        pixels=images.pixels if backbone is None else _channels(images.pixels, 3),
        labels=given.codes,
        ids=images.ids,
        class_names=given.class_names,
        title="",
        rejected=images.rejected,
        notes=[*given.left_out, *images.notes],
        pixel_range=images.pixel_range,
        backbone=backbone,
    )


def _make_settings(task: Task, options: ImageOptions, device: str) -> TrainSettings:
    """Those of a head on the task's backbone, or of a whole network where there is none."""
    num_unlabeled = len(task.labels) - task.num_labeled
    if task.backbone is None:
        return image_settings(task.num_labeled, num_unlabeled, task.pixels.shape[1], options)
    network = frozen_settings(task.backbone, mirror=options.mirror)
    unfrozen = choose_blocks(task.backbone, device) if options.fine_tune else 0
    size = task.backbone.preprocessing.size
    return photo_settings(task.num_labeled, num_unlabeled, network, options, unfrozen=unfrozen, size=size)


def _say(text: str, quiet: bool) -> None:
    if text and not quiet:
        print(text, file=sys.stderr, flush=True)


def _demand_unlabelled(given: Labels, source: ImageSource) -> None:
    """Raise LabelError (L42) where every image has a label, and keeps it."""
    if (given.codes != UNLABELED).all() and source.holdout is None:
        raise LabelError(
            "L42",
            f"all {len(given.codes)} images are labelled: there is nothing to propagate to",
            where=source.data,
            do="name the labelled ones in a file and give it with --labels, or put unlabelled images in unlabeled/",
        )


def _demand_place(source: ImageSource, folder: Path, how: RunOptions) -> None:
    """Raise where the folder cannot be written or gone on with: before minutes of reading."""
    refuse_inside(folder, (source.data, source.test))
    refuse_in_run(folder)
    demand_writable(folder)
    if not how.resume:
        refuse_used_folder(folder)
    elif not how.allow_inexact:
        demand_same_machine(folder, how.device)


def _title(source: ImageSource, options: ImageOptions) -> str:
    name = source.data.resolve().name
    return name if options.scale == 1 else f"{name}, a shortened run: {options.scale:g} of the schedule"


def _left_out(images: Images, given: Labels) -> InputWarning:
    count, labelled = len(images.rejected), sum(note.code == "I1" for note in given.left_out)
    first = "; ".join(f"{shown(name)}: {shown(reason)}" for name, reason in images.rejected[:SHOWN_ROWS])
    more = f"; and {count - SHOWN_ROWS} more" if count > SHOWN_ROWS else ""
    lost = f", {labelled} of them labelled (notes.csv)" if labelled else ""
    return InputWarning(
        f"FL-I1 left out {count} of {count + len(images.ids)} images (rejected.csv){lost}: {first}{more}"
    )


def _given(images: Images, source: ImageSource) -> Labels:
    if source.labels is not None:
        known = [*images.ids, *(name for name, _ in images.rejected)]  # a label of an unreadable image is no error
        labels = match_ids(source.labels, known, ignore_unknown_ids=source.ignore_unknown_ids)
        joined = join_labels(known, labels, ignore_unknown_ids=source.ignore_unknown_ids)
        used, lost = np.split(joined.codes, [len(images.ids)])
        notes = [
            Note("I1", source.labels.source, None, id, f"given: {joined.class_names[code]!r}; the image is left out")
            for (id, _), code in zip(images.rejected, lost.tolist(), strict=True)
            if code != UNLABELED
        ]
        return replace(joined, codes=used, left_out=[*joined.left_out, *notes])
    if not any(name is not None for name in images.names):
        raise LabelError(
            "L16",
            "no labels: no class folders and no label column",
            where=source.data,
            do="give a label file with --labels",
        )
    return encode_labels(images.names, class_names=images.class_names)


def _with_test(task: Task, source: ImageSource, *, quiet: bool) -> Task:
    """The task with test images, made like the training images; their labels come from folders or the label column."""
    if source.test is None:
        return task
    images = source.read(source.test, "test images", size=task.pixels.shape[1], quiet=quiet, is_test=True)
    if images.labels is not None and not source.ignore_unknown_ids:
        demand_known(images.labels, [*images.ids, *(name for name, _ in images.rejected)])
    strange = {name for name in images.names if name is not None} - set(task.class_names)
    if strange:
        raise LabelError(
            "L34",
            f"test images of {len(strange)} classes that no training label has, such as {shown(min(strange))!r}",
            where=source.test,
            do=f"leave them out, or label such images for training; the classes are {', '.join(task.class_names[:5])}",
        )
    truth = encode_labels(images.names, class_names=task.class_names).codes
    known = truth != UNLABELED
    unused = len(images.rejected) + int((~known).sum())
    if unused:
        what = (
            f"FL-I38 {len(images.rejected)} test images cannot be read and {(~known).sum()} have no label: the error "
        )
        warn(InputWarning(f"{what}is measured on the other {known.sum()}"))
    if not known.any():
        raise ImageError("I37", "no test image has a label", where=source.test, do="use one sub-folder for each class")
    return replace(
        task,
        test_pixels=_channels(images.pixels[known], task.pixels.shape[3]),
        test_truth=truth[known],
        notes=[*task.notes, *images.notes],
    )


def _hold_out(task: Task, source: ImageSource, seed: int) -> Task:
    """The task with the labels that are only measured by, where some are asked for."""
    if source.holdout is not None:
        return hold_out_share(task, source.holdout, seed)
    if source.test_labels is None:
        return task
    return test_on_file(task, source.test_labels, ignore_unknown_ids=source.ignore_unknown_ids)


def _demand_one_test(source: ImageSource) -> None:
    """Raise ConfigError (C115) where the test labels are to come from several places."""
    asked = [
        name
        for name, given in (("test", source.test), ("test-labels", source.test_labels), ("holdout", source.holdout))
        if given is not None
    ]
    if len(asked) > 1:
        raise ConfigError(
            "C115", f"{' and '.join(f'--{name}' for name in asked)}, expected one of them", do="choose one"
        )


def _demand_folds(source: ImageSource, options: ImageOptions) -> None:
    """Raise ConfigError (C135) for a number of folds that makes no sense, and for folds that would see all labels."""
    folds = source.folds
    if folds is not None and (isinstance(folds, bool) or not isinstance(folds, int) or folds < 0 or folds == 1):
        do = "give 2 or more, or 0 for none"
        raise ConfigError("C135", f"folds is {folds!r}: there is nothing to leave out in turn", do=do)
    if source.groups is not None and folds == 0:
        raise ConfigError("C135", "groups without folds, which alone use them", do="leave one of them out")
    if folds and options.fine_tune:
        what = "folds of a backbone that is trained too: it would be trained once more for each"
        raise ConfigError("C135", what, do="measure by --holdout, --test or --test-labels, or leave out --fine-tune")
    if folds and options.backbone == NO_BACKBONE and source.continue_from is not None:
        what = "folds of a whole network that is continued: it knows by heart what a fold leaves out"
        raise ConfigError("C135", what, do="measure by --holdout, --test or --test-labels")


def _find_groups(task: Task, source: ImageSource) -> np.ndarray | None:
    """(n,) int64 number of each image's group, -1 in none. Ids that are not there were told with the labels."""
    if source.groups is None:
        return None
    named = match_ids(source.groups, task.ids, ignore_unknown_ids=True)
    of_id = dict(zip(named.ids, named.labels, strict=True))
    number = {name: code for code, name in enumerate(sorted({name for name in of_id.values() if name is not None}))}
    groups = [of_id.get(id) for id in task.ids]
    return np.array([UNLABELED if name is None else number[name] for name in groups], np.int64)


def _channels(pixels: np.ndarray, channels: int) -> np.ndarray:
    """The same images with 1 or 3 channels; colour becomes grey by the mean of its channels."""
    if pixels.shape[3] == channels:
        return pixels
    if channels == 3:
        return np.repeat(pixels, 3, axis=3)
    return np.asarray(pixels.mean(axis=3, keepdims=True).round(), np.uint8)


def warn_of_copies(task: Task) -> None:
    """Warn (I21) of equal images with different labels, and of test images that are among the training images."""
    alike: dict[bytes, list[int]] = defaultdict(list)
    for row, digest in enumerate(_digests(task.pixels)):
        alike[digest].append(row)
    contradicting = []
    for rows in alike.values():
        given = [row for row in rows if task.labels[row] != UNLABELED] if len(rows) > 1 else []
        if len({task.labels[row] for row in given}) > 1:
            names = (f"{task.ids[row]} {task.class_names[task.labels[row]]!r}" for row in given[:3])
            contradicting.append(" and ".join(names))
    if contradicting:
        _warn(f"equal images with different labels: {listed(contradicting)}")
    if task.test_pixels is not None and (known := sum(digest in alike for digest in _digests(task.test_pixels))):
        _warn(f"{known} of {task.num_test} test images are among the training images: their error says too little")


def _digests(pixels: np.ndarray) -> list[bytes]:
    return [hashlib.blake2b(image.tobytes(), digest_size=16).digest() for image in pixels]


def _warn(what: str) -> None:
    warn(InputWarning(f"FL-I21 {what}"))


def describe_plan(task: Task, settings: TrainSettings, device: str) -> str:
    """What is about to be trained, and on what: how long it takes depends on the pixels above all.

    With a backbone, how long the descriptors take that are not known yet: by a trial.
    """
    side, phases = task.pixels.shape[1], []
    for phase in settings.phases:
        steps = count_steps(phase, task.labels)
        phases.append(f"{phase.epochs} epochs of {steps:,} step{'s' * (steps != 1)} ({phase.method})")
    plan = (
        f"{len(task.labels):,} images at {side} x {side} pixels (--image-size), {task.num_labeled:,} of them labelled, "
        f"{len(task.class_names)} classes: {', then '.join(phases)}"
    )
    if task.backbone is None:
        times = f"\nthen {task.folds} times more, to cross-validate (--folds)" if task.folds else ""
        return plan + times
    count = len(task.labels) + (0 if task.test_pixels is None else len(task.test_pixels))
    mirror = bool(settings.network.option("mirror"))
    seconds = count * estimate_seconds(task.backbone, device) * (2 if mirror else 1)
    shorter = "--image-size 128 takes two thirds of it" if side > 128 else "a GPU takes a fraction of it"
    shorter = "without --mirror half of it" if mirror else shorter
    first = f"a head on {task.backbone.name}, which stays as it is: about {time_words(seconds)} to describe the photos"
    first += f" once ({shorter}; those described before are kept), then seconds to train"
    return f"{plan}\n{first}{_describe_tuning(task, settings, device)}"


def _describe_tuning(task: Task, settings: TrainSettings, device: str) -> str:
    """How long the phases take that train blocks of the trunk, by a trial; empty without any."""
    phases = [phase for phase in settings.phases if phase.unfrozen]
    if not phases or task.backbone is None:
        return ""
    seconds = sum(
        phase.epochs * estimate_tuning(task.backbone, settings.network, phase, task.labels, device) for phase in phases
    )
    what = f"the last {phases[-1].unfrozen} blocks of the backbone and the head are trained"
    return f"\nthen {what}: about {time_words(seconds)} (--epochs {max(1, phases[-1].epochs // 2)} takes half of it)"
