"""The gradient of a SPAM score over pixels, followed in whole grey levels (Chen et al. 2017)."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from counterforensics.attacks.base import (
    Attack,
    Concealed,
    PreparedAttack,
    check_between,
    check_choice,
    check_given,
    check_whole,
    checked_by,
)
from counterforensics.attacks.spam_objective import (
    aimed,
    check_spam_target,
    followed,
    gain_of,
    moved,
    planes,
    roots_of,
    score_objective,
)
from counterforensics.compiled import compiled
from counterforensics.detectors.base import Detector, LinearInSpam
from counterforensics.features.soft import exact_quantiser, soft_s3_spam14hv
from counterforensics.photos.patches import Pairs
from counterforensics.pixels import Pixels

Levels = npt.NDArray[np.int16]  # [h, w], the luma of a patch
Slope = npt.NDArray[np.float64]  # [h, w], how the logit rises with each pixel

# Inverse temperature of the soft feature, on grey levels: wide enough that almost every pixel has a gradient.
_ALPHA = 0.5


@dataclass(frozen=True)
class SpamGradient(Attack):
    """The SPAM gradient as an attack of a study; see `spam_gradient`."""

    gradient: str = "differences"
    share: float = 0.03
    strength: int = 4
    rounds: int = 10
    confidence: float = 0.01

    name = "spam-gradient"

    def __post_init__(self) -> None:
        check_choice(self.name, "gradient", self.gradient, GRADIENTS)
        check_between(self.name, "share", self.share, 1e-6, 1)
        check_whole(self.name, "strength", self.strength, 1, 255, " of grey levels")
        check_whole(self.name, "rounds", self.rounds, 1, 100_000, "")
        check_between(self.name, "confidence", self.confidence, 0, math.inf)

    def check_target(self, target: Detector) -> None:
        """As `Attack.check_target`."""
        check_spam_target(self.name, target)

    def prepare(self, target: Detector | None, pairs: Pairs, *, seed: int) -> PreparedAttack:
        """Nothing to learn, and nothing left to chance: `pairs` and `seed` are not used."""
        detector = check_given(self.name, target)
        self.check_target(detector)
        return PreparedAttack(lambda patches, _: Concealed(spam_gradient(patches, detector, **asdict(self))))


@checked_by(SpamGradient)
def spam_gradient(
    patches: Tensor,
    detector: Detector,
    *,
    gradient: str = SpamGradient.gradient,
    share: float = SpamGradient.share,
    strength: int = SpamGradient.strength,
    rounds: int = SpamGradient.rounds,
    confidence: float = SpamGradient.confidence,
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
    score = check_spam_target(SpamGradient.name, detector)
    before = planes(patches)
    after = []
    for plane in before:
        levels = plane.levels.astype(np.int16)
        logit = score.logit(roots_of(plane.levels, score.floor))
        count = math.floor(share * levels.size)
        # A patch that is called pristine is left alone.
        for _ in range(rounds if logit > 0 and count else 0):
            # Chen et al. 2017: the gradient of the score in the pixel domain.
            slope = GRADIENTS[gradient](levels.astype(np.uint8), score)
            # [inferred] The pixels with the largest gradient move together, each by the same number of levels.
            direction = _against_the_largest(slope, count)
            tried = [np.clip(levels + some * direction, plane.lowest, plane.highest) for some in range(1, strength + 1)]
            # The smallest strength that conceals, by the exact score of the stored patch; without one, the best.
            logits = [score.logit(roots_of(state.astype(np.uint8), score.floor)) for state in tried]
            concealing = [index for index, reached in enumerate(logits) if reached <= -confidence]
            chosen = concealing[0] if concealing else int(np.argmin(logits))
            if logits[chosen] >= logit:
                break
            levels = tried[chosen].astype(np.int16)
            logit = logits[chosen]
            if concealing:
                break
        after.append(levels)
    return moved(patches, before, after)


def _against_the_largest(slope: Slope, count: int) -> Levels:
    """-1 or +1, against the gradient, at the `count` pixels where it is largest, 0 elsewhere (and where it is 0)."""
    largest = np.argpartition(-np.abs(slope), count - 1, axis=None)[:count]
    direction = np.zeros(slope.shape, np.int16)
    direction.flat[largest] = -np.sign(slope.flat[largest])
    return direction


def differences(levels: Pixels, score: LinearInSpam) -> Slope:
    """How the logit rises with each pixel, by central differences of one grey level (Chen et al. 2017).

    levels: uint8 [h, w].  Returns float64 [h, w], logit a grey level. At 0 and 255 there is a level on one side only.
    """
    slope = np.empty(levels.shape)
    state = aimed(followed(levels, score.floor), score_objective(score))
    _fill_with_differences(*state[:5], slope)
    return slope


def soft_gradient(levels: Pixels, score: LinearInSpam) -> Slope:
    """How the logit rises with each pixel, by backpropagation through the soft SPAM feature.

    levels: uint8 [h, w].  Returns float64 [h, w], logit a grey level.
    """
    pixels = torch.from_numpy(levels).float()[None, None].requires_grad_()
    with torch.enable_grad():
        feature = soft_s3_spam14hv(pixels, exact_quantiser(), alpha=_ALPHA)[0]
        roots = torch.sqrt(feature + score.floor)
        logit = (roots.double() * torch.from_numpy(score.weights)).sum()
        (gradient,) = torch.autograd.grad(logit, pixels)
    return np.asarray(gradient[0, 0].double().numpy())


GRADIENTS: Mapping[str, Callable[[Pixels, LinearInSpam], Slope]] = {"differences": differences, "soft": soft_gradient}


@compiled(nogil=True)
def _fill_with_differences(running: Any, objective: Any, values: Any, roots: Any, room: Any, slope: Any) -> None:
    """How the objective rises with each pixel: from one level below to one above it, as far as there are levels."""
    for y in range(slope.shape[0]):
        for x in range(slope.shape[1]):
            above = 0.0
            below = 0.0
            lowest = running.plane[y, x] == 0
            highest = running.plane[y, x] == 255
            if not highest:
                above = gain_of(running, objective, values, roots, room, y, x, 1)
            if not lowest:
                below = gain_of(running, objective, values, roots, room, y, x, -1)
            slope[y, x] = above - below if lowest or highest else (above - below) / 2
