"""Class names as sources: descriptors of class names pour into the rows that they are most alike to.

Where a backbone has a text side, as CLIP has, a class has a descriptor before any row has its label. Each row is joined
to the names that it is most alike to by a list of neighbours of its own, with a power of its own: all rows are more
alike to each other than to any text, and would never find names among their neighbours (ZLaP: Stojnić, Kalantidis,
Tolias, CVPR 2024, arXiv 2404.04072). With A_jc = max(0, similarity of row j and name c) ** gamma on those edges and D
the sums of its rows and of its columns, a name c gives row j the source

    S_jc = A_jc / sqrt(D_j D_c),    each column scaled to the sum 1,

and the rows are labelled by (I - alpha W) Z = S, over the same graph as labels are spread. A name counts as one label,
given to all that is alike to it in parts.
"""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

NEIGHBORS, GAMMA = 5, 5.0  # names of each row, and the power of their similarity
BLOCK = 16384  # rows whose similarities are in memory at a time


def weigh_class_names(
    rows: NDArray[np.float32], names: NDArray[np.float32], *, n_neighbors: int = NEIGHBORS, gamma: float = GAMMA
) -> sp.csc_array:
    """S, (n, c) sparse: what the name of each class gives to each row; columns sum to 1, or 0 where no row is alike.

    rows: (n, d), names: (c, d), both comparable (`comparable_rows`) and of the same backbone.
    """
    kept = min(n_neighbors, len(names))
    parts = []
    for first in range(0, len(rows), BLOCK):
        alike = np.maximum(rows[first : first + BLOCK] @ names.T, 0).astype(np.float64)
        column = np.argpartition(-alike, kept - 1, axis=1)[:, :kept]
        weight = np.take_along_axis(alike, column, axis=1) ** gamma
        row = np.repeat(np.arange(len(alike)), kept)
        parts.append(sp.csr_array((weight.ravel(), (row, column.ravel())), shape=alike.shape))
    weight = sp.csc_array(sp.vstack(parts))
    weight.eliminate_zeros()
    of_row, of_name = (_invert(np.sqrt(np.asarray(weight.sum(axis=axis)).ravel())) for axis in (1, 0))
    source = sp.csc_array(sp.diags_array(of_row) @ weight @ sp.diags_array(of_name))
    total = np.asarray(source.sum(axis=0)).ravel()
    return sp.csc_array(source @ sp.diags_array(_invert(total)))


def _invert(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """One over each; 0 for 0."""
    return np.divide(1.0, values, out=np.zeros_like(values), where=values > 0)


def fade(num_labels: NDArray[np.integer]) -> NDArray[np.float64]:
    """What a name counts beside n labels of its class: 1 / (1 + n). It is the whole of a class without a label."""
    return 1.0 / (1.0 + np.asarray(num_labels, np.float64))
