"""How networks are trained: one loop for all of them, which a killed training goes on from where it was."""

from __future__ import annotations

import contextlib
import math
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import softplus

from counterforensics.detectors.base import Network
from counterforensics.errors import TrainingError
from counterforensics.learning import accelerator
from counterforensics.learning.accelerator import device_of, placed
from counterforensics.learning.batches import Batch, central, draw, prefetched
from counterforensics.learning.checkpoint import Checkpoint, optimiser_state, restore_optimiser
from counterforensics.learning.course import Clock, Course, Losses
from counterforensics.learning.layers import GhostBatchNorm2d, project, reseed
from counterforensics.photos.patches import Pairs, Patches
from counterforensics.pixels import to_pixels
from counterforensics.seeds import seed_for

# A loss of margins: logits with the sign turned so that a positive one is a right verdict.
Loss = Callable[[Tensor], Tensor]

# Patches that pass at once on a processor, whose caches hold no more; a GPU takes a whole step.
PATCHES_PER_PASS = 32


def cross_entropy(margins: Tensor) -> Tensor:
    """Binary cross-entropy of each margin."""
    return softplus(-margins)


def squared_hinge(margins: Tensor) -> Tensor:
    """The loss of a linear SVM as scikit-learn's LinearSVC has it."""
    return (1 - margins).clamp_min(0).square()


@dataclass(frozen=True)
class Schedule:
    """How long a training goes on and what it sees.

    Every step sees `pairs_per_step` pristine patches and the same cells manipulated, so both classes weigh the
    same. The rate climbs over the first `warm_up` share of the steps and falls to zero on a cosine. The state
    before the first step and `validations` more are validated on at most `validated` held-out pairs, and the
    best is kept; after `patience` validations without a better one training ends (0: never early).
    `turned` patches are shown in one of the eight ways a square can lie, which no trace minds; a `crop` above 0
    shows a random square of that side. `precision` is float32, or bfloat16 wherever the hardware has it.
    """

    steps: int
    pairs_per_step: int = 32
    warm_up: float = 0.0
    validations: int = 3
    validated: int = 512
    patience: int = 0
    turned: bool = False
    crop: int = 0
    precision: str = "float32"

    @property
    def augmentation(self) -> str:
        """What is done to patches before the network sees them, in words."""
        square = f"random {self.crop}x{self.crop} squares"
        done = [*(["flips and 90-degree turns"] if self.turned else []), *([square] if self.crop else [])]
        return ", ".join(done) or "no augmentation"

    def share_of_rate(self, step: int) -> float:
        """What share of its highest value the rate has at `step`, 0..1."""
        climb = max(1.0, self.warm_up * self.steps)
        return min(1.0, (step + 1) / climb) * (1 + math.cos(math.pi * step / max(self.steps, 1))) / 2


def fit(
    network: Network,
    pairs: Pairs,
    optimiser: torch.optim.Optimizer,
    *,
    loss: Loss = cross_entropy,
    schedule: Schedule,
    seed: int,
    course: Course,
) -> Network:
    """Train `network` in place and keep the state that validates best; it ends on the processor, ready to judge.

    optimiser: over the network's parameters, each group with the rate at its highest.  course: where it keeps
    checkpoints, if anywhere; started again with the same arguments, it goes on and ends with the same weights.
    The state before the first step is validated too: training can only keep or improve it. Without held-out
    photographs the last state is kept. A batch that the GPU has no memory for passes in halves, with the same
    result. The watch is told step, loss (training, mean since the last point), validation loss and accuracy.
    Raises TrainingError without pairs, or if the loss stops being finite: the last checkpoint is then kept.
    """
    return Training(network, pairs, optimiser, loss, schedule, seed, course).run()


class Training:
    """One training in progress."""

    def __init__(
        self,
        network: Network,
        pairs: Pairs,
        optimiser: torch.optim.Optimizer,
        loss: Loss,
        schedule: Schedule,
        seed: int,
        course: Course,
    ) -> None:
        self.pairs, self.held_out = pairs.training(), pairs.validation()
        if not len(self.pairs):
            raise TrainingError("no pairs to train on: every photograph is held out for validation, or none was given")
        self.network, self.optimiser, self.loss, self.schedule = network, optimiser, loss, schedule
        self.seed, self.course = seed, course
        self.device = device_of(placed(network))
        self.precision = accelerator.precision_on(self.device, schedule.precision)
        whole = 2 * schedule.pairs_per_step
        self.per_pass = whole if self.device.type == "cuda" else min(whole, PATCHES_PER_PASS)
        shuffled = np.random.default_rng(seed).permutation(len(self.held_out))
        self.looked_at = np.sort(shuffled[: schedule.validated])
        self.rates = [group["lr"] for group in optimiser.param_groups]
        self.validated_at = {round(step) for step in np.linspace(0, schedule.steps, schedule.validations + 1)}
        self.checkpoint = Checkpoint(course.folder, self._identity())
        self.step, self.kept_step, self.best_step = 0, 0, 0
        self.points: list[dict[str, float]] = []
        self.losses: list[float] = []  # since the last point
        self.unseen = Losses()  # those that nobody has looked at
        self.best: dict[str, Tensor] = {}
        self.clock = Clock()

    def _identity(self) -> str:
        """What tells this training from others that might keep their checkpoints in the same folder."""
        rates = [{name: value for name, value in g.items() if name != "params"} for g in self.optimiser.param_groups]
        ends = self.pairs.manipulated[np.array([0, len(self.pairs) - 1])]
        shown = f"{len(self.pairs)} {len(self.held_out)} {zlib.crc32(ends.tobytes())}"
        how = f"{type(self.network).__name__} {self.schedule} {self.seed}"
        return f"{how} {type(self.optimiser).__name__} {rates} {getattr(self.loss, '__name__', '')} {shown}"

    def run(self) -> Network:
        """All of it, from the beginning or from the checkpoint."""
        if not self._resume():
            self._validate()
        batches = prefetched(self.batch(step) for step in range(self.step, self.schedule.steps))
        with accelerator.deterministic(self.device), contextlib.closing(batches):  # type: ignore[type-var]
            while self.step < self.schedule.steps and not self._exhausted():
                self.unseen.add(self.take_step(next(batches).to(self.device)))
                self.step += 1
                if self.step in self.validated_at:
                    self._validate()
                report, keep = self.clock.report_is_due(), self.clock.checkpoint_is_due()
                if report or keep or self.unseen.are_due():
                    self._look()
                if report:
                    self._report()
                if keep:
                    self._keep()
        self.network.load_state_dict(self.best)
        self.network.facts = self._facts()
        return self.network.cpu().eval()

    def _exhausted(self) -> bool:
        """Whether enough validations in a row have found nothing better."""
        stale = sum(point["step"] > self.best_step for point in self.points)
        return 0 < self.schedule.patience <= stale

    def batch(self, step: int) -> Batch:
        """What the step sees: its own seed decides, so that it does not matter what was drawn before."""
        schedule, generator = self.schedule, np.random.default_rng([self.seed, step])
        return draw(self.pairs, schedule.pairs_per_step, generator, turned=schedule.turned, crop=schedule.crop)

    def take_step(self, batch: Batch) -> Tensor:
        """One step of the optimiser; the mean loss, still on the device."""
        self.network.train()
        for group, rate in zip(self.optimiser.param_groups, self.rates, strict=True):
            group["lr"] = rate * self.schedule.share_of_rate(self.step)
        loss = self._gradients(batch)
        self.optimiser.step()
        project(self.network)
        return loss

    def _gradients(self, batch: Batch) -> Tensor:
        """Accumulate the gradient of the mean loss in as many passes as memory asks for."""
        while True:
            before = [buffer.clone() for buffer in self.network.buffers()]
            try:
                self.optimiser.zero_grad()
                reseed(self.network, seed_for(self.seed, "dropout", self.step))
                return torch.stack([self._pass(part, len(batch)) for part in batch.parts(self.per_pass)]).sum()
            except torch.OutOfMemoryError as error:
                self._halve(error)
                for buffer, kept in zip(self.network.buffers(), before, strict=True):
                    buffer.copy_(kept)

    def _pass(self, part: Batch, of: int) -> Tensor:
        """One part's share of the mean loss over a batch of `of` patches, its gradient added to the others'."""
        with accelerator.autocast(self.device, self.precision):
            outputs = self.network.outputs(to_pixels(part.patches))
        share = (self.loss(part.signs * outputs.float()) * part.weights).sum() / of
        share.backward()  # type: ignore[no-untyped-call]
        return share.detach()

    def _halve(self, error: torch.OutOfMemoryError) -> None:
        # In whole groups, so that batch normalisation sees the same ones.
        smaller = self.per_pass // 2 // GhostBatchNorm2d.GROUP * GhostBatchNorm2d.GROUP
        if not smaller:
            raise TrainingError(
                f"{accelerator.describe(self.device)} has no memory for {self.per_pass} patches at once; "
                "free some, or hide the GPU (CUDA_VISIBLE_DEVICES=) to train on the processor"
            ) from error
        self.course.say(
            f"out of memory with {self.per_pass} patches at once; goes on with {smaller}, the result the same"
        )
        self.per_pass = smaller
        torch.cuda.empty_cache()

    def _look(self) -> None:
        """Read the losses of the last steps.  Raises TrainingError if one is not finite."""
        self.losses += self.unseen.look(self.step, kept_step=self.kept_step)

    def _validate(self) -> None:
        """Add a point to the learning curve, and keep the state if it is the best so far."""
        self._look()
        mean = float(np.mean(self.losses)) if self.losses else math.nan
        loss, accuracy = self._held_out_loss()
        point = {"step": self.step, "loss": mean, "validation_loss": loss, "validation_accuracy": accuracy}
        best = min((earlier["validation_loss"] for earlier in self.points), default=math.inf)
        self.points.append(point)
        self.losses.clear()
        self.course.watch(point)
        if loss < best or not len(self.held_out):
            self.best, self.best_step = _copied(self.network.state_dict()), self.step

    @torch.no_grad()
    def _held_out_loss(self) -> tuple[float, float]:
        """Mean loss and accuracy over the chosen held-out pairs; NaN without any."""
        if not len(self.looked_at):
            return math.nan, math.nan
        self.network.eval()
        pristine, manipulated = (self._verdicts(some) for some in (self.held_out.pristine, self.held_out.manipulated))
        loss = self.loss(torch.cat([-pristine, manipulated])).mean()
        return loss.item(), float(((pristine <= 0).double().mean() + (manipulated > 0).double().mean()) / 2)

    def _verdicts(self, patches: Patches) -> Tensor:
        """The logits for the chosen held-out patches, each that of the manipulation it is or might be."""
        parts = []
        for some in patches.batches(PATCHES_PER_PASS, self.looked_at):
            shown = torch.from_numpy(central(some, self.schedule.crop)).to(self.device)
            with accelerator.autocast(self.device, self.precision):
                parts.append(self.network.outputs(to_pixels(shown)).float().cpu())
        which = torch.from_numpy(self.held_out.output[self.looked_at])
        return torch.cat(parts).gather(1, which[:, None])[:, 0]

    def _report(self) -> None:
        """Say in a line how far training is."""
        loss = self.losses[-1] if self.losses else self.points[-1]["loss"]
        rate = 2 * self.schedule.pairs_per_step * self.clock.steps(self.step)
        left = self.clock.minutes_left(self.step, self.schedule.steps)
        self.course.say(
            f"step {self.step} of {self.schedule.steps}, loss {loss:.4f}, held-out accuracy "
            f"{self.points[-1]['validation_accuracy']:.4f}, {rate:.1f} patches/s, {left:.0f} min left"
        )
        self.clock.mark("report")

    def _keep(self) -> None:
        """Write a checkpoint."""
        states = {
            "network": self.network.state_dict(),
            "best": self.best,
            "optimiser": optimiser_state(self.optimiser),
        }
        progress = {name: getattr(self, name) for name in ("step", "best_step", "points", "losses")}
        self.checkpoint.write(states, progress | {"seconds": self.clock.seconds()})
        self.course.kept()
        self.kept_step = self.step
        self.clock.mark("checkpoint")

    def _resume(self) -> bool:
        """Take up the checkpoint, if there is one."""
        found = self.checkpoint.read()
        if found is None:
            return False
        states, progress = found
        self.network.load_state_dict(states["network"])
        restore_optimiser(self.optimiser, states.get("optimiser", {}))
        self.best = {name: tensor.to(self.device) for name, tensor in states["best"].items()}
        self.step, self.best_step = progress["step"], progress["best_step"]
        self.points, self.losses, self.kept_step = progress["points"], progress["losses"], self.step
        self.clock = Clock(self.step, progress["seconds"])
        for point in self.points:
            self.course.watch(point)
        self.course.say(f"goes on from step {self.step} of {self.schedule.steps}")
        return True

    def _facts(self) -> dict[str, str | int | float]:
        """How it went, for the record beside the weights."""
        return {
            "device": accelerator.describe(self.device),
            "precision": self.precision,
            "augmentation": self.schedule.augmentation,
            "steps": self.step,
            "best_step": self.best_step,
            "patches": 2 * self.schedule.pairs_per_step * self.step,
            "seconds": round(self.clock.seconds()),
        }


def _copied(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in state.items()}
