"""How far concealed patches are from the manipulated ones they came from."""

from __future__ import annotations

import math

from torch import Tensor

from counterforensics.pixels import check_patches

PEAK = 255.0


def mse(a: Tensor, b: Tensor) -> Tensor:
    """Mean squared error in grey levels squared, one per patch.

    a, b: uint8 [n, c, h, w].  Returns float64 [n].

    >>> import torch
    >>> black = torch.zeros(1, 1, 2, 2, dtype=torch.uint8)
    >>> mse(black, black + 2).tolist()
    [4.0]
    """
    difference = check_patches(a).double() - check_patches(b).double()
    return difference.square().flatten(1).mean(1)


def psnr_of(mean_squared_error: float) -> float:
    """Peak signal-to-noise ratio in dB, peak 255; infinite for an error of 0.

    >>> round(psnr_of(1.0), 2)
    48.13
    """
    return math.inf if mean_squared_error == 0 else 10 * math.log10(PEAK**2 / mean_squared_error)


def changed(a: Tensor, b: Tensor) -> Tensor:
    """The share of pixels in which two patches differ, in any channel, one per patch.

    a, b: uint8 [n, c, h, w].  Returns float64 [n].

    >>> import torch
    >>> black = torch.zeros(1, 3, 2, 2, dtype=torch.uint8)
    >>> other = black.clone()
    >>> other[0, :2, 0, 0] = 9
    >>> changed(black, other).tolist()
    [0.25]
    """
    return (check_patches(a) != check_patches(b)).any(1).flatten(1).double().mean(1)
