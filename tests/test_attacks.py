"""Contract tests over every attack, and FGSM where the right answer is known."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from counterforensics.attacks import ATTACKS, Attack, Fgsm, fgsm, parse
from counterforensics.attacks.base import evidence_gradient
from counterforensics.detectors import parse as parse_detector
from counterforensics.detectors.base import Network
from counterforensics.errors import AttackError, PixelError
from counterforensics.photos.patches import Pairs, Patches
from counterforensics.pixels import to_pixels
from counterforensics.study.tasks import as_stored
from tests.toys import BlindDetector, BrokenDetector, LinearDetector, median_pairs, noisy_patches

NOTHING = Pairs(Patches(()), Patches(()))
TEXTS = [*ATTACKS, "fgsm:epsilon=2", "fgsm:loss=cross-entropy"]


@pytest.fixture(scope="module")
def target() -> Network:
    recipe = parse_detector("cozzolino2017:svm_pairs=40,steps=0")
    network = recipe.train(median_pairs(), seed=0)
    assert isinstance(network, Network)
    return network


@pytest.fixture(scope="module")
def manipulated() -> torch.Tensor:
    pairs = median_pairs(2, 4)
    return torch.from_numpy(pairs.manipulated[np.arange(8)])


@pytest.mark.parametrize("text", TEXTS)
def test_an_attack_gives_stored_patches_and_leaves_everything_else_alone(
    text: str, target: Network, manipulated: torch.Tensor
) -> None:
    attack = parse(text)
    assert isinstance(attack, Attack)
    before, state = manipulated.clone(), copy.deepcopy(target.state_dict())
    concealed = attack.prepare(target if attack.needs_target else None, NOTHING, seed=0)(manipulated)
    assert concealed.dtype == torch.uint8
    assert concealed.shape == manipulated.shape
    assert torch.equal(manipulated, before)
    assert all(torch.equal(tensor, state[name]) for name, tensor in target.state_dict().items())
    assert not target.training
    assert all(parameter.grad is None for parameter in target.parameters())
    stored = np.stack([as_stored(patch) for patch in concealed.numpy()])
    assert np.array_equal(stored, concealed.numpy())


@pytest.mark.parametrize("text", TEXTS)
def test_the_same_seed_gives_the_same_bytes_and_a_batch_the_same_as_one_by_one(
    text: str, target: Network, manipulated: torch.Tensor
) -> None:
    concealer = parse(text).prepare(target, NOTHING, seed=3)
    whole = concealer(manipulated)
    assert torch.equal(whole, parse(text).prepare(target, NOTHING, seed=3)(manipulated))
    assert torch.equal(whole, torch.cat([concealer(one[None]) for one in manipulated]))


@pytest.mark.parametrize("text", TEXTS)
def test_an_empty_batch_stays_empty(text: str, target: Network) -> None:
    nothing = torch.empty(0, 1, 64, 64, dtype=torch.uint8)
    assert parse(text).prepare(target, NOTHING, seed=0)(nothing).shape == nothing.shape


@pytest.mark.parametrize("text", TEXTS)
def test_an_attack_lowers_its_target(text: str, target: Network, manipulated: torch.Tensor) -> None:
    after = parse(text).prepare(target, NOTHING, seed=0)(manipulated)
    assert (target.logits(to_pixels(after)) < target.logits(to_pixels(manipulated))).all()


@given(st.integers(0, 255), st.sampled_from([1, 3]), st.integers(0, 2**31))
def test_fgsm_stays_within_epsilon_and_epsilon_0_changes_nothing(epsilon: int, channels: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    patches = torch.randint(0, 256, (2, channels, 4, 4), dtype=torch.uint8, generator=generator)
    detector = LinearDetector(torch.randn(channels, 4, 4, generator=generator))
    moved = (fgsm(patches, detector, epsilon=epsilon).int() - patches.int()).abs()
    assert moved.max() <= epsilon


@given(st.integers(0, 3), st.integers(0, 2**31))
def test_fgsm_lowers_a_linear_logit_by_epsilon_times_the_l1_norm(epsilon: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    weights = torch.randint(-4, 5, (1, 6, 6), generator=generator).float()
    patches = torch.randint(8, 248, (3, 1, 6, 6), dtype=torch.uint8, generator=generator)
    linear = LinearDetector(weights)
    before, after = (linear.logits(to_pixels(p)) for p in (patches, fgsm(patches, linear, epsilon=epsilon)))
    torch.testing.assert_close(before - after, torch.full((3,), epsilon * weights.abs().sum().item()))


def test_fgsm_clips_at_black_and_white() -> None:
    patches = torch.tensor([0, 255, 0, 255], dtype=torch.uint8).reshape(1, 1, 2, 2)
    towards = LinearDetector(torch.tensor([[[1.0, -1.0], [-1.0, 1.0]]]))
    assert fgsm(patches, towards, epsilon=3).flatten().tolist() == [0, 255, 3, 252]


def test_the_share_of_pixels_without_gradient_is_counted() -> None:
    weights = torch.zeros(1, 4, 4)
    weights[0, 0] = 1
    concealed = (
        Fgsm().prepare(LinearDetector(weights), NOTHING, seed=0).conceal(torch.full((2, 1, 4, 4), 9, dtype=torch.uint8))
    )
    assert concealed.zero_gradient is not None
    assert concealed.zero_gradient.tolist() == [0.75, 0.75]


@pytest.mark.parametrize(("bias", "moved"), [(10.0, True), (30.0, False)])
def test_cross_entropy_saturates_where_the_detector_is_sure_and_the_logit_does_not(bias: float, moved: bool) -> None:
    patches = torch.full((1, 1, 4, 4), 100, dtype=torch.uint8)
    detector = LinearDetector(torch.full((1, 4, 4), 1e-6), bias)
    assert (not torch.equal(fgsm(patches, detector, loss="cross-entropy"), patches)) is moved
    assert torch.equal(fgsm(patches, detector), patches - 1)


@pytest.mark.parametrize("loss", ["logit", "cross-entropy"])
def test_both_losses_point_towards_manipulated(loss: str) -> None:
    weights = torch.tensor([[[1.0, -2.0], [0.5, 0.0]]])
    gradient = evidence_gradient(torch.full((1, 1, 2, 2), 0.1), LinearDetector(weights), loss=loss)
    assert torch.equal(gradient.sign()[0], weights.sign())


@pytest.mark.parametrize(
    ("call", "error", "said"),
    [
        (lambda p, d: fgsm(p, d, epsilon=-1), AttackError, "0..255, got -1"),
        (lambda p, d: fgsm(p, d, epsilon=256), AttackError, "0..255, got 256"),
        (lambda p, d: fgsm(p, d, epsilon=1.5), AttackError, "whole number of grey levels, 0..255, got 1.5"),
        (lambda p, d: fgsm(p, d, loss="hinge"), AttackError, "loss must be logit or cross-entropy, got 'hinge'"),
        (lambda p, d: fgsm(p.float(), d), PixelError, "must be uint8, got torch.float32"),
        (lambda p, d: fgsm(p[0], d), PixelError, r"must have shape"),
        (lambda p, d: fgsm(p, BlindDetector()), AttackError, "needs gradients, and BlindDetector has none"),
        (lambda p, d: fgsm(p, BrokenDetector(d.weights)), AttackError, "holds NaN or infinity"),
        (lambda p, d: Fgsm().prepare(None, NOTHING, seed=0), AttackError, "needs a target detector, got none"),
        (lambda p, d: Fgsm(epsilon=300), AttackError, "got 300"),
    ],
)
def test_what_an_attack_cannot_do_is_said(call: object, error: type[Exception], said: str) -> None:
    patches = torch.from_numpy(noisy_patches(2, size=8))
    detector = LinearDetector(torch.ones(1, 8, 8))
    with pytest.raises(error) as raised:
        call(patches, detector)  # type: ignore[operator]
    assert said in str(raised.value)
