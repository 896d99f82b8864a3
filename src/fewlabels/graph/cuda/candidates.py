"""The largest entries of long rows on a device."""

from __future__ import annotations

import torch
from torch import Tensor

GROUP = 32  # columns of which only the largest entry is looked at first
CROWDED_SHARE = 8  # of a block of rows, so many of which are sorted whole at a time


def find_candidates(near: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Columns of the `count` largest entries of each row of near, (q, n), ascending, and these entries.

    They lie in the `count` groups of columns with the largest maxima, so that long rows are read once, by a maximum.
    n is a multiple of GROUP; group g has the columns g, g + n / GROUP, g + 2 n / GROUP, ... Of entries that equal the
    smallest of them, any may be there.
    """
    q, n = near.shape
    groups = n // GROUP
    if 2 * (groups + GROUP * count) > n:
        ids = near.topk(count, dim=1, sorted=False).indices.sort(1).values
        return ids, near.gather(1, ids)
    best = near.view(q, GROUP, groups).amax(1).topk(count, dim=1, sorted=False).indices
    within = torch.arange(0, n, groups, device=near.device)
    columns = (best[:, :, None] + within).view(q, -1)
    ids = columns.gather(1, near.gather(1, columns).topk(count, dim=1, sorted=False).indices).sort(1).values
    return ids, near.gather(1, ids)


def choose_candidates(near: Tensor, count: int) -> Tensor:
    """(q, count) columns of the largest entries of each row of near, largest first, of equal ones the smaller columns.

    near: as in find_candidates, with more than `count` columns.
    """
    ids, values = find_candidates(near, count + 1)
    values, order = values.sort(dim=1, descending=True, stable=True)
    chosen = ids.gather(1, order[:, :count])
    crowded = (values[:, count - 1] == values[:, count]).nonzero()[:, 0]
    for part in torch.split(crowded, max(1, near.shape[0] // CROWDED_SHARE)):
        chosen[part] = near[part].sort(dim=1, descending=True, stable=True).indices[:, :count]
    return chosen
