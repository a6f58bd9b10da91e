"""What an attack is: settings that become a function from stored patches to stored patches."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from counterforensics.detectors.base import Detector
from counterforensics.errors import AttackError
from counterforensics.learning.course import SILENT, Course, Learned
from counterforensics.photos.patches import Pairs

LOSSES = ("logit", "cross-entropy")
LN2 = math.log(2)
PROCESSOR = torch.device("cpu")


@dataclass(frozen=True)
class Concealed:
    """Patches with their traces hidden, as they would be stored."""

    patches: Tensor  # uint8 [n, c, h, w]
    zero_gradient: Tensor | None = None  # float64 [n]: share of pixels the attack got no direction for


def nothing_concealed(patches: Tensor) -> Concealed:
    """What an attack makes of no patches at all."""
    return Concealed(patches.clone(), torch.empty(0, dtype=torch.float64))


def share_of_zeros(gradient: Tensor) -> Tensor:
    """Share of pixels without a direction: float [n, c, h, w] -> float64 [n]."""
    return (gradient == 0).flatten(1).double().mean(1)


class Conceal(Protocol):
    """What a prepared attack does to one batch."""

    def __call__(self, patches: Tensor, originals: Tensor | None) -> Concealed:
        """patches, and for an attack that needs them the pristine ones they were made from: uint8 [n, c, h, w]."""


@dataclass(frozen=True)
class Concealer:
    """A prepared attack: call it for the patches alone, or ask `conceal` for how it went, too."""

    conceal: Conceal
    device: torch.device = PROCESSOR  # where it works, if it has no target

    def __call__(self, patches: Tensor, originals: Tensor | None = None) -> Tensor:
        """uint8 [n, c, h, w] -> uint8 of the same shape, on the same device."""
        return self.conceal(patches, originals).patches


@runtime_checkable
class Attack(Protocol):
    """A frozen dataclass of an attack's settings."""

    @property
    def needs_target(self) -> bool:
        """Whether the attacker holds a detector to attack."""

    @property
    def needs_pairs(self) -> bool:
        """Whether the attacker learns from pairs of the training devices; the others' results do not depend on them."""

    @property
    def needs_originals(self) -> bool:
        """Whether the attacker still holds the pristine patches behind those to conceal."""

    def check_target(self, target: Detector) -> None:
        """Raise AttackError, and say what works, if this kind of detector cannot be attacked; weights do not matter."""

    def prepare(self, target: Detector | None, pairs: Pairs, *, seed: int) -> Concealer:
        """Ready the attack on `target`; `pairs` of training devices are for attacks that learn."""


@runtime_checkable
class LearnedAttack(Attack, Protocol):
    """An attack that learns something worth keeping: a study trains it once and conceals with what it stored."""

    @property
    def patches_seen(self) -> int:
        """How many patches pass while it learns."""

    @property
    def spelled_out(self) -> Mapping[str, Any]:
        """All that the result of learning depends on beside the pairs and the seed, as JSON values."""

    def taken(self) -> Mapping[str, Any] | None:
        """The record of what was learned elsewhere; None where it is to be learned.  Raises WeightsError."""

    def build(self) -> Learned:
        """What is learned, with every tensor in its place, untrained."""

    def learn(self, pairs: Pairs, *, seed: int, course: Course = SILENT) -> Learned:
        """Learn from `pairs` of the training devices.  Raises TrainingError."""

    def concealer(self, learned: Learned) -> Concealer:
        """Ready the attack with what was learned."""


class GradientAttack:
    """An attack that needs a target with gradients and nothing else; its settings are a frozen dataclass."""

    needs_target: ClassVar[bool] = True
    needs_pairs: ClassVar[bool] = False
    needs_originals: ClassVar[bool] = False
    name: ClassVar[str]

    def check_target(self, target: Detector) -> None:
        """As `Attack.check_target`."""
        check_target(self.name, target)

    def conceal(self, patches: Tensor, detector: Detector, *, seed: int) -> Concealed:
        """Conceal one batch, uint8 [n, c, h, w], from a detector that has gradients."""
        raise NotImplementedError

    def prepare(self, target: Detector | None, pairs: Pairs, *, seed: int) -> Concealer:
        """Nothing to learn: `pairs` are not used."""
        detector = check_target(self.name, target)
        return Concealer(lambda patches, originals: self.conceal(patches, detector, seed=seed))


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


def check_whole(attack: str, setting: str, value: int, least: int, most: int, unit: str) -> None:
    """Raise AttackError unless `value` is a whole number between `least` and `most`."""
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise AttackError(f"{attack}: {setting} must be a whole number{unit}, {least}..{most}, got {value!r}")


def check_between(attack: str, setting: str, value: float, least: float, most: float) -> None:
    """Raise AttackError unless `value` is a number between `least` and `most`."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
        raise AttackError(f"{attack}: {setting} must lie between {least:g} and {most:g}, got {value!r}")


class Evidence(NamedTuple):
    """What a detector makes of a batch, as an attack sees it."""

    logits: Tensor  # float32 [n]; above 0 the verdict is "manipulated"
    values: Tensor  # float32 [n], what is to fall; 0 where the logit is 0
    gradient: Tensor  # float32 [n, c, h, w], of the values


def evidence(pixels: Tensor, detector: Detector, *, loss: str, above: float = -math.inf) -> Evidence:
    """How manipulated each patch looks, and in which direction it would look more so.

    pixels: float32 [n, c, h, w] in 0..255.  What is to fall, by `loss`:
    `logit` is the logit itself. `cross-entropy` is the cross-entropy against the true label "manipulated", as
    the paper has it [inferred], turned and moved so that its boundary is 0 too; in float32 its gradient is exactly
    0 from a logit near 17 upward, where the detector is too sure to be argued with.
    above: where no logit is above it the gradient, two thirds of the work, is not computed but zeros.
    Raises AttackError if a logit or the gradient is NaN or infinite.
    """
    pixels = pixels.detach()
    asked = above < math.inf
    with torch.set_grad_enabled(asked):
        logits = detector.logits(pixels.requires_grad_(asked))
        if loss == "logit":
            values = logits
        else:
            values = LN2 - binary_cross_entropy_with_logits(logits, torch.ones_like(logits), reduction="none")
        _check_finite("verdict", logits, detector)
        if not asked or not (logits > above).any():
            return Evidence(logits.detach(), values.detach(), torch.zeros_like(pixels))
        (gradient,) = torch.autograd.grad(values.sum(), pixels)
    _check_finite("gradient", gradient, detector)
    return Evidence(logits.detach(), values.detach(), gradient)


def _check_finite(what: str, tensor: Tensor, detector: Detector) -> None:
    if not torch.isfinite(tensor).all():
        raise AttackError(f"the {what} of {type(detector).__name__} holds NaN or infinity; check its weights")


def adapted(reach: Tensor, hoped: Tensor, fell: Tensor) -> Tensor:
    """How many times further than the linear prediction asks the next step should reach, [n], at least 1.

    Twice as far where the last step fell short of half of what was hoped for, half as far elsewhere: on features
    that count, a gradient says little about a whole grey level.
    """
    return torch.where(fell < hoped / 2, 2 * reach, (reach / 2).clamp_min(1))
