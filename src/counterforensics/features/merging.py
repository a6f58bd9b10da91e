"""The symmetries of a fourth-order co-occurrence: 625 codes, 169 bins."""

from __future__ import annotations

import itertools

import numpy as np
import numpy.typing as npt

LEVELS = 5  # quantised residuals -2 .. 2
CODES = LEVELS**4
BINS = 169


def bin_of_each_code() -> npt.NDArray[np.int64]:
    """The bin (0..168) of each of the 625 codes.

    (a, b, c, d) shares its bin with its negative, its reverse and its negative reverse. Bin 0 is
    (0, 0, 0, 0); the others are numbered in order of first visit, codes scanned in C order
    (Fridrich & Kodovsky 2012, Section II-C, as the authors' code numbers them).
    """
    bins = np.full((LEVELS,) * 4, -1, dtype=np.int64)
    count = 0
    for quad in itertools.chain([(0, 0, 0, 0)], itertools.product(range(-2, 3), repeat=4)):
        negative = (-quad[0], -quad[1], -quad[2], -quad[3])
        if bins[tuple(level + 2 for level in quad)] >= 0:
            continue
        for alike in (quad, negative, quad[::-1], negative[::-1]):
            bins[tuple(level + 2 for level in alike)] = count
        count += 1
    return bins.reshape(-1)


BIN_OF_CODE = bin_of_each_code()
