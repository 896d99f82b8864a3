"""What a propagation will take: memory and time, before anything is computed."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ..errors import GraphError
from .codes import ITERATIONS as BASIS_ITERATIONS
from .codes import SAMPLE as BASIS_SAMPLE
from .codes import WIDTH
from .compiled import instructions
from .recall import SAMPLE
from .settings import CODES_FROM, EXACT_UP_TO, GraphSettings

# Memory. Counts of entries are exact but for ENTRIES_PER_NEIGHBOR; what Python and its packages hold is BASE_BYTES.
BASE_BYTES = 250 * 2**20
ENTRIES_PER_NEIGHBOR = 69 / 50  # of W to those of the neighbour lists: about a third of the pairs are mutual
ROW_BYTES = 96  # label, certainty, node, component, and the row of the output table
SOLVER_BLOCKS = 4  # solution, residual, direction and image of conjugate gradients
SOLVER_COLUMNS = 32  # classes that are solved at a time

# Time, on one core of about 75 GFLOP/s in float32 (AVX-512; with AVX2 about as fast, without either much slower).
SECONDS_PER_MULTIPLICATION = 2.7e-11  # of a large float32 matrix product, an addition with it
CLUSTERS_SHARE = 0.2  # of the time of the search, that making clusters takes: what `compiled.nearest` reports
COMPARED_SHARE = 14  # times sqrt(n): the rows and centres that one row is compared with, if searched by clusters
SECONDS_PER_COMPARISON = 6e-10  # of keeping the best k of the rows compared
# The search in two stages. How it works is told in `compiled.coded` and `compiled.clusters`, whose constants these are.
CLUSTERS_PER_ROOT, ROWS_PER_CLUSTER, CLUSTER_ITERATIONS = 1.4, 40, 6
# What it finds out from the rows: as for photos through EfficientNet-Lite0, 12,000 (44 % of the rows compared) and
# mixtures of them, 50,000 (19 %); blobs far apart take a seventh.
COMPARED_BY_CODES = 45  # times sqrt(n): the rows that one row is compared with
RANKED_PER_NEIGHBOR = 2.2  # candidates
COMPARISON_PRODUCTS = 100  # as long as so many products takes keeping the best of those compared
SECONDS_PER_CODE_PRODUCT = 8e-12  # of two numbers of codes, an addition with it; AVX-512 with VNNI, AVX2 1.5 times that
SECONDS_PER_DOUBLE_PRODUCT = 2.2e-10  # in float64, for the basis
SECONDS_PER_RANKED_NUMBER = 2.4e-10  # of a candidate's row, which comes from memory
SECONDS_PER_ENTRY = 6e-8  # of building W
SECONDS_PER_STEP_ENTRY = 1e-9  # of a step of the solver, for each entry of W
SECONDS_PER_STEP_CLASS = 1.9e-10  # the same, for each class
STEPS = 20  # to a relative residual of 1e-6 at alpha 0.99, with the two-level preconditioner
SECONDS_PER_RESULT = 2.5e-8  # of reading labels and certainty off the solution, for each row and class
WITHOUT_KERNELS = 15  # times as long for the search, by NumPy's products in float64
CALIBRATED_SOLVES = 6  # with labels held out in five folds
BASE_SECONDS = 0.5


MOST_ENTRIES = 2**31 - 1  # of W: SciPy and the kernels count them in 32 bits
ENTRIES_OF_LISTS = (
    1.5  # entries of W to those of the lists: from 1, where all pairs are mutual, to 2; at 28 M rows about so
)


def demand_countable(num_rows: int, settings: GraphSettings) -> None:
    """Raise GraphError (G23) where the graph would have more entries than can be counted, before hours of searching."""
    k = min(settings.n_neighbors, max(1, num_rows - 1))
    if ENTRIES_OF_LISTS * k * num_rows > MOST_ENTRIES:
        fewer = int(MOST_ENTRIES / (ENTRIES_OF_LISTS * num_rows))
        most = int(MOST_ENTRIES / (ENTRIES_OF_LISTS * k))
        what = f"{num_rows:,} rows with {k} neighbours each; one machine counts up to {MOST_ENTRIES:,} edges"
        do = f"at most {fewer} neighbours (--n-neighbors {fewer}), or about {most:,} rows"
        raise GraphError("G23", what, do=do)


@dataclass(frozen=True)
class Cost:
    """bytes: largest memory at any time. stage_seconds: of each stage of `propagate`, by its name."""

    bytes: int
    stage_seconds: dict[str, float]

    @property
    def seconds(self) -> float:
        """Of all stages together."""
        return BASE_SECONDS + sum(self.stage_seconds.values())


def estimate(
    num_rows: int,
    dimensions: int,
    num_classes: int,
    settings: GraphSettings,
    *,
    held_bytes: int = 0,
    threads: int = 1,
) -> Cost:
    """Memory and time of propagating over (num_rows, dimensions) descriptors.

    held_bytes: what the descriptors take while all stages run; 0 where they are a map of a file, or shared.
    threads: cores that the search and the solver use.
    """
    k = min(settings.n_neighbors, max(1, num_rows - 1))
    return Cost(
        math.ceil(BASE_BYTES + held_bytes + _bytes(num_rows, dimensions, num_classes, k, settings)),
        _stage_seconds(num_rows, dimensions, num_classes, k, settings, threads),
    )


def _bytes(n: int, d: int, c: int, k: int, settings: GraphSettings) -> float:
    """The largest of three stages that each free what the next does not need."""
    real = 8 if settings.dtype(n) == np.float64 else 4  # of an entry of W and of the solver
    rows = 4 * n * d  # float32, scaled
    copy = 4 * n * d  # the same, sorted by cluster, while the search runs
    neighbors = 8 * n * k  # int32 number and float32 similarity
    w = (4 + real) * ENTRIES_PER_NEIGHBOR * k * n  # int32 column and value
    blocks = real * SOLVER_BLOCKS * n * min(c, SOLVER_COLUMNS)
    solution = real * n * c  # x, and z in its place
    distribution = real * n * c
    search = rows + copy + neighbors
    build = 2 * neighbors + w  # the lists, and the same by the row that is named
    solve = w + solution + max(blocks, distribution)  # the blocks are gone when the distributions are made
    return max(search, build, solve) + ROW_BYTES * n


@dataclass(frozen=True, kw_only=True)
class Operations:
    """What a search in two stages does: products of two numbers in single and double precision and of codes, with the
    comparisons of their sums among these, and numbers of the candidates' rows."""

    single_products: float
    double_products: float
    code_products: float
    ranked_numbers: float

    @property
    def seconds(self) -> float:
        """On one core."""
        return (
            self.single_products * SECONDS_PER_MULTIPLICATION
            + self.double_products * SECONDS_PER_DOUBLE_PRODUCT
            + self.code_products * SECONDS_PER_CODE_PRODUCT
            + self.ranked_numbers * SECONDS_PER_RANKED_NUMBER
        )


def count_operations(n: int, d: int, k: int) -> Operations:
    """Of a search in two stages for k neighbours of each of (n, d) rows."""
    width = min(WIDTH, d)
    clusters = CLUSTERS_PER_ROOT * math.sqrt(n)
    drawn = min(n, ROWS_PER_CLUSTER * clusters)  # for the clusters
    compared = min(n, COMPARED_BY_CODES * math.sqrt(n))
    pairs = (CLUSTER_ITERATIONS * drawn + 2 * n) * clusters + n * compared  # centres; own and probed clusters; rows
    basis_rows = min(n, BASIS_SAMPLE) if d > width else 0
    iterations = BASIS_ITERATIONS if d > width else 0
    return Operations(
        single_products=min(n, SAMPLE) * n * d,
        double_products=iterations * (d * d * width + 2 * d * width * width) + 3 * width**3,
        code_products=basis_rows * d * d + n * d * width + pairs * (width + COMPARISON_PRODUCTS),
        ranked_numbers=n * RANKED_PER_NEIGHBOR * k * d,
    )


def _search_seconds(n: int, d: int, k: int, settings: GraphSettings) -> float:
    """Of the neighbours, on one core: all pairs, clusters, or two stages."""
    compiled = instructions() is not None
    exact = settings.search_recall == "exact" or n <= EXACT_UP_TO or not compiled
    if not exact and d >= CODES_FROM:
        return count_operations(n, d, k).seconds
    compared = n if exact else min(n, COMPARED_SHARE * math.sqrt(n))
    one = compared * (d * SECONDS_PER_MULTIPLICATION + SECONDS_PER_COMPARISON)
    return n * one * (1 if compiled else WITHOUT_KERNELS)


def _stage_seconds(n: int, d: int, c: int, k: int, settings: GraphSettings, threads: int) -> dict[str, float]:
    entries = ENTRIES_PER_NEIGHBOR * k * n
    steps = min(settings.step_limit, STEPS * math.sqrt(0.01 / (1 - settings.alpha)))
    steps *= CALIBRATED_SOLVES if settings.refinement.calibrate else 1
    return {
        "neighbors": _search_seconds(n, d, k, settings) / threads,
        "affinity": entries * SECONDS_PER_ENTRY / threads,
        "solve": steps * entries * (SECONDS_PER_STEP_ENTRY + c * SECONDS_PER_STEP_CLASS) / threads,
        "pseudo_labels": n * c * SECONDS_PER_RESULT,
    }
