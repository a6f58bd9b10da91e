"""The gradient of a SPAM score over pixels, followed in whole grey levels (Chen et al. 2017)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numba
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from counterforensics.attacks.base import Concealed, Concealer, check_between, check_whole
from counterforensics.attacks.spam_objective import (
    Plane,
    aimed,
    check_spam_target,
    followed,
    gain_of,
    moved,
    planes,
    roots_of,
    score_objective,
)
from counterforensics.detectors.base import Detector, LinearInSpam
from counterforensics.errors import AttackError
from counterforensics.features.soft import exact_quantiser, soft_s3_spam14hv
from counterforensics.photos.patches import Pairs, Patches

GRADIENTS = ("differences", "soft")

# Inverse temperature of the soft feature, on grey levels: wide enough that almost every pixel has a gradient.
_ALPHA = 0.5


def spam_gradient(
    patches: Tensor,
    detector: Detector,
    *,
    gradient: str = "differences",
    share: float = 0.03,
    strength: int = 4,
    rounds: int = 10,
    confidence: float = 0.01,
) -> Tensor:
    """Move the pixels that count most against the gradient of a SPAM score until the verdict falls.

    patches: uint8 [n, c, h, w], manipulated; those called pristine already are left alone.  detector: a linear SVM
    on SPAM features.  gradient: `differences` moves each pixel by +1 and by -1 and counts the 46 runs that it takes
    part in again (Chen et al. 2017); `soft` is the gradient of the differentiable feature with the SVM's own weights.
    share: of the pixels, those with the largest gradient, that move together, 0..1.  strength: whole grey levels by
    which they move at most; the smallest that brings the logit to -`confidence` is taken.  If none does, the one with
    the lowest logit is, and another of at most `rounds` rounds begins there.
    Rounds and the choice of pixels are inferred. RGB moves in all channels alike.
    Returns uint8 of the same shape.  Raises PixelError or AttackError.
    """
    attack, nothing = SpamGradient(gradient, share, strength, rounds, confidence), Patches(())
    return attack.prepare(detector, Pairs(nothing, nothing), seed=0)(patches)


@dataclass(frozen=True)
class SpamGradient:
    """The SPAM gradient as an attack of a study; see `spam_gradient`."""

    gradient: str = "differences"
    share: float = 0.03
    strength: int = 4
    rounds: int = 10
    confidence: float = 0.01

    needs_target: ClassVar[bool] = True
    needs_pairs: ClassVar[bool] = False
    needs_originals: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if self.gradient not in GRADIENTS:
            raise AttackError(f"spam-gradient: gradient must be {' or '.join(GRADIENTS)}, got {self.gradient!r}")
        check_between("spam-gradient", "share", self.share, 0, 1)
        check_whole("spam-gradient", "strength", self.strength, 1, 255, " of grey levels")
        check_whole("spam-gradient", "rounds", self.rounds, 1, 100_000, "")
        check_between("spam-gradient", "confidence", self.confidence, 0, math.inf)

    def check_target(self, target: Detector) -> None:
        """As `Attack.check_target`."""
        check_spam_target("spam-gradient", target)

    def prepare(self, target: Detector | None, pairs: Pairs, *, seed: int) -> Concealer:
        """Nothing to learn, and nothing left to chance: `pairs` and `seed` are not used."""
        score = check_spam_target("spam-gradient", target)
        return Concealer(lambda patches, _: self._conceal(patches, score))

    def _conceal(self, patches: Tensor, score: LinearInSpam) -> Concealed:
        before = planes(patches)
        after = [self._followed(plane, score) for plane in before]
        return Concealed(moved(patches, before, after))

    def _followed(self, plane: Plane, score: LinearInSpam) -> npt.NDArray[np.int16]:
        """The luma of one patch after all its rounds."""
        levels, count = plane.levels.astype(np.int16), math.floor(self.share * plane.levels.size)
        logit = score.logit(roots_of(plane.levels, score.floor))
        for _ in range(self.rounds if logit > 0 and count else 0):
            slope = self.slope(levels.astype(np.uint8), score)
            salient = np.argpartition(-np.abs(slope), count - 1, axis=None)[:count]
            direction = np.zeros_like(levels)
            direction.flat[salient] = -np.sign(slope.flat[salient])
            tried = [
                np.clip(levels + strength * direction, plane.lowest, plane.highest)
                for strength in range(1, self.strength + 1)
            ]
            logits = [score.logit(roots_of(some.astype(np.uint8), score.floor)) for some in tried]
            enough = [number for number, after in enumerate(logits) if after <= -self.confidence]
            chosen = enough[0] if enough else int(np.argmin(logits))
            if logits[chosen] >= logit:
                break
            levels, logit = tried[chosen].astype(np.int16), logits[chosen]
            if enough:
                break
        return levels

    def slope(self, levels: npt.NDArray[np.uint8], score: LinearInSpam) -> npt.NDArray[np.float64]:
        """How the logit rises with each pixel: float64 [h, w]."""
        if self.gradient == "differences":
            slope = np.empty(levels.shape)
            state = aimed(followed(levels, score.floor), score_objective(score))
            _differences(*state[:5], slope)
            return slope
        pixels = torch.from_numpy(levels).float()[None, None].requires_grad_()
        with torch.enable_grad():
            feature = soft_s3_spam14hv(pixels, exact_quantiser(), alpha=_ALPHA)[0]
            roots = torch.sqrt(feature + score.floor)
            (found,) = torch.autograd.grad((roots.double() * torch.from_numpy(score.weights)).sum(), pixels)
        return np.asarray(found[0, 0].double().numpy())


@numba.njit(cache=True, nogil=True)
def _differences(running: Any, objective: Any, values: Any, roots: Any, room: Any, slope: Any) -> None:
    """How the objective rises with each pixel: from one level below to one above it, as far as there are levels."""
    for y in range(slope.shape[0]):
        for x in range(slope.shape[1]):
            above = below = 0.0
            lowest, highest = running.plane[y, x] == 0, running.plane[y, x] == 255
            if not highest:
                above = gain_of(running, objective, values, roots, room, y, x, 1)
            if not lowest:
                below = gain_of(running, objective, values, roots, room, y, x, -1)
            slope[y, x] = above - below if lowest or highest else (above - below) / 2
