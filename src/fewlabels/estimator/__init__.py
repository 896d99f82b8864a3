"""scikit-learn's door to the graph core: a classifier, and a splitter for scoring it."""

from .classifier import LabelPropagationClassifier
from .split import LabeledKFold

__all__ = ["LabelPropagationClassifier", "LabeledKFold"]
