"""Soft fourth-order co-occurrences along rows, with their gradient: the cost of Cozzolino2017, made small.

With p the products of the levels of two neighbours (25 rows, one column per position), the 625 shares are
the 25x25 matrix p(j) p(j + 2)^T, summed over positions. On a processor the kernels below go line by line, so
that everything they touch stays in its first-level cache; elsewhere torch's matrix product does the same sum.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numba
import numpy as np
import torch
from torch import Tensor

from counterforensics.features.merging import LEVELS

PAIRS = LEVELS * LEVELS

# Memberships below this count as 0 in a product: the shares move by less than their float32 rounding, and
# products of four stay above 1.2e-38, under which a processor multiplies a hundred times slower. The gradient
# with respect to such a membership is still computed, so no pixel loses its gradient here.
_NEGLIGIBLE = np.float32(1e-9)


def co_occurrence(levels: Tensor) -> Tensor:
    """Share of each code among runs of four neighbours along the rows.

    levels: float32 [n, 5, h, w], memberships that sum to 1 over the five levels; w at least 4.
    Returns float32 [n, 25, 25]: entry [5a + b, 5c + d] is the share of (a, b, c, d); all sum to 1.
    """
    if levels.device.type == "cpu" and levels.dtype == torch.float32:
        shares: Tensor = _CoOccurrence.apply(levels)
        return shares
    return co_occurrence_by_matrix_product(levels)


def co_occurrence_by_matrix_product(levels: Tensor) -> Tensor:
    """`co_occurrence` in plain torch operations, for any device and dtype."""
    _, _, height, width = levels.shape
    pairs = (levels[:, :, None, :, :-1] * levels[:, None, :, :, 1:]).flatten(1, 2)
    first, second = pairs[..., :-2].flatten(2), pairs[..., 2:].flatten(2)
    return first @ second.transpose(1, 2) / (height * (width - 3))


class _CoOccurrence(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, levels: Tensor) -> Tensor:
        levels = levels.detach().contiguous()
        ctx.save_for_backward(levels)
        shares = torch.empty(levels.shape[0], PAIRS, PAIRS)
        _by_threads(_shares, levels.numpy(), shares.numpy())
        return shares

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (levels,) = ctx.saved_tensors
        result = torch.empty_like(levels)
        _by_threads(_gradient, levels.numpy(), gradients[0].contiguous().numpy(), result.numpy())
        return result


def _by_threads(kernel: Callable[..., None], *arrays: Any) -> None:
    """Run `kernel` over the batch on as many threads as torch may use here."""
    workers = min(torch.get_num_threads(), len(arrays[0]))
    if workers <= 1:
        return kernel(*arrays)
    parts = zip(*(np.array_split(array, workers) for array in arrays), strict=True)
    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(lambda part: kernel(*part), parts))


@numba.njit(cache=True, nogil=True, fastmath=True)
def _pairs_of_line(levels: Any, line: int, kept: Any, pairs: Any) -> None:
    """Fill kept [5, w], the memberships of one line, and pairs [25, w - 1], products of neighbours."""
    for a in range(LEVELS):
        for j in range(levels.shape[2]):
            level = levels[a, line, j]
            kept[a, j] = level if level > _NEGLIGIBLE else np.float32(0)
    for a in range(LEVELS):
        for b in range(LEVELS):
            for j in range(levels.shape[2] - 1):
                pairs[LEVELS * a + b, j] = kept[a, j] * kept[b, j + 1]


# The inner loops take five rows at a time: one load of the shared row serves five multiplications.


@numba.njit(cache=True, nogil=True, fastmath=True)
def _shares(levels: Any, shares: Any) -> None:
    count, _, height, width = levels.shape
    kept = np.empty((LEVELS, width), np.float32)
    pairs = np.empty((PAIRS, width - 1), np.float32)
    scale = np.float32(1 / (height * (width - 3)))
    for n in range(count):
        shares[n] = 0
        for line in range(height):
            _pairs_of_line(levels[n], line, kept, pairs)
            for a in range(PAIRS):
                for b in range(0, PAIRS, 5):
                    s0 = s1 = s2 = s3 = s4 = np.float32(0)
                    for j in range(width - 3):
                        first = pairs[a, j]
                        s0 += first * pairs[b, j + 2]
                        s1 += first * pairs[b + 1, j + 2]
                        s2 += first * pairs[b + 2, j + 2]
                        s3 += first * pairs[b + 3, j + 2]
                        s4 += first * pairs[b + 4, j + 2]
                    shares[n, a, b] += s0 * scale
                    shares[n, a, b + 1] += s1 * scale
                    shares[n, a, b + 2] += s2 * scale
                    shares[n, a, b + 3] += s3 * scale
                    shares[n, a, b + 4] += s4 * scale


@numba.njit(cache=True, nogil=True, fastmath=True)
def _weighted_rows(weights: Any, source: Any, source_start: int, target: Any, target_start: int) -> None:
    """target[a, target_start + j] += sum over b of weights[a, b] source[b, source_start + j]."""
    for a in range(PAIRS):
        for b in range(0, PAIRS, 5):
            w0, w1, w2 = weights[a, b], weights[a, b + 1], weights[a, b + 2]
            w3, w4 = weights[a, b + 3], weights[a, b + 4]
            for j in range(source.shape[1] - 2):
                target[a, target_start + j] += (
                    w0 * source[b, source_start + j]
                    + w1 * source[b + 1, source_start + j]
                    + w2 * source[b + 2, source_start + j]
                    + w3 * source[b + 3, source_start + j]
                    + w4 * source[b + 4, source_start + j]
                )


@numba.njit(cache=True, nogil=True, fastmath=True)
def _gradient(levels: Any, outer: Any, result: Any) -> None:
    count, _, height, width = levels.shape
    kept = np.empty((LEVELS, width), np.float32)
    pairs = np.empty((PAIRS, width - 1), np.float32)
    of_pairs = np.empty((PAIRS, width - 1), np.float32)
    scale = np.float32(1 / (height * (width - 3)))
    for n in range(count):
        weights = outer[n] * scale
        transposed = weights.T.copy()
        result[n] = 0
        for line in range(height):
            _pairs_of_line(levels[n], line, kept, pairs)
            of_pairs[:] = 0
            _weighted_rows(weights, pairs, 2, of_pairs, 0)
            _weighted_rows(transposed, pairs, 0, of_pairs, 2)
            for a in range(LEVELS):
                for b in range(LEVELS):
                    for j in range(width - 1):
                        result[n, a, line, j] += of_pairs[LEVELS * a + b, j] * kept[b, j + 1]
                    for j in range(width - 1):
                        result[n, b, line, j + 1] += of_pairs[LEVELS * a + b, j] * kept[a, j]
