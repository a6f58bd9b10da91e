"""Thresholds other than 0: the best one, and those that held-out photographs give for few false alarms."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from counterforensics.detectors.calibration import calibrate, threshold_for, thresholds_of
from counterforensics.errors import TrainingError
from counterforensics.evaluation import auc, best_threshold, operating_points
from counterforensics.outcome import ROW_COLUMNS, TRAINING_COLUMNS
from counterforensics.photos.patches import Pairs, Patches
from counterforensics.ranking import OPERATING_POINTS
from tests.toys import LinearDetector

Logits = npt.NDArray[np.float32]
LARGEST = float(np.finfo(np.float32).max)


def logits(values: Sequence[float]) -> Logits:
    return np.array(values, dtype=np.float32)


# Few levels, so that many are tied; and any finite number.
TIED = st.lists(st.integers(-4, 4).map(float), min_size=1, max_size=20).map(logits)
ANY = st.lists(st.floats(-LARGEST, LARGEST, width=32), min_size=1, max_size=20).map(logits)
SOME = TIED | ANY


def right(pristine: Logits, manipulated: Logits, threshold: float) -> int:
    """The accuracy at a threshold, as a whole number: times twice the product of both class sizes."""
    quiet = int((pristine.astype(np.float64) <= threshold).sum())
    found = int((manipulated.astype(np.float64) > threshold).sum())
    return quiet * len(manipulated) + found * len(pristine)


@given(SOME, SOME)
def test_no_threshold_is_better_than_the_best(pristine: Logits, manipulated: Logits) -> None:
    # Verdicts change at logits alone, so these are all thresholds that there are.
    every = [-math.inf, *np.concatenate([pristine, manipulated]).astype(np.float64)]
    best = best_threshold(pristine, manipulated)
    assert right(pristine, manipulated, best) == max(right(pristine, manipulated, one) for one in every)


@given(SOME, SOME)
def test_of_several_best_thresholds_it_is_the_smallest(pristine: Logits, manipulated: Logits) -> None:
    best = best_threshold(pristine, manipulated)
    below = [one for one in np.concatenate([pristine, manipulated]).astype(np.float64) if one < best]
    # The verdicts at the largest logit below `best` are its own; those at all others are other ones.
    others = [-math.inf, *(one for one in below if one < max(below))] if below else []
    assert all(right(pristine, manipulated, one) < right(pristine, manipulated, best) for one in others)


@given(SOME, SOME)
def test_no_logit_equals_the_best_threshold(pristine: Logits, manipulated: Logits) -> None:
    every = np.concatenate([pristine, manipulated]).astype(np.float64)
    assert best_threshold(pristine, manipulated) not in every


@pytest.mark.parametrize(
    ("pristine", "manipulated", "expected", "accuracy"),
    [
        ([-3, -1], [1, 2], 0.0, 1.0),
        ([-LARGEST], [LARGEST], 0.0, 1.0),
        ([1], [1], 0.0, 0.5),  # nothing to tell apart: the smallest threshold, below both
        ([2, 3], [0, 1], -1.0, 0.5),  # the wrong way round
        ([0, 0, 5], [0, 5, 5], 2.5, 2 / 3),
        ([1], [np.nextafter(np.float32(1), np.float32(2))], 1 + 2**-24, 1.0),
    ],
)
def test_known_best_thresholds(
    pristine: list[float], manipulated: list[float], expected: float, accuracy: float
) -> None:
    before, after = logits(pristine), logits(manipulated)
    assert best_threshold(before, after) == expected
    photos = np.arange(len(before)), np.arange(len(after))
    assert operating_points(before, after, *photos, thresholds={}, seed=0)["best_acc"] == pytest.approx(accuracy)


@given(SOME, SOME, st.dictionaries(st.sampled_from(["fpr_01", "fpr_05"]), st.floats(-5, 5)), st.booleans())
def test_figures_at_thresholds_are_counted(
    pristine: Logits, manipulated: Logits, thresholds: dict[str, float], tied: bool
) -> None:
    if tied:  # a logit that equals its threshold is not above it
        thresholds = dict.fromkeys(thresholds, float(pristine[0]))
    photos = np.arange(len(pristine)), np.arange(len(manipulated))
    found = operating_points(pristine, manipulated, *photos, thresholds=thresholds, seed=0)
    for name, at in thresholds.items():
        assert found[f"fpr_at_{name}"] == sum(float(one) > at for one in pristine) / len(pristine)
        assert found[f"tpr_at_{name}"] == sum(float(one) > at for one in manipulated) / len(manipulated)
        assert 0 <= found[f"tpr_at_{name}_low"] <= found[f"tpr_at_{name}"] <= found[f"tpr_at_{name}_high"] <= 1
    best = best_threshold(pristine, manipulated)
    share = right(pristine, manipulated, best) / (2 * len(pristine) * len(manipulated))
    assert found["best_acc"] == pytest.approx(share)
    assert found.keys() <= set(ROW_COLUMNS)
    assert len(found) == 3 + 4 * len(thresholds)


def test_without_patches_of_a_class_there_is_no_best_threshold() -> None:
    nothing, photo = np.empty(0, np.float32), np.empty(0, np.int64)
    found = operating_points(nothing, logits([1, 2]), photo, np.arange(2), thresholds={"fpr_01": 1.5}, seed=0)
    assert "best_acc" not in found
    assert found["tpr_at_fpr_01"] == 0.5
    assert math.isnan(found["fpr_at_fpr_01"])


@given(SOME, st.floats(0, 1))
def test_a_threshold_lets_through_what_it_may_and_no_smaller_one_does(pristine: Logits, rate: float) -> None:
    threshold = threshold_for(pristine, rate)
    assert threshold in pristine
    allowed = rate * len(pristine) + 1e-9
    assert (pristine > threshold).sum() <= allowed
    assert all((pristine > smaller).sum() > allowed for smaller in pristine[pristine < threshold])


@pytest.mark.parametrize("count", [1, 19, 20, 99, 100, 101, 384, 700])
def test_a_share_that_comes_out_even_is_used_up(count: int) -> None:
    pristine = np.random.default_rng(count).permutation(count).astype(np.float32)
    for rate in OPERATING_POINTS.values():
        hundredths = round(100 * rate) * count
        assert (pristine > threshold_for(pristine, rate)).sum() == hundredths // 100


def test_a_threshold_needs_patches() -> None:
    with pytest.raises(TrainingError, match="a threshold needs pristine patches, got none"):
        threshold_for(np.empty(0, np.float32), 0.01)


def stripes(levels: Sequence[int]) -> Patches:
    """A photograph for every ten levels, and in it a flat patch a level."""
    flat = np.array(levels, dtype=np.uint8).reshape(-1, 10, 1, 1, 1)
    return Patches(tuple(np.broadcast_to(flat, (*flat.shape[:2], 1, 8, 8)).copy()))


def test_a_detector_is_calibrated_on_held_out_patches_alone() -> None:
    # A patch of level l has the logit l - 100; the photographs 0 to 3 are held out, the others would say otherwise.
    detector = LinearDetector(torch.full((1, 1, 8, 8), 1 / 64), bias=-100.0)
    trained = [200] * 60
    pristine, manipulated = [*range(81, 121), *trained], [*range(91, 131), *trained]
    found = calibrate(detector, Pairs(stripes(pristine), stripes(manipulated), frozenset(range(4))))
    held_out = logits(range(-19, 21)), logits(range(-9, 31))
    assert found["validation_patches"] == 40
    assert found["validation_acc"] == (20 / 40 + 30 / 40) / 2
    assert found["validation_auc"] == auc(*held_out)
    assert (found["threshold_fpr_01"], found["threshold_fpr_05"]) == (20.0, 18.0)
    assert found.keys() <= set(TRAINING_COLUMNS)
    assert thresholds_of(found) == {"fpr_01": 20.0, "fpr_05": 18.0}


def test_without_held_out_pairs_nothing_is_said_of_a_detector() -> None:
    detector = LinearDetector(torch.ones(1, 1, 8, 8))
    assert calibrate(detector, Pairs(stripes(range(10)), stripes(range(10)), frozenset())) == {}
    assert thresholds_of({"steps": 3, "threshold_fpr_01": None, "threshold_fpr_05": 2}) == {"fpr_05": 2.0}
