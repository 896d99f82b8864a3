"""Wide rows as codes on a device: compiled/codes.py in torch, on whole numbers up to 127 that are held as floats.

Their products are summed in float32, exactly as long as no sum reaches 2^24. So neither the order in which a device
adds nor the blocks that rows come in change a code, or what a pair of codes says.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..codes import DEVIATIONS, ITERATIONS, LARGEST, MEASURED, count_width, draw_for_basis
from .rows import blocks, sum_rows

MOST_TERMS = 2**24 // LARGEST**2  # products of two whole numbers whose sum is exact in float32
LARGEST_BIAS = 2.0**30


@dataclass(frozen=True, kw_only=True)
class Basis:
    """How rows become codes. mean: (d,) float32. columns: (d, width) whole numbers up to 127, float32.

    factor: of a row's products with the columns, to its code. step: what 1 in a code stands for.
    """

    mean: Tensor
    columns: Tensor
    factor: float
    step: float


@dataclass(frozen=True)
class Codes:
    """numbers: (n, width) whole numbers up to 127, float16 on a GPU, else float32.

    bias: (n,) float32, the inner product of each row and the mean, in steps: what sums with its code begin with.
    """

    numbers: Tensor
    bias: Tensor


def fit_basis(rows: Tensor, seed: int) -> Basis:
    """The basis of codes of (n, d) rows, from a sample of them, as compiled/codes.make_basis makes it."""
    n, d = rows.shape
    chosen, rng = draw_for_basis(n, seed)
    sample = rows[torch.from_numpy(chosen).to(rows.device)]
    mean = sample.mean(0, dtype=torch.float64).float()
    width = count_width(d)
    columns = orthonormalize(draw_columns(width, width, rng, rows.device))
    if d > width:
        whole = round_rows(sample, mean)[0]
        products = multiply_long(whole.T, whole)
        leading = find_subspace(products / products.abs().max().clamp(min=1), width, rng)
        columns = leading @ columns
    columns = columns[:d]
    spread = (sample[:MEASURED] - mean).double() @ columns
    step = DEVIATIONS / LARGEST * max(float(spread.square().mean()) ** 0.5, 1e-30)
    largest = float(columns.abs().max())
    whole = torch.round(columns * (LARGEST / largest)).float()
    return Basis(mean=mean, columns=whole, factor=largest / LARGEST / step, step=step)


def find_subspace(products: Tensor, width: int, rng: np.random.Generator) -> Tensor:
    """(d, width) orthonormal columns that span about what the leading eigenvectors of (d, d) products span, float64."""
    columns = draw_columns(products.shape[0], width, rng, products.device)
    for _ in range(ITERATIONS):
        columns = orthonormalize(products @ columns)
    return columns


def orthonormalize(columns: Tensor) -> Tensor:
    """Orthonormal columns that span at least the same, each on the side of the one that it was made of."""
    q, r = torch.linalg.qr(columns)
    signed: Tensor = q * torch.where(r.diagonal() < 0, -1.0, 1.0)
    return signed


def draw_columns(num_rows: int, width: int, rng: np.random.Generator, device: torch.device) -> Tensor:
    """(num_rows, width) normal numbers, float64."""
    return torch.from_numpy(rng.standard_normal((num_rows, width), np.float32)).to(device).double()


def encode(rows: Tensor, basis: Basis) -> Codes:
    """The codes of (n, d) rows. Memory beside the result: a block."""
    n, width = rows.shape[0], basis.columns.shape[1]
    kind = torch.float16 if rows.device.type == "cuda" else torch.float32
    numbers = torch.empty((n, width), dtype=kind, device=rows.device)
    bias = torch.empty(n, dtype=torch.float32, device=rows.device)
    mean = basis.mean.double()
    for part in blocks(rows, 40):
        whole, scale = round_rows(rows[part], basis.mean)
        exact = multiply_long(whole, basis.columns) * (scale * basis.factor)[:, None]
        numbers[part] = exact.round().clamp(-LARGEST, LARGEST).to(kind)
        along = sum_rows(rows[part].double() * mean) / basis.step**2
        bias[part] = along.round().clamp(-LARGEST_BIAS, LARGEST_BIAS).float()
    return Codes(numbers, bias)


def round_rows(rows: Tensor, mean: Tensor) -> tuple[Tensor, Tensor]:
    """(q, d) rows less the mean, each as whole numbers up to 127 by its own scale; (q,) float64, what 1 stands for."""
    part = rows - mean
    largest = part.abs().amax(1)
    inverse = torch.where(largest > 1e-30, LARGEST / largest, 0)
    return (part * inverse[:, None]).round(), largest.double() / LARGEST


def multiply(a: Tensor, b: Tensor) -> Tensor:
    """The float32 product of whole numbers up to 127, (n, w) and (w, m): exact for w up to MOST_TERMS.

    On a GPU the numbers are taken as float16, for its tensor cores.
    """
    if a.device.type == "cuda":
        return torch.mm(a.half(), b.half(), out_dtype=torch.float32)
    return a.float() @ b.float()


def multiply_long(a: Tensor, b: Tensor) -> Tensor:
    """The same for any w, in float64."""
    total = torch.zeros((a.shape[0], b.shape[1]), dtype=torch.float64, device=a.device)
    for start in range(0, a.shape[1], MOST_TERMS):
        part = slice(start, start + MOST_TERMS)
        total += multiply(a[:, part], b[part])
    return total
