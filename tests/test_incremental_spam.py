"""SPAM features followed pixel by pixel equal features computed anew, and attacks on them keep their promises."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from counterforensics.attacks import spam_descent, spam_gradient
from counterforensics.attacks.spam_gradient import differences
from counterforensics.attacks.spam_objective import (
    Objective,
    aimed,
    check_spam_target,
    distance_objective,
    followed,
    gain_of,
    move,
    score_objective,
)
from counterforensics.detectors import parse
from counterforensics.detectors.base import Network
from counterforensics.errors import AttackError
from counterforensics.evaluation import changed, mse, psnr_of
from counterforensics.features import incremental, s3_spam14hv
from counterforensics.pixels import to_pixels
from tests.toys import median_pairs

FLOOR = 1e-7
Walk = tuple[np.ndarray, list[tuple[int, int, int]]]  # a patch, and moves: (y, x, grey levels)
Two = tuple[torch.Tensor, torch.Tensor]  # pristine patches, and the same median filtered


@st.composite
def walks(draw: st.DrawFn) -> Walk:
    """A patch, smooth enough that its levels differ, and moves of its pixels that stay within 0..255."""
    height, width = draw(st.integers(8, 20)), draw(st.integers(8, 20))
    chance = np.random.default_rng(draw(st.integers(0, 2**31)))
    patch = (draw(st.integers(0, 255 - 16)) + chance.integers(0, draw(st.integers(1, 16)), (height, width))).astype(
        np.uint8
    )
    moves = []
    levels = patch.astype(int)
    for _ in range(draw(st.integers(1, 60))):
        y, x, step = chance.integers(height), chance.integers(width), int(chance.choice([-3, -1, 1, 2]))
        if 0 <= levels[y, x] + step <= 255:
            levels[y, x] += step
            moves.append((int(y), int(x), step))
    return patch, moves


@given(walks())
def test_counts_after_any_moves_equal_counts_of_the_patch_as_it_is_then(walk: Walk) -> None:
    patch, moves = walk
    state, room = incremental.running(patch), incremental.room()
    for y, x, step in moves:
        incremental.apply_moves(state, y, x, step, incremental.moves_of(state, y, x, step, room), room)
    now = state.plane.astype(np.uint8)
    for kept, anew in zip(state, incremental.running(now), strict=True):
        np.testing.assert_array_equal(kept, anew)
    np.testing.assert_allclose(incremental.feature(state), s3_spam14hv(now[None])[0], atol=1e-6)


@given(walks(), st.booleans())
def test_a_gain_is_what_the_objective_of_the_feature_rises_by(walk: Walk, distance: bool) -> None:
    patch, moves = walk
    chance = np.random.default_rng(0)
    weights, roots = chance.normal(size=338), chance.random(338)
    objective = (
        distance_objective(roots, weights**2, FLOOR) if distance else Objective(0 * weights, weights, FLOOR, 3.0)
    )
    state = aimed(followed(patch, FLOOR), objective)
    value = value_of(objective, patch)
    assert state.ledger[0] == pytest.approx(value)
    parts = state[:5]
    for y, x, step in moves:
        value += gain_of(*parts, y, x, step)
        move(*parts, y, x, step)
    assert value == pytest.approx(value_of(objective, state.running.plane.astype(np.uint8)), abs=1e-5)
    np.testing.assert_allclose(state.values, incremental.feature(state.running), atol=1e-12)
    assert not state.room.deltas.any()
    assert not state.room.seen.any()


def value_of(objective: Objective, patch: np.ndarray) -> float:
    roots = np.sqrt(incremental.feature(incremental.running(patch)) + objective.floor)
    return float(objective.square @ roots**2 + objective.linear @ roots + objective.constant)


def test_a_pixel_takes_part_in_46_runs_at_most_and_in_all_of_them_somewhere() -> None:
    patch = (np.indices((24, 24)).sum(0) % 2 * 3 + 100).astype(np.uint8)
    state, room = incremental.running(patch), incremental.room()
    counts = [incremental.moves_of(state, y, x, 12, room) for y in range(24) for x in range(24)]
    assert max(counts) == incremental.MOST_RUNS
    assert counts[0] == 0  # a corner enters no residual


@pytest.fixture(scope="module")
def svm() -> Network:
    network = parse("spam-svm").train(median_pairs(), seed=0)
    assert isinstance(network, Network)
    return network


@pytest.fixture(scope="module")
def pairs() -> Two:
    two = median_pairs(2, 8)
    return torch.from_numpy(two.pristine[np.arange(16)]), torch.from_numpy(two.manipulated[np.arange(16)])


def test_the_score_that_attacks_see_is_the_detectors_own(svm: Network, pairs: Two) -> None:
    score = check_spam_target("an attack", svm)
    for patch, logit in zip(pairs[1], svm.logits(to_pixels(pairs[1])), strict=True):
        state = aimed(followed(patch[0].numpy(), score.floor), score_objective(score))
        assert state.ledger[0] == pytest.approx(logit.item(), abs=1e-4)


def test_flip_conceals_every_patch_and_hardly_changes_it(svm: Network, pairs: Two) -> None:
    found = spam_descent(pairs[1], svm)
    assert (svm.logits(to_pixels(found)) <= 0).all()
    assert psnr_of(mse(pairs[1], found).max().item()) > 50


def test_pristine_brings_the_feature_back(pairs: Two) -> None:
    original, manipulated = pairs
    found = spam_descent(manipulated, goal="pristine", originals=original)
    roots = [np.sqrt(s3_spam14hv(some[:, 0].numpy())) for some in (original, manipulated, found)]
    before, after = (((roots[0] - other) ** 2).sum(1) for other in roots[1:])
    assert (after < 0.2 * before).all()


def test_closest_crosses_by_a_smaller_change_of_the_feature_than_flip(svm: Network, pairs: Two) -> None:
    score = check_spam_target("an attack", svm)
    ways = []
    for goal in ("flip", "closest"):
        found = spam_descent(pairs[1], svm, goal=goal, confidence=0.5)
        assert (svm.logits(to_pixels(found)) <= 0).all()
        roots = [np.sqrt(s3_spam14hv(some[:, 0].numpy()) + score.floor) for some in (pairs[1], found)]
        ways.append((((roots[0] - roots[1]) / score.spread) ** 2).sum(1).mean())
    assert ways[1] < ways[0]


@pytest.mark.parametrize("goal", ["flip", "closest", "pristine"])
@pytest.mark.parametrize("psnr", [70.0, 55.0])
def test_a_descent_keeps_to_its_budget(goal: str, psnr: float, svm: Network, pairs: Two) -> None:
    found = spam_descent(pairs[1], svm, goal=goal, originals=pairs[0], psnr=psnr, confidence=5.0)
    assert psnr_of(mse(pairs[1], found).max().item()) >= psnr


def test_a_budget_that_allows_no_change_changes_nothing(svm: Network, pairs: Two) -> None:
    assert torch.equal(spam_descent(pairs[1], svm, psnr=110.0), pairs[1])
    assert torch.equal(spam_gradient(pairs[1], svm, share=1e-6), pairs[1])


@pytest.mark.parametrize("gradient", ["differences", "soft"])
def test_the_gradient_conceals_within_its_share_a_round(gradient: str, svm: Network, pairs: Two) -> None:
    attack: dict[str, Any] = {"gradient": gradient, "share": 0.05, "strength": 3}
    found = spam_gradient(pairs[1], svm, **attack, rounds=10)
    assert (svm.logits(to_pixels(found)) <= 0).all()
    once = spam_gradient(pairs[1], svm, **attack, rounds=1)
    assert (changed(pairs[1], once) <= 0.05).all()
    assert (pairs[1].int() - once.int()).abs().max() <= 3


def test_differences_are_differences_of_the_score(svm: Network, pairs: Two) -> None:
    score = check_spam_target("an attack", svm)
    patch = pairs[1][0, 0].numpy()
    slope = differences(patch, score)
    chance = np.random.default_rng(0)
    for y, x in chance.integers(0, 64, (20, 2)).tolist():
        around = []
        for step in (1, -1):
            other = patch.copy()
            other[y, x] = int(patch[y, x]) + step
            around.append(svm.logits(torch.from_numpy(other[None, None]).float()).item())
        assert slope[y, x] == pytest.approx((around[0] - around[1]) / 2, abs=1e-4)


def test_the_smallest_strength_that_flips_is_taken(svm: Network, pairs: Two) -> None:
    weak = spam_gradient(pairs[1], svm, share=0.3, strength=1, rounds=1)
    strong = spam_gradient(pairs[1], svm, share=0.3, strength=4, rounds=1)
    flipped = svm.logits(to_pixels(weak)) <= -0.01
    assert flipped.any()
    assert torch.equal(weak[flipped], strong[flipped])


def test_black_and_white_pixels_stay_in_range(svm: Network) -> None:
    chance = np.random.default_rng(0)
    near_the_ends = chance.integers(0, 8, (64, 64)) + 248 * (np.indices((64, 64)).sum(0) % 16 > 8)
    patches = torch.from_numpy(near_the_ends.astype(np.uint8)[None, None].repeat(3, 1))
    strict = copy.deepcopy(svm)
    with torch.no_grad():
        strict.head.bias += 10  # type: ignore[union-attr,operator]
    before = strict.logits(to_pixels(patches)).item()
    assert before > 0
    for found in (spam_gradient(patches, strict, strength=40), spam_descent(patches, strict, confidence=9.0)):
        assert strict.logits(to_pixels(found)).item() < before
        # a step over one end would come out at the other
        assert not ((patches < 8) & (found > 240)).any()
        assert not ((patches > 240) & (found < 8)).any()


def test_another_normalisation_is_refused() -> None:
    with pytest.raises(AttackError, match="need normalisation=sqrt, this detector has 'l2'"):
        spam_descent(torch.zeros(1, 1, 8, 8, dtype=torch.uint8), parse("spam-svm:normalisation=l2").build())
