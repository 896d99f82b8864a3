"""A trained model: the network of a finished run, the images that go into it, and the names of its classes.

torch, safetensors and Pillow are imported when they are needed, so that the names are there without them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..choosing.abstain import Curve, Threshold, is_sure, unpack_curve
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
from ..runs import Run, checks, demand_whole, is_begun, is_finished, is_labelling, read_facts, read_run, schema
from .settings import NAMED, ImageInput, NetworkSettings

if TYPE_CHECKING:
    import torch

    from ..data.images.squares import GivenImages, Square
    from .contract import Output

STUDENT, TEACHER, CONFIG = "model.safetensors", "teacher.safetensors", "model.json"
CPU_BATCH, GPU_BATCH = 128, 512  # images at a time, as in training
FROZEN_CPU_BATCH, FROZEN_GPU_BATCH = 8, 256  # on a frozen trunk, as photos are described
WANTED_ERROR = 0.05
TRUNK = "trunk."  # what the names of its weights begin with


@dataclass(frozen=True, kw_only=True)
class StoredModel:
    """A network as a run folder or an export holds it. weights: safetensors.

    class_names: of its last layer, in order. folder, file: where the weights are from. config: all of model.json.
    reading: accept_truncated and max_pixels, as images were read for it.
    """

    weights: bytes
    network: NetworkSettings
    image_input: ImageInput
    class_names: list[str]
    folder: Path
    file: str
    config: dict[str, Any] = field(default_factory=dict)
    reading: dict[str, Any] = field(default_factory=dict)


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
        if is_labelling(folder):
            do = f"train one on its labels: `fewlabels train PHOTOS --labels {folder}`"
        raise ConfigError("C88", what, where=folder, do="leave out teacher=True" if "teacher" in what else do)
    demand_whole(folder, (file, CONFIG))
    source = read_facts(folder).get("source") or {}
    reading = {name: source[name] for name in ("accept_truncated", "max_pixels") if name in source}
    return _read_stored(folder, file, reading)


def is_export(folder: Path) -> bool:
    """Whether `export-model --folder` made it: a model without a run."""
    return not is_begun(folder) and (folder / CONFIG).is_file()


def read_export(folder: Path) -> StoredModel:
    """Read what `export-model --folder` wrote: model.safetensors and model.json are enough.

    Raises RunError: K2 where a file is gone or damaged, K6 for settings of a newer version, K16 for other content.
    """
    if not (folder / STUDENT).is_file():
        raise RunError("K2", "missing, and it holds the weights", where=folder / STUDENT, do="export the model again")
    stored = _read_stored(folder, STUDENT)
    if stored.config.get("weights_sha256", digest := sha256(stored.weights).hexdigest()) != digest:
        what = "not the weights that model.json names: damaged, or of another export"
        raise RunError("K2", what, where=folder / STUDENT, do="copy or export both files again")
    return replace(stored, reading=stored.config.get("reading", {}))


def read_any(folder: Path, *, teacher: bool | None = None) -> StoredModel:
    """The model of a finished run, as read_model, or of an export, as read_export."""
    if not is_export(folder):
        return read_model(folder, teacher=teacher)
    if teacher:
        raise ConfigError("C88", "an export, which has one network", where=folder, do="leave out teacher=True")
    return read_export(folder)


def _read_stored(folder: Path, file: str, reading: dict[str, Any] | None = None) -> StoredModel:
    """Raises RunError: K2 where model.json is gone or damaged, K6 for settings of a newer version, K16 for other
    content."""
    path = folder / CONFIG
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
    return StoredModel(
        weights=(folder / file).read_bytes(),
        network=network,
        image_input=image_input,
        class_names=list(config["class_names"]),
        folder=folder,
        file=file,
        config=config,
        reading=reading or {},
    )


def load_model(run: str | Path | Run, *, teacher: bool | None = None, device: str = "auto") -> Model:
    """Load the network of a finished run, to classify new images. torch's random numbers stay as they are.

    run: a folder, of a run or of `export-model --folder`, or what `train` returned. teacher: see `read_model`.
    device: "auto" (a GPU where there is one), "cpu", "cuda" or "cuda:N".
    A network `module:IMPORT.PATH:FUNCTION` runs the code that it names: look at model.json first where somebody else
    sent the run.
    Raises ConfigError where the run has no such network (C88), its code is not to be had (C52, C53), the device is not
    there (C7) or packages are missing (C23); RunError for what is no run (K4), a damaged file (K2), and weights that do
    not fit the network as it is built now (K7).
    """
    demand_packages("networks need", "torch", "safetensors", "PIL")
    return make_model(read_any(run.folder if isinstance(run, Run) else Path(run), teacher=teacher), device)


def make_model(stored: StoredModel, device: str = "auto") -> Model:
    """The model of what was stored. Raises what load_model raises of the network and the device."""
    where = choose_device(device)
    is_frozen = stored.network.kind == "frozen"
    sizes = (FROZEN_CPU_BATCH, FROZEN_GPU_BATCH) if is_frozen else (CPU_BATCH, GPU_BATCH)
    return Model(
        network=_build(stored).eval().to(where),
        image_input=stored.image_input,
        class_names=tuple(stored.class_names),
        device=where,
        batch_size=sizes[0 if where == "cpu" else 1],
        fills_batches=is_frozen,
        temperature=stored.config.get("temperature"),
        held_out=_read_curve(stored),
        **stored.reading,
    )


def _read_curve(stored: StoredModel) -> Curve | None:
    """What was measured on held-out labels. Raises RunError (K16) for counts that contradict each other."""
    found = stored.config.get("held_out")
    if found is None:
        return None
    try:
        return unpack_curve(found)
    except ValueError as problem:
        what = f"not what a run has there: {problem}"
        raise RunError("K16", what, where=stored.folder / CONFIG, do=checks.FOREIGN) from problem


def _build(stored: StoredModel) -> torch.nn.Module:
    """The network with the weights of the run. Only a trunk that was left out of an export is looked for elsewhere.

    Raises RunError (K7) where weights do not fit.
    """
    import torch

    from .builders import build_network

    if stored.config.get("without_trunk"):
        return _build_on_own_trunk(stored)

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


def _build_on_own_trunk(stored: StoredModel) -> torch.nn.Module:
    """The head of the export on the backbone of this machine, whose weights must be those that it was trained on.

    Raises what load_backbone raises where it is not here.
    """
    from .frozen import Head, join_trunk
    from .pretrained import load_backbone

    where = stored.folder / stored.file
    backbone = load_backbone(stored.network.detail, size=stored.image_input.size)
    if backbone.weights_digest != (stored.config.get("backbone") or {}).get("weights_digest"):
        what = f"the weights of {backbone.name} are others here than those that the head was trained on"
        raise RunError("K7", what, where=where, do="install the same weights, or export with the trunk")
    network = join_trunk(backbone, Head(stored.network, backbone.width, len(stored.class_names)), stored.network)
    own = {name: tensor for name, tensor in network.state_dict().items() if name.startswith(TRUNK)}
    load_weights(network, stored.weights, where, own)
    return network


def _demand_shapes(network: torch.nn.Module, weights: bytes, where: Path) -> None:
    there = {name: list(tensor.shape) for name, tensor in _read_weights(weights, where).items()}
    now = {name: list(tensor.shape) for name, tensor in network.state_dict().items()}
    for name in dict.fromkeys((*now, *there)):
        if there.get(name) != now.get(name):
            raise _misfit(f"{name} is {there.get(name, 'not')} there, {now.get(name, 'not')} in the network", where)


def load_weights(
    network: torch.nn.Module,
    weights: bytes,
    where: object,
    own: Mapping[str, torch.Tensor] | None = None,
    prefix: str = "",
) -> None:
    """Load the weights of a run, safetensors, into a network. own: tensors that come with it instead.

    prefix: of the names of those that are for this network, where it is a part of the run's.
    Raises RunError (K7) where they do not fit it.
    """
    there = {
        name.removeprefix(prefix): value
        for name, value in _read_weights(weights, where).items()
        if name.startswith(prefix)
    }
    try:
        network.load_state_dict({**there, **(own or {})})
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


class Answer(NamedTuple):
    """What the network says of one image. id: its path or name, or its number.

    logits: (c,) float32; descriptor: (d,) float32. Both are None where the image cannot be read, and `reason` says why.
    """

    id: str
    logits: NDArray[np.float32] | None = None
    descriptor: NDArray[np.float32] | None = None
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class Predictions:
    """What a model says of n images, in their order.

    id: path or name of each image, or its number. label: its class by name; None where it cannot be read.
    number: (n,) int64, the place of the class in class_names; -1 where the image cannot be read.
    probability: (n, c) float64; uniform where the image cannot be read.
    calibrated: whether probabilities were fitted on labels that were held out, so that of many images with .9 about
        nine in ten are right; else they are the network's softmax, which is often far too sure.
    sure: (n,) bool, whether the probability is high enough for the wanted error; None where nothing is known of it.
    rejected: (id, reason) of each image that cannot be read.
    """

    id: list[str]
    label: list[str | None]
    number: NDArray[np.int64]
    probability: NDArray[np.float64]
    class_names: tuple[str, ...]
    rejected: list[tuple[str, str]]
    calibrated: bool = False
    sure: NDArray[np.bool_] | None = None

    def __repr__(self) -> str:
        counts = ", ".join(f"{count} {shown(name)}" for name, count in Counter(filter(None, self.label)).most_common(5))
        unread = f", {len(self.rejected)} not read" if self.rejected else ""
        return f"Predictions({len(self.id)} images{unread}: {counts or 'none'})"


@dataclass(frozen=True, kw_only=True)
class Model:
    """A trained network with its classes: `predict` names them, `describe` gives descriptors.

    network: (b, channels, size, size) pixels in [0, 255] -> Output, on `device`. image_input: channels, size and scale
    of its pixels. class_names: of the columns of its logits. accept_truncated, max_pixels: how images are read, as in
    the run. batch_size: images at a time. fills_batches: every batch has that size, the last one filled up with black
    images, so that an answer does not depend on the other images.
    temperature: by which logits are divided, fitted on held-out labels; None where none could be held out.
    held_out: how many of those were wrong from each probability up.

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
    batch_size: int = CPU_BATCH
    fills_batches: bool = False
    temperature: float | None = None
    held_out: Curve | None = None

    @property
    def image_size(self) -> int:
        """Pixels along a side of what the network sees."""
        return self.image_input.size

    def predict(self, images: GivenImages, *, wanted_error: float = WANTED_ERROR) -> Predictions:
        """Name the class of each image.

        wanted_error: share of wrong labels among those that are `sure`.
        Warns (InputWarning, I1) of images that cannot be read; they have no class and stand in `rejected`.
        Raises ImageError (I30-I33) where the input is no image, NumericsError (P22) for an answer of NaN or infinity,
        ConfigError (C122) for an error that is not between 0 and 1.
        """
        threshold = self.find_threshold(wanted_error)
        answers = [answer._replace(descriptor=None) for answer in self.answer(images)]
        probability = np.full((len(answers), len(self.class_names)), 1 / len(self.class_names))
        number = np.full(len(answers), -1)
        is_read = np.array([not answer.reason for answer in answers], bool)
        if is_read.any():
            logits = np.stack([answer.logits for answer in answers if answer.logits is not None])
            probability[is_read] = self.find_probabilities(logits)
            number[is_read] = probability[is_read].argmax(axis=1)
        rejected = [(answer.id, answer.reason) for answer in answers if answer.reason]
        if rejected:
            said = "; ".join(f"{shown(id)}: {shown(reason)}" for id, reason in rejected[:SHOWN_ROWS])
            what = f"FL-I1 {len(rejected)} of {len(answers)} images cannot be read and get no class: {said}"
            warn(InputWarning(what))
        return Predictions(
            id=[answer.id for answer in answers],
            label=[self.class_names[at] if at >= 0 else None for at in number.tolist()],
            number=number,
            probability=probability,
            class_names=self.class_names,
            rejected=rejected,
            calibrated=self.temperature is not None,
            sure=None if threshold is None else is_read & is_sure(probability.max(axis=1), threshold),
        )

    def describe(self, images: GivenImages) -> NDArray[np.float32]:
        """(n, d) float32 descriptors of the images, such as for `propagate`: a row for each, in their order.

        Raises ImageError (I1) for images that cannot be read, as no row can stand for them, and as `predict` does.
        """
        rows = []
        for answer in self.answer(images):
            if answer.descriptor is None:
                do = "leave them out; `predict` lists all of them as rejected"
                raise ImageError("I1", "images that cannot be read", rows=[f"{answer.id}: {answer.reason}"], do=do)
            rows.append(answer.descriptor)
        return np.stack(rows)

    def answer(self, images: GivenImages) -> Iterator[Answer]:
        """What the network says of each image, one after the other: few are in memory, however many there are.

        Raises ImageError (I30-I33), NumericsError (P22).
        """
        import torch

        for batch in self._batches(images):
            pixels = [square.pixels for square in batch if square.pixels is not None]
            rows: Iterator[tuple[NDArray[np.float32], NDArray[np.float32]]] = iter(())
            if pixels:
                with torch.no_grad():
                    output = self._output(np.stack(pixels))
                    logits, descriptors = (part.float().cpu().numpy() for part in (output.logits, output.descriptor))
                ids = [square.id for square in batch if square.pixels is not None]
                self._demand_finite(np.concatenate([logits, descriptors], axis=1), ids)
                rows = zip(logits, descriptors, strict=True)
            for square in batch:
                if square.pixels is None:
                    yield Answer(square.id, reason=square.reason)
                else:
                    yield Answer(square.id, *next(rows))

    def find_probabilities(self, logits: NDArray[np.floating]) -> NDArray[np.float64]:
        """(n, c) float64 probabilities: softmax, of logits divided by the temperature where one was fitted."""
        return _softmax(logits.astype(np.float64) / (self.temperature or 1.0))

    def find_threshold(self, wanted_error: float = WANTED_ERROR) -> Threshold | None:
        """The probability from which on labels are wrong no more often than wanted, by the labels that were held out.

        None where none were. Raises ConfigError (C122) for an error that is not between 0 and 1.
        """
        return None if self.held_out is None else self.held_out.find_threshold(wanted_error)

    def _batches(self, images: GivenImages) -> Iterator[list[Square]]:
        """Images in batches with as many that can be read as in training, so that sums come out alike."""
        from ..data.images.squares import read_squares

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
            if readable == self.batch_size or len(batch) == 4 * self.batch_size:
                yield batch
                batch, readable = [], 0
        if batch:
            yield batch

    def _output(self, pixels: NDArray[np.uint8]) -> Output:
        import torch

        from .contract import Output

        count = len(pixels)
        if self.fills_batches and count < self.batch_size:
            pixels = np.concatenate([pixels, np.zeros((self.batch_size - count, *pixels.shape[1:]), np.uint8)])
        batch = torch.from_numpy(pixels).to(self.device).permute(0, 3, 1, 2).float()
        output = Output(*self.network.eval()(batch))
        return Output(output.logits[:count], output.descriptor[:count])

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
