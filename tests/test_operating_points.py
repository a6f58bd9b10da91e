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
from scipy.optimize import brentq
from scipy.stats import norm
from sklearn.metrics import det_curve, roc_curve

from counterforensics.detectors.calibration import calibrate, threshold_for, thresholds_of, why_no_threshold
from counterforensics.error_rates import roc
from counterforensics.errors import TrainingError
from counterforensics.evaluation import auc, best_threshold, eer_interval, equal_error_rate, operating_points
from counterforensics.intervals import wilson
from counterforensics.outcome import ROW_COLUMNS, TRAINING_COLUMNS, Scores
from counterforensics.photos.patches import Pairs, Patches
from counterforensics.ranking import OPERATING_POINTS
from counterforensics.report.figures.det import det_pictures, normal_deviates
from counterforensics.report.labels import Labels
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
    assert len(found) == 6 + 4 * len(thresholds)


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


@pytest.mark.parametrize("count", [1, 19, 20, 99, 100, 101, 384, 999, 1000, 2000])
def test_a_share_that_comes_out_even_is_used_up(count: int) -> None:
    pristine = np.random.default_rng(count).permutation(count).astype(np.float32)
    for rate in OPERATING_POINTS.values():
        thousandths = round(1000 * rate) * count
        assert (pristine > threshold_for(pristine, rate)).sum() == thousandths // 1000


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
    assert found["validation_photos"] == 4
    assert why_no_threshold(found, "fpr_001").endswith("and the detector has 40 of 4")


def test_without_held_out_pairs_nothing_is_said_of_a_detector() -> None:
    detector = LinearDetector(torch.ones(1, 1, 8, 8))
    assert calibrate(detector, Pairs(stripes(range(10)), stripes(range(10)), frozenset())) == {}
    assert thresholds_of({"steps": 3, "threshold_fpr_01": None, "threshold_fpr_05": 2}) == {"fpr_05": 2.0}


@pytest.mark.parametrize(("photographs", "each", "known"), [(10, 100, True), (9, 200, False), (20, 49, False)])
def test_the_threshold_for_one_in_a_thousand_takes_enough_patches_of_enough_photographs(
    photographs: int, each: int, known: bool
) -> None:
    detector = LinearDetector(torch.full((1, 1, 2, 2), 1 / 4))
    levels = np.random.default_rng(0).integers(0, 256, (photographs, each, 1, 1, 1), dtype=np.uint8)
    held_out = Patches(tuple(np.broadcast_to(levels, (photographs, each, 1, 2, 2)).copy()))
    found = calibrate(detector, Pairs(held_out, held_out, frozenset(range(photographs))))
    assert ("threshold_fpr_001" in found) == known
    assert (why_no_threshold(found, "fpr_001") == "") == known
    assert (found["validation_patches"], found["validation_photos"]) == (photographs * each, photographs)
    if known:
        assert found["threshold_fpr_001"] == np.sort(levels.ravel())[-2]  # one patch of 1,000 may lie above


def test_an_older_detector_lacks_the_threshold_for_one_in_a_thousand_and_says_why() -> None:
    older = {"validation_patches": 5000, "threshold_fpr_01": 1.0, "threshold_fpr_05": 0.5}
    assert why_no_threshold(older, "fpr_001").startswith("an older version trained the detector")
    assert why_no_threshold(older, "fpr_01") == ""


# --- equal errors, and the curve that they lie on, beside scikit-learn's


def by_class(pristine: Logits, manipulated: Logits) -> tuple[npt.NDArray[np.int64], Logits]:
    return np.repeat([0, 1], [len(pristine), len(manipulated)]), np.concatenate([pristine, manipulated])


@given(SOME, SOME)
def test_the_equal_error_rate_is_where_the_roc_curve_of_scikit_learn_crosses_the_diagonal(
    pristine: Logits, manipulated: Logits
) -> None:
    # scikit-learn adds float32 logits up, and the largest ones overflow.
    classes, logits = by_class(pristine, manipulated)
    fpr, tpr, _ = roc_curve(classes, logits.astype(np.float64), drop_intermediate=False)
    expected = brentq(lambda rate: 1 - rate - np.interp(rate, fpr, tpr), 0, 1, xtol=1e-12)
    assert equal_error_rate(pristine, manipulated) == pytest.approx(expected, abs=1e-9)


@given(TIED, TIED)  # scikit-learn adds float32 logits up, and the largest ones overflow
def test_a_det_curve_is_that_of_scikit_learn(pristine: Logits, manipulated: Logits) -> None:
    fpr, tpr = roc(pristine, manipulated)
    ours = {(round(float(x), 9), round(float(y), 9)) for x, y in zip(fpr, 1 - tpr, strict=True)}
    theirs = det_curve(*by_class(pristine, manipulated))
    assert {(round(float(x), 9), round(float(y), 9)) for x, y in zip(*theirs[:2], strict=True)} <= ours
    floor = 0.5 / 40
    np.testing.assert_allclose(normal_deviates(fpr, floor), norm.ppf(np.clip(fpr, floor, 1 - floor)), atol=1e-9)


def test_two_normal_classes_have_the_equal_error_rate_of_the_closed_form() -> None:
    random = np.random.default_rng(0)
    found = equal_error_rate(random.normal(0, 1, 20_000), random.normal(2, 1, 20_000))
    assert found == pytest.approx(norm.cdf(-1), abs=0.005)
    assert math.isnan(equal_error_rate([], [1.0]))


def test_the_interval_of_equal_errors_resamples_whole_photographs() -> None:
    random, photo = np.random.default_rng(1), np.repeat(np.arange(12), 5)
    pristine = (random.normal(0, 1, 60) + random.normal(0, 1, 12)[photo]).astype(np.float32)
    manipulated = (random.normal(1.5, 1, 60) + random.normal(0, 1, 12)[photo]).astype(np.float32)
    low, high = eer_interval(pristine, manipulated, photo, photo, seed=0)
    assert low < equal_error_rate(pristine, manipulated) < high
    drawn = random.integers(0, 12, (400, 12))
    patches = [np.concatenate([np.flatnonzero(photo == one) for one in some]) for some in drawn]
    again = np.quantile([equal_error_rate(pristine[some], manipulated[some]) for some in patches], [0.025, 0.975])
    assert (low, high) == pytest.approx(again, abs=0.03)


def test_classes_apart_have_an_equal_error_rate_of_0_and_the_interval_of_wilson() -> None:
    photo = np.repeat(np.arange(8), 2)
    pristine, manipulated = logits(range(16)), logits(range(16, 32))
    found = operating_points(pristine, manipulated, photo, photo, thresholds={}, seed=0)
    assert (found["eer"], found["eer_low"], found["eer_high"]) == (0.0, *wilson(0.0, 8))


def test_the_figure_of_det_curves_says_the_equal_error_rates_and_counts_the_patches() -> None:
    pristine, manipulated = logits([0, 1, 2, 5]), logits([3, 4, 6, 7])
    scores = Scores(0, "median:7", "mislnet", pristine, manipulated, {("mislnet", "fgsm"): logits([0, 1, 2])})
    (shown,) = det_pictures([scores], Labels(), ["mislnet"])
    assert (shown.key, shown.title) == ("det-fgsm-mislnet", "DET curves under FGSM, target MISLnet")
    assert "Behind each curve stand 4 pristine, 4 manipulated and 3 concealed patches." in shown.caption
    assert shown.alt.endswith("The equal-error rate is: MISLnet: manipulated 25.0 %, concealed 57.1 %.")
    assert shown.png.startswith(b"\x89PNG")
    nothing = np.empty(0, np.float32)
    (empty,) = det_pictures([Scores(0, "median:7", "mislnet", nothing, nothing, {})], Labels(), ["mislnet"])
    assert "Behind each curve stand no patches." in empty.caption
