"""How a generator is trained: a discriminator learns first, then the generator alone, then one against the other.

Kim et al. (2018) gave the outline; METHODS section 5 says what was added. `learning.loop` has what every training has.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits as cross_entropy
from torch.nn.functional import mse_loss
from torch.optim.swa_utils import get_ema_multi_avg_fn

from counterforensics.attacks.gan_restoration.discriminators import (
    CROP,
    CoOccurrences,
    Discriminator,
    Ensemble,
    check_side,
)
from counterforensics.attacks.gan_restoration.generator import Generator
from counterforensics.laundering import Chain, Platform
from counterforensics.laundering.differentiable import upload
from counterforensics.learning import accelerator
from counterforensics.learning.accelerator import placed
from counterforensics.learning.batches import augmentation_in_words, central, draw_pairs, some_of
from counterforensics.learning.loop import TrainingLoop
from counterforensics.learning.monitor import TrainingMonitor
from counterforensics.photos.patches import Pairs
from counterforensics.pixels import luma
from counterforensics.seeds import seed_for

# The generator that is kept is an exponential moving average of the one that learns. This share of it stays at each
# step: a mean over some fifty steps. A mean over hundreds is nearer to the pristine patches and far from what a
# discriminator takes for one.
EMA_DECAY = 0.98
# A discriminator has collapsed if for so many steps all its logits are the same, or it is this sure of every patch.
STEPS_OF_COLLAPSE = 100
SAME = 1e-4  # the largest standard deviation of logits that counts as the same
SURE = 25.0  # the smallest gap between the logits of pristine and restored patches that counts as sure


@dataclass(frozen=True)
class LossWeights:
    """The weight of each part of the generator's loss.

    fidelity: of the mean squared error, grey levels / 255.
    perceptual: of the mean squared error of a forensic network's features, divided by their mean square.
    adversarial: of the cross-entropy of the discriminator's logits against "pristine".
    co_occurrence: of the squared distance of the roots of soft SPAM features.
    Where pixels moved, the two patches of a pair show other places: then the perceptual part is left out, and
    co-occurrences are compared over all patches of a step together.
    """

    fidelity: float = 1.0
    perceptual: float = 1e-3
    adversarial: float = 1e-3
    co_occurrence: float = 0.0


@dataclass(frozen=True)
class RestorationSchedule:
    """How long each phase lasts, in steps of `pairs_per_step` squares of 64x64 of the same cells before and after.

    pretrain_steps: the discriminator learns to tell manipulated patches from pristine ones. A frozen copy of it is then
    the perceptual network.
    warmup_steps: the generator learns by fidelity alone.
    adversarial_steps: both learn, against each other.
    lr, beta1: of Adam. Over the second half of the last phase the learning rate falls to zero on a line, as in Zhu et
    al. (2017). beta1 is the share of the gradient's running mean that stays at each step: with much of it the two
    networks may chase each other past where they would meet (Radford et al. 2016).
    like: `pristine`, or `manipulated` where the manipulation moves pixels: the patches that fidelity compares with.
    validations: beside the one after the warm-up; each sees at most `validated` held-out pairs.
    precision: `float32`, or `bfloat16` wherever the hardware has it.
    """

    pretrain_steps: int
    warmup_steps: int
    adversarial_steps: int
    pairs_per_step: int = 16
    lr: float = 1e-4
    beta1: float = 0.9
    like: str = "pristine"
    validations: int = 8
    validated: int = 128
    precision: str = "bfloat16"

    @property
    def first_adversarial_step(self) -> int:
        """The first step, counted from 0, in which the generator meets the discriminator."""
        return self.pretrain_steps + self.warmup_steps

    @property
    def steps(self) -> int:
        """Steps of all phases."""
        return self.first_adversarial_step + self.adversarial_steps

    @property
    def augmentation(self) -> str:
        """What is done to patches before the networks see them, in words."""
        return augmentation_in_words(augment=True, crop=CROP)

    @property
    def validated_at(self) -> set[int]:
        """Steps after which the generator is validated: after the warm-up, and evenly over the adversarial phase."""
        count = min(self.validations, max(1, self.adversarial_steps // 10))
        return {round(step) for step in np.linspace(self.first_adversarial_step, self.steps, count + 1)}

    def share_of_lr(self, step: int) -> float:
        """The learning rate at `step`, counted from 0, as a share (0..1) of the highest one."""
        return min(1.0, (self.steps - step) / (self.adversarial_steps / 2))


@dataclass
class DiscriminatorWatch:
    """How many steps in a row a discriminator was of no use to the generator."""

    same: int = 0  # every patch got the same logit
    sure: int = 0  # no patch left a doubt

    def look(self, pristine: Tensor, restored: Tensor) -> None:
        """Count one step by its logits, float32 [n, k] each; of k members of an ensemble, all must be of no use."""
        spreads = torch.cat([pristine, restored]).std(0)
        gaps = restored.amin(0) - pristine.amax(0)
        spread, gap = torch.stack([spreads.max(), gaps.min()]).tolist()
        self.same = self.same + 1 if spread < SAME else 0
        self.sure = self.sure + 1 if gap > SURE else 0

    @property
    def steps(self) -> int:
        """Steps in a row, for either reason."""
        return max(self.same, self.sure)


class RestorationTraining(TrainingLoop[Tensor, Generator]):
    """The training of one generator. The network that is kept is the average of the generator that learns."""

    schedule: RestorationSchedule
    ends_with_last_kept = True

    def __init__(
        self,
        generator: Generator,
        discriminator: Discriminator | Ensemble,
        pairs: Pairs,
        *,
        weights: LossWeights,
        schedule: RestorationSchedule,
        seed: int,
        monitor: TrainingMonitor,
        settings: str,
        uploads: Sequence[Platform | Chain] = (),
    ) -> None:
        """generator, discriminator: untrained; they are initialised here.  settings: as `TrainingLoop`.

        uploads: what the generator learns against sees patches after one of these, by turns; none for no upload.

        Raises TrainingError without pairs, or if patches are smaller than 64x64.
        """
        random = torch.Generator().manual_seed(seed)
        generator.initialise(random)
        discriminator.initialise(random)
        settings = f"{settings} {weights}"
        super().__init__(copy.deepcopy(generator), pairs, schedule, seed=seed, monitor=monitor, settings=settings)
        check_side(*self.pairs.pristine.stacks[0].shape[-2:])
        self.weights = weights
        self.uploads = uploads
        self.generator = placed(generator)
        self.discriminator = discriminator.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.perceptual_net = copy.deepcopy(self.discriminator)
        self.watch = DiscriminatorWatch()
        learning: dict[str, nn.Module] = {"generator": self.generator, "discriminator": self.discriminator}
        self.modules = {**learning, "averaged generator": self.network, "perceptual_net": self.perceptual_net}
        self.optimisers = {name: self._optimiser_for(network) for name, network in learning.items()}

    def _optimiser_for(self, network: nn.Module) -> torch.optim.Optimizer:
        betas = self.schedule.beta1, 0.999
        fused = self.device.type == "cuda"
        return torch.optim.Adam(network.parameters(), lr=self.schedule.lr, betas=betas, fused=fused)

    # --- one step

    def batch(self, step: int) -> Tensor:
        """As `TrainingLoop.batch`: pristine and manipulated squares, uint8 [n, 2, c, 64, 64]."""
        generator = np.random.default_rng([self.seed, step])
        indices = some_of(self.pairs, self.schedule.pairs_per_step, generator)
        return torch.from_numpy(draw_pairs(self.pairs, indices, generator, augment=True, crop=CROP))

    def take_step(self, batch: Tensor) -> Tensor:
        """As `TrainingLoop.take_step`: a step of the phase that `step` lies in."""
        batch = batch.to(self.device)
        pristine, manipulated = (luma(batch[:, state].float()) for state in (0, 1))
        if self.step < self.schedule.pretrain_steps:
            return self._pretrain(pristine, manipulated)
        if self.step < self.schedule.first_adversarial_step:
            return self._warm_up(pristine, manipulated)
        return self._play(pristine, manipulated)

    def _pretrain(self, pristine: Tensor, manipulated: Tensor) -> Tensor:
        """The discriminator learns what the manipulation leaves. After the last such step it is copied."""
        loss = self.discriminator_loss(self.shown(pristine), self.shown(manipulated))
        self._improve("discriminator", loss)
        if self.step == self.schedule.pretrain_steps - 1:
            self.perceptual_net.load_state_dict(self.discriminator.state_dict())
        return loss.detach()

    def _warm_up(self, pristine: Tensor, manipulated: Tensor) -> Tensor:
        """The generator learns by fidelity alone."""
        loss = self.fidelity(self.restore(manipulated), pristine, manipulated)
        self._improve("generator", loss)
        self._update_average()
        return loss.detach()

    def _play(self, pristine: Tensor, manipulated: Tensor) -> Tensor:
        """The discriminator learns what the generator leaves, then the generator learns to hide it."""
        restored = self.restore(manipulated)
        # The discriminator: pristine patches against restored ones, as a file would hold them.
        self._improve("discriminator", self.discriminator_loss(self.shown(pristine), self.shown(restored.detach())))
        # The generator: against the discriminator as it now is.
        loss = self.generator_loss(restored, pristine, manipulated)
        self._improve("generator", loss)
        self._update_average()
        return loss.detach()

    def restore(self, manipulated: Tensor) -> Tensor:
        """What the generator that learns makes of a batch: float32 [n, 1, h, w] in 0..255 -> the same shape."""
        self.generator.train()
        with accelerator.autocast(self.device, self.precision):
            restored: Tensor = self.generator(manipulated, self._noise(manipulated))
        return restored

    def shown(self, pixels: Tensor) -> Tensor:
        """Patches as a file holds them, after the upload of this step: float32 [n, 1, h, w] -> the same shape."""
        stored = as_stored(pixels)
        return upload(stored, self.uploads[self.step % len(self.uploads)]) if self.uploads else stored

    def _noise(self, patches: Tensor) -> Tensor | None:
        """The step's own noise for so many patches, where the generator takes noise."""
        if not self.generator.noisy:
            return None
        random = torch.Generator().manual_seed(seed_for(self.seed, "noise", self.step))
        return torch.randn(patches.shape, generator=random).to(self.device)

    def _improve(self, name: str, loss: Tensor) -> None:
        """Let one of the two networks take a step down the gradient of `loss`."""
        self.optimisers[name].zero_grad()
        loss.backward()
        self.optimisers[name].step()

    def _update_average(self) -> None:
        """Move the average a little towards the generator that learns."""
        decay = min(EMA_DECAY, 1 - 1 / (self.step - self.schedule.pretrain_steps + 1))
        average, learning = self.network.state_dict(), self.generator.state_dict()
        # Counts of batches are no means: they are copied.
        for name in [name for name, tensor in average.items() if not tensor.is_floating_point()]:
            average.pop(name).copy_(learning.pop(name))
        get_ema_multi_avg_fn(decay)(list(average.values()), list(learning.values()), 0)

    # --- losses

    def discriminator_loss(self, pristine: Tensor, restored: Tensor) -> Tensor:
        """Mean cross-entropy of the discriminator's logits; above 0 shall mean restored (or manipulated).

        pristine, restored: float32 [n, 1, 64, 64] in 0..255.  Returns a scalar.
        """
        self.discriminator.train()
        with accelerator.autocast(self.device, self.precision):
            # In one pass: batch normalisation that sees one kind alone would give it away.
            real, false = self.discriminator(torch.cat([pristine, restored])).float().chunk(2)
        if self.step >= self.schedule.first_adversarial_step:
            self.watch.look(real.detach(), false.detach())
        return (cross_entropy(real, torch.zeros_like(real)) + cross_entropy(false, torch.ones_like(false))) / 2

    def generator_loss(self, restored: Tensor, pristine: Tensor, manipulated: Tensor) -> Tensor:
        """The weighted sum of fidelity and the parts of `LossWeights` that see patches as a file would hold them.

        restored, pristine, manipulated: float32 [n, 1, 64, 64] in 0..255.  Returns a scalar.
        """
        stored, pristine_shown = self.shown(restored), self.shown(pristine)
        aligned = self.schedule.like == "pristine"
        loss = self.weights.fidelity * self.fidelity(restored, pristine, manipulated)
        if self.weights.adversarial:
            loss = loss + self.weights.adversarial * self._adversarial(stored)
        if self.weights.perceptual and aligned:
            loss = loss + self.weights.perceptual * self._perceptual(stored, pristine_shown)
        if self.weights.co_occurrence:
            distance = co_occurrence_distance(stored, pristine_shown, together=not aligned)
            loss = loss + self.weights.co_occurrence * distance
        return loss

    def fidelity(self, restored: Tensor, pristine: Tensor, manipulated: Tensor) -> Tensor:
        """Mean squared error to what `like` names, grey levels / 255: three float32 [n, 1, h, w] -> scalar."""
        wanted = pristine if self.schedule.like == "pristine" else manipulated
        return mse_loss(restored / 255, wanted / 255)

    def _adversarial(self, stored: Tensor) -> Tensor:
        self.discriminator.eval()
        with accelerator.autocast(self.device, self.precision):
            logits = self.discriminator(stored).float()
        return cross_entropy(logits, torch.zeros_like(logits))

    def _perceptual(self, stored: Tensor, pristine: Tensor) -> Tensor:
        assert isinstance(self.perceptual_net, Discriminator)
        self.perceptual_net.eval().requires_grad_(False)
        with accelerator.autocast(self.device, self.precision):
            ours = self.perceptual_net.features(stored).float()
            with torch.no_grad():
                theirs = self.perceptual_net.features(pristine).float()
        return mse_loss(ours, theirs) / theirs.square().mean().clamp_min(1e-6)

    # --- between steps

    @torch.no_grad()
    def validation(self) -> dict[str, float]:
        """As `TrainingLoop.validation`.

        validation_psnr: to the patches that `like` names, in dB.  validation_detected: the share (0..1) of restored
        patches that the perceptual network calls manipulated.
        """
        names = ("validation_psnr", "validation_detected")
        count = len(self.validation_indices)
        if not count:
            return dict.fromkeys(names, math.nan)
        self.network.eval()
        self.perceptual_net.eval()
        errors, detected = [], []
        for start in range(0, count, self.schedule.pairs_per_step):
            some = self.validation_indices[start : start + self.schedule.pairs_per_step]
            shown = (central(patches[some], CROP) for patches in (self.held_out.pristine, self.held_out.manipulated))
            pristine, manipulated = (luma(torch.from_numpy(pixels).float().to(self.device)) for pixels in shown)
            stored = as_stored(self.network(manipulated, self._noise(manipulated)))
            errors.append(self.fidelity(stored, pristine, manipulated).item() * len(some))
            detected.append((self.perceptual_net(self.shown(stored)).mean(1) > 0).float().sum().item())
        psnr = -10 * math.log10(max(sum(errors) / count, 1e-12))
        return dict(zip(names, (psnr, sum(detected) / count), strict=True))

    def is_to_be_kept(self, point: dict[str, float]) -> bool:
        """As `TrainingLoop.is_to_be_kept`: the last one that did not learn from a discriminator near its collapse."""
        return self.watch.steps < STEPS_OF_COLLAPSE // 2

    def collapse(self) -> str:
        """As `TrainingLoop.collapse`: the discriminator's."""
        if self.watch.steps < STEPS_OF_COLLAPSE:
            return ""
        why = "tells nothing from anything" if self.watch.same >= STEPS_OF_COLLAPSE else "is sure of every patch"
        return f"the discriminator collapsed at step {self.step}: for {STEPS_OF_COLLAPSE} steps it {why}"

    def end(self, ended: str, reason: str) -> None:
        """As `TrainingLoop.end`; says so where what is kept learned by fidelity alone."""
        if self.best and self.best_step == self.schedule.first_adversarial_step:
            reason += "; what is kept never met the discriminator"
        super().end(ended, reason)

    def memory(self) -> dict[str, Any]:
        """As `TrainingLoop.memory`."""
        return asdict(self.watch)

    def remember(self, memory: dict[str, Any]) -> None:
        """As `TrainingLoop.remember`."""
        self.watch = DiscriminatorWatch(**memory)

    def facts(self) -> dict[str, str | int | float]:
        """As `TrainingLoop.facts`."""
        perceptual = self.weights.perceptual and self.schedule.like == "pristine"
        return super().facts() | {"perceptual_net": "discriminator" if perceptual else "none"}


def as_stored(pixels: Tensor) -> Tensor:
    """Grey levels as a file holds them, whole and in 0..255: float32 of any shape -> the same shape.

    The gradient passes through the rounding unchanged. A discriminator that saw fractions would tell restored patches
    by them.
    """
    clipped = pixels.clamp(0, 255)
    return clipped + (clipped.round() - clipped).detach()


def co_occurrence_distance(stored: Tensor, pristine: Tensor, *, together: bool = False) -> Tensor:
    """Mean squared distance of the roots of soft SPAM features: two float32 [n, 1, h, w] -> scalar.

    together: compare the means over all patches, not the patches of each pair.
    """
    roots = CoOccurrences()
    ours = roots(stored)
    with torch.no_grad():
        theirs = roots(pristine)
    if together:
        ours, theirs = ours.mean(0, keepdim=True), theirs.mean(0, keepdim=True)
    distances: Tensor = (ours - theirs).square().sum(1)
    return distances.mean()
