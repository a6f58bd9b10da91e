"""JPEG quantisation tables of the kinds that cameras use."""

from __future__ import annotations

import numpy as np

Table = tuple[int, ...]

# ITU-T T.81, Annex K.1: luminance, 8 rows of 8.
_ANNEX_K = (
    *(16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55),
    *(14, 13, 16, 24, 40, 57, 69, 56, 14, 17, 22, 29, 51, 87, 80, 62),
    *(18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92),
    *(49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99),
)


def annex_k(quality: float) -> Table:
    """The standard's luminance table at an IJG quality of 50..100 (may be a fraction): 64 steps in rows.

    >>> annex_k(90)[:4]
    (3, 2, 2, 3)
    """
    return _steps(np.asarray(_ANNEX_K) * (2 - quality / 50))


def radial(low: float, high: float, power: float) -> Table:
    """A table of a maker's own: `low` for the mean, rising to `high` at the highest frequency, in rows.

    >>> radial(1, 15, 1)[:4]
    (1, 2, 3, 4)
    """
    u, v = np.mgrid[:8, :8]
    return _steps(low + (high - low) * ((u + v) / 14) ** power)


def _steps(values: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> Table:
    return tuple(int(step) for step in np.clip(np.floor(values + 0.5), 1, 255).ravel())
