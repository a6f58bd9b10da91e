"""Contract tests over every attack, and each attack where the right answer is known."""

from __future__ import annotations

import copy
import functools
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

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
    deepfool,
    fgsm,
    jsma,
    parse,
    pgd,
    spam_descent,
)
from counterforensics.attacks.base import evidence
from counterforensics.detectors import parse as parse_detector
from counterforensics.detectors.base import Network
from counterforensics.errors import AttackError, PixelError
from counterforensics.evaluation import changed
from counterforensics.learning.course import Learned
from counterforensics.photos.patches import Pairs, Patches
from counterforensics.pixels import to_pixels
from counterforensics.study.tasks import as_stored
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
# They attack nobody in particular; what they are worth is another file's matter.
GENERATORS = [text for text in TEXTS if text.startswith("gan-")]
AIMED = [text for text in TEXTS if text not in GENERATORS]
# What an attack that learns is given here: the least that leaves no patch as it was.
BRIEFLY = "size=small,steps=3,pairs_per_step=2,rate=0.01"
# A real step of the published length mostly rounds to nothing on stored patches, so these may leave a patch alone.
ROUNDED_AWAY = {"deepfool:lattice=false"}


@pytest.fixture(scope="module")
def targets() -> dict[str, Network]:
    """A detector that each kind of attack can be aimed at."""
    pairs = median_pairs()
    return {
        text: parse_detector(text).train(pairs, seed=0)  # type: ignore[misc]
        for text in ("cozzolino2017:svm_pairs=40,steps=0", "spam-svm")
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
def learned(text: str) -> Learned:
    """What an attack learned in a few steps."""
    name, _, settings = text.partition(":")
    attack = parse(f"{name}:{BRIEFLY},{settings}")
    assert isinstance(attack, LearnedAttack)
    return attack.learn(median_pairs(), seed=0)


def conceal(text: str, target: Network, patches: Tensor, originals: Tensor, *, seed: int = 0) -> Concealed:
    attack = parse(text)
    if isinstance(attack, LearnedAttack):
        return attack.concealer(learned(text)).conceal(patches, None)
    concealer = attack.prepare(target if attack.needs_target else None, NOTHING, seed=seed)
    return concealer.conceal(patches, originals[: len(patches)] if attack.needs_originals else None)


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


@given(st.integers(0, 4), st.integers(1, 6), st.floats(0.3, 3), st.sampled_from([1, 3]), st.integers(0, 2**31))
def test_pgd_stays_within_epsilon(epsilon: int, steps: int, step: float, channels: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    patches = torch.randint(0, 256, (2, channels, 4, 4), dtype=torch.uint8, generator=generator)
    detector = LinearDetector(torch.randn(channels, 4, 4, generator=generator))
    attack = {"epsilon": epsilon, "steps": steps, "step": step, "confidence": math.inf}
    moved = (pgd(patches, detector, **attack, restarts=1).int() - patches.int()).abs()  # type: ignore[arg-type]
    assert moved.max() <= epsilon


@given(st.integers(1, 4), st.integers(0, 2**31))
def test_pgd_reaches_the_lowest_linear_logit_within_epsilon(epsilon: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    weights = torch.randn(1, 6, 6, generator=generator)
    patches = torch.randint(0, 256, (3, 1, 6, 6), dtype=torch.uint8, generator=generator)
    found = pgd(patches, LinearDetector(weights), epsilon=epsilon, steps=epsilon, confidence=math.inf)
    best = (patches.int() - epsilon * weights.sign().int()).clamp(0, 255).to(torch.uint8)
    assert torch.equal(found, best)


def test_pgd_stops_at_the_first_state_that_is_concealed() -> None:
    patches = torch.full((1, 1, 2, 2), 100, dtype=torch.uint8)
    detector = LinearDetector(torch.ones(1, 2, 2), -400 + 6)  # each step takes 4
    assert torch.equal(pgd(patches, detector, epsilon=9, steps=9), patches - 2)
    assert torch.equal(pgd(patches, detector, epsilon=9, steps=9, confidence=7.0), patches - 4)


def test_random_starts_help_where_the_gradient_is_blind() -> None:
    class Plateau(LinearDetector):
        """Without slope at the patch itself, and pristine to one side of it."""

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
    origin = torch.full((1, 1, 2, 2), 100.0)
    found, _ = DeepFool(overshoot=0.1, lattice=False).walk(origin, detector)
    expected = origin - 1.1 * detector.logits(origin) / 25 * weights
    torch.testing.assert_close(found, expected if detector.logits(origin) > 0 else origin)
    sure = LinearDetector(weights, 150.0)
    found, _ = DeepFool(overshoot=0.1, lattice=False).walk(origin, sure)
    torch.testing.assert_close(found, origin - 1.1 * 50 / 25 * weights)


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


@given(st.floats(0, 1), st.integers(1, 64), st.floats(0, 0.5), st.sampled_from([1, 3]), st.integers(0, 2**31))
def test_jsma_changes_at_most_its_share_by_at_most_theta(
    share: float, theta: int, per_step: float, channels: int, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    patches = torch.randint(0, 256, (2, channels, 6, 6), dtype=torch.uint8, generator=generator)
    detector = LinearDetector(torch.randn(channels, 6, 6, generator=generator), 1e6)
    found = jsma(patches, detector, theta=theta, share=share, per_step=per_step)
    assert (changed(patches, found) <= share).all()
    assert (patches.int() - found.int()).abs().max() <= theta


# --- settings


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
        (
            lambda p, d: pgd(p, d, epsilon=256),
            AttackError,
            "pgd: epsilon must be a whole number of grey levels, 0..255",
        ),
        (lambda p, d: pgd(p, d, steps=0), AttackError, "steps must be a whole number, 1..100000, got 0"),
        (lambda p, d: pgd(p, d, step=0), AttackError, "step must lie between 0.001 and 255, got 0"),
        (lambda p, d: pgd(p, d, momentum=2), AttackError, "momentum must lie between 0 and 1, got 2"),
        (lambda p, d: Pgd(restarts=-1), AttackError, "restarts must be a whole number, 0..100000, got -1"),
        (lambda p, d: pgd(p, BlindDetector()), AttackError, "pgd needs gradients, and BlindDetector has none"),
        (lambda p, d: pgd(p, BrokenDetector(d.weights), confidence=math.inf), AttackError, "holds NaN or infinity"),
        (lambda p, d: deepfool(p, d, overshoot=-1), AttackError, "overshoot must lie between 0 and 10, got -1"),
        (lambda p, d: deepfool(p, d, search=0.5), AttackError, "search must be a whole number, 0..100, got 0.5"),
        (lambda p, d: deepfool(p.float(), d), PixelError, "must be uint8, got torch.float32"),
        (lambda p, d: jsma(p, d, theta=0), AttackError, "theta must be a whole number of grey levels, 1..255, got 0"),
        (lambda p, d: jsma(p, d, share=1.5), AttackError, "share must lie between 0 and 1, got 1.5"),
        (lambda p, d: Jsma(per_step=float("nan")), AttackError, "per_step must lie between 0 and 1, got nan"),
        (
            lambda p, d: spam_descent(p, d),
            AttackError,
            "attacks a linear SVM on SPAM features (spam-svm), got LinearDet",
        ),
        (lambda p, d: spam_descent(p), AttackError, "spam-descent needs a target detector, got none"),
        (lambda p, d: spam_descent(p, goal="pristine"), AttackError, "needs the pristine patches, as originals="),
        (
            lambda p, d: spam_descent(p, goal="pristine", originals=p[:1]),
            AttackError,
            "(1, 1, 8, 8) for patches of (2, 1",
        ),
        (lambda p, d: SpamDescent(goal="near"), AttackError, "goal must be flip or closest or pristine, got 'near'"),
        (lambda p, d: SpamDescent(psnr=-3), AttackError, "psnr must lie between 0 and inf, got -3"),
    ],
)
def test_what_an_attack_cannot_do_is_said(call: object, error: type[Exception], said: str) -> None:
    patches = torch.from_numpy(noisy_patches(2, size=8))
    detector = LinearDetector(torch.ones(1, 8, 8))
    with pytest.raises(error) as raised:
        call(patches, detector)  # type: ignore[operator]
    assert said in str(raised.value)
