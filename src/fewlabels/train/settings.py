"""What a run trains with. Values only: nothing here needs torch."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

from ..data.settings import AugmentSettings
from ..errors import ConfigError
from ..graph.settings import GraphSettings

MethodName = Literal["supervised", "lp"]
METHOD_NAMES = ("supervised", "lp")


@dataclass(frozen=True)
class Phase:
    """One stretch of training by one method, with a learning-rate schedule of its own.

    method: "supervised" (labelled rows only) or "lp" (all rows, labels propagated before every epoch).
    epochs: passes over the labelled rows (supervised) or over the unlabelled ones (lp).
    learning_rate: at the start; it follows a cosine, per step.
    batch_labeled, batch_unlabeled: rows of each kind in a step (the paper's B_L and B_U).
    """

    method: MethodName
    epochs: int
    learning_rate: float
    batch_labeled: int
    batch_unlabeled: int = 0

    def __post_init__(self) -> None:
        if self.method not in METHOD_NAMES:
            raise ConfigError("C24", f"method is {self.method!r}, expected one of {', '.join(METHOD_NAMES)}")
        if self.epochs < 1 or self.batch_labeled < 1 or self.batch_unlabeled < 0:
            raise ConfigError(
                "C13",
                f"{self.epochs} epochs, batches of {self.batch_labeled} labelled and {self.batch_unlabeled} unlabelled "
                "rows: expected at least one epoch and one labelled row",
            )
        if (self.batch_unlabeled > 0) != (self.method != "supervised"):
            raise ConfigError("C13", f"batch_unlabeled is {self.batch_unlabeled} with method {self.method!r}")
        if not 0 < self.learning_rate < math.inf:
            raise ConfigError("C21", f"learning_rate is {self.learning_rate!r}, expected a positive number")


@dataclass(frozen=True)
class TrainSettings:
    """Phases one after the other on one network, and what they share.

    width, dropout: of the network (nets/small.py).
    momentum (Nesterov), weight_decay (on all parameters): of SGD; the released code's values (cli.py:56-59,
    helpers.py:394).
    cosine_stretch: the cosine would reach zero after this many times the phase's epochs; the released code stops it at
    180 of 210 (helpers.py:302-316).
    """

    phases: tuple[Phase, ...]
    graph: GraphSettings = field(default_factory=GraphSettings)
    augment: AugmentSettings = field(default_factory=AugmentSettings)
    width: int = 32
    dropout: float = 0.0
    momentum: float = 0.9
    weight_decay: float = 2e-4
    cosine_stretch: float = 210 / 180
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.phases:
            raise ConfigError("C13", "there is no phase to train")
        if isinstance(self.seed, bool) or not isinstance(self.seed, int) or not 0 <= self.seed < 2**63:
            raise ConfigError("C8", f"seed is {self.seed!r}, expected a whole number from 0 to 2^63 - 1")
        if not 0 <= self.momentum < 1 or not 0 <= self.weight_decay < 1 or not 1 <= self.cosine_stretch < math.inf:
            raise ConfigError(
                "C21",
                f"momentum {self.momentum!r}, weight_decay {self.weight_decay!r}, cosine_stretch "
                f"{self.cosine_stretch!r}: expected [0, 1), [0, 1) and 1 or more",
            )
