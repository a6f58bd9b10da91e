"""DeepFool (Moosavi-Dezfooli et al. 2016), carried over to what can be stored."""

from __future__ import annotations

import math
from collections.abc import Callable
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

# The scale of a step is found by doubling and halving, on the linear prediction alone: no detector is asked.
_DOUBLINGS, _HALVINGS = 20, 12


def deepfool(
    patches: Tensor,
    detector: Detector,
    *,
    steps: int = 20,
    overshoot: float = 0.02,
    search: int = 3,
    loss: str = "logit",
    lattice: bool = True,
) -> Tensor:
    """The smallest change that the detector's verdict does not survive (Moosavi-Dezfooli et al. 2016).

    patches: uint8 [n, c, h, w], manipulated; those called pristine already are left alone.  detector: differentiable;
    its weights are left alone.  Every step replaces the detector by its linearisation and takes the shortest way
    across that plane's boundary. On stored grey levels that way is round(-t gradient) with the smallest t that
    crosses, because the k-th level of a pixel costs 2 k - 1 in squared error and gains the pixel's gradient; a
    step of the published length would mostly round to nothing.  steps: gradients at most.  overshoot: share of the
    first evidence by which steps aim beyond the boundary.  search: verdicts spent on shortening the last step.
    loss: `logit` or `cross-entropy`.  lattice: False steps on real numbers, as published, and rounds the end alone.
    Of a patch that is never concealed the state with the lowest logit is kept.
    Returns uint8 of the same shape on the same device.  Raises PixelError or AttackError.
    """
    settings = DeepFool(steps, overshoot, search, loss, lattice)
    return settings.conceal(patches, check_target("deepfool", detector), seed=0).patches


@dataclass(frozen=True)
class DeepFool(GradientAttack):
    """DeepFool as an attack of a study; see `deepfool`."""

    steps: int = 20
    overshoot: float = 0.02
    search: int = 3
    loss: str = "logit"
    lattice: bool = True

    name = "deepfool"

    def __post_init__(self) -> None:
        check_whole("deepfool", "steps", self.steps, 1, 100_000, "")
        check_between("deepfool", "overshoot", self.overshoot, 0, 10)
        check_whole("deepfool", "search", self.search, 0, 100, "")
        check_loss("deepfool", self.loss)

    def conceal(self, patches: Tensor, detector: Detector, *, seed: int) -> Concealed:
        """As `GradientAttack.conceal`; nothing is left to chance."""
        pixels = to_pixels(patches)
        if not len(pixels):
            return nothing_concealed(patches)
        shown, zeros = self.walk(pixels, detector)
        return Concealed(to_patches(shown), zeros)

    def walk(self, origin: Tensor, detector: Detector) -> tuple[Tensor, Tensor]:
        """From `origin`, float32 [n, c, h, w], across the boundary; where each ends, and its share of zeros [n]."""
        best, left = origin.clone(), torch.full_like(origin[:, 0, 0, 0], math.inf)
        going = torch.arange(len(origin), device=origin.device)
        offset = torch.zeros_like(origin)  # all steps so far; what is shown is rounded, this is not
        before = torch.zeros_like(origin)  # without the last one
        zeros, beyond, values, reach = torch.empty(0), torch.empty(0), torch.empty(0), torch.ones_like(left)
        for taken in range(self.steps + 1):
            shown = self._shown(origin[going], offset[going])
            above = 0 if taken < self.steps else math.inf
            seen = evidence(shown, detector, loss=self.loss, above=above)
            better = seen.logits < left[going]
            best[going[better]], left[going[better]] = shown[better], seen.logits[better]
            if taken == 0:
                zeros, beyond = share_of_zeros(seen.gradient), self.overshoot * seen.values
            else:
                reach[going] = adapted(reach[going], values + beyond[going], values - seen.values)
            on = seen.logits > above
            if not on.any():
                break
            going, values, gradient = going[on], seen.values[on], seen.gradient[on]
            before[going] = offset[going]
            fall = reach[going] * (values + beyond[going])
            offset[going] = self._stepped(values, gradient, fall, origin[going], offset[going], shown[on])
        crossed = (left <= 0) & (before != offset).flatten(1).any(1)
        if self.lattice and crossed.any():
            parts = (part[crossed] for part in (origin, before, offset))
            best[crossed] = self._shortened(detector, best[crossed], *parts)
        return best, zeros

    def _shown(self, origin: Tensor, offset: Tensor) -> Tensor:
        """What the detector gets to see of a change."""
        if self.lattice:
            return (origin + offset).round().clamp(0, 255)
        return (origin + (1 + self.overshoot) * offset).clamp(0, 255)

    def _stepped(
        self, values: Tensor, gradient: Tensor, fall: Tensor, origin: Tensor, offset: Tensor, shown: Tensor
    ) -> Tensor:
        """The offset after the shortest step by which the evidence would fall by `fall` [n], were it linear.

        On real numbers the published step: `values` alone, as the overshoot is added to what is shown.
        """
        length = gradient.double().square().flatten(1).sum(1)
        scale = torch.where(length > 0, values / length, 0).float()
        if self.lattice:

            def falls(scale: Tensor) -> Tensor:
                moved = shown - self._shown(origin, offset - _times(scale, gradient))
                return (gradient * moved).flatten(1).sum(1) >= fall

            steepest = gradient.abs().flatten(1).amax(1)
            scale = _least(torch.where(steepest > 0, 0.5 / steepest, 0).maximum(scale), falls)
        return (offset - _times(scale, gradient)).clamp(-origin, 255 - origin)

    def _shortened(self, detector: Detector, best: Tensor, origin: Tensor, before: Tensor, offset: Tensor) -> Tensor:
        """The shortest part of the last step, found by halving, that still crosses."""
        low, high = torch.zeros_like(origin[:, 0, 0, 0]), torch.ones_like(origin[:, 0, 0, 0])
        for _ in range(self.search):
            middle = (low + high) / 2
            shown = self._shown(origin, before + _times(middle, offset - before))
            crosses = evidence(shown, detector, loss=self.loss, above=math.inf).logits <= 0
            best[crosses] = shown[crosses]
            low, high = torch.where(crosses, low, middle), torch.where(crosses, middle, high)
        return best


def _times(scale: Tensor, of: Tensor) -> Tensor:
    """Each patch of [n, c, h, w] times its scale [n]."""
    return scale[:, None, None, None] * of


def _least(scale: Tensor, holds: Callable[[Tensor], Tensor]) -> Tensor:
    """The least scale [n], near enough, at which it `holds` [n]; where none does, the largest tried."""
    low = torch.zeros_like(scale)
    for _ in range(_DOUBLINGS):
        short = ~holds(scale)
        if not short.any():
            break
        low, scale = torch.where(short, scale, low), torch.where(short, 2 * scale, scale)
    for _ in range(_HALVINGS):
        middle = (low + scale) / 2
        enough = holds(middle)
        low, scale = torch.where(enough, low, middle), torch.where(enough, middle, scale)
    return scale
