"""How much a residual belongs to each quantisation level, with its gradient.

A softmax over five levels is so narrow that torch's backward pass takes longer than all the rest of it; the
kernel below reads everything once.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from counterforensics.compiled import compiled
from counterforensics.features.merging import LEVELS
from counterforensics.features.threads import by_threads


def memberships(residual: Tensor, levels: Tensor, offsets: Tensor, alpha: float) -> Tensor:
    """How much each residual belongs to each level: float32 [n, 5, h, w], summing to 1 over the levels.

    residual: float32 [n, h, w].  levels, offsets: float32 [5]; the softmax is of
    alpha (levels[k] * residual + offsets[k]).  With alpha = infinity, 1 for the best level and 0 for the others.
    """
    if alpha == float("inf"):
        best = _scores(residual, levels, offsets, 1.0).argmax(1)
        return torch.nn.functional.one_hot(best, LEVELS).movedim(-1, 1).to(residual.dtype)
    if residual.device.type == "cpu" and residual.dtype == torch.float32:
        shares: Tensor = _Memberships.apply(residual, levels, offsets, alpha)
        return shares
    return memberships_by_softmax(residual, levels, offsets, alpha)


def memberships_by_softmax(residual: Tensor, levels: Tensor, offsets: Tensor, alpha: float) -> Tensor:
    """`memberships` in plain torch operations, for any device and dtype and a finite alpha."""
    return torch.softmax(_scores(residual, levels, offsets, alpha), dim=1)


def _scores(residual: Tensor, levels: Tensor, offsets: Tensor, alpha: float) -> Tensor:
    # alpha is applied to ten settings, not to every score
    return (alpha * levels)[:, None, None] * residual[:, None] + (alpha * offsets)[:, None, None]


class _Memberships(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, residual: Tensor, levels: Tensor, offsets: Tensor, alpha: float) -> Tensor:
        shares = memberships_by_softmax(residual, levels, offsets, alpha)
        ctx.save_for_backward(residual, levels, shares)
        ctx.alpha = alpha
        return shares

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        residual, levels, shares = ctx.saved_tensors
        slopes = np.broadcast_to((ctx.alpha * levels).numpy(), (len(residual), LEVELS))
        of_residual = torch.empty_like(residual, memory_format=torch.contiguous_format)
        sums = np.empty((len(residual), 2, LEVELS))
        given = (residual, shares, gradients[0])
        by_threads(_gradient, *(t.contiguous().numpy() for t in given), slopes, of_residual.numpy(), sums)
        of_levels, of_offsets = torch.from_numpy(ctx.alpha * sums.sum(0)).to(levels.dtype)
        return of_residual, of_levels, of_offsets, None


@compiled(nogil=True, fastmath={"contract", "reassoc"})
def _gradient(residual: Any, shares: Any, outer: Any, slopes: Any, of_residual: Any, sums: Any) -> None:
    """Gradients of `shares` [n, 5, h, w], given that of what they lead to, `outer`.

    of_residual [n, h, w]: with respect to the residual.  sums [n, 2, 5]: with respect to alpha levels and to
    alpha offsets, for each patch.
    """
    count, height, width = residual.shape
    mean = np.empty(width, np.float32)
    for n in range(count):
        sums[n] = 0
        for i in range(height):
            mean[:] = 0
            of_residual[n, i] = 0
            for k in range(LEVELS):
                m, g = shares[n, k, i], outer[n, k, i]
                for j in range(width):
                    mean[j] += m[j] * g[j]
            for k in range(LEVELS):
                m, g, r, of_r, slope = shares[n, k, i], outer[n, k, i], residual[n, i], of_residual[n, i], slopes[n, k]
                of_level = of_offset = np.float32(0)
                for j in range(width):
                    of_score = m[j] * (g[j] - mean[j])
                    of_r[j] += slope * of_score
                    of_level += of_score * r[j]
                    of_offset += of_score
                sums[n, 0, k] += of_level
                sums[n, 1, k] += of_offset
