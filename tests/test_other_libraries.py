"""Our attacks against other libraries': on real numbers they agree, and once stored ours keep more."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from counterforensics.attacks import Attack, deepfool, fgsm, jsma, pgd
from counterforensics.attacks.base import Diagnostics
from counterforensics.bridge import (
    Borrowed,
    Classifier,
    Run,
    art_attack,
    foolbox_attack,
    secml_attack,
    torchattacks_attack,
)
from counterforensics.detectors import parse
from counterforensics.detectors.base import Network
from counterforensics.errors import AttackError
from counterforensics.photos.patches import Pairs, Patches
from counterforensics.pixels import to_pixels
from tests.toys import BlindDetector, LinearDetector, median_pairs

pytestmark = pytest.mark.filterwarnings("ignore")  # theirs, about their own dependencies
NOTHING = Pairs(Patches(()), Patches(()))


@pytest.fixture(scope="module")
def theirs() -> dict[str, Any]:
    """The libraries by name; all tests here are skipped where one is absent."""
    names = ("foolbox", "torchattacks", "art.attacks.evasion", "secmlt.adv.evasion.pgd")
    reason = "is not installed (pip install --no-deps -r oracles.txt)"
    return {name.partition(".")[0]: pytest.importorskip(name, reason=f"{name} {reason}") for name in names}


@pytest.fixture(scope="module")
def target() -> Network:
    network = parse("cozzolino2017:svm_pairs=40,steps=0").train(median_pairs(), seed=0)
    assert isinstance(network, Network)
    return network


@pytest.fixture(scope="module")
def patches() -> Tensor:
    return torch.from_numpy(median_pairs(8, 8).manipulated[np.arange(64)])


def fgsm_of(theirs: dict[str, Any]) -> Iterator[Run]:
    yield foolbox_attack(theirs["foolbox"].attacks.LinfFastGradientAttack(random_start=False), epsilon=1)
    yield torchattacks_attack(theirs["torchattacks"].FGSM, eps=1 / 255)
    yield art_attack(theirs["art"].FastGradientMethod, eps=1 / 255)


def pgd_of(theirs: dict[str, Any], step: float, steps: int) -> Iterator[Run]:
    foolbox, step = theirs["foolbox"], step / 255
    yield foolbox_attack(foolbox.attacks.LinfPGD(abs_stepsize=step, steps=steps, random_start=False), epsilon=1)
    yield torchattacks_attack(theirs["torchattacks"].PGD, eps=1 / 255, alpha=step, steps=steps, random_start=False)
    art = theirs["art"].ProjectedGradientDescent
    yield art_attack(art, eps=1 / 255, eps_step=step, max_iter=steps, verbose=False)
    kind = theirs["secmlt"].PGD
    yield secml_attack(kind("linf", epsilon=1 / 255, num_steps=steps, step_size=step, random_start=False))


def deepfool_of(theirs: dict[str, Any]) -> Iterator[Run]:
    yield foolbox_attack(theirs["foolbox"].attacks.L2DeepFoolAttack(steps=20))
    yield torchattacks_attack(theirs["torchattacks"].DeepFool, steps=20)
    yield art_attack(theirs["art"].DeepFool, max_iter=20, verbose=False)


def borrowed(run: Run, target: Any, patches: Tensor) -> Any:
    return Borrowed(run).prepare(target, NOTHING, seed=0).conceal(patches, None)


def unrounded(attack: Callable[..., Tensor], target: Network, patches: Tensor, **settings: Any) -> Tensor:
    """The real numbers that an attack of ours finds before they are rounded, in grey levels."""
    diagnostics = Diagnostics()
    attack(patches, target, **settings, lattice=False, diagnostics=diagnostics)
    return diagnostics.unrounded


def on_real_numbers(run: Run, target: Network, patches: Tensor) -> Tensor:
    """The real numbers that a borrowed attack finds before they are rounded, in grey levels."""
    labels = torch.ones(len(patches), dtype=torch.int64)
    return run(Classifier(target), to_pixels(patches) / 255, labels).detach() * 255


def test_fgsm_is_the_same_noise_as_theirs(theirs: dict[str, Any], target: Network, patches: Tensor) -> None:
    ours = fgsm(patches, target, loss="cross-entropy")
    for run in fgsm_of(theirs):
        # A gradient of a rounding error's size has a sign of its own in every library.
        assert (borrowed(run, target, patches).patches == ours).double().mean() > 0.999


def test_pgd_on_real_numbers_is_theirs(theirs: dict[str, Any], target: Network, patches: Tensor) -> None:
    ours = unrounded(pgd, target, patches, epsilon=1, steps=1, step=0.3, confidence=float("inf"))
    for run in pgd_of(theirs, 0.3, 1):
        close = (on_real_numbers(run, target, patches) - ours).abs() < 1e-3
        assert close.double().mean() > 0.999


def test_pgd_succeeds_as_often_as_theirs_and_keeps_more_once_stored(
    theirs: dict[str, Any], target: Network, patches: Tensor
) -> None:
    free = (target.logits(unrounded(pgd, target, patches, epsilon=1, steps=3, step=0.3)) <= 0).double().mean()
    stored = (target.logits(to_pixels(pgd(patches, target, epsilon=1, steps=3))) <= 0).sum()
    for run in pgd_of(theirs, 0.3, 3):
        found = borrowed(run, target, patches)
        assert abs(found.fooled.double().mean() - free) <= 0.01
        assert found.kept.sum() <= stored


def test_deepfool_on_real_numbers_is_theirs_and_all_of_theirs_is_lost_once_stored(
    theirs: dict[str, Any], target: Network, patches: Tensor
) -> None:
    pixels = to_pixels(patches)
    ours = unrounded(deepfool, target, patches)
    assert (target.logits(ours) <= 1e-5).all()  # a real number at the boundary: as exact as float32 sums are
    length = (ours - pixels).flatten(1).norm(dim=1)
    (foolbox, *_) = deepfool_of(theirs)
    torch.testing.assert_close(
        (on_real_numbers(foolbox, target, patches) - pixels).flatten(1).norm(dim=1), length, rtol=0.05, atol=0.05
    )
    assert (target.logits(to_pixels(deepfool(patches, target))) <= 0).all()
    for run, least in zip(deepfool_of(theirs), (0.9, 0.9, 0.2), strict=True):
        found = borrowed(run, target, patches)
        assert found.fooled.double().mean() >= least
        assert found.kept.sum() < len(patches)
        assert torch.equal(found.lost, found.fooled & ~found.kept)


def test_jsma_changes_the_same_pixels_as_theirs(theirs: dict[str, Any]) -> None:
    generator = torch.Generator().manual_seed(0)
    weights = -torch.rand(1, 12, 12, generator=generator)  # theirs only ever brightens, and two pixels at a time
    patches = torch.full((1, 1, 12, 12), 40, dtype=torch.uint8)
    sure = LinearDetector(weights, 2000 - 40 * weights.sum().item())
    ours = jsma(patches, sure, theta=255, share=0.5, per_step=2 / 144) != patches
    attack = art_attack(theirs["art"].SaliencyMapMethod, targeted=True, theta=1.0, gamma=0.5, verbose=False)
    found = borrowed(attack, Float32(sure), patches)
    assert found.kept.all()
    changed = found.patches != patches
    assert ours.sum() >= 9
    assert changed[ours].all()
    assert changed.sum() - ours.sum() <= 1


class Float32:
    """Other libraries pass float64; the toy keeps to its own type."""

    differentiable = True

    def __init__(self, detector: LinearDetector) -> None:
        self.detector = detector

    def logits(self, pixels: Tensor) -> Tensor:
        return self.detector.logits(pixels.float())


def test_a_classifier_says_what_its_detector_says(target: Network, patches: Tensor) -> None:
    logits, images = target.logits(to_pixels(patches)), to_pixels(patches) / 255
    one, two = (Classifier(target, outputs)(images) for outputs in (1, 2))
    torch.testing.assert_close(one[:, 0], logits, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(two[:, 1] - two[:, 0], one[:, 0])
    labels = torch.ones(len(patches), dtype=torch.int64)
    both = torch.nn.functional.cross_entropy(two, labels), torch.nn.functional.softplus(-one[:, 0]).mean()
    torch.testing.assert_close(*both)


def test_nothing_borrowed_conceals_nothing(target: Network, patches: Tensor) -> None:
    found = borrowed(lambda classifier, images, labels: images, target, patches)
    assert torch.equal(found.patches, patches)
    assert not found.lost.any()
    assert borrowed(lambda classifier, images, labels: images, target, patches[:0]).patches.shape == (0, 1, 64, 64)


def test_the_seed_is_torchs_for_a_borrowed_attack_and_nobody_elses(target: Network, patches: Tensor) -> None:
    def noise(classifier: Any, images: Tensor, labels: Tensor) -> Tensor:
        return images + torch.randn_like(images) / 50

    state = torch.random.get_rng_state()
    first, second = (borrowed(noise, target, patches).patches for _ in range(2))
    assert torch.equal(first, second)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_a_borrowed_attack_is_an_attack() -> None:
    attack = Borrowed(lambda classifier, images, labels: images)
    assert isinstance(attack, Attack)
    assert attack.needs_target
    assert not attack.needs_pairs
    assert not attack.needs_originals
    attack.check_target(BlindDetector())


def test_what_cannot_be_borrowed_is_said(target: Network) -> None:
    with pytest.raises(AttackError, match="a classifier has 1 or 2 outputs, got 3"):
        Classifier(target, outputs=3)
    with pytest.raises(AttackError, match="an attack of another library needs a target detector, got none"):
        Borrowed(lambda *_: _[1]).prepare(None, NOTHING, seed=0)


def test_a_detector_without_gradients_is_for_attacks_that_ask_for_none(patches: Tensor) -> None:
    def darker(classifier: torch.nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        assert (classifier(images).argmax(1) == labels).all()
        return images - images.mean((1, 2, 3), keepdim=True) + 0.4

    def follows(classifier: torch.nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        loss: Tensor = classifier(images.clone().requires_grad_()).sum()
        return torch.autograd.grad(loss, images)[0]

    bright = patches // 4 + 140
    assert borrowed(darker, BlindDetector(), bright).kept.all()
    with pytest.raises(AttackError, match="an attack of another library needs gradients, and the target has none"):
        borrowed(follows, BlindDetector(), bright)
