"""What every training has: the network that it makes, a monitor that it reports to, a clock, and losses."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from counterforensics.errors import TrainingError

# Between two checkpoints, and between two progress lines; neither changes the result.
SECONDS_BETWEEN_CHECKPOINTS = 120.0
SECONDS_BETWEEN_REPORTS = 20.0
# This many losses are read at a time: every look waits for a GPU.
STEPS_BETWEEN_LOOKS = 20


class SavedNetwork(nn.Module):
    """A network whose state is tensors. Settings build it, train it, save it and load it."""

    # Whether all of its layers run on a GPU; another network stays on the processor.
    accelerated: bool = False

    def __init__(self) -> None:
        super().__init__()
        # How it was trained, under the names of trainings.csv; the record beside the weights repeats it.
        self.facts: Mapping[str, str | int | float] = {}
        # What it was trained to find, as the record says: the text form of a manipulation, or "" where it says nothing.
        self.trained_for = ""
        # The photographs that it learned from, by the SHA-256 of their files, and their devices, as the record says.
        self.learned_photos: frozenset[str] = frozenset()
        self.learned_devices: frozenset[str] = frozenset()


def _unheard(*_: object) -> None:
    """Nobody listens."""


@dataclass(frozen=True)
class TrainingMonitor:
    """Who hears of a training while it goes on, and where its checkpoint lies.

    watch: gets every point of the learning curve, name -> value, always the same names, "step" first.
    say: gets a line of progress now and then.
    folder: a killed training goes on from the checkpoint in it; None keeps no checkpoint.
    kept: is called after every checkpoint.
    """

    watch: Callable[[Mapping[str, float]], None] = _unheard
    say: Callable[[str], None] = _unheard
    folder: Path | None = None
    kept: Callable[[], None] = _unheard

    def before(self) -> TrainingMonitor:
        """The monitor of a training that comes before this one; nobody watches its curve."""
        return TrainingMonitor(
            say=self.say, folder=None if self.folder is None else self.folder / "start", kept=self.kept
        )


SILENT = TrainingMonitor()


class Clock:
    """How long a training takes, how fast its steps go, and when the next report or checkpoint is due."""

    def __init__(self, first_step: int = 0, seconds_before: float = 0.0) -> None:
        self.first_step, self.seconds_before = first_step, seconds_before
        self.started = time.monotonic()
        self.marks: dict[str, float] = {}

    def seconds(self) -> float:
        """Seconds that the training took so far, in this process and in earlier ones."""
        return self.seconds_before + time.monotonic() - self.started

    def steps(self, step: int) -> float:
        """Steps a second in this process."""
        return (step - self.first_step) / max(time.monotonic() - self.started, 1e-9)

    def minutes_left(self, step: int, steps: int) -> float:
        """Minutes until `steps` are done, at the pace of this process."""
        return (steps - step) / max(self.steps(step), 1e-9) / 60

    def report_is_due(self) -> bool:
        """Whether the last `mark("report")` is long ago."""
        return self._since("report") > SECONDS_BETWEEN_REPORTS

    def checkpoint_is_due(self) -> bool:
        """Whether the last `mark("checkpoint")` is long ago."""
        return self._since("checkpoint") > SECONDS_BETWEEN_CHECKPOINTS

    def _since(self, what: str) -> float:
        return time.monotonic() - self.marks.get(what, self.started)

    def mark(self, what: str) -> None:
        """`what` was done now."""
        self.marks[what] = time.monotonic()


class Losses:
    """The losses of the last steps, left on their device until somebody looks."""

    def __init__(self) -> None:
        self._unread: list[Tensor] = []

    def add(self, loss: Tensor) -> None:
        """Add the loss of one step: a scalar, on any device."""
        self._unread.append(loss)

    def are_due(self) -> bool:
        """Whether so many steps have passed that it is time to look."""
        return len(self._unread) >= STEPS_BETWEEN_LOOKS

    def look(self, step: int) -> list[float]:
        """The losses since the last look; the last one belongs to the step before `step`.

        Raises TrainingError if one is not finite.
        """
        losses = torch.stack(self._unread).tolist() if self._unread else []
        self._unread.clear()
        for number, loss in enumerate(losses, step - len(losses)):
            if not math.isfinite(loss):
                raise TrainingError(f"the loss became {loss} at step {number}; a smaller lr may help")
        return losses
