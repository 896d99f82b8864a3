"""What a run trains with. Values only: nothing here needs torch."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from ..errors import ConfigError
from ..graph.settings import GraphSettings, Mode
from ..nets.settings import NetworkSettings
from .method_table import BY_NAME, MethodName


@dataclass(frozen=True)
class Phase:
    """One stretch of training by one method, with a learning-rate schedule of its own.

    method: a name of method_table.py; all but "supervised" train on all rows.
    epochs: passes over the labelled rows (supervised) or over the unlabelled ones (all others).
    learning_rate: at the start of the schedule; it changes with every step.
    batch_labeled, batch_unlabeled: rows of each kind in a step (the paper's B_L and B_U).
    unfrozen: blocks of a pretrained trunk, counted from its end, that are trained on pixels with the head; 0: none.
    """

    method: MethodName
    epochs: int
    learning_rate: float
    batch_labeled: int
    batch_unlabeled: int = 0
    unfrozen: int = 0

    def __post_init__(self) -> None:
        if self.method not in BY_NAME:
            raise ConfigError("C24", f"method is {self.method!r}, expected one of {', '.join(BY_NAME)}")
        if self.epochs < 1 or self.batch_labeled < 1 or self.batch_unlabeled < 0:
            raise ConfigError(
                "C13",
                f"{self.epochs} epochs, batches of {self.batch_labeled} labelled and {self.batch_unlabeled} unlabelled "
                "rows: expected at least one epoch and one labelled row",
            )
        if (self.batch_unlabeled > 0) != (not self.labeled_only):
            raise ConfigError("C13", f"batch_unlabeled is {self.batch_unlabeled} with method {self.method!r}")
        if not 0 < self.learning_rate < math.inf:
            raise ConfigError("C21", f"learning_rate is {self.learning_rate!r}, expected a positive number")
        if self.unfrozen < 0:
            raise ConfigError("C13", f"unfrozen is {self.unfrozen!r}, expected a number of blocks from 0 up")

    @property
    def labeled_only(self) -> bool:
        """Whether it trains on labelled rows alone."""
        return BY_NAME[self.method].labeled_only

    def count_steps(self, num_labeled: int, num_unlabeled: int) -> int:
        """Steps of one epoch, a pass over the labelled rows or over the unlabelled ones: at least one."""
        if self.labeled_only:
            return max(1, num_labeled // self.batch_labeled)
        return max(1, num_unlabeled // self.batch_unlabeled)

    def batch_size(self, num_labeled: int, num_unlabeled: int) -> int:
        """Rows in a step: fewer than asked for where there are not so many."""
        if self.labeled_only:
            return min(num_labeled, self.batch_labeled)
        return self.batch_labeled + min(num_unlabeled, self.batch_unlabeled)


@dataclass(frozen=True, kw_only=True)
class Optimization:
    """How weights follow gradients. Defaults: the released code's (cli.py:56-59, helpers.py:302-316, 394).

    optimizer: "sgd" (Nesterov, `momentum`) or "adam" (beta1 `momentum`; beta1 0.9 to 0.5 where it ramps down).
    weight_decay: on all parameters, biases and batch norm too.
    schedule: "cosine", which would reach zero after cosine_stretch times the phase's epochs (released: 210 / 180); or
        "ramps": up over rampup_epochs and down over the last rampdown_epochs (Laine and Aila's).
    clip_norm: Euclidean norm of all gradients of a step together, above which they are scaled down to it; None: they
        are taken as they come, as in the paper.
    """

    optimizer: Literal["sgd", "adam"] = "sgd"
    momentum: float = 0.9
    weight_decay: float = 2e-4
    schedule: Literal["cosine", "ramps"] = "cosine"
    cosine_stretch: float = 210 / 180
    rampup_epochs: int = 80
    rampdown_epochs: int = 50
    clip_norm: float | None = None

    def __post_init__(self) -> None:
        if self.optimizer not in ("sgd", "adam") or self.schedule not in ("cosine", "ramps"):
            raise ConfigError(
                "C21",
                f"optimizer {self.optimizer!r}, schedule {self.schedule!r}: expected sgd or adam, cosine or ramps",
            )
        if not 0 <= self.momentum < 1 or not 0 <= self.weight_decay < 1 or not 1 <= self.cosine_stretch < math.inf:
            raise ConfigError(
                "C21",
                f"momentum {self.momentum!r}, weight_decay {self.weight_decay!r}, cosine_stretch "
                f"{self.cosine_stretch!r}: expected [0, 1), [0, 1) and 1 or more",
            )
        if self.clip_norm is not None and not 0 < self.clip_norm < math.inf:
            raise ConfigError("C21", f"clip_norm is {self.clip_norm!r}, expected a positive number or None")
        if self.rampup_epochs < 0 or self.rampdown_epochs < 0:
            raise ConfigError("C21", f"ramps of {self.rampup_epochs} and {self.rampdown_epochs} epochs")


@dataclass(frozen=True, kw_only=True)
class Consistency:
    """How a teacher teaches. Defaults: the released code's for Mean Teacher (protocol: recipes/deviations.md).

    weight: of the squared difference between student and teacher (helpers.py:193-197).
    rampup_epochs: that the weight takes to get there, by exp(-5 (1 - epoch / rampup)^2) (cli.py:69, ramps.py:19-26).
    ema_decay: most of the old teacher that stays in a step (helpers.py:377, 390, 411).
    logit_distance: weight of the squared difference between the two heads (losses.py:45-55); for two heads alone.
    memory: share of the old predictions that stays (temporal ensembling; Laine and Aila).
    """

    weight: float = 100.0
    rampup_epochs: int = 5
    ema_decay: float = 0.97
    logit_distance: float = 0.01
    memory: float = 0.6

    def __post_init__(self) -> None:
        weights = (self.weight, self.logit_distance)
        if not all(0 <= weight < math.inf for weight in weights) or self.rampup_epochs < 0:
            raise ConfigError("C37", f"weights {weights}, rampup_epochs {self.rampup_epochs}: expected 0 or more")
        if not 0 <= self.ema_decay < 1 or not 0 <= self.memory < 1:
            raise ConfigError("C37", f"ema_decay {self.ema_decay!r}, memory {self.memory!r}: expected [0, 1)")


@dataclass(frozen=True, kw_only=True)
class TrainRules:
    """Where the paper and the released training code take different ways. protocol: recipes/deviations.md."""

    augmented_descriptors: bool  # describe one random augmentation of each image (helpers.py:64, 89-94), not the image
    fresh_teacher: bool  # each phase's EMA teacher starts from weights of its own (train_stage2.py:70, 86-89)
    keep_momentum: bool  # the optimiser goes on from the phase before (train_stage2.py:89-91)


TRAIN_RULES: dict[Mode, TrainRules] = {
    "paper": TrainRules(augmented_descriptors=False, fresh_teacher=False, keep_momentum=False),
    "released": TrainRules(augmented_descriptors=True, fresh_teacher=True, keep_momentum=True),
}


@dataclass(frozen=True)
class AugmentSettings:
    """translate: largest shift in pixels along each axis. flip: mirror half of the images.

    rotate: largest angle in degrees. stretch: largest relative change of width and height, each drawn apart.
    pad: what comes in from outside: "reflect" mirrors the image for a shift and repeats its border for a turn,
    "zeros" is black for both. sampling: of a turn, between pixels ("bilinear") or of the nearest one.
    Defaults: the paper's CIFAR augmentation (released code datasets.py:25-39).
    """

    translate: int = 4
    flip: bool = True
    rotate: float = 0.0
    stretch: float = 0.0
    pad: Literal["reflect", "zeros"] = "reflect"
    sampling: Literal["bilinear", "nearest"] = "bilinear"

    def __post_init__(self) -> None:
        sizes = (self.translate, self.rotate)
        if not all(0 <= size < math.inf for size in sizes) or not 0 <= self.stretch < 1:
            raise ConfigError(
                "C22",
                f"translate and rotate are {sizes}, stretch is {self.stretch!r}: expected finite numbers from 0 up, "
                "and a share below 1",
            )
        if self.pad not in ("reflect", "zeros") or self.sampling not in ("bilinear", "nearest"):
            what = f"pad is {self.pad!r}, sampling is {self.sampling!r}"
            raise ConfigError("C22", f"{what}: expected 'reflect' or 'zeros', 'bilinear' or 'nearest'")


@dataclass(frozen=True, kw_only=True)
class StrongAugment:
    """How the strong view of an image is made from its weak one: RandAugment, then CutOut (strong.py).

    operations: how many of thirteen an image gets, each of a strength of its own (FixMatch: 2). cutout: side of the
    grey square, as a share of the image's (FixMatch: a half).
    """

    operations: int = 2
    cutout: float = 0.5

    def __post_init__(self) -> None:
        if not isinstance(self.operations, int) or not 0 <= self.operations <= 13 or not 0 <= self.cutout <= 1:
            what = f"{self.operations!r} operations and a cutout of {self.cutout!r}"
            raise ConfigError("C22", f"{what}: expected a whole number from 0 to 13, and a share from 0 to 1")


@dataclass(frozen=True, kw_only=True)
class Matching:
    """How pseudo-labels of a weak view teach what to say of the strong one (docs/matching.md).

    strong: how strong views are made; None: they are weak ones, as for descriptors, which have no other.
    threshold: probability from which a pseudo-label counts (FixMatch: .95); None: it follows the teacher (FreeMatch).
    memory: share of the old that stays in the averages of threshold and class shares (FreeMatch: .999).
    """

    strong: StrongAugment | None = field(default_factory=StrongAugment)
    threshold: float | None = None
    memory: float = 0.999

    def __post_init__(self) -> None:
        if self.threshold is not None and not 0 <= self.threshold <= 1:
            raise ConfigError("C37", f"threshold is {self.threshold!r}, expected None or a probability")
        if not 0 <= self.memory < 1:
            raise ConfigError("C37", f"memory is {self.memory!r}, expected [0, 1)")


@dataclass(frozen=True, kw_only=True)
class TrainSettings:
    """Phases one after the other on one network, and what they share. graph.mode: "paper" or "released" rules."""

    phases: tuple[Phase, ...]
    network: NetworkSettings = field(default_factory=NetworkSettings)
    graph: GraphSettings = field(default_factory=GraphSettings)
    augment: AugmentSettings = field(default_factory=AugmentSettings)
    optimization: Optimization = field(default_factory=Optimization)
    consistency: Consistency = field(default_factory=Consistency)
    matching: Matching = field(default_factory=Matching)
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.phases:
            raise ConfigError("C13", "there is no phase to train")
        if isinstance(self.seed, bool) or not isinstance(self.seed, int) or not 0 <= self.seed < 2**63:
            raise ConfigError("C8", f"seed is {self.seed!r}, expected a whole number from 0 to 2^63 - 1")

    def facts(self) -> dict[str, Any]:
        """The values by name, for run.json. An option that version 0.1 did not have is left out where it is not set, so
        that its runs can be taken up.
        """
        values = asdict(self)
        if self.network.mirror is None:
            del values["network"]["mirror"]
        if not any(BY_NAME[phase.method].matches for phase in self.phases):
            del values["matching"]
        for phase in values["phases"]:
            if not phase["unfrozen"]:
                del phase["unfrozen"]
        return values

    @property
    def fine_tunes(self) -> bool:
        """Whether some phase trains blocks of a pretrained trunk."""
        return any(phase.unfrozen for phase in self.phases)

    @property
    def rules(self) -> TrainRules:
        return TRAIN_RULES[self.graph.mode]
