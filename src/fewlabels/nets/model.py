"""A trained model: the network of a finished run, the images that go into it, and the names of its classes.

torch, safetensors and Pillow are imported when they are needed, so that the names are there without them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..errors import (
    SHOWN_ROWS,
    ConfigError,
    ImageError,
    InputWarning,
    NumericsError,
    RunError,
    demand_packages,
    shown,
    warn,
)
from ..runs import Run, checks, demand_whole, is_finished, read_facts, read_run, schema
from .settings import NAMED, ImageInput, NetworkSettings

if TYPE_CHECKING:
    import torch

    from ..data.images.squares import GivenImages, Square
    from .contract import Output

STUDENT, TEACHER, CONFIG = "model.safetensors", "teacher.safetensors", "model.json"
CPU_BATCH, GPU_BATCH = 128, 512  # images at a time, as in training


@dataclass(frozen=True, kw_only=True)
class StoredModel:
    """A network as a run folder holds it. weights: safetensors.

    class_names: of its last layer, in order. folder, file: where the weights are from.
    """

    weights: bytes
    network: NetworkSettings
    image_input: ImageInput
    class_names: list[str]
    folder: Path
    file: str


def read_model(run: str | Path | Run, *, teacher: bool | None = None) -> StoredModel:
    """Read the network of a finished run, without building it.

    teacher: the averaging teacher instead of the network that it taught; None: the teacher where the run has one, as
    its error is the lower.
    Raises ConfigError (C88) where the run has no such network, RunError for what is no run (K4) or a damaged one (K2).
    """
    folder = run.folder if isinstance(run, Run) else Path(run)
    read_run(folder)
    file = STUDENT if teacher is False or (teacher is None and not (folder / TEACHER).is_file()) else TEACHER
    if not is_finished(folder) or not (folder / file).is_file():
        what = "a run without a teacher" if teacher and (folder / STUDENT).is_file() else "a run without a network"
        do = "give a finished run of train, demo or reproduce; for several seeds, one of its runs"
        raise ConfigError("C88", what, where=folder, do="leave out teacher=True" if "teacher" in what else do)
    demand_whole(folder, (file, CONFIG))
    network, image_input, class_names = _read_config(folder / CONFIG)
    return StoredModel(
        weights=(folder / file).read_bytes(),
        network=network,
        image_input=image_input,
        class_names=class_names,
        folder=folder,
        file=file,
    )


def _read_config(path: Path) -> tuple[NetworkSettings, ImageInput, list[str]]:
    """How the network is built, what goes in, and its classes.

    Raises RunError: K2 where model.json is gone or damaged, K6 for settings of a newer version, K16 for other content.
    """
    if not path.is_file():
        raise RunError("K2", "missing, and it says how the network is built", where=path, do=checks.VERIFY)
    config = checks.read_object(path, schema.MODEL)
    for part, check in (("network", schema.NETWORK), ("image_input", schema.IMAGE_INPUT)):
        checks.demand_known(config[part], check, part, path)
    try:
        network, image_input = NetworkSettings(**config["network"]), ImageInput(**config["image_input"])
    except ConfigError as problem:
        what = f"not what a run has there: {problem.what}"
        raise RunError("K16", what, where=path, do=checks.FOREIGN) from problem
    return network, image_input, list(config["class_names"])


def load_model(run: str | Path | Run, *, teacher: bool | None = None, device: str = "auto") -> Model:
    """Load the network of a finished run, to classify new images. torch's random numbers stay as they are.

    run: a folder, or what `train` returned. teacher: see `read_model`. device: "auto" (a GPU where there is one),
    "cpu", "cuda" or "cuda:N". A network `module:IMPORT.PATH:FUNCTION` runs the code that it names: look at model.json
    first where somebody else sent the run.
    Raises ConfigError where the run has no such network (C88), its code is not to be had (C52, C53), the device is not
    there (C7) or packages are missing (C23); RunError for what is no run (K4), a damaged file (K2), and weights that do
    not fit the network as it is built now (K7).
    """
    demand_packages("networks need", "torch", "safetensors", "PIL")
    stored = read_model(run, teacher=teacher)
    source = read_facts(stored.folder).get("source", {})
    reading = {name: source[name] for name in ("accept_truncated", "max_pixels") if name in source}
    where = choose_device(device)
    return Model(
        network=_build(stored).eval().to(where),
        image_input=stored.image_input,
        class_names=tuple(stored.class_names),
        device=where,
        **reading,
    )


def _build(stored: StoredModel) -> torch.nn.Module:
    """The network with the weights of the run; none are downloaded. Raises RunError (K7) where they do not fit."""
    import torch

    from .builders import build_network

    settings = stored.network
    if settings.pretrains:
        settings = replace(settings, pretrained=False)
    arguments = settings, stored.image_input, len(stored.class_names)
    where = stored.folder / stored.file
    with torch.random.fork_rng(devices=[]):
        if settings.kind in NAMED:  # forged sizes would take all memory: without any, shapes are known as well
            with torch.device("meta"):
                _demand_shapes(build_network(*arguments), stored.weights, where)
        network = build_network(*arguments)
    load_weights(network, stored.weights, where)
    return network


def _demand_shapes(network: torch.nn.Module, weights: bytes, where: Path) -> None:
    there = {name: list(tensor.shape) for name, tensor in _read_weights(weights, where).items()}
    now = {name: list(tensor.shape) for name, tensor in network.state_dict().items()}
    for name in dict.fromkeys((*now, *there)):
        if there.get(name) != now.get(name):
            raise _misfit(f"{name} is {there.get(name, 'not')} there, {now.get(name, 'not')} in the network", where)


def load_weights(network: torch.nn.Module, weights: bytes, where: object) -> None:
    """Load the weights of a run, safetensors, into a network. Raises RunError (K7) where they do not fit it."""
    try:
        network.load_state_dict(_read_weights(weights, where))
    except RuntimeError as error:
        raise _misfit(" ".join(shown(error, 500).split()), where) from error


def _read_weights(weights: bytes, where: object) -> dict[str, torch.Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        return load(weights)
    except (SafetensorError, ValueError, KeyError, OverflowError) as error:
        raise _misfit(f"they are no safetensors ({shown(error)})", where) from error


def _misfit(what: str, where: object) -> RunError:
    what = f"the weights do not fit the network as it is built now: {what}"
    return RunError("K7", what, where=where, do="use the code and the versions that the run was made with")


@dataclass(frozen=True, kw_only=True)
class Predictions:
    """What a model says of n images, in their order.

    id: path or name of each image, or its number. label: its class by name; None where it cannot be read.
    number: (n,) int64, the place of the class in class_names; -1 where the image cannot be read.
    probability: (n, c) float64, the network's softmax, not calibrated; uniform where the image cannot be read.
    rejected: (id, reason) of each image that cannot be read.
    """

    id: list[str]
    label: list[str | None]
    number: NDArray[np.int64]
    probability: NDArray[np.float64]
    class_names: tuple[str, ...]
    rejected: list[tuple[str, str]]

    def __repr__(self) -> str:
        counts = ", ".join(f"{count} {shown(name)}" for name, count in Counter(filter(None, self.label)).most_common(5))
        unread = f", {len(self.rejected)} not read" if self.rejected else ""
        return f"Predictions({len(self.id)} images{unread}: {counts or 'none'})"


@dataclass(frozen=True, kw_only=True)
class Model:
    """A trained network with its classes: `predict` names them, `describe` gives descriptors.

    network: (b, channels, size, size) pixels in [0, 255] -> Output, on `device`. image_input: channels, size and scale
    of its pixels. class_names: of the columns of its logits. accept_truncated, max_pixels: how images are read, as in
    the run.

    images, in all methods: the path of an image, of a folder (all images below it) or of Parquet; a list of paths; a
    PIL image, a uint8 array (h, w, 3) or (n, h, w, 3), or a list of such. They are read as in training: turned upright,
    cut to their centred square, resized. Some are held at a time, however many there are.
    """

    network: torch.nn.Module
    image_input: ImageInput
    class_names: tuple[str, ...]
    device: str = "cpu"
    accept_truncated: bool = False
    max_pixels: int = 64_000_000

    @property
    def image_size(self) -> int:
        """Pixels along a side of what the network sees."""
        return self.image_input.size

    def predict(self, images: GivenImages) -> Predictions:
        """Name the class of each image.

        Warns (InputWarning, I1) of images that cannot be read; they have no class and stand in `rejected`.
        Raises ImageError (I30-I33) where the input is no image, NumericsError (P22) for an answer of NaN or infinity.
        """
        squares, logits = self._answers(images, lambda output: output.logits)
        probability = np.full((len(squares), len(self.class_names)), 1 / len(self.class_names))
        number = np.full(len(squares), -1)
        is_read = np.array([not reason for _, reason in squares], bool)
        if is_read.any():
            probability[is_read] = _softmax(np.concatenate(logits).astype(np.float64))
            number[is_read] = probability[is_read].argmax(axis=1)
        rejected = [(id, reason) for id, reason in squares if reason]
        if rejected:
            said = "; ".join(f"{shown(id)}: {shown(reason)}" for id, reason in rejected[:SHOWN_ROWS])
            what = f"FL-I1 {len(rejected)} of {len(squares)} images cannot be read and get no class: {said}"
            warn(InputWarning(what))
        return Predictions(
            id=[id for id, _ in squares],
            label=[self.class_names[at] if at >= 0 else None for at in number.tolist()],
            number=number,
            probability=probability,
            class_names=self.class_names,
            rejected=rejected,
        )

    def describe(self, images: GivenImages) -> NDArray[np.float32]:
        """(n, d) float32 descriptors of the images, such as for `propagate`: a row for each, in their order.

        Raises ImageError (I1) for images that cannot be read, as no row can stand for them, and as `predict` does.
        """
        rows = self._answers(images, lambda output: output.descriptor, fail=True)[1]
        return np.concatenate(rows)

    def _answers(
        self, images: GivenImages, part: Callable[[Output], torch.Tensor], *, fail: bool = False
    ) -> tuple[list[tuple[str, str]], list[NDArray[np.float32]]]:
        """The (id, reason) of each image, no reason where it could be read; and answers to those that could."""
        import torch

        told: list[tuple[str, str]] = []
        found: list[NDArray[np.float32]] = []
        for batch in self._batches(images):
            told += [(square.id, square.reason) for square in batch]
            bad = [f"{square.id}: {square.reason}" for square in batch if square.pixels is None]
            if bad and fail:
                do = "leave them out; `predict` lists all of them as rejected"
                raise ImageError("I1", "images that cannot be read", rows=bad, do=do)
            pixels = [square.pixels for square in batch if square.pixels is not None]
            if pixels:
                with torch.no_grad():
                    answer = part(self._output(np.stack(pixels))).float().cpu().numpy()
                self._demand_finite(answer, [square.id for square in batch if square.pixels is not None])
                found.append(answer)
        return told, found

    def _batches(self, images: GivenImages) -> Iterator[list[Square]]:
        """Images in batches with as many that can be read as in training, so that sums come out alike."""
        from ..data.images.squares import read_squares

        most = CPU_BATCH if self.device == "cpu" else GPU_BATCH
        batch: list[Square] = []
        readable = 0
        for square in read_squares(
            images,
            self.image_input.size,
            grey=self.image_input.channels == 1,
            pixel_range=self.image_input.pixel_range,
            accept_truncated=self.accept_truncated,
            max_pixels=self.max_pixels,
        ):
            batch.append(square)
            readable += square.pixels is not None
            if readable == most or len(batch) == 4 * most:
                yield batch
                batch, readable = [], 0
        if batch:
            yield batch

    def _output(self, pixels: NDArray[np.uint8]) -> Output:
        import torch

        from .contract import Output

        batch = torch.from_numpy(pixels).to(self.device).permute(0, 3, 1, 2).float()
        return Output(*self.network.eval()(batch))

    def _demand_finite(self, answer: NDArray[np.float32], ids: list[str]) -> None:
        bad = np.flatnonzero(~np.isfinite(answer).all(axis=1))
        if bad.size:
            what = f"the network answers {bad.size} of {len(ids)} images by NaN or infinity"
            raise NumericsError("P22", what, rows=[ids[row] for row in bad], do="look at these images, or train again")


def _softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(shares / shares.sum(axis=1, keepdims=True))


def choose_device(name: str) -> str:
    """The device to use: "auto" takes a GPU where there is one. Raises ConfigError (C7) for one that is not there."""
    import torch

    available = torch.cuda.is_available()
    if name == "auto":
        return "cuda" if available else "cpu"
    if name == "cpu" or (name.startswith("cuda") and available):
        try:
            torch.device(name)
        except RuntimeError:
            pass
        else:
            index = torch.device(name).index or 0
            if name == "cpu" or index < torch.cuda.device_count():
                return name
    here = ["cpu", *(f"cuda:{i}" for i in range(torch.cuda.device_count()))]
    raise ConfigError("C7", f"device {name!r} is not on this machine", do=f"it has: {', '.join(here)}")
