"""Descent on SPAM features (Marra et al. 2015; Gragnaniello et al. 2018, Section III-A)."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numba
import numpy as np
import numpy.typing as npt
from torch import Tensor

from counterforensics.attacks.base import Concealed, Concealer, check_between, check_whole
from counterforensics.attacks.spam_objective import (
    Objective,
    Plane,
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
from counterforensics.detectors.base import Detector, LinearInSpam
from counterforensics.errors import AttackError
from counterforensics.features.spam import DIMENSION
from counterforensics.photos.patches import Pairs, Patches

GOALS = ("flip", "closest", "pristine")

_PEAK = 255.0
_FLOOR = 1e-12  # keeps the root of a share that rounding took below 0

# A sweep that changes fewer pixels than this share has changed almost nothing.
_FEW = 0.001


def spam_descent(
    patches: Tensor,
    detector: Detector | None = None,
    *,
    goal: str = "flip",
    originals: Tensor | None = None,
    psnr: float = 45.0,
    confidence: float = 0.1,
    sweeps: int = 10,
    seed: int = 0,
) -> Tensor:
    """Change pixels by one grey level at a time, each time the best way, until the SPAM feature is where it should be.

    patches: uint8 [n, c, h, w], manipulated.  Every sweep visits all pixels in random order (iterated conditional
    modes) and moves each by +1, -1 or not at all, whichever brings the objective lowest, as long as the patch stays
    at `psnr` dB or more from what it was.  goal:
    `flip` lowers the logit of `detector`, a linear SVM on SPAM features, and stops at -`confidence`;
    `closest` approaches the nearest feature whose logit is -`confidence`, by the SVM's own standardised distance, aims
    anew before every sweep, and stops after the first that crossed;
    `pristine` approaches the feature of `originals`, uint8 of the same shape, what each patch was before it was
    manipulated, by the distance of unit-energy features; it needs no detector.
    sweeps: at most; all goals end when a sweep changes less than 0.1 % of the pixels.
    For `flip` and `closest` patches that `detector` calls pristine are left alone. RGB moves in all channels alike.
    Objective by Marra et al. 2015, who change the pixels of a gradient; visiting order, steps of one level and
    stopping are inferred.  Returns uint8 of the same shape.  Raises PixelError or AttackError.
    """
    attack = SpamDescent(goal, psnr, confidence, sweeps)
    nothing = Patches(())
    return attack.prepare(detector, Pairs(nothing, nothing), seed=seed)(patches, originals)


# What a sweep is to lower, given the roots of the feature as they stand; None where nothing is left to do.
Aim = Callable[[npt.NDArray[np.float64]], Objective | None]


@dataclass(frozen=True)
class SpamDescent:
    """SPAM descent as an attack of a study; see `spam_descent`."""

    goal: str = "flip"
    psnr: float = 45.0
    confidence: float = 0.1
    sweeps: int = 10

    needs_pairs: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if self.goal not in GOALS:
            raise AttackError(f"spam-descent: goal must be {' or '.join(GOALS)}, got {self.goal!r}")
        check_between("spam-descent", "psnr", self.psnr, 0, math.inf)
        check_between("spam-descent", "confidence", self.confidence, 0, math.inf)
        check_whole("spam-descent", "sweeps", self.sweeps, 1, 100_000, "")

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
        check_spam_target("spam-descent", target)

    def prepare(self, target: Detector | None, pairs: Pairs, *, seed: int) -> Concealer:
        """Nothing to learn: `pairs` are not used."""
        if self.goal == "pristine":
            return Concealer(lambda patches, originals: self._restored(patches, _checked(originals, patches), seed))
        score = check_spam_target("spam-descent", target)
        return Concealer(lambda patches, _: self._crossed(patches, score, seed))

    def _restored(self, patches: Tensor, originals: Tensor, seed: int) -> Concealed:
        """Every patch brought near the feature of its original."""
        before, after = planes(patches), []
        for plane, original in zip(before, planes(originals), strict=True):
            aim = _always(distance_objective(roots_of(original.levels, _FLOOR), np.ones(DIMENSION), _FLOOR))
            after.append(self._descend(plane, aim, _FLOOR, -math.inf, seed))
        return Concealed(moved(patches, before, after))

    def _crossed(self, patches: Tensor, score: LinearInSpam, seed: int) -> Concealed:
        """Every patch that is called manipulated brought across the boundary."""
        flips = self.goal == "flip"

        def aim(roots: npt.NDArray[np.float64]) -> Objective | None:
            if score.logit(roots) <= 0:
                return None
            return score_objective(score) if flips else self._nearest(roots, score)

        before, stop = planes(patches), -self.confidence if flips else -math.inf
        return Concealed(
            moved(patches, before, [self._descend(plane, aim, score.floor, stop, seed) for plane in before])
        )

    def _nearest(self, roots: npt.NDArray[np.float64], score: LinearInSpam) -> Objective:
        """Distance to the nearest roots across the boundary, each entry measured by how much it varies."""
        towards = score.weights * score.spread**2
        way = (score.logit(roots) + self.confidence) / (score.weights @ towards)
        return distance_objective(roots - way * towards, score.spread**-2.0, score.floor)

    def _descend(self, plane: Plane, aim: Aim, floor: float, stop: float, seed: int) -> npt.NDArray[np.int16]:
        """The luma of one patch after the descent: each sweep has its aim, and one without an aim is the end."""
        state, chance = followed(plane.levels, floor), plane.random(seed, "spam-descent")
        before = plane.levels.astype(np.int16)
        budget = before.size * _PEAK**2 / 10 ** (self.psnr / 10)
        for _ in range(self.sweeps):
            objective = aim(state.roots)
            if objective is None:
                break
            state = aimed(state, objective)
            order = chance.permutation(before.size)
            changed = sweep(*state, before, plane.lowest, plane.highest, order, budget, stop)
            if changed < _FEW * before.size:
                break
        return state.running.plane


def _always(objective: Objective) -> Aim:
    """The same aim, wherever the feature stands."""
    return lambda _: objective


def _checked(originals: Tensor | None, patches: Tensor) -> Tensor:
    """`originals` if they can belong to `patches`; an AttackError that says what works otherwise."""
    if originals is None:
        raise AttackError("spam-descent: goal pristine needs the pristine patches, as originals=, got none")
    if originals.shape != patches.shape:
        shapes = f"{tuple(originals.shape)} for patches of {tuple(patches.shape)}"
        raise AttackError(f"spam-descent: originals must have the shape of the patches, got {shapes}")
    return originals


@numba.njit(cache=True, nogil=True)
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

    The squared error from `before` stays within `budget`, every pixel within `lowest` and `highest`.
    """
    plane = running.plane
    width, changed = plane.shape[1], 0
    for pixel in order:
        y, x = pixel // width, pixel % width
        away = plane[y, x] - before[y, x]
        best, chosen = 0.0, 0
        for step in (1, -1):
            inside = lowest[y, x] <= plane[y, x] + step <= highest[y, x]
            if inside and ledger[1] + 2 * step * away + 1 <= budget:
                gain = gain_of(running, objective, values, roots, room, y, x, step)
                if gain < best:
                    best, chosen = gain, step
        if chosen != 0:
            move(running, objective, values, roots, room, y, x, chosen)
            ledger[0] += best
            ledger[1] += 2 * chosen * away + 1
            changed += 1
            if ledger[0] <= stop:
                break
    return changed
