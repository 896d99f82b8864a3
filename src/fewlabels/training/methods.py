"""Methods as plain functions: who labels the unlabelled rows, who teaches, and what is minimised."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch

from .losses import (
    LossInputs,
    consistency,
    labeled_cross_entropy,
    logit_distance,
    match_both,
    match_graph,
    match_teacher,
    weighted_cross_entropy,
)
from .method_table import MethodName
from .settings import TrainSettings
from .targets import PartialLabels, Propagate, Targets
from .teachers import Pupil, Teacher, ema_teacher, ensemble_teacher, matching_teacher, pi_teacher

Describe = Callable[[], torch.Tensor]  # () -> (n, d) descriptors of all rows by the network, or its teacher, of now
Term = Callable[[LossInputs], torch.Tensor]


@dataclass(frozen=True)
class Method:
    """A method, built for one phase and never stored.

    targets: called before every epoch. teacher: None without one. terms: added up to the loss.
    """

    targets: Callable[[Describe, PartialLabels, Propagate], Targets]
    teacher: Callable[[Pupil], Teacher] | None = None
    terms: tuple[Term, ...] = (weighted_cross_entropy,)


def supervised(settings: TrainSettings) -> Method:
    """Labelled rows only."""
    return Method(lambda describe, labels, propagate: Targets.from_labels(labels))


def pi_model(settings: TrainSettings) -> Method:
    """The network is to say the same of two views of an image. Laine and Aila, 2017."""
    taught = (weighted_cross_entropy, consistency, *_tie_heads(settings))
    return replace(supervised(settings), teacher=lambda pupil: pi_teacher(pupil.student), terms=taught)


def temporal_ensembling(settings: TrainSettings) -> Method:
    """The network is to say what it said of an image in earlier epochs, on average. Laine and Aila, 2017."""

    def teacher(pupil: Pupil) -> Teacher:
        return ensemble_teacher(len(pupil.label), pupil.num_classes, settings.consistency.memory, pupil.label.device)

    return replace(pi_model(settings), teacher=teacher)


def mean_teacher(settings: TrainSettings) -> Method:
    """The network is to say what an average of its own weights says. Tarvainen and Valpola, 2017."""
    return replace(pi_model(settings), teacher=lambda pupil: ema_teacher(pupil.student, pupil.start))


def lp(settings: TrainSettings) -> Method:
    """Label propagation: before every epoch, labels spread over the graph of the network's own descriptors."""
    return Method(lambda describe, labels, propagate: propagate(describe(), labels))


def mt_lp(settings: TrainSettings) -> Method:
    """Mean Teacher with labels by propagation."""
    return replace(mean_teacher(settings), targets=lp(settings).targets)


def match(settings: TrainSettings) -> Method:
    """The network is to say of a strong view what its EMA teacher is sure of for a weak one: FixMatch, with FreeMatch's
    threshold and ReMixMatch's alignment. docs/matching.md has the equations and what was left out.
    """
    terms = (labeled_cross_entropy, match_teacher, *_tie_heads(settings))
    return replace(supervised(settings), teacher=lambda pupil: matching_teacher(pupil, settings.matching), terms=terms)


def strong_lp(settings: TrainSettings) -> Method:
    """The network is to say of a strong view what the graph of its teacher's descriptors says of the image."""
    terms = (labeled_cross_entropy, match_graph, *_tie_heads(settings))
    return replace(match(settings), targets=lp(settings).targets, terms=terms)


def match_lp(settings: TrainSettings) -> Method:
    """The network is to say of a strong view what teacher and graph say together, each as far as it is certain.

    Alignment evens out the classes, so that class weights are left out.
    """

    def targets(describe: Describe, labels: PartialLabels, propagate: Propagate) -> Targets:
        found = propagate(describe(), labels)
        return replace(found, class_weight=np.ones_like(found.class_weight))

    terms = (labeled_cross_entropy, match_both, *_tie_heads(settings))
    return replace(match(settings), targets=targets, terms=terms)


def _tie_heads(settings: TrainSettings) -> tuple[Term, ...]:
    """The loss that keeps two heads together; none for one head."""
    weight = settings.consistency.logit_distance
    return (lambda inputs: weight * logit_distance(inputs),) if settings.network.heads == 2 else ()


METHODS: dict[MethodName, Callable[[TrainSettings], Method]] = {
    "supervised": supervised,
    "pi_model": pi_model,
    "temporal_ensembling": temporal_ensembling,
    "mean_teacher": mean_teacher,
    "lp": lp,
    "mt_lp": mt_lp,
    "match": match,
    "strong_lp": strong_lp,
    "match_lp": match_lp,
}
