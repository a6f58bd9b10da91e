"""The fast gradient sign method (Goodfellow et al. 2015), on stored grey levels."""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import Tensor

from counterforensics.attacks.base import (
    Concealed,
    Diagnostics,
    GradientAttack,
    check_whole,
    conceal_by,
    follows_gradients,
)
from counterforensics.attacks.gradients import check_loss, evidence, share_of_zeros
from counterforensics.detectors.base import Detector
from counterforensics.pixels import to_patches, to_pixels


@dataclass(frozen=True)
class Fgsm(GradientAttack):
    """FGSM as an attack of a study; see `fgsm`."""

    epsilon: int = 1
    loss: str = "logit"

    name = "fgsm"

    def __post_init__(self) -> None:
        check_whole(self.name, "epsilon", self.epsilon, 1, 255, " of grey levels")
        check_loss(self.name, self.loss)

    def bounded(self, levels: int) -> Fgsm:
        """As `Attack.bounded`."""
        return replace(self, epsilon=min(self.epsilon, levels))

    def conceal(self, patches: Tensor, detector: Detector, *, seed: int) -> Concealed:
        """As `GradientAttack.conceal`; nothing is left to chance."""
        return conceal_by(fgsm, self, patches, detector)


@follows_gradients(Fgsm)
def fgsm(
    patches: Tensor,
    detector: Detector,
    *,
    epsilon: int = Fgsm.epsilon,
    loss: str = Fgsm.loss,
    diagnostics: Diagnostics | None = None,
) -> Tensor:
    """Move every pixel `epsilon` grey levels towards "pristine" (Gragnaniello et al. 2018, Section III-B).

    patches: uint8 [n, c, h, w], manipulated.  detector: differentiable; its weights are left alone.
    epsilon: whole grey levels, 0..255; the paper's is 1, the weakest noise that survives storage.
    loss: `logit` (never saturates) or `cross-entropy` (the paper's, which leaves patches unchanged where the
    detector is sure).  A pixel without gradient stays where it is.  diagnostics: filled, if given.
    Returns uint8 of the same shape on the same device.  Raises PixelError or AttackError.

    >>> import torch
    >>> from types import SimpleNamespace
    >>> bright = SimpleNamespace(differentiable=True, logits=lambda pixels: pixels.mean((1, 2, 3)) - 128)
    >>> fgsm(torch.full((1, 1, 2, 2), 200, dtype=torch.uint8), bright, epsilon=3).flatten().tolist()
    [197, 197, 197, 197]
    """
    diagnostics = diagnostics or Diagnostics()
    pixels = to_pixels(patches)
    if not len(pixels):
        return patches.clone()
    # Goodfellow et al. 2015, Section 4: the gradient of the loss with respect to every pixel, by backpropagation.
    gradient = evidence(pixels, detector, loss=loss).gradient
    diagnostics.zero_gradient = share_of_zeros(gradient)
    # Goodfellow et al. 2015, Section 4: eta = epsilon sign(gradient). It is turned round, as the logit is to fall.
    noise = -epsilon * gradient.sign()
    # The paper, Section III-B: only whole grey levels are stored.
    diagnostics.unrounded = pixels + noise
    return to_patches(diagnostics.unrounded)
