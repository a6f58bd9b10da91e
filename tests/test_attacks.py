"""Contract tests over every attack, and each attack where the right answer is known."""

from __future__ import annotations

import copy
import dataclasses
import functools
import inspect
import math
from collections.abc import Callable
from inspect import Parameter, signature
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from counterforensics import load_detector
from counterforensics.attacks import (
    ATTACKS,
    Attack,
    Concealed,
    DeepFool,
    Fgsm,
    Jsma,
    LearnedAttack,
    Pgd,
    SpamDescent,
    SpamGradient,
    deepfool,
    fgsm,
    jsma,
    parse,
    pgd,
    spam_descent,
    spam_gradient,
)
from counterforensics.attacks.base import Diagnostics
from counterforensics.attacks.gradients import evidence
from counterforensics.detectors import parse as parse_detector
from counterforensics.detectors.base import Network
from counterforensics.errors import AttackError, PixelError
from counterforensics.evaluation import changed
from counterforensics.learning.monitor import SavedNetwork
from counterforensics.photos.patches import Pairs, Patches
from counterforensics.pixels import to_patches, to_pixels
from counterforensics.study.tasks.concealing import as_stored
from counterforensics.testing import ATTACK_CHECKS, AttackCase
from tests.toys import BlindDetector, BrokenDetector, LinearDetector, median_pairs, noisy_patches

NOTHING = Pairs(Patches(()), Patches(()))
TEXTS = [
    *ATTACKS,
    *(
        "fgsm:epsilon=2",
        "fgsm:loss=cross-entropy",
        "pgd:restarts=2,step=0.5,steps=4",
        "pgd:confidence=inf,momentum=0.9",
    ),
    *("pgd:lattice=false,loss=cross-entropy", "deepfool:lattice=false", "deepfool:loss=cross-entropy,search=0"),
    *("jsma:theta=9,loss=cross-entropy", "spam-descent:goal=closest,confidence=1", "spam-descent:goal=pristine"),
    *("spam-descent:psnr=60", "spam-gradient:gradient=soft,share=0.2"),
    *("gan-vgg:like=manipulated", "gan-ensemble:noisy=true"),
]
# They attack no detector in particular; test_gan_restoration.py says how well they restore.
GENERATORS = [text for text in TEXTS if text.startswith("gan-")]
AIMED = [text for text in TEXTS if text not in GENERATORS]
# The settings of attacks that learn: the least that leaves no patch as it was.
BRIEFLY = "size=small,steps=3,pairs_per_step=2,lr=0.01"
# A real step of the published length mostly rounds to nothing on stored patches, so these may leave a patch alone.
ROUNDED_AWAY = {"deepfool:lattice=false"}
FUNCTIONS: dict[str, Callable[..., Tensor]] = {
    "fgsm": fgsm,
    "pgd": pgd,
    "deepfool": deepfool,
    "jsma": jsma,
    "spam-descent": spam_descent,
    "spam-gradient": spam_gradient,
}
# They follow gradients, and fill diagnostics.
FOLLOWERS = ["fgsm", "pgd", "deepfool", "jsma"]


@pytest.mark.parametrize("name", sorted(ATTACKS))
def test_an_attack_keeps_every_contract(name: str) -> None:
    case = AttackCase(f"{name}:{BRIEFLY}" if name in GENERATORS else name)
    for check in ATTACK_CHECKS:
        check(case)


@pytest.fixture(scope="module")
def targets() -> dict[str, Network]:
    """A detector that each kind of attack can be aimed at."""
    pairs = median_pairs()
    return {
        text: parse_detector(text).train(pairs, seed=0) for text in ("cozzolino2017:svm_pairs=40,steps=0", "spam-svm")
    }


@pytest.fixture(scope="module")
def originals() -> Tensor:
    return torch.from_numpy(median_pairs(2, 4).pristine[np.arange(8)])


@pytest.fixture(scope="module")
def manipulated() -> Tensor:
    return torch.from_numpy(median_pairs(2, 4).manipulated[np.arange(8)])


def target_of(text: str, targets: dict[str, Network]) -> Network:
    """The detector that `text` attacks, or that it is judged by if it attacks none."""
    return targets["spam-svm" if text.startswith("spam-") else "cozzolino2017:svm_pairs=40,steps=0"]


@functools.cache
def learned(text: str) -> SavedNetwork:
    """The network that an attack learns in a few steps."""
    name, _, settings = text.partition(":")
    attack = parse(f"{name}:{BRIEFLY},{settings}")
    assert isinstance(attack, LearnedAttack)
    network: SavedNetwork = attack.learn(median_pairs(), seed=0)
    return network


def conceal(text: str, target: Network, patches: Tensor, originals: Tensor, *, seed: int = 0) -> Concealed:
    attack = parse(text)
    if isinstance(attack, LearnedAttack):
        return attack.prepare_with(learned(text)).conceal(patches, None)
    prepared = attack.prepare(target if attack.needs_target else None, NOTHING, seed=seed)
    return prepared.conceal(patches, originals[: len(patches)] if attack.needs_originals else None)


@pytest.mark.parametrize("text", TEXTS)
def test_an_attack_gives_stored_patches_and_leaves_everything_else_alone(
    text: str, targets: dict[str, Network], manipulated: Tensor, originals: Tensor
) -> None:
    assert isinstance(parse(text), Attack)
    target, before = target_of(text, targets), manipulated.clone()
    state = copy.deepcopy(target.state_dict())
    concealed = conceal(text, target, manipulated, originals).patches
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
    text: str, targets: dict[str, Network], manipulated: Tensor, originals: Tensor
) -> None:
    target = target_of(text, targets)
    whole = conceal(text, target, manipulated, originals, seed=3).patches
    assert torch.equal(whole, conceal(text, target, manipulated, originals, seed=3).patches)
    single = [
        conceal(text, target, manipulated[k : k + 1], originals[k : k + 1], seed=3).patches for k in range(len(whole))
    ]
    assert torch.equal(whole, torch.cat(single))


@pytest.mark.parametrize("text", TEXTS)
def test_an_empty_batch_stays_empty(text: str, targets: dict[str, Network]) -> None:
    nothing = torch.empty(0, 1, 64, 64, dtype=torch.uint8)
    assert conceal(text, target_of(text, targets), nothing, nothing).patches.shape == nothing.shape


@pytest.mark.parametrize("text", AIMED)
def test_an_attack_lowers_its_target(
    text: str, targets: dict[str, Network], manipulated: Tensor, originals: Tensor
) -> None:
    target = target_of(text, targets)
    before, after = (
        target.logits(to_pixels(some)) for some in (manipulated, conceal(text, target, manipulated, originals).patches)
    )
    if text in ROUNDED_AWAY:
        assert (after <= before).all()
    else:
        assert (after < before).all()


@pytest.mark.parametrize(
    "text", [text for text in AIMED if not text.startswith("fgsm") and "pristine" not in text and "inf" not in text]
)
def test_patches_that_are_called_pristine_already_are_left_alone(
    text: str, targets: dict[str, Network], originals: Tensor
) -> None:
    target = target_of(text, targets)
    innocent = originals[target.logits(to_pixels(originals)) <= 0]
    assert len(innocent)
    assert torch.equal(conceal(text, target, innocent, innocent).patches, innocent)


@pytest.mark.parametrize("text", [text for text in AIMED if text not in ROUNDED_AWAY])
def test_three_channels_are_attacked_as_they_are_stored(
    text: str, targets: dict[str, Network], manipulated: Tensor, originals: Tensor
) -> None:
    target = target_of(text, targets)
    colour, before = (some.expand(-1, 3, -1, -1).contiguous() for some in (manipulated[:3], originals[:3]))
    concealed = conceal(text, target, colour, before).patches
    assert concealed.shape == colour.shape
    assert (target.logits(to_pixels(concealed)) < target.logits(to_pixels(colour))).all()


@given(st.integers(1, 255), st.sampled_from([1, 3]), st.integers(0, 2**31))
def test_fgsm_stays_within_epsilon(epsilon: int, channels: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    patches = torch.randint(0, 256, (2, channels, 4, 4), dtype=torch.uint8, generator=generator)
    detector = LinearDetector(torch.randn(channels, 4, 4, generator=generator))
    moved = (fgsm(patches, detector, epsilon=epsilon).int() - patches.int()).abs()
    assert moved.max() <= epsilon


@given(st.integers(1, 3), st.integers(0, 2**31))
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
        Fgsm()
        .prepare(LinearDetector(weights), NOTHING, seed=0)
        .conceal(torch.full((2, 1, 4, 4), 9, dtype=torch.uint8), None)
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
def test_both_losses_point_towards_manipulated_and_have_their_boundary_at_zero(loss: str) -> None:
    weights = torch.tensor([[[1.0, -2.0], [0.5, 0.0]]])
    detector = LinearDetector(weights)
    found = evidence(torch.full((1, 1, 2, 2), 0.1), detector, loss=loss)
    assert torch.equal(found.gradient.sign()[0], weights.sign())
    for level in (-3.0, 0.0, 3.0):
        bias = LinearDetector(weights, level)
        value = evidence(torch.zeros(1, 1, 2, 2), bias, loss=loss).values
        assert torch.sign(value.round(decimals=6)).item() == np.sign(level)


def test_a_gradient_that_nobody_needs_is_not_computed() -> None:
    class Steep(LinearDetector):
        """With an infinite slope at 0."""

        def logits(self, pixels: Tensor) -> Tensor:
            return super().logits(pixels.sqrt())

    detector, black = Steep(torch.ones(1, 2, 2)), torch.zeros(1, 1, 2, 2)
    for above in (0.0, math.inf):
        assert evidence(black, detector, loss="logit", above=above).gradient.eq(0).all()
    with pytest.raises(AttackError, match="the gradient of Steep holds NaN or infinity"):
        evidence(black, detector, loss="logit")


# --- PGD


@given(st.integers(1, 4), st.integers(1, 6), st.floats(0.3, 3), st.sampled_from([1, 3]), st.integers(0, 2**31))
def test_pgd_stays_within_epsilon(epsilon: int, steps: int, step: float, channels: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    patches = torch.randint(0, 256, (2, channels, 4, 4), dtype=torch.uint8, generator=generator)
    detector = LinearDetector(torch.randn(channels, 4, 4, generator=generator))
    found = pgd(patches, detector, epsilon=epsilon, steps=steps, step=step, confidence=math.inf, restarts=1)
    moved = (found.int() - patches.int()).abs()
    assert moved.max() <= epsilon


@given(st.integers(1, 4), st.integers(0, 2**31))
def test_pgd_reaches_the_lowest_linear_logit_within_epsilon(epsilon: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    weights = torch.randn(1, 6, 6, generator=generator)
    patches = torch.randint(0, 256, (3, 1, 6, 6), dtype=torch.uint8, generator=generator)
    found = pgd(patches, LinearDetector(weights), epsilon=epsilon, steps=epsilon, confidence=math.inf)
    best = (patches.int() - epsilon * weights.sign().int()).clamp(0, 255).to(torch.uint8)
    assert torch.equal(found, best)


@given(st.floats(0, 1), st.integers(0, 2**31))
def test_momentum_does_not_turn_a_linear_detectors_direction(momentum: float, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    weights = torch.randn(1, 6, 6, generator=generator)
    patches = torch.randint(0, 256, (3, 1, 6, 6), dtype=torch.uint8, generator=generator)
    detector = LinearDetector(weights)
    plain, collected = (pgd(patches, detector, confidence=math.inf, momentum=some) for some in (0.0, momentum))
    assert torch.equal(plain, collected)


def test_momentum_goes_on_where_the_gradient_turns() -> None:
    class Valley(LinearDetector):
        """Lowest at level 98, and never pristine."""

        def logits(self, pixels: Tensor) -> Tensor:
            return (pixels - 98.4).abs().flatten(1).sum(1) + 1

    patches = torch.full((1, 1, 2, 2), 100, dtype=torch.uint8)
    states = {momentum: walked(patches, Valley(torch.ones(1)), momentum) for momentum in (0.0, 1.0)}
    assert states == {0.0: [100, 99, 98, 99, 98], 1.0: [100, 99, 98, 97, 97]}  # its velocity: 1, 2, 1, 0


def walked(patches: Tensor, detector: LinearDetector, momentum: float) -> list[int]:
    """The levels that the detector is shown, step by step."""
    levels = []

    class Watched(LinearDetector):
        def logits(self, pixels: Tensor) -> Tensor:
            levels.append(int(pixels.detach().flatten()[0].item()))
            return detector.logits(pixels)

    pgd(patches, Watched(detector.weights), epsilon=9, steps=4, momentum=momentum, confidence=math.inf)
    return levels


def test_pgd_stops_at_the_first_state_that_is_concealed() -> None:
    patches = torch.full((1, 1, 2, 2), 100, dtype=torch.uint8)
    detector = LinearDetector(torch.ones(1, 2, 2), -400 + 6)  # each step takes 4
    assert torch.equal(pgd(patches, detector, epsilon=9, steps=9), patches - 2)
    assert torch.equal(pgd(patches, detector, epsilon=9, steps=9, confidence=7.0), patches - 4)


def test_random_starts_help_where_the_gradient_is_blind() -> None:
    class Plateau(LinearDetector):
        """Without slope at the patch itself, and pristine to one side."""

        def logits(self, pixels: Tensor) -> Tensor:
            moved = (pixels - 100).flatten(1).sum(1)
            return 1 - torch.relu(moved - 3)

    patches = torch.full((4, 1, 4, 4), 100, dtype=torch.uint8)
    patches[1:, 0, 0, 0] += torch.tensor([0, 1, 2], dtype=torch.uint8)
    blind = Plateau(torch.ones(1, 4, 4))
    assert torch.equal(pgd(patches, blind), patches)
    found = pgd(patches, blind, restarts=50, seed=1)
    assert (blind.logits(to_pixels(found)) <= 0).all()


def test_fractions_of_a_step_add_up() -> None:
    patches = torch.full((1, 1, 2, 2), 100, dtype=torch.uint8)
    detector = LinearDetector(torch.ones(1, 2, 2), -390)
    assert torch.equal(pgd(patches, detector, epsilon=3, steps=3, step=0.4, confidence=math.inf), patches - 1)
    assert torch.equal(pgd(patches, detector, epsilon=3, steps=3, step=0.1, confidence=math.inf), patches)


# --- DeepFool


@given(st.floats(0.05, 0.9), st.integers(0, 2**31))
def test_deepfool_is_next_to_the_smallest_whole_change_of_a_linear_verdict(share: float, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    weights = torch.randn(1, 6, 6, generator=generator)
    patches = torch.randint(60, 196, (1, 1, 6, 6), dtype=torch.uint8, generator=generator)
    evidence_wanted = share * 10 * weights.abs().sum().item()
    bias = evidence_wanted - (weights * patches[0]).sum().item()
    detector = LinearDetector(weights, bias)
    found = deepfool(patches, detector, overshoot=0.0)
    assert detector.logits(to_pixels(found)) <= 1e-3 * weights.abs().sum()
    change = (patches.int() - found.int())[0]
    assert (change - smallest_whole_change(weights, evidence_wanted)).abs().max() <= 1


def smallest_whole_change(weights: Tensor, evidence_wanted: float) -> Tensor:
    """Greedy is the best, but for the last level: the k-th level of a pixel costs 2 k - 1 and gains |weight|."""
    levels = torch.zeros_like(weights)
    while (levels * weights.abs()).sum() < evidence_wanted:
        levels.view(-1)[(weights.abs() / (2 * levels + 1)).argmax()] += 1
    return (levels * weights.sign()).int()


def test_deepfool_takes_the_published_step_on_real_numbers() -> None:
    weights = torch.tensor([[[3.0, -4.0], [0.0, 0.0]]])
    detector = LinearDetector(weights, 50.0)
    patches = torch.full((1, 1, 2, 2), 100, dtype=torch.uint8)
    assert detector.logits(to_pixels(patches)) == -50  # pristine already
    assert torch.equal(on_real_numbers(patches, detector), to_pixels(patches))
    detector = LinearDetector(weights, 150.0)
    expected = to_pixels(patches) - 1.1 * 50 / 25 * weights
    torch.testing.assert_close(on_real_numbers(patches, detector), expected)


def on_real_numbers(patches: Tensor, detector: LinearDetector) -> Tensor:
    """The published DeepFool with an overshoot of a tenth, before it is rounded."""
    diagnostics = Diagnostics()
    deepfool(patches, detector, overshoot=0.1, lattice=False, diagnostics=diagnostics)
    return diagnostics.unrounded


def test_deepfool_shortens_its_last_step() -> None:
    class Convex(LinearDetector):
        """Falls faster than its slope at the start says."""

        def logits(self, pixels: Tensor) -> Tensor:
            moved = (100 - pixels).flatten(1).sum(1)
            return 100 - moved - moved.square() / 100

    patches = torch.full((1, 1, 4, 4), 100, dtype=torch.uint8)
    far, near = (deepfool(patches, Convex(torch.ones(1, 4, 4)), search=search) for search in (0, 6))
    assert (Convex(torch.ones(1)).logits(to_pixels(near)) <= 0).all()
    assert (patches.int() - near.int()).sum() < (patches.int() - far.int()).sum()


# --- JSMA


@given(st.integers(1, 9), st.integers(0, 2**31))
def test_jsma_changes_the_most_salient_pixels_and_no_more_than_it_takes(theta: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    weights = torch.randn(1, 6, 6, generator=generator)
    patches = torch.randint(20, 236, (1, 1, 6, 6), dtype=torch.uint8, generator=generator)
    gains = (theta * weights.abs()).flatten().sort(descending=True)
    needed = 7
    evidence_wanted = gains.values[: needed - 1].sum().item() + 0.5 * gains.values[needed - 1].item()
    detector = LinearDetector(weights, evidence_wanted - (weights * patches[0]).sum().item())
    found = jsma(patches, detector, theta=theta, share=0.5, per_step=0.5)
    change = (found.int() - patches.int()).flatten()
    assert set(change.nonzero()[:, 0].tolist()) == set(gains.indices[:needed].tolist())
    assert (change[gains.indices[:needed]] == -theta * weights.flatten()[gains.indices[:needed]].sign()).all()


@given(st.floats(1e-6, 1), st.integers(1, 64), st.floats(0, 0.5), st.sampled_from([1, 3]), st.integers(0, 2**31))
def test_jsma_changes_at_most_its_share_by_at_most_theta(
    share: float, theta: int, per_step: float, channels: int, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    patches = torch.randint(0, 256, (2, channels, 6, 6), dtype=torch.uint8, generator=generator)
    detector = LinearDetector(torch.randn(channels, 6, 6, generator=generator), 1e6)
    found = jsma(patches, detector, theta=theta, share=share, per_step=per_step)
    assert (changed(patches, found) <= share).all()
    assert (patches.int() - found.int()).abs().max() <= theta


def test_jsma_ends_where_no_pixel_is_salient_though_more_may_be_changed() -> None:
    weights = torch.zeros(1, 4, 4)
    weights[0, 0] = torch.tensor([1.0, -1.0, 2.0, 2.0])
    sure = LinearDetector(weights, 1e4)
    patches = torch.full((2, 1, 4, 4), 100, dtype=torch.uint8)
    patches[:, 0, 0, 3] = 0  # black already: it cannot get darker
    found = jsma(patches, sure, theta=5, share=1.0, per_step=0.1)
    expected = patches.clone()
    expected[:, 0, 0, :3] = torch.tensor([95, 105, 95], dtype=torch.uint8)
    assert torch.equal(found, expected)


def test_jsma_ends_where_the_cross_entropy_rounds_to_its_boundary() -> None:
    nearly_flat = LinearDetector(torch.tensor([[[1e-12, 0.0], [0.0, 0.0]]]), 1e-9)
    patches = torch.full((1, 1, 2, 2), 100, dtype=torch.uint8)
    seen = evidence(to_pixels(patches), nearly_flat, loss="cross-entropy")
    assert seen.logits > 0
    assert seen.values == 0
    found = jsma(patches, nearly_flat, theta=1, share=1.0, loss="cross-entropy")
    assert found.flatten().tolist() == [99, 100, 100, 100]


# --- functions and dataclasses


def test_every_attack_that_learns_nothing_is_a_function() -> None:
    assert set(FUNCTIONS) == {name for name, kind in ATTACKS.items() if not issubclass(kind, LearnedAttack)}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_settings_of_a_function_and_their_defaults_are_those_of_its_dataclass(name: str) -> None:
    settings = signature(ATTACKS[name]).parameters
    function = signature(FUNCTIONS[name]).parameters
    others = {"patches", "detector", "originals", "seed", "diagnostics"}
    assert set(settings) == set(function) - others
    for setting, parameter in settings.items():
        assert function[setting].default == parameter.default
        assert type(function[setting].default) is type(parameter.default)
        assert function[setting].kind is Parameter.KEYWORD_ONLY


@pytest.mark.parametrize("text", AIMED)
def test_a_prepared_attack_gives_the_patches_of_its_function(
    text: str, targets: dict[str, Network], manipulated: Tensor, originals: Tensor
) -> None:
    attack: Any = parse(text)
    function = FUNCTIONS[text.partition(":")[0]]
    keywords: dict[str, Any] = {setting: getattr(attack, setting) for setting in signature(type(attack)).parameters}
    if "seed" in signature(function).parameters:
        keywords["seed"] = 3
    if attack.needs_originals:
        keywords["originals"] = originals
    target = target_of(text, targets)
    assert torch.equal(
        function(manipulated, target, **keywords), conceal(text, target, manipulated, originals, seed=3).patches
    )


@pytest.mark.parametrize("name", FOLLOWERS)
def test_diagnostics_are_those_of_the_prepared_attack_and_change_nothing(
    name: str, targets: dict[str, Network], manipulated: Tensor
) -> None:
    target = target_of(name, targets)
    diagnostics = Diagnostics()
    found = FUNCTIONS[name](manipulated, target, diagnostics=diagnostics)
    assert torch.equal(found, FUNCTIONS[name](manipulated, target))
    assert torch.equal(found, to_patches(diagnostics.unrounded))
    prepared = conceal(name, target, manipulated, manipulated)
    assert prepared.zero_gradient is not None
    assert torch.equal(diagnostics.zero_gradient, prepared.zero_gradient)
    assert diagnostics.zero_gradient.dtype == torch.float64
    assert diagnostics.zero_gradient.shape == (len(manipulated),)


@pytest.mark.parametrize("name", FOLLOWERS)
def test_the_share_without_gradient_of_no_patches_is_empty(name: str) -> None:
    nothing = torch.empty(0, 1, 8, 8, dtype=torch.uint8)
    diagnostics = Diagnostics()
    FUNCTIONS[name](nothing, LinearDetector(torch.ones(1, 8, 8)), diagnostics=diagnostics)
    assert diagnostics.zero_gradient.shape == (0,)


# --- settings


BAD_SETTINGS: list[tuple[type[Attack], dict[str, Any], str]] = [
    (Fgsm, {"epsilon": 0}, "fgsm: epsilon must be a whole number of grey levels, 1..255, got 0"),
    (Fgsm, {"epsilon": -1}, "fgsm: epsilon must be a whole number of grey levels, 1..255, got -1"),
    (Fgsm, {"epsilon": 256}, "fgsm: epsilon must be a whole number of grey levels, 1..255, got 256"),
    (Fgsm, {"epsilon": 1.5}, "fgsm: epsilon must be a whole number of grey levels, 1..255, got 1.5"),
    (Fgsm, {"epsilon": True}, "fgsm: epsilon must be a whole number of grey levels, 1..255, got True"),
    (Fgsm, {"loss": "hinge"}, "fgsm: loss must be logit or cross-entropy, got 'hinge'"),
    (Pgd, {"epsilon": 0}, "pgd: epsilon must be a whole number of grey levels, 1..255, got 0"),
    (Pgd, {"epsilon": 256}, "pgd: epsilon must be a whole number of grey levels, 1..255, got 256"),
    (Pgd, {"steps": 0}, "pgd: steps must be a whole number, 1..100000, got 0"),
    (Pgd, {"step": 0}, "pgd: step must lie between 0.001 and 255, got 0"),
    (Pgd, {"momentum": 2}, "pgd: momentum must lie between 0 and 1, got 2"),
    (Pgd, {"restarts": -1}, "pgd: restarts must be a whole number, 0..100000, got -1"),
    (Pgd, {"confidence": -0.5}, "pgd: confidence must lie between 0 and inf, got -0.5"),
    (Pgd, {"loss": ""}, "pgd: loss must be logit or cross-entropy, got ''"),
    (DeepFool, {"steps": 0}, "deepfool: steps must be a whole number, 1..100000, got 0"),
    (DeepFool, {"overshoot": -1}, "deepfool: overshoot must lie between 0 and 10, got -1"),
    (DeepFool, {"search": 0.5}, "deepfool: search must be a whole number, 0..100, got 0.5"),
    (DeepFool, {"loss": "hinge"}, "deepfool: loss must be logit or cross-entropy, got 'hinge'"),
    (Jsma, {"theta": 0}, "jsma: theta must be a whole number of grey levels, 1..255, got 0"),
    (Jsma, {"share": 0}, "jsma: share must lie between 1e-06 and 1, got 0"),
    (Jsma, {"share": 1.5}, "jsma: share must lie between 1e-06 and 1, got 1.5"),
    (Jsma, {"per_step": math.nan}, "jsma: per_step must lie between 0 and 1, got nan"),
    (Jsma, {"loss": "hinge"}, "jsma: loss must be logit or cross-entropy, got 'hinge'"),
    (SpamDescent, {"goal": "near"}, "spam-descent: goal must be flip, closest or pristine, got 'near'"),
    (SpamDescent, {"psnr": math.inf}, "spam-descent: psnr must lie between 0 and 110, got inf"),
    (SpamDescent, {"psnr": -3}, "spam-descent: psnr must lie between 0 and 110, got -3"),
    (SpamDescent, {"confidence": -1}, "spam-descent: confidence must lie between 0 and inf, got -1"),
    (SpamDescent, {"sweeps": 0}, "spam-descent: sweeps must be a whole number, 1..100000, got 0"),
    (SpamGradient, {"gradient": "hard"}, "spam-gradient: gradient must be differences or soft, got 'hard'"),
    (SpamGradient, {"share": 0}, "spam-gradient: share must lie between 1e-06 and 1, got 0"),
    (SpamGradient, {"share": 2}, "spam-gradient: share must lie between 1e-06 and 1, got 2"),
    (SpamGradient, {"strength": 0}, "spam-gradient: strength must be a whole number of grey levels, 1..255, got 0"),
    (SpamGradient, {"rounds": 0}, "spam-gradient: rounds must be a whole number, 1..100000, got 0"),
    (SpamGradient, {"confidence": math.nan}, "spam-gradient: confidence must lie between 0 and inf, got nan"),
]


@pytest.mark.parametrize(("kind", "settings", "said"), BAD_SETTINGS)
def test_a_bad_setting_is_the_same_error_for_the_dataclass_and_for_the_function(
    kind: type[Attack], settings: dict[str, Any], said: str
) -> None:
    function = FUNCTIONS[ATTACKS.name_of(kind())]
    with pytest.raises(AttackError) as raised:
        kind(**settings)
    assert str(raised.value) == said
    with pytest.raises(AttackError) as raised:
        function(torch.from_numpy(noisy_patches(1, size=8)), LinearDetector(torch.ones(1, 8, 8)), **settings)
    assert str(raised.value) == said


def test_a_bad_setting_is_an_error_for_no_patches_too() -> None:
    with pytest.raises(AttackError, match="got -1"):
        fgsm(torch.empty(0, 1, 8, 8, dtype=torch.uint8), LinearDetector(torch.ones(1, 8, 8)), epsilon=-1)


@pytest.mark.parametrize(
    ("call", "error", "said"),
    [
        (lambda p, d: fgsm(p.float(), d), PixelError, "must be uint8, got torch.float32"),
        (lambda p, d: fgsm(p[0], d), PixelError, "must have shape"),
        (lambda p, d: fgsm(p, BlindDetector()), AttackError, "fgsm needs gradients, and the target has none"),
        (lambda p, d: fgsm(p[:0], BlindDetector()), AttackError, "fgsm needs gradients, and the target has none"),
        (lambda p, d: fgsm(p, BrokenDetector(d.weights)), AttackError, "holds NaN or infinity"),
        (lambda p, d: Fgsm().prepare(None, NOTHING, seed=0), AttackError, "needs a target detector, got none"),
        (lambda p, d: pgd(p, BlindDetector()), AttackError, "pgd needs gradients, and the target has none"),
        (lambda p, d: pgd(p, BrokenDetector(d.weights), confidence=math.inf), AttackError, "holds NaN or infinity"),
        (lambda p, d: pgd(p[0], d), PixelError, "must have shape"),
        (lambda p, d: deepfool(p.float(), d), PixelError, "must be uint8, got torch.float32"),
        (lambda p, d: deepfool(p, BlindDetector()), AttackError, "deepfool needs gradients"),
        (lambda p, d: jsma(p.float(), d), PixelError, "must be uint8, got torch.float32"),
        (lambda p, d: jsma(p, BlindDetector()), AttackError, "jsma needs gradients"),
        (
            lambda p, d: spam_descent(p, d),
            AttackError,
            "attacks a linear SVM on SPAM features (spam-svm), got LinearDet",
        ),
        (lambda p, d: spam_descent(p), AttackError, "spam-descent needs a target detector, got none"),
        (lambda p, d: SpamDescent().prepare(None, NOTHING, seed=0), AttackError, "needs a target detector, got none"),
        (lambda p, d: SpamDescent().prepare(d, NOTHING, seed=0), AttackError, "attacks a linear SVM on SPAM features"),
        (lambda p, d: spam_descent(p.float(), d), PixelError, "must be uint8, got torch.float32"),
        (lambda p, d: spam_descent(p, goal="pristine"), AttackError, "needs the pristine patches, as originals="),
        (
            lambda p, d: spam_descent(p, goal="pristine", originals=p[:1]),
            AttackError,
            "(1, 1, 8, 8) for patches of (2, 1",
        ),
        (
            lambda p, d: spam_descent(p, goal="pristine", originals=p.float()),
            PixelError,
            "must be uint8, got torch.float32",
        ),
        (lambda p, d: spam_gradient(p, d), AttackError, "spam-gradient attacks a linear SVM on SPAM features"),
        (lambda p, d: SpamGradient().prepare(None, NOTHING, seed=0), AttackError, "needs a target detector, got none"),
    ],
)
def test_an_attack_says_why_it_cannot_run(
    call: Callable[[Tensor, LinearDetector], object], error: type[Exception], said: str
) -> None:
    patches = torch.from_numpy(noisy_patches(2, size=8))
    detector = LinearDetector(torch.ones(1, 8, 8))
    with pytest.raises(error) as raised:
        call(patches, detector)
    assert said in str(raised.value)


# --- what users hand over


NO_DETECTORS: dict[str, tuple[Any, str]] = {
    "nothing": (None, "needs a target detector, got none"),
    "a name": ("mislnet/median:7", "needs a detector as its target, .* got str"),
    "a function": (lambda pixels: pixels, "needs a detector as its target, .* got function"),
    "a class": (LinearDetector, "needs a detector as its target, .* got LinearDetector"),
    "a module": (torch.nn.Linear(2, 2), "needs a detector as its target, .* got Linear"),
    "logits that are a number": (SimpleNamespace(differentiable=True, logits=3), "needs a detector as its target"),
}
OTHER_LOGITS: dict[str, tuple[Callable[[Tensor], Any], str]] = {
    "numbers": (lambda pixels: 3.0, "must give its logits as a tensor"),
    "float64": (lambda pixels: pixels.mean((1, 2, 3)).double(), "must give float32 logits, got torch.float64"),
    "float16": (lambda pixels: pixels.mean((1, 2, 3)).half(), "must give float32 logits, got torch.float16"),
    "two a patch": (lambda pixels: pixels.mean((2, 3)).expand(-1, 2), "must give one logit a patch"),
    "a column": (lambda pixels: pixels.mean((2, 3)), "must give one logit a patch"),
    "detached": (lambda pixels: pixels.detach().mean((1, 2, 3)), "logits have no gradient with respect to the pixels"),
    "of nothing": (
        lambda pixels: torch.ones(len(pixels), requires_grad=True) * 1,
        "have no gradient with respect to the pixels",
    ),
}


@pytest.mark.parametrize("which", NO_DETECTORS)
@pytest.mark.parametrize("name", [*FOLLOWERS, "spam-gradient"])
def test_what_is_no_detector_is_named(name: str, which: str, manipulated: Tensor) -> None:
    given, said = NO_DETECTORS[which]
    with pytest.raises(AttackError, match=said):
        FUNCTIONS[name](manipulated, given)


@pytest.mark.parametrize("which", OTHER_LOGITS)
@pytest.mark.parametrize("name", FOLLOWERS)
def test_logits_that_are_none_are_named(name: str, which: str, manipulated: Tensor) -> None:
    logits, said = OTHER_LOGITS[which]
    with pytest.raises(AttackError, match=said):
        FUNCTIONS[name](manipulated, SimpleNamespace(differentiable=True, logits=logits))


@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (1, 1, 7, 64), (1, 3, 64, 7)])
@pytest.mark.parametrize("name", ["spam-descent", "spam-gradient"])
def test_patches_too_small_to_have_a_feature_are_named(
    name: str, shape: tuple[int, ...], targets: dict[str, Network]
) -> None:
    height, width = shape[2:]
    with pytest.raises(PixelError, match=f"SPAM needs patches of at least 8x8, got {height}x{width}"):
        FUNCTIONS[name](torch.zeros(shape, dtype=torch.uint8), targets["spam-svm"])


@pytest.mark.parametrize("name", FUNCTIONS)
def test_patches_without_a_pixel_are_named(name: str, targets: dict[str, Network]) -> None:
    target = targets["spam-svm" if name.startswith("spam") else "cozzolino2017:svm_pairs=40,steps=0"]
    with pytest.raises(PixelError, match="patches must have shape"):
        FUNCTIONS[name](torch.zeros(2, 1, 0, 8, dtype=torch.uint8), target)


@pytest.mark.parametrize("name", ["pgd", "deepfool"])
@pytest.mark.parametrize("lattice", ["maybe", "true", 1, None])
def test_yes_or_no_is_said_by_true_or_false(name: str, lattice: Any, manipulated: Tensor) -> None:
    with pytest.raises(AttackError, match=f"{name}: lattice must be True or False, got"):
        FUNCTIONS[name](manipulated, LinearDetector(torch.ones(1)), lattice=lattice)


def test_numbers_beyond_every_use_are_taken(manipulated: Tensor, targets: dict[str, Network]) -> None:
    huge = 10**30
    assert pgd(manipulated[:1], LinearDetector(torch.ones(1)), confidence=huge, steps=1).shape == manipulated[:1].shape
    found = spam_descent(manipulated[:1], targets["spam-svm"], sweeps=1, confidence=huge)
    assert found.shape == manipulated[:1].shape


# --- batches


class Counting:
    """A detector that notes how many patches it is given at once."""

    differentiable = True

    def __init__(self, detector: Any) -> None:
        self.detector = detector
        self.most = 0

    def logits(self, pixels: Tensor) -> Tensor:
        self.most = max(self.most, len(pixels))
        logits: Tensor = self.detector.logits(pixels)
        return logits


@pytest.mark.parametrize("target", ["mislnet/median:7", "cozzolino2017/median:7"])
@pytest.mark.parametrize(
    "text", ["fgsm", "pgd:steps=3,restarts=1,epsilon=1,confidence=5", "deepfool:steps=3", "jsma:share=0.02"]
)
def test_a_large_batch_passes_in_parts_with_the_same_result(text: str, target: str) -> None:
    attack = parse(text)
    settings = dataclasses.asdict(attack)  # type: ignore[call-overload]
    patches = torch.from_numpy(noisy_patches(21, seed=3, size=64 if target.startswith("coz") else 128))
    patches[::2] = torch.from_numpy(np.stack([cv2.medianBlur(patch[0].numpy(), 7)[None] for patch in patches[::2]]))
    function = FUNCTIONS[text.partition(":")[0]]
    parts, whole = Diagnostics(), Diagnostics()
    counting = Counting(load_detector(target))
    found = function(patches, counting, **settings, diagnostics=parts)
    assert counting.most == 16
    expected = inspect.unwrap(function)(patches, load_detector(target), **settings, diagnostics=whole)
    assert_alike(found, expected)
    assert not torch.equal(found, patches)
    assert_alike(parts.unrounded, whole.unrounded)
    assert torch.equal(parts.zero_gradient, whole.zero_gradient)


def assert_alike(one: Tensor, other: Tensor) -> None:
    """The same but for rounding: a matrix product of 16 patches may round otherwise than one of 21.

    One pixel in 100,000 may then end on the other side of a grey level.
    """
    differences = (one.double() - other.double()).abs()
    assert differences.max() <= 1
    assert (differences > 1e-3).double().mean() <= 1e-5
