"""The weights by which a platform averages pixels, by least squares from a pair of files.

An output pixel i has its centre at (i + 0.5) before / after - 0.5 of the input. The fraction of this number is its
phase: all output pixels of one phase have the same weights. The weights are those of the luma. The colour is left out,
for it may be stored at half the size.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from counterforensics.laundering.kernels import KERNELS, resized
from counterforensics.pixels import Pixels, luma_of_photo

Numbers = npt.NDArray[np.float64]
Whole = npt.NDArray[np.int64]

MOST_PHASES = 40
_COLUMNS, _ROWS = 16, 1000  # of one phase that are used, at most
_SUPPORT = 3  # output pixels to each side, the reach of the widest kernel (Lanczos)
_ROUNDS, _HUBER = 4, 1.345  # of reweighting; in standard deviations of the residual
_GREY, _BRIGHTER = 100, 100  # the pixels that show a kernel its weights, negative ones too


@dataclass(frozen=True)
class PhaseWeights:
    """The weights of one phase.

    phase: where the centre of the output pixel lies between two input pixels, 0..1.  first: the input pixel of the
    first weight, counted from the pixel below the centre.  weights: float64 [taps].  moments: the mean products of
    the inputs, float64 [taps, taps].
    """

    phase: float
    first: int
    weights: Numbers
    moments: Numbers


def fitted_weights(sent: Pixels, received: Pixels, kernel: str) -> list[PhaseWeights]:
    """The weights across, of up to `MOST_PHASES` phases, by least squares with Huber's weights.

    sent, received: uint8 [h, w, 3] and a smaller [h', w', 3].  kernel: the named one that reduces the height first,
    so that only the width is left to explain.
    """
    height, after = received.shape[:2]
    before = sent.shape[1]
    flat = luma_of_photo(resized(sent, before, height, kernel))
    wanted = luma_of_photo(received)
    rows = np.linspace(0, height - 1, min(height, _ROWS)).astype(int)
    flat, wanted = flat[rows].astype(np.float64), wanted[rows].astype(np.float64)
    taps = _taps(before, after)
    fitted = []
    for columns in _columns_by_phase(before, after, taps.size):
        place = (columns + 0.5) * before / after - 0.5
        inputs = flat[:, np.floor(place).astype(int)[:, None] + taps].reshape(-1, taps.size)
        weights = _robust(inputs, wanted[:, columns].reshape(-1))
        phase = float(place[0] - math.floor(place[0]))
        fitted.append(PhaseWeights(phase, int(taps[0]), weights, inputs.T @ inputs / len(inputs)))
    return fitted


def nearest_kernels(fitted: list[PhaseWeights], before: int, after: int) -> dict[str, float]:
    """How far each named kernel is from the fitted weights, the nearest first.

    The distance is the root mean square difference of the two predictions, in grey levels. Neighbouring pixels are
    alike, so single weights are uncertain where such a sum of them is not.
    """
    columns = [columns[0] for columns in _columns_by_phase(before, after, _taps(before, after).size)]
    errors = {}
    for kernel in KERNELS:
        own = named_weights(kernel, before, after, np.asarray(columns))
        apart = [one.weights - named for one, named in zip(fitted, own, strict=True)]
        squares = [difference @ one.moments @ difference for one, difference in zip(fitted, apart, strict=True)]
        errors[kernel] = math.sqrt(max(0.0, float(np.mean(squares))))
    return dict(sorted(errors.items(), key=lambda item: item[1]))


def named_weights(kernel: str, before: int, after: int, columns: Whole) -> Numbers:
    """The weights of a named kernel for some output pixels, from its answers to single bright pixels: [n, taps]."""
    taps = _taps(before, after)
    comb = np.full((taps.size, before, 3), _GREY, dtype=np.uint8)
    for shift in range(taps.size):
        comb[shift, shift :: taps.size] += _BRIGHTER
    answers = (resized(comb, after, taps.size, kernel)[..., 0].astype(np.float64) - _GREY) / _BRIGHTER
    inputs = np.floor((columns + 0.5) * before / after - 0.5).astype(int)[:, None] + taps
    return np.asarray(answers[inputs % taps.size, columns[:, None]], dtype=np.float64)


def _taps(before: int, after: int) -> Whole:
    """The input pixels that may count, from the one below the centre of an output pixel."""
    reach = math.ceil(_SUPPORT * before / after)
    return np.arange(-reach, reach + 2, dtype=np.int64)


def _columns_by_phase(before: int, after: int, taps: int) -> list[Whole]:
    """For each phase that is looked at, some output pixels whose taps all lie inside."""
    period = after // math.gcd(before, after)
    margin = math.ceil(taps * after / before) + 1
    inside = np.arange(margin, max(after - margin, margin + 1))
    phases = np.unique(np.linspace(0, period - 1, min(period, MOST_PHASES)).astype(int))
    groups = (inside[inside % period == phase] for phase in phases)
    return [
        group[np.linspace(0, group.size - 1, min(group.size, _COLUMNS)).astype(int)] for group in groups if group.size
    ]


def _robust(inputs: Numbers, wanted: Numbers) -> Numbers:
    """Weights of least squares in which large residuals count less (Huber 1964)."""
    trust: Numbers = np.ones(wanted.size)
    weights: Numbers = np.zeros(inputs.shape[1])
    for _ in range(_ROUNDS):
        root = np.sqrt(trust)
        weights = np.asarray(np.linalg.lstsq(inputs * root[:, None], wanted * root, rcond=None)[0], dtype=np.float64)
        residual = np.abs(wanted - inputs @ weights)
        limit = _HUBER * max(1.4826 * float(np.median(residual)), 0.1)
        trust = np.minimum(1.0, limit / np.maximum(residual, 1e-9))
    return weights
