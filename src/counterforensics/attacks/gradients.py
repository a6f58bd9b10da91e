"""Shared by attacks that follow gradients: a detector's evidence and its gradient, the best states, the next reach."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from counterforensics.attacks.base import check_choice
from counterforensics.detectors.base import Detector, check_logits
from counterforensics.errors import AttackError

LOSSES = ("logit", "cross-entropy")
LN2 = math.log(2)


def check_loss(attack: str, loss: str) -> None:
    """Raise AttackError unless `loss` is one of LOSSES."""
    check_choice(attack, "loss", loss, LOSSES)


class Evidence(NamedTuple):
    """How manipulated a detector finds a batch, as an attack sees it."""

    logits: Tensor  # float32 [n]; above 0 the verdict is "manipulated"
    values: Tensor  # float32 [n], the function that is to fall; 0 where the logit is 0
    gradient: Tensor  # float32 [n, c, h, w], of the values


def evidence(pixels: Tensor, detector: Detector, *, loss: str, above: float = -math.inf) -> Evidence:
    """How manipulated each patch looks, and in which direction it would look more so.

    pixels: float32 [n, c, h, w] in grey levels 0..255.  loss: the function that is to fall.
    `logit` is the logit itself. `cross-entropy` is the cross-entropy against the true label "manipulated", which the
    paper uses [inferred], with its sign changed and ln 2 added, so that its boundary is 0 too. In float32 its gradient
    is exactly 0 from a logit near 17 upward.
    above: the gradient takes two thirds of the work; it is not computed, but zeros, where no logit is above this.
    Raises AttackError if a logit or the gradient is NaN or infinite, or the logits are not float32 [n].
    """
    pixels = pixels.detach()
    wants_gradient = above < math.inf
    with torch.set_grad_enabled(wants_gradient):
        logits = check_logits(
            detector.logits(pixels.requires_grad_(wants_gradient)), len(pixels), detector, AttackError
        )
        if logits.dtype != torch.float32:
            raise AttackError(f"{type(detector).__name__} must give float32 logits, got {logits.dtype}")
        if loss == "logit":
            values = logits
        else:
            values = LN2 - binary_cross_entropy_with_logits(logits, torch.ones_like(logits), reduction="none")
        if not wants_gradient or not (logits > above).any():
            return Evidence(logits.detach(), values.detach(), torch.zeros_like(pixels))
        gradient = _gradient_of(values, pixels, detector)
    if not torch.isfinite(gradient).all():
        raise AttackError(f"the gradient of {type(detector).__name__} holds NaN or infinity; check its weights")
    return Evidence(logits.detach(), values.detach(), gradient)


def _gradient_of(values: Tensor, pixels: Tensor, detector: Detector) -> Tensor:
    """How the values, float32 [n], rise with each pixel, float32 [n, c, h, w].  Raises AttackError if nothing tells."""
    gradient = None
    if values.requires_grad:
        (gradient,) = torch.autograd.grad(values.sum(), pixels, allow_unused=True)
    if gradient is None:
        name = type(detector).__name__
        raise AttackError(
            f"{name} says that it is differentiable, and its logits have no gradient with respect to the pixels"
        )
    return gradient


def share_of_zeros(gradient: Tensor) -> Tensor:
    """Share of pixels without a direction: float [n, c, h, w] -> float64 [n], 0..1.

    >>> share_of_zeros(torch.tensor([[[[0.0, 0.0], [0.0, -2.0]]]])).item()
    0.75
    """
    return (gradient == 0).flatten(1).double().mean(1)


def scaled(scale: Tensor, pixels: Tensor) -> Tensor:
    """Each patch of float32 [n, c, h, w] times its scale, float32 [n]."""
    return scale[:, None, None, None] * pixels


class BestStates:
    """Of every patch the state with the lowest logit so far.

    pixels: float32 [n, c, h, w], the origin at first.  logits: float32 [n], infinite at first.
    """

    def __init__(self, origin: Tensor) -> None:
        self.pixels = origin.clone()
        self.logits = torch.full_like(origin[:, 0, 0, 0], math.inf)

    def keep(self, which: Tensor, pixels: Tensor, logits: Tensor) -> None:
        """Keep those states that are better.  which: int64 [m], the patches whose states, [m, c, h, w], these are."""
        better = logits < self.logits[which]
        self.pixels[which[better]] = pixels[better]
        self.logits[which[better]] = logits[better]

    def above(self, limit: float) -> Tensor:
        """The patches whose lowest logit is above `limit`: int64 [m]."""
        return (self.logits > limit).nonzero()[:, 0]


def adapted(reach: Tensor, hoped: Tensor, fell: Tensor) -> Tensor:
    """How many times further than its linear prediction a step should reach: float32 [n], at least 1.

    reach: of the last step.  hoped: the fall of the values that it aimed at.  fell: the fall that it brought.
    The reach doubles where the step brought less than half of the fall, and halves elsewhere: on features that count,
    a gradient says little about a whole grey level [inferred].

    >>> adapted(torch.tensor([4.0, 4.0]), hoped=torch.tensor([2.0, 2.0]), fell=torch.tensor([0.5, 1.5])).tolist()
    [8.0, 2.0]
    """
    return torch.where(fell < hoped / 2, 2 * reach, (reach / 2).clamp_min(1))
