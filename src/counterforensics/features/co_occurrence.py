"""Soft fourth-order co-occurrences, with their gradient: the cost of Cozzolino2017, made small.

Multiply the levels of two neighbours and there are 25 pairs for every position. The 625 shares are the 25x25
matrix product of the pairs that begin a run of four and the pairs that end it, summed over positions. On a
processor the kernels below take a few hundred positions at a time, so that all they touch stays in its nearest
caches; a BLAS takes twice as long for matrices so small. Elsewhere torch takes all positions at once.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numba
import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from counterforensics.compiled import compiled
from counterforensics.features.merging import LEVELS
from counterforensics.features.threads import by_threads

PAIRS = LEVELS * LEVELS
ROWS, COLUMNS = 3, 2  # the dimension of [n, 5, h, w] along which a run of four lies

# Memberships below this count as 0 in a product: the shares move by less than their float32 rounding, and
# products of four stay above 1.2e-38, under which a processor multiplies a hundred times slower. The gradient
# with respect to such a membership is still computed, so no pixel loses its gradient here.
NEGLIGIBLE = np.float32(1e-9)

# Positions at a time.
_BLOCK = 256


def co_occurrence(levels: Tensor, along: int = ROWS) -> Tensor:
    """Share of each code among runs of four neighbours along the rows, or along the columns.

    levels: float32 [n, 5, h, w], memberships that sum to 1 over the five levels; at least 4 long in the
    direction `along`, ROWS or COLUMNS.  Returns float32 [n, 25, 25]: entry [5a + b, 5c + d] is the share of
    (a, b, c, d); all sum to 1.
    """
    if levels.device.type == "cpu" and levels.dtype == torch.float32:
        shares: Tensor = _CoOccurrence.apply(levels, along)
        return shares
    return co_occurrence_by_matrix_product(levels, along)


def co_occurrence_by_matrix_product(levels: Tensor, along: int = ROWS) -> Tensor:
    """`co_occurrence` in plain torch operations, for any device and dtype."""
    levels = levels.movedim(along, 3)
    _, _, height, width = levels.shape
    pairs = (levels[:, :, None, :, :-1] * levels[:, None, :, :, 1:]).flatten(1, 2)
    first, second = pairs[..., :-2].flatten(2), pairs[..., 2:].flatten(2)
    return first @ second.transpose(1, 2) / (height * (width - 3))


class _CoOccurrence(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, levels: Tensor, along: int) -> Tensor:
        levels = levels.detach().contiguous()
        ctx.save_for_backward(levels)
        ctx.along = along
        shares = torch.empty(levels.shape[0], PAIRS, PAIRS)
        by_threads(partial(_shares, along == ROWS), levels.numpy(), shares.numpy())
        return shares

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (levels,) = ctx.saved_tensors
        result = torch.empty_like(levels)
        outer = gradients[0].contiguous()
        by_threads(partial(_gradient, ctx.along == ROWS), levels.numpy(), outer.numpy(), result.numpy())
        return result, None


# Below, a patch is one line of positions: its rows end to end, a 0 after each, further 0s at the end. The next
# neighbour is 1 position on along the rows, a row on along the columns. A run that leaves its row or the patch has
# a member that is 0, so it adds nothing to the shares, nor to the gradient of any other member.
#
# A function that may fuse or reorder its sums is inlined before anything is compiled. Called, it is there twice, by
# itself and as a copy in its caller, and the two round differently: the first serves the process that compiled it,
# the second all that load the caller from numba's cache.


@compiled(nogil=True)
def _geometry(in_rows: bool, levels: Any) -> Any:
    """How far the next neighbour is, how many positions have runs, and how many runs there are."""
    _, _, height, width = levels.shape
    if in_rows:
        return 1, height * (width + 1), height * (width - 3)
    return width + 1, height * (width + 1), (height - 3) * width


@compiled(nogil=True)
def _blank_line(step: int, positions: int) -> Any:
    """Zeros [5, positions], rounded up to whole blocks, with room for the runs that start in the last."""
    return np.zeros((LEVELS, (positions + _BLOCK - 1) // _BLOCK * _BLOCK + 3 * step), np.float32)


@compiled(nogil=True)
def _lay_out(levels: Any, line: Any) -> None:
    """Write the memberships of one patch [5, h, w] to its line [5, positions], without the negligible ones."""
    _, height, width = levels.shape
    for a in range(LEVELS):
        for i in range(height):
            row = line[a, i * (width + 1) : (i + 1) * (width + 1) - 1]
            for j in range(width):
                row[j] = np.float32(0) if levels[a, i, j] < NEGLIGIBLE else levels[a, i, j]


@compiled(nogil=True)
def _pairs(line: Any, one: int, other: int, pairs: Any) -> None:
    """pairs [25, block]: the products of the levels at `one` and at `other`, and so on for a block."""
    for a in range(LEVELS):
        left = line[a, one : one + _BLOCK]
        for b in range(LEVELS):
            right, products = line[b, other : other + _BLOCK], pairs[LEVELS * a + b]
            for p in range(_BLOCK):
                products[p] = left[p] * right[p]


@numba.njit(inline="always")
def _add_gradient(of_pairs: Any, line: Any, one: int, other: int, of_line: Any) -> None:
    """Add to the gradient of `line` what the gradient of `_pairs(line, one, other)` makes of it."""
    for a in range(LEVELS):
        _add_products_of_rows(of_pairs, LEVELS * a, 1, line, other, of_line[a, one : one + _BLOCK])
    for b in range(LEVELS):
        _add_products_of_rows(of_pairs, b, LEVELS, line, one, of_line[b, other : other + _BLOCK])


@numba.njit(inline="always")
def _add_products_of_rows(x: Any, first: int, step: int, line: Any, start: int, result: Any) -> None:
    """result [block] += the sum over levels k of row `first + k step` of x times row k of a block of the line."""
    end = start + _BLOCK
    x0, x1, x2, x3, x4 = x[first], x[first + step], x[first + 2 * step], x[first + 3 * step], x[first + 4 * step]
    y0, y1, y2 = line[0, start:end], line[1, start:end], line[2, start:end]
    y3, y4 = line[3, start:end], line[4, start:end]
    for p in range(_BLOCK):
        result[p] += x0[p] * y0[p] + x1[p] * y1[p] + x2[p] * y2[p] + x3[p] * y3[p] + x4[p] * y4[p]


@numba.njit(inline="always")
def _add_products(first: Any, second: Any, shares: Any) -> None:
    """shares [25, 25] += first @ second.T, five dot products at a time."""
    for i in range(PAIRS):
        x = first[i]
        for j in range(0, PAIRS, 5):
            y0, y1, y2, y3, y4 = second[j], second[j + 1], second[j + 2], second[j + 3], second[j + 4]
            s0 = s1 = s2 = s3 = s4 = np.float32(0)
            for p in range(_BLOCK):
                s0 += x[p] * y0[p]
                s1 += x[p] * y1[p]
                s2 += x[p] * y2[p]
                s3 += x[p] * y3[p]
                s4 += x[p] * y4[p]
            shares[i, j] += s0
            shares[i, j + 1] += s1
            shares[i, j + 2] += s2
            shares[i, j + 3] += s3
            shares[i, j + 4] += s4


@numba.njit(inline="always")
def _weighted(weights: Any, pairs: Any, result: Any) -> None:
    """result [25, block] = weights @ pairs, five rows of pairs at a time."""
    for i in range(PAIRS):
        w, out = weights[i], result[i]
        out[:] = 0
        for j in range(0, PAIRS, 5):
            w0, w1, w2, w3, w4 = w[j], w[j + 1], w[j + 2], w[j + 3], w[j + 4]
            y0, y1, y2, y3, y4 = pairs[j], pairs[j + 1], pairs[j + 2], pairs[j + 3], pairs[j + 4]
            for p in range(_BLOCK):
                out[p] += w0 * y0[p] + w1 * y1[p] + w2 * y2[p] + w3 * y3[p] + w4 * y4[p]


@compiled(nogil=True, fastmath={"contract", "reassoc"})
def _shares(in_rows: bool, levels: Any, shares: Any) -> None:
    step, positions, runs = _geometry(in_rows, levels)
    line = _blank_line(step, positions)
    first, second = np.empty((PAIRS, _BLOCK), np.float32), np.empty((PAIRS, _BLOCK), np.float32)
    for n in range(len(levels)):
        _lay_out(levels[n], line)
        shares[n] = 0
        for start in range(0, positions, _BLOCK):
            _pairs(line, start, start + step, first)
            _pairs(line, start + 2 * step, start + 3 * step, second)
            _add_products(first, second, shares[n])
        shares[n] /= np.float32(runs)


@compiled(nogil=True, fastmath={"contract"})
def _gradient(in_rows: bool, levels: Any, outer: Any, result: Any) -> None:
    step, positions, runs = _geometry(in_rows, levels)
    line = _blank_line(step, positions)
    of_line = np.empty_like(line)
    first, second = np.empty((PAIRS, _BLOCK), np.float32), np.empty((PAIRS, _BLOCK), np.float32)
    of_first, of_second = np.empty_like(first), np.empty_like(second)
    _, _, height, width = levels.shape
    for n in range(len(levels)):
        _lay_out(levels[n], line)
        of_line[:] = 0
        weights = outer[n] / np.float32(runs)
        for start in range(0, positions, _BLOCK):
            _pairs(line, start, start + step, first)
            _pairs(line, start + 2 * step, start + 3 * step, second)
            _weighted(weights, second, of_first)
            _weighted(weights.T, first, of_second)
            _add_gradient(of_first, line, start, start + step, of_line)
            _add_gradient(of_second, line, start + 2 * step, start + 3 * step, of_line)
        result[n] = of_line[:, :positions].copy().reshape(LEVELS, height, width + 1)[:, :, :width]
