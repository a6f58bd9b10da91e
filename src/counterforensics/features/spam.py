"""s3_spam14hv, exact: the 338 numbers that the paper calls SPAM (Fridrich & Kodovsky 2012, an SRM submodel).

Third-order residuals along rows (R) and columns (U), quantised to five levels, fourth-order
co-occurrences along and across, summed over the symmetries of `merging`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from counterforensics.compiled import compiled
from counterforensics.errors import PixelError
from counterforensics.features.merging import BIN_OF_CODE, BINS, CODES
from counterforensics.pixels import Pixels

DIMENSION = 2 * BINS
SMALLEST_SIDE = 8  # the shortest side with an interior residual followed by three more

# Quantiser q = 3, T = 2 on a third-order residual (-1020..1020): |r| <= 1 -> 0, 2..4 -> +-1, 5.. -> +-2.
LARGEST_RESIDUAL = 4 * 255
LEVEL_OF_RESIDUAL = np.array(
    [
        np.sign(r) * (0 if abs(r) <= 1 else 1 if abs(r) <= 4 else 2) + 2
        for r in range(-LARGEST_RESIDUAL, LARGEST_RESIDUAL + 1)
    ],
    dtype=np.uint8,
)


def s3_spam14hv(patches: Pixels) -> npt.NDArray[np.float32]:
    """The 338-dimensional SPAM feature of each patch.

    patches: uint8 [n, h, w], h and w at least 8.  Returns float32 [n, 338]; entries 0..168 (the feature's
    first half) and 169..337 (the second) each sum to 2.  Raises PixelError for anything else.
    Source: Fridrich & Kodovsky 2012, submodel s3_spam14hv; numbering and scale of the authors' code.

    >>> flat = np.zeros((1, 16, 16), dtype=np.uint8)
    >>> feature = s3_spam14hv(flat)
    >>> feature.shape, feature[0, 0].item(), feature.sum().item()
    ((1, 338), 2.0, 4.0)
    """
    if not isinstance(patches, np.ndarray) or patches.dtype != np.uint8 or patches.ndim != 3:
        got = f"{getattr(patches, 'dtype', type(patches).__name__)} of shape {np.shape(patches)}"
        raise PixelError(f"SPAM takes uint8 [n, h, w], got {got}")
    check_side(*patches.shape[1:])
    features = np.empty((len(patches), DIMENSION), dtype=np.float32)
    _features(np.ascontiguousarray(patches), LEVEL_OF_RESIDUAL, BIN_OF_CODE, features)
    return features


def check_side(height: int, width: int) -> None:
    """Raise PixelError for patches that are too small to have a feature."""
    if min(height, width) < SMALLEST_SIDE:
        raise PixelError(f"SPAM needs patches of at least {SMALLEST_SIDE}x{SMALLEST_SIDE}, got {height}x{width}")


@compiled(nogil=True)
def quantise(plane: Any, level_of: Any, levels: Any) -> None:
    """Write the quantised residuals R and U of a plane, uint8 [h, w], to levels, uint8 [2, h - 4, w - 4]."""
    for i in range(levels.shape[1]):
        for j in range(levels.shape[2]):
            centre = 3 * np.int32(plane[i + 2, j + 2])
            right = np.int32(plane[i + 2, j + 1]) - centre + 3 * np.int32(plane[i + 2, j + 3]) - plane[i + 2, j + 4]
            down = np.int32(plane[i + 3, j + 2]) - centre + 3 * np.int32(plane[i + 1, j + 2]) - plane[i, j + 2]
            levels[0, i, j] = level_of[right + LARGEST_RESIDUAL]
            levels[1, i, j] = level_of[down + LARGEST_RESIDUAL]


@compiled(nogil=True)
def count_codes(patch: Any, level_of: Any, counts: Any) -> None:
    """Count the four co-occurrences of one patch.

    patch: uint8 [h, w].  counts: int32 [4, 625], overwritten, rows: R along rows, U along columns,
    U along rows, R along columns.
    """
    height, width = patch.shape[0] - 4, patch.shape[1] - 4
    levels = np.empty((2, height, width), np.uint8)
    quantise(patch, level_of, levels)
    r, u = levels[0], levels[1]
    counts[:] = 0
    for i in range(height):
        for j in range(width - 3):
            counts[0, 125 * r[i, j] + 25 * r[i, j + 1] + 5 * r[i, j + 2] + r[i, j + 3]] += 1
            counts[2, 125 * u[i, j] + 25 * u[i, j + 1] + 5 * u[i, j + 2] + u[i, j + 3]] += 1
    for i in range(height - 3):
        for j in range(width):
            counts[1, 125 * u[i, j] + 25 * u[i + 1, j] + 5 * u[i + 2, j] + u[i + 3, j]] += 1
            counts[3, 125 * r[i, j] + 25 * r[i + 1, j] + 5 * r[i + 2, j] + r[i + 3, j]] += 1


@compiled(nogil=True)
def _features(patches: Any, level_of: Any, bin_of_code: Any, features: Any) -> None:
    height, width = patches.shape[1] - 4, patches.shape[2] - 4
    quads = (height * (width - 3), (height - 3) * width, height * (width - 3), (height - 3) * width)
    counts = np.zeros((4, CODES), np.int32)
    merged = np.zeros((2, BINS), np.float64)
    for n in range(patches.shape[0]):
        count_codes(patches[n], level_of, counts)
        merged[:] = 0
        for table in range(4):
            for code in range(CODES):
                merged[table // 2, bin_of_code[code]] += counts[table, code] / quads[table]
        features[n, :BINS] = merged[0]
        features[n, BINS:] = merged[1]
