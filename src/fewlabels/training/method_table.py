"""The one table of methods: every name that a method goes by, and what other parts need to know about it.

Values only, and no imports of this package: the command line and the reports read it without loading torch. What each
method computes is in methods.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

# mypy and typer want these spelled out; a test holds them against the table.
MethodName = Literal[
    "supervised",
    "lp",
    "mean_teacher",
    "mt_lp",
    "pi_model",
    "temporal_ensembling",
    "match",
    "strong_lp",
    "match_lp",
]
MethodWord = Literal["supervised", "lp", "mt", "mt+lp", "pi", "te", "match", "strong-lp", "match+lp"]


@dataclass(frozen=True, kw_only=True)
class MethodFacts:
    """One method.

    name: in settings, events and results of runs; it never changes. word: on the command line.
    title: in tables, the paper's where it has one. phrase: in a sentence. short: beside a curve.
    does: what it trains for, one sentence.
    phases: that the word stands for, in order; the last is the method itself.
    labeled_only: it trains on labelled rows alone. propagates: it makes pseudo-labels before every epoch, for which the
        network describes all images. ema_teacher: its teacher is a moving average of the network's weights.
    matches: the network learns from strong views, and its teacher looks at weak ones and describes.
    """

    name: MethodName
    word: MethodWord
    title: str
    phrase: str
    short: str
    does: str
    phases: tuple[MethodName, ...]
    labeled_only: bool = False
    propagates: bool = False
    ema_teacher: bool = False
    matches: bool = False


METHOD_TABLE = (
    MethodFacts(
        name="supervised",
        word="supervised",
        title="supervised",
        phrase="training on the labels alone",
        short="labels alone",
        does="the network learns from the labelled images alone.",
        phases=("supervised",),
        labeled_only=True,
    ),
    MethodFacts(
        name="lp",
        word="lp",
        title="label propagation",
        phrase="label propagation",
        short="label propagation",
        does="before every epoch, labels are spread over a graph of the network's own descriptors, and the network "
        "learns from all images.",
        phases=("supervised", "lp"),
        propagates=True,
    ),
    MethodFacts(
        name="mean_teacher",
        word="mt",
        title="Mean Teacher",
        phrase="Mean Teacher",
        short="Mean Teacher",
        does="the network is to answer as its teacher does, an average of its own earlier weights.",
        phases=("mean_teacher",),
        ema_teacher=True,
    ),
    MethodFacts(
        name="mt_lp",
        word="mt+lp",
        title="Mean Teacher + label propagation",
        phrase="Mean Teacher with label propagation",
        short="Mean Teacher + propagation",
        does="before every epoch, labels are spread over a graph of the network's own descriptors; the network learns "
        "from all images and from its teacher, an average of its own earlier weights.",
        phases=("mean_teacher", "mt_lp"),
        propagates=True,
        ema_teacher=True,
    ),
    MethodFacts(
        name="pi_model",
        word="pi",
        title="Pi-model",
        phrase="the Pi-model",
        short="Pi-model",
        does="two random views of an image are to get the same answer.",
        phases=("pi_model",),
    ),
    MethodFacts(
        name="temporal_ensembling",
        word="te",
        title="temporal ensembling",
        phrase="temporal ensembling",
        short="temporal ensembling",
        does="an image is to get the answer that it had on average in earlier epochs.",
        phases=("temporal_ensembling",),
    ),
    MethodFacts(
        name="match",
        word="match",
        title="strong-view matching",
        phrase="matching of strong views",
        short="matching",
        does="of a strongly changed image the network is to say what its teacher, an average of its own earlier "
        "weights, is sure of for the image itself.",
        phases=("match",),
        ema_teacher=True,
        matches=True,
    ),
    MethodFacts(
        name="strong_lp",
        word="strong-lp",
        title="label propagation on strong views",
        phrase="label propagation on strong views",
        short="propagation, strong views",
        does="before every epoch, labels are spread over a graph of the teacher's descriptors, and the network learns "
        "them from strongly changed images; its teacher is an average of its own earlier weights.",
        phases=("strong_lp",),
        propagates=True,
        ema_teacher=True,
        matches=True,
    ),
    MethodFacts(
        name="match_lp",
        word="match+lp",
        title="strong-view matching + label propagation",
        phrase="matching of strong views with label propagation",
        short="matching + propagation",
        does="of a strongly changed image the network is to say what its teacher, an average of its own earlier "
        "weights, and labels spread over a graph of the teacher's descriptors say together.",
        phases=("match_lp",),
        propagates=True,
        ema_teacher=True,
        matches=True,
    ),
)
BY_NAME: dict[str, MethodFacts] = {method.name: method for method in METHOD_TABLE}
BY_WORD: dict[MethodWord, MethodFacts] = {method.word: method for method in METHOD_TABLE}


def describe_words() -> str:
    """Help of the command line's --method: each word, with the title where that says more."""
    each = (method.word if method.word == method.title else f"{method.word}: {method.title}" for method in METHOD_TABLE)
    return f"{'; '.join(each)}."
