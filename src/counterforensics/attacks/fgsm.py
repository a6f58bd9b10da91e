"""The fast gradient sign method (Goodfellow et al. 2015), on stored grey levels."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from counterforensics.attacks.base import Concealed, Concealer, check_loss, check_target, evidence_gradient
from counterforensics.detectors.base import Detector
from counterforensics.errors import AttackError
from counterforensics.photos.patches import Pairs
from counterforensics.pixels import to_patches, to_pixels


def fgsm(patches: Tensor, detector: Detector, *, epsilon: int = 1, loss: str = "logit") -> Tensor:
    """Move every pixel `epsilon` grey levels towards "pristine" (Gragnaniello et al. 2018, Section III-B).

    patches: uint8 [n, c, h, w], manipulated.  detector: differentiable; its weights are left alone.
    epsilon: whole grey levels, 0..255; the paper's is 1, the weakest noise that survives storage.
    loss: `logit` (never saturates) or `cross-entropy` (the paper's, which leaves patches unchanged where the
    detector is sure).  A pixel without gradient stays where it is.
    Returns uint8 of the same shape on the same device.  Raises PixelError or AttackError.
    """
    return _conceal(patches, detector, epsilon=epsilon, loss=loss).patches


def _conceal(patches: Tensor, detector: Detector, *, epsilon: int, loss: str) -> Concealed:
    pixels = to_pixels(patches)
    if not len(pixels):
        return Concealed(patches.clone(), torch.empty(0, dtype=torch.float64))
    direction = evidence_gradient(pixels, check_target("fgsm", detector), loss=check_loss("fgsm", loss)).sign()
    concealed = to_patches(pixels - _check_epsilon(epsilon) * direction)
    return Concealed(concealed, (direction == 0).flatten(1).double().mean(1))


def _check_epsilon(epsilon: int) -> int:
    if isinstance(epsilon, bool) or not isinstance(epsilon, int) or not 0 <= epsilon <= 255:
        raise AttackError(f"fgsm: epsilon must be a whole number of grey levels, 0..255, got {epsilon!r}")
    return epsilon


@dataclass(frozen=True)
class Fgsm:
    """FGSM as an attack of a study; see `fgsm`."""

    epsilon: int = 1
    loss: str = "logit"

    def __post_init__(self) -> None:
        _check_epsilon(self.epsilon)
        check_loss("fgsm", self.loss)

    @property
    def needs_target(self) -> bool:
        """It does: the noise is the target's own gradient."""
        return True

    @property
    def needs_gradient(self) -> bool:
        """It does."""
        return True

    @property
    def needs_pairs(self) -> bool:
        """It does not: nothing is learned."""
        return False

    def prepare(self, target: Detector | None, pairs: Pairs, *, seed: int) -> Concealer:
        """Nothing to learn: `pairs` and `seed` are not used."""
        detector = check_target("fgsm", target)
        return Concealer(lambda patches: _conceal(patches, detector, epsilon=self.epsilon, loss=self.loss))
