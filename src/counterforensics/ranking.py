"""How well scores rank two classes."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

# Shares of pristine patches that a threshold may take for manipulated, by the name that columns have for them.
OPERATING_POINTS = {"fpr_001": 0.001, "fpr_01": 0.01, "fpr_05": 0.05}


def auc(pristine: npt.NDArray[np.float32], manipulated: npt.NDArray[np.float32]) -> float:
    """Chance (0..1) that a manipulated patch scores above a pristine one; ties count half.

    pristine, manipulated: float32 [n], [m], finite.  NaN if either is empty.

    >>> auc(np.float32([0, 1]), np.float32([1, 2]))
    0.875
    """
    from sklearn.metrics import roc_auc_score

    if not len(pristine) or not len(manipulated):
        return float("nan")
    classes = np.repeat([0, 1], [len(pristine), len(manipulated)])
    return float(roc_auc_score(classes, np.concatenate([pristine, manipulated])))
