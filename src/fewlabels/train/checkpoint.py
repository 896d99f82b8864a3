from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch


@dataclass(frozen=True)
class Snapshot:
    """All that a run needs to go on. tensors: name -> CPU tensor. values: what JSON can hold."""

    tensors: dict[str, torch.Tensor]
    values: dict[str, Any]
