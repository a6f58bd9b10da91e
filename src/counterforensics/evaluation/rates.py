"""Counts, rates and intervals of one judge on one set of patches.

An interval comes from resampled photographs, as patches of one photograph are alike. Where all photographs agree, above
all at 0 and at 100 %, every resample gives the same figure. Its interval would have no width, as if nothing were left
to chance. There it is Wilson's (`intervals.wilson`), which counts a photograph as one trial.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from counterforensics.error_rates import crossing
from counterforensics.intervals import Interval, wilson
from counterforensics.ranking import auc

RESAMPLES = 2000
RANKING_RESAMPLES = 500  # of an AUC or an equal-error rate: each ranks every patch again
NO_WIDTH = 1e-9  # of an interval: what is left of it is rounding

Counts = npt.NDArray[Any]


@dataclass(frozen=True)
class VerdictRates:
    """How often verdicts are right, with intervals. Rates are 0..1; NaN where there was nothing to count."""

    n_pristine: int
    n_manipulated: int
    fp: int
    tp: int
    tpr_low: float
    tpr_high: float
    fpr_low: float
    fpr_high: float
    acc_low: float
    acc_high: float

    @property
    def fpr(self) -> float:
        """False positives among pristine patches."""
        return self.fp / self.n_pristine if self.n_pristine else float("nan")

    @property
    def tpr(self) -> float:
        """Detections among manipulated (or concealed) patches."""
        return self.tp / self.n_manipulated if self.n_manipulated else float("nan")

    @property
    def acc(self) -> float:
        """Mean of the share of right verdicts in either class, so that class sizes do not matter."""
        return (self.tpr + 1 - self.fpr) / 2


@dataclass(frozen=True)
class Rates(VerdictRates):
    """How a judge did: its verdicts at the threshold 0, and how well its logits rank."""

    auc: float


def rates(
    pristine: npt.NDArray[np.float32],
    manipulated: npt.NDArray[np.float32],
    photo_of_pristine: npt.NDArray[np.int64],
    photo_of_manipulated: npt.NDArray[np.int64],
    *,
    seed: int,
) -> Rates:
    """Rates of a judge from its logits; above 0 means manipulated.

    pristine, manipulated: float32 [n], [m].  The rest as for `verdict_rates`.  AUC counts ties half.
    """
    found = verdict_rates(pristine > 0, manipulated > 0, photo_of_pristine, photo_of_manipulated, seed=seed)
    return Rates(**vars(found), auc=auc(pristine, manipulated))


def verdict_rates(
    pristine: npt.NDArray[np.bool_],
    manipulated: npt.NDArray[np.bool_],
    photo_of_pristine: npt.NDArray[np.int64],
    photo_of_manipulated: npt.NDArray[np.int64],
    *,
    seed: int,
) -> VerdictRates:
    """Rates of verdicts; True means that the patch was called manipulated.

    pristine, manipulated: bool [n], [m].  photo_of_pristine, photo_of_manipulated: int64 [n], [m], the photograph of
    each patch, 0..k-1.
    95 % intervals (percentile) come from resampling whole photographs with replacement, because patches of
    one photograph are alike; both classes are resampled together. A rate that is the same in every resample gets
    `wilson`'s interval for as many trials as there are photographs of that class; accuracy then takes the worse and
    the better ends of both rates together.
    """
    count = _photos(photo_of_pristine, photo_of_manipulated)
    classes = [
        _per_photo(pristine, photo_of_pristine, count),
        _per_photo(manipulated, photo_of_manipulated, count),
    ]
    resampled = _resampled(classes, seed)
    found = [_interval(values) for values in resampled]
    (fpr_low, fpr_high), (tpr_low, tpr_high) = honest = [
        _honest(interval, int((patches > 0).sum())) for interval, (_, patches) in zip(found, classes, strict=True)
    ]
    acc_low, acc_high = _interval((resampled[1] + 1 - resampled[0]) / 2)
    if honest != found:
        acc_low, acc_high = (tpr_low + 1 - fpr_high) / 2, (tpr_high + 1 - fpr_low) / 2
    return VerdictRates(
        n_pristine=len(pristine),
        n_manipulated=len(manipulated),
        fp=int(pristine.sum()),
        tp=int(manipulated.sum()),
        tpr_low=tpr_low,
        tpr_high=tpr_high,
        fpr_low=fpr_low,
        fpr_high=fpr_high,
        acc_low=acc_low,
        acc_high=acc_high,
    )


def auc_interval(
    pristine: npt.NDArray[np.float32],
    manipulated: npt.NDArray[np.float32],
    photo_of_pristine: npt.NDArray[np.int64],
    photo_of_manipulated: npt.NDArray[np.int64],
    *,
    seed: int,
) -> Interval:
    """95 % interval of `auc`, photographs resampled with replacement; arguments as for `rates`.

    An AUC that is the same in every resample, as 1 is, gets `wilson`'s interval. It counts as many trials as there are
    photographs in the smaller class: an AUC is a mean over pairs of patches, and no more of them are independent
    (Hoeffding 1963, Section 5).
    """

    def area(lower: Counts, upper: Counts) -> float:
        return float(upper @ (np.cumsum(lower) - lower / 2) / (upper.sum() * lower.sum()))

    return _ranking_interval(area, pristine, manipulated, photo_of_pristine, photo_of_manipulated, seed)


def eer_interval(
    pristine: npt.NDArray[np.float32],
    manipulated: npt.NDArray[np.float32],
    photo_of_pristine: npt.NDArray[np.int64],
    photo_of_manipulated: npt.NDArray[np.int64],
    *,
    seed: int,
) -> Interval:
    """95 % interval of `error_rates.equal_error_rate`, as `auc_interval` has that of an AUC.

    Every resample has a threshold of its own, at which both of its error rates are equal.
    """

    def equal_errors(lower: Counts, upper: Counts) -> float:
        above = [np.concatenate([[0.0], np.cumsum(counts[::-1])]) / counts.sum() for counts in (lower, upper)]
        return crossing(above[0], 1 - above[1])

    return _ranking_interval(equal_errors, pristine, manipulated, photo_of_pristine, photo_of_manipulated, seed)


def _ranking_interval(
    figure: Callable[[Counts, Counts], float],
    pristine: npt.NDArray[np.float32],
    manipulated: npt.NDArray[np.float32],
    photo_of_pristine: npt.NDArray[np.int64],
    photo_of_manipulated: npt.NDArray[np.int64],
    seed: int,
) -> Interval:
    """95 % interval of a figure of the ranking, photographs resampled; Wilson's where every resample has the same.

    figure: from how many pristine and how many manipulated patches have each logit, logits rising, neither all 0.
    """
    levels, level = np.unique(np.concatenate([pristine, manipulated]), return_inverse=True)
    count = _photos(photo_of_pristine, photo_of_manipulated)
    values = []
    for times in _resamples(count, seed)[:RANKING_RESAMPLES]:
        lower = np.bincount(level[: len(pristine)], weights=times[photo_of_pristine], minlength=len(levels))
        upper = np.bincount(level[len(pristine) :], weights=times[photo_of_manipulated], minlength=len(levels))
        values.append(figure(lower, upper) if lower.any() and upper.any() else float("nan"))
    independent = min(len(np.unique(photos)) for photos in (photo_of_pristine, photo_of_manipulated))
    return _honest(_interval(np.asarray(values, dtype=np.float64)), independent)


def mean_interval(values: npt.NDArray[np.float64], *, seed: int) -> Interval:
    """95 % interval of the mean of a figure over photographs, photographs resampled with replacement.

    values: float64 [k], one of each photograph.  NaN twice where all photographs agree, as one photograph alone does:
    every resample is then the same and says nothing about other photographs. `wilson` is for rates, not for means.
    """
    if not len(values) or np.ptp(values) < NO_WIDTH:
        return float("nan"), float("nan")
    return _interval(_resamples(len(values), seed) @ values / len(values))


def _honest(interval: Interval, photos: int) -> Interval:
    """The interval itself if it has a width, else Wilson's for so many photographs that agree."""
    low, high = interval
    return wilson(low, photos) if high - low < NO_WIDTH else interval


def _photos(*photo_of: npt.NDArray[np.int64]) -> int:
    """The number of the last photograph, and 1."""
    return int(max(photos.max(initial=-1) for photos in photo_of)) + 1


def _per_photo(
    positive: npt.NDArray[np.bool_], photo: npt.NDArray[np.int64], count: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Positives and patches of each photograph."""
    positives = np.bincount(photo, weights=positive, minlength=count).astype(np.float64)
    return positives, np.bincount(photo, minlength=count).astype(np.float64)


def _resampled(
    classes: list[tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]], seed: int
) -> list[npt.NDArray[np.float64]]:
    """The rate of each class in every resample of the photographs: [classes][RESAMPLES]."""
    times = _resamples(len(classes[0][0]), seed)
    with np.errstate(invalid="ignore"):
        return [(times @ positives) / (times @ patches) for positives, patches in classes]


@lru_cache(maxsize=1)
def _resamples(count: int, seed: int) -> npt.NDArray[np.float64]:
    """How often each of `count` photographs stands in each resample: [RESAMPLES, count], not to be written to.

    All figures of a row come from the same resamples, which take longer to draw than to use.
    """
    shares = np.full(count, 1 / count) if count else np.empty(0)
    times = (
        np.random.default_rng(seed).multinomial(count, shares, size=RESAMPLES) if count else np.empty((RESAMPLES, 0))
    )
    drawn = times.astype(np.float64)
    drawn.flags.writeable = False
    return drawn


def _interval(values: npt.NDArray[np.float64]) -> Interval:
    values = values[np.isfinite(values)]
    if not len(values):
        return float("nan"), float("nan")
    low, high = np.quantile(values, [0.025, 0.975])
    return float(low), float(high)
