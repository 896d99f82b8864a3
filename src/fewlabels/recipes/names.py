"""What methods are called on the command line and in the paper's tables."""

from __future__ import annotations

from typing import Literal, get_args

from ..training.settings import MethodName

MethodWord = Literal["supervised", "lp", "mt", "mt+lp", "pi", "te"]
METHOD_WORDS: tuple[MethodWord, ...] = get_args(MethodWord)

# The phases that a method trains in. The first phase of "lp" is all of "supervised", that of "mt+lp" all of "mt".
PHASES: dict[MethodWord, tuple[MethodName, ...]] = {
    "supervised": ("supervised",),
    "lp": ("supervised", "lp"),
    "mt": ("mean_teacher",),
    "mt+lp": ("mean_teacher", "mt_lp"),
    "pi": ("pi_model",),
    "te": ("temporal_ensembling",),
}
TITLES: dict[MethodWord, str] = {
    "supervised": "supervised",
    "lp": "label propagation",
    "mt": "Mean Teacher",
    "mt+lp": "Mean Teacher + label propagation",
    "pi": "Pi-model",
    "te": "temporal ensembling",
}
