"""Networks: images -> Output(logits, descriptor), and logits of a second head where there are two.

Imported when first used, so that the settings load no torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .backbone import bring_network
    from .builders import build_network, count_parameters
    from .contract import Output, check_network
    from .pretrained import Backbone, backbone_names, load_backbone, make_backbone
    from .settings import ImageInput, NetworkSettings, Preprocessing, source_digest

__all__ = [
    "Backbone",
    "ImageInput",
    "NetworkSettings",
    "Output",
    "Preprocessing",
    "backbone_names",
    "bring_network",
    "build_network",
    "check_network",
    "count_parameters",
    "load_backbone",
    "make_backbone",
    "source_digest",
]

_HOME = {
    "Backbone": ".pretrained",
    "ImageInput": ".settings",
    "NetworkSettings": ".settings",
    "Output": ".contract",
    "Preprocessing": ".settings",
    "backbone_names": ".pretrained",
    "bring_network": ".backbone",
    "build_network": ".builders",
    "check_network": ".contract",
    "count_parameters": ".builders",
    "load_backbone": ".pretrained",
    "make_backbone": ".pretrained",
    "source_digest": ".settings",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOME[name], __name__), name)
