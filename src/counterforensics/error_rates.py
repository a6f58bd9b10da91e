"""The two error rates of a judge at every threshold, where they are equal, and how many patches a low rate takes."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


class HeldOutCount(NamedTuple):
    """How many pristine patches, and of how many photographs, a detector did not learn from."""

    patches: int
    photographs: int


# A threshold for 0.1 % needs 1,000 patches, because of fewer not even one may lie above it. The patches of one
# photograph are alike, so they must come from at least 10 photographs [inferred].
NEEDED = {"fpr_001": HeldOutCount(1000, 10)}


def suffices(point: str, held_out: HeldOutCount) -> bool:
    """Whether so many held-out patches give a threshold for this one of `ranking.OPERATING_POINTS`.

    >>> [suffices("fpr_001", HeldOutCount(*amount)) for amount in ((1000, 10), (5000, 9), (999, 99))]
    [True, False, False]
    """
    needed = NEEDED.get(point, HeldOutCount(1, 1))
    return held_out.patches >= needed.patches and held_out.photographs >= needed.photographs


def roc(pristine: npt.ArrayLike, positive: npt.ArrayLike) -> tuple[Floats, Floats]:
    """FPR and TPR at every threshold, from (0, 0) to (1, 1); equal logits move together.

    pristine, positive: any shape, finite.  Returns float64 [k] twice, 0..1; without patches of a class its rate is 1 at
    every threshold but the first.

    >>> roc([0.0, 1.0], [1.0, 2.0])
    (array([0. , 0. , 0.5, 1. ]), array([0. , 0.5, 1. , 1. ]))
    """
    negative, wanted = (np.sort(np.asarray(x, dtype=np.float64).ravel()) for x in (pristine, positive))
    thresholds = np.unique(np.concatenate([negative, wanted]))[::-1]
    fpr = 1 - np.searchsorted(negative, thresholds, side="left") / max(1, len(negative))
    tpr = 1 - np.searchsorted(wanted, thresholds, side="left") / max(1, len(wanted))
    return np.concatenate([[0.0], fpr]), np.concatenate([[0.0], tpr])


def equal_error_rate(pristine: npt.ArrayLike, positive: npt.ArrayLike) -> float:
    """The rate (0..1) at which as many pristine patches are called manipulated as manipulated ones are missed.

    pristine, positive: any shape, finite.  0 where every manipulated patch scores above every pristine one, about 0.5
    at chance, NaN if either is empty.  See `crossing`.

    >>> equal_error_rate([0, 1, 2, 5], [3, 4, 6, 7])
    0.25
    """
    if not np.size(pristine) or not np.size(positive):
        return float("nan")
    fpr, tpr = roc(pristine, positive)
    return crossing(fpr, 1 - tpr)


def crossing(fpr: Floats, miss: Floats) -> float:
    """Where a curve of false alarms and misses crosses the line on which both are equal.

    fpr, miss: float64 [k], 0..1; `fpr` rises from 0 to 1, `miss` falls from 1 to 0.  Between two neighbouring
    thresholds the curve is a straight line, as it is for the AUC when ties count half.

    >>> crossing(np.array([0, 0, 1.0]), np.array([1, 0.5, 0.0]))
    0.3333333333333333
    """
    after = int(np.argmax(fpr >= miss))
    before = after - 1
    missing, beyond = miss[before] - fpr[before], fpr[after] - miss[after]
    return float(fpr[before] + missing / (missing + beyond) * (fpr[after] - fpr[before]))
