"""Projected gradient descent (Madry et al. 2018) on stored grey levels."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from counterforensics.attacks.base import (
    Concealed,
    Diagnostics,
    GradientAttack,
    check_between,
    check_whole,
    check_yes_or_no,
    conceal_by,
    follows_gradients,
)
from counterforensics.attacks.gradients import BestStates, check_loss, evidence, share_of_zeros
from counterforensics.attacks.uploads import DetectorAfterUpload, check_upload_of_patches, parse_uploads, profiles
from counterforensics.detectors.base import Detector
from counterforensics.laundering import Chain, Platform
from counterforensics.manipulations.base import Manipulation
from counterforensics.pixels import to_patches, to_pixels
from counterforensics.seeds import seed_for


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
    through: str = ""

    name = "pgd"
    version = 2

    def __post_init__(self) -> None:
        check_whole(self.name, "epsilon", self.epsilon, 1, 255, " of grey levels")
        check_whole(self.name, "steps", self.steps, 1, 100_000, "")
        check_whole(self.name, "restarts", self.restarts, 0, 100_000, "")
        check_between(self.name, "step", self.step, 1e-3, 255)
        check_between(self.name, "momentum", self.momentum, 0, 1)
        check_between(self.name, "confidence", self.confidence, 0, math.inf)
        check_loss(self.name, self.loss)
        check_yes_or_no(self.name, "lattice", self.lattice)
        parse_uploads(self.through)

    @property
    def uploads(self) -> tuple[Platform | Chain, ...]:
        """As `Attack.uploads`."""
        return parse_uploads(self.through)

    @property
    def files(self) -> tuple[Path, ...]:
        """The profiles of platforms that do not come with the package."""
        return profiles(self.through)

    def check_patches(self, side: int, manipulation: Manipulation) -> None:
        """As `Attack.check_patches`: an upload may not reduce a patch."""
        check_upload_of_patches(self.name, self.through, side)

    def bounded(self, levels: int) -> Pgd:
        """As `Attack.bounded`."""
        return replace(self, epsilon=min(self.epsilon, levels))

    def conceal(self, patches: Tensor, detector: Detector, *, seed: int) -> Concealed:
        """As `GradientAttack.conceal`."""
        return conceal_by(pgd, self, patches, detector, seed=seed)


@follows_gradients(Pgd)
def pgd(
    patches: Tensor,
    detector: Detector,
    *,
    epsilon: int = Pgd.epsilon,
    steps: int = Pgd.steps,
    step: float = Pgd.step,
    restarts: int = Pgd.restarts,
    momentum: float = Pgd.momentum,
    confidence: float = Pgd.confidence,
    loss: str = Pgd.loss,
    lattice: bool = Pgd.lattice,
    through: str = Pgd.through,
    seed: int = 0,
    diagnostics: Diagnostics | None = None,
) -> Tensor:
    """Walk towards "pristine" within `epsilon` grey levels of each pixel (Madry et al. 2018; the paper, Section III-B).

    patches: uint8 [n, c, h, w], manipulated.  detector: differentiable; its weights are left alone.
    epsilon: whole grey levels, 0..255.  steps: gradients at most.  step: grey levels by which every pixel moves
    along the gradient's sign, 0.001..255; fractions add up.  restarts: further walks, from random points within
    epsilon, for patches that the walks before did not conceal.  momentum: share of the direction that is kept from step
    to step, 0..1 (Dong et al. 2018).  confidence: a patch is concealed, and left alone, as soon as its logit is at most
    minus this (infinity: never). Of a patch that is never concealed, the state with the lowest logit is kept.
    loss: `logit` or `cross-entropy`.  lattice: the detector sees every state rounded, as it would be stored, and
    gradients are taken there; False rounds the end alone, as published attacks do, and may lose the effect.
    through: platforms joined by `+`, such as `telegram` or `none+jpeg:80`: the detector sees the patches that come back
    from an upload, each patch uploaded by itself, and its logit is the mean over the platforms (Athalye et al. 2018).
    seed: of the restarts; a patch's random points depend on its own pixels and on no other patch.
    diagnostics: filled, if given.
    Returns uint8 of the same shape on the same device.  Raises PixelError or AttackError.

    >>> from types import SimpleNamespace
    >>> bright = SimpleNamespace(differentiable=True, logits=lambda pixels: pixels.mean((1, 2, 3)) - 128)
    >>> pgd(torch.tensor([[[[129, 129], [200, 200]]]], dtype=torch.uint8), bright, epsilon=40).flatten().tolist()
    [119, 119, 190, 190]
    """
    diagnostics = diagnostics or Diagnostics()
    confidence = float(confidence)  # a whole number of any size is one
    if uploads := parse_uploads(through):
        detector = DetectorAfterUpload(detector, uploads)
    origin = to_pixels(patches)
    if not len(origin):
        return patches.clone()
    best = BestStates(origin)
    # The first walk begins at the patches, each restart at random points around those that still resist
    # (Madry et al. 2018, Section 3.1).
    for walk in range(restarts + 1):
        active = best.above(-confidence)
        if not len(active):
            break
        iterate = origin if walk == 0 else _random_points(origin[active], epsilon, seed, restart=walk - 1)
        velocity = torch.zeros_like(iterate)
        for taken in range(steps + 1):
            # The detector sees a file's whole grey levels. After the last step only its verdict is of use.
            shown = iterate.round() if lattice else iterate
            limit = -confidence if taken < steps else math.inf
            is_first = walk == 0 and taken == 0  # of every patch, whatever the verdict: that is noted
            seen = evidence(shown, detector, loss=loss, above=-math.inf if is_first else limit)
            best.keep(active, shown, seen.logits)
            if is_first:
                diagnostics.zero_gradient = share_of_zeros(seen.gradient)
            # Patches that are concealed take no further step.
            resists = seen.logits > limit
            if not resists.any():
                break
            active = active[resists]
            # Dong et al. 2018, Eq. 6: momentum collects gradients of unit size; without it, velocity is the gradient.
            velocity = momentum * velocity[resists] + _of_unit_size(seen.gradient[resists])
            # Madry et al. 2018, Section 2.1: a step along the sign, projected onto the ball around the patch.
            moved = iterate[resists] - step * velocity.sign()
            iterate = _projected(moved, origin[active], epsilon)
    diagnostics.unrounded = best.pixels
    return to_patches(best.pixels)


def _projected(pixels: Tensor, origin: Tensor, epsilon: int) -> Tensor:
    """The nearest point that is at most epsilon from `origin` and within 0..255."""
    return pixels.clamp(origin - epsilon, origin + epsilon).clamp(0, 255)


def _random_points(origins: Tensor, epsilon: int, seed: int, *, restart: int) -> Tensor:
    """A random point within epsilon of each patch, which depends on its own pixels and not on the patches beside it."""
    points = []
    for origin in origins:
        digest = hashlib.sha256(origin.cpu().numpy().tobytes()).hexdigest()
        generator = torch.Generator().manual_seed(seed_for(seed, "pgd", restart, digest))
        noise = torch.randint(-epsilon, epsilon + 1, origin.shape, generator=generator)
        points.append(_projected(origin + noise.to(origin), origin, epsilon))
    return torch.stack(points)


def _of_unit_size(gradient: Tensor) -> Tensor:
    """Each patch's gradient divided by its mean absolute value, so that momentum weighs directions alone."""
    size = gradient.abs().flatten(1).mean(1).clamp_min(torch.finfo(gradient.dtype).tiny)
    return gradient / size[:, None, None, None]
