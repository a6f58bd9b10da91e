"""The Jacobian-based saliency map attack (Papernot et al. 2016), on stored grey levels."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from counterforensics.attacks.base import (
    Concealed,
    GradientAttack,
    adapted,
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


def jsma(
    patches: Tensor,
    detector: Detector,
    *,
    theta: int = 2,
    share: float = 0.1,
    per_step: float = 0.01,
    loss: str = "logit",
) -> Tensor:
    """Change few pixels, the most salient first, until the verdict falls (Papernot et al. 2016).

    patches: uint8 [n, c, h, w], manipulated; those called pristine already are left alone.  detector: differentiable;
    its weights are left alone.  With one logit a pixel's saliency is what moving it by `theta` would gain by the
    gradient, summed over its channels.  theta: whole grey levels, 1..255.  share: of the pixels that may be
    changed, 0..1.  per_step: share of the pixels that change between two gradients, one pixel at least; fewer where
    the gradient says that fewer do.  The published attack changes two at a time.  loss: `logit` or `cross-entropy`.
    A pixel changes once; of a patch that is never concealed the state with the lowest logit is kept.
    Memory is a few values a pixel. Returns uint8 of the same shape on the same device.  Raises PixelError or
    AttackError.
    """
    settings = Jsma(theta, share, per_step, loss)
    return settings.conceal(patches, check_target("jsma", detector), seed=0).patches


@dataclass(frozen=True)
class Jsma(GradientAttack):
    """JSMA as an attack of a study; see `jsma`."""

    theta: int = 2
    share: float = 0.1
    per_step: float = 0.01
    loss: str = "logit"

    name = "jsma"

    def __post_init__(self) -> None:
        check_whole("jsma", "theta", self.theta, 1, 255, " of grey levels")
        check_between("jsma", "share", self.share, 0, 1)
        check_between("jsma", "per_step", self.per_step, 0, 1)
        check_loss("jsma", self.loss)

    def conceal(self, patches: Tensor, detector: Detector, *, seed: int) -> Concealed:
        """As `GradientAttack.conceal`; nothing is left to chance."""
        at = to_pixels(patches)
        if not len(at):
            return nothing_concealed(patches)
        best, left, zeros = at.clone(), torch.full_like(at[:, 0, 0, 0], math.inf), torch.empty(0)
        going = torch.arange(len(at), device=at.device)
        free = torch.ones_like(at[:, 0], dtype=torch.bool)  # pixels that have not changed
        reach, hoped = torch.ones_like(left), torch.zeros_like(left)
        budget = math.floor(self.share * free[0].numel())
        step = max(1, round(self.per_step * free[0].numel()))
        while True:
            seen = evidence(at, detector, loss=self.loss, above=0)
            better = seen.logits < left[going]
            best[going[better]], left[going[better]] = at[better], seen.logits[better]
            if not len(zeros):
                zeros, values = share_of_zeros(seen.gradient), seen.values
            reach = adapted(reach, hoped, values - seen.values)
            most = (budget - (~free).flatten(1).sum(1)).clamp_max(step)
            on = (seen.logits > 0) & (most > 0) & (seen.gradient != 0).flatten(1).any(1)
            if not on.any():
                return Concealed(to_patches(best), zeros)
            going, at, free, reach = going[on], at[on], free[on], reach[on]
            hoped, values = reach * seen.values[on], seen.values[on]
            at, free = _changed(at, free, seen.gradient[on], hoped, most[on], self.theta)


def _changed(
    at: Tensor, free: Tensor, gradient: Tensor, fall: Tensor, most: Tensor, theta: int
) -> tuple[Tensor, Tensor]:
    """The patches after their most salient free pixels moved by `theta`, and the pixels that are still free.

    As many as the evidence would take to fall by `fall` [n] if it were linear, and no more than `most` [n].
    """
    moved = (at - theta * gradient.sign()).clamp(0, 255)
    gains = ((at - moved) * gradient).sum(1).masked_fill(~free, 0).flatten(1)
    salient = gains.topk(int(most.max()), dim=1)
    before = salient.values.cumsum(1) - salient.values  # what the pixels before one gain
    rank = torch.arange(salient.values.shape[1], device=at.device)
    chosen = (before < fall[:, None]) & (rank < most[:, None]) & (salient.values > 0)
    changes = torch.zeros_like(free.flatten(1)).scatter(1, salient.indices, chosen).view_as(free)
    return torch.where(changes[:, None], moved, at), free & ~changes
