"""The fast gradient sign method (Goodfellow et al. 2015), on stored grey levels."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from counterforensics.attacks.base import (
    Concealed,
    GradientAttack,
    check_loss,
    check_target,
    check_whole,
    evidence,
    nothing_concealed,
    share_of_zeros,
)
from counterforensics.detectors.base import Detector
from counterforensics.pixels import to_patches, to_pixels


def fgsm(patches: Tensor, detector: Detector, *, epsilon: int = 1, loss: str = "logit") -> Tensor:
    """Move every pixel `epsilon` grey levels towards "pristine" (Gragnaniello et al. 2018, Section III-B).

    patches: uint8 [n, c, h, w], manipulated.  detector: differentiable; its weights are left alone.
    epsilon: whole grey levels, 0..255; the paper's is 1, the weakest noise that survives storage.
    loss: `logit` (never saturates) or `cross-entropy` (the paper's, which leaves patches unchanged where the
    detector is sure).  A pixel without gradient stays where it is.
    Returns uint8 of the same shape on the same device.  Raises PixelError or AttackError.
    """
    return Fgsm(epsilon, loss).conceal(patches, check_target("fgsm", detector), seed=0).patches


@dataclass(frozen=True)
class Fgsm(GradientAttack):
    """FGSM as an attack of a study; see `fgsm`."""

    epsilon: int = 1
    loss: str = "logit"

    name = "fgsm"

    def __post_init__(self) -> None:
        check_whole("fgsm", "epsilon", self.epsilon, 0, 255, " of grey levels")
        check_loss("fgsm", self.loss)

    def conceal(self, patches: Tensor, detector: Detector, *, seed: int) -> Concealed:
        """As `GradientAttack.conceal`; nothing is left to chance."""
        pixels = to_pixels(patches)
        if not len(pixels):
            return nothing_concealed(patches)
        direction = evidence(pixels, detector, loss=self.loss).gradient.sign()
        concealed = to_patches(pixels - self.epsilon * direction)
        return Concealed(concealed, share_of_zeros(direction))
