"""Which network. Values only: nothing here needs torch."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class NetworkSettings:
    name: str = "small"
    heads: int = 1
    unit_descriptor: bool = True
    width: int = 32
    dropout: float = 0.0
