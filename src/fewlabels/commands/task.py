"""The data of a training run: images, the few labels, test images; and how the images get to the device."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field, replace
from typing import Any

import numpy as np
import torch

from ..conventions import UNLABELED
from ..data.notes import Note
from ..nets.frozen import image_input_of
from ..nets.pretrained import Backbone
from ..nets.settings import ImageInput

USUAL_FOLDS = 5  # with a frozen trunk; a whole network has none unless they are asked for
MOST_OF_A_GPU = 0.5  # of its free memory; the rest is for the network and its activations


@dataclass(frozen=True)
class Task:
    """Images, the few labels among them, and what a run is measured by.

    pixels: (n, h, w, c) uint8. labels: (n,) int64, -1 where unlabelled. ids: n texts. class_names: c texts.
    test_pixels, test_truth: images and labels that only the error is measured on; None if there are none.
    test_rows: (t,) int64, rows that are such images, instead of test_pixels.
    truth: (n,) int64, -1 where unknown: to measure pseudo-labels by, never trained on; None if unknown throughout.
    title: one line that names the task in the report. rejected: (id, reason) of inputs left out.
    notes: odd input that was used, or left out as was asked.
    mean, std: of pixel values, one for each channel, that the network works with; None: those of all images.
    facts: more for run.json, such as where the labels come from.
    pixel_range: what became 0 and 255 of images with more than 8 bits; None where there were none.
    backbone: pretrained network whose trunk stays as it is; the pixels are RGB, of its size. None: all is trained.
    num_folds: of the cross-validation; 0 for none; None: the usual ones with a backbone, else none. groups: (n,) int64,
        rows of one group are never on two sides of it, -1 in none; None for no groups.
    start_weights: safetensors that the network starts from; None: weights drawn from the seed.
    """

    pixels: np.ndarray
    labels: np.ndarray
    ids: Sequence[str]
    class_names: Sequence[str]
    title: str
    _: KW_ONLY
    test_pixels: np.ndarray | None = None
    test_truth: np.ndarray | None = None
    test_rows: np.ndarray | None = None
    truth: np.ndarray | None = None
    rejected: Sequence[tuple[str, str]] = ()
    mean: Sequence[float] | None = None
    std: Sequence[float] | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    backbone: Backbone | None = None
    num_folds: int | None = None
    groups: np.ndarray | None = None
    start_weights: bytes | None = None
    notes: Sequence[Note] = ()
    pixel_range: tuple[int, int] | None = None

    @property
    def num_labeled(self) -> int:
        return int((self.labels != UNLABELED).sum())

    @property
    def num_test(self) -> int:
        return 0 if self.test_truth is None else len(self.test_truth)

    @property
    def folds(self) -> int:
        """Of the cross-validation, 0 for none."""
        if self.num_folds is not None:
            return self.num_folds
        return 0 if self.backbone is None else USUAL_FOLDS

    def tested_pixels(self) -> np.ndarray:
        """(t, h, w, c) uint8 of the test images, which are there."""
        found = self.pixels[self.test_rows] if self.test_rows is not None else self.test_pixels
        assert found is not None
        return found

    def image_input(self) -> ImageInput:
        """What the network takes. Pixel mean and deviation are the backbone's; without one those of all images,
        labelled or not, unless given.
        """
        if self.backbone is not None:
            return replace(image_input_of(self.backbone), pixel_range=self.pixel_range)
        mean, std = self.mean, self.std
        if mean is None:
            mean = self.pixels.mean(axis=(0, 1, 2), dtype=np.float64).tolist()
        if std is None:
            std = np.maximum(self.pixels.std(axis=(0, 1, 2), dtype=np.float64), 1.0).tolist()
        return ImageInput(self.pixels.shape[3], self.pixels.shape[1], mean, std, self.pixel_range)

    def fingerprint(self) -> dict[str, Any]:
        """Hashes of all that is in it: what must be the same for a run to be taken up again."""
        arrays = {"pixels": self.pixels, "labels": self.labels, "truth": self.truth}
        arrays |= {"test_pixels": self.test_pixels, "test_truth": self.test_truth}
        texts = {"ids": self.ids, "class_names": self.class_names}
        hashes = {name: None if array is None else _hash(np.ascontiguousarray(array)) for name, array in arrays.items()}
        if self.groups is not None:
            hashes["groups"] = _hash(self.groups)
        if self.test_rows is not None:
            hashes["test_rows"] = _hash(self.test_rows)
        if self.backbone is not None:
            hashes["backbone"] = self.backbone.weights_digest
        if self.start_weights is not None:
            hashes["start_weights"] = _hash(self.start_weights)
        return hashes | {name: _hash("\0".join(text).encode("utf-8", "surrogatepass")) for name, text in texts.items()}


def _hash(data: np.ndarray | bytes) -> str:
    digest = hashlib.sha256(str(getattr(data, "shape", "")).encode())
    digest.update(data.data if isinstance(data, np.ndarray) else data)
    return digest.hexdigest()[:32]


def put_on_device(pixels: np.ndarray, device: torch.device) -> torch.Tensor:
    """All images as one tensor: on the device, or in main memory where they would take more than half of a GPU.

    pixels: (n, h, w, c) uint8, which may be a map of a file; nothing is written to them.
    """
    with warnings.catch_warnings():  # torch warns that a read-only array could be written to: it is not
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        images = torch.from_numpy(pixels)
    if device.type == "cuda" and pixels.nbytes > MOST_OF_A_GPU * torch.cuda.mem_get_info(device)[0]:
        return images
    return images.to(device)
