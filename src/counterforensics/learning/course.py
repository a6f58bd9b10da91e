"""What a training makes, what it tells while it goes on, how long it takes, and what its losses are."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from counterforensics.errors import TrainingError

# Between two checkpoints and two reports; neither changes the result.
SECONDS_BETWEEN_CHECKPOINTS = 120.0
SECONDS_BETWEEN_REPORTS = 20.0
# Losses are looked at this many at a time: every look waits for a GPU.
STEPS_BETWEEN_LOOKS = 20


class Learned(nn.Module):
    """A network whose state is tensors: what settings build, train, save and load."""

    # Made of layers that a GPU runs; what is not stays on the processor.
    accelerated: bool = False

    def __init__(self) -> None:
        super().__init__()
        # How it was trained, in words and numbers: kept beside the weights.
        self.facts: Mapping[str, str | int | float] = {}


def _unheard(*_: object) -> None:
    """Nobody listens."""


@dataclass(frozen=True)
class Course:
    """What a training tells while it goes on, and the folder from which it goes on when it was killed.

    watch: told of every point of the learning curve: name -> value, always the same names, "step" first.
    say: told in a line, now and then, how far it is.  folder: None keeps nothing.  kept: called whenever something was
    kept there.
    """

    watch: Callable[[Mapping[str, float]], None] = _unheard
    say: Callable[[str], None] = _unheard
    folder: Path | None = None
    kept: Callable[[], None] = _unheard

    def before(self) -> Course:
        """That of a training that comes before this one, whose curve is not shown."""
        return Course(say=self.say, folder=None if self.folder is None else self.folder / "start", kept=self.kept)


SILENT = Course()


class Clock:
    """How long a training takes, how fast its steps go, and how long ago something was last done."""

    def __init__(self, first_step: int = 0, seconds_before: float = 0.0) -> None:
        self.first_step, self.seconds_before = first_step, seconds_before
        self.started = time.monotonic()
        self.marks: dict[str, float] = {}

    def seconds(self) -> float:
        """Since the training began, in this process or an earlier one."""
        return self.seconds_before + time.monotonic() - self.started

    def steps(self, step: int) -> float:
        """Steps a second in this process."""
        return (step - self.first_step) / max(time.monotonic() - self.started, 1e-9)

    def minutes_left(self, step: int, steps: int) -> float:
        """Until `steps` are done, at the rate of this process."""
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
    """The losses of the last steps, left where they are until somebody looks."""

    def __init__(self) -> None:
        self._unseen: list[Tensor] = []

    def add(self, loss: Tensor) -> None:
        """Add a step's: a scalar, on any device."""
        self._unseen.append(loss)

    def are_due(self) -> bool:
        """Whether so many steps have passed that it is time to look."""
        return len(self._unseen) >= STEPS_BETWEEN_LOOKS

    def look(self, step: int, *, kept_step: int = 0) -> list[float]:
        """Those since the last look, the last of them of the step before `step`.

        Raises TrainingError if one is not finite, and names the step of the checkpoint that is kept, if any.
        """
        losses = torch.stack(self._unseen).tolist() if self._unseen else []
        self._unseen.clear()
        for number, loss in enumerate(losses, step - len(losses)):
            if not math.isfinite(loss):
                kept = f"; the checkpoint of step {kept_step} is kept" if kept_step else ""
                raise TrainingError(f"the loss became {loss} at step {number}; a smaller rate may help{kept}")
        return losses
