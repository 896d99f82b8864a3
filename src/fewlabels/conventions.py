"""Conventions that every part shares."""

UNLABELED = -1  # marks a row without a label, as in scikit-learn
