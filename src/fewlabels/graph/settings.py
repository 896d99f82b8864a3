"""Settings of the graph, the solver and the pseudo-labels, and the rules of "paper" and "released" mode."""

from __future__ import annotations

import math
import numbers
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import numpy as np

from ..errors import ConfigError

Mode = Literal["paper", "released"]
Metric = Literal["cosine", "inner_product"]
Precision = Literal["auto", "single", "double"]
# Leaves 99.5 % of the labels and more as they are with all neighbours; 0.99 did not always (docs/log.md).
RECALL = 0.995
LEAST_GAP = 1e-5  # of alpha to 1, for float32
EXACT_UP_TO = 8192  # rows; below, comparing all pairs takes less time than making clusters
CODES_FROM = 128  # numbers of a row, from which candidates are chosen by codes: below, that is no quicker
DOUBLE_UP_TO = 2048  # nodes; there, float64 takes no time worth saving


@dataclass(frozen=True)
class Rules:
    """Where the paper and the released code take different ways. protocol: recipes/deviations.md."""

    clip_negative: bool  # the paper's [.]_+; the released code keeps negative edges (lp/db_semisuper.py:288)
    merge_duplicates: bool  # ours: rows with equal descriptors are one node, so that copies cannot cut a graph apart
    divide_by_class_size: bool  # Y scaled per class (lp/db_semisuper.py:307-309)
    max_steps: int  # the released code stops at 20 and does not look at the residual (lp/db_semisuper.py:310)
    divide_by_largest: bool  # certainty divided by its maximum (lp/db_semisuper.py:321)
    balanced_class_weight: bool  # n / c / population instead of 1 / population (lp/db_semisuper.py:335-337)


PAPER = Rules(
    clip_negative=True,
    merge_duplicates=True,
    divide_by_class_size=False,
    max_steps=1000,
    divide_by_largest=False,
    balanced_class_weight=False,
)
RELEASED = Rules(
    clip_negative=False,
    merge_duplicates=False,
    divide_by_class_size=True,
    max_steps=20,
    divide_by_largest=True,
    balanced_class_weight=True,
)
RULES: dict[Mode, Rules] = {"paper": PAPER, "released": RELEASED}


@dataclass(frozen=True)
class Refinement:
    """What is done beyond the paper. Each was measured: benchmarks/results/accuracy.md.

    centre_sources: Poisson learning: take the mean label away from the one-hot labels, and decide by what is left.
        What is solved is (D - alpha A) U = B, which is the Poisson equation as alpha goes to 1. Classes are taken to
        be equally large, unless there is a prior.
    prior: share of each class that the distributions of all reached rows must add up to, as a tuple, list or array;
        "uniform" takes equal shares, "labels" the shares among the labelled rows, None leaves the totals as they come.
        Without `calibrate` the distributions are nearly even, and a prior far from what they say turns too many labels
        over.
    calibrate: fit a temperature on labels held out in turn; the solver then runs up to five times more.

    Raises ConfigError (C31, C32) for other types, and for a prior that is negative or does not sum to 1.
    """

    centre_sources: bool = False
    prior: Literal["labels", "uniform"] | tuple[float, ...] | None = None
    calibrate: bool = False

    def __post_init__(self) -> None:
        for name in ("centre_sources", "calibrate"):
            if not isinstance(getattr(self, name), bool):
                raise ConfigError("C31", f"{name} is {getattr(self, name)!r}, expected True or False")
        object.__setattr__(self, "prior", _check_prior(self.prior))


def _check_prior(prior: object) -> Any:
    """None, "labels", "uniform", or the shares as a tuple of floats, which can be hashed and written as JSON."""
    if prior is None or (isinstance(prior, str) and prior in ("labels", "uniform")):
        return prior
    shares = prior.tolist() if isinstance(prior, np.ndarray) else prior
    is_numbers = isinstance(shares, (tuple, list)) and all(
        isinstance(share, numbers.Real) and not isinstance(share, bool) for share in shares
    )
    if not is_numbers:
        what = f"prior is {prior!r}, expected None, 'labels', 'uniform', or the share of each class as numbers"
        raise ConfigError("C32", what)
    values = np.array(shares, np.float64)
    if not (values >= 0).all() or not abs(values.sum() - 1) <= 1e-6:
        what = f"prior is {prior!r}, expected shares from 0 up that sum to 1, not {values.sum():g}"
        raise ConfigError("C32", what)
    return tuple(values.tolist())


@dataclass(frozen=True, kw_only=True)
class GraphSettings:
    """Settings of the graph, the solver and the pseudo-labels. Defaults: the paper's values.

    n_neighbors: neighbours of each row (the paper's k).
    gamma: power put on similarities; larger trusts near neighbours more.
    alpha: how far labels travel, in (0, 1): the share of a row's mass that comes from its neighbours.
    max_steps: most steps of the solver for each class; None: 1000 in paper mode, 20 in released mode.
    tol: relative residual |Y - (I - alpha W) Z| / |Y| at which a class is solved.
    mode: "paper", or "released" for the behaviour of the authors' code (see recipes/deviations.md).
    allow_empty_classes: accept a class without a labelled row; it gets no mass and is never chosen.
    max_zero_share: share of all-zero descriptors above which the input is refused (always at least 10 are accepted).
    metric: "cosine", or "inner_product" where the length of a descriptor means something.
    recall: share of the true neighbours that the search must find, from 0.5 up to below 1; "exact" finds all of them.
        None: 0.995, and "exact" in released mode, whose answers are to be those of the authors' code.
    seed: of the sample that clusters are made from and recall is measured on, where the search is not exact.
    precision: of the affinity and the solver. "single" (float32) gives the labels of "double" in a fraction of the time
        and half the memory; "auto" is double up to 2,048 nodes and for alpha above 0.99999, and single otherwise.
    refinement: centred sources, a class prior, calibrated certainty (Refinement); not in released mode.
    drop_bad_rows: descriptors with NaN or infinity take no part, with a warning (E1), instead of being refused: they
        have no edges, a label given to one does not count, and it gets none.

    Raises ConfigError where a value is out of range, saying which are in range and why.
    """

    n_neighbors: int = 50
    gamma: float = 3.0
    alpha: float = 0.99
    max_steps: int | None = None
    tol: float = 1e-6
    mode: Mode = "paper"
    allow_empty_classes: bool = False
    max_zero_share: float = 0.01
    metric: Metric = "cosine"
    recall: float | Literal["exact"] | None = None
    seed: int = 0
    precision: Precision = "auto"
    refinement: Refinement = field(default_factory=Refinement)
    drop_bad_rows: bool = False

    def __post_init__(self) -> None:
        _check_count("C3", "n_neighbors", self.n_neighbors)
        if self.max_steps is not None:
            _check_count("C17", "max_steps", self.max_steps)
        _check_number("C4", "gamma", self.gamma, 0, math.inf, "a power of 0 would make all neighbours equal")
        _check_number("C2", "alpha", self.alpha, 0, 1, "at 1 the system is singular, at 0 no label moves")
        _check_number("C17", "tol", self.tol, 0, 1, "it is a relative residual")
        if not 0 <= self.max_zero_share <= 1:
            raise ConfigError("C17", f"max_zero_share is {self.max_zero_share!r}, expected a share from 0 to 1")
        _check_choice("C18", "mode", self.mode, get_args(Mode))
        _check_choice("C27", "metric", self.metric, get_args(Metric))
        _check_choice("C28", "precision", self.precision, get_args(Precision))
        if self.precision == "single" and 1 - self.alpha < LEAST_GAP:
            raise ConfigError("C2", f"alpha is {self.alpha!r}: so near 1 it needs precision='double'", do="or 'auto'")
        if self.recall is not None and self.recall != "exact":
            _check_number("C29", "recall", self.recall, 0.5 - 1e-9, 1, "for all neighbours say 'exact'")
        if isinstance(self.seed, bool) or not isinstance(self.seed, numbers.Integral) or self.seed < 0:
            raise ConfigError("C30", f"seed is {self.seed!r}, expected a whole number from 0 up")
        _check_refinement(self.refinement, self.mode)
        if self.mode == "released" and self.gamma != int(self.gamma):
            raise ConfigError(
                "C4",
                f"gamma is {self.gamma!r}, and released mode keeps negative similarities, which have whole powers only",
                do="give a whole number, or use mode='paper'",
            )

    @property
    def rules(self) -> Rules:
        return RULES[self.mode]

    @property
    def search_recall(self) -> float | Literal["exact"]:
        if self.recall is not None:
            return self.recall
        return RECALL if self.mode == "paper" else "exact"

    def dtype(self, num_nodes: int) -> type[np.float32] | type[np.float64]:
        """What the affinity and the solution of so many nodes are held in."""
        narrow = 1 - self.alpha < LEAST_GAP  # W rounded to float32 would have larger eigenvalues than 1 / alpha
        single = self.precision == "single" or (self.precision == "auto" and num_nodes > DOUBLE_UP_TO and not narrow)
        return np.float32 if single else np.float64

    @property
    def step_limit(self) -> int:
        return self.rules.max_steps if self.max_steps is None else self.max_steps


def _check_count(case: str, name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < 1:
        raise ConfigError(case, f"{name} is {value!r}, expected a whole number from 1 up")


def _check_choice(case: str, name: str, value: object, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ConfigError(case, f"{name} is {value!r}, expected one of {', '.join(choices)}")


def _check_refinement(refinement: object, mode: str) -> None:
    if not isinstance(refinement, Refinement):
        raise ConfigError("C31", f"refinement is {refinement!r}, expected a fewlabels.graph.Refinement")
    if mode == "released" and refinement != Refinement():
        raise ConfigError(
            "C35",
            f"{refinement!r} in released mode, which does what the authors' code does and no more",
            do="use mode='paper', or leave the refinement out",
        )


def _check_number(case: str, name: str, value: object, low: float, high: float, why: str) -> None:
    """Accept low < value < high, finite."""
    is_number = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if not is_number or not low < float(value) < high:  # type: ignore[arg-type]
        upper = "" if math.isinf(high) else f" and below {high:g}"
        raise ConfigError(case, f"{name} is {value!r}, expected a finite number above {low:g}{upper}: {why}")


def restore_settings(values: Mapping[str, Any]) -> GraphSettings:
    """GraphSettings of what a run, a model or a call's record holds of them: the fields by name, as JSON has them.

    Raises TypeError for an unknown name, ConfigError for a value out of range.
    """
    known = dict(values)
    refinement = known.pop("refinement", None) or {}
    return GraphSettings(**known, refinement=Refinement(**refinement))
