"""How far patches are from others: concealed from manipulated, or from pristine ones."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from counterforensics.errors import PixelError
from counterforensics.pixels import check_patches

PEAK = 255.0
SSIM_WINDOW = 11


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


def ssim(a: Tensor, b: Tensor) -> Tensor:
    """Structural similarity (Wang et al. 2004: Gaussian window, sigma 1.5, peak 255), one per patch; 1 is the same.

    a, b: uint8 [n, c, h, w] of at least 11x11; channels are averaged.  Returns float64 [n].  Raises PixelError for
    smaller patches, or two shapes.

    >>> import torch
    >>> ramp = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 16, 16)
    >>> ssim(ramp, ramp).tolist()
    [1.0]
    """
    from skimage.metrics import structural_similarity

    if a.shape != b.shape or min(check_patches(a).shape[2:]) < SSIM_WINDOW:
        shapes = f"{tuple(a.shape)} and {tuple(b.shape)}"
        raise PixelError(f"SSIM compares patches of one shape, of at least {SSIM_WINDOW}x{SSIM_WINDOW}, got {shapes}")
    settings = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": PEAK}
    pairs = zip(a.cpu().numpy(), check_patches(b).cpu().numpy(), strict=True)
    found = [structural_similarity(one, other, channel_axis=0, **settings) for one, other in pairs]
    return torch.from_numpy(np.array(found, dtype=np.float64))
