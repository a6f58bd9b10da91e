"""SPAM + SVM: the hand-crafted detector (Gragnaniello et al. 2018, Section II-A)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from counterforensics.detectors.base import LinearInSpam, Network, Recipe
from counterforensics.detectors.spam_head import (
    LinearHead,
    check_svm,
    fit_head,
    linear_in_spam,
    scan_logits,
    spam_features,
    unit_features,
)
from counterforensics.features.sliding import sliding_s3_spam14hv
from counterforensics.features.spam import s3_spam14hv
from counterforensics.learning.monitor import SILENT, TrainingMonitor
from counterforensics.photos.patches import Pairs
from counterforensics.pixels import Pixels, luma, luma_of_planes
from counterforensics.positions import Positions


class SpamSvmDetector(Network):
    """A linear SVM's decision function over exact SPAM features of the luma."""

    differentiable = False
    shares_overlap = True

    def __init__(self, normalisation: str) -> None:
        super().__init__()
        self.head = LinearHead(normalisation)

    def logits(self, pixels: Tensor) -> Tensor:
        """As `Detector.logits`; pixels must be whole grey levels, as stored, and carry no gradient."""
        planes = luma(pixels.detach())[:, 0].round().to(torch.uint8).cpu().numpy()
        features = torch.from_numpy(s3_spam14hv(planes)).to(pixels.device)
        with torch.no_grad():
            return torch.as_tensor(self.head(features))

    def scan(self, photo: Pixels, positions: Positions) -> npt.NDArray[np.float32]:
        """As `Network.scan`; each pixel is counted once."""
        plane = luma_of_planes(photo)
        return scan_logits(self.head, lambda band: sliding_s3_spam14hv(plane, band), positions)

    def spam_score(self) -> LinearInSpam:
        """As `ScoredBySpam.spam_score`."""
        return linear_in_spam(self.head)


@dataclass(frozen=True)
class SpamSvm(Recipe):
    """SPAM features, standardised, and a linear SVM (squared hinge loss, L2 penalty) with cost `c`.

    The paper gives neither kernel nor cost: a linear kernel follows from Cozzolino2017's fully connected
    layer that replaces it, C = 0.1 on standardised features is ours [both inferred].
    """

    c: float = 0.1
    normalisation: str = "sqrt"

    version: ClassVar[int] = 3

    def __post_init__(self) -> None:
        check_svm("spam-svm", self.c, self.normalisation)

    def build(self) -> SpamSvmDetector:
        """The detector with zero weights."""
        return SpamSvmDetector(self.normalisation)

    def train(self, pairs: Pairs, *, seed: int, monitor: TrainingMonitor = SILENT) -> SpamSvmDetector:
        """Fit on the training photographs; those held out are for the thresholds."""
        detector, pairs = self.build(), pairs.training()
        features = partial(unit_features, feature=spam_features, normalisation=self.normalisation)
        with features(pairs.pristine.batches(512)) as pristine, features(pairs.manipulated.batches(512)) as manipulated:
            fit_head(detector.head, pristine, manipulated, c=self.c)
        return detector.eval()
