"""The Jacobian-based saliency map attack (Papernot et al. 2016), on stored grey levels."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from counterforensics.attacks.base import (
    Concealed,
    Diagnostics,
    GradientAttack,
    check_between,
    check_whole,
    conceal_by,
    follows_gradients,
)
from counterforensics.attacks.gradients import BestStates, adapted, check_loss, evidence, share_of_zeros
from counterforensics.detectors.base import Detector
from counterforensics.pixels import to_patches, to_pixels


@dataclass(frozen=True)
class Jsma(GradientAttack):
    """JSMA as an attack of a study; see `jsma`."""

    theta: int = 2
    share: float = 0.1
    per_step: float = 0.01
    loss: str = "logit"

    name = "jsma"
    version = 2

    def __post_init__(self) -> None:
        check_whole(self.name, "theta", self.theta, 1, 255, " of grey levels")
        check_between(self.name, "share", self.share, 1e-6, 1)
        check_between(self.name, "per_step", self.per_step, 0, 1)
        check_loss(self.name, self.loss)

    def conceal(self, patches: Tensor, detector: Detector, *, seed: int) -> Concealed:
        """As `GradientAttack.conceal`; nothing is left to chance."""
        return conceal_by(jsma, self, patches, detector)


@follows_gradients(Jsma)
def jsma(
    patches: Tensor,
    detector: Detector,
    *,
    theta: int = Jsma.theta,
    share: float = Jsma.share,
    per_step: float = Jsma.per_step,
    loss: str = Jsma.loss,
    diagnostics: Diagnostics | None = None,
) -> Tensor:
    """Change few pixels, the most salient first, until the verdict falls (Papernot et al. 2016).

    patches: uint8 [n, c, h, w], manipulated; those called pristine already are left alone.  detector: differentiable;
    its weights are left alone.  With one logit a pixel's saliency is the fall that the gradient predicts if the pixel
    moves by `theta`, summed over its channels.  theta: whole grey levels, 1..255.  share: of the pixels that may be
    changed, 0..1.  per_step: share of the pixels that change between two gradients, 0..1, one pixel at least; fewer
    where the gradient says that fewer suffice. The published attack changes two at a time.
    loss: `logit` or `cross-entropy`.  A pixel changes once. Of a patch that is never concealed the state with the
    lowest logit is kept.  diagnostics: filled, if given.
    Memory is a few values a pixel. Returns uint8 of the same shape on the same device.  Raises PixelError or
    AttackError.

    >>> from types import SimpleNamespace
    >>> bright = SimpleNamespace(differentiable=True, logits=lambda pixels: pixels.mean((1, 2, 3)) - 128)
    >>> found = jsma(torch.full((1, 1, 10, 10), 129, dtype=torch.uint8), bright, theta=20)
    >>> found.unique(return_counts=True)
    (tensor([109, 129], dtype=torch.uint8), tensor([ 5, 95]))
    """
    diagnostics = diagnostics or Diagnostics()
    iterate = to_pixels(patches)
    if not len(iterate):
        return patches.clone()
    active = torch.arange(len(iterate), device=iterate.device)
    unchanged = torch.ones_like(iterate[:, 0], dtype=torch.bool)
    best = BestStates(iterate)
    reach = torch.ones_like(best.logits)
    budget = math.floor(share * unchanged[0].numel())
    at_once = max(1, round(per_step * unchanged[0].numel()))
    # Algorithm 1, the forward derivative: how the verdict rises with each pixel.
    seen = evidence(iterate, detector, loss=loss)
    best.keep(active, iterate, seen.logits)
    diagnostics.zero_gradient = share_of_zeros(seen.gradient)
    while True:
        # Algorithm 1, the saliency map: the fall that the derivative predicts if a pixel moves by theta, for the first
        # and last time [once is inferred].
        moved = (iterate - theta * seen.gradient.sign()).clamp(0, 255)
        saliency = ((iterate - moved) * seen.gradient).sum(1).masked_fill(~unchanged, 0)
        # Algorithm 1, the loop: while the verdict stands, pixels may be changed, and one of them is salient.
        allowed = budget - (~unchanged).flatten(1).sum(1)
        goes_on = (seen.logits > 0) & (allowed > 0) & (saliency > 0).flatten(1).any(1)
        if not goes_on.any():
            break
        active = active[goes_on]
        values = seen.values[goes_on]
        # Algorithm 1, the modification: the most salient pixels move [as many as the prediction asks for: inferred].
        hoped = reach[goes_on] * values
        chosen = _most_salient(saliency[goes_on], hoped, allowed[goes_on].clamp_max(at_once))
        iterate = torch.where(chosen[:, None], moved[goes_on], iterate[goes_on])
        unchanged = unchanged[goes_on] & ~chosen
        seen = evidence(iterate, detector, loss=loss, above=0)
        best.keep(active, iterate, seen.logits)
        reach = adapted(reach[goes_on], hoped, values - seen.values)
    diagnostics.unrounded = best.pixels
    return to_patches(best.pixels)


def _most_salient(saliency: Tensor, fall: Tensor, most: Tensor) -> Tensor:
    """The most salient pixels, bool [n, h, w], by a saliency of float32 [n, h, w].

    As many as together promise `fall`, float32 [n]; one at least, if any is salient; `most`, int64 [n], at most.
    """
    ranked = saliency.flatten(1).topk(int(most.max()), dim=1)
    promised_before = ranked.values.cumsum(1) - ranked.values
    rank = torch.arange(ranked.values.shape[1], device=saliency.device)
    needed = (promised_before < fall[:, None]) | (rank == 0)
    chosen = needed & (rank < most[:, None]) & (ranked.values > 0)
    return torch.zeros_like(saliency, dtype=torch.bool).flatten(1).scatter(1, ranked.indices, chosen).view_as(saliency)
