"""What a training makes, what it tells while it goes on, and how long it takes."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import nn


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

    def since(self, what: str) -> float:
        """Seconds since `what` was marked, or since this process began."""
        return time.monotonic() - self.marks.get(what, self.started)

    def mark(self, what: str) -> None:
        """`what` was done now."""
        self.marks[what] = time.monotonic()
