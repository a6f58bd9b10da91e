"""The objectives of attacks on SPAM features, followed pixel by pixel without computing a feature anew."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from counterforensics.attacks.base import check_given
from counterforensics.compiled import compiled
from counterforensics.detectors.base import LinearInSpam, ScoredBySpam
from counterforensics.errors import AttackError
from counterforensics.features.incremental import (
    Room,
    Running,
    apply_moves,
    deltas_of,
    feature,
    moves_of,
    room,
    running,
)
from counterforensics.features.spam import DIMENSION, check_side
from counterforensics.pixels import Pixels, check_patches, luma, to_pixels
from counterforensics.seeds import seed_for


class Objective(NamedTuple):
    """A sum over the entries v of the feature, square (v + floor) + linear sqrt(v + floor), and a constant.

    The logit of an SVM on the roots of the feature has this form, and so has a squared distance of roots.
    square, linear: float64 [338].
    """

    square: npt.NDArray[np.float64]
    linear: npt.NDArray[np.float64]
    floor: float
    constant: float


class Followed(NamedTuple):
    """A patch, its feature and an objective, as they stand after the changes so far."""

    running: Running
    objective: Objective
    values: npt.NDArray[np.float64]  # [338], the feature
    roots: npt.NDArray[np.float64]  # [338], sqrt(values + floor)
    room: Room
    ledger: npt.NDArray[np.float64]  # [2]: the objective, and the squared error of all changes


def roots_of(plane: Pixels, floor: float) -> npt.NDArray[np.float64]:
    """The roots of the feature of a patch, uint8 [h, w]: float64 [338]."""
    return np.asarray(np.sqrt(feature(running(plane)) + floor))


def score_objective(score: LinearInSpam) -> Objective:
    """The SVM's logit."""
    return Objective(np.zeros_like(score.weights), score.weights, score.floor, score.offset)


def distance_objective(roots: npt.NDArray[np.float64], weights: npt.NDArray[np.float64], floor: float) -> Objective:
    """Squared distance to `roots`, each entry weighed: float64 [338] both."""
    return Objective(weights, -2 * weights * roots, floor, float(weights @ roots**2))


def followed(plane: Pixels, floor: float) -> Followed:
    """The beginning: a patch, uint8 [h, w], as it is, and nothing to lower yet."""
    state = running(plane)
    values = feature(state)
    nothing = Objective(np.zeros(DIMENSION), np.zeros(DIMENSION), floor, 0.0)
    return Followed(state, nothing, values, np.sqrt(values + floor), room(), np.zeros(2))


def aimed(state: Followed, objective: Objective) -> Followed:
    """The same patch with another objective, whose floor is the same."""
    state.ledger[0] = objective.square @ state.roots**2 + objective.linear @ state.roots + objective.constant
    return state._replace(objective=objective)


class Plane(NamedTuple):
    """The luma of a patch, and how far each of its pixels can go: all channels move alike, and luma with them.

    levels: uint8 [h, w].  lowest, highest: int16 [h, w].
    """

    levels: Pixels
    lowest: npt.NDArray[np.int16]
    highest: npt.NDArray[np.int16]

    def random(self, seed: int, purpose: str) -> np.random.Generator:
        """Chance that depends on the patch itself and on no other."""
        return np.random.default_rng(seed_for(seed, purpose, hashlib.sha256(self.levels.tobytes()).hexdigest()))


def planes(patches: Tensor) -> list[Plane]:
    """The luma of stored patches, uint8 [n, c, h, w], h and w at least 8.  Raises PixelError."""
    check_side(*check_patches(patches).shape[2:])
    levels = luma(to_pixels(patches))[:, 0].to(torch.uint8).cpu().numpy()
    darkest = patches.amin(1).cpu().numpy().astype(np.int16)
    brightest = patches.amax(1).cpu().numpy().astype(np.int16)
    return [Plane(*parts) for parts in zip(levels, levels - darkest, levels + (255 - brightest), strict=True)]


def moved(patches: Tensor, before: list[Plane], after: Sequence[npt.NDArray[np.int16]]) -> Tensor:
    """The patches, uint8 [n, c, h, w], after their luma went from `before` to `after`, [h, w] each."""
    result = patches.clone()
    for patch, plane, end in zip(result, before, after, strict=True):
        patch += torch.from_numpy((end - plane.levels).astype(np.uint8)).to(patches.device)  # modulo 256, as uint8 adds
    return result


def check_spam_target(attack: str, target: object) -> LinearInSpam:
    """How `target` scores, if it is a linear SVM on SPAM features; an AttackError that says what works otherwise."""
    detector = check_given(attack, target)
    if not isinstance(detector, ScoredBySpam):
        raise AttackError(f"{attack} attacks a linear SVM on SPAM features (spam-svm), got {type(detector).__name__}")
    return detector.spam_score()


# Kernels take the parts of `Followed` one by one: a tuple within a tuple costs them half of their speed.


@compiled(nogil=True)
def gain_of(running: Any, objective: Any, values: Any, roots: Any, room: Any, y: int, x: int, step: int) -> float:
    """By how much the objective would rise if the pixel at (y, x) moved by `step` grey levels."""
    gain = 0.0
    for k in range(deltas_of(running, moves_of(running, y, x, step, room), room)):
        entry = room.touched[k]
        root = np.sqrt(values[entry] + room.deltas[entry] + objective.floor)
        gain += objective.square[entry] * room.deltas[entry] + objective.linear[entry] * (root - roots[entry])
        room.seen[entry] = 0
        room.deltas[entry] = 0.0
    return gain


@compiled(nogil=True)
def move(running: Any, objective: Any, values: Any, roots: Any, room: Any, y: int, x: int, step: int) -> None:
    """Move the pixel at (y, x) by `step` grey levels; the ledger is the caller's."""
    count = moves_of(running, y, x, step, room)
    for k in range(deltas_of(running, count, room)):
        entry = room.touched[k]
        values[entry] += room.deltas[entry]
        roots[entry] = np.sqrt(values[entry] + objective.floor)
        room.seen[entry] = 0
        room.deltas[entry] = 0.0
    apply_moves(running, y, x, step, count, room)
