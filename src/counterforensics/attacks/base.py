"""What an attack is: settings that become a function from stored patches to stored patches."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from counterforensics.detectors.base import Detector
from counterforensics.errors import AttackError
from counterforensics.photos.patches import Pairs

LOSSES = ("logit", "cross-entropy")


@dataclass(frozen=True)
class Concealed:
    """Patches with their traces hidden, as they would be stored."""

    patches: Tensor  # uint8 [n, c, h, w]
    zero_gradient: Tensor | None = None  # float64 [n]: share of pixels the attack got no direction for


@dataclass(frozen=True)
class Concealer:
    """A prepared attack: call it for the patches alone, or ask `conceal` for how it went, too."""

    conceal: Callable[[Tensor], Concealed]

    def __call__(self, patches: Tensor) -> Tensor:
        """uint8 [n, c, h, w] -> uint8 of the same shape, on the same device."""
        return self.conceal(patches).patches


@runtime_checkable
class Attack(Protocol):
    """A frozen dataclass of an attack's settings."""

    @property
    def needs_target(self) -> bool:
        """Whether the attacker holds a detector to attack."""

    @property
    def needs_gradient(self) -> bool:
        """Whether the target must be differentiable."""

    @property
    def needs_pairs(self) -> bool:
        """Whether the attacker learns from pairs of the training devices; the others' results do not depend on them."""

    def prepare(self, target: Detector | None, pairs: Pairs, *, seed: int) -> Concealer:
        """Ready the attack on `target`; `pairs` of training devices are for attacks that learn."""


def check_target(attack: str, target: Detector | None) -> Detector:
    """`target` if it has gradients; an AttackError that says what works otherwise."""
    if target is None:
        raise AttackError(f"{attack} needs a target detector, got none")
    if not target.differentiable:
        raise AttackError(
            f"{attack} needs gradients, and {type(target).__name__} has none; attack a differentiable detector "
            "(cozzolino2017 stands in for spam-svm)"
        )
    return target


def check_loss(attack: str, loss: str) -> str:
    """`loss` if it is one of LOSSES; an AttackError otherwise."""
    if loss not in LOSSES:
        raise AttackError(f"{attack}: loss must be {' or '.join(LOSSES)}, got {loss!r}")
    return loss


def evidence_gradient(pixels: Tensor, detector: Detector, *, loss: str) -> Tensor:
    """The direction in which each patch looks more manipulated, by the gradient of `loss`.

    pixels: float32 [n, c, h, w] in 0..255.  Returns float32 of the same shape.
    `logit` differentiates the logit itself. `cross-entropy` differentiates the cross-entropy against the true
    label "manipulated", as the paper does [inferred], with its sign turned to match; in float32 it is exactly
    0 from a logit near 17 upward, where the detector is too sure to be argued with.
    """
    pixels = pixels.detach().requires_grad_()
    with torch.enable_grad():
        logits = detector.logits(pixels)
        if loss == "logit":
            objective = logits.sum()
        else:
            objective = -binary_cross_entropy_with_logits(logits, torch.ones_like(logits), reduction="sum")
        (gradient,) = torch.autograd.grad(objective, pixels)
    if not torch.isfinite(gradient).all():
        raise AttackError(f"the gradient of {type(detector).__name__} holds NaN or infinity; check its weights")
    return gradient
