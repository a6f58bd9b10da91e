"""What a detector's own held-out photographs say of it: whether it has learned, and thresholds for few false alarms."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from counterforensics.detectors.base import Detector, score
from counterforensics.error_rates import NEEDED, HeldOutCount, suffices
from counterforensics.errors import TrainingError
from counterforensics.photos.patches import Pairs
from counterforensics.ranking import OPERATING_POINTS, auc

# Patches that pass at once.
_BATCH = 32


def threshold_for(pristine: npt.NDArray[np.float32], rate: float) -> float:
    """The smallest of the pristine patches' logits that at most a share `rate` (0..1) of them lies above.

    pristine: float32 [n], n above 0.  A rate below 1 / n gives the largest.  Raises TrainingError without any.

    >>> logits = np.arange(200, dtype=np.float32)
    >>> threshold_for(logits, 0.01), threshold_for(logits, 0.001)
    (197.0, 199.0)
    """
    if not len(pristine):
        raise TrainingError("a threshold needs pristine patches, got none")
    allowed = min(math.floor(rate * len(pristine) + 1e-9), len(pristine) - 1)
    return float(np.sort(pristine)[::-1][allowed])


def thresholds_of(facts: Mapping[str, object]) -> dict[str, float]:
    """The thresholds among the facts of a training, by the names of `OPERATING_POINTS`; those that are there."""
    named = {name: facts.get(f"threshold_{name}") for name in OPERATING_POINTS}
    return {name: float(value) for name, value in named.items() if isinstance(value, int | float)}


def why_no_threshold(facts: Mapping[str, object], point: str) -> str:
    """Why the facts of a training hold no threshold for this one of `OPERATING_POINTS`; "" where they hold one.

    >>> why_no_threshold({"validation_patches": 384, "validation_photos": 8}, "fpr_001")
    'it takes at least 1,000 held-out pristine patches of 10 photographs, and the detector has 384 of 8'
    """
    if point in thresholds_of(facts):
        return ""
    patches, photographs = facts.get("validation_patches"), facts.get("validation_photos")
    if not isinstance(patches, int | float) or not isinstance(photographs, int | float):
        return "an older version trained the detector, or no photograph was held out; train it again"
    needed = NEEDED.get(point, HeldOutCount(1, 1))
    return (
        f"it takes at least {needed.patches:,} held-out pristine patches of {needed.photographs} photographs, "
        f"and the detector has {patches:,.0f} of {photographs:,.0f}"
    )


def calibrate(detector: Detector, pairs: Pairs) -> Mapping[str, float]:
    """Accuracy (0..1) at 0, AUC (0..1) and thresholds of a detector on the held-out pairs; empty without any.

    The names are those of trainings.csv. There is no threshold for a rate for which too few patches are held out
    (`error_rates.NEEDED`). Test photographs have no part in it, so a threshold holds on them as well as
    their cameras are like those of the training devices.
    """
    held_out = pairs.validation()
    if not len(held_out):
        return {}
    pristine, manipulated = (
        score(detector, part.batches(_BATCH)) for part in (held_out.pristine, held_out.manipulated)
    )
    accuracy = (np.mean(pristine <= 0) + np.mean(manipulated > 0)) / 2
    amount = HeldOutCount(len(pristine), len(np.unique(held_out.pristine.photo)))
    figures: dict[str, float] = {"validation_patches": amount.patches, "validation_photos": amount.photographs}
    figures |= {"validation_acc": float(accuracy), "validation_auc": auc(pristine, manipulated)}
    allowed = {name: rate for name, rate in OPERATING_POINTS.items() if suffices(name, amount)}
    return figures | {f"threshold_{name}": threshold_for(pristine, rate) for name, rate in allowed.items()}
