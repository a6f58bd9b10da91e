"""The contracts of a manipulation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from counterforensics.manipulations import MANIPULATIONS, Manipulation
from counterforensics.pixels import Pixels
from counterforensics.testing.common import (
    check_contract,
    check_flag,
    drawn_before,
    expect,
)
from counterforensics.testing.samples import (
    SIDE,
    sample_photo,
)


@dataclass(frozen=True)
class ManipulationCase:
    """A manipulation under test."""

    text: str

    @cached_property
    def manipulation(self) -> Manipulation:
        """The manipulation that the text form names."""
        return MANIPULATIONS.parse(self.text)


def names_a_manipulation(case: ManipulationCase) -> None:
    """A study can name it."""
    check_contract(case.text, MANIPULATIONS)
    check_flag(case.text, "moves_pixels", case.manipulation.moves_pixels)


def gives_another_photograph(case: ManipulationCase) -> None:
    """It returns uint8 [h, w, 3], shows a difference, and leaves what it was given alone."""
    for photo in (sample_photo(), sample_photo(97, 141), np.full((96, 96, 3), 255, np.uint8)):
        before = photo.copy()
        after = case.manipulation(photo)
        found = f"{after.dtype} {after.shape}" if isinstance(after, np.ndarray) else type(after).__name__
        right = isinstance(after, np.ndarray) and after.dtype == np.uint8 and after.ndim == 3 and after.shape[2] == 3
        expect(right, case.text, f"it must return uint8 [h, w, 3], returns {found}")
        expect(np.array_equal(photo, before), case.text, "it changes the photograph that it is given")
    photo = sample_photo()
    after = case.manipulation(photo)
    same = after.shape == photo.shape and np.array_equal(after, photo)
    expect(not same, case.text, "it leaves a noisy photograph as it was")


def gives_the_same_photograph_twice(case: ManipulationCase) -> None:
    """Neither an earlier call nor random numbers drawn elsewhere play a part."""
    results = []
    for seed in (1, 2):
        with drawn_before(case.text, seed):
            results.append(case.manipulation(sample_photo()))
    results.append(MANIPULATIONS.parse(case.text)(sample_photo()))
    same = all(np.array_equal(results[0], other) for other in results[1:])
    expect(same, case.text, "it gives another result for the same photograph; draw from a seed of its own")


def says_whether_pixels_move(case: ManipulationCase) -> None:
    """Without `moves_pixels`, the result has the same size and shows each thing where it was."""
    if case.manipulation.moves_pixels:
        return
    photo = sample_photo(128, 128)
    after = case.manipulation(photo)
    moved = f"the result is {after.shape[1]}x{after.shape[0]} for {photo.shape[1]}x{photo.shape[0]}"
    expect(after.shape == photo.shape, case.text, f"{moved}; say `moves_pixels = True`")
    here = _likeness(photo, after)
    turned = [np.rot90(photo, turns) for turns in range(4)]
    elsewhere = [*turned[1:], *(side[:, ::-1] for side in turned), np.roll(photo, 16, 0), np.roll(photo, 16, 1)]
    there = max(_likeness(other, after) for other in elsewhere)
    expect(not (there > 0.9 and there > here + 0.2), case.text, "it moves what is shown; say `moves_pixels = True`")


def _likeness(one: Pixels, other: Pixels) -> float:
    """The correlation of the means of 8x8 blocks, without its sign: 0..1."""
    blocks = [photo.reshape(16, 8, 16, 8, 3).mean((1, 3)).ravel() for photo in (one, other)]
    if min(block.std() for block in blocks) == 0:
        return 0.0
    return float(abs(np.corrcoef(*blocks)[0, 1]))


def needs_no_larger_photograph_than_it_says(case: ManipulationCase) -> None:
    """A photograph of `side_before(side)` leaves at least `side` pixels."""
    for side in (32, SIDE, 101):
        before = case.manipulation.side_before(side)
        expect(type(before) is int and before > 0, case.text, f"side_before({side}) must be a side, is {before!r}")
        for height, width in ((before, before), (before, before + 37)):
            left = min(case.manipulation(sample_photo(height, width)).shape[:2])
            told = (
                f"side_before({side}) is {before}, but of a photograph of {width}x{height} only {left} pixels are left"
            )
            expect(left >= side, case.text, told)


MANIPULATION_CHECKS: tuple[Callable[[ManipulationCase], None], ...] = (
    names_a_manipulation,
    gives_another_photograph,
    gives_the_same_photograph_twice,
    says_whether_pixels_move,
    needs_no_larger_photograph_than_it_says,
)
