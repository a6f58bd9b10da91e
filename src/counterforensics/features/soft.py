"""s3_spam14hv, soft: the same feature as a differentiable function of pixels (Cozzolino et al. 2017).

Hard quantisation assigns a residual r to the nearest level c of {-2, ..., 2} * 3, which is the level with
the largest c r - c^2/2. Replacing the largest by a softmax of inverse temperature alpha makes the feature
differentiable. For four neighbouring residuals the softmax over all 625 combinations of levels is the outer
product of the four 5-way softmaxes, so a co-occurrence is a product of two 25-row matrices and the 625 maps
never exist. Inferred from the construction of Section 3 of that paper and checked against it in the tests.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from counterforensics.errors import PixelError
from counterforensics.features.co_occurrence import COLUMNS, ROWS, co_occurrence
from counterforensics.features.memberships import memberships
from counterforensics.features.merging import BIN_OF_CODE, BINS
from counterforensics.features.spam import SMALLEST_SIDE

RESIDUAL_TAPS = (1.0, -3.0, 3.0, -1.0)


class Quantiser(NamedTuple):
    """What turns pixels into soft levels; the fields of `exact_quantiser` give the hand-crafted feature.

    taps: float [2, 4], the filters of R and of U, in the order in which R applies them along the row and U
    up the column.  levels, offsets: float [2, 5]; a residual r belongs to level k by
    levels[k] * r + offsets[k], scaled by alpha.
    """

    taps: Tensor
    levels: Tensor
    offsets: Tensor


def exact_quantiser() -> Quantiser:
    """Taps [1, -3, 3, -1], levels -6 .. 6 in steps of 3, offsets -level^2/2, in float32."""
    levels = torch.tensor([-6.0, -3.0, 0.0, 3.0, 6.0]).repeat(2, 1)
    return Quantiser(torch.tensor(RESIDUAL_TAPS).repeat(2, 1), levels, -(levels**2) / 2)


def residuals(pixels: Tensor, taps: Tensor) -> tuple[Tensor, Tensor]:
    """R (along rows) and U (along columns) on interior pixels.

    pixels: float32 [n, 1, h, w] in 0..255, h and w at least 8.  Returns two float32 [n, h - 4, w - 4].
    Raises PixelError for smaller patches, in which no four residuals lie side by side.
    """
    if min(pixels.shape[2:]) < SMALLEST_SIDE:
        size = "x".join(map(str, pixels.shape[2:]))
        raise PixelError(f"SPAM needs patches of at least {SMALLEST_SIDE}x{SMALLEST_SIDE}, got {size}")
    return filtered(pixels, taps)


def filtered(pixels: Tensor, taps: Tensor) -> tuple[Tensor, Tensor]:
    """`residuals` of pixels of any size from 5x5 on."""
    x = pixels[:, 0]
    rows, columns = x[:, 2:-2], x[:, :, 2:-2]
    width, height = x.shape[2] - 4, x.shape[1] - 4
    r = sum(taps[0, k] * rows[:, :, 1 + k : 1 + k + width] for k in range(4))
    u = sum(taps[1, k] * columns[:, 3 - k : 3 - k + height] for k in range(4))
    return r, u  # type: ignore[return-value]


def merge(tables: Tensor) -> Tensor:
    """625 codes to 169 bins: float [n, 25, 25] or [n, 625] -> [n, 169]."""
    bins = torch.as_tensor(BIN_OF_CODE, device=tables.device)
    return tables.new_zeros(len(tables), BINS).index_add(1, bins, tables.flatten(1))


def soft_s3_spam14hv(pixels: Tensor, quantiser: Quantiser, *, alpha: float) -> Tensor:
    """The differentiable 338-dimensional SPAM feature.

    pixels: float32 [n, 1, h, w] in 0..255.  alpha: inverse temperature of the softmax, infinity for the hard
    feature.  Returns float32 [n, 338] on the scale of `s3_spam14hv`.
    """
    r, u = residuals(pixels, quantiser.taps)
    of_r = memberships(r, quantiser.levels[0], quantiser.offsets[0], alpha)
    of_u = memberships(u, quantiser.levels[1], quantiser.offsets[1], alpha)
    along = co_occurrence(of_r, ROWS) + co_occurrence(of_u, COLUMNS)
    across = co_occurrence(of_u, ROWS) + co_occurrence(of_r, COLUMNS)
    return torch.cat([merge(along), merge(across)], dim=1)
