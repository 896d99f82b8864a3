"""Settings and answers that the given labels choose: graphs, heads, their average; an honest error; abstaining.

Needs NumPy and SciPy alone. `propagate` is what `fewlabels.propagate` does.
"""

from .abstain import Threshold
from .answer import Answer, Part
from .choice import Candidate, Choice, Member
from .extend import extend
from .judge import Bin, Reliability, Suspicion
from .propagate import propagate
from .scores import Interval
from .settings import Auto

__all__ = [
    "Answer",
    "Auto",
    "Bin",
    "Candidate",
    "Choice",
    "Interval",
    "Member",
    "Part",
    "Reliability",
    "Suspicion",
    "Threshold",
    "extend",
    "propagate",
]
