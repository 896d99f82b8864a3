"""scikit-learn's door to the graph core: a classifier, and a splitter and a scorer for cross-validation."""

from .classifier import LabelPropagationClassifier
from .cross_validation import LabeledKFold, labeled_scorer

__all__ = ["LabelPropagationClassifier", "LabeledKFold", "labeled_scorer"]
