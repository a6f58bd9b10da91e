"""Restoration: what a generator is, how it learns, and how a study keeps it."""

from __future__ import annotations

import csv
import dataclasses
import json
import math
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from counterforensics import laundering
from counterforensics.attacks import load_generator, parse, restore
from counterforensics.attacks.gan_restoration import GENERATORS, SIZES, GanRestoration, Generator, Size, training
from counterforensics.attacks.gan_restoration.discriminators import (
    ALPHA,
    CROP,
    FLOOR,
    CoOccurrences,
    Discriminator,
    Ensemble,
    HighPass,
    Scaled,
)
from counterforensics.attacks.gan_restoration.training import (
    DiscriminatorWatch,
    RestorationTraining,
    as_stored,
    co_occurrence_distance,
)
from counterforensics.errors import AttackError, CounterforensicsError, StudyError, TrainingError, WeightsError
from counterforensics.features.soft import exact_quantiser, soft_s3_spam14hv
from counterforensics.laundering.differentiable import upload
from counterforensics.learning import accelerator, monitor, weights
from counterforensics.learning.monitor import TrainingMonitor
from counterforensics.outcome import COLLAPSED, DIVERGED, PLANNED, TRAINING_COLUMNS
from counterforensics.photos.patches import Pairs, Patches
from counterforensics.study.run import run_study
from counterforensics.study.settings import load_study
from tests.conftest import tiny_settings, tiny_study, write_study
from tests.toys import median_pairs

TINY = "size=small,steps=6,pairs_per_step=2,lr=0.001"


def attack(name: str, **changes: Any) -> GanRestoration:
    settings: dict[str, Any] = {"size": "small", "steps": 6, "pairs_per_step": 2, "lr": 0.001}
    return GENERATORS[name](**settings | changes)


@pytest.fixture(scope="module", autouse=True)
def tiny() -> Iterator[None]:
    """Make `small` as small as networks can be: what holds for them holds for the others."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(
            SIZES,
            "small",
            Size(8, 1, 2, pretrain_steps=300, warmup_steps=600, adversarial_steps=2400, pairs_per_step=2, lr=1e-3),
        )
        yield


@pytest.fixture(params=GENERATORS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


# --- the networks


def convolution(before: int, after: int, size: int = 3) -> int:
    """Weights and biases of a convolution."""
    return (size**2 * before + 1) * after


def test_the_full_generator_has_the_layers_that_were_described() -> None:
    generator = GENERATORS["gan-kim"]().build()
    block = 2 * (convolution(64, 64) + 2 * 64) + 1
    expected = convolution(1, 64) + 1 + 16 * block + convolution(64, 64) + 2 * 64 + convolution(64, 1)
    assert sum(parameter.numel() for parameter in generator.parameters()) == expected


def test_the_full_vgg_is_the_published_one() -> None:
    discriminator = GENERATORS["gan-vgg"]().discriminator()
    assert isinstance(discriminator, Discriminator)
    convolutions = [layer for layer in discriminator.layers if isinstance(layer, torch.nn.Conv2d)]
    assert len(convolutions) == 13
    # The published network (configuration D) has 14,714,688 in its convolutions; ours sees one channel, not three.
    assert sum(p.numel() for layer in convolutions for p in layer.parameters()) == 14_714_688 - 2 * 9 * 64
    assert [layer.out_features for layer in discriminator.head if isinstance(layer, torch.nn.Linear)] == [4096, 4096, 1]


def test_the_full_kim_discriminator_has_the_layers_that_were_described() -> None:
    discriminator = GENERATORS["gan-kim"]().discriminator()
    assert isinstance(discriminator, Discriminator)
    convolutions = [layer for layer in discriminator.layers if isinstance(layer, torch.nn.Conv2d)]
    assert [layer.out_channels for layer in convolutions] == [64, 64, 128, 128, 256, 256, 512, 512]
    assert [layer.stride[0] for layer in convolutions] == [1, 2] * 4
    assert [layer.out_features for layer in discriminator.head if isinstance(layer, torch.nn.Linear)] == [1024, 1]


def ensemble(**changes: Any) -> list[Discriminator]:
    """The members of an ensemble, at random."""
    discriminator = attack("gan-ensemble", **changes).discriminator()
    assert isinstance(discriminator, Ensemble)
    discriminator.initialise(torch.Generator().manual_seed(0))
    assert discriminator(torch.zeros(2, 1, 64, 64)).shape == (2, len(discriminator.members))
    return [member for member in discriminator.members if isinstance(member, Discriminator)]


def test_no_two_members_of_the_ensemble_see_the_same() -> None:
    members = ensemble(members=3)
    assert [type(member.eyes) for member in members] == [Scaled, HighPass, HighPass, CoOccurrences]
    assert [type(member.eyes) for member in ensemble(members=1, features=False)] == [Scaled]
    assert not torch.allclose(members[1].eyes.taps, members[2].eyes.taps)  # type: ignore[arg-type]


def test_high_pass_filters_see_no_grey_and_never_learn() -> None:
    eyes = ensemble(members=2)[1].eyes
    taps = eyes.taps
    assert isinstance(taps, Tensor)
    torch.testing.assert_close(taps.sum((2, 3)), torch.zeros(len(taps), 1), atol=1e-5, rtol=0)
    torch.testing.assert_close(taps.square().sum((2, 3)), torch.ones(len(taps), 1))
    assert not any(parameter is taps for parameter in eyes.parameters())
    grey = torch.full((1, 1, 64, 64), 90.0)
    torch.testing.assert_close(eyes(grey), torch.zeros(1, 8, 64, 64), atol=1e-4, rtol=0)


def test_one_member_sees_the_soft_spam_features() -> None:
    patches = some_patches()
    seen = CoOccurrences()(patches.float()).square() - FLOOR
    torch.testing.assert_close(seen, soft_s3_spam14hv(patches.float(), exact_quantiser(), alpha=ALPHA))


def untrained(name: str, **changes: Any) -> Generator:
    """A generator that does something, whatever it is."""
    generator = attack(name, **changes).build()
    generator.initialise(torch.Generator().manual_seed(0))
    torch.nn.init.normal_(generator.last.weight, std=0.01, generator=torch.Generator().manual_seed(1))
    return generator.eval()


def some_patches(count: int = 5, height: int = 64, width: int = 64, channels: int = 1) -> Tensor:
    draw = torch.Generator().manual_seed(2)
    return torch.randint(0, 256, (count, channels, height, width), dtype=torch.uint8, generator=draw)


def test_a_generator_begins_as_the_identity(name: str) -> None:
    generator = attack(name).build()
    generator.initialise(torch.Generator().manual_seed(0))
    assert torch.equal(restore(some_patches(), generator.eval()), some_patches())


@pytest.mark.parametrize(("height", "width"), [(1, 1), (33, 50), (128, 128)])
def test_a_generator_takes_any_side(name: str, height: int, width: int) -> None:
    patches = some_patches(3, height, width)
    restored = restore(patches, untrained(name))
    assert restored.dtype == torch.uint8
    assert restored.shape == patches.shape


def test_colour_moves_in_all_channels_alike(name: str) -> None:
    # Away from black and white, where nothing is clipped.
    colour = some_patches(2, 24, 24, 3) // 8 + 112
    moved = restore(colour, untrained(name)).int() - colour.int()
    assert (moved.amax(1) - moved.amin(1)).max() <= 1  # rounding of a sum
    assert (moved != 0).any()


def test_the_grain_of_a_patch_depends_on_its_content_and_the_seed_alone() -> None:
    generator, patches = untrained("gan-ensemble", noisy=True), some_patches()
    turned = restore(patches.flip(0), generator).flip(0)
    assert torch.equal(turned, restore(patches, generator))
    assert not torch.equal(restore(patches, generator, seed=1), restore(patches, generator))
    twice = restore(patches[:1].expand(2, -1, -1, -1), generator)
    assert torch.equal(twice[0], twice[1])


def test_the_gradient_passes_through_what_a_file_does_to_grey_levels() -> None:
    pixels = torch.tensor([-3.0, 0.4, 0.6, 254.7, 300.0], requires_grad=True)
    stored = as_stored(pixels)
    assert stored.tolist() == [0, 0, 1, 255, 255]
    stored.sum().backward()  # type: ignore[no-untyped-call]
    assert pixels.grad is not None
    assert pixels.grad.tolist() == [0, 1, 1, 1, 0]


@pytest.mark.parametrize("through", ["", "none+jpeg:60"])
def test_what_a_generator_learns_against_sees_patches_after_the_upload_of_the_step(through: str) -> None:
    learning = attack("gan-ensemble", through=through).training(median_pairs(), seed=0)
    seen: list[Tensor] = []
    learning.discriminator.register_forward_hook(lambda module, given, logits: seen.append(given[0].detach()))
    pixels = some_patches().float() + 0.3
    pixels.requires_grad_()
    platforms = [laundering.parse(text) for text in through.split("+")] if through else [laundering.parse("none")]
    for step in (0, 1):
        learning.step = step
        learning.generator_loss(pixels, pixels.detach(), pixels.detach()).backward()  # type: ignore[no-untyped-call]
        expected = upload(as_stored(pixels.detach()), platforms[step % len(platforms)])
        assert torch.equal(seen[-1], expected)
    assert pixels.grad is not None
    assert (pixels.grad != 0).float().mean() > 0.9


def test_an_upload_that_reduces_squares_is_refused() -> None:
    with pytest.raises(AttackError, match=r"gan-kim: through=x:side=60 reduces patches of 64x64 to 60"):
        attack("gan-kim", through="x:side=60")


def test_co_occurrences_differ_by_nothing_from_their_own_and_by_more_the_more_is_filtered() -> None:
    pairs = median_pairs()
    pristine, median = (torch.from_numpy(some[np.arange(6)]).float() for some in (pairs.pristine, pairs.manipulated))
    assert co_occurrence_distance(pristine, pristine).item() == 0
    half = (pristine + median) / 2
    assert 0 < co_occurrence_distance(half, pristine) < co_occurrence_distance(median, pristine)


# --- learning


def darker_pairs(by: int = 6) -> Pairs:
    """Pairs that anything can restore: every patch lost `by` grey levels."""
    pristine = [np.clip(np.asarray(stack), 60, 200) for stack in median_pairs().pristine.stacks]
    darker = tuple((stack - by).astype(np.uint8) for stack in pristine)
    return Pairs(Patches(tuple(pristine)), Patches(darker), frozenset({8, 9}))


def test_what_was_taken_is_given_back(name: str) -> None:
    pairs = darker_pairs()
    curve: list[Mapping[str, float]] = []
    learned = attack(name, steps=40, pairs_per_step=4, lr=0.003).learn(
        pairs, seed=0, monitor=TrainingMonitor(curve.append)
    )
    darker, pristine = (torch.from_numpy(some[np.arange(8)]) for some in (pairs.manipulated, pairs.pristine))
    left = (restore(darker, learned).int() - pristine.int()).float()
    assert left.square().mean() < 6**2 / 2
    assert curve[-1]["validation_psnr"] > 10 * math.log10(255**2 / 6**2) + 3
    assert learned.facts["ended"] == PLANNED


def test_the_facts_say_how_it_learned_and_how_good_what_is_kept_is(name: str) -> None:
    curve: list[Mapping[str, float]] = []
    settings = attack(name)
    facts = settings.learn(median_pairs(), seed=0, monitor=TrainingMonitor(curve.append)).facts
    assert facts.keys() <= set(TRAINING_COLUMNS)
    assert "reason" not in facts
    assert facts["perceptual_net"] == ("none" if name == "gan-ensemble" else "discriminator")
    assert facts["augmentation"] == f"flips and 90-degree turns, random {CROP}x{CROP} squares"
    assert facts["steps"] == facts["best_step"] == settings.schedule().steps
    assert facts["patches"] == settings.patches_seen
    assert facts["validation_psnr"] == curve[-1]["validation_psnr"]
    assert facts["validation_detected"] == curve[-1]["validation_detected"]


class Killed(BaseException):
    """Stands for kill -9: nothing in a training catches it."""


@pytest.mark.parametrize("step", [1, 3, 6])
def test_killed_and_resumed_it_learns_what_it_would_have_learned(
    name: str, step: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(monitor, "SECONDS_BETWEEN_CHECKPOINTS", -1.0)
    pairs, settings = median_pairs(), attack(name)
    whole = settings.learn(pairs, seed=3)
    kept = iter(range(100))

    def kill() -> None:
        if next(kept) + 1 == step:
            raise Killed

    with pytest.raises(Killed):
        settings.learn(pairs, seed=3, monitor=TrainingMonitor(folder=tmp_path, kept=kill))
    curve: list[Mapping[str, float]] = []
    said: list[str] = []
    resumed = settings.learn(pairs, seed=3, monitor=TrainingMonitor(curve.append, said.append, tmp_path))
    assert said[0] == f"goes on from step {step} of {settings.schedule().steps}"
    assert curve[-1]["step"] == settings.schedule().steps
    for key, tensor in whole.state_dict().items():
        assert torch.equal(tensor, resumed.state_dict()[key]), key


def test_the_rate_falls_to_zero_over_the_second_half_of_deceiving(name: str) -> None:
    schedule = dataclasses.replace(
        attack(name).schedule(), pretrain_steps=10, warmup_steps=20, adversarial_steps=100, lr=0.5
    )
    rates = [schedule.lr * schedule.share_of_lr(step) for step in range(schedule.steps)]
    assert rates[: 10 + 20 + 50 + 1] == [0.5] * 81
    assert rates[-1] == pytest.approx(0.01)
    np.testing.assert_allclose(np.diff(rates[80:]), -0.01)


def in_progress(name: str, **changes: Any) -> RestorationTraining:
    """A training before its first adversarial step."""
    under_way = attack(name, **changes).training(median_pairs(), seed=0)
    under_way.step = under_way.schedule.first_adversarial_step
    return under_way


def test_the_loss_is_the_sum_of_its_parts(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One step's loss, once more by hand from what each part is said to be."""
    under_way = in_progress(name, adversarial=0.3, **({"co_occurrence": 0.2} if "ens" in name else {"perceptual": 0.7}))
    under_way.precision = "float32"  # as by hand, on a processor that has bfloat16, too
    torch.nn.init.normal_(under_way.generator.last.weight, std=0.1, generator=torch.Generator().manual_seed(0))
    for optimiser in under_way.optimisers.values():
        optimiser.param_groups[0]["lr"] = 0.0  # the networks stay as they are
    of_discriminator: list[Tensor] = []

    def discriminator_loss(pristine: Tensor, restored: Tensor) -> Tensor:
        assert not restored.requires_grad
        of_discriminator.append(RestorationTraining.discriminator_loss(under_way, pristine, restored))
        return of_discriminator[-1]

    monkeypatch.setattr(under_way, "discriminator_loss", discriminator_loss)
    batch = under_way.batch(0)
    loss = under_way.take_step(batch)
    pristine, manipulated = (patches.float() for patches in batch.unbind(1))
    under_way.generator.train()
    discriminator, perceptual_net = under_way.discriminator.eval(), under_way.perceptual_net.eval()
    with torch.no_grad():
        stored = under_way.generator(manipulated).clamp(0, 255).round()
        assert not torch.equal(stored, under_way.generator(manipulated))
        restored = under_way.generator(manipulated)
        expected = ((restored - pristine) / 255).square().mean()
        expected += 0.3 * torch.log1p(discriminator(stored).exp()).mean()  # small where it takes them for pristine
        if name == "gan-ensemble":
            roots = [(soft_s3_spam14hv(x, exact_quantiser(), alpha=1.0) + 1e-4).sqrt() for x in (stored, pristine)]
            expected += 0.2 * (roots[0] - roots[1]).square().sum(1).mean()
        else:
            assert isinstance(perceptual_net, Discriminator)
            seen = [perceptual_net.features(x) for x in (stored, pristine)]
            expected += 0.7 * (seen[0] - seen[1]).square().mean() / seen[1].square().mean()
    torch.testing.assert_close(loss, expected, rtol=1e-4, atol=1e-6)
    # The discriminator is to call what a file would hold manipulated (above 0), and pristine patches not.
    with torch.no_grad():
        real, false = discriminator.train()(torch.cat([pristine, stored])).chunk(2)
        theirs = (torch.log1p(real.exp()).mean() + torch.log1p((-false).exp()).mean()) / 2
    torch.testing.assert_close(of_discriminator, [theirs], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("real", "false", "same", "sure"),
    [
        ([[1.0, -2.0], [1.0, -2.0]], [[1.0, -2.0], [1.0, -2.0]], 1, 0),  # each member says the same of all
        ([[1.0, -2.0], [1.0, -2.0]], [[1.0, -2.0], [1.0, 3.0]], 0, 0),
        ([[-20.0, -30.0], [-21.0, -15.0]], [[20.0, 30.0], [9.0, 25.0]], 0, 1),
        ([[-20.0, -30.0], [-21.0, -15.0]], [[20.0, 30.0], [9.0, 5.0]], 0, 0),  # one is left in doubt
    ],
)
def test_a_collapse_is_that_of_every_member(
    real: list[list[float]], false: list[list[float]], same: int, sure: int
) -> None:
    watch = DiscriminatorWatch()
    watch.look(torch.tensor(real), torch.tensor(false))
    assert (watch.same, watch.sure) == (same, sure)
    assert watch.steps == max(same, sure)


def test_a_discriminator_is_watched_from_its_first_adversarial_step_on(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "SAME", math.inf)
    under_way = in_progress(name)
    under_way.step -= 1
    under_way.take_step(under_way.batch(0))
    assert under_way.watch == DiscriminatorWatch()
    under_way.step += 1
    under_way.take_step(under_way.batch(1))
    assert under_way.watch == DiscriminatorWatch(same=1)


def test_bfloat16_learns_nearly_what_float32_does(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accelerator, "is_fast_in_bfloat16", lambda _: False)
    whole = attack(name).learn(median_pairs(), seed=0)
    monkeypatch.setattr(accelerator, "is_fast_in_bfloat16", lambda _: True)
    half = attack(name).learn(median_pairs(), seed=0)
    assert (whole.facts["precision"], half.facts["precision"]) == ("float32", "bfloat16")
    assert half.facts["ended"] == PLANNED
    assert {tensor.dtype for tensor in half.parameters()} == {torch.float32}
    learned, apart = whole.last.weight, half.last.weight - whole.last.weight  # it begins with zeros
    assert 0 < apart.norm() < 0.1 * learned.norm()


def test_another_seed_learns_something_else(name: str) -> None:
    one, other = (attack(name).learn(median_pairs(), seed=seed).last.weight for seed in (0, 1))
    assert not torch.equal(one, other)
    assert torch.equal(attack(name, seed=1).learn(median_pairs(), seed=0).last.weight, other)


def test_a_discriminator_that_collapses_ends_the_training_with_what_was_good(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "STEPS_OF_COLLAPSE", 3)
    monkeypatch.setattr(training, "SAME", math.inf)
    said: list[str] = []
    learned = attack(name, steps=40).learn(median_pairs(), seed=0, monitor=TrainingMonitor(say=said.append))
    assert learned.facts["ended"] == COLLAPSED
    assert "the discriminator collapsed at step" in str(learned.facts["reason"])
    assert "tells nothing from anything" in str(learned.facts["reason"])
    assert said[-1] == f"{learned.facts['reason']}; the state of step {learned.facts['best_step']} is kept"
    assert 0 < int(learned.facts["best_step"]) == int(learned.facts["steps"]) < 40


def test_what_is_kept_after_a_collapse_can_restore(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "STEPS_OF_COLLAPSE", 2)
    monkeypatch.setattr(training, "SURE", -math.inf)
    settings = attack(name, steps=40)
    learned = settings.learn(median_pairs(), seed=0)
    assert learned.facts["ended"] == COLLAPSED
    assert "is sure of every patch" in str(learned.facts["reason"])
    assert str(learned.facts["reason"]).endswith("; what is kept never met the discriminator")
    # It never deceived anybody: what is left is what fidelity alone taught.
    schedule = settings.schedule()
    assert learned.facts["best_step"] == schedule.pretrain_steps + schedule.warmup_steps
    assert learned.last.weight.abs().max() > 0


@pytest.mark.parametrize("step", [1, 17, 18])
def test_killed_around_a_collapse_it_ends_as_it_would_have(
    step: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "STEPS_OF_COLLAPSE", 4)
    monkeypatch.setattr(training, "SAME", math.inf)
    monkeypatch.setattr(monitor, "SECONDS_BETWEEN_CHECKPOINTS", -1.0)
    settings, pairs, kept = attack("gan-ensemble", steps=40), median_pairs(), iter(range(100))
    whole = settings.learn(pairs, seed=0)

    def kill() -> None:
        if next(kept) + 1 == step:
            raise Killed

    with pytest.raises(Killed):
        settings.learn(pairs, seed=0, monitor=TrainingMonitor(folder=tmp_path, kept=kill))
    resumed = settings.learn(pairs, seed=0, monitor=TrainingMonitor(folder=tmp_path))
    assert whole.facts["ended"] == COLLAPSED
    assert {**resumed.facts, "seconds": 0} == {**whole.facts, "seconds": 0}
    assert all(torch.equal(tensor, resumed.state_dict()[key]) for key, tensor in whole.state_dict().items())


def spoil_generator(monkeypatch: pytest.MonkeyPatch, first: int) -> None:
    """From this step on, let the generator that is kept hold NaN."""
    original = RestorationTraining.take_step

    def take_step(self: RestorationTraining, batch: Tensor) -> Tensor:
        loss = original(self, batch)
        if self.step >= first:
            self.network.last.weight.data.fill_(math.nan)
        return loss

    monkeypatch.setattr(RestorationTraining, "take_step", take_step)


def spoil_loss(monkeypatch: pytest.MonkeyPatch, first: int) -> None:
    """From this step on, let the generator's loss be NaN."""
    original = RestorationTraining.fidelity

    def fidelity(self: RestorationTraining, restored: Tensor, pristine: Tensor, manipulated: Tensor) -> Tensor:
        return original(self, restored, pristine, manipulated) * (math.nan if self.step >= first else 1)

    monkeypatch.setattr(RestorationTraining, "fidelity", fidelity)


def test_a_generator_that_holds_nan_is_no_result(monkeypatch: pytest.MonkeyPatch) -> None:
    spoil_generator(monkeypatch, first=0)
    with pytest.raises(TrainingError, match="the network holds NaN or infinity after step"):
        attack("gan-kim").learn(median_pairs(), seed=0)


@pytest.mark.parametrize("between_looks", [1, 7, 1000])
@pytest.mark.parametrize("what", ["loss", "generator"])
def test_nan_ends_the_training_with_what_was_good(
    what: str, between_looks: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And where it is found, which is up to the clock, changes nothing."""
    nan = 31
    monkeypatch.setattr(monitor, "STEPS_BETWEEN_LOOKS", between_looks)
    spoil = spoil_loss if what == "loss" else spoil_generator
    spoil(monkeypatch, first=nan)
    settings = attack("gan-kim", steps=40)
    good = max(step for step in settings.schedule().validated_at if step <= nan)
    learned = settings.learn(median_pairs(), seed=0)
    step = nan if what == "loss" else min(step for step in settings.schedule().validated_at if step > nan)
    wrong = f"the loss became nan at step {step}" if what == "loss" else f"holds NaN or infinity after step {step}"
    assert learned.facts["ended"] == DIVERGED
    assert wrong in str(learned.facts["reason"])
    assert (learned.facts["steps"], learned.facts["best_step"]) == (good, good)
    assert all(torch.isfinite(tensor).all() for tensor in learned.state_dict().values())


def test_fidelity_to_the_manipulated_patch_needs_no_aligned_pairs() -> None:
    pairs = median_pairs()
    elsewhere = Pairs(pairs.pristine, Patches(pairs.manipulated.stacks[::-1]), pairs.held_out)
    assert attack("gan-ensemble", like="manipulated").learn(elsewhere, seed=0).facts["ended"] == PLANNED
    one, other = (torch.from_numpy(some[np.arange(6)]).float() for some in (pairs.pristine, pairs.manipulated))
    assert co_occurrence_distance(one, one.flip(0), together=True).item() == pytest.approx(0, abs=1e-9)
    assert co_occurrence_distance(one, one.flip(0)) > 0
    assert co_occurrence_distance(other, one, together=True) > 0


def test_a_loss_that_is_no_number_is_an_error_that_says_where(monkeypatch: pytest.MonkeyPatch) -> None:
    spoil_loss(monkeypatch, first=0)
    with pytest.raises(TrainingError, match="the loss became nan at step 4; a smaller lr may help"):
        attack("gan-kim", steps=30).learn(median_pairs(), seed=0)


def test_without_held_out_photographs_it_learns_too() -> None:
    learned = attack("gan-kim").learn(median_pairs(held_out=0), seed=0)
    assert learned.facts["best_step"] == learned.facts["steps"]
    assert not any(name.startswith("validation") for name in learned.facts)


REFUSED: Mapping[str, tuple[Callable[[], object], type[CounterforensicsError], str]] = {
    "small patches": (
        lambda: attack("gan-kim").learn(median_pairs(size=48), seed=0),
        TrainingError,
        "restoration is learned on squares of 64x64, got patches of 48x48",
    ),
    "no pairs": (
        lambda: attack("gan-kim").learn(median_pairs(photos=2, held_out=2), seed=0),
        TrainingError,
        "no pairs to train on",
    ),
    "size": (lambda: attack("gan-vgg", size="big"), AttackError, "gan-vgg: size must be full or small, got 'big'"),
    "like": (lambda: parse("gan-vgg:like=original"), AttackError, "like must be pristine or manipulated"),
    "steps": (lambda: parse("gan-kim:steps=-1"), AttackError, "steps must be a whole number, 0..10000000, got -1"),
    "pairs": (lambda: parse("gan-kim:pairs_per_step=-1"), AttackError, "pairs_per_step must be a whole number, 0.."),
    "perceptual": (lambda: parse("gan-kim:perceptual=-1"), AttackError, "perceptual must lie between 0 and 1e+06"),
    "members": (lambda: parse("gan-ensemble:members=0"), AttackError, "members must be a whole number, 1..64, got 0"),
    "training mode": (
        lambda: restore(some_patches(), attack("gan-kim").build().train()),
        AttackError,
        "this generator is in training mode",
    ),
    "no noise": (
        lambda: untrained("gan-ensemble", noisy=True)(torch.zeros(1, 1, 8, 8)),
        AttackError,
        "needs noise beside the pixels",
    ),
    "folder": (
        lambda: load_generator("nowhere"),
        WeightsError,
        "no generator at nowhere: a folder with",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_bad_input_gets_one_clear_error(case: str) -> None:
    call, error, message = REFUSED[case]
    with pytest.raises(error) as caught:
        call()
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_generator_is_loaded_as_it_was_saved_and_not_as_another_size(name: str, tmp_path: Path) -> None:
    generator = untrained(name)
    weights.save(generator, tmp_path, name=name, settings=attack(name), record={}, kind="generator")
    assert torch.equal(restore(some_patches(), load_generator(tmp_path)), restore(some_patches(), generator))
    record = json.loads((tmp_path / "generator.json").read_text())
    record["settings"]["size"] = "full"
    (tmp_path / "generator.json").write_text(json.dumps(record))
    with pytest.raises(WeightsError, match="holds another generator than its record says"):
        load_generator(tmp_path)


# --- in a study


GAN, FOLDER = f"gan-kim:{TINY}", "gan-kim-size-small-steps-6-pairs_per_step-2-lr-0.001"


@pytest.fixture(scope="module")
def settings() -> dict[str, Any]:
    return tiny_settings(
        manipulations=["median:7", "jpeg:70"],
        detectors=["spam-svm"],
        attacks=[{"attack": GAN, "manipulations": ["median:7"]}],
    )


@pytest.fixture(scope="module")
def restored(settings: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study with a generator.  Read it, do not write to it."""
    folder = tmp_path_factory.mktemp("restored")
    outcome = run_study(load_study(str(write_study(folder / "gan.yaml", settings))), folder / "out", workers=2)
    assert outcome.failures == ()
    return folder / "out"


def rows_of(out: Path, table: str = "rows.csv") -> list[dict[str, str]]:
    with (out / table).open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def forbidden(*_: object, **__: object) -> None:
    """Stands for a training that must not happen."""
    raise AssertionError("it learned again")


def test_a_study_learns_one_generator_and_only_for_the_manipulations_that_it_is_to_hide(restored: Path) -> None:
    attacked = [row for row in rows_of(restored) if row["attack"]]
    assert [(row["manipulation"], row["target"]) for row in attacked] == [("median:7", "")]
    assert 0 < float(attacked[0]["psnr"]) < math.inf
    (trained,) = (row for row in rows_of(restored, "trainings.csv") if row["role"] == "generator")
    assert (trained["manipulation"], trained["part"], trained["perceptual_net"]) == ("median:7", GAN, "discriminator")
    assert [trained[name] for name in ("steps", "best_step", "pairs_per_step", "patches")] == ["9", "9", "2", "36"]
    assert (trained["ended"], trained["reason"]) == (PLANNED, "")
    assert 0 < float(trained["validation_psnr"]) < math.inf
    assert 0 <= float(trained["validation_detected"]) <= 1
    generator = load_generator(restored / "generators" / "0" / FOLDER / "median:7")
    assert generator.facts["ended"] == PLANNED


def test_a_new_judge_does_not_learn_the_generator_again(
    restored: Path, settings: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(GanRestoration, "learn", forbidden)
    more = settings | {"detectors": ["spam-svm", "spam-svm:c=0.2"]}
    study = load_study(str(write_study(tmp_path / "more.yaml", more)))
    outcome = run_study(study, tmp_path / "out", workers=2, store=str(restored / "store"))
    assert outcome.failures == ()
    assert len([row for row in rows_of(tmp_path / "out") if row["attack"]]) == 2


def test_a_generator_from_a_folder_gives_the_same_figures(
    restored: Path, settings: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(GanRestoration, "learn", forbidden)
    folder = restored / "generators" / "0" / FOLDER / "median:7"
    named = {"attack": f"gan-kim:size=small,weights={folder}", "manipulations": ["median:7"]}
    study = load_study(str(write_study(tmp_path / "named.yaml", settings | {"attacks": [named]})))
    assert run_study(study, tmp_path / "out", workers=2).failures == ()
    (ours,), (theirs,) = ([row for row in rows_of(out) if row["attack"]] for out in (tmp_path / "out", restored))
    told = {"attack", "attack_label"}  # the attack names the folder
    assert {key: ours[key] for key in ours.keys() - told} == {key: theirs[key] for key in theirs.keys() - told}


def taken(folder: Path) -> dict[str, Any]:
    """The attack with the generator in `folder`."""
    return {"attack": f"gan-kim:size=small,weights={folder}", "manipulations": ["median:7"]}


FOREIGN: Mapping[str, tuple[dict[str, Any], str]] = {
    "another size": ({"settings": {"size": "full"}}, "holds a generator with size=full, not size=small; set size=full"),
    "another loss": (
        {"settings": {"perceptual": 0.0}},
        "with perceptual=0.0, not perceptual=0.001; set",
    ),
    "another manipulation": ({"manipulation": "jpeg:70"}, "learned to hide jpeg:70, not median:7"),
    "another discriminator": ({"generator": "gan-vgg"}, "holds a generator of gan-vgg, not of gan-kim"),
}


@pytest.mark.parametrize("case", FOREIGN)
def test_a_generator_of_something_else_is_refused(
    case: str, restored: Path, settings: dict[str, Any], tmp_path: Path
) -> None:
    changes, message = FOREIGN[case]
    folder = Path(shutil.copytree(restored / "generators" / "0" / FOLDER / "median:7", tmp_path / "generator"))
    record = json.loads((folder / "generator.json").read_text())
    (folder / "generator.json").write_text(json.dumps(record | changes))
    study = load_study(str(write_study(tmp_path / "named.yaml", settings | {"attacks": [taken(folder)]})))
    with pytest.raises(CounterforensicsError, match=re.escape(message)):
        run_study(study, tmp_path / "out", workers=2)


def test_a_generator_that_saw_a_test_photograph_is_refused(
    restored: Path, settings: dict[str, Any], tmp_path: Path
) -> None:
    with (restored / "photos.csv").open(encoding="utf-8") as file:
        learned_on = {row["device"] for row in csv.DictReader(file) if row["role"] != "test"}
    named = taken(restored / "generators" / "0" / FOLDER / "median:7")
    swapped = settings | {"attacks": [named], "split": {"test": sorted(learned_on)}}
    study = load_study(str(write_study(tmp_path / "swapped.yaml", swapped)))
    with pytest.raises(StudyError, match=r"learned on \d of the test photographs; take another, or test on others"):
        run_study(study, tmp_path / "out", workers=2)


def test_a_generator_that_saw_other_photographs_of_a_test_device_is_refused(
    restored: Path, settings: dict[str, Any], tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(restored / "generators" / "0" / FOLDER / "median:7", tmp_path / "generator"))
    record = json.loads((folder / "generator.json").read_text())
    (folder / "generator.json").write_text(json.dumps(record | {"photos": ["other ones"]}))
    swapped = settings | {"attacks": [taken(folder)], "split": {"test": record["devices"]}}
    study = load_study(str(write_study(tmp_path / "swapped.yaml", swapped)))
    with pytest.raises(StudyError, match=f"learned on photographs of the test device {record['devices'][0]}; take"):
        run_study(study, tmp_path / "out", workers=2)
    for unsaid in ("photos", "devices"):
        (folder / "generator.json").write_text(json.dumps({key: record[key] for key in record.keys() - {unsaid}}))
        with pytest.raises(StudyError, match="does not say on which photographs it learned"):
            run_study(study, tmp_path / "out", workers=2)


def record_of(text: str) -> Mapping[str, Any] | None:
    """The record of the generator that this attack takes from a folder."""
    parsed = parse(text)
    assert isinstance(parsed, GanRestoration)
    return parsed.pretrained_record()


def test_what_is_said_of_a_generator_from_a_folder_is_true(restored: Path) -> None:
    folder = restored / "generators" / "0" / FOLDER / "median:7"
    for said in ("", "steps=6,", "lr=0.001,seed=3,"):  # how it learned may be left out
        assert record_of(f"gan-kim:size=small,{said}weights={folder}") is not None
    for untrue in ("steps=7", "lr=0.01", "beta1=0.5", "adversarial=0", "like=manipulated"):
        with pytest.raises(WeightsError, match=f"not {untrue.split('=')[0]}="):
            record_of(f"gan-kim:size=small,{untrue},weights={folder}")


def test_a_generator_that_is_not_there_is_named_as_the_study_names_it(settings: dict[str, Any], tmp_path: Path) -> None:
    study = load_study(str(write_study(tmp_path / "s.yaml", settings | {"attacks": [taken(tmp_path / "nothing")]})))
    with pytest.raises(CounterforensicsError, match=f"no generator at {tmp_path / 'nothing'}: a folder with"):
        run_study(study, tmp_path / "out", workers=2)
    with pytest.raises(AttackError, match="weights must be a folder of this machine, got 's3://bucket/g'; copy it"):
        attack("gan-vgg", weights="s3://bucket/g")


def test_where_pixels_move_nothing_is_compared_with_the_pristine_patch(tmp_path: Path) -> None:
    target = "cozzolino2017:svm_pairs=64,steps=0"
    study = tiny_study(
        tmp_path,
        manipulations=["resize:1.5"],
        detectors=["spam-svm", target],
        attacks=[{"attack": "fgsm", "targets": [target]}],
    )
    outcome = run_study(study, tmp_path / "out", workers=2)
    assert outcome.failures == ()
    assert [one.missing for one in outcome.spectra] == [None]
    for row in [row for row in rows_of(tmp_path / "out") if row["attack"]]:
        assert row["ssim"]
        assert [row[name] for name in ("psnr_pristine", "psnr_before", "ssim_pristine", "ssim_before")] == [""] * 4


def test_a_study_refuses_what_a_generator_cannot_learn_before_it_begins(tmp_path: Path) -> None:
    gan = [{"attack": "gan-kim"}]
    with pytest.raises(AttackError, match=r"gan-kim: like=pristine needs .* and resize:1.5 moves them"):
        tiny_study(tmp_path, manipulations=["resize:1.5"], attacks=gan)
    with pytest.raises(AttackError, match="gan-kim learns on patches of at least 64, got size 48"):
        tiny_study(tmp_path, attacks=gan, patches={"per_photo": 4, "size": 48})
    tiny_study(tmp_path, manipulations=["resize:1.5"], attacks=[{"attack": "gan-kim:like=manipulated"}])


def test_an_attack_names_manipulations_of_its_study(tmp_path: Path) -> None:
    with pytest.raises(CounterforensicsError, match=r"unknown manipulation of gan-kim .median:5."):
        tiny_study(tmp_path, attacks=[{"attack": "gan-kim", "manipulations": ["median:5"]}])


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"settings": None}, "settings must be an object, got null"),
        ({"settings": 3}, "settings must be an object, got a number"),
        ({"settings": []}, "settings must be an object, got a list"),
        ({"settings": True}, "settings must be an object, got true or false"),
        ({"generator": 3}, "generator must be a text, got a number"),
        ({"photos": 3}, "photos must be a list, got a number"),
        ({"devices": [3]}, "devices must be a list of texts"),
        ({"manipulation": []}, "manipulation must be a text, got a list"),
    ],
)
def test_the_record_of_a_generator_of_another_shape_is_one_clear_line(
    tmp_path: Path, changes: dict[str, Any], said: str
) -> None:
    record = {"generator": "gan-kim", "settings": {}, "sha256": "0", "manipulation": "median:7"}
    (tmp_path / "generator.json").write_text(json.dumps(record | changes), encoding="utf-8")
    for use in (load_generator, lambda folder: GENERATORS["gan-kim"](weights=str(folder)).pretrained_record()):
        with pytest.raises(WeightsError) as caught:
            use(tmp_path)
        assert said in str(caught.value)
        assert str(caught.value).count("\n") == 0
