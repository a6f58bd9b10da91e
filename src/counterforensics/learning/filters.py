"""Filters that networks start from: classical predictors of a pixel, and filters that see no mean.

A random constrained filter passes mostly image content. A predictor passes what its neighbours do not explain, and that
is where the traces are (Fridrich & Kodovsky 2012, "Rich models for steganalysis of digital images").
"""

from __future__ import annotations

import torch
from torch import Tensor

STARTS = ("prediction", "random")

# Each predicts the middle of a 5x5 window: (row, column) from the middle -> weight. The weights sum to 1.
_THIRD_DIFFERENCE = {(0, -1): 1 / 3, (0, 1): 1.0, (0, 2): -1 / 3}
_FOURTH_ORDER = {(0, -2): -1 / 6, (0, -1): 4 / 6, (0, 1): 4 / 6, (0, 2): -1 / 6}
_KB = {
    **{place: 0.5 for place in ((-1, 0), (1, 0), (0, -1), (0, 1))},
    **{place: -0.25 for place in ((-1, -1), (-1, 1), (1, -1), (1, 1))},
}


def _turned(weights: dict[tuple[int, int], float]) -> dict[tuple[int, int], float]:
    """The same predictor along columns."""
    return {(column, row): weight for (row, column), weight in weights.items()}


# The first three are the widest, for networks with few filters.
_PREDICTORS = (
    _KB,
    _THIRD_DIFFERENCE,
    _turned(_THIRD_DIFFERENCE),
    {(0, 1): 1.0},
    {(1, 0): 1.0},
    {(0, -1): 0.5, (0, 1): 0.5},
    {(-1, 0): 0.5, (1, 0): 0.5},
    {(-1, -1): 0.5, (1, 1): 0.5},
    {(-1, 1): 0.5, (1, -1): 0.5},
    {(0, 1): 1.0, (1, 0): 1.0, (1, 1): -1.0},
    _FOURTH_ORDER,
    _turned(_FOURTH_ORDER),
)
# Breaks the symmetry between filters that are alike [ours].
_NOISE = 0.01


def prediction_filters(count: int, generator: torch.Generator) -> Tensor:
    """Constrained filters that start as predictors, at most 12: float32 [count, 1, 5, 5].

    The centre is -1, the other taps sum to 1 up to a small noise, which the projection takes away.
    """
    filters = torch.zeros(count, 1, 5, 5)
    for number, weights in enumerate(_PREDICTORS[:count]):
        for (row, column), weight in weights.items():
            filters[number, 0, 2 + row, 2 + column] = weight
        filters[number, 0, 2, 2] = -1.0
    return filters + _NOISE * torch.randn(filters.shape, generator=generator)


@torch.no_grad()
def remove_means(weight: Tensor) -> None:
    """Make every filter of a convolution blind to the mean of what it reads, in place; their energy stays.

    weight: float32 [filters, channels, h, w].
    """
    energy = weight.square().sum()
    weight -= weight.mean((1, 2, 3), keepdim=True)
    weight *= torch.sqrt(energy / weight.square().sum())
