"""Counts, rates and intervals of one judge on one set of patches."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from counterforensics.ranking import auc

RESAMPLES = 2000
AUC_RESAMPLES = 500  # each ranks every patch again


@dataclass(frozen=True)
class Rates:
    """How a judge did. Rates are 0..1; NaN where there was nothing to count."""

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
    auc: float

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


def rates(
    pristine: npt.NDArray[np.float32],
    manipulated: npt.NDArray[np.float32],
    photo_of_pristine: npt.NDArray[np.int64],
    photo_of_manipulated: npt.NDArray[np.int64],
    *,
    seed: int,
) -> Rates:
    """Rates of a judge from its logits; above 0 means manipulated.

    pristine, manipulated: float32 [n], [m].  photo_of_...: int64, the photograph of each patch, 0..k-1.
    95 % intervals (percentile) come from resampling whole photographs with replacement, because patches of
    one photograph are alike; both classes are resampled together. AUC counts ties half.
    """
    count = int(max(photo_of_pristine.max(initial=-1), photo_of_manipulated.max(initial=-1))) + 1
    fpr, tpr = _resampled(
        [
            _per_photo(pristine > 0, photo_of_pristine, count),
            _per_photo(manipulated > 0, photo_of_manipulated, count),
        ],
        seed,
    )
    intervals = (_interval(values) for values in (tpr, fpr, (tpr + 1 - fpr) / 2))
    (tpr_low, tpr_high), (fpr_low, fpr_high), (acc_low, acc_high) = intervals
    return Rates(
        n_pristine=len(pristine),
        n_manipulated=len(manipulated),
        fp=int((pristine > 0).sum()),
        tp=int((manipulated > 0).sum()),
        tpr_low=tpr_low,
        tpr_high=tpr_high,
        fpr_low=fpr_low,
        fpr_high=fpr_high,
        acc_low=acc_low,
        acc_high=acc_high,
        auc=auc(pristine, manipulated),
    )


def auc_interval(
    pristine: npt.NDArray[np.float32],
    manipulated: npt.NDArray[np.float32],
    photo_of_pristine: npt.NDArray[np.int64],
    photo_of_manipulated: npt.NDArray[np.int64],
    *,
    seed: int,
) -> tuple[float, float]:
    """95 % interval of `auc`, photographs resampled with replacement; arguments as for `rates`."""
    levels, level = np.unique(np.concatenate([pristine, manipulated]), return_inverse=True)
    count = int(max(photo_of_pristine.max(initial=-1), photo_of_manipulated.max(initial=-1))) + 1
    values = []
    for times in _resamples(count, seed)[:AUC_RESAMPLES]:
        lower = np.bincount(level[: len(pristine)], weights=times[photo_of_pristine], minlength=len(levels))
        upper = np.bincount(level[len(pristine) :], weights=times[photo_of_manipulated], minlength=len(levels))
        right = upper @ (np.cumsum(lower) - lower / 2)
        pairs = upper.sum() * lower.sum()
        values.append(right / pairs if pairs else float("nan"))
    return _interval(np.asarray(values, dtype=np.float64))


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


def _resamples(count: int, seed: int) -> npt.NDArray[np.float64]:
    """How often each of `count` photographs stands in each resample: [RESAMPLES, count]."""
    shares = np.full(count, 1 / count) if count else np.empty(0)
    times = (
        np.random.default_rng(seed).multinomial(count, shares, size=RESAMPLES) if count else np.empty((RESAMPLES, 0))
    )
    return times.astype(np.float64)


def _interval(values: npt.NDArray[np.float64]) -> tuple[float, float]:
    values = values[np.isfinite(values)]
    if not len(values):
        return float("nan"), float("nan")
    low, high = np.quantile(values, [0.025, 0.975])
    return float(low), float(high)
