"""What a detector's own held-out photographs say of it: whether it has learned, and thresholds for few false alarms."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from counterforensics.detectors.base import Detector, score
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


def calibrate(detector: Detector, pairs: Pairs) -> Mapping[str, float]:
    """Accuracy (0..1) at 0, AUC (0..1) and thresholds of a detector on the held-out pairs; empty without any.

    The names are those of trainings.csv. Test photographs have no part in it, so a threshold holds on them as well as
    their cameras are like those of the training devices.
    """
    held_out = pairs.validation()
    if not len(held_out):
        return {}
    pristine, manipulated = (
        score(detector, part.batches(_BATCH)) for part in (held_out.pristine, held_out.manipulated)
    )
    accuracy = (np.mean(pristine <= 0) + np.mean(manipulated > 0)) / 2
    figures = {"validation_patches": len(pristine), "validation_acc": float(accuracy)}
    figures["validation_auc"] = auc(pristine, manipulated)
    return figures | {f"threshold_{name}": threshold_for(pristine, rate) for name, rate in OPERATING_POINTS.items()}
