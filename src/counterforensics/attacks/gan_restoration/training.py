"""How a generator learns: first to see, then to restore, then to deceive a discriminator."""

from __future__ import annotations

import contextlib
import copy
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits as cross_entropy
from torch.nn.functional import mse_loss
from torch.optim.swa_utils import get_ema_multi_avg_fn

from counterforensics.attacks.gan_restoration.discriminators import CROP, CoOccurrences, Discriminator, check_side
from counterforensics.attacks.gan_restoration.generator import Generator
from counterforensics.errors import TrainingError
from counterforensics.learning import accelerator
from counterforensics.learning.accelerator import placed
from counterforensics.learning.batches import central, draw_pairs, prefetched, some_of
from counterforensics.learning.checkpoint import Checkpoint, optimiser_state, restore_optimiser
from counterforensics.learning.course import Clock, Course, Losses
from counterforensics.photos.patches import Pairs
from counterforensics.pixels import Pixels, luma
from counterforensics.seeds import seed_for

# Of the generator that is kept, how much of it stays at each step: a mean over some fifty of them. One over hundreds is
# smoother than any of them, nearer to the pristine patches and far from what a discriminator takes for one.
KEPT = 0.98
# A discriminator has collapsed that for so many steps gives every patch the same logit, or is this sure of all.
STEPS_OF_COLLAPSE, SAME, SURE = 100, 1e-4, 25.0
PLANNED = "as planned"  # how a training ended
CRITIC = "features of the discriminator when it had learned to detect the manipulation"


@dataclass(frozen=True)
class Weights:
    """What each part of the generator's loss weighs.

    fidelity: mean squared error, grey levels / 255.  perceptual: mean squared error of the features of a forensic
    network, over their mean square.  adversarial: cross-entropy of the discriminator's verdict against "pristine".
    co_occurrence: squared distance of the roots of soft SPAM features. Where pixels
    moved, patches show other places: there is no perceptual part, and co-occurrences are those of a step together.
    """

    fidelity: float = 1.0
    perceptual: float = 1e-3
    adversarial: float = 1e-3
    co_occurrence: float = 0.0


@dataclass(frozen=True)
class Schedule:
    """How long each phase lasts, in steps of `pairs_per_step` squares of 64x64 of the same cells before and after.

    seeing: the discriminator learns to tell manipulated from pristine; the features of a copy, kept as it then is, are
    the perceptual space.  restoring: the generator learns by fidelity alone.  deceiving: all together.
    rate, momentum: of Adam; over the second half of the last phase the rate falls to zero on a line, as in Zhu et al.
    (2017). momentum is the share of the gradient's running mean that stays at each step: with much of it the two
    networks may chase each other past where they would meet (Radford et al. 2016).
    like: `pristine`, or `manipulated` where the manipulation moves pixels: what fidelity is to.
    """

    seeing: int
    restoring: int
    deceiving: int
    pairs_per_step: int = 16
    rate: float = 1e-4
    momentum: float = 0.9
    like: str = "pristine"
    validations: int = 8
    validated: int = 128
    precision: str = "bfloat16"

    @property
    def steps(self) -> int:
        """Of all phases."""
        return self.seeing + self.restoring + self.deceiving

    def rate_at(self, step: int) -> float:
        """The rate of this step, counted from 0."""
        return self.rate * min(1.0, (self.steps - step) / (self.deceiving / 2))

    @property
    def validated_at(self) -> set[int]:
        """Steps after which the generator is validated: when it can restore, and then as it learns to deceive."""
        count = min(self.validations, max(1, self.deceiving // 10))
        return {round(step) for step in np.linspace(self.seeing + self.restoring, self.steps, count + 1)}


class Parts(Protocol):
    """What the settings of a restoration say of its training."""

    def build(self) -> Generator:
        """The generator, untrained."""

    def opponent(self) -> nn.Module:
        """What it is to deceive, untrained."""

    def loss(self) -> Weights:
        """Of its loss."""

    def schedule(self) -> Schedule:
        """How long it learns."""

    @property
    def spelled_out(self) -> Mapping[str, Any]:
        """All that the result depends on, as JSON values."""


@dataclass
class _Side:
    """A network and what optimises it."""

    network: nn.Module
    optimiser: torch.optim.Optimizer

    def step(self, loss: Tensor, rate: float) -> None:
        """Go down the gradient of `loss`."""
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()


@dataclass
class _Watch:
    """What the last steps were like."""

    losses: list[float] = field(default_factory=list)
    same: int = 0  # steps in a row in which every patch got the same logit
    sure: int = 0  # or in which no patch left a doubt


class Restoration:
    """One training in progress; `run` gives the generator."""

    def __init__(self, parts: Parts, pairs: Pairs, *, seed: int, course: Course) -> None:
        self.schedule, self.weights = parts.schedule(), parts.loss()
        self.pairs, self.held_out = pairs.training(), pairs.validation()
        if not len(self.pairs):
            raise TrainingError("no pairs to learn from: every photograph is held out, or none was given")
        check_side(*self.pairs.pristine.stacks[0].shape[-2:])
        self.seed, self.course = seed, course
        random = torch.Generator().manual_seed(seed)
        generator, opponent = parts.build(), parts.opponent()
        for network in (generator, opponent):
            network.initialise(random)  # type: ignore[operator]
        self.generator = placed(generator)
        self.device = accelerator.device_of(self.generator)
        self.kept = copy.deepcopy(self.generator)
        opponent = opponent.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.critic = copy.deepcopy(opponent)
        self.precision = accelerator.precision_on(self.device, self.schedule.precision)
        sides = {"generator": self.generator, "opponent": opponent}
        betas = self.schedule.momentum, 0.999
        self.sides = {
            name: _Side(network, torch.optim.Adam(network.parameters(), betas=betas, fused=self.device.type == "cuda"))
            for name, network in sides.items()
        }
        shuffled = np.random.default_rng(seed).permutation(len(self.held_out))
        self.looked_at = np.sort(shuffled[: self.schedule.validated])
        self.validated_at = self.schedule.validated_at
        identity = f"{type(parts).__name__} {parts.spelled_out} {seed} {len(self.pairs)} {len(self.held_out)}"
        self.checkpoint = Checkpoint(course.folder, identity)
        self.step, self.good_step = 0, 0
        self.good: dict[str, Tensor] = {}
        self.ended = PLANNED
        self.points: list[dict[str, float]] = []
        self.watched = _Watch()
        self.unseen = Losses()
        self.clock = Clock()

    @property
    def opponent(self) -> nn.Module:
        """The discriminator."""
        return self.sides["opponent"].network

    def run(self) -> Generator:
        """All of it, from the beginning or from the checkpoint; the generator on the processor, ready to restore."""
        self._resume()
        batches = prefetched(self._batch(step) for step in range(self.step, self.schedule.steps))
        with accelerator.deterministic(self.device), contextlib.closing(batches):  # type: ignore[type-var]
            while self.step < self.schedule.steps and self.ended == PLANNED:
                self._take_step(torch.from_numpy(next(batches)).to(self.device))
                self._look_around()
        if self.good:
            self.kept.load_state_dict(self.good)
        self.kept.facts = self._facts()
        generator: Generator = self.kept.cpu().eval()
        return generator

    def _batch(self, step: int) -> Pixels:
        """What the step sees, uint8 [n, 2, c, 64, 64]: its own seed decides."""
        generator = np.random.default_rng([self.seed, step])
        indices = some_of(self.pairs, self.schedule.pairs_per_step, generator)
        return draw_pairs(self.pairs, indices, generator, turned=True, crop=CROP)

    def _take_step(self, both: Tensor) -> None:
        pristine, manipulated = (luma(both[:, which].float()) for which in (0, 1))
        if self.step < self.schedule.seeing:
            self.unseen.add(self._see(pristine, manipulated))
        elif self.step < self.schedule.seeing + self.schedule.restoring:
            self.unseen.add(self._restore(pristine, manipulated))
        else:
            self.unseen.add(self._deceive(pristine, manipulated))
        self.step += 1
        if self.step == self.schedule.seeing:
            self.critic.load_state_dict(self.opponent.state_dict())

    def _see(self, pristine: Tensor, manipulated: Tensor) -> Tensor:
        """The discriminator learns what the manipulation leaves; as it then is, a copy of it becomes the critic."""
        self.opponent.train()
        loss = self._of_opponent(pristine, manipulated)
        self._improve("opponent", loss)
        return loss.detach()

    def _of_opponent(self, pristine: Tensor, restored: Tensor) -> Tensor:
        with accelerator.autocast(self.device, self.precision):
            # Together: what a batch normalisation sees of one kind alone would give it away.
            real, false = self.opponent(torch.cat([pristine, restored])).float().chunk(2)
        self._judge_opponent(real.detach(), false.detach())
        return (cross_entropy(real, torch.zeros_like(real)) + cross_entropy(false, torch.ones_like(false))) / 2

    def _restore(self, pristine: Tensor, manipulated: Tensor) -> Tensor:
        """Fidelity alone."""
        loss = self._fidelity(self._restored(manipulated), pristine, manipulated)
        self._improve("generator", loss)
        self._keep_mean()
        return loss.detach()

    def _restored(self, manipulated: Tensor) -> Tensor:
        self.generator.train()
        with accelerator.autocast(self.device, self.precision):
            restored: Tensor = self.generator(manipulated, self._noise(manipulated))
        return restored

    def _noise(self, like: Tensor) -> Tensor | None:
        if not self.generator.noisy:
            return None
        random = torch.Generator().manual_seed(seed_for(self.seed, "noise", self.step))
        return torch.randn(like.shape, generator=random).to(self.device)

    def _fidelity(self, restored: Tensor, pristine: Tensor, manipulated: Tensor) -> Tensor:
        like = pristine if self.schedule.like == "pristine" else manipulated
        return mse_loss(restored / 255, like / 255)

    def _deceive(self, pristine: Tensor, manipulated: Tensor) -> Tensor:
        """One step of the discriminator, one of the generator, on what a file can hold."""
        restored = self._restored(manipulated)
        stored = as_stored(restored)
        self.opponent.train()
        self._improve("opponent", self._of_opponent(pristine, stored.detach()))
        loss = self.weights.fidelity * self._fidelity(restored, pristine, manipulated)
        if self.weights.adversarial:
            self.opponent.eval()
            with accelerator.autocast(self.device, self.precision):
                logits = self.opponent(stored).float()
            loss = loss + self.weights.adversarial * cross_entropy(logits, torch.zeros_like(logits))
        aligned = self.schedule.like == "pristine"
        if self.weights.perceptual and aligned:
            loss = loss + self.weights.perceptual * self._perceptual(stored, pristine)
        if self.weights.co_occurrence:
            distance = co_occurrence_distance(stored, pristine, together=not aligned)
            loss = loss + self.weights.co_occurrence * distance
        self._improve("generator", loss)
        self._keep_mean()
        return loss.detach()

    def _improve(self, side: str, loss: Tensor) -> None:
        self.sides[side].step(loss, self.schedule.rate_at(self.step))

    def _perceptual(self, stored: Tensor, pristine: Tensor) -> Tensor:
        assert isinstance(self.critic, Discriminator)
        self.critic.eval().requires_grad_(False)
        with accelerator.autocast(self.device, self.precision):
            ours = self.critic.features(stored).float()
            with torch.no_grad():
                theirs = self.critic.features(pristine).float()
        return mse_loss(ours, theirs) / theirs.square().mean().clamp_min(1e-6)

    def _keep_mean(self) -> None:
        """Move the generator that is kept a little towards the one that learns."""
        share = min(KEPT, 1 - 1 / (self.step - self.schedule.seeing + 1))
        kept, learning = self.kept.state_dict(), self.generator.state_dict()
        whole = [name for name, tensor in kept.items() if not tensor.is_floating_point()]
        for name in whole:
            kept.pop(name).copy_(learning.pop(name))
        get_ema_multi_avg_fn(share)(list(kept.values()), list(learning.values()), 0)

    def _judge_opponent(self, real: Tensor, false: Tensor) -> None:
        """Count the steps in a row in which the discriminator says nothing, or leaves nothing to be said.

        real, false: float32 [n, k]. Of several members, all must.
        """
        if self.step < self.schedule.seeing + self.schedule.restoring:
            return
        spreads, gaps = torch.cat([real, false]).std(0), false.amin(0) - real.amax(0)
        spread, gap = torch.stack([spreads.max(), gaps.min()]).tolist()
        self.watched.same = self.watched.same + 1 if spread < SAME else 0
        self.watched.sure = self.watched.sure + 1 if gap > SURE else 0

    def _look_around(self) -> None:
        """Between two steps: losses that are not finite, a collapse, a point of the curve, a report, a checkpoint."""
        report, keep = self.clock.report_is_due(), self.clock.checkpoint_is_due()
        due = self.step in self.validated_at
        stuck = max(self.watched.same, self.watched.sure)
        try:
            if report or keep or due or self.unseen.are_due():
                self._look()
            if stuck >= STEPS_OF_COLLAPSE:
                raise TrainingError(self._collapse())
            if due:
                self._validate(good=stuck < STEPS_OF_COLLAPSE // 2)
        except TrainingError as error:
            self._end(error)
        if report:
            self._report()
        if keep and self.ended == PLANNED:
            self._write()

    def _look(self) -> None:
        """Read the losses of the last steps.  Raises TrainingError if one is not finite."""
        losses = self.unseen.look(self.step)
        # The curve's loss is that of the last phase: before it, something else goes down.
        if self.step - len(losses) >= self.schedule.seeing + self.schedule.restoring:
            self.watched.losses += losses

    def _collapse(self) -> str:
        """What is wrong with the discriminator."""
        why = "tells nothing from anything" if self.watched.same >= STEPS_OF_COLLAPSE else "is sure of every patch"
        return f"the discriminator collapsed at step {self.step}: for {STEPS_OF_COLLAPSE} steps it {why}"

    def _end(self, why: TrainingError) -> None:
        """End here with the generator that was good before.  Raises `why` if none was."""
        if not self.good_step:
            raise why
        alone = self.good_step == self.schedule.seeing + self.schedule.restoring
        kept = f"the generator of step {self.good_step}" + ", which never met the discriminator," * alone
        self.ended = f"{why}; {kept} is kept"
        self.course.say(self.ended)

    @torch.no_grad()
    def _validate(self, *, good: bool) -> None:
        """Add a point to the learning curve, and keep a generator that is good.  Raises TrainingError if it is none."""
        kept = self.kept.state_dict()
        if not all(torch.isfinite(tensor).all() for tensor in kept.values()):
            raise TrainingError(f"the generator holds NaN or infinity after step {self.step}; a smaller rate may help")
        losses = self.watched.losses
        point = {"step": float(self.step), "loss": float(np.mean(losses)) if losses else math.nan}
        losses.clear()
        self.points.append(point | self._held_out())
        self.course.watch(self.points[-1])
        if good:
            self.good = {name: tensor.detach().clone() for name, tensor in kept.items()}
            self.good_step = self.step

    def _held_out(self) -> dict[str, float]:
        """On held-out photographs: PSNR to what is wanted, and how many patches the critic calls manipulated."""
        self.kept.eval()
        self.critic.eval()
        errors, found = [], []
        for start in range(0, len(self.looked_at), self.schedule.pairs_per_step):
            some = self.looked_at[start : start + self.schedule.pairs_per_step]
            shown = (central(patches[some], CROP) for patches in (self.held_out.pristine, self.held_out.manipulated))
            pristine, manipulated = (luma(torch.from_numpy(pixels).float().to(self.device)) for pixels in shown)
            stored = as_stored(self.kept(manipulated, self._noise(manipulated)))
            errors.append(self._fidelity(stored, pristine, manipulated).item() * len(some))
            found.append((self.critic(stored).mean(1) > 0).float().sum().item())
        count = len(self.looked_at)
        if not count:
            return {"validation_psnr": math.nan, "validation_detected": math.nan}
        mean = max(sum(errors) / count, 1e-12)
        return {"validation_psnr": -10 * math.log10(mean), "validation_detected": sum(found) / count}

    def _report(self) -> None:
        """Say in a line how far training is."""
        rate = self.clock.steps(self.step)
        left = self.clock.minutes_left(self.step, self.schedule.steps)
        held_out = ""
        if self.points:
            last = self.points[-1]
            held_out = f"held-out PSNR {last['validation_psnr']:.2f} dB, found {last['validation_detected']:.3f}, "
        steps = f"step {self.step} of {self.schedule.steps}"
        self.course.say(f"{steps}, {held_out}{rate:.2f} steps/s, {left:.0f} min left")
        self.clock.mark("report")

    def _write(self) -> None:
        """Write a checkpoint."""
        networks = {name: side.network for name, side in self.sides.items()}
        networks |= {"critic": self.critic, "kept": self.kept}
        states = {name: dict(network.state_dict()) for name, network in networks.items()}
        states |= {f"{name}'s optimiser": optimiser_state(side.optimiser) for name, side in self.sides.items()}
        progress = {name: getattr(self, name) for name in ("step", "good_step", "points")}
        progress |= {"watched": vars(self.watched), "seconds": self.clock.seconds()}
        self.checkpoint.write(states | {"good": self.good}, progress)
        self.course.kept()
        self.clock.mark("checkpoint")

    def _resume(self) -> None:
        """Take up the checkpoint, if there is one."""
        found = self.checkpoint.read()
        if found is None:
            return
        states, progress = found
        for name, side in self.sides.items():
            side.network.load_state_dict(states[name])
            restore_optimiser(side.optimiser, states.get(f"{name}'s optimiser", {}))
        self.critic.load_state_dict(states["critic"])
        self.kept.load_state_dict(states["kept"])
        self.good = {name: tensor.to(self.device) for name, tensor in states.get("good", {}).items()}
        self.step, self.good_step, self.points = progress["step"], progress["good_step"], progress["points"]
        self.watched = _Watch(**progress["watched"])
        self.clock = Clock(self.step, progress["seconds"])
        for point in self.points:
            self.course.watch(point)
        self.course.say(f"goes on from step {self.step} of {self.schedule.steps}")

    def _facts(self) -> Mapping[str, str | int | float]:
        """How it went, for the record beside the weights."""
        return {
            "device": accelerator.describe(self.device),
            "precision": self.precision,
            "perceptual": CRITIC if self.weights.perceptual and self.schedule.like == "pristine" else "none",
            "pairs_per_step": self.schedule.pairs_per_step,
            # Of an early end, those of what is kept: at which step NaN is found is up to the clock.
            "steps": self.step if self.ended == PLANNED else self.good_step,
            "kept_step": self.good_step,
            "ended": self.ended,
            "seconds": round(self.clock.seconds()),
        }


def as_stored(pixels: Tensor) -> Tensor:
    """Grey levels as a file holds them, whole and in 0..255; the gradient passes through the rounding unchanged.

    A discriminator that saw anything else would tell restored patches by their fractions.
    """
    clipped = pixels.clamp(0, 255)
    return clipped + (clipped.round() - clipped).detach()


def co_occurrence_distance(stored: Tensor, pristine: Tensor, *, together: bool = False) -> Tensor:
    """Mean squared distance of the roots of soft SPAM features: two float32 [n, 1, h, w] -> scalar.

    together: of the means over all patches, not of each pair.
    """
    roots = CoOccurrences()
    ours = roots(stored)
    with torch.no_grad():
        theirs = roots(pristine)
    if together:
        ours, theirs = ours.mean(0, keepdim=True), theirs.mean(0, keepdim=True)
    distances: Tensor = (ours - theirs).square().sum(1)
    return distances.mean()
