"""How strong patches are at each spatial frequency: there is seen what a filter took, and what came back."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from torch import Tensor

from counterforensics.pixels import check_patches, luma


def frequencies(rings: int) -> npt.NDArray[np.float64]:
    """The middle of each ring of `radial_spectrum`, in cycles a pixel: float64 [rings].

    >>> frequencies(32)[[0, -1]].tolist()
    [0.0078125, 0.4921875]
    """
    return (np.arange(rings) + 0.5) / (2 * rings)


def radial_spectrum(patches: Tensor) -> npt.NDArray[np.float64]:
    """Mean power of the luma in rings of the same frequency, in squares of grey levels; white noise has its variance.

    patches: uint8 [n, c, h, w].  Each loses its mean and passes a Hann window.  Returns float64 [rings], one for four
    pixels of the smaller side, 0 to 0.5 cycles a pixel; corners of the spectrum beyond that are left out.
    """
    return _power(_levels(patches))


def residual_spectrum(patches: Tensor, pristine: Tensor) -> npt.NDArray[np.float64]:
    """As `radial_spectrum`, of what the patches lack of pristine ones, pixel by pixel, or have more.

    That what came back has the power of what was lost does not say that it is the same: where it is, this falls.
    """
    return _power(_levels(patches) - _levels(pristine))


def _levels(patches: Tensor) -> npt.NDArray[np.float64]:
    levels: npt.NDArray[np.float64] = luma(check_patches(patches).cpu().float())[:, 0].double().numpy()
    return levels


def _power(levels: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    height, width = levels.shape[1:]
    rings = min(height, width) // 4
    window = np.outer(np.hanning(height), np.hanning(width))
    levels = levels - levels.mean((1, 2), keepdims=True)
    power = np.abs(np.fft.fft2(levels * window)) ** 2 / (window**2).sum()
    distance = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width)[None])
    ring = np.minimum((distance * 2 * rings).astype(int), rings).ravel()
    totals = np.bincount(ring, power.mean(0).ravel(), minlength=rings + 1)
    means: npt.NDArray[np.float64] = totals[:rings] / np.bincount(ring, minlength=rings + 1)[:rings]
    return means
