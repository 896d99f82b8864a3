"""Models of the timm library, with random or pretrained weights: from a file, the hub's cache, or the hub."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..errors import ConfigError, install_command, shown
from .settings import INTERPOLATIONS, Preprocessing

HUB_SECONDS = 5  # that the hub may take for its first answer
PARTNER = 15  # torchvision 0.(n + 15) is made for torch 2.n


def import_timm() -> Any:
    """The library timm. Raises ConfigError (C52) where it cannot be imported, and says what to install."""
    try:
        import timm
    except Exception as error:  # timm needs torchvision, which fails in many ways beside another torch
        do = _torchvision_command() if "torchvision" in str(error) else install_command("timm")
        what = f"backbones of timm need that library, which cannot be imported ({shown(error)})"
        raise ConfigError("C52", what, do=do) from error
    return timm


def _torchvision_command() -> str:
    """What installs timm with the torchvision that is made for the torch installed, CPU or CUDA alike."""
    version, _, build = torch.__version__.partition("+")
    major, minor = version.split(".")[:2]
    if major != "2" or not minor.isdigit():
        return install_command("timm")
    index = f" --extra-index-url https://download.pytorch.org/whl/{build}" if build else ""
    return f"pip install timm 'torchvision==0.{int(minor) + PARTNER}.*'{index}"


def create_timm(name: str, *, channels: int = 3) -> nn.Module:
    """A timm model with random weights and without its classifier: normalised images -> (b, width).

    Raises ConfigError (C52) where timm is missing or has no such model.
    """
    return _create(import_timm(), name, in_chans=channels, num_classes=0)


def load_timm(name: str, *, weights: Path | None = None, size: int | None = None, channels: int = 3) -> nn.Module:
    """A timm model with its pretrained weights and without its classifier, and every weight of it loaded.

    name: such as "vit_small_patch14_dinov2.lvd142m". weights: a safetensors file, with or without the classifier; else
    the hub's cache on this machine is looked at, then the hub. size: pixels along a side, for models that are made for
    one size. channels: for other numbers than 3, timm adapts the first convolution.
    Raises ConfigError: C52 where timm is missing or has no such model, C112 where the weights are not to be had or do
    not fit.
    """
    timm = import_timm()
    config = _pretrained_config(timm, name)
    classes = config.num_classes
    if weights is None:
        file = _fetch(name, config)
    else:
        file, classes = weights, _classes_in(weights, config)
    # timm loads without a gap only if the number of classes is the file's; otherwise missing weights stay random.
    overlay = {"file": str(file), "source": "", "custom_load": False, "num_classes": classes}
    options = {"img_size": size} if size is not None and config.fixed_input_size else {}
    with _quiet():
        model = _create(
            timm,
            name,
            at=file,
            pretrained=True,
            pretrained_cfg_overlay=overlay,
            in_chans=channels,
            num_classes=classes,
            **options,
        )
    if classes:
        model.reset_classifier(0)  # type: ignore[operator]
    return model


def _create(timm: Any, name: str, at: Path | None = None, **options: Any) -> nn.Module:
    try:
        model: nn.Module = timm.create_model(name, **options)
    except Exception as error:
        if at is None:
            do = "see timm.list_models()"
            raise ConfigError("C52", f"timm cannot make {name!r}: {shown(error)}", do=do) from error
        what = f"the weights are not those of {name!r}: {' '.join(shown(error, 500).split())}"
        raise ConfigError("C112", what, where=at, do="give the file of this very model") from error
    return model


def _pretrained_config(timm: Any, name: str) -> Any:
    """timm's description of a model's weights. Raises ConfigError: C52 for an unknown model, C112 for one without."""
    if not timm.is_model(name):
        raise ConfigError("C52", f"timm {timm.__version__} has no model {name!r}", do="see timm.list_models()")
    tags = list(timm.list_pretrained(f"{name.partition('.')[0]}.*"))
    found = timm.get_pretrained_cfg(name) if "." not in name or name in tags else None
    if found is None or not found.has_weights:
        do = f"weights of this model: {', '.join(tags[:5])}" if tags else "choose another: timm.list_pretrained()"
        raise ConfigError("C112", f"timm knows no weights {name!r}", do=do)
    return found


def _classes_in(weights: Path, config: Any) -> int:
    """How many classes the classifier in a safetensors file has, 0 without one. Raises ConfigError (C112)."""
    from safetensors import SafetensorError, safe_open

    names = config.classifier if isinstance(config.classifier, tuple | list) else (config.classifier,)
    try:
        with safe_open(weights, framework="pt") as file:
            there = [f"{name}.weight" for name in names if name and f"{name}.weight" in file.keys()]  # noqa: SIM118
            return file.get_slice(there[0]).get_shape()[0] if there else 0
    except (SafetensorError, OSError) as error:
        what = f"the weights cannot be read: {shown(error)}"
        raise ConfigError("C112", what, where=weights, do="give a file in the format safetensors") from error


def _fetch(name: str, config: Any) -> Path:
    """The weights' file: in the hub's cache where it is there, without any connection; else downloaded into it.

    Raises ConfigError (C112), within seconds where the hub cannot be reached.
    """
    import huggingface_hub as hub

    repository, file = config.hf_hub_id, config.hf_hub_filename or "model.safetensors"
    if not repository:
        do = "give them with --weights FILE (weights=), or choose a model of timm.list_pretrained()"
        raise ConfigError("C112", f"the weights of {name!r} are not on the hub", do=do)
    repository, _, revision = str(repository).partition("@")
    file = str(Path(file).with_suffix(".safetensors"))
    at = revision or "main"
    cached = hub.try_to_load_from_cache(repository, file, revision=at)
    if isinstance(cached, str):
        return Path(cached)
    try:
        # One question first: the download itself asks six times before it gives up.
        hub.get_hf_file_metadata(hub.hf_hub_url(repository, file, revision=at), timeout=HUB_SECONDS)
        return Path(hub.hf_hub_download(repository, file, revision=at))
    except Exception as error:
        reason = shown(str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__)
        do = f"try again, or download {file} of {repository} elsewhere and give it with --weights FILE (weights=)"
        what = f"the weights of {name!r} cannot be fetched from the hub ({reason})"
        raise ConfigError("C112", what, where=f"hub:{repository}", do=do) from error


@contextmanager
def _quiet() -> Iterator[None]:
    """timm's log says of each weight that it drops on purpose that it was dropped."""
    log = logging.getLogger("timm")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(level)


def own_preprocessing(model: nn.Module, size: int | None = None) -> Preprocessing:
    """What a timm model's weights were trained with. size: another one than the model's own.

    Where timm "squashes" a photo, its centred square is taken instead.
    """
    config: dict[str, Any] = model.pretrained_cfg  # type: ignore[assignment]
    interpolation = config["interpolation"]
    return Preprocessing(
        size=config["input_size"][-1] if size is None else size,
        mean=tuple(255.0 * value for value in config["mean"]),
        std=tuple(255.0 * value for value in config["std"]),
        crop=min(1.0, float(config["crop_pct"])),
        interpolation=interpolation if interpolation in INTERPOLATIONS else "bicubic",
    )
