"""How detectors are trained: one step, one validation, and which state is kept. `learning.loop` has the rest."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import softplus

from counterforensics.detectors.base import Network
from counterforensics.errors import TrainingError
from counterforensics.learning import accelerator
from counterforensics.learning.batches import Batch, augmentation_in_words, central, draw
from counterforensics.learning.layers import GhostBatchNorm2d, project, reseed
from counterforensics.learning.loop import TrainingLoop
from counterforensics.learning.monitor import SILENT, TrainingMonitor
from counterforensics.photos.patches import Pairs, Patches
from counterforensics.pixels import to_pixels
from counterforensics.ranking import auc
from counterforensics.seeds import seed_for

# From margins, float32 of any shape, to a loss for each. A margin is a logit times the sign of the right verdict (-1
# pristine, 1 manipulated), so it is above 0 where the verdict is right.
Loss = Callable[[Tensor], Tensor]

AnyNetwork = TypeVar("AnyNetwork", bound=Network)

# Patches that pass at once on a processor, whose caches hold no more; a GPU takes a whole step.
PATCHES_PER_PASS = 32


def cross_entropy(margins: Tensor) -> Tensor:
    """Binary cross-entropy of each margin."""
    return softplus(-margins)


def squared_hinge(margins: Tensor) -> Tensor:
    """The loss of a linear SVM as scikit-learn's LinearSVC has it."""
    return (1 - margins).clamp_min(0).square()


@dataclass(frozen=True)
class TrainingSchedule:
    """How long a detector is trained, and what it sees.

    steps: of the optimiser; each sees `pairs_per_step` pristine patches and the same cells manipulated, so both classes
    weigh the same.
    warm_up: share (0..1) of the steps over which the learning rate climbs; then it falls to zero on a cosine.
    validations: beside the one before the first step, spread evenly; each sees at most `validated` held-out pairs.
    patience: after so many validations in a row without a better one training ends; 0 never ends it early.
    augment, crop: as `learning.batches.draw_pairs` has them.
    precision: `float32`, or `bfloat16` wherever the hardware has it.
    """

    steps: int
    pairs_per_step: int = 32
    warm_up: float = 0.0
    validations: int = 3
    validated: int = 512
    patience: int = 0
    augment: bool = False
    crop: int = 0
    precision: str = "float32"

    @property
    def augmentation(self) -> str:
        """What is done to patches before the network sees them, in words."""
        return augmentation_in_words(augment=self.augment, crop=self.crop)

    @property
    def validated_at(self) -> set[int]:
        """Steps after which the network is validated; 0 is before the first step."""
        return {round(step) for step in np.linspace(0, self.steps, self.validations + 1)}

    def share_of_lr(self, step: int) -> float:
        """The learning rate at `step`, counted from 0, as a share (0..1) of the highest one."""
        climb = max(1.0, self.warm_up * self.steps)
        return min(1.0, (step + 1) / climb) * (1 + math.cos(math.pi * step / max(self.steps, 1))) / 2


def fit(
    network: AnyNetwork,
    pairs: Pairs,
    optimiser: torch.optim.Optimizer,
    *,
    schedule: TrainingSchedule,
    seed: int,
    loss: Loss = cross_entropy,
    monitor: TrainingMonitor = SILENT,
) -> AnyNetwork:
    """Train `network` in place and keep the state that validates best; it ends on the processor, ready to judge.

    optimiser: over the network's parameters, each group with its highest learning rate.
    monitor: where checkpoints lie, if anywhere. Started again with the same arguments, training goes on from the
    checkpoint and ends with the same weights. The monitor gets step, loss (of training, mean since the last point),
    validation loss, accuracy and AUC.
    The state before the first step is validated too, so training can only keep or improve it. Without held-out
    photographs the last state is kept. A batch that a GPU has no memory for passes in halves, with the same result.
    Raises TrainingError without pairs, or if the loss stops being finite: the last checkpoint is then kept.
    """
    DetectorTraining(network, pairs, optimiser, schedule=schedule, seed=seed, loss=loss, monitor=monitor).run()
    return network


class DetectorTraining(TrainingLoop[Batch, Network]):
    """The training of one detector."""

    schedule: TrainingSchedule

    def __init__(
        self,
        network: Network,
        pairs: Pairs,
        optimiser: torch.optim.Optimizer,
        *,
        schedule: TrainingSchedule,
        seed: int,
        monitor: TrainingMonitor,
        loss: Loss = cross_entropy,
    ) -> None:
        """As `fit`."""
        groups = [{name: value for name, value in g.items() if name != "params"} for g in optimiser.param_groups]
        how = f"{type(optimiser).__name__} {groups} {getattr(loss, '__name__', '')}"
        settings = f"{type(self).__name__} {type(network).__name__} {how}"
        super().__init__(network, pairs, schedule, seed=seed, monitor=monitor, settings=settings)
        self.optimiser = optimiser
        self.loss = loss
        self.modules = {"network": self.network}
        self.optimisers = {"network": optimiser}
        whole = 2 * schedule.pairs_per_step
        self.patches_per_pass = whole if self.device.type == "cuda" else min(whole, PATCHES_PER_PASS)

    def batch(self, step: int) -> Batch:
        """As `TrainingLoop.batch`."""
        generator = np.random.default_rng([self.seed, step])
        count, augment, crop = self.schedule.pairs_per_step, self.schedule.augment, self.schedule.crop
        return draw(self.pairs, count, generator, augment=augment, crop=crop)

    def take_step(self, batch: Batch) -> Tensor:
        """As `TrainingLoop.take_step`; the mean loss of all patches and outputs."""
        self.network.train()
        loss = self._accumulate_gradient(batch.to(self.device))
        self.optimiser.step()
        project(self.network)
        return loss

    def _accumulate_gradient(self, batch: Batch) -> Tensor:
        """The mean loss, and its gradient in the parameters, in as many passes as memory asks for."""
        while True:
            buffers = [buffer.clone() for buffer in self.network.buffers()]
            try:
                self.optimiser.zero_grad()
                reseed(self.network, seed_for(self.seed, "dropout", self.step))
                return torch.stack([self._pass(part, len(batch)) for part in batch.parts(self.patches_per_pass)]).sum()
            except torch.OutOfMemoryError as error:
                self._halve_passes(error)
                for buffer, before in zip(self.network.buffers(), buffers, strict=True):
                    buffer.copy_(before)

    def _pass(self, part: Batch, patches: int) -> Tensor:
        """Add the gradient of one part of a batch of so many patches to the others'; the part's share of the loss."""
        with accelerator.autocast(self.device, self.precision):
            outputs = self.network.outputs(to_pixels(part.patches))
        share = self.total_loss(part, outputs.float()) / patches
        share.backward()  # type: ignore[no-untyped-call]
        return share.detach()

    def total_loss(self, part: Batch, outputs: Tensor) -> Tensor:
        """The sum of the losses of the patches in `part`, from the network's outputs for them: a scalar."""
        return (self.loss(part.signs * outputs) * part.weights).sum()

    def _halve_passes(self, error: torch.OutOfMemoryError) -> None:
        """Let half as many patches pass at once, in whole groups, so that batch normalisation sees the same groups."""
        smaller = self.patches_per_pass // 2 // GhostBatchNorm2d.GROUP * GhostBatchNorm2d.GROUP
        if not smaller:
            raise TrainingError(
                f"{accelerator.describe(self.device)} has no memory for {self.patches_per_pass} patches at once; "
                "free some, or hide the GPU (CUDA_VISIBLE_DEVICES=) to train on the processor"
            ) from error
        self.monitor.say(
            f"out of memory with {self.patches_per_pass} patches at once; goes on with {smaller}, the result the same"
        )
        self.patches_per_pass = smaller
        torch.cuda.empty_cache()

    def validation(self) -> dict[str, float]:
        """As `TrainingLoop.validation`: mean loss, accuracy (0..1) and AUC (0..1, ties half)."""
        names = ("validation_loss", "validation_accuracy", "validation_auc")
        if not len(self.validation_indices):
            return dict.fromkeys(names, math.nan)
        pristine, manipulated = self.held_out_logits()
        loss = self.loss(torch.cat([-pristine, manipulated])).mean().item()
        accuracy = float(((pristine <= 0).double().mean() + (manipulated > 0).double().mean()) / 2)
        ranked = torch.isfinite(torch.cat([pristine, manipulated])).all()
        area = auc(pristine.numpy(), manipulated.numpy()) if ranked else math.nan
        return dict(zip(names, (loss, accuracy, area), strict=True))

    @torch.no_grad()
    def held_out_logits(self) -> tuple[Tensor, Tensor]:
        """The logits of the chosen held-out patches, pristine and manipulated: two float32 [n], on the processor."""
        self.network.eval()
        return self._logits(self.held_out.pristine), self._logits(self.held_out.manipulated)

    def _logits(self, patches: Patches) -> Tensor:
        """Of several outputs each patch gets that of the manipulation that it shows, or that its pair shows."""
        which = torch.from_numpy(self.held_out.output[self.validation_indices])
        return self.outputs_for(patches).gather(1, which[:, None])[:, 0]

    def outputs_for(self, patches: Patches) -> Tensor:
        """The network's outputs for the chosen ones of held-out patches: float32 [n, outputs], on the processor."""
        parts = []
        for some in patches.batches(PATCHES_PER_PASS, self.validation_indices):
            shown = torch.from_numpy(central(some, self.schedule.crop)).to(self.device)
            with accelerator.autocast(self.device, self.precision):
                parts.append(self.network.outputs(to_pixels(shown)).float().cpu())
        return torch.cat(parts)

    def is_to_be_kept(self, point: dict[str, float]) -> bool:
        """As `TrainingLoop.is_to_be_kept`: the state with the smallest loss; the last one without held-out pairs."""
        best = min((earlier["validation_loss"] for earlier in self.points), default=math.inf)
        return point["validation_loss"] < best or not len(self.held_out)

    def is_exhausted(self) -> bool:
        """As `TrainingLoop.is_exhausted`."""
        stale = sum(point["step"] > self.best_step for point in self.points)
        return 0 < self.schedule.patience <= stale
