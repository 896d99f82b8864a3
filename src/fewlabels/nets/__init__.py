"""Networks: images -> Output(logits, descriptor), always these two."""

from .output import Output
from .small import SmallCNN, SmallNetwork

__all__ = ["Output", "SmallCNN", "SmallNetwork"]
