"""DeepFool (Moosavi-Dezfooli et al. 2016), carried over to stored grey levels."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

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
from counterforensics.attacks.gradients import BestStates, adapted, check_loss, evidence, scaled, share_of_zeros
from counterforensics.detectors.base import Detector
from counterforensics.pixels import to_patches, to_pixels

# The scale of a step is found by doubling and halving, on the linear prediction alone: no detector is asked.
_DOUBLINGS = 20
_HALVINGS = 12


@dataclass(frozen=True)
class DeepFool(GradientAttack):
    """DeepFool as an attack of a study; see `deepfool`."""

    steps: int = 20
    overshoot: float = 0.02
    search: int = 3
    loss: str = "logit"
    lattice: bool = True

    name = "deepfool"
    version = 2

    def __post_init__(self) -> None:
        check_whole(self.name, "steps", self.steps, 1, 100_000, "")
        check_between(self.name, "overshoot", self.overshoot, 0, 10)
        check_whole(self.name, "search", self.search, 0, 100, "")
        check_loss(self.name, self.loss)
        check_yes_or_no(self.name, "lattice", self.lattice)

    def conceal(self, patches: Tensor, detector: Detector, *, seed: int) -> Concealed:
        """As `GradientAttack.conceal`; nothing is left to chance."""
        return conceal_by(deepfool, self, patches, detector)


@follows_gradients(DeepFool)
def deepfool(
    patches: Tensor,
    detector: Detector,
    *,
    steps: int = DeepFool.steps,
    overshoot: float = DeepFool.overshoot,
    search: int = DeepFool.search,
    loss: str = DeepFool.loss,
    lattice: bool = DeepFool.lattice,
    diagnostics: Diagnostics | None = None,
) -> Tensor:
    """Make the smallest change that takes a patch across the detector's boundary (Moosavi-Dezfooli et al. 2016).

    patches: uint8 [n, c, h, w], manipulated; those called pristine already are left alone.  detector: differentiable;
    its weights are left alone.  Every step replaces the detector by its linearisation and takes the shortest way
    across that plane's boundary. On stored grey levels that way is round(-t gradient) with the smallest t that
    crosses, because the k-th level of a pixel costs 2 k - 1 in squared error and gains the pixel's gradient; a
    step of the published length would mostly round to nothing.  steps: gradients at most.  overshoot: share of the
    first evidence by which steps aim beyond the boundary, 0..10.  search: verdicts spent on shortening the last step.
    loss: `logit` or `cross-entropy`.  lattice: False steps on real numbers, as published, and rounds the end alone.
    Of a patch that is never concealed the state with the lowest logit is kept.  diagnostics: filled, if given.
    Returns uint8 of the same shape on the same device.  Raises PixelError or AttackError.

    >>> from types import SimpleNamespace
    >>> bright = SimpleNamespace(differentiable=True, logits=lambda pixels: pixels.mean((1, 2, 3)) - 128)
    >>> deepfool(torch.full((1, 1, 2, 2), 130, dtype=torch.uint8), bright, overshoot=0.0).flatten().tolist()
    [128, 128, 128, 128]
    """
    diagnostics = diagnostics or Diagnostics()
    origin = to_pixels(patches)
    if not len(origin):
        return patches.clone()
    active = torch.arange(len(origin), device=origin.device)
    perturbation = torch.zeros_like(origin)  # the sum of all steps, on real numbers
    before_last = torch.zeros_like(origin)  # the sum without the last step
    best = BestStates(origin)
    reach = torch.ones_like(best.logits)
    seen = evidence(origin, detector, loss=loss)
    best.keep(active, origin, seen.logits)
    diagnostics.zero_gradient = share_of_zeros(seen.gradient)
    beyond = overshoot * seen.values
    for taken in range(1, steps + 1):
        # Algorithm 1: stop where the verdict has changed.
        resists = seen.logits > 0
        if not resists.any():
            break
        active = active[resists]
        values = seen.values[resists]
        gradient = seen.gradient[resists]
        hoped = values + beyond[active]
        # Algorithm 1: the shortest way to the boundary of the linearised detector, r = -f(x) gradient / |gradient|^2.
        length = _published_length(values, gradient)
        if lattice:
            # Rounding takes most of that: the shortest step whose rounded end lies beyond the boundary [inferred].
            length = _length_once_rounded(length, gradient, reach[active] * hoped, origin[active], perturbation[active])
        before_last[active] = perturbation[active]
        stepped = perturbation[active] - scaled(length, gradient)
        perturbation[active] = stepped.clamp(-origin[active], 255 - origin[active])
        shown = _shown(origin[active], perturbation[active], overshoot, lattice)
        seen = evidence(shown, detector, loss=loss, above=0 if taken < steps else math.inf)  # at last the verdict alone
        best.keep(active, shown, seen.logits)
        # Where the detector disagrees with its linearisation, the next step aims further [inferred].
        reach[active] = adapted(reach[active], hoped, values - seen.values)
    if lattice:
        _shorten_last_step(best, detector, origin, before_last, perturbation, search)
    diagnostics.unrounded = best.pixels
    return to_patches(best.pixels)


def _shown(origin: Tensor, perturbation: Tensor, overshoot: float, lattice: bool) -> Tensor:
    """The patches that the detector sees: as a file holds them, or the published ones on real numbers.

    The published perturbation ends on the boundary; a factor of 1 + overshoot takes it to the other side (Section 2).
    """
    if lattice:
        return _rounded(origin + perturbation)
    return (origin + (1 + overshoot) * perturbation).clamp(0, 255)


def _published_length(values: Tensor, gradient: Tensor) -> Tensor:
    """How many times the gradient the published step is: float32 [n]; 0 where there is no gradient."""
    squared = gradient.double().square().flatten(1).sum(1)
    return torch.where(squared > 0, values / squared, 0).float()


def _length_once_rounded(
    published: Tensor, gradient: Tensor, fall: Tensor, origin: Tensor, perturbation: Tensor
) -> Tensor:
    """How many times the gradient the shortest step is whose rounded end lowers the linear prediction by `fall` [n].

    perturbation: float32 [n, c, h, w], unrounded, of the steps before.
    """
    before = _rounded(origin + perturbation)

    def falls_enough(length: Tensor) -> Tensor:
        moved = before - _rounded(origin + (perturbation - scaled(length, gradient)))
        return (gradient * moved).flatten(1).sum(1) >= fall

    # Shorter than this, no pixel moves by half a grey level, unless the steps before left it on the way.
    steepest = gradient.abs().flatten(1).amax(1)
    shortest = torch.where(steepest > 0, 0.5 / steepest, 0)
    return _least(shortest.maximum(published), falls_enough)


def _shorten_last_step(
    best: BestStates, detector: Detector, origin: Tensor, before_last: Tensor, perturbation: Tensor, search: int
) -> None:
    """Halve the last step of each concealed patch, while the patch stays concealed [inferred]; `best` is changed."""
    moved = (before_last != perturbation).flatten(1).any(1)
    concealed = ((best.logits <= 0) & moved).nonzero()[:, 0]
    if not len(concealed):
        return
    start = before_last[concealed]
    last_step = perturbation[concealed] - start
    short = torch.zeros_like(best.logits[concealed])
    enough = torch.ones_like(short)
    for _ in range(search):
        middle = (short + enough) / 2
        shown = _rounded(origin[concealed] + (start + scaled(middle, last_step)))
        conceals = evidence(shown, detector, loss="logit", above=math.inf).logits <= 0
        best.pixels[concealed[conceals]] = shown[conceals]
        short = torch.where(conceals, short, middle)
        enough = torch.where(conceals, middle, enough)


def _rounded(pixels: Tensor) -> Tensor:
    """The pixels as a file holds them."""
    return pixels.round().clamp(0, 255)


def _least(length: Tensor, is_enough: Callable[[Tensor], Tensor]) -> Tensor:
    """The least length, float32 [n], that is enough, near enough; where none is, the largest tried."""
    short = torch.zeros_like(length)
    for _ in range(_DOUBLINGS):
        lacking = ~is_enough(length)
        if not lacking.any():
            break
        short = torch.where(lacking, length, short)
        length = torch.where(lacking, 2 * length, length)
    for _ in range(_HALVINGS):
        middle = (short + length) / 2
        enough = is_enough(middle)
        short = torch.where(enough, short, middle)
        length = torch.where(enough, middle, length)
    return length
