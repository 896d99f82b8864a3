"""Rows as codes of few small whole numbers, whose inner products say which rows are worth an exact look.

A code is what an orthonormal basis makes of a row less the mean: the leading principal components, mixed by a random
rotation so that all numbers are about as large, and rounded to 8 bits by one scale. All sums are of whole numbers, or
of exact products in a fixed order: neither threads nor instruction sets change a bit.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..codes import DEVIATIONS, ITERATIONS, LARGEST, MEASURED, count_width, draw_for_basis
from ..threads import PARTS, Team, even_ranges
from . import _kernels
from .search import PANEL, Points

QUERY_BLOCK = 480


@dataclass(frozen=True, kw_only=True)
class Basis:
    """How rows become codes: all that another process needs for the same ones.

    mean: (d,) float32. points: width outputs of d numbers. factor: of their sums, to a code. step: what 1 in a code
    stands for.
    """

    mean: NDArray[np.float32]
    points: CodePoints
    factor: float
    step: float


@dataclass(frozen=True)
class CodePoints:
    """Codes in panels of 16 points, to be searched by queries.

    panels: uint8, [panel][4 numbers][point][number], 64 for 0 and half as fine as queries. bias: int32, what the sum
    of each point begins with. Both have a spare panel at the end.
    """

    panels: NDArray[np.uint8]
    bias: NDArray[np.int32]
    num_points: int
    width: int


@dataclass(frozen=True)
class Codes:
    """queries: (n, width) int8. along: (n,) float32, the inner product of each row and the mean."""

    queries: NDArray[np.int8]
    along: NDArray[np.float32]

    def reorder(self, order: NDArray[np.int64]) -> Codes:
        return Codes(self.queries[order], self.along[order])


def fit_basis(points: Points, seed: int, team: Team) -> Basis:
    """The basis of codes of these points, from a sample of them."""
    chosen, rng = draw_for_basis(points.size, seed)
    return make_basis(points.at(chosen), rng, team)


def make_basis(rows: NDArray[np.float32], rng: np.random.Generator, team: Team) -> Basis:
    """fit_basis of the sample that was drawn."""
    d = rows.shape[1]
    mean = rows.mean(axis=0, dtype=np.float64).astype(np.float32)
    width = count_width(d)
    columns = orthonormalize(rng.standard_normal((width, width), np.float32), team)
    if d > width:
        leading = find_subspace(multiply_columns(round_rows(rows, mean, team), team), width, rng, team)
        columns = multiply(leading, columns, team).astype(np.float32)
    columns = np.ascontiguousarray(columns[:d])
    spread = multiply(np.ascontiguousarray(rows[:MEASURED] - mean), columns, team)
    step = DEVIATIONS / LARGEST * max(float(np.square(spread).mean()) ** 0.5, 1e-30)
    largest = float(np.abs(columns).max())
    codes = np.zeros((width, -(-d // 4) * 4), np.int8)
    codes[:, :d] = np.rint(columns.T.astype(np.float64) * (LARGEST / largest))
    packed = pack_codes(codes, np.zeros(width), team)
    return Basis(mean=mean, points=packed, factor=2 * largest / LARGEST / step, step=step)


def round_rows(rows: NDArray[np.float32], mean: NDArray[np.float32], team: Team) -> NDArray[np.int8]:
    """(d, q) rows less the mean, each by its own scale, as columns; q is filled up to a multiple of 4 with zeros."""
    columns = np.zeros((rows.shape[1], -(-len(rows) // 4) * 4), np.int8)

    def work(first: int, last: int) -> None:
        part = rows[first:last] - mean
        largest = np.abs(part).max(axis=1, keepdims=True)
        part *= np.divide(LARGEST, largest, out=np.zeros_like(largest), where=largest > 1e-30)
        columns[:, first:last] = np.rint(part, out=part).astype(np.int8).T

    team.each(work, even_ranges(len(rows), PARTS * team.size))
    return columns


def multiply_columns(columns: NDArray[np.int8], team: Team) -> NDArray[np.float32]:
    """(d, d) the products of all pairs of (d, q) columns, up to a factor."""
    d, q = columns.shape
    points = pack_codes(columns, np.zeros(d), team)
    sums = np.empty((d, d), np.int32)

    def work(first: int, last: int) -> None:
        _kernels.multiply_codes(columns[first:last], last - first, q, points.panels, points.bias, d, sums[first:last])

    team.each(work, even_ranges(d, PARTS * team.size))
    products = sums - 64.0 * columns.sum(axis=1, dtype=np.int64)[:, None]
    both: NDArray[np.float64] = products + products.T
    both /= max(np.abs(both).max(), 1)
    return both.astype(np.float32)


def find_subspace(
    products: NDArray[np.float32], width: int, rng: np.random.Generator, team: Team
) -> NDArray[np.float32]:
    """(d, width) orthonormal columns that span about what the leading eigenvectors of (d, d) products span.

    Columns of zeros where there are not so many.
    """
    columns = rng.standard_normal((len(products), width), np.float32)
    for _ in range(ITERATIONS):
        image = multiply(products, columns, team)
        columns = orthonormalize((image / max(np.abs(image).max(), 1e-300)).astype(np.float32), team)
    return columns


def orthonormalize(columns: NDArray[np.float32], team: Team) -> NDArray[np.float32]:
    """(d, w) orthonormal columns that span the same; zeros for one that those before it span."""
    width = columns.shape[1]
    gram, inverse = multiply(np.ascontiguousarray(columns.T), columns, team), np.empty((width, width))
    _kernels.invert_triangle(gram, width, inverse)
    return multiply(columns, inverse.astype(np.float32), team).astype(np.float32)


def multiply(a: NDArray[np.float32], b: NDArray[np.float32], team: Team) -> NDArray[np.float64]:
    """The product of (n, m) and (m, w) in float64, the same bits on every machine."""
    out = np.empty((a.shape[0], b.shape[1]))

    def work(first: int, last: int) -> None:
        _kernels.multiply_matrices(a, b, a.shape[0], a.shape[1], b.shape[1], first, last, out)

    team.each(work, even_ranges(len(a), PARTS * team.size))
    return out


def encode(points: Points, basis: Basis, team: Team) -> Codes:
    """The codes of the points, in their order."""
    width = basis.points.num_points
    rows = np.ascontiguousarray(points.rows)
    codes = Codes(np.empty((points.size, width), np.int8), np.empty(points.size, np.float32))

    def work(first: int, last: int) -> None:
        _kernels.encode_rows(
            rows,
            len(rows),
            rows.shape[1],
            points.members,
            points.size,
            basis.mean,
            basis.points.panels,
            basis.points.bias,
            width,
            basis.factor,
            first,
            last,
            codes.queries,
            codes.along,
        )

    team.each(work, even_ranges(points.size, PARTS * team.size))
    return codes


def as_points(codes: Codes, basis: Basis, team: Team) -> CodePoints:
    """The rows as points: their sums with a query are about its inner products with them, but for a common number."""
    return pack_codes(codes.queries, codes.along / (2 * basis.step**2), team)


def pack_codes(codes: NDArray[np.int8], bias: NDArray[np.floating], team: Team) -> CodePoints:
    """(n, width) codes of queries as points."""
    n, width = codes.shape
    room = -(-n // PANEL) + 1
    panels = np.zeros(room * PANEL * width, np.uint8)
    sums = np.zeros(room * PANEL, np.int32)
    sums[:n] = np.clip(np.rint(bias), -(2**30), 2**30)
    team.each(
        lambda first, last: _kernels.pack_codes(codes, n, width, first, last, panels),
        even_ranges(n, PARTS * team.size),
    )
    return CodePoints(panels, sums, n, width)


def search_codes(
    queries: NDArray[np.int8], points: CodePoints, k: int, team: Team, own: NDArray[np.integer] | None = None
) -> NDArray[np.int32]:
    """(q, k) the points with the largest sums for each of (q, width) queries, largest first; -1 where there are fewer.

    own: (q,) number of each query among the points, which is then left out.
    """
    num, width = queries.shape
    number = np.empty((num, k), np.int32)
    own = None if own is None else own.astype(np.int32)

    def work(a: int, b: int) -> None:
        _kernels.search_codes(
            queries[a:b],
            b - a,
            width,
            points.panels,
            points.bias,
            points.num_points,
            None if own is None else own[a:b],
            k,
            number[a:b],
        )

    team.each(work, even_ranges(num, max(1, min(PARTS * team.size, num // QUERY_BLOCK), min(team.size, num // 24))))
    return number
