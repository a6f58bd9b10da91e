"""Soft fourth-order co-occurrences, with their gradient: the cost of Cozzolino2017, made small.

Multiply the levels of two neighbours and there are 25 pairs for every position. The 625 shares are the 25x25
matrix product of the pairs that begin a run of four and the pairs that end it, summed over positions. On a
processor the kernels below take a few hundred positions at a time, so that all they touch stays in its nearest
caches, and leave the matrix products to the BLAS; elsewhere torch takes all positions at once.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numba
import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from counterforensics.features.merging import LEVELS

PAIRS = LEVELS * LEVELS
ROWS, COLUMNS = 3, 2  # the dimension of [n, 5, h, w] along which a run of four lies

# Memberships below this count as 0 in a product: the shares move by less than their float32 rounding, and
# products of four stay above 1.2e-38, under which a processor multiplies a hundred times slower. The gradient
# with respect to such a membership is still computed, so no pixel loses its gradient here.
_NEGLIGIBLE = np.float32(1e-9)

# Positions at a time. 25 x 25 x 256 is also too small a product for a BLAS to start threads of its own.
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
        _by_threads(_shares, along == ROWS, levels.numpy(), shares.numpy())
        return shares

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (levels,) = ctx.saved_tensors
        result = torch.empty_like(levels)
        _by_threads(_gradient, ctx.along == ROWS, levels.numpy(), gradients[0].contiguous().numpy(), result.numpy())
        return result, None


def _by_threads(kernel: Callable[..., None], in_rows: bool, *arrays: Any) -> None:
    """Run `kernel` over the batch on as many threads as torch may use here."""
    workers = min(torch.get_num_threads(), len(arrays[0]))
    if workers <= 1:
        return kernel(in_rows, *arrays)
    parts = zip(*(np.array_split(array, workers) for array in arrays), strict=True)
    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(lambda part: kernel(in_rows, *part), parts))


# Below, a patch is one line of positions: its rows end to end, a 0 after each, further 0s at the end. The next
# neighbour is 1 position on along the rows, a row on along the columns. A run that leaves its row or the patch has
# a member that is 0, so it adds nothing to the shares, nor to the gradient of any other member.


@numba.njit(cache=True, nogil=True)
def _geometry(in_rows: bool, levels: Any) -> Any:
    """How far the next neighbour is, how many positions have runs, and how many runs there are."""
    _, _, height, width = levels.shape
    if in_rows:
        return 1, height * (width + 1), height * (width - 3)
    return width + 1, height * (width + 1), (height - 3) * width


@numba.njit(cache=True, nogil=True)
def _blank_line(step: int, positions: int) -> Any:
    """Zeros [5, positions], rounded up to whole blocks, with room for the runs that start in the last."""
    return np.zeros((LEVELS, (positions + _BLOCK - 1) // _BLOCK * _BLOCK + 3 * step), np.float32)


@numba.njit(cache=True, nogil=True)
def _lay_out(levels: Any, line: Any) -> None:
    """Write the memberships of one patch [5, h, w] to its line [5, positions], without the negligible ones."""
    _, height, width = levels.shape
    for a in range(LEVELS):
        for i in range(height):
            row = line[a, i * (width + 1) : (i + 1) * (width + 1) - 1]
            for j in range(width):
                row[j] = np.float32(0) if levels[a, i, j] < _NEGLIGIBLE else levels[a, i, j]


@numba.njit(cache=True, nogil=True)
def _pairs(line: Any, one: int, other: int, pairs: Any) -> None:
    """pairs [25, block]: the products of the levels at `one` and at `other`, and so on for a block."""
    for a in range(LEVELS):
        left = line[a, one : one + _BLOCK]
        for b in range(LEVELS):
            right, products = line[b, other : other + _BLOCK], pairs[LEVELS * a + b]
            for p in range(_BLOCK):
                products[p] = left[p] * right[p]


@numba.njit(cache=True, nogil=True, fastmath={"contract"})
def _add_gradient(of_pairs: Any, line: Any, one: int, other: int, of_line: Any) -> None:
    """Add to the gradient of `line` what the gradient of `_pairs(line, one, other)` makes of it."""
    for a in range(LEVELS):
        left, of_left = line[a, one : one + _BLOCK], of_line[a, one : one + _BLOCK]
        for b in range(LEVELS):
            right, of_right = line[b, other : other + _BLOCK], of_line[b, other : other + _BLOCK]
            of_products = of_pairs[LEVELS * a + b]
            for p in range(_BLOCK):
                of_left[p] += of_products[p] * right[p]
            for p in range(_BLOCK):
                of_right[p] += of_products[p] * left[p]


@numba.njit(cache=True, nogil=True)
def _shares(in_rows: bool, levels: Any, shares: Any) -> None:
    step, positions, runs = _geometry(in_rows, levels)
    line = _blank_line(step, positions)
    first, second = np.empty((PAIRS, _BLOCK), np.float32), np.empty((PAIRS, _BLOCK), np.float32)
    of_block = np.empty((PAIRS, PAIRS), np.float32)
    for n in range(len(levels)):
        _lay_out(levels[n], line)
        shares[n] = 0
        for start in range(0, positions, _BLOCK):
            _pairs(line, start, start + step, first)
            _pairs(line, start + 2 * step, start + 3 * step, second)
            np.dot(first, second.T, of_block)
            shares[n] += of_block
        shares[n] /= np.float32(runs)


@numba.njit(cache=True, nogil=True)
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
            np.dot(weights, second, of_first)
            np.dot(weights.T, first, of_second)
            _add_gradient(of_first, line, start, start + step, of_line)
            _add_gradient(of_second, line, start + 2 * step, start + 3 * step, of_line)
        result[n] = of_line[:, :positions].copy().reshape(LEVELS, height, width + 1)[:, :, :width]
