"""Settings of networks, and of the images that go in. Values only: nothing here needs torch."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import KW_ONLY, asdict, dataclass, replace
from importlib import import_module
from pathlib import Path

from ..errors import ConfigError

# The options of each kind of network, and their defaults.
OPTIONS: dict[str, dict[str, float]] = {
    "small": {"dropout": 0.0, "width": 32, "first_stride": 1},
    "cnn13": {"dropout": 0.5},  # released code architectures.py:64, 73
    "resnet18": {},
    "efficientnet-lite0": {"pretrained": True},
    "efficientnet-lite2": {"pretrained": True},
    "timm": {"pretrained": False},
    "module": {},
    "frozen": {"width": 256, "dropout": 0.5, "mirror": False},
}
NAMED = ("small", "cnn13", "resnet18", "efficientnet-lite0", "efficientnet-lite2")  # whose whole name is their kind
ALIASES = {"lite0": "efficientnet-lite0", "lite2": "efficientnet-lite2"}


@dataclass(frozen=True)
class NetworkSettings:
    """How to build a network (docs/networks.md); stored beside its weights.

    name: "small", "cnn13", "resnet18", "efficientnet-lite0" or "-lite2" (or "lite0", "lite2"), "timm:MODEL",
        or "module:IMPORT.PATH:FUNCTION" for a network of one's own; "frozen:BACKBONE" for a trained head on a
        pretrained trunk that stays as it is (nets/frozen.py).
    heads: 2 adds a second linear layer on the same descriptor, for consistency (Mean Teacher's double output).
    unit_descriptor: scale descriptors to length 1 before the linear layer. The released code's isL2: on for LP, off
        for Mean Teacher and MT + LP (its README:39-59).
    dropout: share of features set to zero after each pooling, in training. small: 0, cnn13: 0.5; frozen: of the
        hidden layer, 0.5.
    width: of small: channels of the first stage; each further stage has twice as many, up to 4 * width. 32.
        frozen: numbers of the hidden layer, which is the descriptor. 256.
    first_stride: of small: 2 halves the image in the first convolution, for a fraction of the work. 1.
    pretrained: start from the weights that the backbone was trained to, with its own mean and std instead of the
    name: "small", "cnn13", "resnet18", "efficientnet-lite0" or "-lite2" (or "lite0", "lite2"), "timm:MODEL",
        or "module:IMPORT.PATH:FUNCTION" for a network of one's own; "frozen:BACKBONE" for a trained head on a
        pretrained trunk that stays as it is (nets/frozen.py).

    None leaves an option to the network. Raises ConfigError for a value out of range (C19), an unknown name (C50), and
    an option that the network does not have (C51).
    """

    name: str = "small"
    _: KW_ONLY
    heads: int = 1
    unit_descriptor: bool = True
    dropout: float | None = None
    width: int | None = None
    first_stride: int | None = None
    pretrained: bool | None = None
    mirror: bool | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", ALIASES.get(self.name, self.name))
        options = OPTIONS[_parse_kind(self.name)]
        for option in ("dropout", "width", "first_stride", "pretrained", "mirror"):
            if getattr(self, option) is not None and option not in options:
                raise ConfigError(
                    "C51",
                    f"{option} is {getattr(self, option)!r}, which network {self.name!r} does not have",
                    do=f"leave it out; it has {', '.join(options) or 'no such options'}",
                )
        require_whole("heads", self.heads, 1, 2)
        if self.width is not None:
            require_whole("width", self.width, 1)
        if self.first_stride is not None:
            require_whole("first_stride", self.first_stride, 1, 2)
        if not isinstance(self.unit_descriptor, bool):
            raise ConfigError("C19", f"unit_descriptor is {self.unit_descriptor!r}, expected True or False")
        if not isinstance(self.pretrained, bool | None):
            raise ConfigError("C19", f"pretrained is {self.pretrained!r}, expected True or False")
        if not isinstance(self.mirror, bool | None):
            raise ConfigError("C19", f"mirror is {self.mirror!r}, expected True or False")
        if self.dropout is not None and not (isinstance(self.dropout, int | float) and 0 <= self.dropout < 1):
            raise ConfigError("C19", f"dropout is {self.dropout!r}, expected a share from 0 up to below 1")

    @property
    def kind(self) -> str:
        """The name up to its first colon: a key of OPTIONS."""
        return _parse_kind(self.name)

    @property
    def detail(self) -> str:
        """The name after its first colon: the model of timm, or IMPORT.PATH:FUNCTION."""
        return self.name.partition(":")[2]

    @property
    def pretrains(self) -> bool:
        """Whether this network has the option of weights that it was trained to before."""
        return "pretrained" in OPTIONS[self.kind]

    def option(self, name: str) -> float:
        """The option's value: as it was set, or the default of the kind of network."""
        chosen: float | None = getattr(self, name)
        return OPTIONS[self.kind][name] if chosen is None else chosen


@dataclass(frozen=True)
class ImageInput:
    """What images go into a network: (b, channels, size, size), uint8 or float, pixel values in [0, 255].

    mean, std: of these values, one number for each channel or one for all; the network subtracts and divides by them.
    pixel_range: what had become 0 and 255 of images with more than 8 bits; None where there were none. New images need
        the same: read_images(..., pixel_range=...).
    Raises ConfigError (C19).
    """

    channels: int
    size: int
    mean: Sequence[float] = (0.0,)
    std: Sequence[float] = (255.0,)
    pixel_range: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "mean", tuple(self.mean))  # JSON has lists
        object.__setattr__(self, "std", tuple(self.std))
        if self.pixel_range is not None:
            low, high = self.pixel_range
            object.__setattr__(self, "pixel_range", (low, high))
        require_whole("channels", self.channels, 1)
        require_whole("size", self.size, 1)
        if not {len(self.mean), len(self.std)} <= {1, self.channels}:
            raise ConfigError(
                "C19",
                f"{len(self.mean)} means and {len(self.std)} deviations for images of {self.channels} channels: "
                "expected one for each channel, or one for all",
            )
        if not all(map(math.isfinite, self.mean)) or not all(0 < value < math.inf for value in self.std):
            raise ConfigError("C19", f"mean {self.mean}, std {self.std}: expected finite numbers, deviations above 0")

    def facts(self) -> dict[str, object]:
        """The values by name, for model.json; without a pixel_range where there is none."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    def require_size(self, least: int, name: str) -> None:
        """Raise ConfigError (C19) where images are smaller than the network of this name can take."""
        if self.size < least:
            raise ConfigError(
                "C19", f"images of {self.size} x {self.size} pixels: network {name!r} takes {least} x {least} and more"
            )


@dataclass(frozen=True, kw_only=True)
class Preprocessing:
    """How a photo becomes what a backbone sees, as its weights were trained: the model's own, never the data's.

    size: pixels along a side of the square that goes in.
    mean, std: of pixel values 0..255, one number for each channel or one for all; subtracted and divided by.
    crop: share of the short side that the centred square keeps (timm's crop_pct): the photo is resized so that its
        short side has floor(size / crop) pixels, and the square of `size` is cut from its middle.
    interpolation: of the resizing, as Pillow names it.
    Raises ConfigError (C19).
    """

    size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    crop: float = 1.0
    interpolation: str = "bicubic"

    def __post_init__(self) -> None:
        checked = ImageInput(3, self.size, self.mean, self.std)
        object.__setattr__(self, "mean", tuple(checked.mean))
        object.__setattr__(self, "std", tuple(checked.std))
        if not 0 < self.crop <= 1:
            raise ConfigError("C19", f"crop is {self.crop!r}, expected a share above 0, up to 1")
        if self.interpolation not in INTERPOLATIONS:
            what = f"interpolation is {self.interpolation!r}, expected one of {', '.join(INTERPOLATIONS)}"
            raise ConfigError("C19", what)

    def normalise(self, image_input: ImageInput) -> ImageInput:
        """The same images, with this mean and std; their averages for images of another number of channels than 3."""
        mean, std = self.mean, self.std
        if image_input.channels != 3:
            mean, std = ((sum(part) / len(part),) for part in (mean, std))
        return replace(image_input, mean=mean, std=std)


INTERPOLATIONS = ("nearest", "bilinear", "bicubic", "lanczos", "box", "hamming")


def _parse_kind(name: str) -> str:
    """The kind of a network's name. Raises ConfigError (C50) for a name that no network has."""
    kind, colon, detail = str(name).partition(":")
    path, _, function = detail.partition(":")
    whole = {"timm": bool(detail), "module": bool(path and function), "frozen": bool(detail)}.get(kind, not colon)
    if kind not in OPTIONS or not whole:
        raise ConfigError(
            "C50",
            f"network is {name!r}, expected one of {', '.join(NAMED)}, timm:MODEL, or module:IMPORT.PATH:FUNCTION",
        )
    return kind


def require_whole(name: str, value: object, least: int, most: int | None = None) -> None:
    is_whole = isinstance(value, int) and not isinstance(value, bool)
    if not is_whole or value < least or (most is not None and value > most):  # type: ignore[operator]
        bounds = f"from {least} up" if most is None else f"from {least} to {most}"
        raise ConfigError("C19", f"{name} is {value!r}, expected a whole number {bounds}")


def source_digest(name: str) -> str | None:
    """The start of the SHA-256, 32 hex digits, of the file that a network `module:IMPORT.PATH:FUNCTION` comes from.

    Importing it runs its code. Files that it imports in turn do not count. None for other names, and where no source
    file can be read: a built-in or compiled module, or one that cannot be imported, which build_network tells.
    """
    kind, _, detail = name.removeprefix("frozen:").partition(":")
    path = detail.partition(":")[0]
    if kind != "module" or not path:
        return None
    try:
        file = getattr(import_module(path), "__file__", None)
        source = Path(file).read_bytes() if file is not None and file.endswith(".py") else None
    except Exception:  # noqa: BLE001  whatever the user's code raises, build_network meets it too and says so
        return None
    return None if source is None else hashlib.sha256(source).hexdigest()[:32]
