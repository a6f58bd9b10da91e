"""Projected gradient descent (Madry et al. 2018) on stored grey levels."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass

import torch
from torch import Tensor

from counterforensics.attacks.base import (
    Concealed,
    GradientAttack,
    check_between,
    check_loss,
    check_target,
    check_whole,
    evidence,
    nothing_concealed,
    share_of_zeros,
)
from counterforensics.detectors.base import Detector
from counterforensics.pixels import to_patches, to_pixels
from counterforensics.seeds import seed_for


def pgd(
    patches: Tensor,
    detector: Detector,
    *,
    epsilon: int = 2,
    steps: int = 10,
    step: float = 1.0,
    restarts: int = 0,
    momentum: float = 0.0,
    confidence: float = 0.0,
    loss: str = "logit",
    lattice: bool = True,
    seed: int = 0,
) -> Tensor:
    """Walk towards "pristine" within `epsilon` grey levels of each pixel (Madry et al. 2018; the paper, Section III-B).

    patches: uint8 [n, c, h, w], manipulated.  detector: differentiable; its weights are left alone.
    epsilon: whole grey levels, 0..255.  steps: gradients at most.  step: grey levels by which every pixel moves
    along the gradient's sign; fractions add up.  restarts: further walks, from random points within epsilon, for
    patches that the ones before did not conceal.  momentum: share of the direction that is kept from step to step
    (Dong et al. 2018).  confidence: a patch is concealed, and left alone, as soon as its logit is at most minus this
    (infinity: never); of one that never is, the state with the lowest logit is kept.
    loss: `logit` or `cross-entropy`.  lattice: the detector sees every state rounded, as it would be stored, and
    gradients are those of what it sees; False rounds the end alone, as published attacks do, and may lose it.
    seed: of the restarts; a patch's random points depend on its own pixels and on no other patch.
    Returns uint8 of the same shape on the same device.  Raises PixelError or AttackError.
    """
    settings = Pgd(epsilon, steps, step, restarts, momentum, confidence, loss, lattice)
    return settings.conceal(patches, check_target("pgd", detector), seed=seed).patches


@dataclass(frozen=True)
class Pgd(GradientAttack):
    """PGD as an attack of a study; see `pgd`."""

    epsilon: int = 2
    steps: int = 10
    step: float = 1.0
    restarts: int = 0
    momentum: float = 0.0
    confidence: float = 0.0
    loss: str = "logit"
    lattice: bool = True

    name = "pgd"

    def __post_init__(self) -> None:
        check_whole("pgd", "epsilon", self.epsilon, 0, 255, " of grey levels")
        check_whole("pgd", "steps", self.steps, 1, 100_000, "")
        check_whole("pgd", "restarts", self.restarts, 0, 100_000, "")
        check_between("pgd", "step", self.step, 1e-3, 255)
        check_between("pgd", "momentum", self.momentum, 0, 1)
        check_between("pgd", "confidence", self.confidence, 0, float("inf"))
        check_loss("pgd", self.loss)

    def conceal(self, patches: Tensor, detector: Detector, *, seed: int) -> Concealed:
        """As `GradientAttack.conceal`."""
        pixels = to_pixels(patches)
        if not len(pixels):
            return nothing_concealed(patches)
        best, logits, zeros = self.walk(pixels, pixels, detector)
        for restart in range(self.restarts):
            resisting = (logits > -self.confidence).nonzero()[:, 0]
            if not len(resisting):
                break
            starts = torch.stack([self._random_point(pixels[k], seed, restart) for k in resisting.tolist()])
            found, left, _ = self.walk(pixels[resisting], starts, detector)
            better = left < logits[resisting]
            best[resisting[better]], logits[resisting[better]] = found[better], left[better]
        return Concealed(to_patches(best), zeros)

    def walk(self, origin: Tensor, start: Tensor, detector: Detector) -> tuple[Tensor, Tensor, Tensor]:
        """One walk around `origin`, float32 [n, c, h, w], from `start`, for each patch until it is concealed.

        Returns the best states, their logits [n], and the share of pixels without a direction at the start [n].
        """
        best, left, zeros = origin.clone(), torch.full_like(origin[:, 0, 0, 0], math.inf), torch.empty(0)
        going, at, velocity = torch.arange(len(origin), device=origin.device), start, torch.zeros_like(start)
        for taken in range(self.steps + 1):
            shown = at.round() if self.lattice else at
            above = -self.confidence if taken < self.steps else math.inf
            seen = evidence(shown, detector, loss=self.loss, above=above)
            better = seen.logits < left[going]
            best[going[better]], left[going[better]] = shown[better], seen.logits[better]
            on = seen.logits > above
            if taken == 0:
                zeros = share_of_zeros(seen.gradient)
            if not on.any():
                break
            going, velocity = going[on], self.momentum * velocity[on] + _of_unit_size(seen.gradient[on])
            at = self._within(at[on] - self.step * velocity.sign(), origin[going])
        return best, left, zeros

    def _within(self, at: Tensor, origin: Tensor) -> Tensor:
        """The nearest point that is at most epsilon from `origin` and can be stored."""
        return at.clamp(origin - self.epsilon, origin + self.epsilon).clamp(0, 255)

    def _random_point(self, origin: Tensor, seed: int, restart: int) -> Tensor:
        """A point within epsilon of a patch [c, h, w] that depends on its pixels, not on the patches beside it."""
        digest = hashlib.sha256(origin.cpu().numpy().tobytes()).hexdigest()
        generator = torch.Generator().manual_seed(seed_for(seed, "pgd", restart, digest))
        moved = torch.randint(-self.epsilon, self.epsilon + 1, origin.shape, generator=generator)
        return self._within(origin + moved.to(origin), origin)


def _of_unit_size(gradient: Tensor) -> Tensor:
    """Each patch's gradient divided by its mean absolute value, so that momentum weighs directions alone."""
    size = gradient.abs().flatten(1).mean(1).clamp_min(torch.finfo(gradient.dtype).tiny)
    return gradient / size[:, None, None, None]
