"""A judge at other thresholds than 0: the best one, those for few false alarms, and that of equal error rates."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from counterforensics.error_rates import equal_error_rate
from counterforensics.evaluation.rates import eer_interval, verdict_rates

Logits = npt.NDArray[np.float32]
Photos = npt.NDArray[np.int64]


def best_threshold(pristine: Logits, manipulated: Logits) -> float:
    """The threshold with the highest accuracy, both classes counted alike; of several the smallest.

    pristine, manipulated: float32 [n], [m], finite, neither empty.  It lies between two logits that occur, below
    all or above all, so no logit equals it.

    >>> best_threshold(np.float32([0, 1, 9]), np.float32([2, 3]))
    1.5
    """
    levels = np.unique(np.concatenate([pristine, manipulated])).astype(np.float64)
    lowest = min(levels[0] - 1, np.nextafter(levels[0], -np.inf))
    highest = max(levels[-1] + 1, np.nextafter(levels[-1], np.inf))
    between = np.concatenate([[lowest], (levels[:-1] + levels[1:]) / 2, [highest]])
    quiet = np.searchsorted(np.sort(pristine), between, side="right")
    missed = np.searchsorted(np.sort(manipulated), between, side="right")
    # Whole numbers, so that rounding makes no difference between equals.
    return float(between[np.argmax(quiet * len(manipulated) - missed * len(pristine))])


def operating_points(
    pristine: Logits,
    manipulated: Logits,
    photo_of_pristine: Photos,
    photo_of_manipulated: Photos,
    *,
    thresholds: Mapping[str, float],
    seed: int,
) -> dict[str, float]:
    """The figures of `counterforensics.outcome.ROW_COLUMNS` at other thresholds than 0; arguments as for `rates`.

    thresholds: by the names that columns have for them, those of `ranking.OPERATING_POINTS` that there are.
    `best_acc` is the accuracy at the best threshold for these very patches, so it flatters; its interval holds that
    threshold fixed.  The threshold of `eer`, the equal-error rate, comes from these patches, too.
    """
    figures: dict[str, float] = {}
    photos = photo_of_pristine, photo_of_manipulated
    if len(pristine) and len(manipulated):
        best = best_threshold(pristine, manipulated)
        found = verdict_rates(_above(pristine, best), _above(manipulated, best), *photos, seed=seed)
        figures |= {"best_acc": found.acc, "best_acc_low": found.acc_low, "best_acc_high": found.acc_high}
        low, high = eer_interval(pristine, manipulated, *photos, seed=seed)
        figures |= {"eer": equal_error_rate(pristine, manipulated), "eer_low": low, "eer_high": high}
    return figures | rates_at(pristine, manipulated, *photos, thresholds=thresholds, seed=seed)


def rates_at(
    pristine: Logits,
    manipulated: Logits,
    photo_of_pristine: Photos,
    photo_of_manipulated: Photos,
    *,
    thresholds: Mapping[str, float],
    seed: int,
) -> dict[str, float]:
    """TPR with its interval and FPR at each of `thresholds`; arguments as for `operating_points`."""
    figures: dict[str, float] = {}
    for name, at in thresholds.items():
        verdicts = _above(pristine, at), _above(manipulated, at)
        found = verdict_rates(*verdicts, photo_of_pristine, photo_of_manipulated, seed=seed)
        figures |= {f"tpr_at_{name}": found.tpr, f"fpr_at_{name}": found.fpr}
        figures |= {f"tpr_at_{name}_low": found.tpr_low, f"tpr_at_{name}_high": found.tpr_high}
    return figures


def _above(logits: Logits, threshold: float) -> npt.NDArray[np.bool_]:
    """Which logits are above the threshold, which float32 may not hold exactly."""
    above: npt.NDArray[np.bool_] = logits.astype(np.float64) > threshold
    return above
