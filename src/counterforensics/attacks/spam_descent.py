"""Descent on SPAM features (Marra et al. 2015; Gragnaniello et al. 2018, Section III-A)."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from torch import Tensor

from counterforensics.attacks.base import (
    Attack,
    Concealed,
    PreparedAttack,
    check_between,
    check_choice,
    check_whole,
    checked_by,
)
from counterforensics.attacks.spam_objective import (
    Objective,
    aimed,
    check_spam_target,
    distance_objective,
    followed,
    gain_of,
    move,
    moved,
    planes,
    roots_of,
    score_objective,
)
from counterforensics.compiled import compiled
from counterforensics.detectors.base import Detector, LinearInSpam
from counterforensics.errors import AttackError
from counterforensics.features.spam import DIMENSION
from counterforensics.photos.patches import Pairs
from counterforensics.pixels import check_patches

GOALS = ("flip", "closest", "pristine")

_PEAK = 255.0
_NO_CHANGE = 3000.0  # dB; more allows no more
_FLOOR = 1e-12  # keeps the root of a share that rounding took below 0

# A sweep that changes fewer pixels than this share has changed almost nothing.
_FEW = 0.001

Roots = npt.NDArray[np.float64]  # [338], of the feature as it stands


@dataclass(frozen=True)
class SpamDescent(Attack):
    """SPAM descent as an attack of a study; see `spam_descent`."""

    goal: str = "flip"
    psnr: float = 45.0
    confidence: float = 0.1
    sweeps: int = 10

    name = "spam-descent"

    def __post_init__(self) -> None:
        check_choice(self.name, "goal", self.goal, GOALS)
        check_between(self.name, "psnr", self.psnr, 0, 110)  # above, not one level of one pixel may change
        check_between(self.name, "confidence", self.confidence, 0, math.inf)
        check_whole(self.name, "sweeps", self.sweeps, 1, 100_000, "")

    @property
    def needs_target(self) -> bool:
        """Restoring the pristine feature takes no detector."""
        return self.goal != "pristine"

    @property
    def needs_originals(self) -> bool:
        """Restoring the pristine feature takes the pristine patches."""
        return self.goal == "pristine"

    def check_target(self, target: Detector) -> None:
        """As `Attack.check_target`."""
        check_spam_target(self.name, target)

    def prepare(self, target: Detector | None, pairs: Pairs, *, seed: int) -> PreparedAttack:
        """Nothing to learn: `pairs` are not used."""
        if self.needs_target:
            check_spam_target(self.name, target)

        def conceal(patches: Tensor, originals: Tensor | None) -> Concealed:
            return Concealed(spam_descent(patches, target, **asdict(self), originals=originals, seed=seed))

        return PreparedAttack(conceal)


@checked_by(SpamDescent)
def spam_descent(
    patches: Tensor,
    detector: Detector | None = None,
    *,
    goal: str = SpamDescent.goal,
    originals: Tensor | None = None,
    psnr: float = SpamDescent.psnr,
    confidence: float = SpamDescent.confidence,
    sweeps: int = SpamDescent.sweeps,
    seed: int = 0,
) -> Tensor:
    """Change pixels by one grey level at a time, each time the best way, until the SPAM feature is where it should be.

    patches: uint8 [n, c, h, w], manipulated.  Every sweep visits all pixels in random order (iterated conditional
    modes) and moves each by +1, -1 or not at all, whichever brings the objective lowest, as long as the patch stays
    at `psnr` dB or more from the given one.  goal:
    `flip` lowers the logit of `detector`, a linear SVM on SPAM features, and stops at -`confidence`;
    `closest` approaches the nearest feature whose logit is -`confidence`, by the SVM's own standardised distance, aims
    anew before every sweep, and stops after the first that crossed;
    `pristine` approaches the feature of `originals`, uint8 of the same shape, the patches before they were
    manipulated, by the distance of unit-energy features; it needs no detector.
    sweeps: at most; all goals end when a sweep changes less than 0.1 % of the pixels.
    For `flip` and `closest` patches that `detector` calls pristine are left alone. RGB moves in all channels alike.
    The objective is by Marra et al. 2015, who change the pixels of a gradient; visiting order, steps of one level and
    stopping are inferred.  Returns uint8 of the same shape.  Raises PixelError or AttackError.

    >>> import torch
    >>> ramp = torch.arange(0, 192, 3, dtype=torch.uint8).expand(1, 1, 16, 64).contiguous()
    >>> torch.equal(spam_descent(ramp, goal="pristine", originals=ramp), ramp)  # nothing is left to restore
    True
    """
    before = planes(patches)
    if goal == "pristine":
        aims = _pristine_features(originals, patches)
    else:
        aims = [_across(check_spam_target(SpamDescent.name, detector), goal, float(confidence))] * len(patches)
    after = []
    for plane, aim in zip(before, aims, strict=True):
        state = followed(plane.levels, aim.floor)
        origin = plane.levels.astype(np.int16)
        random = plane.random(seed, SpamDescent.name)
        # The paper, Eq. 2: distortion stays below a threshold; here a PSNR, as the squared error that it allows.
        budget = origin.size * _PEAK**2 / 10 ** (min(psnr, _NO_CHANGE) / 10)
        for _ in range(sweeps):
            # The paper, Eq. 2: the distance to f_prist, or to f_close as seen from here.
            objective = aim.objective(state.roots)
            if objective is None:
                break
            state = aimed(state, objective)
            # The paper, Section III-A: local changes, as in iterated conditional modes [in random order: inferred].
            order = random.permutation(origin.size)
            changed = sweep(*state, origin, plane.lowest, plane.highest, order, budget, aim.stop)
            # Stop when almost nothing changes [inferred].
            if changed < _FEW * origin.size:
                break
        after.append(state.running.plane)
    return moved(patches, before, after)


class Aim(NamedTuple):
    """Where the feature of a patch should go.

    objective: the function to lower, given the roots of the feature as they stand; None where nothing is left to do.
    floor: of the roots, sqrt(feature + floor).  stop: the value of the objective at which a sweep ends.
    """

    objective: Callable[[Roots], Objective | None]
    floor: float
    stop: float


def _pristine_features(originals: Tensor | None, patches: Tensor) -> list[Aim]:
    """f_prist of each patch, by the distance of unit-energy features.  Raises AttackError or PixelError."""
    if originals is None:
        raise AttackError("spam-descent: goal pristine needs the pristine patches, as originals=, got none")
    if check_patches(originals).shape != patches.shape:
        shapes = f"{tuple(originals.shape)} for patches of {tuple(patches.shape)}"
        raise AttackError(f"spam-descent: originals must have the shape of the patches, got {shapes}")
    return [_towards(roots_of(original.levels, _FLOOR)) for original in planes(originals)]


def _towards(roots: Roots) -> Aim:
    """The same roots, wherever the feature stands."""
    distance = distance_objective(roots, np.ones(DIMENSION), _FLOOR)
    return Aim(lambda _: distance, _FLOOR, -math.inf)


def _across(score: LinearInSpam, goal: str, confidence: float) -> Aim:
    """The other side of the boundary: by the score itself (`flip`) or towards f_close (`closest`)."""

    def objective(roots: Roots) -> Objective | None:
        if score.logit(roots) <= 0:
            return None
        return score_objective(score) if goal == "flip" else _distance_to_closest(roots, score, confidence)

    return Aim(objective, score.floor, -confidence if goal == "flip" else -math.inf)


def _distance_to_closest(roots: Roots, score: LinearInSpam, confidence: float) -> Objective:
    """Distance to the nearest roots across the boundary, each entry measured by how much it varies."""
    direction = score.weights * score.spread**2
    length = (score.logit(roots) + confidence) / (score.weights @ direction)
    return distance_objective(roots - length * direction, score.spread**-2.0, score.floor)


@compiled(nogil=True)
def sweep(
    running: Any,
    objective: Any,
    values: Any,
    roots: Any,
    room: Any,
    ledger: Any,
    before: Any,
    lowest: Any,
    highest: Any,
    order: Any,
    budget: float,
    stop: float,
) -> int:
    """Visit the pixels in `order` until the objective is at most `stop`.  Returns how many changed.

    The first six are the parts of a `Followed`. The squared error from `before`, int16 [h, w], stays within `budget`,
    every pixel within `lowest` and `highest`, int16 [h, w].
    """
    plane = running.plane
    width = plane.shape[1]
    changed = 0
    for pixel in order:
        y = pixel // width
        x = pixel % width
        away = plane[y, x] - before[y, x]
        best = 0.0
        chosen = 0
        for step in (1, -1):
            inside = lowest[y, x] <= plane[y, x] + step <= highest[y, x]
            if inside and ledger[1] + 2 * step * away + 1 <= budget:
                gain = gain_of(running, objective, values, roots, room, y, x, step)
                if gain < best:
                    best = gain
                    chosen = step
        if chosen != 0:
            move(running, objective, values, roots, room, y, x, chosen)
            ledger[0] += best
            ledger[1] += 2 * chosen * away + 1
            changed += 1
            if ledger[0] <= stop:
                break
    return changed
