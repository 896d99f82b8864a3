"""Search in two stages on a device, for wide rows: codes choose candidates, exact similarities rank them.

There are no clusters: a device multiplies all codes in less time than it takes to look some of them up. How many
candidates are ranked is chosen on a sample of rows whose true neighbours are known, as on the CPU (compiled/coded.py),
and the recall is measured on it. Similarities, and the order of equal ones, have the bits of the CPU's kernels.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from ..codes import count_candidates, find_among
from ..recall import Goal, count_enough, measure_recall
from .candidates import GROUP, choose_candidates
from .codes import encode, fit_basis, multiply
from .rows import block_bytes

PARTS = 16  # of the sum of a similarity: feature f is in part f % 16 (csrc/rank.h)
CANDIDATE_BYTES = 400 + 16 * GROUP  # of a block, for each candidate of each of its rows
FURTHER = 8  # times as many as a float32 product needs where no near-tie is confused: few rows, so they cost nothing
SPARE = 8
Scores = Callable[[Tensor], Tensor]  # (q,) numbers of rows -> (q, n or more) float32, -inf beyond n


def search_coded(rows: Tensor, goal: Goal, seed: int) -> tuple[Tensor, Tensor, float] | None:
    """The goal's neighbours of each of (n, d) rows, none of them all zeros, and the recall on its sample.

    (n, k) int64 and float32; None where codes tell too little of these rows to reach the recall.
    Memory: the codes, and blocks of 1 GiB (on the CPU 128 MiB), beside the input and the result.
    """
    n = rows.shape[0]
    sample = torch.from_numpy(goal.sample).to(rows.device)
    true = min(n - 1, FURTHER * (goal.k + SPARE))
    truth = rank_best(rows, sample, score_by_product(rows), true, goal.k)[0].cpu().numpy()
    score = score_by_codes(rows, seed)
    most = count_candidates(goal.k, n)
    found = torch.cat([_choose(score, part, most) for part in split_queries(rows, sample, most)])
    enough = count_enough(find_among(found.cpu().numpy(), truth, most), goal.recall)
    if enough > most:
        return None
    everyone = torch.arange(n, device=rows.device)
    index, similarity = rank_best(rows, everyone, score, max(enough, goal.k), goal.k)
    reached = measure_recall(index[sample].cpu().numpy().astype(np.int32), truth).mean
    return index, similarity, reached


def score_by_product(rows: Tensor) -> Scores:
    """By their similarity in float32."""
    rest = -rows.shape[0] % GROUP
    return lambda part: torch.nn.functional.pad(rows[part] @ rows.T, (0, rest), value=-torch.inf)


def score_by_codes(rows: Tensor, seed: int) -> Scores:
    """By what their codes say of their similarity."""
    codes = encode(rows, fit_basis(rows, seed))
    rest = -rows.shape[0] % GROUP
    columns = torch.nn.functional.pad(codes.numbers, (0, 0, 0, rest)).T
    bias = torch.nn.functional.pad(codes.bias, (0, rest), value=-torch.inf)
    return lambda part: multiply(codes.numbers[part], columns).add_(bias)


def rank_best(rows: Tensor, queries: Tensor, score: Scores, count: int, k: int) -> tuple[Tensor, Tensor]:
    """The k nearest of the `count` others with the largest scores, for each of rows[queries]: (q, k), nearest first."""
    found = []
    for part in split_queries(rows, queries, count):
        candidates = _choose(score, part, count)
        found.append(rank_rows(rows[part], rows, candidates, k))
    index, similarity = zip(*found, strict=True)
    return torch.cat(index), torch.cat(similarity)


def split_queries(rows: Tensor, queries: Tensor, count: int) -> tuple[Tensor, ...]:
    """The queries in parts whose scores with all rows, and `count` candidates each, fit into a block."""
    each = 8 * rows.shape[0] + CANDIDATE_BYTES * count
    return torch.split(queries, max(1, block_bytes(rows.device) // each))


def _choose(score: Scores, queries: Tensor, count: int) -> Tensor:
    """(q, count) the others with the largest scores, largest first."""
    near = score(queries)
    near[torch.arange(queries.numel(), device=near.device), queries] = -torch.inf  # self, by number
    return choose_candidates(near, count)


def rank_rows(queries: Tensor, rows: Tensor, candidates: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k best of each query's candidates, (q, m) numbers of rows, by exact similarities; equal ones by number."""
    ids = candidates.sort(1).values
    similarity, order = multiply_rows(queries, rows, ids).sort(dim=1, descending=True, stable=True)
    return ids.gather(1, order[:, :k]), similarity[:, :k]


def multiply_rows(queries: Tensor, rows: Tensor, ids: Tensor) -> Tensor:
    """(q, m) float32 inner products of queries (q, d) with rows[ids]: float64 sums, rounded once.

    A product of two float32 is exact in float64. Sixteen parts are summed in the order of features, and then as a tree:
    the bits of the CPU's kernels, whatever the device and the block, and the same for (a, b) and (b, a).
    """
    sums = torch.zeros((*ids.shape, PARTS), dtype=torch.float64, device=rows.device)
    for start in range(0, rows.shape[1], PARTS):
        theirs = rows[:, start : start + PARTS][ids].double()
        mine = queries[:, None, start : start + PARTS].double()
        sums[:, :, : theirs.shape[2]].addcmul_(mine, theirs)
    while sums.shape[2] > 1:
        half = sums.shape[2] // 2
        sums = sums[:, :, :half] + sums[:, :, half:]
    return sums[:, :, 0].float()
