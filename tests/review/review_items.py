"""A small run to review: three clusters."""

import numpy as np

from fewlabels.graph import GraphSettings
from fewlabels.review.items import Items

NAMES = ("a", "b", "c")


def items_of(n=300, seed=0, labelled=6, spread=0.6, **settings):
    rng = np.random.default_rng(seed)
    truth = np.arange(n) % 3
    rows = rng.normal(size=(3, 6))[truth] + spread * rng.normal(size=(n, 6))
    given = np.where(np.arange(n) < labelled, truth, -1)
    texts = {"note": [f"Row {row} of class {truth[row]}" for row in range(n)]}
    graph = GraphSettings(**{"n_neighbors": 10, **settings})
    ids = [f"id{row}" for row in range(n)]
    return Items(ids=ids, class_names=NAMES, given=given, descriptors=rows, settings=graph, truth=truth, texts=texts)
