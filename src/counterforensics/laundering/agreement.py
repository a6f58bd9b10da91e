"""How near a simulated upload comes to the file that a platform gave back."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from torch import Tensor

from counterforensics.errors import PixelError
from counterforensics.laundering.jpeg import Table
from counterforensics.pixels import Pixels, luma_of_photo

_PEAK = 255.0


@dataclass(frozen=True)
class Agreement:
    """psnr: dB over all channels, infinite where nothing differs.  pixels: the share of equal values, 0..1.

    coefficients: the share of equal quantised DCT coefficients of the luminance, 0..1.
    """

    psnr: float
    pixels: float
    coefficients: float


def agreement(simulated: Pixels, received: Pixels, table: Table) -> Agreement:
    """Compare two decoded JPEG files of the same size, uint8 [h, w, 3] each.

    table: the luminance steps of both files.  The coefficients are those of the decoded luma, divided by the steps and
    rounded, so a block that was clipped to 0..255 may count as another one.
    """
    equal = [_coefficients(photo, table) for photo in (simulated, received)]
    same = float((equal[0] == equal[1]).mean()) if equal[0].size else 1.0
    return Agreement(psnr(simulated, received), float((simulated == received).mean()), same)


def psnr(one: Pixels | Tensor, other: Pixels | Tensor) -> float:
    """Peak signal-to-noise ratio in dB over all values, peak 255; infinite where nothing differs.

    one, other: uint8 of the same shape, two photographs [h, w, 3] or two patches; arrays, or tensors on any device.
    Of two batches of patches it is the ratio of all their values together, not the mean of the patches' ratios.
    Raises PixelError for another dtype, for two shapes, and for no values at all.

    >>> photo = np.zeros((8, 8, 3), dtype=np.uint8)
    >>> round(psnr(photo, photo + 1), 2), psnr(photo, photo)
    (48.13, inf)
    """
    first, second = (_stored_values(given) for given in (one, other))
    if first.shape != second.shape or not first.size:
        shapes = f"{first.shape} and {second.shape}"
        raise PixelError(f"psnr compares two arrays of the same shape that are not empty, got {shapes}")
    difference = first.astype(np.float32) - second
    error = float(np.square(difference, out=difference).mean(dtype=np.float64))
    return math.inf if error == 0 else 10 * math.log10(_PEAK**2 / error)


def _stored_values(given: Pixels | Tensor) -> Pixels:
    """Stored grey levels as an array, uint8.  Raises PixelError for anything else."""
    if not isinstance(given, np.ndarray | Tensor):
        raise PixelError(f"psnr compares uint8 arrays or tensors, got {type(given).__name__}")
    dtype = str(given.dtype).removeprefix("torch.")
    if dtype != "uint8":
        advice = "; multiply shares of white (0..1) by 255, round them, and make them uint8" if "float" in dtype else ""
        raise PixelError(f"psnr compares uint8 grey levels, got {dtype} of shape {tuple(given.shape)}{advice}")
    return given.numpy(force=True) if isinstance(given, Tensor) else given


def _coefficients(photo: Pixels, table: Table) -> npt.NDArray[np.float32]:
    """The quantised DCT coefficients of whole 8x8 blocks of the luma (ITU-T T.81, A.3.3): [rows, 8, columns, 8]."""
    luma = luma_of_photo(photo)
    height, width = (side - side % 8 for side in luma.shape)
    blocks = luma[:height, :width].reshape(height // 8, 8, width // 8, 8).astype(np.float32) - 128
    place = np.arange(8)
    transform = np.cos((2 * place[None] + 1) * place[:, None] * np.pi / 16) / 2
    transform[0] /= math.sqrt(2)
    matrix = transform.astype(np.float32)
    half = np.einsum("iy,aybx->aibx", matrix, blocks, optimize=True)
    both = np.einsum("jx,aibx->aibj", matrix, half, optimize=True)
    steps = np.asarray(table, dtype=np.float32).reshape(1, 8, 1, 8)
    return np.asarray(np.rint(both / steps), dtype=np.float32)
