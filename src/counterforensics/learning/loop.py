"""The one training loop, of detectors and of generators alike.

`TrainingLoop.run` is the story: take up the checkpoint or begin, take one step after another, look around between two
steps, and end with the state that is kept. A subclass says what one step is and what one validation is.
"""

from __future__ import annotations

import contextlib
import math
import zlib
from abc import ABC, abstractmethod
from collections.abc import Set
from typing import Any, ClassVar, Generic, Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from counterforensics.errors import TrainingError
from counterforensics.learning import accelerator
from counterforensics.learning.accelerator import device_of, placed
from counterforensics.learning.batches import prefetched
from counterforensics.learning.checkpoint import Checkpoint, optimiser_state, restore_optimiser
from counterforensics.learning.monitor import Clock, Losses, SavedNetwork, TrainingMonitor
from counterforensics.photos.patches import Indices, Pairs

Shown = TypeVar("Shown")
Saved = TypeVar("Saved", bound=SavedNetwork)

# How a training ends; the words are those of `counterforensics.outcome`, which needs no torch.
PLANNED = "planned"
EARLY = "early"  # without a better validation for long
COLLAPSED = "collapsed"
DIVERGED = "diverged"  # a loss or a weight became NaN or infinite

# Where a fact is not called as the column of the learning curve is.
_FACT_OF_COLUMN = {"validation_accuracy": "validation_acc"}


class Schedule(Protocol):
    """What the loop asks of a schedule, which is a frozen dataclass."""

    @property
    def steps(self) -> int:
        """Steps of the optimiser, in all."""

    @property
    def pairs_per_step(self) -> int:
        """Pairs that one step sees."""

    @property
    def validated(self) -> int:
        """The most held-out pairs that one validation sees."""

    @property
    def validated_at(self) -> Set[int]:
        """Steps after which the network is validated; 0 is before the first step."""

    @property
    def precision(self) -> str:
        """`float32`, or `bfloat16` wherever the hardware has it."""

    @property
    def augmentation(self) -> str:
        """What is done to patches before the network sees them, in words."""

    def share_of_lr(self, step: int) -> float:
        """The learning rate at `step`, counted from 0, as a share (0..1) of the highest one."""


class TrainingLoop(ABC, Generic[Shown, Saved]):
    """One training in progress; `run` gives the network.

    A subclass fills four holes: `batch`, `take_step`, `validation` and `is_to_be_kept`. It puts all that learns into
    `modules` and `optimisers`, by name: a checkpoint holds their states. It may also say when the training has
    collapsed, when it is exhausted, and what else it must remember.
    """

    # Whether a training that collapses or diverges ends with the state that was kept last; else it is an error.
    ends_with_last_kept: ClassVar[bool] = False

    def __init__(
        self,
        network: Saved,
        pairs: Pairs,
        schedule: Schedule,
        *,
        seed: int,
        monitor: TrainingMonitor,
        settings: str,
    ) -> None:
        """network: the one whose best state is the result.  pairs: held-out ones among them.

        settings: all else that the result depends on, as text; a checkpoint of other settings is not taken up.
        Raises TrainingError without pairs.
        """
        self.pairs, self.held_out = pairs.training(), pairs.validation()
        if not len(self.pairs):
            raise TrainingError("no pairs to train on: every photograph is held out for validation, or none was given")
        self.network = placed(network)
        self.schedule = schedule
        self.seed = seed
        self.monitor = monitor
        self.device = device_of(self.network)
        self.precision = accelerator.precision_on(self.device, schedule.precision)
        self.validated_at = schedule.validated_at
        self.validation_indices = self._choose_held_out()
        self.modules: dict[str, nn.Module] = {}
        self.optimisers: dict[str, torch.optim.Optimizer] = {}
        self.checkpoint = Checkpoint(monitor.folder, f"{settings} {schedule} {seed} {self._describe_pairs()}")
        self.checkpoint_step = 0
        self.step = 0
        self.best: dict[str, Tensor] = {}
        self.best_step = 0
        self.points: list[dict[str, float]] = []  # the learning curve
        self.losses: list[float] = []  # since the last point
        self.unread = Losses()  # those that nobody has looked at
        self.ended = PLANNED
        self.reason = ""
        self.clock = Clock()

    # --- holes

    @abstractmethod
    def batch(self, step: int) -> Shown:
        """What this step sees; the seed and the step alone decide, so that it does not matter what was drawn before.

        It is drawn in a thread of its own, ahead of its use.
        """

    @abstractmethod
    def take_step(self, batch: Shown) -> Tensor:
        """Learn from `batch`, with the optimisers' rates as they are; the loss, a scalar still on the device."""

    @abstractmethod
    def validation(self) -> dict[str, float]:
        """Figures on held-out pairs, each named `validation_...`, always the same names; NaN without held-out pairs."""

    @abstractmethod
    def is_to_be_kept(self, point: dict[str, float]) -> bool:
        """Whether the state that gave this new point of the learning curve replaces the one that was kept."""

    def is_exhausted(self) -> bool:
        """Whether validations have found nothing better for so long that training ends."""
        return False

    def collapse(self) -> str:
        """Why training cannot go on, in words; empty while it can."""
        return ""

    def memory(self) -> dict[str, Any]:
        """What else must outlive a kill, as JSON values."""
        return {}

    def remember(self, memory: dict[str, Any]) -> None:
        """Take back what `memory` gave."""

    # --- the story

    def run(self) -> Saved:
        """All of it, from the beginning or from the checkpoint; the network on the processor, in evaluation mode.

        Raises TrainingError if the loss or a weight stops being finite, or training collapses, and nothing was kept
        that the training may end with.
        """
        with accelerator.deterministic(self.device):
            if not self._resume() and 0 in self.validated_at:
                self._validate()
            self._take_steps()
        if self.best:
            self.network.load_state_dict(self.best)
        else:
            self.best_step = self.step
        self.network.facts = self.facts()
        return self.network.cpu().eval()

    def _take_steps(self) -> None:
        groups = [group for optimiser in self.optimisers.values() for group in optimiser.param_groups]
        highest_lrs = [group["lr"] for group in groups]
        batches = prefetched(self.batch(step) for step in range(self.step, self.schedule.steps))
        with contextlib.closing(batches):
            while self.step < self.schedule.steps and self.ended == PLANNED:
                share = self.schedule.share_of_lr(self.step)
                for group, highest in zip(groups, highest_lrs, strict=True):
                    group["lr"] = highest * share
                self.unread.add(self.take_step(next(batches)))
                self.step += 1
                self._look_around()

    def _look_around(self) -> None:
        """Between two steps: read losses, look for a collapse, validate, report, keep; each where it is due."""
        validate = self.step in self.validated_at
        report = self.clock.report_is_due()
        keep = self.clock.checkpoint_is_due()
        try:
            if validate or report or keep or self.unread.are_due():
                self.losses += self.unread.look(self.step)
            collapse = self.collapse()
            if validate and not collapse:
                self._validate()
        except TrainingError as error:
            self.end(DIVERGED, str(error))
        else:
            if collapse:
                self.end(COLLAPSED, collapse)
        if report:
            self._report()
        if keep and self.ended == PLANNED:
            self._keep()

    def end(self, ended: str, reason: str) -> None:
        """End here with the state that was kept last.  Raises TrainingError if there is none, or it is no result."""
        if not (self.best and self.ends_with_last_kept):
            kept = f"; the checkpoint of step {self.checkpoint_step} is kept" if self.checkpoint_step else ""
            raise TrainingError(reason + kept)
        self.ended, self.reason = ended, reason
        self.monitor.say(f"{reason}; the state of step {self.best_step} is kept")

    @torch.no_grad()
    def _validate(self) -> None:
        """Add a point to the learning curve, and keep the state if it is to be kept.  Raises TrainingError for NaN."""
        state = self.network.state_dict()
        if not all(torch.isfinite(tensor).all() for tensor in state.values()):
            raise TrainingError(f"the network holds NaN or infinity after step {self.step}; a smaller lr may help")
        # Before its first point a training has taken no step, or learned by other losses than those of the curve.
        loss = float(np.mean(self.losses)) if self.points and self.losses else math.nan
        self.losses.clear()
        point = {"step": self.step, "loss": loss, **self.validation()}
        if self.is_to_be_kept(point):
            self.best = {name: tensor.detach().clone() for name, tensor in state.items()}
            self.best_step = self.step
        self.points.append(point)
        self.monitor.watch(point)
        if self.is_exhausted() and self.step < self.schedule.steps:
            self.ended = EARLY

    def _report(self) -> None:
        """Say in a line how far training is."""
        figures = {"loss": self.losses[-1] if self.losses else self.points[-1]["loss"]}
        if self.points:
            figures |= {name: value for name, value in self.points[-1].items() if name not in ("step", "loss")}
        told = ", ".join(f"{name.replace('_', ' ')} {value:.4f}" for name, value in figures.items())
        pace = 2 * self.schedule.pairs_per_step * self.clock.steps(self.step)
        left = self.clock.minutes_left(self.step, self.schedule.steps)
        steps = f"step {self.step} of {self.schedule.steps}"
        self.monitor.say(f"{steps}, {told}, {pace:.1f} patches/s, {left:.0f} min left")
        self.clock.mark("report")

    # --- what outlives the process

    def _keep(self) -> None:
        """Write a checkpoint."""
        states = {name: module.state_dict() for name, module in self.modules.items()}
        states |= {f"optimiser of {name}": optimiser_state(one) for name, one in self.optimisers.items()}
        progress = {
            "step": self.step,
            "best_step": self.best_step,
            "points": self.points,
            "losses": self.losses,
            "memory": self.memory(),
            "seconds": self.clock.seconds(),
        }
        self.checkpoint.write(states | {"best": self.best}, progress)
        self.monitor.kept()
        self.checkpoint_step = self.step
        self.clock.mark("checkpoint")

    def _resume(self) -> bool:
        """Take up the checkpoint; whether there was one."""
        found = self.checkpoint.read()
        if found is None:
            return False
        states, progress = found
        for name, module in self.modules.items():
            module.load_state_dict(states[name])
        for name, optimiser in self.optimisers.items():
            restore_optimiser(optimiser, states.get(f"optimiser of {name}", {}))
        self.best = {name: tensor.to(self.device) for name, tensor in states.get("best", {}).items()}
        self.best_step = progress["best_step"]
        self.step = self.checkpoint_step = progress["step"]
        self.points = progress["points"]
        self.losses = progress["losses"]
        self.remember(progress["memory"])
        self.clock = Clock(self.step, progress["seconds"])
        for point in self.points:
            self.monitor.watch(point)
        self.monitor.say(f"goes on from step {self.step} of {self.schedule.steps}")
        return True

    def facts(self) -> dict[str, str | int | float]:
        """How it went, under the names of trainings.csv (`counterforensics.outcome.TRAINING_COLUMNS`)."""
        # After a failure it is up to the clock at which step that was seen; what was kept before it is not.
        steps = self.step if self.ended in (PLANNED, EARLY) else self.best_step
        kept = next((point for point in self.points if point["step"] == self.best_step), {})
        held_out = {name: value for name, value in kept.items() if name not in ("step", "loss")}
        return {
            "device": accelerator.describe(self.device),
            "precision": self.precision,
            "augmentation": self.schedule.augmentation,
            "pairs_per_step": self.schedule.pairs_per_step,
            "patches": 2 * self.schedule.pairs_per_step * steps,
            "steps": steps,
            "best_step": self.best_step,
            "seconds": round(self.clock.seconds()),
            **{_FACT_OF_COLUMN.get(name, name): value for name, value in held_out.items() if math.isfinite(value)},
            "ended": self.ended,
            **({"reason": self.reason} if self.reason else {}),
        }

    # --- what it begins with

    def _choose_held_out(self) -> Indices:
        """Positions of the held-out pairs that validations see, at random, in order: int64 [at most `validated`]."""
        shuffled = np.random.default_rng(self.seed).permutation(len(self.held_out))
        return np.sort(shuffled[: self.schedule.validated])

    def _describe_pairs(self) -> str:
        """What tells these pairs from others: their numbers, and a digest of the first and the last patch."""
        ends = self.pairs.manipulated[np.array([0, len(self.pairs) - 1])]
        return f"{len(self.pairs)} {len(self.held_out)} {zlib.crc32(ends.tobytes())}"
