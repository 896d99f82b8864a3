"""Networks: images -> Output(logits, descriptor), and logits of a second head where there are two.

Imported when first used, so that the settings load no torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .backbone import bring_network
    from .builders import build_network, count_parameters
    from .contract import Output, check_network
    from .settings import ImageInput, NetworkSettings, source_digest

__all__ = [
    "ImageInput",
    "NetworkSettings",
    "Output",
    "bring_network",
    "build_network",
    "check_network",
    "count_parameters",
    "source_digest",
]

_HOME = {
    "ImageInput": ".settings",
    "NetworkSettings": ".settings",
    "Output": ".contract",
    "bring_network": ".backbone",
    "build_network": ".builders",
    "check_network": ".contract",
    "count_parameters": ".builders",
    "source_digest": ".settings",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOME[name], __name__), name)
