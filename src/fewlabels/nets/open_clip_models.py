"""Models of the open_clip library: photos and class names described side by side, so that names can be compared."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from ..errors import ConfigError, install_command, shown
from .settings import INTERPOLATIONS, Preprocessing

DescribeNames = Callable[[Sequence[str], str], np.ndarray]


@dataclass(frozen=True)
class Clip:
    """A model with its weights. images: normalised images -> (b, width). describe_names: see there. source: of them."""

    images: nn.Module
    preprocessing: Preprocessing
    describe_names: DescribeNames
    source: str


class Images(nn.Module):
    """The side of a CLIP model that describes images."""

    def __init__(self, visual: nn.Module) -> None:
        super().__init__()
        self.visual = visual

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.visual(images)
        return found


def import_open_clip() -> Any:
    """The library open_clip. Raises ConfigError (C52) where it cannot be imported, and says what to install."""
    try:
        import open_clip
    except Exception as error:  # it needs torchvision, which fails in many ways beside another torch
        what = f"backbones of open_clip need that library, which cannot be imported ({shown(error)})"
        raise ConfigError("C52", what, do=install_command("clip")) from error
    return open_clip


def load_open_clip(name: str, *, weights: Path | None = None) -> Clip:
    """A model by "MODEL/TAG", such as "ViT-B-32/laion2b_s34b_b79k", or by "MODEL" with a file of its weights.

    Raises ConfigError: C52 where open_clip is missing or has no such model, C112 where the weights are not named, not
    to be had or do not fit.
    """
    library = import_open_clip()
    model_name, _, tag = name.partition("/")
    config = library.get_model_config(model_name)
    if config is None:
        raise ConfigError("C52", f"open_clip has no model {model_name!r}", do="see open_clip.list_models()")
    tags = library.list_pretrained_tags_by_model(model_name)
    if weights is None and tag not in tags:
        known = ", ".join(tags[-5:]) or "none"
        what = f"open_clip knows no weights {tag!r} of {model_name!r}; some of those that it knows: {known}"
        raise ConfigError("C112", what, do=f"name them, as in open_clip:{model_name}/TAG, or give a file")
    try:
        model = library.create_model(model_name, pretrained=tag if weights is None else str(weights)).eval()
        tokenize = library.get_tokenizer(model_name)
    except Exception as error:
        what = f"the weights of {name!r} cannot be had: {' '.join(shown(error, 500).split())}"
        raise ConfigError("C112", what, where=weights, do="try again, or give the file of this very model") from error
    for parameter in model.parameters():
        parameter.requires_grad_(False)

    def describe_names(names: Sequence[str], template: str) -> np.ndarray:
        with torch.inference_mode():
            found: np.ndarray = model.encode_text(tokenize([template.format(one) for one in names])).float().numpy()
        return found

    source = f"open_clip:{name}" if weights is None else f"file {weights.name}"
    return Clip(Images(model.visual), _read_preprocessing(model.visual), describe_names, source)


def _read_preprocessing(visual: Any) -> Preprocessing:
    """What the weights were trained with; where a photo would be squashed or padded, its centred square is taken."""
    known = visual.preprocess_cfg
    size = known["size"]
    interpolation = known.get("interpolation", "bicubic")
    return Preprocessing(
        size=int(size if isinstance(size, int) else size[0]),
        mean=tuple(255.0 * value for value in known["mean"]),
        std=tuple(255.0 * value for value in known["std"]),
        interpolation=interpolation if interpolation in INTERPOLATIONS else "bicubic",
    )
