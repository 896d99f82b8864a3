"""scikit-learn's door to the graph core: a classifier, and a splitter and a scorer for cross-validation."""

from .classifier import LabelPropagationClassifier
from .scoring import labeled_scorer
from .split import LabeledKFold

__all__ = ["LabelPropagationClassifier", "LabeledKFold", "labeled_scorer"]
