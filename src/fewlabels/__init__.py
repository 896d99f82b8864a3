"""fewlabels: train a classifier from a handful of labels."""
